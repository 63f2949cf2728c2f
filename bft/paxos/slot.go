package paxos

import (
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/crypto"
)

// slot is one sequence number, an instance of Paxos, in one view. Its phase only ever rises: Empty, Accepted, Decided. What it says to
// others rests on accepted, which is in the log before anything is sent.
type slot struct {
	ordering.Slot

	acceptedAt int  // tick of the instance
	voted      bool // decided by votes: not by a block, which may come long after while this replica catches up
	settled    bool // by the promises: the leader has asked for its batch

	proposal *message.Signed // the leader's Accept; nil at the leader itself
	accepted *ordering.Accepted
	batch    *message.Batch // what was accepted; nil as well if a damaged log has lost it
	votes    ordering.Tally // at the leader: who has accepted its batch

	decided message.Vote      // once it is decided by votes, and by whose
	proof   []*message.Signed // a majority's Accepted
}

// proposed is what the leader has proposed in this view, accepted or not.
func (s *slot) proposed() (message.Vote, bool) {
	switch {
	case s.accepted != nil:
		return s.accepted.Vote, true
	case s.proposal != nil:
		return s.proposal.Body.(*message.PaxosAccept).Vote, true
	default:
		return message.Vote{}, false
	}
}

// has is the batch of this digest, if it is the one accepted here.
func (s *slot) has(d crypto.Digest) *message.Batch {
	if s.batch != nil && s.accepted.Digest == d {
		return s.batch
	}
	return nil
}
