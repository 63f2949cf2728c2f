package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// maxShrinkRuns bounds how often a failing world is run again to make it smaller.
const maxShrinkRuns = 300

// Shrink leaves out as many faults of a failing world as it can, so that the same checker still is not content, and yields
// the options under which that happens. Faults are numbered as they come; those that are left keep what they were.
func Shrink(failed Report, o Options) (Options, Report) {
	best := failed
	kept := shrink(failed.Struck, maxShrinkRuns, func(leftOut map[int]bool) bool {
		p := o
		p.LeftOut, p.Trace = leftOut, nil
		r := Run(failed.Seed, p)
		if r.Violation == nil || r.Violation.Checker != failed.Violation.Checker {
			return false
		}
		best = r
		return true
	})
	o.LeftOut = kept
	return o, best
}

// shrink finds a large set of 1…n without which it still fails: in halves, then quarters, down to single ones (Zeller and
// Hildebrandt, Simplifying and Isolating Failure-Inducing Input, IEEE TSE 28(2), 2002).
func shrink(n, most int, fails func(leftOut map[int]bool) bool) map[int]bool {
	out := make(map[int]bool)
	for size := max(1, n/2); ; size /= 2 {
		for from := 1; from <= n; from += size {
			try := make(map[int]bool)
			more := false
			for i := range out {
				try[i] = true
			}
			for i := from; i < from+size && i <= n; i++ {
				more = more || !try[i]
				try[i] = true
			}
			if !more {
				continue
			}
			if most--; most < 0 {
				return out
			}
			if fails(try) {
				out = try
			}
		}
		if size == 1 {
			return out
		}
	}
}

// FormatFaults writes a set of faults as ParseFaults reads it: 1-4,7.
func FormatFaults(set map[int]bool) string {
	var all []int
	for i := range set {
		all = append(all, i)
	}
	slices.Sort(all)
	var parts []string
	for i := 0; i < len(all); {
		j := i
		for j+1 < len(all) && all[j+1] == all[j]+1 {
			j++
		}
		part := strconv.Itoa(all[i])
		if j > i {
			part += "-" + strconv.Itoa(all[j])
		}
		parts = append(parts, part)
		i = j + 1
	}
	return strings.Join(parts, ",")
}

// maxFaults bounds the number of a fault: a world has a few dozen.
const maxFaults = 100_000

// ParseFaults reads a list of numbers and ranges.
func ParseFaults(text string) (map[int]bool, error) {
	set := make(map[int]bool)
	for part := range strings.SplitSeq(text, ",") {
		if part == "" {
			continue
		}
		first, last, isRange := strings.Cut(part, "-")
		from, err := strconv.Atoi(first)
		to := from
		if err == nil && isRange {
			to, err = strconv.Atoi(last)
		}
		if err != nil || from < 1 || to < from || to > maxFaults {
			return nil, fmt.Errorf("faults %q: want numbers from 1 and ranges, like 1-4,7", part)
		}
		for i := from; i <= to; i++ {
			set[i] = true
		}
	}
	return set, nil
}
