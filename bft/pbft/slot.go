package pbft

import (
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/crypto"
)

// slot is one sequence number on its way through the three phases (§4.2).
//
// Its phase only ever rises: Empty, Accepted, Prepared, Decided. What it says to others rests on accepted and
// prepared, which are in the log before anything is sent. Between proposal and accepted, transactions may be missing.
type slot struct {
	ordering.Slot

	acceptedAt int  // tick of the instance
	voted      bool // decided by votes: not by a block, which may come long after while this replica catches up
	awaited    bool // the leader has asked for the batch that is settled here

	proposal *message.Signed // the leader's PrePrepare; at the leader itself, once it has come back signed
	batch    *message.Batch  // what was accepted; nil as well if a damaged log has lost it
	prepares ordering.Tally  // of backups; the leader's word is its proposal
	commits  ordering.Tally

	accepted *ordering.Accepted // facts in this replica's log
	prepared *ordering.Prepared
}

// digest is that of the accepted batch.
func (s *slot) digest() crypto.Digest { return s.accepted.Digest }

// proposed is what the leader has proposed in this view, accepted or not.
func (s *slot) proposed() (message.Vote, bool) {
	switch {
	case s.accepted != nil:
		return s.accepted.Vote, true
	case s.proposal != nil:
		return s.proposal.Body.(*message.PrePrepare).Vote, true
	default:
		return message.Vote{}, false
	}
}

// vote is what this replica says about the slot.
func (s *slot) vote() message.Vote { return s.accepted.Vote }
