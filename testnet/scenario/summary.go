package scenario

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Counts is a run in numbers.
type Counts struct {
	Calls       int `json:"calls"`
	OK          int `json:"ok"`
	Failed      int `json:"failed"`
	Refused     int `json:"refused"`
	Unknown     int `json:"unknown"`
	Slots       int `json:"slots"`        // the highest that any node was seen to have executed
	ViewChanges int `json:"view_changes"` // by how much the highest view has risen, over all epochs
	Epochs      int `json:"epochs"`       // that the network was seen in
	Faults      int `json:"faults"`
	Missed      int `json:"faults_that_did_not_come_about"`
	Expected    int `json:"expectations"`
	Broken      int `json:"failed_expectations"`
}

// Counts counts.
func (r *Run) Counts() Counts {
	c := Counts{Calls: len(r.History), Faults: len(r.Faults), Expected: len(r.Expectations)}
	for i := range r.History {
		switch r.History[i].Answer.Outcome {
		case Done:
			c.OK++
		case Failed:
			c.Failed++
		case Refused:
			c.Refused++
		default:
			c.Unknown++
		}
	}
	for _, f := range r.Faults {
		if f.missed() {
			c.Missed++
		}
	}
	for _, e := range r.Expectations {
		if !e.Holds {
			c.Broken++
		}
	}
	var top Look
	for _, s := range r.Samples {
		for _, l := range s.Nodes {
			c.Slots = max(c.Slots, int(l.Seq))
			if l.Role == "" || cmp.Or(cmp.Compare(l.Epoch, top.Epoch), cmp.Compare(l.View, top.View)) < 0 {
				continue
			}
			switch {
			case top.Role == "":
				c.Epochs = 1
			case l.Epoch > top.Epoch:
				c.Epochs++
				c.ViewChanges += int(l.View)
			default:
				c.ViewChanges += int(l.View - top.View)
			}
			top = l
		}
	}
	return c
}

// missed says that the fault did not come about.
func (f Fault) missed() bool { return f.Hits == 0 || f.Why != "" }

// why says why it was missed.
func (f Fault) why() string {
	switch {
	case f.Why != "":
		return f.Why
	case f.Hits == 0:
		return "nothing came of it"
	}
	return ""
}

// Summary writes what one wants to know on a terminal: the verdict and what speaks against the run.
func (r *Run) Summary(w io.Writer) error {
	var b bytes.Buffer
	c := r.Counts()
	fmt.Fprintf(&b, "%s: %s on %s, seed %d", r.Verdict, r.Script, r.World, r.Seed)
	if r.Why != "" {
		fmt.Fprintf(&b, ": %s", r.Why)
	}
	fmt.Fprintf(&b, "\n%s, %s, %s in %s, %s\n", seconds(r.Took), count(r.Nodes, "node"), count(c.ViewChanges, "view change"),
		count(c.Epochs, "epoch"), count(c.Slots, "slot"))
	fmt.Fprintf(&b, "%s: %s ok, %s failed, %s refused, %s unknown\n", count(c.Calls, "call"),
		thousands(c.OK), thousands(c.Failed), thousands(c.Refused), thousands(c.Unknown))
	fmt.Fprintf(&b, "%s, %s\n", count(c.Faults, "fault"), count(c.Expected, "expectation"))
	if r.Digest != "" {
		fmt.Fprintf(&b, "digest %s\n", r.Digest)
	}
	if c.Missed > 0 {
		b.WriteString("faults that did not come about:\n")
	}
	for _, f := range r.Faults {
		if f.missed() {
			fmt.Fprintf(&b, "  %s:%d: %s: %s\n", r.Script, f.Line, f.What, f.why())
		}
	}
	if c.Broken > 0 {
		b.WriteString("expectations that do not hold:\n")
	}
	for _, e := range r.Expectations {
		if !e.Holds {
			fmt.Fprintf(&b, "  %s:%d: %s: %s\n", r.Script, e.Line, e.What, e.Why)
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// The run as JSON. What may need 64 bits is a string, times are nanoseconds.
type (
	runJSON struct {
		Script       string            `json:"script"`
		World        string            `json:"world"`
		Seed         uint64            `json:"seed,string"`
		Nodes        int               `json:"nodes"`
		Took         time.Duration     `json:"took,string"`
		Digest       string            `json:"digest,omitempty"`
		Verdict      Verdict           `json:"verdict"`
		Why          string            `json:"why,omitempty"`
		Violation    *violationJSON    `json:"violation,omitempty"`
		Counts       Counts            `json:"counts"`
		Faults       []faultJSON       `json:"faults"`
		Expectations []expectationJSON `json:"expectations"`
	}
	violationJSON struct {
		Check Check  `json:"check"`
		Node  int    `json:"node,omitempty"`
		Text  string `json:"text"`
	}
	faultJSON struct {
		Line  int           `json:"line"`
		Kind  string        `json:"kind"`
		What  string        `json:"what"`
		Nodes []int         `json:"nodes,omitempty"`
		From  time.Duration `json:"from,string"`
		To    time.Duration `json:"to,string"`
		Hits  uint64        `json:"hits,string"`
		Why   string        `json:"why,omitempty"`
	}
	expectationJSON struct {
		Line  int           `json:"line"`
		What  string        `json:"what"`
		From  time.Duration `json:"from,string"`
		To    time.Duration `json:"to,string"`
		Holds bool          `json:"holds"`
		Why   string        `json:"why,omitempty"`
	}
)

// WriteJSON writes the run without its samples and its history.
func (r *Run) WriteJSON(w io.Writer) error {
	v := runJSON{
		Script: r.Script, World: r.World, Seed: r.Seed, Nodes: r.Nodes, Took: r.Took, Digest: r.Digest, Verdict: r.Verdict, Why: r.Why,
		Violation: (*violationJSON)(r.Violation), Counts: r.Counts(), Faults: []faultJSON{}, Expectations: []expectationJSON{},
	}
	for _, f := range r.Faults {
		v.Faults = append(v.Faults, faultJSON(f))
	}
	for _, e := range r.Expectations {
		v.Expectations = append(v.Expectations, expectationJSON(e))
	}
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	out.SetIndent("", "  ")
	return out.Encode(v)
}

// seconds writes a time as people say it, to the millisecond.
func seconds(d time.Duration) string {
	return strconv.FormatFloat(float64(d.Round(time.Millisecond).Milliseconds())/1000, 'f', -1, 64) + " s"
}

// milliseconds writes a latency with two or three digits.
func milliseconds(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms >= 1000:
		return seconds(d.Round(100 * time.Millisecond))
	case ms >= 10 || ms == math.Trunc(ms):
		return strconv.FormatFloat(ms, 'f', 0, 64) + " ms"
	}
	return strconv.FormatFloat(ms, 'f', 1, 64) + " ms"
}

// count is a number of things.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return thousands(n) + " " + thing
}

// thousands writes a number in groups of three digits.
func thousands(n int) string {
	s := strconv.Itoa(n)
	if n < 0 {
		return s
	}
	var groups []string
	for ; len(s) > 3; s = s[:len(s)-3] {
		groups = append(groups, s[len(s)-3:])
	}
	groups = append(groups, s)
	slices.Reverse(groups)
	return strings.Join(groups, ",")
}
