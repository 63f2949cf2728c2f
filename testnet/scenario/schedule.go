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
	thread *starlark.Thread
	timers []*timer // in the order in which they were set
}

// timer is something that will happen, once or again and again.
type timer struct {
	at     time.Duration
	do     func() error
	period time.Duration // 0: once
	left   int           // of a period: how many times more; below 0: to the end
	busy   bool          // it is happening: what is scheduled inside it goes on meanwhile, but not it
	asked  here          // the call of the script that wants it; empty: the run itself does
}

func (s *schedule) set(t *timer) { s.timers = append(s.timers, t) }

func (s *schedule) after(at time.Duration, do func() error) { s.set(&timer{at: at, do: do}) }

func (s *schedule) drop(t *timer) {
	s.timers = slices.DeleteFunc(s.timers, func(other *timer) bool { return other == t })
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
		if err := s.happens(t); err != nil {
			return err
		}
	}
}

func (s *schedule) happens(t *timer) error {
	if t.period > 0 {
		t.at += t.period
		t.left--
	}
	if t.period == 0 || t.left == 0 {
		s.drop(t)
	}
	t.busy = true
	defer func() { t.busy = false }()
	return t.do()
}

// dropKind takes away what a function of ours wanted to happen later.
func (s *schedule) dropKind(kind string) {
	s.timers = slices.DeleteFunc(s.timers, func(t *timer) bool { return kindOf(t.asked.what) == kind })
}

// ends takes away what the script wanted to happen later. It yields those of it that were to happen so many times, and have not.
func (s *schedule) ends() (missed []*timer) {
	for _, t := range s.timers {
		if t.asked.line > 0 && (t.period == 0 || t.left > 0) {
			missed = append(missed, t)
		}
	}
	s.timers = slices.DeleteFunc(s.timers, func(t *timer) bool { return t.asked.line > 0 })
	return missed
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
		return nil, unfit("%v is over: it is %v", when, now.Round(time.Millisecond))
	}
	return nil, r.wants(&timer{at: when, do: r.calls(a)})
}

// after has a function be called when so much time has passed.
func (r *runner) after(a given) (starlark.Value, error) {
	return nil, r.wants(&timer{at: r.cluster.Now() + of(a, "duration", time.Duration(0)), do: r.calls(a)})
}

// shortest is the least period of what happens again and again.
const shortest = time.Millisecond

var errTooOften = fmt.Errorf("period: want at least %v", shortest)

// dryCalls is how often functions are called by timers, at most, while a script is only looked at.
const dryCalls = 100_000

// every has a function be called again and again, for the first time a period from now.
func (r *runner) every(a given) (starlark.Value, error) {
	period, left := of(a, "period", time.Duration(0)), int(of(a, "times", int64(-1)))
	if period < shortest {
		return nil, errTooOften
	}
	return nil, r.wants(&timer{at: r.cluster.Now() + period, do: r.calls(a), period: period, left: left})
}

// calls is a timer's act that calls a function of the script.
func (r *runner) calls(a given) func() error {
	f := of[starlark.Callable](a, "do", nil)
	return func() error {
		if r.called++; r.dry && r.called > dryCalls {
			return nil
		}
		_, err := starlark.Call(r.schedule.thread, f, nil, nil)
		return err
	}
}

// maxTimers is how many things a script may want to happen later at a time: each of them is looked at whenever time passes.
const maxTimers = 1000

// wants has something happen later that the script asks for now.
func (r *runner) wants(t *timer) error {
	waiting := 0
	for _, other := range r.schedule.timers {
		if other.asked.line > 0 {
			waiting++
		}
	}
	if waiting >= maxTimers {
		return fmt.Errorf("more than %d things wait to happen: have fewer, or use every", maxTimers)
	}
	t.asked = r.here
	do := t.do
	t.do = func() error {
		outer := r.here
		r.here = t.asked
		defer func() { r.here = outer }()
		return do()
	}
	r.schedule.set(t)
	return nil
}

// pollEvery is how often something is looked at that a script waits for.
const pollEvery = 20 * time.Millisecond

// awaits has time pass until something holds, for so long at most. It is looked at by a timer: while a function that is called meanwhile
// sleeps, time goes on, and what holds only afterwards came too late.
func (r *runner) awaits(within time.Duration, holds func() (bool, error)) (bool, error) {
	deadline := r.cluster.Now() + within
	met := false
	look := func() (err error) {
		if !met && r.cluster.Now() <= deadline {
			met, err = holds()
			met = met && r.cluster.Now() <= deadline // it may have taken its time
		}
		return err
	}
	err := look()
	switch {
	case err == nil && r.dry: // as if it took a moment, and had come about
		r.invented = true
		return true, r.pass(min(within, pollEvery))
	case err != nil || met:
		return true, err
	}
	t := &timer{at: r.cluster.Now() + pollEvery, do: look, period: pollEvery, left: -1}
	r.schedule.set(t)
	defer r.schedule.drop(t)
	for !met {
		now := r.cluster.Now()
		if now >= deadline {
			return false, nil
		}
		if err := r.pass(min(deadline-now, pollEvery)); err != nil {
			return false, err
		}
	}
	return true, nil
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
