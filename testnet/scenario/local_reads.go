package scenario

import (
	"cmp"
	"fmt"
	"slices"
)

// LocalReading is the name of this check in a Violation.
const LocalReading Check = "local_reads"

// LocalReads holds each local get to its word, that what it found is true at the slot which it names: the value of the last write
// up to there.
//
// It errs on the side of the network. Of several writes in one slot any may be the last. A write of unknown outcome that was called before
// the get returned may be in any slot, so its value is believed; so is that of a write whose slot nobody has told. It does not see how old
// a slot is, which is no promise of a local get; gets that name no slot; and whether a value that was written more than once is
// there by the right write. All writes to the keys must be in the history.
func LocalReads(history []Operation) *Violation {
	writes := map[string][]*Operation{} // with a slot, by slot
	loose := map[string][]*Operation{}  // in any slot, or none
	for i := range history {
		o := &history[i]
		if o.Call.Kind != Put && o.Call.Kind != CAS || o.Answer.Outcome == Refused || o.Answer.Outcome == Failed {
			continue
		}
		into := writes
		if o.Answer.Outcome == Unknown || o.Answer.Seq == 0 {
			into = loose
		}
		into[o.Call.Key] = append(into[o.Call.Key], o)
	}
	for _, of := range writes {
		slices.SortStableFunc(of, func(a, b *Operation) int { return cmp.Compare(a.Answer.Seq, b.Answer.Seq) })
	}
	for i := range history {
		o := &history[i]
		if o.Call.Kind != LocalGet || o.Answer.Outcome != Done || o.Answer.Seq == 0 {
			continue
		}
		last := lastSlot(writes[o.Call.Key], o.Answer.Seq)
		if !explains(last, loose[o.Call.Key], o) {
			return falseReading(o, last)
		}
	}
	return nil
}

// lastSlot are the writes of the last slot up to seq that has any.
func lastSlot(writes []*Operation, seq uint64) []*Operation {
	end, _ := slices.BinarySearchFunc(writes, seq, func(o *Operation, seq uint64) int {
		if o.Answer.Seq <= seq {
			return -1
		}
		return 1
	})
	start := end
	for start > 0 && writes[start-1].Answer.Seq == writes[end-1].Answer.Seq {
		start--
	}
	return writes[start:end]
}

func explains(last, loose []*Operation, get *Operation) bool {
	if !get.Answer.Held {
		return len(last) == 0
	}
	wrote := func(o *Operation) bool { return o.Call.Value == get.Answer.Value }
	return slices.ContainsFunc(last, wrote) ||
		slices.ContainsFunc(loose, func(o *Operation) bool { return o.Answer.Call <= get.Answer.Return && wrote(o) })
}

func falseReading(get *Operation, last []*Operation) *Violation {
	should := "nothing was written up to there"
	if len(last) > 0 {
		w := last[len(last)-1]
		should = fmt.Sprintf("the last write up to there is call %d, %s, in slot %d", w.Number, describe(w), w.Answer.Seq)
	}
	return &Violation{
		Check: LocalReading,
		Node:  get.Call.Node,
		Text: fmt.Sprintf("call %d of client %d at %s, %s at slot %d of node %d, but %s",
			get.Number, get.Call.Client, seconds(get.Answer.Call), describe(get), get.Answer.Seq, get.Call.Node, should),
	}
}
