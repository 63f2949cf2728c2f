package scenario

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A report is a folder that can be moved, sent and looked at without anything else: a page, the raw data, the logs.

// The files of a report.
const (
	reportPage  = "report.html"
	historyFile = "history.jsonl"
	pictureFile = "linearizability.html"
	runFile     = "run.json"
	logFolder   = "logs"
)

// File is something that goes with a report, such as a node's log.
type File struct {
	Name string // as it is called there: a plain name, or a path below it
	Path string // where it is now
}

// WriteReport writes a run's report into a folder, which it makes. Files are copied below logs/.
func (r *Run) WriteReport(dir string, extra []File) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	p := page{Run: r, Counts: r.Counts(), Rate: thousands(int(networkRate(r, max(r.Took, time.Second))))}
	for _, f := range extra {
		if err := f.copyTo(filepath.Join(dir, logFolder)); err != nil {
			return err
		}
		p.Files = append(p.Files, logFolder+"/"+filepath.ToSlash(f.Name))
	}
	violation, picture, err := Linearizable(r.History)
	p.Chart = timeline(r, picture.unexplained)
	switch {
	case picture.Empty():
		// The page of an older report in the same folder would be a lie.
		if err := os.Remove(filepath.Join(dir, pictureFile)); err != nil && !os.IsNotExist(err) {
			return err
		}
	case err != nil:
		p.Order = err.Error()
	case violation != nil:
		p.Order, p.Unexplained = violation.Text, true
	default:
		p.Order = "an order of the calls explains all answers"
	}
	if !picture.Empty() {
		if err := writeFile(dir, pictureFile, func(w io.Writer) error { return picture.WriteHTML(w, r.Faults) }); err != nil {
			return err
		}
		p.Picture = pictureFile
	}
	if err := writeFile(dir, historyFile, r.WriteHistory); err != nil {
		return err
	}
	if err := writeFile(dir, runFile, r.WriteJSON); err != nil {
		return err
	}
	return writeFile(dir, reportPage, p.write)
}

func (f File) copyTo(dir string) error {
	if !filepath.IsLocal(f.Name) {
		return fmt.Errorf("report: %q is no name for a file", f.Name)
	}
	from, err := os.Open(f.Path)
	if err != nil {
		return err
	}
	defer from.Close()
	to := filepath.Join(dir, f.Name)
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return writeFile(dir, f.Name, func(w io.Writer) error {
		_, err := io.Copy(w, from)
		return err
	})
}

func writeFile(dir, name string, write func(io.Writer) error) error {
	f, err := os.Create(filepath.Join(dir, name))
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		f.Close()
		return fmt.Errorf("%s: %w", name, err)
	}
	return f.Close()
}

// page is what the template is given.
type page struct {
	*Run
	Counts      Counts
	Chart       *chart
	Rate        string // slots per second of a full lane
	Picture     string // the file; empty: nothing was called
	Order       string // what the search for an order of the calls came to
	Unexplained bool   // it found that there is none
	Files       []string
}

//go:embed report.html.tmpl
var reportTemplate string

func (p page) write(w io.Writer) error {
	functions := template.FuncMap{"seconds": seconds, "count": count, "thousands": thousands, "struck": struck, "why": Fault.why,
		"hits": func(f Fault) string { return thousands(int(f.Hits)) }}
	t, err := template.New(reportPage).Funcs(functions).Parse(reportTemplate)
	if err != nil {
		return err
	}
	return t.Execute(w, p)
}

// Class is the verdict as a class of the style sheet.
func (p page) Class() string { return strings.ReplaceAll(string(p.Verdict), " ", "-") }

// Again is the command that repeats the run.
func (p page) Again() string {
	return fmt.Sprintf("quorate faults run %s --on %s --seed %d", p.Script, p.World, p.Seed)
}

// Finding is the violation where the verdict's reason does not say it.
func (p page) Finding() string {
	if p.Violation == nil || strings.Contains(p.Why, p.Violation.Text) {
		return ""
	}
	if p.Violation.Node != 0 {
		return fmt.Sprintf("node %d: %s", p.Violation.Node, p.Violation)
	}
	return p.Violation.Error()
}

// Latency is what answers took.
func (p page) Latency() string {
	var took []time.Duration
	for i := range p.History {
		if a := &p.History[i].Answer; a.answered() {
			took = append(took, a.Return-a.Call)
		}
	}
	if len(took) == 0 {
		return "no answers"
	}
	slices.Sort(took)
	at := func(percent int) string { return strings.ReplaceAll(milliseconds(share(took, percent)), " ", "\u00a0") }
	return fmt.Sprintf("%s for half, %s for 99\u00a0%%, %s at most", at(50), at(99), at(100))
}

// Dots says that each answer is drawn.
func (p page) Dots() bool { return p.Counts.OK+p.Counts.Failed <= maxDots }

// struck names the nodes that a fault was on.
func struck(f Fault) string {
	if len(f.Nodes) == 0 {
		return "all"
	}
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(f.Nodes), " ", ", "), "[]")
}
