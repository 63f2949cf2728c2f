package sim

import "github.com/quorate/quorate/bft/epoch"

// heal ends all faults. Half of the worlds then first have to show that a quorum goes on by itself: see coreAlone.
func (w *World) heal() {
	if w.healed {
		return
	}
	w.healed = true
	w.tell(nil, "all faults end")
	w.network.mend()
	for _, n := range w.nodes {
		n.doom, n.slowBy, n.full = atOnce, 0, false
		n.disk.Fill(-1)
		n.disk.FailSync(nil)
	}
	if w.plan.core && w.lost == nil {
		w.coreAlone()
		return
	}
	w.healAll()
}

// coreAlone has all but a quorum of members stay away: dead, or cut off. Those that are left are correct and connected,
// so something new must be committed within healTime, whoever has led before. (Lamport's claim of liveness is of this kind: not
// that a network works when everything does, but that it does when enough does.)
func (w *World) coreAlone() {
	core := make([]bool, len(w.nodes)+1)
	for left := w.needed(); left > 0; {
		if n := w.anyNode(); !core[n.id] && !n.forgot && !n.lies() {
			core[n.id] = true
			left--
		}
	}
	dead := w.ofFaults.permille(500)
	for _, n := range w.nodes {
		switch {
		case core[n.id]:
			if !n.up() {
				n.comeBack()
			}
		case n.up() && dead:
			n.crash()
		}
	}
	for _, from := range w.nodes {
		for _, to := range w.nodes {
			if core[from.id] != core[to.id] {
				w.network.link(from, to).cuts++
			}
		}
	}
	w.tell(nil, "a quorum is alone")
	for _, c := range w.clients {
		w.submitNew(c)
	}
	from, deadline := w.audit.last(), w.now+healTime
	var look func()
	look = func() {
		switch {
		case w.goesOn(core, from):
			w.counts.CoreWins++
			w.network.mend()
			w.healAll()
		case w.now >= deadline:
			w.broken(nil, breaks("liveness", "a quorum of correct, connected members has acknowledged nothing new after slot %d", from))
		default:
			w.after(100*milli, nil, looks, 1, look)
		}
	}
	w.after(100*milli, nil, looks, 1, look)
}

// goesOn says whether a core's members all know of something new that survives.
func (w *World) goesOn(core []bool, from epoch.Seq) bool {
	for _, n := range w.nodes {
		if core[n.id] && (!n.up() || n.host.Replica().Acknowledged() <= from) {
			return false
		}
	}
	return true
}

// comeBack restarts a node soon, whatever restart was planned.
func (n *node) comeBack() {
	n.life++
	n.after(n.w.ofCrashes.between(0, 500*milli), restarts, 1, n.restart)
}

// healAll has every node that is down restart; clients begin nothing new but one last transaction each, or nothing at all.
// What is pending must then be answered, and all hosts come to one head, within healTime.
func (w *World) healAll() {
	if w.plan.quiet {
		w.counts.AllCrashes++
		for _, n := range w.nodes {
			if n.up() {
				n.crash()
			}
		}
	}
	w.tell(nil, "all are connected")
	for _, n := range w.nodes {
		if !n.up() {
			n.comeBack()
		}
	}
	for _, c := range w.clients {
		if !w.plan.quiet {
			w.submitNew(c)
		} else if len(c.done) > 0 {
			old := c.done[w.ofClients.IntN(len(c.done))]
			old.answered = false // its client asks again, and insists
			c.open = append(c.open, old)
			w.handTo(old, w.someNode())
		}
	}
	deadline := w.now + healTime
	if w.lost != nil {
		deadline += 3 * healTime // operators take their time
	}
	w.after(100*milli, nil, looks, 0, func() { w.look(deadline) })
}

// look sees whether the network has converged.
func (w *World) look(deadline int64) {
	why := w.unsettled()
	if why == nil {
		w.finish()
		return
	}
	if w.now >= deadline {
		w.broken(nil, why)
		return
	}
	w.after(100*milli, nil, looks, 0, func() { w.look(deadline) })
}

// unsettled says what keeps the network from having converged.
func (w *World) unsettled() error {
	for _, c := range w.clients {
		for _, t := range c.open {
			return breaks("convergence", "transaction %s is not answered after %d tries", t.id().Short(), t.tries)
		}
	}
	last := w.audit.last()
	if w.lost != nil {
		return breaks("convergence", "the network is not recovered")
	}
	for _, n := range w.nodes {
		if !n.up() {
			return breaks("convergence", "node%d is down", n.id)
		}
		if n.lies() {
			continue // it may not even ask for what it lacks
		}
		r := n.host.Replica()
		switch {
		case r.Head().Seq != last:
			return breaks("convergence", "node%d stands at slot %d, the newest is %d", n.id, r.Head().Seq, last)
		case r.Epoch().ID != w.audit.newestEpoch().ID:
			return breaks("convergence", "node%d is in epoch %d, the newest is %d", n.id, r.Epoch().Number, w.audit.newestEpoch().Number)
		case r.Observes():
			return breaks("convergence", "node%d has forgotten, and is not renewed", n.id)
		case len(n.host.Blocks().Lost()) > 0:
			return breaks("convergence", "node%d lacks the transactions of slots %v", n.id, n.host.Blocks().Lost())
		case r.Acknowledged() != last:
			return breaks("convergence", "node%d knows slot %d acknowledged, the newest is %d", n.id, r.Acknowledged(), last)
		case epoch.Seq(n.machine.Committed().Seq) != last:
			return breaks("convergence", "node%d has committed slot %d, the newest is %d", n.id, n.machine.Committed().Seq, last)
		}
	}
	return nil
}

// finish cuts the power a last time, takes all that it can, and looks whether every promise is still kept.
func (w *World) finish() {
	w.over = true
	for _, n := range w.nodes {
		n.disk.Crash(lose)
		n.life++
		n.host = nil
		w.broken(n, n.auditMemory())
		if w.violation != nil {
			return
		}
		n.boot()
		if w.violation != nil {
			return
		}
		if !n.lies() { // it may not have asked for what it lacked
			w.broken(n, w.audit.final(n.id, n.host.Blocks()))
		}
	}
	w.trace.fact(w.audit.newest())
}
