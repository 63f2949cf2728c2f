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
		down: make(map[int]bool), happened: make(map[string]uint64), check: make(map[Check]error),
		answer: func(Call) Answer { return Answer{Outcome: Done} }, executed: 1,
	}
}

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
	if err := script.Check(nil); err != nil {
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
	if err := script.Check(nil); err != nil {
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
			err = s.Check(nil)
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
