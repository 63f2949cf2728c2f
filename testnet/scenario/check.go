package scenario

import (
	"context"
	"time"
)

// Check looks for what is wrong with a script beyond what Parse can see: it goes through it on a network that is only said to be there, in
// which all is well, what can be seen is made up, and calls that wait take a moment. What may come of made-up values is no mistake. fits says
// what is wrong with the network that it wants, nil that nothing is. The error names line and column.
func (s *Script) Check(fits func(Shape) error) error {
	r := &runner{
		ctx: context.Background(), script: s, cluster: &pretence{}, fits: fits, dry: true, chance: newChance(1, ofScript), run: &Run{Script: s.Name},
	}
	return r.play()
}

// pretence is a network that is only said to be there. Whatever is asked for is done, and whatever is looked at moves on with time, so
// that a script which waits for a change sees one.
type pretence struct {
	shape Shape
	now   time.Duration
	held  map[string]string
}

// moved is how far everything has come.
func (p *pretence) moved() int { return 1 + int(p.now/SampleEvery) }

func (p *pretence) Start(_ context.Context, s Shape) error {
	p.shape, p.held = s, make(map[string]string)
	return nil
}

func (p *pretence) Wait(_ context.Context, d time.Duration) error {
	p.now += d
	return nil
}

func (p *pretence) Look(n int) Look {
	moved := p.moved()
	l := Look{
		State: Up, Role: "follower", Leader: 1 + moved%p.shape.Nodes, View: uint64(moved), Epoch: uint64(moved), Mode: p.shape.Mode, Seq: uint64(moved),
	}
	if l.Leader == n {
		l.Role = "leader"
	}
	return l
}

func (p *pretence) Metrics(int) (map[string]float64, error) {
	all := make(map[string]float64)
	for _, name := range MetricNames {
		all[name] = float64(p.moved())
	}
	return all, nil
}

func (p *pretence) Do(c Call, done func(Answer)) {
	if c.Kind == Put {
		p.held[c.Key] = c.Value
	}
	a := Answer{Call: p.now, Return: p.now, Outcome: Done}
	a.Value, a.Held = p.held[c.Key]
	done(a)
}

func (p *pretence) Operate(o Order, _ time.Duration, done func(error)) {
	p.shape = p.shape.after(o)
	done(nil)
}

func (p *pretence) Now() time.Duration                 { return p.now }
func (p *pretence) Close() error                       { return nil }
func (p *pretence) Crash(_ []int, done func(error))    { done(nil) }
func (p *pretence) Restart(int) error                  { return nil }
func (p *pretence) Stop(int) error                     { return nil }
func (p *pretence) Pause(int) error                    { return nil }
func (p *pretence) Resume(int) error                   { return nil }
func (p *pretence) Twin(int) error                     { return nil }
func (p *pretence) Link(int, int, Link) error          { return nil }
func (p *pretence) Disk(int, DiskFault) error          { return nil }
func (p *pretence) Clock(int, time.Duration) error     { return nil }
func (p *pretence) Behave(int, []string, int) error    { return nil }
func (p *pretence) Accused(int) ([]int, error)         { return nil, nil }
func (p *pretence) Happened() map[string]uint64        { return nil }
func (p *pretence) Check(context.Context, Check) error { return nil }
func (p *pretence) Digest() string                     { return "" }
