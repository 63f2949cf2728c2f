package scenario

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/anishathalye/porcupine"
)

// A history is linearizable if each operation can be given one moment between its call and its return so that one register for
// each key, doing them in the order of those moments, answers as the network has answered.
//
// What an operation of unknown outcome means is what the search lives or dies by. It may take effect at any time after its call,
// or never: it returns at the end of time, and one that never happened is one that comes last.

// Linearizability is the name of this check in a Violation.
const Linearizability Check = "linearizability"

// ErrUndecided says that neither an order of the calls was found nor that there is none. The problem is NP-complete.
var ErrUndecided = errors.New("whether the calls are linearizable could not be decided in time")

// decideWithin bounds the search. What is decidable at all is decided in a small part of it.
const decideWithin = 10 * time.Second

// Linearizable looks for an order of the operations that explains all answers. The error is ErrUndecided, and then nothing is known.
//
// Local gets are not among the operations, see LocalReads. Nor is what was refused, which never happened, or a get without an answer.
func Linearizable(history []Operation) (*Violation, Picture, error) {
	return linearizableWithin(history, decideWithin)
}

func linearizableWithin(history []Operation, limit time.Duration) (*Violation, Picture, error) {
	keys := byKey(history)
	picture := Picture{keys: keys}
	var undecided error
	// The small ones first: time that they do not need is left to the others.
	deadline := time.Now().Add(limit)
	for i, k := range slices.SortedStableFunc(slices.Values(keys), func(a, b ofKey) int { return cmp.Compare(len(a.operations), len(b.operations)) }) {
		switch k.search(time.Until(deadline) / time.Duration(len(keys)-i)) {
		case porcupine.Unknown:
			undecided = ErrUndecided
		case porcupine.Illegal:
			first := k.firstUnexplained(limit)
			picture = Picture{[]ofKey{first}, first.unexplained()}
			return violation(picture.unexplained), picture, nil
		}
	}
	return nil, picture, undecided
}

// ofKey is all that matters of one key's history.
type ofKey struct {
	key        string
	operations []Operation
}

// byKey parts a history by key, sorted.
func byKey(history []Operation) []ofKey {
	parts := map[string][]Operation{}
	for _, o := range history {
		if o.Call.Kind == LocalGet || o.Answer.Outcome == Refused || o.Call.Kind == Get && o.Answer.Outcome == Unknown {
			continue
		}
		parts[o.Call.Key] = append(parts[o.Call.Key], o)
	}
	var keys []ofKey
	for _, key := range slices.Sorted(maps.Keys(parts)) {
		keys = append(keys, ofKey{key, withoutUnseen(parts[key])})
	}
	return keys
}

// withoutUnseen leaves out the writes of unknown outcome whose value nobody has seen or built upon. It changes nothing: in an order
// without such a write it can be put last; and in an order with it nothing but a put can follow that has an effect, and that puts
// the same value without it. For the search it is the difference between milliseconds and for ever.
func withoutUnseen(operations []Operation) []Operation {
	for {
		seen := map[string]bool{}
		for _, o := range operations {
			if o.Answer.Held {
				seen[o.Answer.Value] = true
			}
			if o.Call.Kind == CAS && !o.Call.Absent && o.Answer.Outcome != Failed {
				seen[o.Call.Old] = true
			}
		}
		var left []Operation
		for _, o := range operations {
			if o.Answer.Outcome != Unknown || seen[o.Call.Value] {
				left = append(left, o)
			}
		}
		if len(left) == len(operations) {
			return left
		}
		operations = left // who built upon these may now be unseen too
	}
}

// search looks for an order.
func (k ofKey) search(limit time.Duration) porcupine.CheckResult {
	// Zero would be no limit.
	return porcupine.CheckOperationsTimeout(registers, timed(k.operations), max(limit, time.Millisecond))
}

// firstUnexplained is the shortest beginning of a history that has no order which has none either: a beginning of a linearizable history is
// linearizable. Where that cannot be decided in time, it is a longer one.
func (k ofKey) firstUnexplained(limit time.Duration) ofKey {
	var ends []time.Duration
	for _, o := range k.operations {
		if o.Answer.Outcome != Unknown {
			ends = append(ends, o.Answer.Return)
		}
	}
	slices.Sort(ends)
	shortest := k
	deadline := time.Now().Add(limit)
	for from, to := 0, len(ends)-1; from <= to; {
		middle := (from + to) / 2
		beginning := k.until(ends[middle])
		if beginning.search(time.Until(deadline)/8) == porcupine.Illegal {
			shortest, to = beginning, middle-1
		} else {
			from = middle + 1
		}
	}
	return shortest
}

// until is the history as it was known at a moment. What had not returned by then was unknown.
func (k ofKey) until(moment time.Duration) ofKey {
	var known []Operation
	for _, o := range k.operations {
		if o.Answer.Call > moment {
			continue
		}
		if o.Answer.Return > moment && o.Answer.Outcome != Unknown {
			if o.Call.Kind == Get {
				continue
			}
			o.Answer = Answer{Call: o.Answer.Call, Outcome: Unknown}
		}
		known = append(known, o)
	}
	return ofKey{k.key, withoutUnseen(known)}
}

// unexplained is the answer that came last, which nothing explains. Of several that came at once it is not a put's: that is the same
// whatever was there.
func (k ofKey) unexplained() *Operation {
	var last *Operation
	for i := range k.operations {
		o := &k.operations[i]
		if o.Answer.Outcome == Unknown {
			continue
		}
		if last == nil || o.Answer.Return > last.Answer.Return || o.Answer.Return == last.Answer.Return && o.Call.Kind != Put {
			last = o
		}
	}
	return last
}

func violation(o *Operation) *Violation {
	return &Violation{
		Check: Linearizability,
		Text: fmt.Sprintf("no order of the calls explains call %d of client %d, %s, between %s and %s",
			o.Number, o.Call.Client, describe(o), seconds(o.Answer.Call), seconds(o.Answer.Return)),
	}
}

// registers does one operation after the other, on one key.
var registers = porcupine.Model{
	Partition: byRegister,
	Init:      func() any { return register{} },
	Step: func(state, input, _ any) (bool, any) {
		return state.(register).after(input.(*Operation))
	},
	DescribeOperation:         func(input, _ any) string { return describe(input.(*Operation)) },
	DescribeState:             describeState,
	DescribeOperationMetadata: describeClient,
}

// register is what a key holds.
type register struct {
	held  bool
	value string
}

// after is what the register holds after an operation, and whether it would have answered so.
func (r register) after(o *Operation) (bool, register) {
	found := register{o.Answer.Held, o.Answer.Value}
	written := register{true, o.Call.Value}
	switch o.Call.Kind {
	case Put:
		return true, written
	case CAS:
		applies := r == register{!o.Call.Absent, o.Call.Old}
		switch o.Answer.Outcome {
		case Done:
			return applies, written
		case Failed:
			return !applies && r == found, r
		}
		if applies {
			return true, written
		}
		return true, r
	default:
		return r == found, r
	}
}

// timed is a history in porcupine's words. Operations of unknown outcome return after everything else.
func timed(operations []Operation) []porcupine.Operation {
	end := time.Duration(0)
	for _, o := range operations {
		end = max(end, o.Answer.Call+1, o.Answer.Return+1)
	}
	out := make([]porcupine.Operation, len(operations))
	for i := range operations {
		o := &operations[i]
		out[i] = porcupine.Operation{Input: o, Call: int64(o.Answer.Call), Return: int64(o.Answer.Return), Metadata: o}
		if o.Answer.Outcome == Unknown {
			out[i].Return = int64(end)
		}
	}
	return out
}

func byRegister(history []porcupine.Operation) [][]porcupine.Operation {
	at := map[string]int{}
	var parts [][]porcupine.Operation
	for _, o := range history {
		key := o.Input.(*Operation).Call.Key
		if _, ok := at[key]; !ok {
			at[key] = len(parts)
			parts = append(parts, nil)
		}
		parts[at[key]] = append(parts[at[key]], o)
	}
	return parts
}

// describe says what was asked and what came of it.
func describe(o *Operation) string {
	c, a := &o.Call, &o.Answer
	found := "nothing"
	if a.Held {
		found = short(a.Value)
	}
	var asked, came string
	switch c.Kind {
	case Put:
		asked = fmt.Sprintf("put %s = %s", short(c.Key), short(c.Value))
	case CAS:
		old := short(c.Old)
		if c.Absent {
			old = "nothing"
		}
		asked = fmt.Sprintf("cas %s: %s to %s", short(c.Key), old, short(c.Value))
	default:
		asked = fmt.Sprintf("%s %s", c.Kind, short(c.Key))
	}
	switch {
	case a.Outcome == Unknown || a.Outcome == Refused:
		came = ", " + string(a.Outcome)
	case a.Outcome == Failed:
		came = ", failed: found " + found
	case c.Kind == Get || c.Kind == LocalGet:
		came = ": found " + found
	}
	return asked + came
}

// short quotes what may be long or no text at all.
func short(s string) string {
	const most = 24
	if r := []rune(s); len(r) > most {
		s = string(r[:most-1]) + "…"
	}
	return strconv.Quote(s)
}
