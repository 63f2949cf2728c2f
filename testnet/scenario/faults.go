package scenario

import (
	"fmt"
	"slices"
	"time"
)

// faultLog is what a script has had go wrong, with how often each came about.
type faultLog struct {
	open   []*openFault
	downed map[int]bool // nodes that the script has brought down itself
}

// openFault is one that goes on.
type openFault struct {
	place  int // in Run.Faults
	keys   []string
	before map[string]uint64 // of keys
	ends   string            // what of ends it: a word that the functions share
	node   int               // 0: no node in particular
	fatal  bool              // it ends the node
	hits   uint64
	why    string
}

// faultOf is what a fault is to be told of.
type faultOf struct {
	nodes []int
	keys  []string // of Happened, that count how often it comes about; none: it has come about
	ends  string   // it goes on until this is over; empty: it is over at once
	fatal bool     // it comes about by ending the node
	why   string   // what is to be said if it never comes about
}

// begins takes in that something goes wrong.
func (r *runner) begins(f faultOf) *openFault {
	now := r.cluster.Now()
	r.run.Faults = append(r.run.Faults, Fault{Line: r.here.line, Kind: kindOf(r.here.what), What: r.here.what, Nodes: f.nodes, From: now, To: now})
	o := &openFault{place: len(r.run.Faults) - 1, keys: f.keys, ends: f.ends, fatal: f.fatal, why: f.why}
	if len(f.nodes) == 1 {
		o.node = f.nodes[0]
	}
	if len(f.keys) == 0 && f.why == "" {
		o.hits = 1
	}
	if len(f.keys) > 0 {
		o.before = make(map[string]uint64)
		happened := r.cluster.Happened()
		for _, k := range f.keys {
			o.before[k] = happened[k]
		}
	}
	r.faults.open = append(r.faults.open, o)
	if f.ends == "" {
		r.faults.close(o, now, nil, r.run)
	}
	return o
}

// kindOf is the function of a call as written.
func kindOf(what string) string {
	for i, c := range what {
		if c == '(' {
			return what[:i]
		}
	}
	return what
}

// over ends the faults of a kind, of one node or of all.
func (r *runner) over(ends string, node int) {
	now, happened := r.cluster.Now(), r.cluster.Happened()
	for _, o := range slices.Clone(r.faults.open) {
		if o.ends == ends && (node == 0 || o.node == node) {
			r.faults.close(o, now, happened, r.run)
		}
	}
}

// since is how often a fault has come about.
func (o *openFault) since(happened map[string]uint64) uint64 {
	hits := o.hits
	for _, k := range o.keys {
		hits += happened[k] - min(happened[k], o.before[k])
	}
	return hits
}

// overrides has what comes about by these keys from now on be another fault's.
func (r *runner) overrides(keys []string) {
	now, happened := r.cluster.Now(), r.cluster.Happened()
	for _, o := range slices.Clone(r.faults.open) {
		left := slices.DeleteFunc(slices.Clone(o.keys), func(k string) bool { return slices.Contains(keys, k) })
		if len(left) == len(o.keys) {
			continue
		}
		o.hits = o.since(happened)
		if o.keys = left; len(left) == 0 {
			r.faults.close(o, now, nil, r.run)
			continue
		}
		for _, k := range left {
			o.before[k] = happened[k]
		}
	}
}

// close settles how often a fault came about.
func (l *faultLog) close(o *openFault, now time.Duration, happened map[string]uint64, run *Run) {
	o.hits = o.since(happened)
	f := &run.Faults[o.place]
	f.To, f.Hits = now, o.hits
	if f.Hits == 0 {
		f.Why = o.why
	}
	l.open = slices.DeleteFunc(l.open, func(other *openFault) bool { return other == o })
}

// finish closes what still goes on.
func (l *faultLog) finish(now time.Duration, happened map[string]uint64, run *Run) {
	for _, o := range slices.Clone(l.open) {
		l.close(o, now, happened, run)
	}
}

// explains says whether a node may be down: the script has brought it down, its disk was full or has failed, or what it held was damaged.
func (r *runner) explains(node int) bool {
	if r.faults.downed[node] {
		return true
	}
	happened := map[string]uint64(nil)
	for _, o := range r.faults.open {
		if !o.fatal || o.node != node {
			continue
		}
		if happened == nil {
			happened = r.cluster.Happened()
		}
		if o.since(happened) > 0 {
			return true
		}
	}
	for _, f := range slices.Backward(r.run.Faults) {
		if slices.Contains(f.Nodes, node) && (f.Kind == "flip" || f.Kind == "wipe") {
			return f.Kind == "flip"
		}
	}
	return false
}

// What ends a fault.
const (
	atRestart = "restart"
	atResume  = "resume"
	atHeal    = "heal"
	atHonest  = "honest"
	atNever   = "never"
	atFaster  = "faster"
	atClock   = "clock"
)

// each does something to one node after the other; who cannot suffer it ends the run.
func (r *runner) each(a given, name string, do func(node int) error, f func(node int) faultOf) error {
	for _, v := range of[[]any](a, name, nil) {
		n := v.(int)
		if err := do(n); err != nil {
			return r.untested(fmt.Errorf("node %d: %w", n, err))
		}
		if f != nil {
			r.begins(f(n))
		}
	}
	return nil
}
