package node

import (
	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// epochs are those that a node has been in, as of one moment.
type epochs struct {
	past    []bft.Past // from the first one on
	current *epoch.Epoch
	next    *epoch.Epoch // announced, and not begun yet; or nil
}

func epochsOf(r *bft.Replica) epochs { return epochs{r.History(), r.Epoch(), r.Next()} }

// numbered is the epoch before which so many others came, and the proof that it followed them; the first one needs none.
func (e *epochs) numbered(number uint64) (*epoch.Epoch, *proof.HandOver, bool) {
	var proven *proof.HandOver
	if number > 0 && number <= uint64(len(e.past)) {
		proven = e.past[number-1].HandOver
	}
	switch {
	case number < uint64(len(e.past)):
		return e.past[number].Epoch, proven, true
	case number == uint64(len(e.past)):
		return e.current, proven, true
	default:
		return nil, nil, false
	}
}

// of is the epoch of this identity.
func (e *epochs) of(id crypto.Digest) (*epoch.Epoch, bool) {
	if e.current.ID == id {
		return e.current, true
	}
	for i := len(e.past) - 1; i >= 0; i-- {
		if e.past[i].Epoch.ID == id {
			return e.past[i].Epoch, true
		}
	}
	return nil, false
}

// end is the hand-over with which the epoch of a slot ended; nil if it has not.
func (e *epochs) end(seq epoch.Seq) *proof.HandOver {
	for i := range e.past {
		if h := e.past[i].HandOver; seq <= h.Header.Seq {
			return h
		}
	}
	return nil
}

// Epoch is the epoch that the node is in.
func (n *Node) Epoch() *epoch.Epoch { return n.snapshot.p.Load().epochs.current }

// Epochs are all that it has been in.
func (n *Node) Epochs() epochs { return n.snapshot.p.Load().epochs }
