package scenario

import (
	"fmt"
	"math"
	"slices"
	"time"

	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

type starlarkPosition = syntax.Position

// schedule is what will happen at which time.
type schedule struct {
	thread  *starlark.Thread
	timers  []*timer // in the order in which they were set
	scripts int      // of them those that call a function of the script
}

// timer is something that will happen, once or again and again.
type timer struct {
	at     time.Duration
	do     func() error
	period time.Duration // 0: once
	left   int           // of a period: how many times more; below 0: to the end
	script bool          // it calls a function of the script
	busy   bool          // it is happening: what is scheduled inside it goes on meanwhile, but not it
}

func (s *schedule) after(at time.Duration, do func() error) {
	s.timers = append(s.timers, &timer{at: at, do: do})
}

// next is when something will happen.
func (s *schedule) next() time.Duration {
	soonest := time.Duration(math.MaxInt64)
	for _, t := range s.timers {
		if !t.busy {
			soonest = min(soonest, t.at)
		}
	}
	return soonest
}

// due has everything happen whose time has come, the earliest first, and of two at once the one that was set first.
func (s *schedule) due(now time.Duration) error {
	for {
		var t *timer
		for _, other := range s.timers {
			if !other.busy && other.at <= now && (t == nil || other.at < t.at) {
				t = other
			}
		}
		if t == nil {
			return nil
		}
		if t.period > 0 {
			t.at += t.period
			t.left--
		}
		t.busy = true
		err := t.do()
		t.busy = false
		if t.period == 0 || t.left == 0 {
			s.timers = slices.DeleteFunc(s.timers, func(other *timer) bool { return other == t })
		}
		if err != nil {
			return err
		}
	}
}

// calls is a timer's act that calls a function of the script.
func (s *schedule) calls(f starlark.Callable) func() error {
	return func() error {
		_, err := starlark.Call(s.thread, f, nil, nil)
		return err
	}
}

func (r *runner) sleep(a given) (starlark.Value, error) {
	return nil, r.pass(of(a, "duration", time.Duration(0)))
}

func (r *runner) millis(given) (starlark.Value, error) {
	return starlark.MakeInt64(r.cluster.Now().Milliseconds()), nil
}

// at has a function be called at a time since the start.
func (r *runner) at(a given) (starlark.Value, error) {
	when := of(a, "time", time.Duration(0))
	if now := r.cluster.Now(); when < now {
		return nil, fmt.Errorf("%v is over: it is %v", when, now.Round(time.Millisecond))
	}
	f := of[starlark.Callable](a, "do", nil)
	return nil, r.sets(&timer{at: when, do: r.schedule.calls(f)}, f)
}

// shortest is the least period of what happens again and again.
const shortest = time.Millisecond

var errTooOften = fmt.Errorf("period: want at least %v", shortest)

// every has a function be called again and again, for the first time a period from now.
func (r *runner) every(a given) (starlark.Value, error) {
	f := of[starlark.Callable](a, "do", nil)
	period := of(a, "period", time.Duration(0))
	if period < shortest {
		return nil, errTooOften
	}
	left := -1
	if a.has("times") {
		left = int(of(a, "times", int64(0)))
	}
	return nil, r.sets(&timer{at: r.cluster.Now() + period, do: r.schedule.calls(f), period: period, left: left}, f)
}

// maxTimers is how many things a script may have scheduled at a time: each of them is looked at whenever time passes.
const maxTimers = 1000

// sets has a script's function be called later. When the script is only looked at it is called at once, so that what is wrong in it is
// found; but not within itself, where it only wants to be called again.
func (r *runner) sets(t *timer, f starlark.Callable) error {
	if r.schedule.scripts++; !r.dry {
		call := t.do
		t.script = true
		t.do = func() error {
			if t.period == 0 || t.left == 0 {
				r.schedule.scripts--
			}
			return call()
		}
		r.schedule.timers = append(r.schedule.timers, t)
	}
	if r.schedule.scripts > maxTimers {
		return fmt.Errorf("more than %d functions wait to be called: have fewer, or use every", maxTimers)
	}
	if !r.dry || r.schedule.isIn(f) {
		return nil
	}
	_, err := starlark.Call(r.schedule.thread, f, nil, nil)
	return err
}

// ends has no function of the script be called any more.
func (s *schedule) ends() {
	s.timers = slices.DeleteFunc(s.timers, func(t *timer) bool { return t.script })
}

// isIn says whether a function of the script is being called.
func (s *schedule) isIn(f starlark.Callable) bool {
	for depth := range s.thread.CallStackDepth() {
		if c := s.thread.DebugFrame(depth).Callable(); c.Name() == f.Name() && definedAt(c) == definedAt(f) {
			return true
		}
	}
	return false
}

// definedAt is where a function is defined, if it is of the script.
func definedAt(c starlark.Callable) (place starlarkPosition) {
	if f, ok := c.(*starlark.Function); ok {
		return f.Position()
	}
	return place
}

// pollEvery is how often something is looked at that a script waits for.
const pollEvery = 20 * time.Millisecond

// awaits has time pass until something holds, for so long at most.
func (r *runner) awaits(within time.Duration, holds func() (bool, error)) (bool, error) {
	deadline := r.cluster.Now() + within
	for {
		if ok, err := holds(); ok || err != nil || r.dry {
			return true, err
		}
		left := deadline - r.cluster.Now()
		if left <= 0 {
			return false, nil
		}
		if err := r.pass(min(left, pollEvery)); err != nil {
			return false, err
		}
	}
}

// until waits for a condition of the script's own.
func (r *runner) until(a given) (starlark.Value, error) {
	f, within := of[starlark.Callable](a, "condition", nil), of(a, "within", 10*time.Second)
	begun := r.cluster.Now()
	holds, err := r.awaits(within, func() (bool, error) {
		v, err := starlark.Call(r.schedule.thread, f, nil, nil)
		return err == nil && bool(v.Truth()), err
	})
	if err != nil {
		return nil, err
	}
	return nil, r.decide(begun, holds, fmt.Sprintf("not within %v", within))
}
