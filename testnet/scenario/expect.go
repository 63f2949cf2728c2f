package scenario

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.starlark.net/starlark"
)

// decide takes in whether an expectation holds; one that does not ends the run.
func (r *runner) decide(begun time.Duration, holds bool, why string) error {
	e := Expectation{Line: r.here.line, What: r.here.what, From: begun, To: r.cluster.Now(), Holds: holds || r.dry}
	if !e.Holds {
		e.Why = why
	}
	r.run.Expectations = append(r.run.Expectations, e)
	if e.Holds {
		return nil
	}
	return r.ends(Violated, fmt.Sprintf("%s:%d: %s: %s", r.script.Name, e.Line, e.What, why))
}

// expect wants something to be true that the script has found out itself.
func (r *runner) expect(a given) (starlark.Value, error) {
	why := of(a, "text", "")
	if why == "" {
		why = "it is not so"
	}
	return nil, r.decide(r.cluster.Now(), bool(of[starlark.Value](a, "condition", nil).Truth()), why)
}

// fail ends the run as an expectation does that does not hold.
func (r *runner) fail(a given) (starlark.Value, error) {
	return nil, r.decide(r.cluster.Now(), false, of(a, "text", ""))
}

var errIdle = unfit("no client asks for anything: call workload() before it")

// expectProgress waits for an answer to something that a client asks for from now on. It has a client of its own ask, in case all others wait for
// what they asked for before, or ask for little.
func (r *runner) expectProgress(a given) (starlark.Value, error) {
	within, begun := of(a, "within", 5*time.Second), r.cluster.Now()
	if r.traffic == nil || r.traffic.stopped {
		return nil, errIdle
	}
	answered := r.probe("expect_progress")
	holds, err := r.awaits(within, func() (bool, error) { return *answered || r.traffic.answered > begun, nil })
	if err != nil {
		return nil, err
	}
	return nil, r.decide(begun, holds, fmt.Sprintf("nothing that was asked for since was acknowledged within %v", within))
}

// probe has a client that has asked for nothing yet put something, and says from then on whether it was answered.
func (r *runner) probe(key string) *bool {
	answered := false
	r.traffic.submit(Call{Client: r.newClient(), Kind: Put, Key: key, Value: fmt.Sprint(r.cluster.Now())}, func(a Answer) { answered = a.answered() })
	return &answered
}

// expectNoProgress waits, and wants nothing that a client asks for from now on to be acknowledged meanwhile. It has a client of its own ask, since all
// others may wait for answers to what they asked for before.
func (r *runner) expectNoProgress(a given) (starlark.Value, error) {
	during, begun := of(a, "during", time.Duration(0)), r.cluster.Now()
	if r.traffic == nil || r.traffic.stopped {
		return nil, errIdle
	}
	if r.dry {
		if err := r.pass(during); err != nil {
			return nil, err
		}
		return nil, r.decide(begun, true, "")
	}
	answered := r.probe("expect_no_progress")
	broken, err := r.awaits(during, func() (bool, error) { return *answered || r.traffic.answered > begun, nil })
	if err != nil {
		return nil, err
	}
	return nil, r.decide(begun, !broken, "something that was asked for since was acknowledged")
}

// expectViewChanges holds the number of views since the start against bounds.
func (r *runner) expectViewChanges(a given) (starlark.Value, error) {
	if !a.has("at_most") && !a.has("at_least") {
		return nil, errors.New("wants at_most or at_least")
	}
	r.look()
	n := int64(r.run.Counts().ViewChanges)
	holds := n >= of(a, "at_least", int64(0)) && n <= of(a, "at_most", n)
	return nil, r.decide(r.cluster.Now(), holds, fmt.Sprintf("there were %d", n))
}

// expectEvidence waits until every node that is up and does not lie holds evidence against a member, and wants nobody else to be accused.
func (r *runner) expectEvidence(a given) (starlark.Value, error) {
	against, within, begun := of(a, "against", 0), of(a, "within", 10*time.Second), r.cluster.Now()
	why := nobody
	holds, err := r.awaits(within, func() (bool, error) {
		asked := 0
		for n := 1; n <= r.shape.Nodes; n++ {
			if slices.Contains(r.lying, n) || r.cluster.Look(n).State != Up {
				continue
			}
			accused, err := r.cluster.Accused(n)
			if err != nil {
				why = fmt.Sprintf("node %d cannot be asked: %v", n, err)
				return false, nil
			}
			for _, m := range accused {
				if !slices.Contains(r.lying, m) {
					return false, r.violated(&Violation{Check: "accusations", Node: n, Text: fmt.Sprintf("holds evidence against member %d, who is honest", m)})
				}
			}
			if !slices.Contains(accused, against) {
				why = fmt.Sprintf("node %d holds none after %v", n, within)
				return false, nil
			}
			asked++
		}
		return asked > 0, nil
	})
	if err != nil {
		return nil, err
	}
	return nil, r.decide(begun, holds, why)
}

// nobody is why an expectation of all nodes that are up does not hold if there are none: nobody could contradict it.
const nobody = "no node that is up could be asked"

// expectMode waits until every node that is up is in a mode.
func (r *runner) expectMode(a given) (starlark.Value, error) {
	mode, within, begun := of(a, "mode", ""), of(a, "within", 10*time.Second), r.cluster.Now()
	why := nobody
	holds, err := r.awaits(within, func() (bool, error) {
		asked := 0
		for n, l := range r.look() {
			if l.State != Up {
				continue
			}
			if asked++; l.Mode != mode {
				why = fmt.Sprintf("node %d is in %s mode after %v", n+1, l.Mode, within)
				return false, nil
			}
		}
		return asked > 0, nil
	})
	if err != nil {
		return nil, err
	}
	return nil, r.decide(begun, holds, why)
}

// expectCaughtUp waits until a node has executed what any had executed when it was asked for, those too that are down now. Only the newest epoch
// counts: a forced hand-over gives up what came after it.
func (r *runner) expectCaughtUp(a given) (starlark.Value, error) {
	n, within, begun := of(a, "node", 0), of(a, "within", 20*time.Second), r.cluster.Now()
	r.look()
	furthest := slices.MaxFunc(r.lastUp, func(a, b Look) int { return cmp.Or(cmp.Compare(a.Epoch, b.Epoch), cmp.Compare(a.Seq, b.Seq)) }).Seq
	var l Look
	holds, err := r.awaits(within, func() (bool, error) {
		l = r.cluster.Look(n)
		return l.State == Up && l.Seq >= furthest, nil
	})
	if err != nil {
		return nil, err
	}
	why := fmt.Sprintf("after %v it stands at slot %d, and another stood at %d before", within, l.Seq, furthest)
	if l.State != Up {
		why = fmt.Sprintf("it is %s", l.State)
	}
	return nil, r.decide(begun, holds, why)
}

// checks is a check that a script asks for.
func checks(c Check) func(*runner, given) (starlark.Value, error) {
	return func(r *runner, _ given) (starlark.Value, error) {
		begun := r.cluster.Now()
		if err := r.check(c); err != nil {
			return nil, err
		}
		return nil, r.decide(begun, true, "")
	}
}

// check goes through what the nodes hold.
func (r *runner) check(c Check) error {
	err := r.cluster.Check(r.ctx, c)
	if v := (*Violation)(nil); errors.As(err, &v) {
		return r.violated(v)
	}
	return err
}

func (r *runner) checkLinearizable(given) (starlark.Value, error) {
	if r.traffic == nil {
		return nil, errIdle
	}
	begun := r.cluster.Now()
	if err := r.linearizable(); err != nil {
		return nil, err
	}
	return nil, r.decide(begun, true, "")
}

// linearizable judges the history so far.
func (r *runner) linearizable() error {
	history := r.traffic.sofar()
	if v := LocalReads(history); v != nil {
		return r.violated(v)
	}
	v, _, err := Linearizable(history)
	switch {
	case errors.Is(err, ErrUndecided):
		return r.ends(NotTested, err.Error()+": have fewer calls, or more keys")
	case err != nil:
		return err
	case v != nil:
		return r.violated(v)
	}
	return nil
}
