package scenario

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

// Whatever was called can be judged again from the file.
func TestAHistoryComesBackAsItWasWritten(t *testing.T) {
	history := atRandom(rand.New(rand.NewPCG(2, 2)), 300, 3, 6)
	history = append(history, calls(t, `
		1 0 10 put x <&>
		1 20 ! put x b
		1 20 ? cas x - b
		1 20 30 cas x - b c @18446744073709551615
		2 40 50 local_get x -`)...)
	history[0].Call.Key, history[0].Answer.ID = "not \xff UTF-8", "ab12"
	for i := range history {
		history[i].Number = i + 1
		if history[i].Answer.Outcome == Unknown {
			history[i].Answer.Return = history[i].Answer.Call // the one thing that is not kept
		}
	}
	var file bytes.Buffer
	if err := (&Run{History: history}).WriteHistory(&file); err != nil {
		t.Fatal(err)
	}
	first, _, _ := strings.Cut(file.String(), "\n")
	if !strings.Contains(first, `"key":{"hex":"6e6f7420ff205554462d38"}`) {
		t.Errorf("%s", first)
	}
	again, err := ReadHistory(&file)
	if err != nil {
		t.Fatal(err)
	}
	for i := range history {
		if !reflect.DeepEqual(history[i], again[i]) {
			t.Fatalf("%+v\nhas become %+v", history[i], again[i])
		}
	}
}

func TestAHistoryIsWrittenPlainly(t *testing.T) {
	var file bytes.Buffer
	r := Run{History: calls(t, `
		1 5 10 put x a @7
		2 6 ? cas x - b
		2 11 12 cas x a b c
		3 13 14 get x -`)}
	if err := r.WriteHistory(&file); err != nil {
		t.Fatal(err)
	}
	want := `{"number":1,"client":1,"kind":"put","key":"x","value":"a","call":"5000000","return":"10000000","outcome":"ok","seq":"7"}
{"number":2,"client":2,"kind":"cas","key":"x","value":"b","absent":true,"call":"6000000","outcome":"unknown"}
{"number":3,"client":2,"kind":"cas","key":"x","value":"b","old":"a","call":"11000000","return":"12000000","outcome":"failed","found":"c","held":true}
{"number":4,"client":3,"kind":"get","key":"x","call":"13000000","return":"14000000","outcome":"ok"}
`
	if file.String() != want {
		t.Errorf("%s", file.String())
	}
}

func TestASpoiltHistoryIsRefusedWithItsLine(t *testing.T) {
	const good = `{"number":1,"client":1,"kind":"put","key":"x","value":"a","call":"5","return":"10","outcome":"ok"}` + "\n"
	for name, second := range map[string]string{
		"no JSON":                        `hello`,
		"an empty line":                  "\n",
		"half a line":                    `{"number":2,"client":1,"ki`,
		"two values":                     `{"number":2,"client":1,"kind":"get","key":"x","call":"5","return":"10","outcome":"ok"} {}`,
		"a field too many":               `{"number":2,"client":1,"kind":"get","key":"x","call":"5","return":"10","outcome":"ok","colour":"red"}`,
		"a line is missing":              `{"number":3,"client":1,"kind":"get","key":"x","call":"5","return":"10","outcome":"ok"}`,
		"an unknown kind":                `{"number":2,"client":1,"kind":"delete","key":"x","call":"5","return":"10","outcome":"ok"}`,
		"an unknown outcome":             `{"number":2,"client":1,"kind":"get","key":"x","call":"5","return":"10","outcome":"OK"}`,
		"a time that is a number":        `{"number":2,"client":1,"kind":"get","key":"x","call":5,"return":"10","outcome":"ok"}`,
		"a return before the call":       `{"number":2,"client":1,"kind":"get","key":"x","call":"5","return":"4","outcome":"ok"}`,
		"no return":                      `{"number":2,"client":1,"kind":"get","key":"x","call":"5","outcome":"ok"}`,
		"a return of an unknown outcome": `{"number":2,"client":1,"kind":"get","key":"x","call":"5","return":"7","outcome":"unknown"}`,
		"a put of nothing":               `{"number":2,"client":1,"kind":"put","key":"x","call":"5","return":"10","outcome":"ok"}`,
		"a put that failed":              `{"number":2,"client":1,"kind":"put","key":"x","value":"a","call":"5","return":"10","outcome":"failed"}`,
		"a get with a value":             `{"number":2,"client":1,"kind":"get","key":"x","value":"a","call":"5","return":"10","outcome":"ok"}`,
		"a cas that expects what":        `{"number":2,"client":1,"kind":"cas","key":"x","value":"a","call":"5","return":"10","outcome":"ok"}`,
		"found, and not held":            `{"number":2,"client":1,"kind":"get","key":"x","found":"a","call":"5","return":"10","outcome":"ok"}`,
		"a value of another shape":       `{"number":2,"client":1,"kind":"put","key":"x","value":{"base64":"aa"},"call":"5","return":"10","outcome":"ok"}`,
	} {
		if _, err := ReadHistory(strings.NewReader(good + second)); err == nil || !strings.Contains(err.Error(), "line 2: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if history, err := ReadHistory(strings.NewReader(strings.TrimSpace(good))); err != nil || len(history) != 1 {
		t.Errorf("without a last newline: %v", err)
	}
}
