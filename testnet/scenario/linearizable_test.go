package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestLinearizable(t *testing.T) {
	for _, c := range []struct {
		name, history string
		unexplained   string // part of the text; empty: linearizable
	}{
		{"nothing was called", ``, ""},
		{"a key that nobody wrote holds nothing", `1 0 10 get x -`, ""},
		{"a get finds what was put", `
			1 0 10 put x a
			2 20 30 get x a`, ""},
		{"keys are apart", `
			1 0 10 put x a
			1 20 30 get y -`, ""},
		{"a get beside a put finds either", `
			1 0 10 put x a
			1 20 90 put x b
			2 30 40 get x b
			3 50 60 get x b`, ""},
		{"a value does not go back once it was seen", `
			1 0 10 put x a
			1 20 90 put x b
			2 30 40 get x b
			3 50 60 get x a`, `call 4 of client 3, get "x": found "a"`},
		{"a stale read", `
			1 0 10 put x a
			1 20 30 put x b
			2 40 50 get x a`, `call 3 of client 2, get "x": found "a"`},
		{"a get that touches a put in one instant may miss it", `
			1 0 10 put x a
			2 10 20 get x -`, ""},
		{"a lost write", `
			1 0 10 put x a
			2 20 30 get x -`, `get "x": found nothing`},
		{"a value from nowhere", `
			1 0 10 put x a
			2 20 30 get x b`, `found "b"`},
		{"a cas that finds its old value", `
			1 0 10 put x a
			1 20 30 cas x a b
			2 40 50 get x b`, ""},
		{"a cas that succeeds twice", `
			1 0 10 put x a
			1 20 90 cas x a b
			2 20 80 cas x a c`, `cas "x": "a" to`},
		{"two that both created", `
			1 0 50 cas x - a
			2 0 50 cas x - b`, `cas "x": nothing to`},
		{"a cas that fails says what it found", `
			1 0 10 put x a
			1 20 30 cas x b c a
			2 40 50 get x a`, ""},
		{"a cas that fails although its old value is there", `
			1 0 10 put x a
			1 20 30 cas x a c a`, "failed"},
		{"a cas that fails for what is not there", `
			1 0 10 put x a
			1 20 30 cas x b c d`, `failed: found "d"`},
		{"a cas that should create finds something", `
			1 0 10 put x a
			1 20 30 cas x - b a`, ""},
		{"what failed has no effect", `
			1 0 10 put x a
			1 20 30 cas x b c a
			2 40 50 get x c`, `found "c"`},
		{"an unknown put shows up later", `
			1 0 10 put x a
			1 20 ? put x b
			2 30 40 get x a
			2 900 910 get x b`, ""},
		{"an unknown put never shows up", `
			1 0 10 put x a
			1 20 ? put x b
			2 30 40 get x a
			2 900 910 get x a`, ""},
		{"an unknown put does not show up before it was called", `
			1 0 10 put x a
			2 30 40 get x b
			1 50 ? put x b`, `call 2 of client 2`},
		{"an unknown put does not come and go", `
			1 0 10 put x a
			1 20 ? put x b
			2 30 40 get x b
			2 50 60 get x a`, `call 4 of client 2`},
		{"two unknown puts come in any order", `
			1 0 ? put x a
			2 0 ? put x b
			3 30 40 get x b
			3 50 60 get x a`, ""},
		{"two unknown puts come once each", `
			1 0 ? put x a
			2 0 ? put x b
			3 30 40 get x b
			3 50 60 get x a
			3 70 80 get x b`, `call 5 of client 3`},
		{"one unknown cas builds upon another", `
			1 0 ? put x a
			2 0 ? cas x a b
			3 900 910 get x b`, ""},
		{"an unknown cas does not apply to another value", `
			1 0 10 put x c
			2 20 ? cas x a b
			3 900 910 get x b`, `found "b"`},
		{"a cas builds upon an unknown cas", `
			1 0 ? cas x - a
			2 0 ? cas x a b
			3 20 30 cas x b c
			3 40 50 get x c`, ""},
		{"what was refused never happened", `
			1 0 10 put x a
			1 20 ! put x b
			2 30 40 get x b`, `found "b"`},
		{"a get without an answer says nothing, nor does a local one", `
			1 0 10 put x a
			2 20 ? get x -
			3 30 40 local_get x z`, ""},
		{"only one of many keys is wrong", `
			1 0 10 put x a
			1 20 30 put y b
			2 40 50 get x a
			2 60 70 get y c
			2 80 90 get z -`, `get "y": found "c"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, picture, err := Linearizable(calls(t, c.history))
			if err != nil {
				t.Fatal(err)
			}
			if (v != nil) != (c.unexplained != "") || v != nil && !strings.Contains(v.Text, c.unexplained) {
				t.Fatalf("%v, but unexplained should be %q", v, c.unexplained)
			}
			if picture.Empty() != (c.history == "") {
				t.Errorf("empty is %v", picture.Empty())
			}
		})
	}
}

// The first answer that nothing explains is named, not the last.
func TestAViolationNamesTheFirstUnexplainedAnswer(t *testing.T) {
	history := atRandom(rand.New(rand.NewPCG(1, 1)), 500, 1, 0)
	at := slices.IndexFunc(history, func(o Operation) bool {
		return o.Number > 200 && o.Call.Kind == Get && o.Answer.Outcome == Done
	})
	history[at].Answer.Value, history[at].Answer.Held = "from nowhere", true
	v, _, err := Linearizable(history)
	if want := fmt.Sprintf("call %d of", at+1); err != nil || v == nil || !strings.Contains(v.Text, want) {
		t.Fatalf("%v, %v, without %q", v, err, want)
	}
}

// Whoever runs out of time says so, and does not say that all is well.
func TestWhatIsNotDecidedIsNoPass(t *testing.T) {
	var history []Operation
	for i := range 40 {
		// All overlap and all are seen; the last get finds a value whose put it precedes.
		history = append(history, Operation{Call: Call{Client: i, Kind: Put, Key: "x", Value: fmt.Sprint(i)}, Answer: Answer{Return: time.Hour, Outcome: Done}})
		history = append(history, Operation{Call: Call{Client: 100 + i, Kind: Get, Key: "x"}, Answer: Answer{Return: time.Hour, Outcome: Done, Value: fmt.Sprint(i), Held: true}})
	}
	history = append(history, Operation{Call: Call{Client: 99, Kind: Get, Key: "x"}, Answer: Answer{Return: time.Hour, Outcome: Done, Value: "none has it", Held: true}})
	for i := range history {
		history[i].Number = i + 1
	}
	v, _, err := linearizableWithin(history, 50*time.Millisecond)
	if v != nil || !errors.Is(err, ErrUndecided) {
		t.Fatalf("%v, %v", v, err)
	}
}

// atRandom is what overlapping clients see of registers that do everything at one moment, between call and return. Some calls are
// answered with an unknown outcome, of which some happen late and some never. With values, there are so many, which repeat;
// otherwise each write has one of its own, as those of a workload have.
func atRandom(random *rand.Rand, n, keys, values int) []Operation {
	type event struct {
		at time.Duration
		o  *Operation
	}
	var history []Operation
	var events []event
	free := make([]time.Duration, 5)
	value := func(i int) string {
		if values > 0 {
			i = random.IntN(values)
		}
		return fmt.Sprint(i)
	}
	for i := range n {
		client := random.IntN(len(free))
		o := Operation{Call: Call{Client: client + 1, Key: string(rune('a' + random.IntN(keys))), Value: value(i)}}
		o.Call.Kind = []Kind{Put, CAS, Get}[random.IntN(3)]
		if o.Call.Kind == CAS {
			if o.Call.Absent = random.IntN(4) == 0; !o.Call.Absent {
				o.Call.Old = value(max(0, i-random.IntN(8)))
			}
		}
		if o.Call.Kind == Get {
			o.Call.Value = ""
		}
		o.Answer.Call = free[client] + time.Duration(random.IntN(5))*time.Millisecond
		o.Answer.Return = o.Answer.Call + time.Duration(random.IntN(20))*time.Millisecond
		free[client] = o.Answer.Return + 1
		o.Answer.Outcome = Done
		if random.IntN(40) == 0 {
			o.Answer.Outcome = Unknown
		}
		history = append(history, o)
	}
	slices.SortStableFunc(history, func(a, b Operation) int { return int(a.Answer.Call - b.Answer.Call) })
	for i := range history {
		o := &history[i]
		o.Number = i + 1
		at := o.Answer.Call + time.Duration(random.Int64N(int64(o.Answer.Return-o.Answer.Call)+1))
		if o.Answer.Outcome == Unknown {
			if random.IntN(2) == 0 {
				continue // never
			}
			at = o.Answer.Call + time.Duration(random.IntN(200))*time.Millisecond
		}
		events = append(events, event{at, o})
	}
	slices.SortStableFunc(events, func(a, b event) int { return int(a.at - b.at) })
	state := map[string]string{}
	for i, e := range events {
		c, a := &e.o.Call, &e.o.Answer
		value, held := state[c.Key]
		if a.Outcome == Done {
			a.Seq = uint64(i + 1)
		}
		switch c.Kind {
		case Put:
			state[c.Key] = c.Value
		case CAS:
			if applies := held != c.Absent && (c.Absent || value == c.Old); applies {
				state[c.Key] = c.Value
			} else if a.Outcome == Done {
				a.Outcome, a.Value, a.Held = Failed, value, held
			}
		default:
			if a.Outcome == Done {
				a.Value, a.Held = value, held
			}
		}
	}
	return history
}

func TestWhatARegisterDoesIsLinearizable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		history := atRandom(random, rapid.IntRange(1, 400).Draw(t, "operations"), rapid.IntRange(1, 4).Draw(t, "keys"), rapid.IntRange(0, 6).Draw(t, "values"))
		if v, _, err := Linearizable(history); v != nil || err != nil {
			t.Fatalf("%v, %v", v, err)
		}
	})
}

// plainly tries all orders, with nothing left out and no library.
func plainly(history []Operation) bool {
	var left []Operation
	for _, o := range history {
		if o.Call.Kind != LocalGet && o.Answer.Outcome != Refused && (o.Call.Kind != Get || o.Answer.Outcome != Unknown) {
			left = append(left, o)
		}
	}
	type state struct {
		done uint32
		x    string
	}
	failed := map[state]bool{}
	var try func(done uint32, of map[string]register) bool
	try = func(done uint32, of map[string]register) bool {
		s := state{done, fmt.Sprint(of)}
		if failed[s] {
			return false
		}
		first := time.Duration(1 << 62) // the first return of what is not done
		complete := true
		for i := range left {
			if done>>i&1 == 0 && left[i].Answer.Outcome != Unknown {
				first, complete = min(first, left[i].Answer.Return), false
			}
		}
		if complete {
			return true
		}
		for i := range left {
			if o := &left[i]; done>>i&1 == 0 && o.Answer.Call <= first {
				before := of[o.Call.Key]
				if ok, after := before.after(o); ok {
					of[o.Call.Key] = after
					if try(done|1<<i, of) {
						return true
					}
					of[o.Call.Key] = before
				}
			}
		}
		failed[s] = true
		return false
	}
	return try(0, map[string]register{"a": {}, "b": {}, "c": {}, "d": {}, "x": {}})
}

// A changed answer is found whenever trying all orders finds it, and most are.
func TestAChangedAnswerIsFound(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	changed, found := 0, 0
	for range 400 {
		history := atRandom(random, 24, 2, 6)
		at := random.IntN(len(history))
		a := &history[at].Answer
		if !a.Held {
			continue
		}
		a.Value = fmt.Sprint(random.IntN(6))
		changed++
		v, _, err := Linearizable(history)
		if err != nil {
			t.Fatal(err)
		}
		if (v == nil) != plainly(history) {
			t.Fatalf("%v, but all orders say %v: %v", v, plainly(history), history)
		}
		if v != nil {
			found++
		}
	}
	if found < changed/3 {
		t.Errorf("of %d changed answers %d were found", changed, found)
	}
}

func TestThePictureShowsWhatMattersAndEscapesIt(t *testing.T) {
	history := calls(t, `
		1 0 10 put x <script>alert(1)</script>
		1 20 30 put y b
		2 40 50 get x <script>alert(1)</script>
		2 60 ? put x c
		3 70 80 get x c
		3 90 95 get x <script>alert(1)</script>`)
	v, picture, _ := Linearizable(history)
	if v == nil {
		t.Fatal("no violation")
	}
	var page bytes.Buffer
	err := picture.WriteHTML(&page, []Fault{{Kind: "crash", What: "crash(<b>2</b>)", Line: 4, From: 20 * time.Millisecond, To: 20 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	s := page.String()
	if strings.Contains(s, "<script>alert") || strings.Contains(s, "<b>2") {
		t.Error("values are taken as HTML")
	}
	// The tooltip takes states as HTML even out of JSON.
	if !strings.Contains(s, `"StateDescription":"\u0026#34;\u0026lt;script\u0026gt;`) {
		t.Error("states are not escaped twice")
	}
	if !strings.Contains(s, "crash(") {
		t.Error("the fault is not there")
	}
	if strings.Contains(s, `put \"y\"`) {
		t.Error("another key is there")
	}
}

// Of a long history the end is drawn, and still shows the verdict.
func TestAPictureOfManyCallsIsCut(t *testing.T) {
	history := atRandom(rand.New(rand.NewPCG(3, 3)), 12_000, 3, 0)
	for _, spoil := range []bool{false, true} {
		if spoil {
			at := len(history) - 100 + slices.IndexFunc(history[len(history)-100:], func(o Operation) bool { return o.Call.Kind == Get && o.Answer.Held })
			history[at].Answer.Value = "from nowhere"
		}
		v, picture, err := Linearizable(history)
		if (v != nil) != spoil || err != nil {
			t.Fatalf("%v, %v", v, err)
		}
		var page bytes.Buffer
		if err := picture.WriteHTML(&page, nil); err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(page.String(), `"OriginalStart"`); n > drawn+10 || n < drawn/2 {
			t.Errorf("%d operations", n)
		}
		if has := strings.Contains(page.String(), "from nowhere"); has != spoil {
			t.Errorf("the unexplained answer is there: %v", has)
		}
	}
}

func BenchmarkLinearizable(b *testing.B) {
	history := atRandom(rand.New(rand.NewPCG(3, 3)), 50_000, 10, 0)
	for b.Loop() {
		if v, _, err := Linearizable(history); v != nil || err != nil {
			b.Fatal(v, err)
		}
	}
}
