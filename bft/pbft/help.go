package pbft

import (
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
)

// Progress says how far the slots above the last delivered one are.
func (in *Instance) Progress() []message.Phase { return in.Window.Progress(in.delivered) }

// help sends a peer in this view again what it lacks. Of slots that this replica has delivered it gets blocks instead, when it
// asks: see bft/catchup.go.
func (in *Instance) help(peer epoch.ReplicaID, delivered epoch.Seq, progress []message.Phase) {
	if delivered >= in.Highest {
		return // a claim, and perhaps the largest number there is
	}
	for seq := max(in.delivered, delivered) + 1; seq <= in.Highest; seq++ {
		s := in.At(seq)
		if s == nil || s.Phase == message.Empty {
			continue
		}
		theirs := message.Empty
		if i := seq - delivered - 1; i < epoch.Seq(len(progress)) {
			theirs = progress[i]
		}
		if lacks := in.lacks(s, theirs); len(lacks) > 0 && s.MayHelp(peer, in.epoch.N()) {
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
