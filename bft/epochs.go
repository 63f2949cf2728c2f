package bft

import (
	"errors"
	"slices"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/internal/invariant"
)

// How one epoch ends and the next begins: docs/protocol/epochs.md. A change is delivered, and seals the epoch: nothing above its slot is
// executed in it. Its header announces the next epoch. Each member attests that header in both, and when a quorum of
// each has, the next epoch begins.

const (
	// handOverTicks is how often a member that waits for the next epoch says again what it attests.
	handOverTicks = 5
	// maxEarly is how many messages of the next epoch are kept of one member before this replica takes part, and maxEarlyBytes what
	// may be attached to all of them.
	maxEarly      = 64
	maxEarlyBytes = 2 << 20
)

var (
	errSealed    = errors.New("beyond the slot that ends the epoch")
	errEarlyMuch = errors.New("of the next epoch, of which enough is kept")
	errPastEpoch = errors.New("of an epoch that is over")
	errServed    = errors.New("asks again too soon")
)

// sealing is how far the end of an epoch has come.
type sealing struct {
	seq    epoch.Seq            // the slot that ends it; 0: none does yet
	config *epoch.Configuration // what its change announces
	forced *message.Recovery    // nil: a change has ended it
	next   *epoch.Epoch         // known once the slot is executed

	incoming []*message.Signed // by member: its attestation of the slot in the next epoch
	shown    *proof.HandOver   // proven by others: to be compared with what this replica comes to
	saidAt   uint64            // tick
	early    []*message.Signed // of the next epoch, in the order in which they came
	of       []int             // how many of them, by member
	bytes    int               // attached to them
}

// sealedAt says whether a slot lies beyond the one that ends the epoch.
func (r *Replica) sealedAt(seq epoch.Seq) bool { return r.sealed.seq != 0 && seq > r.sealed.seq }

// Sealed says whether a slot of the epoch that is running has ended it, and the next one has not begun yet.
func (r *Replica) Sealed() bool { return r.sealed.seq != 0 }

// Next is the epoch that is about to begin, or nil.
func (r *Replica) Next() *epoch.Epoch { return r.sealed.next }

// seal is for a change that is delivered. If it is not valid at its slot, it is void and changes nothing.
func (r *Replica) seal(d *ordering.Decision) {
	config, err := proof.Next(r.epoch, d.Batch.Change, d.Seq, r.scheme)
	if err != nil {
		r.note(VoidChange{d.Seq, err})
		return
	}
	r.sealed.seq, r.sealed.config = d.Seq, config
	r.dropAbove(d.Seq)
}

// dropAbove lets go of what waits, or is decided, above the slot that ends the epoch: it is void.
func (r *Replica) dropAbove(seq epoch.Seq) {
	for _, g := range slices.Clone(r.gather.list) {
		if g.Seq > seq {
			r.forgetGathering(g)
		}
	}
	clear(r.pending)
}

// announced is for when the slot that ends the epoch is executed: h is its header.
func (r *Replica) announced(h *proof.Header) {
	r.sealed.next = proof.Announced(r.epoch, h, r.sealed.config)
	r.out.Persist = append(r.out.Persist, &ordering.Sealed{Next: r.sealed.next})
	r.prepareEntry()
}

// prepareEntry takes part in the hand-over to the next epoch.
func (r *Replica) prepareEntry() {
	s := &r.sealed
	n := s.next.N()
	s.incoming, s.of = make([]*message.Signed, n), make([]int, n)
	r.out.Enter = append(r.out.Enter, s.next)
	r.note(SealedEpoch{s.next})
}

// named says whether an epoch names the life that this replica's log was begun in.
func (r *Replica) named(e *epoch.Epoch) bool {
	return e.Member(r.self).Incarnation == r.birth.Incarnation
}

// attestNext is this replica's word in the next epoch, that it begins with the header at which this one ends.
func (r *Replica) attestNext() {
	r.sealed.saidAt = r.ticks
	if next := r.sealed.next; r.named(next) {
		r.out.Send = append(r.out.Send, message.Outgoing{Body: &message.Attestation{Seq: next.Base, Header: r.head.Digest()}, Epoch: next.ID})
	}
}

// tickSealing says again what the hand-over rests on.
func (r *Replica) tickSealing() {
	if r.sealed.next == nil || r.ticks-r.sealed.saidAt < handOverTicks {
		return
	}
	if own := r.attestationOf(r.self); own != nil {
		r.out.Send = append(r.out.Send, message.Outgoing{Again: own, To: r.peers, Epoch: r.epoch.ID})
	}
	r.attestNext()
}

// attestationOf is a member's word on the slot that ends the epoch, in this epoch, if this replica has come to the same.
func (r *Replica) attestationOf(id epoch.ReplicaID) *message.Signed {
	if v := &r.attest.voices[id-1]; v.matched != nil && v.seq == r.sealed.seq {
		return v.matched
	}
	return nil
}

// onIncoming takes in a message of the next epoch.
func (r *Replica) onIncoming(m *message.Signed) error {
	s := &r.sealed
	if a, ok := m.Body.(*message.Attestation); ok && a.Seq == s.next.Base {
		if a.Header == r.head.Digest() {
			s.incoming[m.Author-1] = m
			r.tryEntry()
		}
		return nil
	}
	if s.of[m.Author-1] >= maxEarly || s.bytes+len(m.Attached) > maxEarlyBytes {
		return errEarlyMuch
	}
	s.of[m.Author-1]++
	s.bytes += len(m.Attached)
	s.early = append(s.early, m)
	return nil
}

// tryEntry looks whether a quorum of each epoch has attested where this one ends.
func (r *Replica) tryEntry() {
	s := &r.sealed
	if s.next == nil || r.halted || r.tainted() && s.forced == nil {
		return
	}
	outgoing := r.outgoing()
	var incoming []*message.Signed
	for _, m := range s.incoming {
		if m != nil && len(incoming) < s.next.Quorum() {
			incoming = append(incoming, m)
		}
	}
	if s.forced == nil && len(outgoing) < r.epoch.Quorum() || len(incoming) < s.next.Quorum() {
		return
	}
	r.enter(&proof.HandOver{Header: r.head, Next: s.next.Configuration, Outgoing: outgoing, Incoming: incoming, Forced: s.forced})
}

// outgoing are attestations in this epoch of where it ends, a quorum of them if so many are known; none if operators stand in its place.
func (r *Replica) outgoing() (votes []*message.Signed) {
	if r.sealed.forced != nil {
		return nil
	}
	if stable := r.attest.stable; stable.Header.Seq == r.sealed.seq && len(stable.Attestations) > 0 {
		return stable.Attestations
	}
	for i := range r.attest.voices {
		if m := r.attestationOf(epoch.ReplicaID(i + 1)); m != nil && len(votes) < r.epoch.Quorum() {
			votes = append(votes, m)
		}
	}
	return votes
}

// onHandOver takes in what others have proven to follow this epoch; Check has found it to hold.
func (r *Replica) onHandOver(h *proof.HandOver) {
	if r.sealed.shown != nil {
		return
	}
	if r.sealed.forced != nil && h.Forced == nil && h.Header.Seq > r.sealed.seq {
		r.sealed = sealing{} // the epoch could help itself, and has ended in order
	}
	r.sealed.shown = h
	for i := range r.catchup.peers { // somebody has these blocks, and may be asked for them
		p := &r.catchup.peers[i]
		p.attested = max(p.attested, h.Header.Seq)
	}
	r.compareHandOver()
}

// compareHandOver holds what this replica has come to against a hand-over that others have proven. If it begins at this replica's own header, and
// nothing is delivered above that, it is what follows, whatever this replica has given its word to.
func (r *Replica) compareHandOver() {
	h := r.sealed.shown
	if h == nil || r.head.Seq < h.Header.Seq || r.halted {
		return
	}
	if r.head != h.Header {
		r.diverged(h.Header.Seq, r.head.Digest(), h.Header.Digest())
		return
	}
	if r.delivered > h.Header.Seq {
		return // it will have executed more in a moment
	}
	if s := &r.sealed; s.next == nil || s.next.ID != h.Follows(r.epoch).ID {
		r.dropAbove(h.Header.Seq)
		s.next = h.Follows(r.epoch)
		r.out.Enter = append(r.out.Enter, s.next)
	}
	r.enter(h)
}

// enter begins the next epoch: a new protocol, which owes nothing to the old one but its last header.
func (r *Replica) enter(h *proof.HandOver) {
	invariant.Holds(r.head == h.Header && len(r.executing) == 0, "an epoch begins where the one before it ends")
	old, early := r.epoch, r.sealed.early
	r.acknowledged(h.Header.Seq, h.Outgoing)
	if h.Forced != nil {
		r.forgetClaims()
	}
	r.history = append(r.history, Past{Epoch: old, HandOver: h})
	r.epoch, r.sealed = r.sealed.next, sealing{}
	r.changes, r.recovery = nil, nil
	r.attest.stable = &proof.Checkpoint{Header: r.head}
	clear(r.chain)
	for i, n := range r.evidence.of {
		r.evidence.past[i] += n
	}
	r.begin(0, ordering.Start{})
	r.enteredAt = r.ticks
	base := r.base()
	r.out.Persist = append(append(r.out.Persist, &ordering.Entered{Epoch: r.epoch, HandOver: h}, base), r.evidenceRecords()...)
	r.out.Trim = true
	r.note(EnteredEpoch{r.epoch})
	r.refit(old)
	r.movedOn(nil)
	r.catchup.toldAt = r.ticks - min(r.ticks, statusIdleTicks) // whoever is behind hears of it at once
	for _, m := range early {
		_ = r.onReceived(m) // an error says that it is of no use
	}
}

// forgetClaims is for when operators have ended an epoch: what members claimed of it is given up, perhaps.
func (r *Replica) forgetClaims() {
	for i := range r.catchup.peers {
		p := &r.catchup.peers[i]
		p.status, p.attested = message.Status{}, 0
	}
}

// refit lets go of requests that the new epoch has no room for.
func (r *Replica) refit(old *epoch.Epoch) {
	if r.epoch.Parameters == old.Parameters {
		return
	}
	r.bundle = bundle{} // leaders are told of what fits
	for _, q := range r.pool.requests() {
		if err := checkForm(q, r.epoch); err != nil {
			r.pool.executed([]*message.Request{q}, []End{NothingOver})
			r.out.Answer = append(r.out.Answer, Answer{q, err})
		}
	}
}

// tainted says whether a member is proven to lie in an epoch that does not bear it.
func (r *Replica) tainted() bool { return r.epoch.Acknowledgers() == 1 && r.evidence.current > 0 }

// Past is an epoch that is over, and the proof of what followed it.
type Past struct {
	Epoch    *epoch.Epoch
	HandOver *proof.HandOver
}

// History are the epochs that are over, from the first one on. Nobody changes it.
func (r *Replica) History() []Past { return r.history }

// past is an epoch that is over, by its identity.
func (r *Replica) past(id crypto.Digest) *Past {
	for i := len(r.history) - 1; i >= 0; i-- {
		if r.history[i].Epoch.ID == id {
			return &r.history[i]
		}
	}
	return nil
}

// onPast helps a member that has not heard that an epoch is over. Votes of it count for nothing.
func (r *Replica) onPast(p *Past, m *message.Signed) error {
	end := p.HandOver.Header.Seq
	peer := &r.catchup.peers[m.Author-1]
	say := func(b message.Body) {
		r.out.Send = append(r.out.Send, message.Outgoing{Body: b, To: []epoch.ReplicaID{m.Author}, Epoch: p.Epoch.ID})
	}
	switch b := m.Body.(type) {
	case *message.Status:
		if m.Author == r.self || peer.handedAt != 0 && r.ticks-peer.handedAt < handOverTicks {
			return errServed
		}
		peer.handedAt = r.ticks
		if b.Delivered < end {
			say(&message.Status{Installed: true, Delivered: end, Acknowledged: end})
		}
		say(&message.Have{HandOver: proof.EncodeHandOver(p.HandOver)})
		return nil
	case *message.Want:
		return r.serve(m.Author, b, p.Epoch, end)
	case *message.Have:
		return r.mendFrom(m.Author, b)
	case *message.Evidence:
		return r.onEvidence(b) // of those in it, and no more than of the running epoch
	default:
		return errPastEpoch
	}
}

// EpochAt is the epoch that a slot at or below the head belongs to.
func (r *Replica) EpochAt(seq epoch.Seq) *epoch.Epoch {
	for i := range r.history {
		if seq <= r.history[i].HandOver.Header.Seq {
			return r.history[i].Epoch
		}
	}
	return r.epoch
}
