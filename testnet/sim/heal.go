package sim

import "github.com/quorate/quorate/bft/epoch"

// heal ends all faults: every node that is down restarts, the network is perfect, clients begin nothing new but one
// last transaction each, or nothing at all. What is pending must then be answered, and all hosts come to one head,
// within healTime.
func (w *World) heal() {
	if w.healed {
		return
	}
	if w.plan.quiet {
		w.counts.AllCrashes++
		for _, n := range w.nodes {
			if n.up() {
				n.crash()
			}
		}
	}
	w.healed = true
	w.tell(nil, "all faults end")
	w.network.weather, w.network.isolated = fair, nil
	for _, n := range w.nodes {
		n.doom = atOnce
		if !n.up() {
			n.life++ // whatever restart was planned
			n.after(w.ofCrashes.between(0, 500*milli), restarts, 1, n.restart)
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
	for _, n := range w.nodes {
		if !n.up() {
			return breaks("convergence", "node%d is down", n.id)
		}
		r := n.host.Replica()
		switch {
		case r.Head().Seq != last:
			return breaks("convergence", "node%d stands at slot %d, the newest is %d", n.id, r.Head().Seq, last)
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
		w.broken(n, w.audit.final(n.member(), n.host.Blocks()))
	}
	w.trace.fact(w.audit.newest())
}
