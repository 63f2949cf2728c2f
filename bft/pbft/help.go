package pbft

import (
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
)

// A slot is so many ticks old before anything of it is sent again to a peer: younger votes are still on their way. Then
// the pauses double, up to a bound: what a busy network is slow to deliver does not get through sooner in more copies.
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

// help sends a peer in this view again what it lacks. Of slots that this replica has delivered it gets blocks instead, when it
// asks: see bft/catchup.go.
func (in *Instance) help(peer epoch.ReplicaID, delivered epoch.Seq, progress []message.Phase) {
	if delivered >= in.highest {
		return // a claim, and perhaps the largest number there is
	}
	for seq := max(in.delivered, delivered) + 1; seq <= in.highest; seq++ {
		s := in.at(seq)
		if s == nil || s.phase == message.Empty {
			continue
		}
		theirs := message.Empty
		if i := seq - delivered - 1; i < epoch.Seq(len(progress)) {
			theirs = progress[i]
		}
		if lacks := in.lacks(s, theirs); len(lacks) > 0 && s.mayHelp(peer, in.epoch.N()) {
			for _, m := range lacks {
				in.sendAgain(peer, m)
			}
		}
	}
}

// lacks is what this replica has said about a slot and a peer at that phase may lack.
func (in *Instance) lacks(s *slot, theirs message.Phase) []*message.Signed {
	var said []*message.Signed
	add := func(m *message.Signed) {
		if m != nil {
			said = append(said, m)
		}
	}
	if theirs == message.Empty && in.Leader() == in.self {
		add(s.proposal)
	}
	if theirs < message.Prepared {
		add(s.prepares.Of(in.self))
	}
	if theirs < message.Decided {
		add(s.commits.Of(in.self))
	}
	return said
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
