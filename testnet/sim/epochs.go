package sim

import (
	"slices"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// MixEpochs is the mix of worlds in which operators change the mode and the parameters.
const MixEpochs = "epochs"

// changeKind is what goes wrong in those worlds beside all else: somebody wants a change.
var changeKind = faultKind{"change", 160, (*World).change}

// rules are those of an epoch, as the auditor has read them from the chain.
type rules struct {
	*epoch.Epoch
	quorum int
}

// governs is the epoch that a slot belongs to: the one that the last slot below it which announces one announces.
func (a *auditor) governs(seq epoch.Seq) *rules {
	for i := len(a.epochs) - 1; i > 0; i-- {
		if seq > a.epochs[i].Base {
			return &a.epochs[i]
		}
	}
	return &a.epochs[0]
}

// newestEpoch is the one that was announced last.
func (a *auditor) newestEpoch() *rules { return &a.epochs[len(a.epochs)-1] }

// epochOf is the epoch of this identity, or nil.
func (a *auditor) epochOf(id crypto.Digest) *rules {
	for i := len(a.epochs) - 1; i >= 0; i-- {
		if a.epochs[i].ID == id {
			return &a.epochs[i]
		}
	}
	for i := range a.replaced {
		if a.replaced[i].ID == id {
			return &a.replaced[i]
		}
	}
	return nil
}

// sawEpoch takes in an epoch that a host knows of: it follows the one before it by the header that announces it, and there is one of each
// number.
func (a *auditor) sawEpoch(e *epoch.Epoch) error {
	if e.Number < uint64(len(a.epochs)) {
		known := a.epochs[e.Number]
		switch {
		case known.ID == e.ID, slices.ContainsFunc(a.replaced, func(r rules) bool { return r.ID == e.ID }):
			return nil
		case a.recoveries[e.ID] == nil || e.Number <= a.begun:
			return breaks("configuration", "has %s for epoch %d, elsewhere it is %s", e.ID.Short(), e.Number, known.ID.Short())
		}
		a.replaced = append(a.replaced, a.epochs[e.Number:]...) // announced, and those who should have begun it are gone
		a.epochs = a.epochs[:e.Number]
	}
	before := a.newestEpoch()
	switch {
	case e.Number != uint64(len(a.epochs)):
		return breaks("configuration", "knows epoch %d, and nobody knows %d", e.Number, len(a.epochs))
	case e.Base < before.Base || e.Base > a.last():
		return breaks("configuration", "has epoch %d begin behind slot %d", e.Number, e.Base)
	}
	if is, err := a.forced(before, e); is {
		if err == nil {
			a.epochs = append(a.epochs, rules{e, quorumOf(e.Mode, len(e.Members))})
		}
		return err
	}
	s := &a.slots[e.Base]
	if s.header != e.ID && !s.header.IsZero() {
		return breaks("configuration", "has epoch %d be announced by header %s, slot %d has %s", e.Number, e.ID.Short(), e.Base, s.header.Short())
	}
	if s.change == nil || message.ConfigurationDigest(&s.change.Next) != message.ConfigurationDigest(&e.Configuration) {
		return breaks("configuration", "has an epoch %d that slot %d does not announce", e.Number, e.Base)
	}
	if err := a.allowed(before, s.change, e.Base); err != nil {
		return err
	}
	a.epochs = append(a.epochs, rules{e, quorumOf(e.Mode, len(e.Members))})
	return nil
}

// allowed says whether a change may have ended an epoch: an operator has signed it, or a member has renewed itself; and a
// quorum of the next epoch was ready, each under the incarnation that is listed.
func (a *auditor) allowed(before *rules, c *message.Change, at epoch.Seq) error {
	if c.Of != before.ID || c.Last < at {
		return breaks("configuration", "slot %d: a change of another epoch, or one that is too late", at)
	}
	differ := 0
	for i := range c.Next.Members {
		if c.Next.Members[i].Incarnation != before.Members[i].Incarnation {
			differ++
		}
	}
	if len(c.Authority) == 0 && (differ != 1 || c.Next.Mode != before.Mode || c.Next.Parameters != before.Parameters) {
		return breaks("configuration", "slot %d: a change that nobody has signed", at)
	}
	if len(c.Authority) > 0 && !a.changes[c.ID()] {
		return breaks("configuration", "slot %d: a change that no operator has asked for", at)
	}
	ready := make(map[epoch.ReplicaID]bool)
	for _, m := range c.Readiness {
		b := m.Body.(*message.Ready)
		if b.Change != c.ID() || b.Incarnation != c.Next.Members[m.Author-1].Incarnation || b.Seq >= at ||
			!a.scheme.Verify(crypto.Claim{Key: a.keys[m.Author-1], Message: m.Bytes, Signature: m.Signature}) {
			return breaks("configuration", "slot %d: readiness of node%d that is none", at, m.Author)
		}
		ready[m.Author] = true
	}
	if want := quorumOf(c.Next.Mode, len(c.Next.Members)); len(ready) < want {
		return breaks("configuration", "slot %d: %d members are ready for the next epoch, want %d", at, len(ready), want)
	}
	return nil
}

// entered takes in that a host takes part in an epoch, and by which hand-over.
func (a *auditor) entered(e *epoch.Epoch, h *proof.HandOver) error {
	if err := a.sawEpoch(e); err != nil || h == nil {
		return err
	}
	a.begun = max(a.begun, e.Number)
	before, after := &a.epochs[e.Number-1], &a.epochs[e.Number]
	for _, side := range []struct {
		*rules
		votes []*message.Signed
	}{{before, h.Outgoing}, {after, h.Incoming}} {
		if side.rules == before && a.recoveries[e.ID] != nil {
			continue // operators stand in the place of the quorum that is lost
		}
		if err := a.votes("hand-over", e.Base, side.rules, side.quorum, side.votes, func(body message.Body) bool {
			v, ok := body.(*message.Attestation)
			return ok && v.Seq == e.Base && v.Header == a.slots[e.Base].header
		}); err != nil {
			return err
		}
	}
	return nil
}

// needed is how many members it takes under any mode that a world may come to: so many are left alone by what takes members away.
func (w *World) needed() int {
	n := w.epoch.N()
	if !w.mixed {
		return quorumOf(w.epoch.Mode, n)
	}
	return max(quorumOf(epoch.Byzantine, n), quorumOf(epoch.Crash, n))
}

// change has an operator ask for something: mostly for the other mode, and at times for two things at once.
func (w *World) change() {
	c := w.ofFaults
	for range 1 + c.pick(8, 2) {
		n := w.nodes[c.IntN(len(w.nodes))]
		if !n.up() {
			continue
		}
		e := n.host.Replica().Epoch()
		next := e.Configuration
		next.Members = slices.Clone(next.Members)
		last := n.host.Replica().Head().Seq + epoch.Seq(c.between(5, 400))
		switch what := c.pick(7, 3); {
		case what == 0 && w.switches:
			next.Mode = epoch.Byzantine + epoch.Crash - next.Mode
		default:
			window := next.Parameters.NonceWindow
			next.Parameters = drawParameters(c)
			next.Parameters.NonceWindow = window
		}
		ch := &message.Change{Chain: e.Chain, Of: e.ID, Next: next, Last: last}
		ch.Approve(w.scheme, w.operator)
		w.audit.changes[ch.ID()] = true
		w.counts.Asked++
		err := n.host.Ask(ch)
		w.tell(n, "is asked for %s, window %d, until slot %d: %v", next.Mode, next.Parameters.Window, last, err)
		n.pump()
	}
}

// began takes in that a host has begun an epoch.
func (w *World) began(n *node) {
	r := n.host.Replica()
	var h *proof.HandOver
	if past := r.History(); len(past) > 0 {
		h = past[len(past)-1].HandOver
	}
	w.broken(n, w.audit.entered(r.Epoch(), h))
	if w.violation != nil {
		return
	}
	n.forgot = r.Observes()
	e := r.Epoch()
	if e.Number <= w.number {
		return
	}
	before := &w.audit.epochs[e.Number-1]
	switch {
	case h.Forced != nil:
		w.recovered()
	case e.Mode != before.Mode:
		w.counts.Switches++
	case e.Parameters != before.Parameters:
		w.counts.ParameterChanges++
	default:
		w.counts.Renewals++
	}
	w.number, w.view = e.Number, 0
}

// drawMix draws what a world of the mix is about: in most, the mode is switched, and nobody lies; in the others it stays Byzantine, and members lie.
func (w *World) drawMix(o *Options) {
	c := newChance(w.seed, ofMix)
	w.switches = c.permille(750)
	o.Mode = epoch.Byzantine
	if w.switches {
		o.Honest = true
		if c.permille(500) {
			o.Mode = epoch.Crash
		}
	}
	if o.Nodes == 0 {
		o.Nodes = MinNodes + c.IntN(MaxNodes-MinNodes+1)
	}
}
