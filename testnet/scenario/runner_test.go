package scenario

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

// staged is a network that does what a test has it do: all is well but what the test changes.
type staged struct {
	pretence
	down     map[int]bool
	happened map[string]uint64
	answer   func(Call) Answer // nil: an Unknown
	check    map[Check]error
	accused  []int
	wait     error
	operated error
	paused   bool // all of it
	executed uint64
	behind   int    // the node that has executed nothing
	unsynced int    // the node whose crash takes something that was not synced
	comes    string // what comes about whenever time passes
	ends     int    // the node that ends by itself after 5 s
	gone     int    // the node that ends when any is crashed
	waiting  []func()
}

func newStaged() *staged {
	return &staged{
		pretence: pretence{fits: anyShape}, down: make(map[int]bool), happened: make(map[string]uint64), check: make(map[Check]error),
		answer: func(Call) Answer { return Answer{Outcome: Done} }, executed: 1,
	}
}

func anyShape(Shape) error { return nil }

func (s *staged) Crash(nodes []int, done func(error)) {
	s.down[s.gone] = true
	for _, n := range nodes {
		if s.down[n] {
			done(fmt.Errorf("node %d: it is down", n))
			return
		}
		s.down[n] = true
		if n == s.unsynced {
			s.happened[AtNode(CountUnsynced, n)]++
		}
	}
	done(nil)
}

func (s *staged) Restart(n int) error {
	s.down[n] = false
	return nil
}

func (s *staged) Look(n int) Look {
	if s.down[n] {
		return Look{State: Down}
	}
	if s.paused {
		return Look{State: Paused}
	}
	l := Look{State: Up, Role: "follower", Leader: 1, Mode: s.shape.Mode, Seq: s.executed}
	if n == s.behind {
		l.Seq = 0
	}
	return l
}

func (s *staged) Do(c Call, done func(Answer)) {
	begun := s.now
	s.waiting = append(s.waiting, func() {
		a := s.answer(c)
		a.Call, a.Return = begun, s.now
		done(a)
	})
}

func (s *staged) Operate(_ Order, _ time.Duration, done func(error)) {
	s.waiting = append(s.waiting, func() { done(s.operated) })
}

func (s *staged) Wait(_ context.Context, d time.Duration) error {
	s.now += d
	if s.comes != "" {
		s.happened[s.comes]++
	}
	if s.now >= 5*time.Second && s.ends > 0 {
		s.down[s.ends] = true
	}
	waiting := s.waiting
	s.waiting = nil
	for _, f := range waiting {
		f()
	}
	return s.wait
}

func (s *staged) Metrics(n int) (map[string]float64, error) {
	if s.down[n] {
		return nil, errors.New("it is down")
	}
	return s.pretence.Metrics(n)
}

func (s *staged) Happened() map[string]uint64            { return s.happened }
func (s *staged) Check(_ context.Context, c Check) error { return s.check[c] }
func (s *staged) Accused(int) ([]int, error)             { return s.accused, nil }

func playStaged(t *testing.T, s *staged, text string) *Run {
	t.Helper()
	script, err := Parse("t.star", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Play(t.Context(), script, s, Options{Seed: 1, World: "sim"})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What a verdict rests on, each with the one thing that decides it.
func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		name, script string
		stage        func(*staged)
		verdict      Verdict
		why          string
	}{
		{"all is well", "workload()\nexpect_progress()", nil, Passed, ""},
		{"a fault that came about", "workload()\ncrash(1)\nrestart(1)\nexpect_progress()", nil, Passed, ""},
		{"a crash of a node that is down", "crash(1)\ncrash(1)\ncheck_agreement()", nil, NotTested, "t.star:2: crash(1): node 1: it is down"},
		{"a cut that stopped nothing", "isolate(2)\nsleep('1s')\ncheck_agreement()", nil, NotTested, "t.star:1: isolate(2) did not come about: it stopped no message"},
		{"a slow disk that nobody synced", "slow(2, '1ms')\nsleep('1s')\ncheck_agreement()", nil, NotTested,
			`t.star:1: slow(2, "1ms") did not come about: the node has synced nothing since`},
		{"a failed sync that nobody met", "fail_sync(2)\nsleep('1s')\ncheck_agreement()", nil, NotTested,
			"t.star:1: fail_sync(2) did not come about: the node has not met it"},
		{"a failed sync that a crash was before", "fail_sync(2)\ncrash(2)\nsleep('1s')\nrestart(2)\ncheck_agreement()", nil, NotTested,
			"t.star:1: fail_sync(2) did not come about: the node has not met it"},
		{"a failed sync that was met", "fail_sync(2)\nsleep('1s')\nrestart(2)\ncheck_agreement()",
			func(s *staged) { s.down[2], s.comes = true, AtNode(CountFailed, 2) }, Passed, ""},
		{"a full disk where a sync failed", "fill(2)\nfail_sync(2)\nsleep('1s')\nrestart(2)\ncheck_agreement()",
			func(s *staged) { s.down[2], s.comes = true, AtNode(CountFailed, 2) }, NotTested, "t.star:1: fill(2) did not come about: the node has not met it"},
		{"a node that ends by itself, with a full disk that it has not met", "fill(2)\nsleep('1s')\ncheck_agreement()",
			func(s *staged) { s.down[2] = true }, Violated, "running: node 2 has ended by itself"},
		{"a node that ends by itself, and is started at once", "restart(2)\ncheck_agreement()",
			func(s *staged) { s.down[2] = true }, Violated, "running: node 2 has ended by itself"},
		{"a node that ends by itself, and may refuse to start", "try_restart(2)\ncheck_agreement()",
			func(s *staged) { s.down[2] = true }, Violated, "running: node 2 has ended by itself"},
		{"a node that ends by itself after bits were changed", "crash(2)\nflip(2)\nrestart(2)\nwhile state(2) == 'up':\n    sleep('1s')\ncheck_agreement()",
			func(s *staged) { s.ends = 2 }, Passed, ""},
		{"a node that ends by itself when changed bits are gone", "crash(2)\nflip(2)\nwipe(2)\nrestart(2)\nsleep('9s')\ncheck_agreement()",
			func(s *staged) { s.ends = 2 }, Violated, "running: node 2 has ended by itself"},
		{"a crash at whose moment another node ends", "crash(1, 3)\ncheck_agreement()",
			func(s *staged) { s.gone = 3 }, NotTested, "t.star:1: crash(1, 3): node 3: it is down"},
		{"loss of nothing", "loss(0)\nloss('30%')\nsleep('1s')\ncheck_agreement()", func(s *staged) { s.comes = OnLink(CountLost, 1, 2) }, Passed, ""},
		{"a delay that another one overrides", "delay('1s', of=[4])\ndelay('10ms')\nsleep('1s')\ncheck_agreement()",
			func(s *staged) { s.comes = OnLink(CountDelayed, 4, 2) }, NotTested, `t.star:1: delay("1s", of=[4]) did not come about: no message was delayed`},
		{"a delay that another one overrides at some links", "delay('1s')\ndelay('10ms', of=[4])\nsleep('1s')\ncheck_agreement()",
			func(s *staged) { s.comes = OnLink(CountDelayed, 4, 2) }, NotTested, `t.star:1: delay("1s") did not come about: no message was delayed`},
		{"a delay that has come about before another one", "delay('1s')\nsleep('1s')\ndelay('0s')\nsleep('1s')\ncheck_agreement()",
			func(s *staged) { s.comes = OnLink(CountDelayed, 4, 2) }, Passed, ""},
		{"parameters that there are, without waiting", "set_params({'window': 64}, wait=False)\nsleep('1s')\ncheck_agreement()", nil, NotTested,
			`t.star:1: set_params({"window": 64}, wait=False) did not come about: it is so already`},
		{"a condition that takes longer than it has", "def late():\n    sleep('3s')\n    return True\nuntil(late, within='1s')", nil, Violated,
			"t.star:4: until(late, within='1s'): not within 1s"},
		{"a local read at a node that is down", "workload(cas=0, get=0)\nsleep('1s')\nlocal_get(2, 'x')\ncheck_agreement()", func(s *staged) {
			s.answer = func(c Call) Answer {
				if c.Kind == LocalGet {
					return Answer{Outcome: Refused}
				}
				return Answer{Outcome: Done}
			}
		}, NotTested, `t.star:3: local_get(2, "x"): node 2: it does not answer`},
		{"nothing but a local read", "expect(local_get(2, 'x') == None)", nil, Passed, ""},
		{"progress where clients only read locally", "workload(put=0, cas=0, get=0, local_get=1)\nexpect_progress()", nil, Passed, ""},
		{"bits of a node that has ended by itself", "flip(2)\ncheck_agreement()", func(s *staged) { s.down[2] = true }, Violated, "running: node 2 has ended by itself"},
		{"metrics of a node that is down", "crash(2)\nmetrics(2)\ncheck_agreement()", nil, NotTested, "t.star:2: metrics(2): node 2: it is down"},
		{"un-synced writes lost, and no crash", "lose_unsynced(2)\nsleep('1s')\ncheck_agreement()", nil, NotTested,
			"t.star:1: lose_unsynced(2) did not come about: no crash since has met anything that was not synced"},
		{"a crash that took nothing that was not synced", "lose_unsynced(2)\ncrash(2)\ncheck_agreement()", nil, NotTested,
			"t.star:1: lose_unsynced(2) did not come about: no crash since has met anything that was not synced"},
		{"un-synced writes lost in one of two crashes", "lose_unsynced(2, 3)\ncrash(2, 3)\ncheck_agreement()", func(s *staged) { s.unsynced = 3 }, Passed, ""},
		{"jitter where there is delay", "delay('1ms')\njitter('2ms')\nsleep('1s')\ncheck_agreement()",
			func(s *staged) { s.comes = OnLink(CountDelayed, 1, 2) }, NotTested, `t.star:2: jitter("2ms") did not come about: no message was jittered`},
		{"one act where another is done", "byzantine(2, 'mutate')\nbyzantine(2, 'hide')\nsleep('1s')\ncheck_agreement()",
			func(s *staged) { s.comes = AtNode(CountLies("mutate"), 2) }, NotTested, `t.star:2: byzantine(2, "hide") did not come about`},
		{"the mode that there is", "switch_mode('byzantine')\ncheck_agreement()", nil, NotTested, `t.star:1: switch_mode("byzantine"): the mode is byzantine already`},
		{"parameters that there are", "set_params({'window': 64})\ncheck_agreement()", nil, NotTested, `t.star:1: set_params({"window": 64}): it is so already`},
		{"an order that is refused while the script goes on", "switch_mode('crash', wait=False)\nsleep('1s')\ncheck_agreement()",
			func(s *staged) { s.operated = errors.New("refused") }, NotTested, `t.star:1: switch_mode("crash", wait=False) did not come about: refused`},
		{"a liar that has not lied", "byzantine(2, 'hide')\nsleep('1s')\ncheck_agreement()", nil, NotTested,
			`t.star:1: byzantine(2, "hide") did not come about: it has not lied: it had nothing to say that this act is about`},
		{"an expectation behind a branch", "if False:\n    check_agreement()", nil, NotTested, "no expectation was reached"},
		{"clients that are never answered", "workload()\nsleep('1s')\ncheck_agreement()",
			func(s *staged) { s.answer = func(Call) Answer { return Answer{Outcome: Unknown} } }, NotTested, "no client was ever answered"},
		{"no progress", "workload()\nexpect_progress(within='2s')",
			func(s *staged) { s.answer = func(Call) Answer { return Answer{Outcome: Unknown} } }, Violated,
			`t.star:2: expect_progress(within="2s"): nothing that was asked for since was acknowledged within 2s`},
		{"progress where there should be none", "workload()\nexpect_no_progress('2s')", nil, Violated,
			`t.star:2: expect_no_progress("2s"): something that was asked for since was acknowledged`},
		{"too few view changes", "expect_view_changes(at_least=1)", nil, Violated, "t.star:1: expect_view_changes(at_least=1): there were 0"},
		{"another mode", "expect_mode('crash', within='1s')", nil, Violated, `t.star:1: expect_mode("crash", within="1s"): node 1 is in byzantine mode after 1s`},
		{"no evidence", "expect_evidence(against=2, within='1s')", nil, Violated, `t.star:1: expect_evidence(against=2, within="1s"): node 1 holds none after 1s`},
		{"evidence against an honest member", "expect_evidence(against=2, within='1s')", func(s *staged) { s.accused = []int{3} }, Violated,
			"accusations: holds evidence against member 3, who is honest"},
		{"evidence that nobody could hold", "expect_evidence(against=2, within='1s')", func(s *staged) { s.paused, s.accused = true, []int{2} }, Violated,
			`t.star:1: expect_evidence(against=2, within="1s"): no node that is up could be asked`},
		{"a mode that nobody is in", "expect_mode('byzantine', within='1s')", func(s *staged) { s.paused = true }, Violated,
			`t.star:1: expect_mode("byzantine", within="1s"): no node that is up could be asked`},
		{"a node that stands where all stand, which is nowhere", "expect_caught_up(2, within='1s')", func(s *staged) { s.paused = true }, Violated,
			`t.star:1: expect_caught_up(2, within="1s"): it is paused`},
		{"a node that is behind those that are down", "crash(1, 3, 4)\nexpect_caught_up(2, within='1s')", func(s *staged) { s.behind = 2 }, Violated,
			`t.star:2: expect_caught_up(2, within="1s"): after 1s it stands at slot 0, and another stood at 1 before`},
		{"one call, answered before anybody has looked", "put('x', '1')\ncheck_agreement()", func(s *staged) {
			s.executed = 0
			s.answer = func(Call) Answer {
				s.executed = 1
				return Answer{Outcome: Done}
			}
		}, Passed, ""},
		{"what a script has found out itself", "expect(height() == 1, 'nothing was executed')", nil, Passed, ""},
		{"what a script has found out itself and is not so", "expect(height() == 2, 'nothing was executed since')", nil, Violated,
			`t.star:1: expect(height() == 2, 'nothing was executed since'): nothing was executed since`},
		{"what is not so, without words", "expect(\n    height()   == 2)", nil, Violated, "t.star:1: expect( height() == 2): it is not so"},
		{"a script that says that something is wrong", "if height() == 1:\n    fail('it is 1')", nil, Violated, `t.star:2: fail("it is 1"): it is 1`},
		{"something that happens later", "after('1s', lambda: crash(2))\nsleep('999ms')\nexpect(state(2) == 'up')\nsleep('2ms')\nexpect(state(2) == 'down')", nil, Passed, ""},
		{"a local read that finds something else", "expect(local_get(2, 'x') == '2')",
			func(s *staged) { s.answer = func(Call) Answer { return Answer{Outcome: Done, Held: true, Value: "1"} } }, Violated, "t.star:1: expect(local_get(2, 'x') == '2')"},
		{"a network in which nothing was executed", "check_agreement()", func(s *staged) { s.executed = 0 }, NotTested, "nothing was ever executed"},
		{"a condition that never holds", "until(lambda: False, within='1s')", nil, Violated, `t.star:1: until(lambda: False, within='1s'): not within 1s`},
		{"operators are refused", "switch_mode('crash')\ncheck_agreement()", func(s *staged) { s.operated = errors.New("refused") }, Violated,
			`t.star:1: switch_mode("crash"): refused`},
		{"a broken promise that the cluster sees", "workload()\nexpect_progress()", func(s *staged) { s.wait = &Violation{Check: "order", Text: "a gap"} }, Violated, "order: a gap"},
		{"two executions, found at the end without being asked for", "workload()\nexpect_progress()",
			func(s *staged) { s.check[ExactlyOnce] = &Violation{Check: ExactlyOnce, Text: "twice"} }, Violated, "exactly_once: twice"},
		{"a history without an order", "workload(put=1, cas=0, get=1, keys=1, clients=1)\nsleep('3s')\ncheck_agreement()", func(s *staged) {
			s.answer = func(c Call) Answer { return Answer{Outcome: Done, Held: c.Kind == Get, Value: "never written"} }
		}, Violated, "linearizab"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStaged()
			if c.stage != nil {
				c.stage(s)
			}
			r := playStaged(t, s, c.script)
			if r.Verdict != c.verdict || !strings.HasPrefix(r.Why, c.why) || c.why == "" && r.Why != "" {
				t.Errorf("%s: %s\nwant %s: %s", r.Verdict, r.Why, c.verdict, c.why)
			}
		})
	}
}

// A cut that did stop something has come about, as often as the counts say.
func TestHitsAreWhatHasHappenedMeanwhile(t *testing.T) {
	s := newStaged()
	s.happened[OnLink(CountStopped, 1, 2)] = 5
	script := "isolate(2)\nsleep('1s')\nheal()\ncheck_agreement()"
	parsed, err := Parse("t.star", []byte(script))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Play(t.Context(), parsed, &rising{s}, Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	if r.Verdict != Passed || r.Faults[0].Hits != 1 || r.Faults[0].To != time.Second {
		t.Errorf("%s %s %+v", r.Verdict, r.Why, r.Faults)
	}
}

// rising counts one message stopped whenever time passes.
type rising struct{ *staged }

func (r *rising) Wait(ctx context.Context, d time.Duration) error {
	if r.now == 0 {
		r.happened[OnLink(CountStopped, 1, 2)]++
	}
	return r.staged.Wait(ctx, d)
}

// What is scheduled happens at its time, in order, also while something scheduled earlier is still going on.
func TestTheSchedule(t *testing.T) {
	var told []string
	script, err := Parse("t.star", []byte(`
def slow():
    print("slow begins")
    sleep("250ms")
    print("slow ends")
at("300ms", lambda: print("at"))
every("100ms", lambda: print("every"), times = 4)
every("200ms", slow, times = 2)
sleep("1s")
check_agreement()
`))
	if err != nil {
		t.Fatal(err)
	}
	if err := script.Check(anyShape); err != nil {
		t.Fatal(err)
	}
	_, err = Play(t.Context(), script, newStaged(), Options{Seed: 1, Progress: func(at time.Duration, line int, what string) {
		if line == 0 {
			told = append(told, at.String()+" "+what)
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := `100ms every, 200ms every, 200ms slow begins, 300ms at, 300ms every, 400ms every, 450ms slow ends, 450ms slow begins, 700ms slow ends`
	if got := strings.Join(told, ", "); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// A function may set itself anew.
func TestAFunctionMaySetItselfAnew(t *testing.T) {
	text := `
n = [0]
def again():
    n[0] += 1
    if now() < 900:
        at("%dms" % (now() + 100), again)
again()
sleep("2s")
print(n[0])
check_agreement()
`
	script, err := Parse("t.star", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := script.Check(anyShape); err != nil {
		t.Fatal(err)
	}
	told := ""
	r, err := Play(t.Context(), script, newStaged(), Options{Progress: func(_ time.Duration, line int, what string) {
		if line == 0 {
			told = what
		}
	}})
	if err != nil || r.Verdict != Passed || told != "10" {
		t.Errorf("%v %s %s: called %s times", err, r.Verdict, r.Why, told)
	}
}

// One more choice of the script changes nothing of what its clients ask for.
func TestTheWorkloadIsTheSeeds(t *testing.T) {
	calls := func(script string) (all []Call) {
		for _, o := range playStaged(t, newStaged(), script).History {
			all = append(all, o.Call)
		}
		return all
	}
	a := calls("workload()\nsleep('2s')\ncheck_agreement()")
	b := calls("randint(1, 9)\nworkload()\nsleep('2s')\ncheck_agreement()")
	if len(a) < 20 || len(a) != len(b) {
		t.Fatalf("%d and %d calls", len(a), len(b))
	}
	for i := range a {
		if a[i] != b[i] {
			t.Errorf("call %d: %+v and %+v", i+1, a[i], b[i])
		}
	}
}

// cutting remembers which links are cut.
type cutting struct {
	*staged
	cut map[pair]bool
}

func (c *cutting) Link(from, to int, l Link) error {
	c.cut[pair{from, to}] = l.Cut
	return nil
}

// Healed is healed: what would have flapped on does not.
func TestHealEndsFlapping(t *testing.T) {
	c := &cutting{newStaged(), make(map[pair]bool)}
	s, err := Parse("t.star", []byte("flap(2, period='400ms', times=10)\nsleep('500ms')\nheal()\nsleep('450ms')\ncheck_agreement()"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Play(t.Context(), s, c, Options{Seed: 1}); err != nil {
		t.Fatal(err)
	}
	for p, cut := range c.cut {
		if cut {
			t.Errorf("from %d to %d nothing comes through", p.from, p.to)
		}
	}
}

// While a run waits for the last answers nothing of the script is called any more, be it a function of its own or one of ours.
func TestNothingIsCalledAfterTheScriptsEnd(t *testing.T) {
	script, err := Parse("t.star", []byte("workload()\nevery('10ms', heal)\nevery('10ms', lambda: print('still'))\nsleep('1s')\nprint('the end')\ncheck_agreement()"))
	if err != nil {
		t.Fatal(err)
	}
	var told []string
	r, err := Play(t.Context(), script, &slowToAnswer{newStaged()}, Options{Seed: 1, World: "sim", Progress: func(_ time.Duration, _ int, what string) {
		told = append(told, what)
	}})
	if err != nil {
		t.Fatal(err)
	}
	if last := told[len(told)-2:]; last[0] != "the end" || last[1] != "check_agreement()" || r.Took < 10*time.Second {
		t.Errorf("%q, after %v", last, r.Took)
	}
}

// slowToAnswer is a network whose clients are never answered.
type slowToAnswer struct{ *staged }

func (s *slowToAnswer) Do(Call, func(Answer)) {}

// breaking is a network that panics, and says whether it was closed.
type breaking struct {
	*staged
	closed bool
}

func (b *breaking) Link(int, int, Link) error { panic("broken") }

func (b *breaking) Close() error {
	b.closed = true
	return nil
}

func TestANetworkIsClosedWhenARunPanics(t *testing.T) {
	script, err := Parse("t.star", []byte("heal()\ncheck_agreement()"))
	if err != nil {
		t.Fatal(err)
	}
	b := &breaking{staged: newStaged()}
	func() {
		defer func() { _ = recover() }()
		_, _ = Play(t.Context(), script, b, Options{})
	}()
	if !b.closed {
		t.Fatal("it was left running")
	}
}

// What a script asks for more often than there is memory for happens as long as the script goes on.
func TestAFaultThatIsToHappenForEver(t *testing.T) {
	r := playStaged(t, newStaged(), "crash_loop(2, period='1s', times=2000000000)\nflap(3, period='1h', times=2000000000)\nsleep('3s300ms')\ncheck_agreement()")
	crashes := 0
	for _, f := range r.Faults {
		if f.Kind == "crash_loop" {
			crashes++
		}
	}
	if crashes != 4 {
		t.Fatalf("%d crashes in 3.3 s, want 4", crashes)
	}
	for _, text := range []string{"crash_loop(2, period='0s')", "flap(2, period='1us')"} {
		s, err := Parse("t.star", []byte(text+"\ncheck_agreement()"))
		if err == nil {
			err = s.Check(anyShape)
		}
		if err == nil || !strings.Contains(err.Error(), "period: want at least 1ms") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// What a network has broken is not forgiven because a fault could not come about.
func TestABrokenPromiseWeighsMoreThanAFaultThatDidNotComeAbout(t *testing.T) {
	s := newStaged()
	s.check[Durability] = &Violation{Check: Durability, Text: "lost"}
	if r := playStaged(t, s, "crash(1)\ncrash(1)\ncheck_agreement()"); r.Verdict != Violated || r.Why != "durability: lost" {
		t.Fatalf("%s: %s", r.Verdict, r.Why)
	}
}

// A member that is to lie in two ways at once has not stopped lying in the first when it begins with the second.
func TestTwoWaysOfLyingAtOnce(t *testing.T) {
	s := &liarOnWait{newStaged()}
	script, err := Parse("t.star", []byte("byzantine(2, 'equivocate')\nbyzantine(2, 'mutate')\nsleep('1s')\ncheck_agreement()"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Play(t.Context(), script, s, Options{Seed: 1, World: "sim"})
	if err != nil || r.Verdict != Passed {
		t.Fatalf("%s: %s, %v", r.Verdict, r.Why, err)
	}
	for _, f := range r.Faults {
		if f.To < time.Second {
			t.Errorf("%s ends at %v", f.What, f.To)
		}
	}
}

// liarOnWait has a member lie whenever time passes.
type liarOnWait struct{ *staged }

func (s *liarOnWait) Wait(ctx context.Context, d time.Duration) error {
	s.happened[AtNode(CountLies("equivocate"), 2)]++
	s.happened[AtNode(CountLies("mutate"), 2)]++
	return s.staged.Wait(ctx, d)
}

// What was to happen after the script's end has not happened.
func TestWhatWasToHappenLater(t *testing.T) {
	for _, c := range []struct{ script, why string }{
		{"at('1m', lambda: crash(2))\ncheck_agreement()", `t.star:1: at("1m", lambda): `},
		{"every('1s', check_agreement, times=3)\nsleep('2500ms')", `t.star:1: every("1s", check_agreement, times=3): `},
		{"crash_loop(2, period='1s', times=2)\nsleep('1s')\ncheck_agreement()", "t.star:1: crash_loop(2, period=\"1s\", times=2): "},
	} {
		r := playStaged(t, newStaged(), c.script)
		if r.Verdict != NotTested || !strings.HasPrefix(r.Why, c.why+"the script ended before") {
			t.Errorf("%s\n%s: %s", c.script, r.Verdict, r.Why)
		}
	}
	for _, script := range []string{
		"at('1s', lambda: crash(2))\nsleep('1s')\ncheck_agreement()", "every('1s', check_agreement)\nsleep('2500ms')",
		"every('1s', check_agreement, times=3)\nsleep('3s')", "crash_loop(2, period='1s', times=2)\nsleep('1500ms')\ncheck_agreement()",
	} {
		if r := playStaged(t, newStaged(), script); r.Verdict != Passed {
			t.Errorf("%s\n%s: %s", script, r.Verdict, r.Why)
		}
	}
}

// An expectation is kept in its time or not at all: what comes about while a function that is called meanwhile sleeps comes too late, or does no
// harm any more.
func TestTimeIsNotStretchedByWhatSleeps(t *testing.T) {
	s := newStaged()
	late := &answeringAfter{s, 3 * time.Second}
	script := func(text string) *Script {
		parsed, err := Parse("t.star", []byte("workload(clients=1, put=1, cas=0, get=0)\nat('500ms', lambda: sleep('5s'))\n"+text))
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	r, err := Play(t.Context(), script("expect_progress(within='1s')"), late, Options{Seed: 1})
	if err != nil || r.Verdict != Violated {
		t.Errorf("what came after three seconds: %v, %s: %s", err, r.Verdict, r.Why)
	}
	r, err = Play(t.Context(), script("expect_no_progress('1s')\nsleep('9s')"), &answeringAfter{newStaged(), 3 * time.Second}, Options{Seed: 1})
	if err != nil || r.Verdict != Passed {
		t.Errorf("what came after the second in which nothing was to come: %v, %s: %s", err, r.Verdict, r.Why)
	}
}

// answeringAfter answers nothing before a time.
type answeringAfter struct {
	*staged
	after time.Duration
}

func (a *answeringAfter) Wait(ctx context.Context, d time.Duration) error {
	if a.now+d >= a.after {
		return a.staged.Wait(ctx, d)
	}
	a.now += d
	return nil
}

// A node that ends although nobody has brought it down is not what a network promises, however well the others do without it.
func TestANodeThatEndsByItself(t *testing.T) {
	s := newStaged()
	s.down[3] = true
	r := playStaged(t, s, "sleep('1s')\ncheck_agreement()")
	if r.Verdict != Violated || r.Why != "running: node 3 has ended by itself" {
		t.Errorf("%s: %s", r.Verdict, r.Why)
	}
	for _, text := range []string{"fail_sync(3)", "fill(3)"} {
		s := newStaged()
		s.down[3] = true
		s.comes = AtNode(map[string]string{"fail_sync(3)": CountFailed, "fill(3)": CountFull}[text], 3)
		if r := playStaged(t, s, text+"\nsleep('1s')\ncheck_agreement()"); r.Verdict != Passed {
			t.Errorf("%s: %s: %s", text, r.Verdict, r.Why)
		}
	}
}

// That nothing is acknowledged would say nothing if all clients waited for what they asked for before.
func TestSomebodyAsksWhenNothingIsToBeAcknowledged(t *testing.T) {
	script, err := Parse("t.star", []byte("workload(clients=1)\nsleep('1s')\nexpect_no_progress('2s')"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := Play(t.Context(), script, &answeringThoseWhoExpectNothing{newStaged()}, Options{Seed: 1})
	if err != nil || r.Verdict != Violated {
		t.Errorf("%v, %s: %s", err, r.Verdict, r.Why)
	}
}

type answeringThoseWhoExpectNothing struct{ *staged }

func (a *answeringThoseWhoExpectNothing) Do(c Call, done func(Answer)) {
	if c.Key == "expect_no_progress" {
		a.staged.Do(c, done)
	}
}
