package scenario

import (
	"fmt"
	"html"
	"io"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// Picture shows the operations of a history and the order that was found, or how far one was found and what it broke on.
type Picture struct {
	keys        []ofKey    // of a violation, the key's history until it
	unexplained *Operation // nil: no violation
}

// drawn is how many operations a picture shows at most. A browser draws some thousands.
const drawn = 2000

// Empty says that there is nothing to show.
func (p Picture) Empty() bool {
	return !slices.ContainsFunc(p.keys, func(k ofKey) bool { return len(k.operations) > 0 })
}

// WriteHTML writes a page that needs nothing else. Faults are annotations. It searches again, which takes twice as long as Linearizable may.
func (p Picture) WriteHTML(w io.Writer, faults []Fault) error {
	var operations []Operation
	left := 0
	deadline := time.Now().Add(decideWithin)
	for i, k := range p.keys {
		share := (drawn - len(operations)) / (len(p.keys) - i)
		last := k.last(max(share, 1), time.Until(deadline))
		if len(operations)+len(last.operations) > 2*drawn { // keys with one operation each
			left += len(k.operations)
			continue
		}
		left += len(k.operations) - len(last.operations)
		operations = append(operations, last.operations...)
	}
	history := timed(operations)
	rows(history)
	_, info := porcupine.CheckOperationsVerbose(registers, history, decideWithin)
	info.AddAnnotations(annotations(history, faults, left))
	return porcupine.Visualize(registers, info, w)
}

// last is what remains of a history when the first operations of the order that was found are taken away, and what they have left in
// the register is put there by nobody. It has an order if and only if that order can be completed.
func (k ofKey) last(most int, limit time.Duration) ofKey {
	if len(k.operations) <= most {
		return k
	}
	_, info := porcupine.CheckOperationsVerbose(registers, timed(k.operations), max(limit, 100*time.Millisecond))
	var order []porcupine.Operation
	for _, o := range info.PartialLinearizationsOperations()[0] {
		if len(o) > len(order) {
			order = o
		}
	}
	order = order[:max(0, len(order)-most)]
	state := register{}
	gone := map[int]bool{}
	for _, o := range order {
		_, state = state.after(o.Input.(*Operation))
		gone[o.Input.(*Operation).Number] = true
	}
	rest := ofKey{key: k.key}
	first := time.Duration(-1)
	for _, o := range k.operations {
		if !gone[o.Number] {
			rest.operations = append(rest.operations, o)
			if first < 0 || o.Answer.Call < first {
				first = o.Answer.Call
			}
		}
	}
	if state.held {
		before := Operation{Call: Call{Kind: Put, Key: k.key, Value: state.value}, Answer: Answer{Call: first - 1, Return: first - 1, Outcome: Done}}
		rest.operations = append([]Operation{before}, rest.operations...)
	}
	return rest
}

// rows gives each operation a row in which it overlaps no other. A client has one of its own; what it has called and never heard of
// again goes below.
func rows(history []porcupine.Operation) {
	slices.SortStableFunc(history, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	own := map[int]int{}
	var ends []int64
	for i := range history {
		client := history[i].Input.(*Operation).Call.Client
		if _, ok := own[client]; !ok && history[i].Input.(*Operation).Answer.Outcome != Unknown {
			own[client] = len(ends)
			ends = append(ends, -1)
		}
	}
	clients := len(ends)
	for i := range history {
		o := &history[i]
		row, ok := own[o.Input.(*Operation).Call.Client]
		if open := o.Input.(*Operation).Answer.Outcome == Unknown; open || !ok || ends[row] >= o.Call {
			row = clients
			for row < len(ends) && ends[row] >= o.Call {
				row++
			}
			if row == len(ends) {
				ends = append(ends, 0)
			}
		}
		ends[row] = o.Return
		o.ClientId = row
	}
}

// annotations are the faults of the time that is shown, and how much is not shown.
func annotations(history []porcupine.Operation, faults []Fault, left int) []porcupine.Annotation {
	from, to := int64(0), int64(1)
	for i, o := range history {
		if i == 0 {
			from = o.Call
		}
		to = max(to, o.Return)
	}
	var out []porcupine.Annotation
	if left > 0 {
		out = append(out, porcupine.Annotation{Tag: "left out", Start: from, End: from, Description: fmt.Sprintf("%d calls", left)})
	}
	ends := map[string]int64{}
	for _, f := range faults {
		start, end := max(int64(f.From), from), min(int64(f.To), to)
		if start > to || end < from {
			continue
		}
		end = max(start, end)
		// Those of one kind that overlap are in rows one below the other.
		tag := f.Kind
		for n := 2; ; n++ {
			if last, ok := ends[tag]; !ok || last < start {
				break
			}
			tag = fmt.Sprintf("%s %d", f.Kind, n)
		}
		ends[tag] = end
		details := fmt.Sprintf("line %d, from %s to %s, %d hits", f.Line, seconds(f.From), seconds(f.To), f.Hits)
		if f.Why != "" {
			details += "; did not come about: " + f.Why
		}
		out = append(out, porcupine.Annotation{
			Tag: tag, Start: start, End: end, Description: f.What, Details: details, BackgroundColor: "#fbd9b5", TextColor: "#3d1f00",
		})
	}
	return out
}

// describeState and describeClient are for porcupine's page, which takes them as HTML.

func describeState(state any) string {
	if r := state.(register); r.held {
		return html.EscapeString(short(r.value))
	}
	return "nothing"
}

func describeClient(of any) string {
	o := of.(*Operation)
	if o.Number == 0 {
		return "what was there before"
	}
	s := fmt.Sprintf("call %d of client %d at %s", o.Number, o.Call.Client, seconds(o.Answer.Call))
	if o.Answer.Seq != 0 {
		s += fmt.Sprintf(", slot %d", o.Answer.Seq)
	}
	return html.EscapeString(s)
}
