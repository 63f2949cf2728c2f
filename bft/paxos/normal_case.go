package paxos

// Phase 2 (Paxos Made Simple, §2.2): the leader asks for a batch at a slot, whoever has promised nothing higher accepts it, and when a
// majority has, it is chosen, whatever comes after.
//
// Every handler guards, records, advances. Nothing here waits for the log: the contract of bft.Effects holds back whatever is sent until
// the facts it rests on are durable. The leader accepts its own proposal as anybody else does, before it says a word of it.

import (
	"errors"
	"fmt"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/crypto"
)

var (
	errNotLeader   = errors.New("by one who does not lead this view")
	errNotLeading  = errors.New("this replica does not lead this view")
	errDecided     = errors.New("slot is decided")
	errNotProposed = errors.New("acceptance of what was not proposed")
)

// Propose asks for a batch at the next slot.
func (in *Instance) Propose(b *message.Batch) bool {
	if !in.leads || !in.In(in.next) {
		return false
	}
	in.ask(in.Slot(in.next), message.Vote{View: in.view, Seq: in.next, Digest: b.Digest()}, b)
	return true
}

// ask has the leader accept a batch, and then ask the others to.
func (in *Instance) ask(s *slot, v message.Vote, b *message.Batch) {
	in.accept(s, v, b)
	in.send(in.others(), s.wish())
}

// wish is the leader's Accept. What the promises have settled it only names: most have it.
func (s *slot) wish() *message.PaxosAccept {
	if s.settled {
		return &message.PaxosAccept{PrePrepare: message.PrePrepare{Vote: s.accepted.Vote}}
	}
	return message.NewPaxosAccept(s.accepted.Vote, s.batch)
}

// accept binds this replica to a batch at a slot: from here on every promise shows it, or a later one.
func (in *Instance) accept(s *slot, v message.Vote, b *message.Batch) {
	s.accepted, s.batch, s.Phase, s.acceptedAt = &ordering.Accepted{Vote: v}, b, message.Accepted, in.ticks
	in.next = max(in.next, v.Seq+1)
	in.out.Persist = append(in.out.Persist, &ordering.Bodies{Batch: b}, s.accepted)
	in.send([]epoch.ReplicaID{in.Leader()}, &message.PaxosAccepted{Vote: v})
}

// onAccept takes the leader at its word. Its batch is accepted when its transactions are at hand: see Accept.
func (in *Instance) onAccept(m *message.Signed, a *message.PaxosAccept) error {
	s, err := in.openSlot(a.Vote)
	if err != nil {
		return err
	}
	if v, ok := s.proposed(); ok && v.Digest != a.Digest {
		in.conflict(s.proposal, m)
		return ordering.ErrEquivocation
	}
	if s.accepted != nil && s.batch != nil {
		in.send([]epoch.ReplicaID{in.Leader()}, &message.PaxosAccepted{Vote: s.accepted.Vote}) // it asks again: it has not heard
		return ordering.ErrAgain
	}
	if s.proposal != nil {
		return ordering.ErrAgain
	}
	s.proposal = m
	in.await(a.Vote, a.Batch, a.Outline)
	return nil
}

// Accept says that the batch of a proposal is in hand.
func (in *Instance) Accept(seq epoch.Seq, b *message.Batch) {
	s := in.At(seq)
	if s == nil || s.batch != nil || s.Phase == message.Decided {
		return
	}
	v, ok := s.proposed()
	if !ok && in.leads {
		v, ok = in.settled.vote(in.view, seq)
	}
	switch {
	case !ok || v.Digest != b.Digest():
	case s.accepted == nil && in.leads:
		in.ask(s, v, b)
	case s.accepted == nil:
		in.accept(s, v, b)
	default: // it had accepted it, and lost its transactions to a damaged log
		s.batch = b
		in.out.Persist = append(in.out.Persist, &ordering.Bodies{Batch: b})
	}
}

// onAccepted counts who has accepted what this replica has asked for.
func (in *Instance) onAccepted(m *message.Signed, v message.Vote) error {
	if !in.leads {
		return errNotLeading
	}
	s, err := in.openSlot(v)
	if err != nil {
		return err
	}
	if s.accepted == nil || s.accepted.Digest != v.Digest {
		return errNotProposed
	}
	if err := s.votes.Add(in.epoch.N(), v.Digest, m); err != nil {
		in.conflict(s.votes.Of(m.Author), m)
		return err
	}
	if s.batch == nil || s.votes.Count(v.Digest) < in.epoch.Quorum() {
		return nil
	}
	in.decide(s, v, s.batch, s.votes.For(v.Digest, in.epoch.Quorum()), true)
	in.send(in.others(), &message.PaxosLearn{Vote: v, Accepted: s.proof})
	return nil
}

// decide is that a majority has accepted a batch at a slot.
func (in *Instance) decide(s *slot, v message.Vote, b *message.Batch, proof []*message.Signed, logged bool) {
	s.Phase, s.voted, s.decided, s.proof = message.Decided, s.accepted != nil, v, proof
	in.next = max(in.next, v.Seq+1)
	in.out.Decided = append(in.out.Decided, ordering.Decision{View: v.View, Seq: v.Seq, Batch: b, Logged: logged, Certificate: proof})
}

// overhear keeps what was said of a decided slot beside what its author has said before.
func (in *Instance) overhear(m *message.Signed) {
	switch b := m.Body.(type) {
	case *message.PaxosAccept:
		if s := in.At(b.Seq); s != nil && b.View == in.view {
			in.conflict(s.proposal, m)
		}
	case *message.PaxosAccepted:
		if s := in.At(b.Seq); s != nil && b.View == in.view && s.votes.Add(in.epoch.N(), b.Digest, m) != nil {
			in.conflict(s.votes.Of(m.Author), m)
		}
	}
}

// conflict holds two words of a member against it, if they are evidence; before is nil if only one of them is at hand.
func (in *Instance) conflict(before, m *message.Signed) {
	if before == nil {
		return
	}
	if e, err := message.NewEvidence(before, m); err == nil {
		in.out.Evidence = append(in.out.Evidence, e)
	}
}

// openSlot is the slot that a vote of this view belongs to.
func (in *Instance) openSlot(v message.Vote) (*slot, error) {
	switch {
	case v.View != in.view:
		return nil, fmt.Errorf("for view %d, in view %d", v.View, in.view)
	case !in.In(v.Seq):
		return nil, fmt.Errorf("slot %d is outside the window (%d, %d]", v.Seq, in.Stable, in.Stable+in.Size())
	case v.Seq <= in.delivered:
		return nil, errDecided
	}
	s := in.Slot(v.Seq)
	if s.Phase == message.Decided {
		return nil, errDecided
	}
	return s, nil
}

// await asks for the batch of a vote to be brought by Accept.
func (in *Instance) await(v message.Vote, b *message.Batch, o *message.Outline) {
	switch {
	case b != nil:
	case v.Digest == nullDigest():
		b = message.NullBatch()
	default:
		b = in.known[v.Digest]
	}
	in.out.Proposed = append(in.out.Proposed, ordering.Proposal{Vote: v, Batch: b, Outline: o})
}

// batch is one of this digest that is at hand.
func (in *Instance) batch(seq epoch.Seq, d crypto.Digest) *message.Batch {
	if d == nullDigest() {
		return message.NullBatch()
	}
	if s := in.At(seq); s != nil {
		if b := s.has(d); b != nil {
			return b
		}
	}
	return in.known[d]
}
