package scenario

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"go.starlark.net/starlark"
)

func (r *runner) crash(a given) (starlark.Value, error) {
	var nodes []int
	for _, n := range of[[]any](a, "nodes", nil) {
		nodes = append(nodes, n.(int))
	}
	return nil, r.crashAll(nodes...)
}

// crashAll crashes nodes at one instant.
func (r *runner) crashAll(nodes ...int) error {
	over, why, asked := false, error(nil), r.here
	up := slices.DeleteFunc(slices.Clone(nodes), func(n int) bool { return r.cluster.Look(n).State == Down })
	r.cluster.Crash(nodes, func(err error) {
		over, why = true, err
		for _, n := range up { // if one of them ends by itself at this moment, the others are down all the same
			r.faults.downed[n] = r.faults.downed[n] || r.cluster.Look(n).State == Down
		}
		if err != nil {
			return
		}
		outer := r.here
		r.here = asked
		defer func() { r.here = outer }()
		for _, n := range nodes {
			r.faults.downed[n] = true
			r.begins(faultOf{nodes: []int{n}, ends: atRestart})
		}
	})
	if !over {
		if _, err := r.awaits(2*StrikePatience, func() (bool, error) { return over, nil }); err != nil {
			return err
		}
	}
	switch {
	case why != nil:
		return r.untested(why)
	case !over:
		return r.untested(errors.New("it has not come about"))
	}
	return nil
}

func (r *runner) stopOne(n int) error {
	if err := r.cluster.Stop(n); err != nil {
		return err
	}
	r.faults.downed[n] = true
	return nil
}

func (r *runner) restart(a given) (starlark.Value, error) {
	return nil, r.each(a, "nodes", r.restartOne, nil)
}

func (r *runner) restartOne(n int) error {
	if err := r.fell(n, r.cluster.Look(n)); err != nil {
		return err
	}
	if err := r.cluster.Restart(n); err != nil {
		return err
	}
	r.faults.downed[n] = false
	r.over(atRestart, n)
	return nil
}

// tryRestart starts a node that may refuse to start from what is on its disk, and says whether it runs.
func (r *runner) tryRestart(a given) (starlark.Value, error) {
	n := of(a, "node", 0)
	if s := r.cluster.Look(n).State; s != Down && !r.dry {
		return nil, r.untested(fmt.Errorf("node %d: it is %s", n, s))
	}
	if err := r.restartOne(n); errors.Is(err, errOver) {
		return nil, err
	} else if err != nil {
		if r.progress != nil {
			r.progress(r.cluster.Now(), r.here.line, err.Error())
		}
		return starlark.False, nil
	}
	return starlark.True, nil
}

func (r *runner) stop(a given) (starlark.Value, error) {
	return nil, r.each(a, "nodes", r.stopOne, func(n int) faultOf { return faultOf{nodes: []int{n}, ends: atRestart} })
}

func (r *runner) pause(a given) (starlark.Value, error) {
	return nil, r.each(a, "nodes", r.cluster.Pause, func(n int) faultOf { return faultOf{nodes: []int{n}, ends: atResume} })
}

func (r *runner) resume(a given) (starlark.Value, error) {
	return nil, r.each(a, "nodes", func(n int) error {
		if err := r.cluster.Resume(n); err != nil {
			return err
		}
		r.over(atResume, n)
		return nil
	}, nil)
}

// rollingRestart stops one node after the other and starts it again.
func (r *runner) rollingRestart(a given) (starlark.Value, error) {
	pause := of(a, "pause", time.Second)
	for n := 1; n <= r.shape.Nodes; n++ {
		if err := r.stopOne(n); err != nil {
			return nil, r.untested(fmt.Errorf("node %d: %w", n, err))
		}
		r.begins(faultOf{nodes: []int{n}, ends: atRestart})
		if err := r.pass(pause); err != nil {
			return nil, err
		}
		if err := r.restartOne(n); err != nil {
			return nil, r.untested(fmt.Errorf("node %d: %w", n, err))
		}
		if err := r.pass(pause); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// crashLoop crashes a node again and again; half of each period it is down.
func (r *runner) crashLoop(a given) (starlark.Value, error) {
	n, period, times := of(a, "node", 0), of(a, "period", 2*time.Second), int(of(a, "times", int64(5)))
	if period < shortest {
		return nil, errTooOften
	}
	return nil, r.again(period, times, func() error { return r.crashAll(n) }, func() error {
		if err := r.restartOne(n); err != nil {
			return r.untested(fmt.Errorf("node %d: %w", n, err))
		}
		return nil
	})
}

// again has something begin so many times, once a period, and be over after half of it. The call that wants it returns meanwhile.
func (r *runner) again(period time.Duration, times int, begin, end func() error) error {
	if r.dry {
		return nil
	}
	over := true
	return r.wants(&timer{at: r.cluster.Now(), period: period / 2, left: 2 * times, do: func() error {
		if over = !over; over {
			return end()
		}
		return begin()
	}})
}
