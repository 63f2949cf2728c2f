package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/quorate/quorate/testnet/scenario"
)

// tormented is a network of processes that faults happen to, with clients that are never done.
type tormented struct {
	t *testing.T
	scenario.Cluster
	calls   int
	by      map[scenario.Outcome]int
	stopped bool
}

func newTormented(t *testing.T, shape scenario.Shape) *tormented {
	if os.Getenv("QUORATE_E2E") == "" {
		t.Skip("takes minutes: run make e2e")
	}
	called := os.Args[0]
	os.Args[0] = "quorate" // called so, the test binary is the program
	t.Cleanup(func() { os.Args[0] = called })
	dir := filepath.Join(t.TempDir(), "quorate-testnet")
	x := &tormented{t: t, Cluster: (&app{}).testnetCluster(dir), by: make(map[scenario.Outcome]int)}
	t.Cleanup(func() {
		if t.Failed() {
			logs, _ := filepath.Glob(filepath.Join(dir, "node*", "node.log"))
			for _, log := range logs {
				text := readFile(t, log)
				t.Logf("%s:\n%s", log, text[max(0, len(text)-4000):])
			}
		}
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	})
	x.must(x.Start(t.Context(), shape))
	return x
}

func (x *tormented) must(err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatalf("after %v: %v", x.Now().Round(time.Millisecond), err)
	}
}

// crash ends a node, and waits for it: it may be at a moment to come.
func (x *tormented) crash(node int) (why error) {
	over := false
	x.Crash([]int{node}, func(err error) { over, why = true, err })
	for !over && why == nil {
		why = x.Wait(x.t.Context(), 10*time.Millisecond)
	}
	return why
}

// ask has a client ask for one thing after the other.
func (x *tormented) ask(client int) {
	if x.stopped {
		return
	}
	x.calls++
	call := scenario.Call{Client: client, Key: fmt.Sprintf("r%d", x.calls%5), Value: fmt.Sprintf("v %d", x.calls), Node: 1 + x.calls%4}
	call.Kind = []scenario.Kind{scenario.Put, scenario.Put, scenario.Get, scenario.CAS, scenario.LocalGet}[x.calls%5]
	call.Absent = call.Kind == scenario.CAS && x.calls%2 == 0
	x.Do(call, func(a scenario.Answer) {
		if call.Kind != scenario.LocalGet {
			x.by[a.Outcome]++
		}
		if a.Return < a.Call || a.Outcome == scenario.Done && a.Seq == 0 && call.Kind != scenario.LocalGet {
			x.t.Errorf("%+v: %+v", call, a)
		}
		x.ask(client)
	})
}

// until waits for something, as long as it takes on a slow machine.
func (x *tormented) until(what string, holds func() bool) {
	x.t.Helper()
	for deadline := x.Now() + time.Minute; !holds(); {
		if x.Now() > deadline {
			x.t.Fatalf("after %v: not in a minute: %s; %v, node 1 %+v", x.Now(), what, x.by, x.Look(1))
		}
		x.must(x.Wait(x.t.Context(), 20*time.Millisecond))
	}
}

// progress waits until so many calls more are answered.
func (x *tormented) progress(calls int) {
	x.t.Helper()
	before := x.by[scenario.Done]
	x.until(fmt.Sprintf("%d calls more", calls), func() bool { return x.by[scenario.Done] >= before+calls })
}

func (x *tormented) happened(what string) {
	x.t.Helper()
	x.until(what, func() bool { return x.Happened()[what] > 0 })
}

func (x *tormented) isolate(node int, l scenario.Link) {
	x.t.Helper()
	for other := 1; other <= 4; other++ {
		if other != node {
			x.must(x.Link(node, other, l))
			x.must(x.Link(other, node, l))
		}
	}
}

func (x *tormented) operate(o scenario.Order) {
	x.t.Helper()
	over := false
	var why error
	x.Operate(o, time.Minute, func(err error) { over, why = true, err })
	x.until("what operators have asked for", func() bool { return over })
	x.must(why)
}

func (x *tormented) checkAll() {
	x.t.Helper()
	for _, c := range []scenario.Check{scenario.Agreement, scenario.Durability, scenario.ExactlyOnce} {
		x.must(x.Check(x.t.Context(), c))
	}
}

// caughtUp waits until a node is as far as node 1 was.
func (x *tormented) caughtUp(node int) {
	x.t.Helper()
	other := node%4 + 1
	seq := x.Look(other).Seq
	x.until(fmt.Sprintf("node %d is at %d", node, seq), func() bool { return x.Look(node).Seq >= seq && seq > 0 })
}

// All faults of one network of processes come about, one after the other, and leave traces; clients are served, and nothing that was
// acknowledged is lost.
func TestEndToEndFaultsCluster(t *testing.T) {
	x := newTormented(t, scenario.Shape{Nodes: 4, Mode: "byzantine", Seed: 7, Parameters: map[string]uint32{"pipeline": 8}})
	step := func(what string) { t.Logf("%6.2f s  %s", x.Now().Seconds(), what) }
	for client := range 4 {
		x.ask(client + 1)
	}
	x.progress(50)
	before, err := x.Metrics(1)
	x.must(err)
	if before["quorate_seq"] < 1 || before["quorate_messages_total"] < 1 {
		t.Errorf("metrics: %v", before)
	}

	step("the leader is cut off")
	led := x.Look(1)
	x.isolate(led.Leader, scenario.Link{Cut: true})
	other := led.Leader%4 + 1
	x.happened(scenario.OnLink(scenario.CountStopped, led.Leader, other))
	x.happened(scenario.OnLink(scenario.CountStopped, other, led.Leader))
	x.until("another view", func() bool { return x.Look(other).View > led.View && x.Look(other).Leader != led.Leader })
	x.progress(50)
	x.isolate(led.Leader, scenario.Link{})
	x.caughtUp(led.Leader)

	step("links are bad")
	x.must(x.Link(1, 2, scenario.Link{Delay: 20 * time.Millisecond, Jitter: 10 * time.Millisecond, Bandwidth: 1 << 20}))
	x.must(x.Link(2, 3, scenario.Link{Lost: 0.2, Twice: 0.2, Reordered: 0.2}))
	for _, what := range []string{
		scenario.OnLink(scenario.CountDelayed, 1, 2), scenario.OnLink(scenario.CountLost, 2, 3), scenario.OnLink(scenario.CountTwice, 2, 3),
		scenario.OnLink(scenario.CountReordered, 2, 3),
	} {
		x.happened(what)
	}
	x.progress(50)
	x.must(x.Link(1, 2, scenario.Link{}))
	x.must(x.Link(2, 3, scenario.Link{}))

	step("processes end, freeze and come back")
	x.must(x.crash(3))
	if x.Look(3).State != scenario.Down || x.crash(3) == nil || x.Pause(3) == nil || x.Disk(3, scenario.DiskFault{Kind: scenario.FailSync}) == nil {
		t.Error("a node that was crashed is not down")
	}
	x.progress(20)
	x.must(x.Restart(3))
	x.caughtUp(3)
	x.must(x.Pause(2))
	x.must(x.Link(1, 2, scenario.Link{Delay: time.Millisecond})) // it is told when it goes on
	x.progress(20)
	if x.Look(2).State != scenario.Paused || x.Restart(2) == nil {
		t.Error("a node that was paused is not")
	}
	x.must(x.Resume(2))
	x.caughtUp(2)
	x.must(x.Stop(2))
	x.progress(20)
	x.must(x.Restart(2))
	x.caughtUp(2)
	x.must(x.Link(1, 2, scenario.Link{}))

	step("a sync fails")
	x.must(x.Disk(4, scenario.DiskFault{Kind: scenario.FailSync}))
	x.until("node 4 is down", func() bool { return x.Look(4).State == scenario.Down })
	x.happened(scenario.AtNode(scenario.CountFailed, 4))
	x.progress(20)
	x.must(x.Restart(4))
	x.caughtUp(4)

	step("a disk is full")
	x.must(x.Disk(4, scenario.DiskFault{Kind: scenario.Fill, N: 50_000}))
	x.until("node 4 is down", func() bool { return x.Look(4).State == scenario.Down })
	x.happened(scenario.AtNode(scenario.CountFull, 4))
	x.must(x.Restart(4))
	x.caughtUp(4)

	step("crashes take what was not synced")
	x.must(x.Disk(2, scenario.DiskFault{Kind: scenario.LoseUnsynced}))
	for range 3 {
		x.must(x.Disk(2, scenario.DiskFault{Kind: scenario.Tear}))
		x.progress(20)
		x.must(x.crash(2))
		x.progress(20)
		x.must(x.Restart(2))
		x.caughtUp(2)
	}
	for _, what := range []string{scenario.CountUnsynced, scenario.CountTorn} {
		if n := x.Happened()[scenario.AtNode(what, 2)]; n != 3 {
			t.Errorf("%s in %d of 3 crashes", what, n)
		}
	}

	step("bits of a log change, and it is restored from a backup")
	x.must(x.Stop(3))
	x.must(x.Disk(3, scenario.DiskFault{Kind: scenario.Backup}))
	x.must(x.Disk(3, scenario.DiskFault{Kind: scenario.Flip, N: 2}))
	x.must(x.Restart(3))
	x.caughtUp(3)
	x.must(x.Stop(3))
	x.must(x.Disk(3, scenario.DiskFault{Kind: scenario.Restore}))
	x.must(x.Restart(3))
	x.until("node 3 observes, and is renewed", func() bool { return x.Look(3).Epoch > 0 && x.Look(3).Role == "follower" })
	x.must(x.Stop(3))
	x.must(x.Disk(3, scenario.DiskFault{Kind: scenario.Wipe}))
	x.must(x.Restart(3))
	x.until("node 3 is renewed again", func() bool { return x.Look(3).Epoch > 1 && x.Look(3).Role == "follower" })
	x.caughtUp(3)

	step("a slow disk, and a clock that is off, over a restart")
	x.must(x.Disk(1, scenario.DiskFault{Kind: scenario.Slow, By: 30 * time.Millisecond}))
	x.must(x.Clock(1, -time.Hour))
	x.progress(20)
	x.happened(scenario.AtNode(scenario.CountSlowed, 1))
	slowed := x.Happened()[scenario.AtNode(scenario.CountSlowed, 1)]
	x.must(x.crash(1))
	x.must(x.Restart(1))
	x.until("it goes on being slow", func() bool { return x.Happened()[scenario.AtNode(scenario.CountSlowed, 1)] > slowed })
	x.must(x.Disk(1, scenario.DiskFault{Kind: scenario.Slow}))
	x.must(x.Clock(1, 0))
	x.caughtUp(1)

	step("the mode changes, and back")
	x.operate(scenario.Order{Mode: "crash"})
	x.until("all are in crash mode", func() bool {
		return !slices.ContainsFunc([]int{1, 2, 3, 4}, func(n int) bool { return x.Look(n).Mode != "crash" })
	})
	x.progress(20)
	x.operate(scenario.Order{Mode: "byzantine"})
	x.operate(scenario.Order{Parameters: map[string]uint32{"pipeline": 4}})
	x.progress(20)
	x.checkAll()

	step("a member lies")
	liar := x.Look(1).Leader
	x.must(x.Behave(liar, []string{"equivocate"}, 1))
	x.happened(scenario.AtNode(scenario.CountLies("equivocate"), liar))
	honest := liar%4 + 1
	x.until("it is accused", func() bool {
		members, err := x.Accused(honest)
		x.must(err)
		return slices.Equal(members, []int{liar})
	})
	x.progress(20)
	x.must(x.Behave(liar, nil, 0))

	step("it has a twin")
	x.must(x.Twin(liar))
	if x.Twin(liar) == nil {
		t.Error("a second twin")
	}
	x.progress(50)

	step("all is over")
	x.stopped = true
	x.must(x.Wait(t.Context(), time.Millisecond))
	x.checkAll()
	t.Logf("%d calls: %v", x.calls, x.by)
	for what, n := range x.Happened() {
		t.Logf("%s: %d", what, n)
	}
	if x.Digest() != "" {
		t.Error("a digest of what never happens again")
	}
}

// A check says so if too few nodes can be looked at, and a wait ends with its context.
func TestEndToEndFaultsClusterOutOfReach(t *testing.T) {
	x := newTormented(t, scenario.Shape{Nodes: 4, Mode: "byzantine", Seed: 1})
	x.must(x.crash(1))
	x.must(x.Check(x.t.Context(), scenario.Agreement)) // it is read from its folder
	x.must(x.Pause(2))
	x.must(x.Pause(3))
	err := x.Check(t.Context(), scenario.Agreement)
	if _, violated := err.(*scenario.Violation); err == nil || violated {
		t.Errorf("two of four: %v", err)
	}
	t.Log(err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := x.Wait(ctx, time.Hour); err == nil {
		t.Error("waits longer than it may")
	}
}
