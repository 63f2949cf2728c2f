package scenario

import (
	"strings"
	"testing"
)

func TestLocalReads(t *testing.T) {
	for _, c := range []struct {
		name, history string
		wrong         string // part of the text; empty: none is
	}{
		{"true at its slot, however old that is", `
			1 0 10 put x a @3
			1 20 30 put x b @5
			2 40 50 local_get x a @4
			2 60 70 local_get x b @5
			2 80 90 local_get x - @2`, ""},
		{"a value from before the last write", `
			1 0 10 put x a @3
			1 20 30 put x b @5
			2 40 50 local_get x a @5`, `call 3 of client 2 at 0.04 s, local_get "x": found "a" at slot 5 of node 0, but the last write up to there is call 2`},
		{"a value from after the slot", `
			1 0 10 put x a @3
			1 20 30 put x b @5
			2 40 50 local_get x b @4`, `call 1`},
		{"nothing, where something was", `
			1 0 10 put x a @3
			2 40 50 local_get x - @9`, "found nothing"},
		{"something, where nothing was", `2 40 50 local_get x a @9`, "nothing was written"},
		{"a cas writes, and one that failed does not", `
			1 0 10 cas x - a @3
			1 20 30 cas x b c a @5
			2 40 50 local_get x c @6`, `call 1`},
		{"of two writes in one slot either may be the last", `
			1 0 10 put x a @3
			3 0 10 put x b @3
			2 40 50 local_get x a @4
			2 60 70 local_get x b @4`, ""},
		{"an unknown write may be in any slot, or none", `
			1 0 10 put x a @3
			3 20 ? put x b
			2 40 50 local_get x a @4
			2 60 70 local_get x b @4`, ""},
		{"but not before it was called", `
			1 0 10 put x a @3
			2 40 50 local_get x b @4
			3 60 ? put x b`, `found "b"`},
		{"an unknown write takes nothing away", `
			1 0 10 put x a @3
			3 20 ? put x b
			2 40 50 local_get x - @4`, "found nothing"},
		{"a write without a slot may be in any", `
			1 0 10 put x a
			2 40 50 local_get x a @4
			2 60 70 local_get x - @4`, ""},
		{"a refused write is in none", `
			1 0 ! put x a
			2 40 50 local_get x a @4`, `found "a"`},
		{"other keys do not matter", `
			1 0 10 put y a @3
			2 40 50 local_get x - @4`, ""},
		{"a get that names no slot claims nothing, nor does one without an answer", `
			1 0 10 put x a @3
			2 40 50 local_get x -
			2 60 ? local_get x - @5`, ""},
		{"a linearizable get is not for this check", `
			1 0 10 put x a @3
			2 40 50 get x - @5`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := LocalReads(calls(t, c.history))
			if (v != nil) != (c.wrong != "") || v != nil && !strings.Contains(v.Text, c.wrong) {
				t.Fatalf("%v, but wrong should be %q", v, c.wrong)
			}
		})
	}
}
