package pbft

// The normal case (§4.2): the leader proposes a batch for a slot, the backups promise to stand by it, and when a
// quorum has, each says that it knows so. A quorum of such commits decides, whatever comes after.
//
// Every handler guards, records, advances. Nothing here waits for the log: the contract of bft.Effects holds back
// whatever is sent until the facts it rests on are durable, this replica's own votes included, which come back to it
// as messages like anyone else's.

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/crypto"
)

var (
	errNotLeader = errors.New("proposal by one who does not lead this view")
	errLeader    = errors.New("prepare by the leader, whose proposal is its word")
	errDecided   = errors.New("slot is decided")
	errSettled   = errors.New("proposal of something else than what the new view has settled")
	errUnsettled = errors.New("proposal without a batch, of a slot that the new view has not settled")
)

// Propose offers a batch for the next slot.
func (in *Instance) Propose(b *message.Batch) bool {
	if in.Leader() != in.self || in.left || !in.In(in.next) {
		return false
	}
	s := in.Slot(in.next)
	in.accept(s, &ordering.Accepted{Vote: message.Vote{View: in.view, Seq: in.next, Digest: b.Digest()}}, b)
	in.send(message.NewPrePrepare(s.vote(), b))
	return true
}

// Receive takes in a checked message.
func (in *Instance) Receive(m *message.Signed) error {
	switch b := m.Body.(type) {
	case *message.PrePrepare:
		return in.onPrePrepare(m, b)
	case *message.Prepare:
		return in.onPrepare(m, b)
	case *message.Commit:
		return in.onCommit(m, b)
	default:
		return fmt.Errorf("%s is not PBFT's", m.Body.Kind())
	}
}

// onPrePrepare takes the leader at its word. It is voted for when its transactions are at hand: see Accept.
func (in *Instance) onPrePrepare(m *message.Signed, p *message.PrePrepare) error {
	s, err := in.openSlot(p.Vote)
	if err != nil {
		return err
	}
	if m.Author != in.Leader() {
		return errNotLeader
	}
	switch d, ok := in.settled.at(p.Seq); {
	case ok && d != p.Digest, p.Seq <= in.settled.start:
		return errSettled
	case !ok && p.Batch == nil && p.Outline == nil:
		return errUnsettled
	}
	if v, ok := s.proposed(); ok && v.Digest != p.Digest {
		in.conflict(s.proposal, m)
		return ordering.ErrEquivocation
	}
	if s.proposal != nil {
		return ordering.ErrAgain
	}
	s.proposal = m
	if s.accepted == nil {
		in.await(p.Vote, p.Batch, p.Outline)
		return nil
	}
	in.advance(s)
	return nil
}

// Accept says that the batch of a proposal is in hand. A backup then stands by it; whoever had accepted it before, and lost
// its transactions to a damaged log, says again what it has said.
func (in *Instance) Accept(seq epoch.Seq, b *message.Batch) {
	s := in.At(seq)
	if s == nil || s.batch != nil || s.Phase == message.Decided || in.left {
		return
	}
	v, ok := s.proposed()
	if !ok && in.Leader() == in.self {
		v, ok = in.settledVote(seq)
	}
	if !ok || v.Digest != b.Digest() {
		return
	}
	switch {
	case s.accepted == nil && in.Leader() == in.self:
		in.accept(s, &ordering.Accepted{Vote: v}, b)
		in.send(&message.PrePrepare{Vote: v})
	case s.accepted == nil:
		in.accept(s, &ordering.Accepted{Vote: v, Proposal: s.proposal}, b)
		in.send(&message.Prepare{Vote: v})
	default:
		s.batch = b
		in.out.Persist = append(in.out.Persist, &ordering.Bodies{Batch: b})
		in.sayAgain(s)
	}
	in.advance(s)
}

// Batch is the one accepted at a slot.
func (in *Instance) Batch(seq epoch.Seq) *message.Batch {
	if s := in.At(seq); s != nil {
		return s.batch
	}
	return nil
}

// Voters are the members known to stand by a batch: its proposer, then the backups that have said Prepare.
func (in *Instance) Voters(seq epoch.Seq, digest crypto.Digest) []epoch.ReplicaID {
	s := in.At(seq)
	if s == nil {
		return nil
	}
	var voters []epoch.ReplicaID
	if v, ok := s.proposed(); ok && v.Digest == digest {
		voters = append(voters, in.epoch.Leader(v.View))
	}
	voters = append(voters, in.settled.voters(seq, digest)...)
	for _, m := range s.prepares.For(digest, in.epoch.N()) {
		if !slices.Contains(voters, m.Author) {
			voters = append(voters, m.Author)
		}
	}
	return voters
}

// onPrepare counts a backup's promise to stand by the leader's batch.
func (in *Instance) onPrepare(m *message.Signed, p *message.Prepare) error {
	s, err := in.openSlot(p.Vote)
	if err != nil {
		return err // another view, or outside the window
	}
	if m.Author == in.Leader() {
		return errLeader
	}
	if err := s.prepares.Add(in.epoch.N(), p.Digest, m); err != nil {
		in.conflict(s.prepares.Of(m.Author), m)
		return err // said before; or said otherwise before: an equivocation
	}
	if v, ok := s.proposed(); ok && v.Digest != p.Digest && s.proposal != nil && len(s.proposal.Attached) > 0 {
		// One of the two lies: it, or the leader, who then told it something else. (From the log, the leader's word comes without
		// the batch, and nobody could read it.)
		in.sendAgain(m.Author, s.proposal)
	}
	in.advance(s)
	return nil
}

// onCommit counts a replica's word that it knows of a quorum behind the batch.
func (in *Instance) onCommit(m *message.Signed, c *message.Commit) error {
	s, err := in.openSlot(c.Vote)
	if err != nil {
		return err
	}
	if err := s.commits.Add(in.epoch.N(), c.Digest, m); err != nil {
		in.conflict(s.commits.Of(m.Author), m)
		return err
	}
	in.advance(s)
	return nil
}

// Overhear keeps a vote to a decided slot as well, if it is its author's first, and looks whether it contradicts that one.
func (in *Instance) Overhear(m *message.Signed) {
	switch b := m.Body.(type) {
	case *message.PrePrepare:
		if s := in.decidedIn(b.Vote); s != nil {
			in.conflict(s.proposal, m)
		}
	case *message.Prepare:
		if s := in.decidedIn(b.Vote); s != nil && s.prepares.Add(in.epoch.N(), b.Digest, m) != nil {
			in.conflict(s.prepares.Of(m.Author), m)
		}
	case *message.Commit:
		if s := in.decidedIn(b.Vote); s != nil && s.commits.Add(in.epoch.N(), b.Digest, m) != nil {
			in.conflict(s.commits.Of(m.Author), m)
		}
	}
}

// decidedIn is the slot of a vote in this view, if anything is known of it.
func (in *Instance) decidedIn(v message.Vote) *slot {
	if v.View != in.view {
		return nil
	}
	return in.At(v.Seq)
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

// openSlot is the slot that a vote belongs to.
func (in *Instance) openSlot(v message.Vote) (*slot, error) {
	switch {
	case v.View != in.view:
		return nil, fmt.Errorf("for view %d, in view %d", v.View, in.view)
	case !in.In(v.Seq):
		return nil, fmt.Errorf("slot %d is outside the window (%d, %d]", v.Seq, in.Stable, in.Stable+in.Size())
	case v.Seq <= in.delivered:
		return nil, errDecided // perhaps by a block from elsewhere, of which no slot tells
	}
	s := in.Slot(v.Seq)
	if s.Phase == message.Decided {
		return nil, errDecided
	}
	return s, nil
}

// accept binds this replica to a batch at a slot: from here on it stands by no other in this view.
func (in *Instance) accept(s *slot, fact *ordering.Accepted, b *message.Batch) {
	s.accepted, s.batch, s.Phase, s.acceptedAt = fact, b, message.Accepted, in.ticks
	in.next = max(in.next, fact.Seq+1)
	in.out.Persist = append(in.out.Persist, &ordering.Bodies{Batch: b}, fact)
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

// advance follows the consequences until nothing changes. Without the batch there are none: nobody votes for, or decides,
// what he could not give to others.
func (in *Instance) advance(s *slot) {
	if in.prepares(s) {
		s.prepared = &ordering.Prepared{Vote: s.vote(), Prepares: in.prepareCertificate(s)}
		s.Phase = message.Prepared
		in.out.Persist = append(in.out.Persist, s.prepared)
		in.send(&message.Commit{Vote: s.vote()})
	}
	if in.decides(s) {
		s.Phase, s.voted = message.Decided, true
		in.out.Decided = append(in.out.Decided, ordering.Decision{
			View: in.view, Seq: s.accepted.Seq, Batch: s.batch, Logged: true,
			Certificate: s.commits.For(s.digest(), in.epoch.Quorum()),
		})
	}
}

// prepares says whether the slot becomes prepared now: the leader and enough backups for a quorum stand by one batch
// (§4.2). No two batches can be prepared at a slot in a view: two quorums share a correct member, who stood by one.
func (in *Instance) prepares(s *slot) bool {
	return s.Phase == message.Accepted && !in.left && s.proposal != nil && s.batch != nil &&
		1+s.prepares.Count(s.digest()) >= in.epoch.Quorum()
}

// decides says whether the slot becomes decided now. The commits of a quorum are enough, whether or not this replica
// has seen the prepares behind them: a correct member among them has, and has them in its log.
func (in *Instance) decides(s *slot) bool {
	return s.batch != nil && s.Phase != message.Decided && s.commits.Count(s.digest()) >= in.epoch.Quorum()
}

// prepareCertificate is a quorum's word for the batch, in order of the members' numbers.
func (in *Instance) prepareCertificate(s *slot) []*message.Signed {
	votes := append(s.prepares.For(s.digest(), in.epoch.Quorum()-1), s.proposal)
	slices.SortFunc(votes, func(a, b *message.Signed) int { return cmp.Compare(a.Author, b.Author) })
	return votes
}

// restoreAccepted takes up a fact from the log.
func (in *Instance) restoreAccepted(f *ordering.Accepted, b *message.Batch) {
	if f.View != in.view || !in.In(f.Seq) {
		return
	}
	s := in.Slot(f.Seq)
	s.accepted, s.batch, s.proposal = f, b, f.Proposal
	in.next = max(in.next, f.Seq+1)
	if f.Seq <= in.delivered {
		s.Phase = message.Decided
		return
	}
	s.Phase = message.Accepted
	if b == nil && !in.left {
		in.out.Proposed = append(in.out.Proposed, ordering.Proposal{Vote: f.Vote})
	}
	if b != nil && !in.left {
		in.sayAgain(s)
	}
}

// restorePrepared takes up a fact from the log; the one it rests on came before it.
func (in *Instance) restorePrepared(f *ordering.Prepared) {
	s := in.At(f.Seq)
	if s == nil || s.accepted == nil || s.vote() != f.Vote {
		return
	}
	s.prepared = f
	if s.Phase == message.Decided {
		return
	}
	s.Phase = message.Prepared
	if s.batch != nil && !in.left {
		in.send(&message.Commit{Vote: f.Vote})
	}
}

// sayAgain says what the facts of a slot oblige this replica to have said: nobody knows whether it ever left.
func (in *Instance) sayAgain(s *slot) {
	_, settled := in.settled.at(s.accepted.Seq)
	switch {
	case in.Leader() == in.self && settled:
		in.send(&message.PrePrepare{Vote: s.vote()})
	case in.Leader() == in.self:
		in.send(message.NewPrePrepare(s.vote(), s.batch))
	default:
		in.send(&message.Prepare{Vote: s.vote()})
	}
	if s.prepared != nil {
		in.send(&message.Commit{Vote: s.vote()})
	}
}
