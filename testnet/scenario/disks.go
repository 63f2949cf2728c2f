package scenario

import (
	"fmt"
	"time"

	"go.starlark.net/starlark"
)

// diskFault has a disk fault of a kind strike some nodes.
func diskFault(k DiskKind) func(*runner, given) (starlark.Value, error) {
	return func(r *runner, a given) (starlark.Value, error) {
		return nil, r.each(a, "nodes", func(n int) error { return r.disk(n, DiskFault{Kind: k}) }, nil)
	}
}

// disk has something go wrong with a disk, and takes in how it is to come about.
func (r *runner) disk(n int, f DiskFault) error {
	switch f.Kind {
	case Flip, Wipe, Backup, Restore: // of a node that is down
		if err := r.fell(n, r.cluster.Look(n)); err != nil {
			return err
		}
	}
	if err := r.cluster.Disk(n, f); err != nil {
		return err
	}
	one := faultOf{nodes: []int{n}}
	switch f.Kind {
	case Backup:
		return nil // nothing is wrong with that
	case Fill:
		one.ends, one.fatal, one.keys, one.why = atRestart, true, []string{AtNode(CountFull, n)}, notMet
	case FailSync:
		one.ends, one.fatal, one.keys, one.why = atRestart, true, []string{AtNode(CountFailed, n)}, notMet
	case Slow:
		if r.over(atFaster, n); f.By == 0 {
			return nil
		}
		one.ends, one.keys, one.why = atFaster, []string{AtNode(CountSlowed, n)}, "the node has synced nothing since"
	}
	r.begins(one)
	return nil
}

const notMet = "the node has not met it"

// atCrashes has crashes of some nodes take something, from now on. It has come about when one of them has.
func atCrashes(k DiskKind, counts string) func(*runner, given) (starlark.Value, error) {
	return func(r *runner, a given) (starlark.Value, error) {
		f := faultOf{ends: atNever, why: "no crash since has met anything that was not synced"}
		err := r.each(a, "nodes", func(n int) error {
			f.nodes, f.keys = append(f.nodes, n), append(f.keys, AtNode(counts, n))
			return r.cluster.Disk(n, DiskFault{Kind: k})
		}, nil)
		if err == nil {
			r.begins(f)
		}
		return nil, err
	}
}

func (r *runner) oneDisk(a given, f DiskFault) error {
	n := of(a, "node", 0)
	if err := r.disk(n, f); err != nil {
		return r.untested(fmt.Errorf("node %d: %w", n, err))
	}
	return nil
}

func (r *runner) flip(a given) (starlark.Value, error) {
	return nil, r.oneDisk(a, DiskFault{Kind: Flip, N: of(a, "bits", int64(1))})
}

func (r *runner) fill(a given) (starlark.Value, error) {
	return nil, r.oneDisk(a, DiskFault{Kind: Fill, N: of(a, "room", int64(0))})
}

func (r *runner) slow(a given) (starlark.Value, error) {
	return nil, r.oneDisk(a, DiskFault{Kind: Slow, By: of(a, "by", time.Duration(0))})
}

// skew sets how far a clock is off.
func (r *runner) skew(a given) (starlark.Value, error) {
	return nil, r.setClock(of(a, "node", 0), of(a, "by", time.Duration(0)))
}

// jump sets a clock forward, or back, by so much.
func (r *runner) jump(a given) (starlark.Value, error) {
	n := of(a, "node", 0)
	return nil, r.setClock(n, r.clocks[n]+of(a, "by", time.Duration(0)))
}

func (r *runner) setClock(n int, offset time.Duration) error {
	if offset != 0 && offset.Abs() < time.Millisecond {
		return fmt.Errorf("by: %v, and clocks are read to the millisecond", offset)
	}
	if err := r.cluster.Clock(n, offset); err != nil {
		return r.untested(fmt.Errorf("node %d: %w", n, err))
	}
	r.clocks[n] = offset
	if r.over(atClock, n); offset != 0 {
		r.begins(faultOf{nodes: []int{n}, ends: atClock})
	}
	return nil
}
