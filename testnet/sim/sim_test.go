package sim

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
)

func TestMain(m *testing.M) {
	debug.SetGCPercent(400) // worlds are small and short-lived: most of the time would go into collecting them
	os.Exit(m.Run())
}

// The seeds that every change is tried on. One of them, 350, uses real signatures.
const (
	firstFixed = 312
	enough     = 5 // failures, to see what they have in common
)

// case F1, F11, F12, F14, F15, M5, N2, N3, N18. Breaks when: anything in testnet/mutants is planted.
func TestTheFixedSeedsPass(t *testing.T) {
	totals := &Totals{}
	for seed := uint64(firstFixed); seed < firstFixed+fixedSeeds && len(totals.Failures) < enough; seed++ {
		r := Run(seed, Options{})
		totals.Add(r, Options{})
		if r.Violation != nil {
			t.Errorf("%v\nrepeat: %s", r.Violation, Reproducer(seed, Options{}))
		}
	}
	if t.Failed() {
		return
	}
	if fixedSeeds < 40 {
		return
	}
	// case M4
	if missing := totals.Untested(); missing != nil {
		t.Fatalf("not tested: %s", strings.Join(missing, ", "))
	}
	if totals.Ed25519 == 0 {
		t.Fatal("no world had real signatures")
	}
}

// The same in crash mode: elections, crashes, partitions, disks that are gone.
//
// case I1 I2 I3 I4 I5 I8. Breaks when: anything of Paxos in testnet/mutants is planted.
func TestTheFixedCrashSeedsPass(t *testing.T) {
	o := Options{Mode: epoch.Crash}
	totals := &Totals{}
	for seed := uint64(firstFixed); seed < firstFixed+uint64(fixedSeeds); seed++ {
		r := Run(seed, o)
		totals.Add(r, o)
		if r.Violation != nil {
			t.Errorf("%v\nrepeat: %s", r.Violation, Reproducer(seed, o))
		}
	}
	if c := totals.Counts; !t.Failed() && (c.ViewChanges < 2*fixedSeeds || c.Crashes < fixedSeeds) {
		t.Errorf("%d elections and %d crashes are no test", c.ViewChanges, c.Crashes) // rarer kinds are asked of campaigns
	}
}

// Seeds of the mix of epochs that have failed: a quorum that was ready for the next epoch, and gone before it began, could not be recovered from; of
// two recoveries one came about, and whoever had given its word to the other took that for a divergence, or none came about, since those who had
// given their word to the first, and were too few, waited for others that had heard of the second; a log whose last checkpoint of one
// epoch stood in one append with the next epoch did not open.
var failedMixes = []uint64{1250, 1339, 2038, 2191, 5150, 7447, 201, 1618, 10972, 19924}

// case J1, case J3, case J4, case M1. Breaks when: a switch, a renewal or a forced hand-over loses or repeats something, or ends in two epochs.
func TestTheFixedSeedsOfEpochsPass(t *testing.T) {
	o := Options{Mix: MixEpochs}
	var totals Totals
	seeds := failedMixes
	for seed := range uint64(fixedSeeds) {
		seeds = append(seeds, seed+1)
	}
	for _, seed := range seeds {
		r := Run(seed, o)
		totals.Add(r, o)
		if r.Violation != nil {
			t.Errorf("%v\nrepeat: %s", r.Violation, Reproducer(seed, o))
		}
	}
	if c := totals.Counts; !t.Failed() && (c.Switches < fixedSeeds || c.Forced == 0 || fixedSeeds > 20 && c.Renewals == 0) {
		t.Errorf("%d switches, %d renewals and %d forced hand-overs are no test", c.Switches, c.Renewals, c.Forced)
	}
}

// case M2. Breaks when: something under bft, node/host, store, statemachine or here depends on the order of a map, a
// goroutine, or the time of day.
func TestTheSameSeedTwiceIsTheSameRun(t *testing.T) {
	seeds := []uint64{1, 2, 3, 50}
	for _, seed := range seeds[:min(len(seeds), fixedSeeds/4)] {
		before := runtime.GOMAXPROCS(1)
		one := Run(seed, Options{})
		runtime.GOMAXPROCS(max(4, before))
		var story bytes.Buffer
		two := Run(seed, Options{Trace: &story})
		runtime.GOMAXPROCS(before)
		if one.Digest != two.Digest || one.Counts != two.Counts {
			t.Errorf("seed %d: %s and %s", seed, one.Digest.Short(), two.Digest.Short())
		}
		for _, want := range []string{"node1 proposes batch", "prepares slot", "attests header", "crashes:", "all faults end"} {
			if !strings.Contains(story.String(), want) {
				t.Errorf("seed %d: the story has no %q", seed, want)
			}
		}
	}
}

// Breaks when: a concern draws from another's stream, or the digest does not cover the events.
func TestOtherSeedsAreOtherRuns(t *testing.T) {
	if one, two := Run(1, Options{}), Run(2, Options{}); one.Digest == two.Digest {
		t.Fatal("two seeds have one digest")
	}
}

func TestAWorldHasAsManyNodesAsItIsTold(t *testing.T) {
	for n := MinNodes; n <= MaxNodes; n++ {
		if r := Run(7, Options{Nodes: n, Steps: 3000}); r.Nodes != n || r.Violation != nil {
			t.Errorf("%d nodes, want %d; %v", r.Nodes, n, r.Violation)
		}
	}
}

// Breaks when: Steps does not end the faults.
func TestAWorldThatIsCutShortHealsEarly(t *testing.T) {
	r := Run(7, Options{Steps: 2000})
	if r.Violation != nil || r.Micros > 40*second {
		t.Fatalf("it took %s; %v", clock(r.Micros), r.Violation)
	}
}

func TestOptionsThatMakeNoWorldAreRefused(t *testing.T) {
	for _, o := range []Options{{Mix: "waves"}, {Mix: MixEpochs, Mode: epoch.Crash}, {Mix: MixEpochs, Twins: true}, {Nodes: 3}, {Nodes: 8}, {Seeds: -1}, {Steps: -1}} {
		if o.Check() == nil {
			t.Errorf("%+v passed", o)
		}
	}
	if err := (Options{Seeds: 1000, Nodes: 6}).Check(); err != nil {
		t.Error(err)
	}
}

// full is a campaign of one world in which everything has happened.
func full() Report {
	r := Report{Seed: 1}
	for _, f := range r.Counts.fields() {
		*f.n = 60
	}
	return r
}

// case M4. Breaks when: a kind is left out of the verdict, or the median is not looked at.
func TestACampaignThatTestedNothingIsRed(t *testing.T) {
	r := full()
	var all Totals
	all.Add(r, Options{Mix: MixEpochs})
	if missing := all.Untested(); missing != nil {
		t.Fatalf("everything happened, and still: %v", missing)
	}
	for i, f := range r.Counts.fields() {
		t.Run(f.name, func(t *testing.T) {
			lacking := full()
			*lacking.Counts.fields()[i].n = 0
			var totals Totals
			totals.Add(lacking, Options{Mix: MixEpochs})
			if !slices.Contains(totals.Untested(), "no "+f.name) {
				t.Fatalf("nothing says that there was none: %v", totals.Untested())
			}
		})
	}
	few := full()
	few.Counts.Commits = minCommits - 1
	var totals Totals
	totals.Add(full(), Options{Mix: MixEpochs})
	totals.Add(few, Options{Mix: MixEpochs})
	totals.Add(few, Options{Mix: MixEpochs})
	if totals.Untested() == nil {
		t.Fatal("the median world had too few commits, and nothing says so")
	}
}

// A node whose machine has lost its newest commits, and whose disk has damaged the transactions that it would have to execute
// again, refuses to start, and follows with an empty disk. // case F6
// Breaks when: it starts without them, or its reason does not say that they are damaged.
func TestAMachineThatLacksDamagedTransactionsIsRefused(t *testing.T) {
	s := newScript(t, 4, func(w *World) {
		w.nodes[3].options.SegmentBytes = 16 << 10
		w.nodes[3].commitSlots, w.nodes[3].commitPause = 1<<20, 1000*second // its machine keeps nothing by itself
	})
	for i := range 60 {
		s.answered(s.put(s.node(2), fmt.Sprintf("value number %d", i)))
	}
	n := s.node(4)
	s.until("it follows", healTime, func() bool { return n.host.Replica().Head().Seq == s.audit.last() })
	s.cutPower(n)
	segments := slices.DeleteFunc(n.disk.Files(), func(path string) bool { return filepath.Ext(path) != ".log" })
	damaged := slices.ContainsFunc(segments[:len(segments)-1], func(path string) bool {
		at := bytes.Index(n.disk.Bytes(path), []byte("value number 3"))
		if at >= 0 {
			n.disk.Flip(path, int64(8*at))
		}
		return at >= 0
	})
	if !damaged {
		t.Fatalf("no transaction in %d segments", len(segments))
	}
	n.flipped, n.forgot = true, true
	n.commitSlots, n.commitPause = 1, milli
	s.boot(n)
	if s.counts.Refusals != 1 {
		t.Errorf("%d damaged logs refused, want 1", s.counts.Refusals)
	}
	s.converges()
}

// Breaks when: a failure is printed without what repeats it.
func TestAFailureIsPrintedWithItsReproducer(t *testing.T) {
	r := full()
	r.Violation = &Violation{Seed: 17, Micros: 12_345_000, Node: 3, Checker: "agreement", Text: "two headers"}
	var totals Totals
	totals.Add(r, Options{Nodes: 5})
	var out bytes.Buffer
	if err := totals.Print(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"seed 17, 12.345s, node3: agreement: two headers",
		"quorate sim --seeds 1 --from 17 --nodes 5",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, out.String())
		}
	}
}
