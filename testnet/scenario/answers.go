package scenario

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Below the lanes stands what clients saw.

// acknowledgements draws how many calls are answered per second, and when those were made that were not.
func (c *chart) acknowledgements(history []Operation) {
	const height = 60.0
	per := make([]float64, bins(c.end))
	marks := map[Outcome][]int{Unknown: make([]int, columns), Refused: make([]int, columns)}
	total := map[Outcome]int{}
	for i := range history {
		a := &history[i].Answer
		if a.answered() {
			per[bin(a.Return, c.end, len(per))] += float64(len(per)) / c.end.Seconds()
		} else if of := marks[a.Outcome]; of != nil {
			of[bin(a.Call, c.end, columns)]++
			total[a.Outcome]++
		}
	}
	most := round(slices.Max(append(per, 1)))
	c.label("title", "answers", c.y+height/2+4)
	c.label("axis", thousands(int(most))+"/s", c.y+9)
	c.label("axis", "0", c.y+height)
	c.rect("lane", "", 0, c.y, plotWidth, height)
	c.path("answers", "", area(per, most, c.y+height, height))
	c.y += height + 5
	for _, outcome := range []Outcome{Unknown, Refused} {
		if total[outcome] == 0 {
			continue
		}
		c.label("label", string(outcome), c.y+10)
		for i, n := range marks[outcome] {
			if n > 0 {
				at := c.end * time.Duration(i) / columns
				c.rect(string(outcome), fmt.Sprintf("%s of outcome %s, made about %s", count(n, "call"), outcome, seconds(at)), float64(i)*plotWidth/columns, c.y, plotWidth/columns, 12)
			}
		}
		c.y += 17
	}
}

// unexplained draws a line where a call was made that no order of the calls explains, over all that is there so far.
func (c *chart) unexplained(o *Operation, top float64) {
	if o == nil {
		return
	}
	x, text := c.x(o.Answer.Call), fmt.Sprintf("✕ call %d", o.Number)
	c.path("failure unexplained", violation(o).Text, fmt.Sprintf("M%s %sV%s", px(x), px(top), px(c.y)))
	if long := letterWidth * float64(utf8.RuneCountInString(text)); x+long+4 > plotWidth {
		x -= long + 8
	}
	c.text("name", text, x+4, c.y-10)
}

// answered says that the network has done what was asked, or found that it does not apply.
func (a *Answer) answered() bool { return a.Outcome == Done || a.Outcome == Failed }

// round is the next number up that one likes to read: 1, 2 or 5 and zeros.
func round(v float64) float64 {
	for unit := 1.0; ; unit *= 10 {
		for _, n := range []float64{1, 2, 5} {
			if v <= n*unit {
				return n * unit
			}
		}
	}
}

// latencies draws how long answers took, by the time of the call, on a logarithmic scale: a dot for each, or where they are too many
// what half and what all but one in a hundred took.
func (c *chart) latencies(history []Operation) {
	const height = 110.0
	var answered []*Operation
	low, high := math.Inf(1), math.Inf(-1)
	log := func(a *Answer) float64 {
		return math.Log10(max(float64(a.Return-a.Call)/float64(time.Millisecond), 0.1))
	}
	for i := range history {
		if o := &history[i]; o.Answer.answered() {
			answered = append(answered, o)
			low, high = min(low, log(&o.Answer)), max(high, log(&o.Answer))
		}
	}
	top := c.y
	c.rect("lane", "", 0, top, plotWidth, height)
	c.label("title", "latency", top+height/2+4)
	c.y += height + 5
	if len(answered) == 0 {
		return
	}
	low = math.Floor(low)
	high = max(math.Ceil(high), low+1)
	at := func(v float64) float64 { return top + 4 + (height-8)*(high-v)/(high-low) }
	var lines strings.Builder
	for v := low; v <= high; v++ {
		fmt.Fprintf(&lines, "M0 %sH%s", px(at(v)), px(plotWidth))
		c.label("axis", milliseconds(time.Duration(math.Pow(10, v)*float64(time.Millisecond))), at(v)+4)
	}
	c.path("grid", "", lines.String())
	if len(answered) <= maxDots {
		dots := map[string]*strings.Builder{"write": {}, "read": {}, "local": {}}
		for _, o := range answered {
			class := "write"
			switch o.Call.Kind {
			case Get:
				class = "read"
			case LocalGet:
				class = "local"
			}
			fmt.Fprintf(dots[class], "M%s %sh0", px(c.x(o.Answer.Call)), px(at(log(&o.Answer))))
		}
		for _, class := range []string{"write", "read", "local"} {
			c.path("dots "+class, "", dots[class].String())
		}
		return
	}
	parts := make([][]float64, columns)
	for _, o := range answered {
		i := bin(o.Answer.Call, c.end, columns)
		parts[i] = append(parts[i], log(&o.Answer))
	}
	var band, middle strings.Builder
	const wide = plotWidth / columns
	for i, p := range parts {
		if len(p) == 0 {
			continue
		}
		slices.Sort(p)
		half, most := at(share(p, 50)), at(share(p, 99))
		x := float64(i) * wide
		fmt.Fprintf(&band, "M%s %sh%sV%sh-%sZ", px(x), px(half), px(wide), px(most-1), px(wide))
		fmt.Fprintf(&middle, "M%s %sh%s", px(x), px(half), px(wide))
	}
	c.path("band", "", band.String())
	c.path("middle", "", middle.String())
}

// share is what so many per cent of the sorted values are not above.
func share[T any](sorted []T, percent int) T {
	return sorted[min(len(sorted)*percent/100, len(sorted)-1)]
}
