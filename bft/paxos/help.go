package paxos

import (
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
)

// Progress says how far the slots above the last delivered one are.
func (in *Instance) Progress() []message.Phase { return in.Window.Progress(in.delivered) }

// help sends a peer again what it lacks of slots that this replica has not delivered; of others it gets blocks, when it asks.
func (in *Instance) help(peer epoch.ReplicaID, s *message.Status) {
	if s.Delivered >= in.Highest {
		return // a claim, and perhaps the largest number there is
	}
	for seq := max(in.delivered, s.Delivered) + 1; seq <= in.Highest; seq++ {
		at := in.At(seq)
		if at == nil || at.Phase == message.Empty {
			continue
		}
		theirs := message.Empty
		if i := seq - s.Delivered - 1; i < epoch.Seq(len(s.Progress)) {
			theirs = s.Progress[i]
		}
		if b := in.lacks(at, peer, s.View, theirs); b != nil && at.MayHelp(peer, in.epoch.N()) {
			in.send([]epoch.ReplicaID{peer}, b)
		}
	}
}

// lacks is what a peer at that view and phase may lack of a slot: the proof that it is decided, the leader's wish, or at the leader this
// replica's vote.
func (in *Instance) lacks(s *slot, peer epoch.ReplicaID, view epoch.View, theirs message.Phase) message.Body {
	switch {
	case theirs == message.Decided:
	case s.proof != nil:
		return &message.PaxosLearn{Vote: s.decided, Accepted: s.proof}
	case view != in.view || s.batch == nil || s.accepted == nil || s.Phase == message.Decided:
	case in.leads && theirs == message.Empty:
		return s.wish()
	case peer == in.Leader():
		return &message.PaxosAccepted{Vote: s.accepted.Vote}
	}
	return nil
}
