package sim

import (
	"slices"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/store"
)

// disaster takes the disks of all members but one for good, the one whose chain is longest, so that it holds all that anybody has been told to
// survive. The network can do nothing more by itself. Operators see to it, sooner or later, that the epoch ends where the survivor stands.
func (w *World) disaster() {
	if w.lost != nil || w.healed {
		return
	}
	keep := w.nodes[0]
	for _, n := range w.nodes {
		if n.lies() || !n.up() || n.flipped {
			return
		}
		if w.audit.durable(n.id) > w.audit.durable(keep.id) {
			keep = n
		}
	}
	if keep.forgot {
		return
	}
	w.counts.Disasters++
	w.lost = keep
	w.tell(keep, "is all that is left")
	for _, n := range w.nodes {
		n.old = nil
		if n != keep {
			n.replaceDisk(store.NewMemory())
		}
	}
	w.audit.rewind(max(w.audit.durable(keep.id), w.audit.of(keep.id).ran))
	w.number = keep.host.Replica().Epoch().Number
	w.audit.begun = w.number
	w.after(w.ofFaults.about(3*second), nil, faults, 8, w.operate)
}

// operate has an operator look at who is there, and ask for a recovery when all stand where the survivor does.
func (w *World) operate() {
	if w.lost == nil || w.over {
		return
	}
	w.after(w.ofFaults.between(second, 8*second), nil, faults, 8, w.operate)
	if !w.lost.up() {
		return
	}
	r := w.lost.host.Replica()
	e, head := r.Epoch(), r.Head()
	next := e.Configuration
	next.Mode, next.Members = epoch.Byzantine, slices.Clone(next.Members)
	ready := 0
	for i, n := range w.nodes {
		next.Members[i].Incarnation = n.incarnation
		if n.up() && n.host.Replica().Head() == head {
			ready++
		}
	}
	if ready < quorumOf(epoch.Byzantine, len(w.nodes)) {
		return
	}
	c := w.asked
	if c == nil || message.ConfigurationDigest(&c.Next) != message.ConfigurationDigest(&next) { // somebody has lost its disk again
		c = &message.Recovery{Chain: e.Chain, Of: e.ID, Next: next, Number: uint64(w.now / milli), Seq: head.Seq, Header: head.Digest()}
		c.Approve(w.scheme, w.operator)
		w.asked = c
	}
	w.audit.recoveries[c.ID()] = c
	for _, n := range w.nodes {
		if n.up() && w.ofFaults.permille(600) {
			err := n.host.Recover(c)
			w.tell(n, "is asked to end epoch %d at slot %d by force: %v", e.Number, c.Seq, err)
			n.pump()
		}
	}
}

// recovered is for when a host has begun an epoch that operators forced.
func (w *World) recovered() {
	if w.lost != nil {
		w.counts.Forced++
		w.lost, w.asked = nil, nil
	}
}

// rewind forgets what is executed above a slot: it was in the memory of those whose disks are gone, and nobody was told of it.
func (a *auditor) rewind(to epoch.Seq) {
	for seq := to + 1; seq <= a.last(); seq++ {
		for i := range a.slots[seq].outcomes {
			if o := &a.slots[seq].outcomes[i]; a.executed[o.ID] == seq {
				delete(a.executed, o.ID)
				t := a.txs[o.ID]
				delete(a.nonces, nonce{t.request.Sender, t.request.Nonce})
			}
		}
	}
	a.slots = a.slots[:to+1]
	m := newModel(a.model.window, a.model.ahead)
	for seq := epoch.Seq(1); seq <= to; seq++ {
		m.execute(uint64(seq), a.slots[seq].txs)
	}
	a.model = m
	a.epochs = slices.DeleteFunc(a.epochs, func(e rules) bool { return e.Base > to })
	for i := range a.hosts {
		a.hosts[i].ran = min(a.hosts[i].ran, to)
	}
}

// forced says whether operators have asked for a recovery that begins this epoch, and it begins where the chain is the one that they name.
func (a *auditor) forced(before *rules, e *epoch.Epoch) (bool, error) {
	c := a.recoveries[e.ID]
	if c == nil {
		return false, nil
	}
	if c.Of != before.ID || c.Seq != e.Base || message.ConfigurationDigest(&c.Next) != message.ConfigurationDigest(&e.Configuration) {
		return true, breaks("configuration", "has an epoch %d that no recovery begins", e.Number)
	}
	return true, a.sameHeader(c.Seq, c.Header)
}
