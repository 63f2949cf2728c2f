package scenario

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A lane says how one node was.

// stretch is a time in which a node looked the same.
type stretch struct {
	class    string
	from, to time.Duration
}

// stretches joins samples that look the same. What is shorter than a pixel goes with what follows, unless it is worse.
func (c *chart) stretches(r *Run, look func(Sample) string, worse func(a, b string) bool) []stretch {
	var out []stretch
	for i, s := range r.Samples {
		to := c.end
		if i+1 < len(r.Samples) {
			to = r.Samples[i+1].At
		}
		if s.At >= c.end {
			break // no time is left to look like that
		}
		class := look(s)
		if n := len(out); n > 0 {
			last := &out[n-1]
			if last.class == class {
				last.to = to
				continue
			}
			if c.x(s.At)-c.x(last.from) < 1 {
				if worse(class, last.class) {
					last.class = class
				}
				last.to = to
				continue
			}
		}
		out = append(out, stretch{class, s.At, to})
	}
	return out
}

// rank orders how bad a state of a lane is.
func rank(class string) int {
	return slices.Index([]string{"", "up", "crash-mode", "paused", "down"}, class)
}

// lanes draws each node: its state and mode as ground, the slots that it executes as an area, epochs and views where they change, who
// leads at the lower edge, and what has struck it at the upper.
func (c *chart) lanes(r *Run) {
	scale := networkRate(r, c.end)
	for node := 1; node <= r.Nodes; node++ {
		at := func(s Sample) Look {
			if node > len(s.Nodes) {
				return Look{}
			}
			return s.Nodes[node-1]
		}
		y := c.y
		if r.Violation != nil && r.Violation.Node == node {
			c.label("node wrong", fmt.Sprintf("✕ node %d", node), y+laneHeight/2+5)
		} else {
			c.label("node", fmt.Sprintf("node %d", node), y+laneHeight/2+5)
		}
		c.rect("lane", "", 0, y, plotWidth, laneHeight)
		ground := func(s Sample) string { return groundOf(at(s)) }
		for _, s := range c.stretches(r, ground, func(a, b string) bool { return rank(a) > rank(b) }) {
			if s.class == "" {
				continue
			}
			x, w := c.x(s.from), c.x(s.to)-c.x(s.from)
			c.rect("state "+s.class, fmt.Sprintf("node %d, %s\nfrom %s to %s", node, saidOf[s.class], seconds(s.from), seconds(s.to)), x, y, max(w, 1), laneHeight)
			if (s.class == "down" || s.class == "paused") && w > 50 {
				c.text("name", s.class, x+6, y+laneHeight/2+4)
			}
		}
		c.path("slots", "", area(rates(r, c.end, at), scale, y+laneHeight-7, laneHeight-22))
		leads := func(s Sample) string {
			if l := at(s); l.State == Up && l.Role == "leader" {
				return "leads"
			}
			return ""
		}
		for _, s := range c.stretches(r, leads, func(a, _ string) bool { return a != "" }) {
			if s.class != "" {
				c.rect("leads", fmt.Sprintf("node %d leads\nfrom %s to %s", node, seconds(s.from), seconds(s.to)), c.x(s.from), y+laneHeight-5, max(c.x(s.to)-c.x(s.from), 1), 5)
			}
		}
		c.views(r, at, y)
		c.struck(r.Faults, node, y)
		c.y += laneHeight + 6
	}
}

// groundOf is the class of a lane's ground.
func groundOf(l Look) string {
	switch {
	case l.State == Down:
		return "down"
	case l.State == Paused:
		return "paused"
	case l.State == Up && l.Mode == "crash":
		return "crash-mode"
	case l.State == Up:
		return "up"
	}
	return ""
}

var saidOf = map[string]string{"up": "up in Byzantine mode", "crash-mode": "up in crash mode", "paused": "paused", "down": "down"}

// views writes epoch and view where they change, and a line where there is no room.
func (c *chart) views(r *Run, at func(Sample) Look, y float64) {
	var last Look
	free := 0.0
	var d strings.Builder
	for _, s := range r.Samples {
		l := at(s)
		if l.Role == "" || last.Role != "" && l.View == last.View && l.Epoch == last.Epoch {
			continue
		}
		x := c.x(s.At)
		if last.Role != "" {
			fmt.Fprintf(&d, "M%s %sv14", px(x), px(y))
		}
		text := fmt.Sprintf("v%d", l.View)
		if last.Role == "" || l.Epoch != last.Epoch {
			text = fmt.Sprintf("e%d v%d", l.Epoch, l.View)
		}
		long := letterWidth*float64(len(text)) + 3
		if x >= free && x+long < plotWidth {
			c.text("view", text, x+3, y+12)
			free = x + long + 3
		}
		last = l
	}
	c.path("turn", "", d.String())
}

// struck marks the times in which faults were on a node.
func (c *chart) struck(all []Fault, node int, y float64) {
	var d strings.Builder
	for _, f := range all {
		if slices.Contains(f.Nodes, node) && !f.missed() {
			x := min(c.x(f.From), plotWidth-3)
			fmt.Fprintf(&d, "M%s %sH%s", px(x), px(y+1.5), px(max(c.x(f.To), x+3)))
		}
	}
	c.path("struck", "", d.String())
}

// rates are slots per second, as seen at one node. What it makes up for after it was away counts when it is seen.
func rates(r *Run, end time.Duration, at func(Sample) Look) []float64 {
	per := make([]float64, bins(end))
	last, known, away := uint64(0), false, false
	for _, s := range r.Samples {
		l := at(s)
		if l.State != Up || l.Role == "" {
			away = true
			continue
		}
		if known && l.Seq > last {
			moment := s.At
			if !away {
				moment-- // what came before this sample was not in the bin that begins with it
			}
			per[bin(moment, end, len(per))] += float64(l.Seq-last) * float64(len(per)) / end.Seconds()
		}
		last, known, away = l.Seq, true, false
	}
	return per
}

// networkRate is the highest rate at which the network came on, which is the scale of all lanes: who makes up for lost time is cut off.
func networkRate(r *Run, end time.Duration) float64 {
	furthest := Look{State: Up, Role: "any"}
	per := rates(r, end, func(s Sample) Look {
		for _, l := range s.Nodes {
			furthest.Seq = max(furthest.Seq, l.Seq)
		}
		return furthest
	})
	return slices.Max(append(per, 1))
}
