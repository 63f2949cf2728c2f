package ordering

import (
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/internal/invariant"
)

// Window is what is known of the slots (Stable, Stable+L], each of type S, which has a Slot inside.
type Window[S any, P slotted[S]] struct {
	Stable  epoch.Seq // slots up to here are done with
	Highest epoch.Seq // the highest slot that anything is known of
	slots   []P       // by sequence number modulo L; nil: nothing known
}

// Slot is what slots have in common, whatever orders them.
type Slot struct {
	Phase message.Phase // it only ever rises

	seq    epoch.Seq
	age    int   // ticks since something was first heard of it
	helpAt []int // by member: the age from which it may be sent again what it lacks; nil: nobody was yet
}

type slotted[S any] interface {
	*S
	common() *Slot
}

func (s *Slot) common() *Slot { return s }

// NewWindow is one of size slots, of which nothing is known up to highest.
func NewWindow[S any, P slotted[S]](size uint32, stable, highest epoch.Seq) Window[S, P] {
	return Window[S, P]{Stable: stable, Highest: highest, slots: make([]P, size)}
}

// Size is L.
func (w *Window[S, P]) Size() epoch.Seq { return epoch.Seq(len(w.slots)) }

// In says whether a slot lies within the window.
func (w *Window[S, P]) In(seq epoch.Seq) bool { return seq > w.Stable && seq-w.Stable <= w.Size() }

// At is the slot of seq, if anything is known of it.
func (w *Window[S, P]) At(seq epoch.Seq) P {
	if !w.In(seq) {
		return nil
	}
	return w.slots[seq%w.Size()]
}

// Slot is the slot of seq, which lies within the window.
func (w *Window[S, P]) Slot(seq epoch.Seq) P {
	invariant.Holds(w.In(seq), "slot within the window")
	at := &w.slots[seq%w.Size()]
	if *at == nil {
		*at = new(S)
		(*at).common().seq = seq
		w.Highest = max(w.Highest, seq)
	}
	invariant.Holds((*at).common().seq == seq, "one slot at each place of the window")
	return *at
}

// Trim is that nobody needs to hear of seq or anything before it again.
func (w *Window[S, P]) Trim(seq epoch.Seq) {
	for s := w.Stable + 1; s <= min(seq, w.Stable+w.Size()); s++ {
		w.slots[s%w.Size()] = nil
	}
	w.Stable, w.Highest = max(w.Stable, seq), max(w.Highest, seq)
}

// Age is that a tick has passed for the slots above one.
func (w *Window[S, P]) Age(above epoch.Seq) {
	for seq := above + 1; seq <= w.Highest; seq++ {
		if s := w.At(seq); s != nil {
			s.common().age++
		}
	}
}

// Progress says how far the slots above one are, in order, as a Status tells it.
func (w *Window[S, P]) Progress(above epoch.Seq) []message.Phase {
	if w.Highest <= above {
		return nil
	}
	progress := make([]message.Phase, min(w.Highest-above, message.MaxProgress))
	for i := range progress {
		if s := w.At(above + 1 + epoch.Seq(i)); s != nil {
			progress[i] = s.common().Phase
		}
	}
	return progress
}

// A slot is so many ticks old before anything of it is sent again to a peer: younger votes are still on their way. Then
// the pauses double, up to a bound: what a busy network is slow to deliver does not get through sooner in more copies.
const (
	helpAge   = 10
	helpPause = 50
)

// MayHelp says whether it is time to send a peer again what it lacks of the slot, and counts it as done.
func (s *Slot) MayHelp(peer epoch.ReplicaID, members int) bool {
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
