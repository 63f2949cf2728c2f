package ordering

import (
	"errors"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
)

// Tally counts votes of one kind at one slot in one view. It keeps the first vote of each member, whatever it is for:
// a vote may come before its proposal, and a member that votes twice is counted once.
type Tally struct{ votes []ballot }

type ballot struct {
	digest crypto.Digest
	signed *message.Signed
}

var (
	// ErrAgain is that a member has said this before.
	ErrAgain = errors.New("said before")
	// ErrEquivocation is that a member has said otherwise before.
	ErrEquivocation = errors.New("said otherwise before")
)

// Add takes in a vote of one of n members for digest.
func (t *Tally) Add(n int, digest crypto.Digest, m *message.Signed) error {
	if t.votes == nil {
		t.votes = make([]ballot, n)
	}
	b := &t.votes[m.Author-1]
	switch {
	case b.signed == nil:
		*b = ballot{digest, m}
		return nil
	case b.digest == digest:
		return ErrAgain
	default:
		return ErrEquivocation
	}
}

// Count is how many members have voted for digest.
func (t *Tally) Count(digest crypto.Digest) int {
	n := 0
	for i := range t.votes {
		if t.votes[i].signed != nil && t.votes[i].digest == digest {
			n++
		}
	}
	return n
}

// Of is a member's vote, or nil.
func (t *Tally) Of(id epoch.ReplicaID) *message.Signed {
	if t.votes == nil {
		return nil
	}
	return t.votes[id-1].signed
}

// For lists the first most votes for digest, in order of the members' numbers.
func (t *Tally) For(digest crypto.Digest, most int) []*message.Signed {
	votes := make([]*message.Signed, 0, most)
	for i := range t.votes {
		if len(votes) < most && t.votes[i].signed != nil && t.votes[i].digest == digest {
			votes = append(votes, t.votes[i].signed)
		}
	}
	return votes
}
