package paxos

import (
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
)

// A slot is so many ticks old before anything of it is sent again to a peer: younger votes are still on their way. Then
// the pauses double, up to a bound.
const (
	helpAge   = 10
	helpPause = 50
)

// Progress says how far the slots above the last delivered one are.
func (in *Instance) Progress() []message.Phase {
	n := min(in.highest-in.delivered, message.MaxProgress)
	if in.highest <= in.delivered || n == 0 {
		return nil
	}
	progress := make([]message.Phase, n)
	for i := range progress {
		if s := in.at(in.delivered + 1 + epoch.Seq(i)); s != nil {
			progress[i] = s.phase
		}
	}
	return progress
}

// help sends a peer again what it lacks of slots that this replica has not delivered; of others it gets blocks, when it asks.
func (in *Instance) help(peer epoch.ReplicaID, s *message.Status) {
	if s.Delivered >= in.highest {
		return // a claim, and perhaps the largest number there is
	}
	for seq := max(in.delivered, s.Delivered) + 1; seq <= in.highest; seq++ {
		at := in.at(seq)
		if at == nil || at.phase == message.Empty {
			continue
		}
		theirs := message.Empty
		if i := seq - s.Delivered - 1; i < epoch.Seq(len(s.Progress)) {
			theirs = s.Progress[i]
		}
		if b := in.lacks(at, peer, s.View, theirs); b != nil && at.mayHelp(peer, in.epoch.N()) {
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
	case view != in.view || s.batch == nil || s.accepted == nil || s.phase == message.Decided:
	case in.leads && theirs == message.Empty:
		return s.wish()
	case peer == in.Leader():
		return &message.PaxosAccepted{Vote: s.accepted.Vote}
	}
	return nil
}

// mayHelp says whether it is time to send a peer again what it lacks of the slot, and counts it as done.
func (s *slot) mayHelp(peer epoch.ReplicaID, members int) bool {
	if s.helpAt == nil {
		s.helpAt = make([]int, members)
	}
	at := &s.helpAt[peer-1]
	if s.age < max(*at, helpAge) {
		return false
	}
	*at = s.age + min(s.age, helpPause)
	return true
}
