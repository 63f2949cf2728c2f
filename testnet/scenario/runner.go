package scenario

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"time"

	"go.starlark.net/starlark"
)

// Options are how a script is run.
type Options struct {
	World    string                                        // sim or testnet
	Seed     uint64                                        // of all that is left to chance: the script's own choices, clients, and a simulated world
	Progress func(at time.Duration, line int, what string) // is told of every call; nil: nobody
	Fits     func(Shape) error                             // what is wrong with a network that the script wants; nil: nothing
}

// longest is how much of the cluster's time a script may take.
const longest = time.Hour

// Play runs a script on a cluster that has not been started, and closes it. The error is one of the script or of the machine, not of the
// network: that is in the verdict. What is known of a run that ends with an error comes with it.
func Play(ctx context.Context, s *Script, c Cluster, o Options) (*Run, error) {
	r := &runner{
		ctx: ctx, script: s, cluster: c, seed: o.Seed, progress: o.Progress, fits: o.Fits,
		chance: newChance(o.Seed, ofScript),
		run:    &Run{Script: s.Name, World: o.World, Seed: o.Seed},
	}
	err := r.playAndClose()
	return r.run, err
}

// playAndClose leaves no network behind, in whatever way the run ends.
func (r *runner) playAndClose() (err error) {
	defer func() { err = errors.Join(err, r.cluster.Close()) }()
	return r.play()
}

// What chances are drawn for: each thing has its own, so that one more choice of a script changes nothing of its workload.
const (
	ofScript = iota + 1
	ofWorkload
)

func newChance(seed, of uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, of)) }

// runner is one run.
type runner struct {
	ctx      context.Context
	script   *Script
	cluster  Cluster
	seed     uint64
	chance   *rand.Rand
	progress func(time.Duration, int, string)
	fits     func(Shape) error
	dry      bool          // nothing is run: only the script is looked at
	invented bool          // what the script knows of the network is made up
	called   int           // functions of the script, by timers
	saw      time.Duration // when it was told of that, of late

	run      *Run
	shape    Shape
	here     here
	schedule schedule
	lastUp   []Look   // by node: how it was when it was last seen up
	missed   []*timer // that the script wanted to happen, and has ended before
	traffic  *workload
	clients  int // that have ever asked for anything
	faults   faultLog
	links    linkFaults
	clocks   []time.Duration
	acts     [][]string // by node: in which ways it lies now
	given    []*givenOrder
	lying    []int // members that were made to lie, or were given a twin
}

// errOver ends a script whose verdict is known.
var errOver = errors.New("the run is over")

// ends settles the verdict, if nothing has before.
func (r *runner) ends(v Verdict, why string) error {
	if r.run.Verdict == "" {
		r.run.Verdict, r.run.Why = v, why
	}
	return errOver
}

// untested ends a run in which a fault could not come about.
func (r *runner) untested(err error) error {
	return r.ends(NotTested, fmt.Sprintf("%s:%d: %s: %v", r.script.Name, r.here.line, r.here.what, err))
}

func (r *runner) play() error {
	thread := &starlark.Thread{Name: r.script.Name, Load: noLoad, Print: r.print}
	thread.SetMaxExecutionSteps(maxSteps)
	r.schedule.thread = thread
	defer context.AfterFunc(r.ctx, func() { thread.Cancel("interrupted") })()
	_, err := r.script.program.Init(thread, r.predeclared())
	if r.dry && err == nil {
		err = r.tries(r.schedule.ends())
	}
	if err = r.mistaken(err, thread); err != nil {
		return err
	}
	switch {
	case r.dry:
		return nil
	case r.shape.Nodes == 0:
		r.judge()
		return nil
	}
	return r.finish()
}

// tries has everything happen that a script which is only looked at wanted to happen after its end, so that what is wrong with it is found.
func (r *runner) tries(missed []*timer) error {
	for _, t := range missed {
		if err := t.do(); err != nil {
			return err
		}
	}
	return nil
}

func noLoad(*starlark.Thread, string) (starlark.StringDict, error) {
	return nil, errors.New("a script is one file")
}

func (r *runner) print(_ *starlark.Thread, text string) {
	if r.progress == nil {
		return
	}
	now := time.Duration(0)
	if r.shape.Nodes > 0 {
		now = r.cluster.Now()
	}
	r.progress(now, 0, text)
}

// ofValues are the errors of Starlark's own that another value may not have.
var ofValues = regexp.MustCompile(`out of range|not in dict|NoneType|division by zero|modulo by zero|empty|invalid literal|not found|ragged`)

// mistaken is what is wrong with a script that has ended so, in one line; nil if it has ended well, or with a verdict.
func (r *runner) mistaken(err error, t *starlark.Thread) error {
	var eval *starlark.EvalError
	m := (*mistake)(nil)
	switch {
	case err == nil, errors.Is(err, errOver):
		return nil
	case r.ctx.Err() != nil:
		return r.ctx.Err()
	case errors.As(err, &m):
		return m
	case r.dry && r.invented && (ofValues.MatchString(err.Error()) || t.ExecutionSteps() >= maxSteps && r.cluster.Now() > time.Minute):
		return nil // it may come of what was made up
	case t.ExecutionSteps() >= maxSteps && errors.As(err, &eval):
		return &mistake{place: r.script.endless(innermost(eval)), text: fmt.Sprintf("more than %d steps: is this an endless loop? Have it sleep(), or end", maxSteps)}
	case errors.As(err, &eval):
		return &mistake{place: r.script.begins(innermost(eval)), text: eval.Msg}
	}
	return err
}

// innermost is the place in the script at which something went wrong.
func innermost(e *starlark.EvalError) (place starlarkPosition) {
	for _, frame := range slices.Backward(e.CallStack) {
		if frame.Pos.Line > 0 {
			return frame.Pos
		}
	}
	return place
}

// makeCluster is cluster(), and whatever is called first without it.
func (r *runner) makeCluster(a given) (starlark.Value, error) {
	if r.shape.Nodes != 0 {
		return nil, errors.New("there is a network already: cluster() comes first, and once")
	}
	shape := Shape{Nodes: int(of(a, "nodes", int64(4))), Mode: of(a, "mode", "byzantine"), Parameters: of(a, "params", map[string]uint32(nil)), Seed: r.seed}
	if err := r.wrongWith(shape); err != nil {
		return nil, err
	}
	if err := r.cluster.Start(r.ctx, shape); err != nil {
		return nil, err
	}
	r.shape = shape
	r.run.Nodes = shape.Nodes
	r.clocks = make([]time.Duration, shape.Nodes+1)
	r.lastUp = make([]Look, shape.Nodes+1)
	r.acts = make([][]string, shape.Nodes+1)
	r.faults.downed = make(map[int]bool)
	r.links.cluster = r.cluster
	r.links.nodes = shape.Nodes
	r.look()
	r.schedule.after(r.cluster.Now()+SampleEvery, r.sample)
	return nil, nil
}

// pass lets time go by. Whatever was scheduled happens in it.
func (r *runner) pass(d time.Duration) error {
	until := r.cluster.Now() + d
	if until > longest {
		if r.dry && r.saw > r.cluster.Now()-longest/10 {
			return errOver // it waits for something that a network only may do
		}
		return fmt.Errorf("the script goes on for more than %v", longest)
	}
	for {
		if err := r.schedule.due(r.cluster.Now()); err != nil {
			return err
		}
		now := r.cluster.Now()
		if now >= until {
			return nil
		}
		// What was busy when its time came has waited until now.
		if err := r.wait(max(min(until, r.schedule.next())-now, 0)); err != nil {
			return err
		}
	}
}

func (r *runner) wait(d time.Duration) error {
	err := r.cluster.Wait(r.ctx, d)
	if v := (*Violation)(nil); errors.As(err, &v) {
		return r.violated(v)
	}
	return err
}

// violated ends a run in which the network has broken a promise.
func (r *runner) violated(v *Violation) error {
	if r.run.Violation == nil {
		now := r.cluster.Now()
		r.run.Violation = v
		r.run.Expectations = append(r.run.Expectations, Expectation{Line: r.here.line, What: string(v.Check), From: now, To: now, Why: v.Text})
		r.run.Verdict, r.run.Why = Violated, v.Error() // whatever else was or was not tested
	}
	return errOver
}

// sample looks at all nodes, now and every SampleEvery.
func (r *runner) sample() error {
	r.schedule.after(r.cluster.Now()+SampleEvery, r.sample)
	return r.fallen()
}

// fallen looks at all nodes, and ends a run in which one has ended that nothing was to bring down.
func (r *runner) fallen() error {
	for n, l := range r.look() {
		if err := r.fell(n+1, l); err != nil {
			return err
		}
	}
	return nil
}

// fell ends a run if a node has ended that nothing was to bring down.
func (r *runner) fell(n int, l Look) error {
	if l.State != Down || slices.Contains(r.lying, n) || r.explains(n) {
		return nil
	}
	return r.violated(&Violation{Check: Running, Node: n, Text: fmt.Sprintf("node %d has ended by itself", n)})
}

// look takes in how all nodes are: every SampleEvery, and whenever one is in another epoch or view.
func (r *runner) look() []Look {
	s := r.sampleNow()
	if n := len(r.run.Samples); n == 0 || s.At >= r.run.Samples[n-1].At+SampleEvery || s.newer(&r.run.Samples[n-1]) {
		r.run.Samples = append(r.run.Samples, s)
	}
	return s.Nodes
}

func (r *runner) sampleNow() Sample {
	s := Sample{At: r.cluster.Now()}
	for n := 1; n <= r.shape.Nodes; n++ {
		l := r.cluster.Look(n)
		s.Nodes = append(s.Nodes, l)
		if l.State == Up {
			r.lastUp[n] = l
		}
	}
	return s
}

// newer says whether a node is in another epoch or view than before.
func (s *Sample) newer(before *Sample) bool {
	for i, l := range s.Nodes {
		if b := before.Nodes[i]; l.Epoch != b.Epoch || l.View != b.View {
			return true
		}
	}
	return false
}

// lastLook has the run end with a sample of how all nodes were at its end.
func (r *runner) lastLook() {
	s := r.sampleNow()
	if n := len(r.run.Samples); s.At == r.run.Samples[n-1].At {
		r.run.Samples = r.run.Samples[:n-1]
	}
	r.run.Samples = append(r.run.Samples, s)
}

// answerTime is how long a run waits at its end for calls that have no answer yet.
const answerTime = 12 * time.Second

// finish ends a run whose script has ended: it waits for what is under way, looks once more at all that must hold, and settles the verdict.
func (r *runner) finish() error {
	r.here = here{what: "the end of the script"}
	r.missed = r.schedule.ends()
	err := r.settle()
	if err != nil && !errors.Is(err, errOver) {
		return err
	}
	if err := r.fallen(); err != nil && !errors.Is(err, errOver) {
		return err
	}
	r.lastLook()
	r.came()
	r.faults.finish(r.cluster.Now(), r.cluster.Happened(), r.run)
	if t := r.traffic; t != nil {
		r.run.History = t.sofar()
	}
	r.run.Took, r.run.Digest = r.cluster.Now(), r.cluster.Digest()
	r.judge()
	return nil
}

// settle waits for calls under way, and then checks all that can be checked: a script need not ask for it.
func (r *runner) settle() error {
	if r.run.Verdict == Violated {
		return nil
	}
	if err := r.wait(0); err != nil {
		return err // of which nothing has told yet
	}
	if t := r.traffic; t != nil {
		t.stopped = true
		for deadline := r.cluster.Now() + answerTime; t.open > 0 && r.cluster.Now() < deadline; {
			if err := r.pass(20 * time.Millisecond); err != nil {
				return err
			}
		}
	}
	for _, c := range []Check{Agreement, Durability, ExactlyOnce} {
		if err := r.check(c); err != nil {
			return err
		}
	}
	if r.traffic != nil {
		return r.linearizable()
	}
	return nil
}

// judge settles the verdict of a run in which nothing was found broken: faults that did not come about have tested nothing.
func (r *runner) judge() {
	if r.run.Verdict != "" {
		return
	}
	for i := range r.run.Faults {
		if f := &r.run.Faults[i]; f.Hits == 0 {
			r.ends(NotTested, fmt.Sprintf("%s:%d: %s did not come about: %s", r.script.Name, f.Line, f.What, f.Why))
			return
		}
	}
	switch {
	case len(r.missed) > 0:
		call := r.missed[0].asked
		r.ends(NotTested, fmt.Sprintf("%s:%d: %s: the script ended before all of it had happened: have it sleep() until then", r.script.Name, call.line, call.what))
	case len(r.run.Expectations) == 0:
		r.ends(NotTested, "no expectation was reached")
	case r.traffic != nil && !slices.ContainsFunc(r.run.History, func(o Operation) bool { return o.Answer.answered() }):
		r.ends(NotTested, "no client was ever answered")
	case !slices.ContainsFunc(r.run.Samples, func(s Sample) bool {
		return slices.ContainsFunc(s.Nodes, func(l Look) bool { return l.Seq > 0 })
	}):
		r.ends(NotTested, "nothing was ever executed: have clients ask for something")
	default:
		r.run.Verdict = Passed
	}
}
