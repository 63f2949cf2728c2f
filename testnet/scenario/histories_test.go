package scenario

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// calls are histories by hand, one operation a line:
//
//	CLIENT CALL RETURN put KEY VALUE
//	CLIENT CALL RETURN cas KEY OLD VALUE [FOUND]    with FOUND it has failed
//	CLIENT CALL RETURN get KEY FOUND
//	CLIENT CALL RETURN local_get KEY FOUND
//
// Times are milliseconds; a RETURN of ? is an unknown outcome, of ! a refusal. An OLD or FOUND of - is nothing. A last word @7 is
// the slot.
func calls(t *testing.T, lines string) []Operation {
	t.Helper()
	var history []Operation
	for l := range strings.Lines(lines) {
		words := strings.Fields(l)
		if len(words) == 0 {
			continue
		}
		o := Operation{Number: len(history) + 1}
		if last := words[len(words)-1]; last[0] == '@' {
			seq, err := strconv.ParseUint(last[1:], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			o.Answer.Seq, words = seq, words[:len(words)-1]
		}
		ms := func(s string) time.Duration {
			n, err := strconv.Atoi(s)
			if err != nil {
				t.Fatalf("%q: %v", l, err)
			}
			return time.Duration(n) * time.Millisecond
		}
		o.Call = Call{Client: int(ms(words[0]) / time.Millisecond), Kind: Kind(words[3]), Key: words[4]}
		o.Answer.Call, o.Answer.Outcome = ms(words[1]), Done
		switch words[2] {
		case "?":
			o.Answer.Outcome = Unknown
		case "!":
			o.Answer.Outcome, o.Answer.Return = Refused, o.Answer.Call+time.Millisecond
		default:
			o.Answer.Return = ms(words[2])
		}
		found := func(s string) {
			if o.Answer.Outcome != Unknown && s != "-" {
				o.Answer.Value, o.Answer.Held = s, true
			}
		}
		switch o.Call.Kind {
		case Put:
			o.Call.Value = words[5]
		case CAS:
			o.Call.Value = words[6]
			if words[5] == "-" {
				o.Call.Absent = true
			} else {
				o.Call.Old = words[5]
			}
			if len(words) > 7 {
				o.Answer.Outcome = Failed
				found(words[7])
			}
		default:
			found(words[5])
		}
		history = append(history, o)
	}
	return history
}
