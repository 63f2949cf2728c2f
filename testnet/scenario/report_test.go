package scenario

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// element is one of the page, with the text that is directly in it.
type element struct {
	name, text string
	attributes map[string]string
	in         []*element // what it is within, outermost first
}

func (e *element) class(c string) bool {
	return slices.Contains(strings.Fields(e.attributes["class"]), c)
}

// parse reads a page as the tree that it is; one that is not well formed fails.
func parse(t *testing.T, page []byte) []*element {
	t.Helper()
	in := xml.NewDecoder(bytes.NewReader(page))
	in.Strict, in.AutoClose, in.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	var all, open []*element
	for {
		token, err := in.Token()
		if err == io.EOF {
			if len(open) > 0 {
				t.Fatalf("%+v is not closed", open[len(open)-1])
			}
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			e := &element{name: token.Name.Local, attributes: map[string]string{}, in: slices.Clone(open)}
			for _, a := range token.Attr {
				e.attributes[a.Name.Local] = a.Value
			}
			all, open = append(all, e), append(open, e)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			if len(open) > 0 {
				open[len(open)-1].text += string(token)
			}
		}
	}
}

// report writes a run's report, and reads the page.
func report(t *testing.T, r *Run) (dir string, page []byte, all []*element) {
	t.Helper()
	dir = t.TempDir()
	if err := r.WriteReport(dir, nil); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, reportPage))
	if err != nil {
		t.Fatal(err)
	}
	return dir, page, parse(t, page)
}

// plotted are the elements of the timeline, without its legend.
func plotted(all []*element) []*element {
	var out []*element
	for _, e := range all {
		if slices.ContainsFunc(e.in, func(p *element) bool { return p.class("timeline") }) {
			out = append(out, e)
		}
	}
	return out
}

func with(all []*element, name, class string) []*element {
	var out []*element
	for _, e := range all {
		if e.name == name && (class == "" || e.class(class)) {
			out = append(out, e)
		}
	}
	return out
}

func TestTheReportShowsTheRun(t *testing.T) {
	r := story()
	_, _, all := report(t, r)
	if h := with(all, "h1", ""); len(h) != 1 || h[0].text != "violated" {
		t.Errorf("the verdict: %+v", h)
	}
	plot := plotted(all)
	for class, want := range map[string]int{"node": 4, "fault": 11, "missed": 2, "broken": 1, "held": 4, "failure": 1, "down": 2, "paused": 1, "leads": 3} {
		if n := len(with(plot, "rect", class)) + len(with(plot, "path", class)) + len(with(plot, "text", class)); n != want {
			t.Errorf("%d %s instead of %d", n, class, want)
		}
	}
	var texts []string
	for _, e := range with(plot, "text", "") {
		texts = append(texts, e.text)
	}
	for _, want := range []string{"node 1", "node 4", "crash", "leader()", "[1, 2], [3, 4]", "✕ 2", "e0 v0", "v1", "v2", "e1 v0", "down", "paused", "expect_progress(within = 1)",
		"0 s", "30 s", "unknown", "refused", "latency"} {
		if !slices.Contains(texts, want) {
			t.Errorf("no %q on the timeline", want)
		}
	}
	var page strings.Builder
	for _, e := range all {
		page.WriteString(e.text + "\n")
	}
	for _, want := range []string{r.Why, r.Script, r.Digest, "did not come about: node 4 never led", "does not hold: no slot was executed from 10.5 s to 11.5 s",
		"quorate faults run leader-crash-and-partition.star --on sim --seed 7", "an order of the calls explains all answers"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("no %q on the page", want)
		}
	}
}

// Everything lies within the drawing, and no name of a fault on another or its span.
func TestTheTimelineIsTidy(t *testing.T) {
	for _, r := range []*Run{story(), long()} {
		c := timeline(r, &r.History[len(r.History)-1])
		for _, m := range c.Plot {
			if m.D == "" && (m.X < 0 || m.Y < 0 || m.X+m.W > plotWidth+0.1 || m.Y+m.H > c.Height()) || m.D == "" && m.Text == "" && (m.W <= 0 || m.H <= 0) {
				t.Errorf("%s: %+v is not within %s by %s", r.Script, m, c.PlotWidth(), c.Height())
			}
		}
	}
	r := story()
	r.Faults = nil
	for i := range 40 {
		at := time.Duration(i) * 700 * time.Millisecond
		r.Faults = append(r.Faults, Fault{i, "isolate", fmt.Sprintf("isolate(%d)", i), []int{1}, at, at + time.Duration(i%5)*time.Second, 1, ""})
	}
	c := &chart{end: r.Took}
	c.faults(r.Faults)
	type box struct{ from, to px }
	rows := map[px][]box{}
	names := 0
	for _, m := range c.Plot {
		b, y := box{m.X, m.X + m.W}, m.Y
		if m.Text != "" {
			names++
			b.to, y = m.X+px(letterWidth)*px(utf8.RuneCountInString(m.Text)), m.Y-12.5
			// A name within its own span is a part of it.
			if last := rows[y][len(rows[y])-1]; last.from <= b.from && b.to <= last.to {
				continue
			}
		}
		for _, other := range rows[y] {
			if b.from < other.to && other.from < b.to {
				t.Errorf("%+v lies on %+v", m, other)
			}
		}
		rows[y] = append(rows[y], b)
	}
	if len(rows) > maxRows || names < 30 {
		t.Errorf("%d rows, %d names", len(rows), names)
	}
}

// Whatever a script or a network says is text.
func TestTheReportEscapesWhatItShows(t *testing.T) {
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(1)>`
	r := story()
	r.Script, r.World, r.Why, r.Digest, r.Verdict = evil, evil, evil, evil, evil
	r.Violation = &Violation{Check: evil, Text: "other " + evil}
	r.Faults[0].Kind, r.Faults[0].What, r.Faults[8].Why = evil, evil, evil
	r.Expectations[1].What, r.Expectations[1].Why = evil, evil
	r.Samples[10].Nodes[0].Mode, r.Samples[10].Nodes[1].State, r.Samples[10].Nodes[2].Role = evil, evil, evil
	r.History[3].Call.Key, r.History[3].Call.Value, r.History[4].Answer.Outcome = evil, evil, evil
	log := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(log, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := r.WriteReport(dir, []File{{`javascript:alert(1)"><script>`, log}}); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(dir, reportPage))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range parse(t, page) {
		if e.name == "script" || e.name == "img" {
			t.Errorf("%+v", e)
		}
		for name, value := range e.attributes {
			if strings.HasPrefix(name, "on") || name == "href" && strings.Contains(value, ":") && !strings.HasPrefix(value, "data:,") && !strings.HasPrefix(value, "logs/") {
				t.Errorf("%s = %q", name, value)
			}
		}
	}
	if strings.Contains(string(page), "http://") || strings.Contains(string(page), "https://") || strings.Contains(string(page), "url(") {
		t.Error("it asks for something from elsewhere")
	}
}

func TestAnEmptyRunHasAReport(t *testing.T) {
	for _, r := range []*Run{
		{},
		{Nodes: 4, Verdict: NotTested, Took: time.Second},
		{Nodes: 4, Took: time.Second, Samples: []Sample{{}, {At: SampleEvery, Nodes: make([]Look, 2)}, {At: time.Hour, Nodes: make([]Look, 9)}}},
		{Nodes: 1, Faults: []Fault{{}}, Expectations: []Expectation{{}}, History: []Operation{{Answer: Answer{Outcome: Refused}}}},
	} {
		dir, _, all := report(t, r)
		if n := len(with(plotted(all), "text", "node")); n != r.Nodes {
			t.Errorf("%d lanes of %d", n, r.Nodes)
		}
		if _, err := os.Stat(filepath.Join(dir, pictureFile)); err == nil {
			t.Error("there is a picture of nothing")
		}
	}
}

func TestALargeRunHasASmallReport(t *testing.T) {
	r := long()
	if len(r.History) < 50_000 || len(r.Faults) != 500 || r.Nodes != 7 {
		t.Fatal("it is not large")
	}
	_, page, all := report(t, r)
	if n := len(with(plotted(all), "rect", "fault")); n != 500 {
		t.Errorf("%d faults", n)
	}
	if len(page) > 3<<20 {
		t.Errorf("%d bytes", len(page))
	}
	t.Logf("%d bytes", len(page))
}

func TestTheFolderOfAReport(t *testing.T) {
	r := story()
	from := filepath.Join(t.TempDir(), "stderr")
	if err := os.WriteFile(from, []byte("it went down"), 0o644); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "new", "report")
	if err := r.WriteReport(dir, []File{{"node 1/stderr.log", from}}); err != nil {
		t.Fatal(err)
	}
	if log, err := os.ReadFile(filepath.Join(dir, "logs", "node 1", "stderr.log")); err != nil || string(log) != "it went down" {
		t.Errorf("%q, %v", log, err)
	}
	page, err := os.ReadFile(filepath.Join(dir, reportPage))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range with(parse(t, page), "a", "") {
		if _, err := os.Stat(filepath.Join(dir, strings.ReplaceAll(e.attributes["href"], "%20", " "))); err != nil {
			t.Error(err)
		}
	}
	history, err := os.Open(filepath.Join(dir, historyFile))
	if err != nil {
		t.Fatal(err)
	}
	defer history.Close()
	if again, err := ReadHistory(history); err != nil || len(again) != len(r.History) {
		t.Errorf("%d calls, %v", len(again), err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, runFile))
	if err != nil {
		t.Fatal(err)
	}
	var run map[string]any
	if err := json.Unmarshal(raw, &run); err != nil {
		t.Fatal(err)
	}
	counts, _ := run["counts"].(map[string]any)
	faults, _ := run["faults"].([]any)
	if run["verdict"] != "violated" || run["seed"] != "7" || run["took"] != "30000000000" || counts["view_changes"] != 2.0 || counts["epochs"] != 2.0 || len(faults) != 11 {
		t.Errorf("%s", raw)
	}

	// The same folder again, for a run in which nothing was called.
	r.History = nil
	if err := r.WriteReport(dir, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, pictureFile)); !os.IsNotExist(err) {
		t.Errorf("the picture of another run is there: %v", err)
	}
	if err := r.WriteReport(dir, []File{{"../out", from}}); err == nil {
		t.Error("a file was written elsewhere")
	}
	if err := r.WriteReport(dir, []File{{"log", from + " is not there"}}); err == nil {
		t.Error("a log that is missing is not missed")
	}
}

// The page of a violation says so beside its picture, even if the script has not asked.
func TestTheReportNamesWhatIsNotLinearizable(t *testing.T) {
	_, page, all := report(t, &Run{Verdict: Passed, History: calls(t, `
		1 0 10 put x a
		2 20 30 get x -`)})
	if !strings.Contains(string(page), "no order of the calls explains call 2 of client 2") {
		t.Error("it does not say so")
	}
	if n := len(with(plotted(all), "path", "unexplained")); n != 1 {
		t.Errorf("%d marks on the timeline", n)
	}
}

func TestTheSummaryIsForATerminal(t *testing.T) {
	var out bytes.Buffer
	if err := story().Summary(&out); err != nil {
		t.Fatal(err)
	}
	want := `violated: leader-crash-and-partition.star on sim, seed 7: line 31: expect_progress(within = 1) does not hold: no slot was executed from 10.5 s to 11.5 s
30 s, 4 nodes, 2 view changes in 2 epochs, 2,431 slots
2,721 calls: 2,701 ok, 0 failed, 4 refused, 16 unknown
11 faults, 5 expectations
digest 5f1c8e0a9b7d4412c3e6a1f09d8b7c6e5f4a3b2c1d0e9f8a7b6c5d4e3f2a1b0c
faults that did not come about:
  leader-crash-and-partition.star:25: lose_unsynced(2): nothing was un-synced when it crashed
  leader-crash-and-partition.star:27: byzantine(4, "equivocate", every = 3): node 4 never led
expectations that do not hold:
  leader-crash-and-partition.star:31: expect_progress(within = 1): no slot was executed from 10.5 s to 11.5 s
`
	if out.String() != want {
		t.Errorf("%s", out.String())
	}
	out.Reset()
	if err := (&Run{Script: "a.star", World: "sim", Verdict: Passed, Nodes: 1}).Summary(&out); err != nil {
		t.Fatal(err)
	}
	if want := "passed: a.star on sim, seed 0\n0 s, 1 node, 0 view changes in 0 epochs, 0 slots\n0 calls: 0 ok, 0 failed, 0 refused, 0 unknown\n0 faults, 0 expectations\n"; out.String() != want {
		t.Errorf("%s", out.String())
	}
}

func TestSecondsAreWrittenToTheMillisecond(t *testing.T) {
	for d, want := range map[time.Duration]string{
		15_351 * time.Millisecond: "15.351 s", 0: "0 s", 1_999_700 * time.Microsecond: "2 s", time.Hour: "3600 s", 350_400 * time.Microsecond: "0.35 s",
	} {
		if got := seconds(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}
