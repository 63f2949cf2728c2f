package scenario

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The timeline is one drawing over one axis of time, in rows from top to bottom: what was expected, faults by kind, a lane for each
// node, and what clients saw. All geometry is decided here; the template only writes it down. Lengths are CSS pixels.

const (
	plotWidth   = 1100.0
	labelWidth  = 100.0
	letterWidth = 6.7 // of the fixed-width font in which what stands on the plot is written, at most
	laneHeight  = 58.0
	columns     = 275 // of what is counted by time, at most: one every four pixels
	maxDots     = 8000
	maxRows     = 4 // of one kind of fault
)

// px is a length as it is written.
type px float64

func (p px) String() string { return strconv.FormatFloat(math.Round(float64(p)*10)/10, 'f', -1, 64) }

// mark is a rectangle, or with D a path, or with Text a text.
type mark struct {
	Class      string
	Title      string
	X, Y, W, H px
	D, Text    string
}

// chart is the drawing as it grows downward. Labels stand to its left, and stay when it is scrolled.
type chart struct {
	end    time.Duration // at the right edge
	y      float64       // the next row begins here
	Labels []mark
	Plot   []mark
}

func (c *chart) Height() px      { return px(c.y) }
func (c *chart) PlotWidth() px   { return plotWidth }
func (c *chart) LabelsWidth() px { return labelWidth }

func (c *chart) x(t time.Duration) float64 {
	return plotWidth * float64(min(max(t, 0), c.end)) / float64(c.end)
}

func (c *chart) rect(class, title string, x, y, w, h float64) {
	c.Plot = append(c.Plot, mark{Class: class, Title: title, X: px(x), Y: px(y), W: px(w), H: px(h)})
}

func (c *chart) path(class, title, d string) {
	if d != "" {
		c.Plot = append(c.Plot, mark{Class: class, Title: title, D: d})
	}
}

func (c *chart) text(class, text string, x, y float64) {
	c.Plot = append(c.Plot, mark{Class: class, Text: text, X: px(x), Y: px(y)})
}

func (c *chart) label(class, text string, y float64) {
	x := px(labelWidth - 10)
	if class == "title" { // beside the numbers of an axis
		x = 0
	}
	c.Labels = append(c.Labels, mark{Class: class, Text: text, X: x, Y: px(y)})
}

// timeline draws a run. Of a history that is not linearizable it marks the call that nothing explains.
func timeline(r *Run, unexplained *Operation) *chart {
	c := &chart{end: max(r.Took, time.Second)}
	for _, s := range r.Samples {
		c.end = max(c.end, s.At)
	}
	c.axis()
	top := c.y
	c.expectations(r.Expectations)
	c.faults(r.Faults)
	c.lanes(r)
	c.y += 10
	c.acknowledgements(r.History)
	c.latencies(r.History)
	c.grid(top)
	c.failures(r.Expectations, top)
	c.unexplained(unexplained, top)
	c.axis()
	return c
}

// ticks are the round times of the axis.
func (c *chart) ticks() []time.Duration {
	steps := []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond, time.Second, 2 * time.Second, 5 * time.Second,
		10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute}
	step := steps[len(steps)-1]
	for _, s := range slices.Backward(steps) {
		if c.end/s <= 14 {
			step = s
		}
	}
	for c.end/step > 14 {
		step *= 2
	}
	var ticks []time.Duration
	for t := time.Duration(0); t <= c.end; t += step {
		ticks = append(ticks, t)
	}
	return ticks
}

func (c *chart) axis() {
	for _, t := range c.ticks() {
		class, x := "tick mid", c.x(t)
		if t == 0 {
			class = "tick"
		} else if x > plotWidth-20 {
			class = "tick end"
		}
		c.text(class, seconds(t), x, c.y+13)
	}
	c.y += 22
}

// grid draws a line at each tick, below all that is there so far.
func (c *chart) grid(top float64) {
	var d strings.Builder
	for _, t := range c.ticks() {
		fmt.Fprintf(&d, "M%s %sV%s", px(c.x(t)), px(top), px(c.y))
	}
	c.Plot = slices.Insert(c.Plot, 0, mark{Class: "grid", D: d.String()})
}

// span is something with a beginning, an end and a name on a row.
type span struct {
	class, title, name string
	from, to           time.Duration
}

// spans draws spans in as few rows as hold them and their names. Where there are too many, names are left out, and at last they lie
// on each other.
func (c *chart) spans(spans []span) {
	const height, gap = 17.0, 3.0
	var ends []float64
	row := func(from, to float64) int {
		for i := range ends {
			if ends[i] <= from {
				ends[i] = to
				return i
			}
		}
		if len(ends) == maxRows {
			return -1
		}
		ends = append(ends, to)
		return len(ends) - 1
	}
	for _, s := range spans {
		x := c.x(s.from)
		w := max(c.x(s.to)-x, 3)
		x = min(x, plotWidth-w)
		name := shortTo(s.name, 32)
		long := letterWidth * float64(utf8.RuneCountInString(name))
		from, to, at := x, x+w, x+5
		switch {
		case name == "" || long+10 <= w:
		case x+w+4+long <= plotWidth:
			at, to = x+w+4, x+w+4+long
		default:
			at = x - 4 - long
			from = at
		}
		i := row(from, to+4)
		if i < 0 {
			name = ""
			if i = row(x, x+w+1); i < 0 {
				i = maxRows - 1
			}
		}
		y := c.y + float64(i)*(height+gap)
		if s.class == "held" {
			c.rect(s.class, s.title, x, y+height-7, w, 5)
		} else {
			c.rect(s.class, s.title, x, y, w, height)
		}
		if name != "" {
			c.text("name", name, max(at, 0), y+12.5)
		}
	}
	c.y += float64(len(ends))*(height+gap) + gap
}

func (c *chart) expectations(all []Expectation) {
	if len(all) == 0 {
		return
	}
	c.label("label", "expected", c.y+13)
	spans := make([]span, len(all))
	for i, e := range all {
		spans[i] = span{"held", fmt.Sprintf("%s holds\nline %d, from %s to %s", e.What, e.Line, seconds(e.From), seconds(e.To)), "", e.From, e.To}
		if !e.Holds {
			spans[i].class, spans[i].name = "broken", e.What
			spans[i].title = fmt.Sprintf("%s does not hold: %s\nline %d, from %s to %s", e.What, e.Why, e.Line, seconds(e.From), seconds(e.To))
		}
	}
	slices.SortStableFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	c.spans(spans)
}

// failures draws a line where an expectation was found not to hold, over all that is there so far.
func (c *chart) failures(all []Expectation, top float64) {
	drawn := map[px]bool{}
	for _, e := range all {
		x := px(min(c.x(e.To), plotWidth-1))
		if e.Holds || drawn[x] {
			continue
		}
		drawn[x] = true
		c.path("failure", fmt.Sprintf("%s does not hold: %s", e.What, e.Why), fmt.Sprintf("M%s %sV%s", x, px(top), px(c.y)))
	}
}

func (c *chart) faults(all []Fault) {
	kinds := map[string][]span{}
	var order []string
	for _, f := range all {
		s := span{"fault", fmt.Sprintf("%s\nline %d, from %s to %s, came about %s", f.What, f.Line, seconds(f.From), seconds(f.To), count(int(f.Hits), "time")),
			arguments(f), f.From, f.To}
		if f.missed() {
			s.class, s.name = "fault missed", "✕ "+s.name
			s.title = fmt.Sprintf("%s did not come about: %s\nline %d, from %s to %s", f.What, f.why(), f.Line, seconds(f.From), seconds(f.To))
		}
		if kinds[f.Kind] == nil {
			order = append(order, f.Kind)
		}
		kinds[f.Kind] = append(kinds[f.Kind], s)
	}
	for _, kind := range order {
		c.label("label", shortTo(kind, 15), c.y+13)
		c.spans(kinds[kind])
	}
}

// arguments is a fault's call without its function, which the row says.
func arguments(f Fault) string {
	s, ok := strings.CutPrefix(f.What, f.Kind+"(")
	if !ok {
		return f.What
	}
	return strings.TrimSuffix(s, ")")
}

// shortTo cuts what is too long for its place.
func shortTo(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return s
}

// bins is how many there are of what is counted per second. Shorter than this they say more about the samples than about the network.
func bins(end time.Duration) int { return min(max(int(end/(300*time.Millisecond)), 1), columns) }

// bin is the one of n that a time is in.
func bin(t, end time.Duration, n int) int {
	return min(int(float64(max(t, 0))*float64(n)/float64(end)), n-1)
}

// area is the path of a graph of bars on a base line, joined where they touch.
func area(per []float64, scale, base, height float64) string {
	var d strings.Builder
	wide := plotWidth / float64(len(per))
	for i := 0; i < len(per); i++ {
		if per[i] == 0 {
			continue
		}
		fmt.Fprintf(&d, "M%s %s", px(float64(i)*wide), px(base))
		for ; i < len(per) && per[i] > 0; i++ {
			fmt.Fprintf(&d, "V%sH%s", px(base-height*min(per[i]/scale, 1)), px(float64(i+1)*wide))
		}
		fmt.Fprintf(&d, "V%sZ", px(base))
	}
	return d.String()
}
