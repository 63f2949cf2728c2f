package local

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/testnet/fault"
	"github.com/quorate/quorate/testnet/scenario"
)

// newTestCluster has four nodes that answer as nodes do, take faults, and know nothing.
func newTestCluster(t *testing.T, audit Audit) *Cluster {
	t.Helper()
	c := NewCluster(ClusterConfig{
		Dir: filepath.Join(t.TempDir(), "net"), Tools: new(testTools).tools(), Program: ThisProgram, Audit: audit,
	})
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := c.Start(t.Context(), scenario.Shape{Nodes: 4, Mode: "byzantine", Seed: 1}); err != nil {
		t.Fatal(err)
	}
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// crash is Crash, and waits for it.
func crash(c *Cluster, nodes ...int) (why error) {
	over := false
	c.Crash(nodes, func(err error) { over, why = true, err })
	for !over && why == nil {
		why = c.Wait(context.Background(), pollEvery)
	}
	return why
}

func TestNodesOfAClusterEndAndComeBack(t *testing.T) {
	c := newTestCluster(t, nil)
	if l := c.Look(2); l.State != scenario.Up || l.Seq != 17 || l.Leader != 1 {
		t.Errorf("%+v", l)
	}
	crashOne := func(n int) error { return crash(c, n) }
	for _, end := range []func(int) error{crashOne, c.Stop} {
		must(t, end(2))
		for what, do := range map[string]func(int) error{"crash": crashOne, "stop": c.Stop, "pause": c.Pause, "resume": c.Resume} {
			if do(2) == nil {
				t.Errorf("a node that is down: %s", what)
			}
		}
		if l := c.Look(2); l != (scenario.Look{State: scenario.Down}) {
			t.Errorf("%+v", l)
		}
		must(t, c.Restart(2))
		if c.Restart(2) == nil || c.Resume(2) == nil || c.Look(2).State != scenario.Up {
			t.Error("a node that is up is started, or goes on")
		}
	}
	must(t, c.Stop(1))
	if crash(c, 2, 1) == nil || c.Look(2).State != scenario.Up {
		t.Error("of two, one of which is down, the other is crashed")
	}
	must(t, c.Restart(1))
	must(t, c.Pause(3))
	if c.Pause(3) == nil || c.Restart(3) == nil || c.Look(3).State != scenario.Paused {
		t.Error("a node that is paused is paused again, or started")
	}
	must(t, c.Resume(3))
	must(t, c.Pause(3))
	must(t, crash(c, 3))
	if crash(c, 5) == nil || c.Clock(0, time.Hour) == nil || c.Link(1, 1, scenario.Link{}) == nil || c.Link(1, 9, scenario.Link{}) == nil {
		t.Error("a node that there is not")
	}
}

// A process that ends by itself is seen to be down, without anybody's asking it.
func TestANodeThatEndsByItselfIsDown(t *testing.T) {
	c := newTestCluster(t, nil)
	must(t, c.network.Kill(t.Context(), 4))
	for c.Look(4).State != scenario.Down {
		must(t, c.Wait(t.Context(), pollEvery))
	}
	must(t, c.Restart(4))
}

// A node that does not start from what it has written itself is found; one whose disk was changed may refuse.
func TestANodeThatDoesNotStartAgainIsFound(t *testing.T) {
	c := newTestCluster(t, nil)
	must(t, os.WriteFile(filepath.Join(string(c.network.Home(1)), "dies"), nil, 0o600))
	must(t, crash(c, 1))
	must(t, c.Restart(1))
	v := (*scenario.Violation)(nil)
	if err := c.Wait(t.Context(), time.Hour); !errors.As(err, &v) || v.Node != 1 || !strings.Contains(v.Text, "the disk is on fire") {
		t.Errorf("%v", err)
	}
	c.nodes[0].flipped = true
	if err := c.Restart(1); err == nil || c.Look(1).State != scenario.Down {
		t.Errorf("started: %v", err)
	}
}

// What is wrong with a node goes on when it is started again, and it begins with it.
func TestWhatIsInForceOutlivesAProcess(t *testing.T) {
	c := newTestCluster(t, nil)
	must(t, crash(c, 1))
	must(t, c.Link(2, 1, scenario.Link{Cut: true})) // while it is down
	must(t, c.Restart(1))
	must(t, c.Link(3, 1, scenario.Link{Delay: time.Second}))
	must(t, c.Link(4, 1, scenario.Link{Cut: true}))
	must(t, c.Link(4, 1, scenario.Link{}))
	must(t, c.Clock(1, time.Hour))
	must(t, c.Behave(1, []string{"silent"}, 2))
	must(t, c.Disk(1, scenario.DiskFault{Kind: scenario.Slow, By: time.Second}))
	must(t, c.Disk(1, scenario.DiskFault{Kind: scenario.LoseUnsynced}))
	if c.Behave(1, []string{"sings"}, 1) == nil || c.Behave(1, []string{"silent"}, 0) == nil || c.Disk(1, scenario.DiskFault{Kind: "rust"}) == nil {
		t.Error("what there is not is taken")
	}
	must(t, crash(c, 1))
	must(t, c.Restart(1))
	text, err := os.ReadFile(filepath.Join(string(c.network.Home(1)), "faults.json"))
	must(t, err)
	for _, want := range []string{`"from":2,`, `"from":3,`, `"clock":{"offset":3600000000000}`, `"slow":1000000000`, `"hold_back":true`, `"acts":["silent"],"every":2`} {
		if strings.Count(string(text), want) != 1 {
			t.Errorf("%s is not in force: %s", want, text)
		}
	}
	if strings.Contains(string(text), `"from":4,`) {
		t.Errorf("what was healed is in force: %s", text)
	}
}

func TestAPausedNodeIsToldWhenItGoesOn(t *testing.T) {
	c := newTestCluster(t, nil)
	must(t, c.Pause(2))
	must(t, c.Clock(2, time.Hour))
	must(t, c.Disk(2, scenario.DiskFault{Kind: scenario.Fill, N: 5}))
	if n := len(c.nodes[1].node.untold); n != 2 {
		t.Errorf("%d requests wait, want 2", n)
	}
	must(t, c.Resume(2))
	if n := len(c.nodes[1].node.untold); n != 0 {
		t.Errorf("%d requests wait", n)
	}
}

func TestCountsAddUpOverLives(t *testing.T) {
	l := newLife(Home(t.TempDir()), "")
	l.begin()
	l.heard = fault.Counts{Lies: map[string]uint64{"hide": 2}, Failed: 1, Links: []fault.LinkCounts{{From: 2, Stopped: 3, Twice: 1}}}
	l.end(4)
	l.end(4) // has ended
	l.begin()
	l.heard = fault.Counts{Lies: map[string]uint64{"hide": 5}, Full: 1, Links: []fault.LinkCounts{{From: 2, Stopped: 4, Delayed: 1, Lost: 1, Reordered: 1}}}
	all := make(map[string]uint64)
	l.counts(all, 4)
	for key, want := range map[string]uint64{
		scenario.AtNode(scenario.CountLies("hide"), 4): 7, scenario.AtNode(scenario.CountFailed, 4): 1, scenario.AtNode(scenario.CountFull, 4): 1,
		scenario.OnLink(scenario.CountStopped, 2, 4): 7, scenario.OnLink(scenario.CountDelayed, 2, 4): 1, scenario.OnLink(scenario.CountLost, 2, 4): 1,
		scenario.OnLink(scenario.CountTwice, 2, 4): 1, scenario.OnLink(scenario.CountReordered, 2, 4): 1, scenario.AtNode(scenario.CountSlowed, 4): 0,
	} {
		if all[key] != want {
			t.Errorf("%s: %d, want %d", key, all[key], want)
		}
	}
}

func TestMetricsAreSumsOverLabels(t *testing.T) {
	got := parseMetrics(`# HELP quorate_seq the last
# TYPE quorate_seq gauge
quorate_seq 17
quorate_messages_total{direction="in",kind="a}b 9"} 3
quorate_messages_total{direction="out",kind="prepare"} 4.5 1700000000
broken
{} 3
`)
	if got["quorate_seq"] != 17 || got["quorate_messages_total"] != 7.5 || got["broken"] != 0 {
		t.Errorf("%v", got)
	}
}

// Whoever waits is called back before the time is over, and from nowhere else.
func TestWaitCallsBack(t *testing.T) {
	c := newTestCluster(t, nil)
	called := 0
	var answer scenario.Answer
	c.Do(scenario.Call{Kind: scenario.LocalGet, Node: 9}, func(a scenario.Answer) { called, answer = called+1, a })
	must(t, c.Wait(t.Context(), time.Hour))
	if called != 1 || answer.Outcome != scenario.Refused || answer.Return < answer.Call {
		t.Errorf("called %d times: %+v", called, answer)
	}
	v := &scenario.Violation{Check: scenario.Agreement}
	c.found <- v
	if err := c.Wait(t.Context(), time.Hour); !errors.Is(err, v) {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Wait(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

// Checks look at nodes that are up and honest, once for all promises, and again when time has passed.
func TestChecksAreOneAudit(t *testing.T) {
	var asked, offline [][]int
	broken := map[scenario.Check]*scenario.Violation{scenario.Durability: {Check: scenario.Durability, Text: "lost"}}
	c := newTestCluster(t, func(_ context.Context, _ *Network, up, down []int, _ []Ack) (*Audited, error) {
		asked, offline = append(asked, up), append(offline, down)
		return &Audited{Broken: broken, Read: len(up) + len(down)}, nil
	})
	check := func(want error) {
		t.Helper()
		if err := c.Check(t.Context(), scenario.Durability); !errors.Is(err, want) {
			t.Errorf("%v, want %v", err, want)
		}
	}
	check(broken[scenario.Durability])
	must(t, c.Check(t.Context(), scenario.Agreement))
	must(t, c.Wait(t.Context(), 0))
	clear(broken)
	check(nil)
	must(t, c.Behave(4, []string{"silent"}, 1))
	check(nil)
	must(t, crash(c, 1))
	check(nil)
	must(t, c.Pause(2))
	must(t, c.Pause(3))
	if err := c.Check(t.Context(), scenario.Agreement); err == nil || !strings.Contains(err.Error(), "takes 3") || !strings.Contains(err.Error(), "[2 3]") {
		t.Errorf("two of four: %v", err)
	}
	if want := [][]int{{1, 2, 3, 4}, {1, 2, 3, 4}, {1, 2, 3}, {2, 3}, nil}; !slices.EqualFunc(asked, want, slices.Equal[[]int]) {
		t.Errorf("asked %v", asked)
	}
	if want := [][]int{nil, nil, nil, {1}, {1}}; !slices.EqualFunc(offline, want, slices.Equal[[]int]) {
		t.Errorf("read the folders of %v", offline)
	}
}

func TestFoldersAreWipedBackedUpAndRestored(t *testing.T) {
	c := newTestCluster(t, nil)
	h := c.network.Home(1)
	there := func() string {
		text, _ := os.ReadFile(filepath.Join(h.Data(), "log"))
		return string(text)
	}
	for _, k := range []scenario.DiskKind{scenario.Flip, scenario.Wipe, scenario.Backup, scenario.Restore} {
		if c.Disk(1, scenario.DiskFault{Kind: k}) == nil {
			t.Errorf("%s of a node that is up", k)
		}
	}
	must(t, c.Stop(1))
	if c.Disk(1, scenario.DiskFault{Kind: scenario.Restore}) == nil {
		t.Error("restored from nothing")
	}
	must(t, os.WriteFile(filepath.Join(h.Data(), "log"), []byte("old"), 0o600))
	must(t, c.Disk(1, scenario.DiskFault{Kind: scenario.Backup}))
	must(t, c.Disk(1, scenario.DiskFault{Kind: scenario.Backup})) // in place of the one before
	must(t, os.WriteFile(filepath.Join(h.Data(), "log"), []byte("new"), 0o600))
	must(t, c.Disk(1, scenario.DiskFault{Kind: scenario.Wipe}))
	if left, err := os.ReadDir(h.Data()); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
	must(t, c.Disk(1, scenario.DiskFault{Kind: scenario.Restore}))
	if there() != "old" {
		t.Errorf("restored %q", there())
	}
}

// Bits change behind the head of a log and in what is older than its newest half: of the end no log can tell damage from a torn write.
func TestBitsChangeWhereALogCanTell(t *testing.T) {
	c := NewCluster(ClusterConfig{})
	c.chance = rand.New(rand.NewPCG(1, 1))
	h := Home(t.TempDir())
	must(t, os.MkdirAll(filepath.Join(h.Data(), "log"), 0o700))
	path := filepath.Join(h.Data(), "log", "0000000001.log")
	for _, used := range []int{0, leastFlipped, 8 * leastFlipped} {
		before := append(bytes.Repeat([]byte{0xaa}, used), make([]byte, 1<<20)...)
		must(t, os.WriteFile(path, before, 0o600))
		err := c.flip(h, 40)
		after, _ := os.ReadFile(path)
		if used < 2*leastFlipped {
			if err == nil || !bytes.Equal(before, after) {
				t.Errorf("%d bytes: %v", used, err)
			}
			continue
		}
		must(t, err)
		changed := 0
		for i := range after {
			if after[i] != before[i] {
				changed++
				if i < segmentHead || i >= used/2 {
					t.Errorf("byte %d of %d is changed", i, used)
				}
			}
		}
		if changed < 35 {
			t.Errorf("%d bytes are changed", changed)
		}
	}
	must(t, os.WriteFile(filepath.Join(h.Data(), "log", "0000000002.log"), bytes.Repeat([]byte{1}, leastFlipped), 0o600))
	must(t, c.flip(h, 1))
	if newest, err := os.ReadFile(filepath.Join(h.Data(), "log", "0000000002.log")); err != nil || !bytes.Equal(newest, bytes.Repeat([]byte{1}, leastFlipped)) {
		t.Error("the newest of two segments is changed")
	}
}
