package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/api"
	"github.com/quorate/quorate/testnet/local"
)

// status is a node's own word.
func (e *endToEnd) status(n *local.Network, i int) (s api.Status, err error) {
	return s, e.getJSON(n.URL(i)+"/status", &s)
}

// together waits until these nodes are in one epoch of at least this number, and yields it.
func (e *endToEnd) together(n *local.Network, least uint64, ids ...int) uint64 {
	e.t.Helper()
	var last string
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		numbers := make(map[uint64]bool)
		last = ""
		for _, i := range ids {
			s, err := e.status(n, i)
			last += fmt.Sprintf(" node%d: epoch %d, %s %v;", i, s.Epoch, s.Why, err)
			if err != nil || s.Epoch < least || !s.Ready {
				numbers[1<<63] = true
			}
			numbers[s.Epoch] = true
		}
		if len(numbers) == 1 {
			for number := range numbers {
				return number
			}
		}
		if time.Now().After(deadline) {
			e.t.Fatalf("the nodes do not come together in an epoch from %d on:%s", least, last)
		}
	}
}

// epochs are all that a node has been in.
func (e *endToEnd) epochs(n *local.Network, i int) (all []api.Epoch) {
	e.t.Helper()
	s, err := e.status(n, i)
	e.must(err)
	for number := range s.Epoch + 1 {
		var one api.Epoch
		e.must(e.getJSON(fmt.Sprintf("%s/epoch/%d", n.URL(i), number), &one))
		all = append(all, one)
	}
	return all
}

// oneModePerSlot fails the test unless all nodes have had the same epochs, each from the same slot on.
func (e *endToEnd) oneModePerSlot(n *local.Network) []api.Epoch {
	e.t.Helper()
	first := e.epochs(n, 1)
	for _, i := range n.All()[1:] {
		for k, other := range e.epochs(n, i) {
			if k < len(first) && (other.Identity != first[k].Identity || other.Base != first[k].Base || other.Mode != first[k].Mode) {
				e.t.Errorf("epoch %d of node%d is %s from %d on, of node1 %s from %d on", k, i, other.Mode, other.Base, first[k].Mode, first[k].Base)
			}
		}
	}
	return first
}

// stall is how long a load's acknowledgements stood still at most, while and shortly after something was done.
func (l *load) stall(do func()) time.Duration {
	l.t.Helper()
	done := make(chan struct{})
	longest := make(chan time.Duration)
	go func() {
		size := func() int64 {
			info, err := os.Stat(l.acks)
			if err != nil {
				return 0
			}
			return info.Size()
		}
		last, moved, most := size(), time.Now(), time.Duration(0)
		var until time.Time
		for until.IsZero() || time.Now().Before(until) {
			select {
			case <-done:
				done, until = nil, time.Now().Add(200*time.Millisecond)
			case <-time.After(2 * time.Millisecond):
			}
			if now := size(); now != last {
				most = max(most, time.Since(moved))
				last, moved = now, time.Now()
			}
		}
		longest <- max(most, time.Since(moved))
	}()
	do()
	close(done)
	return <-longest
}

// A network under load is switched from one mode to the other and back, a hundred times: nothing acknowledged is lost, and each slot has one
// mode at all nodes.
//
// case J1; an acknowledgement of what is void, or a hand-over that waits for more than a quorum, turns it red.
func TestEndToEndSwitches(t *testing.T) {
	e := newEndToEnd(t)
	n := e.testnet()
	e.allReady(n)
	switches := int(numberFrom(t, "QUORATE_SWITCHES", 100))
	l := e.load("acks", strconv.Itoa(switches*6/10+15)+"s")
	l.until(1000)
	var stalls []time.Duration
	for i := range switches {
		to := []string{"crash", "byzantine"}[i%2]
		stalls = append(stalls, l.stall(func() { e.run("mode", to) }))
	}
	t.Logf("%.0f acknowledgements, longest gap %v ms", l.end("acknowledged"), l.figure("max_gap_ms"))
	e.together(n, uint64(switches), n.All()...)
	if all := e.oneModePerSlot(n); len(all) != switches+1 {
		t.Errorf("%d epochs, want %d", len(all), switches+1)
	}
	t.Log(e.run("audit", "--acks", l.acks))
	e.needs("node")
	out, err := exec.Command("node", "../../testnet/checker/check.mjs", "--genesis", filepath.Join(n.Dir, "genesis.json")).CombinedOutput()
	t.Logf("%s", out)
	e.must(err)
	slices.Sort(stalls)
	t.Logf("%d switches: stall p50 %v, max %v", switches, stalls[len(stalls)/2], stalls[len(stalls)-1])
	if stalls[len(stalls)-1] > 2*time.Second {
		t.Errorf("a switch has held up clients for %v, want at most 2s", stalls[len(stalls)-1])
	}
}

// A switch that is asked for while two of four are away does not come about before they are back, and then it does.
//
// case J3; a change that takes less than a quorum turns it red.
func TestEndToEndASwitchWaitsForAQuorum(t *testing.T) {
	e := newEndToEnd(t)
	n := e.testnet()
	e.allReady(n)
	e.run("testnet", "pause", "3", "4")
	out, err := e.command("mode", "crash", "--timeout", "4s").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "not ready are node3, node4") {
		t.Errorf("%v\n%s", err, out)
	}
	for _, i := range []int{1, 2} {
		if s, err := e.status(n, i); err != nil || s.Epoch != 0 || s.Mode != "byzantine" {
			t.Errorf("node%d is in epoch %d, %s, %v", i, s.Epoch, s.Mode, err)
		}
	}
	e.run("testnet", "resume", "3", "4")
	e.together(n, 1, n.All()...)
	if all := e.oneModePerSlot(n); all[1].Mode != "crash" {
		t.Errorf("mode %s", all[1].Mode)
	}
	e.run("tx", "put", "a", "b")
	t.Log(e.run("audit"))
}

// All nodes are ended with SIGKILL shortly after a switch was asked for: they come up in one mode, and go on.
//
// case J5 K13; an epoch that is not in the log turns it red.
func TestEndToEndKillAllInASwitch(t *testing.T) {
	e := newEndToEnd(t)
	n := e.testnet()
	e.allReady(n)
	for round := range 6 {
		l := e.load("acks"+strconv.Itoa(round), "6s")
		l.until(200)
		s, err := e.status(n, 1)
		e.must(err)
		to := "crash"
		if s.Mode == "crash" {
			to = "byzantine"
		}
		ask := e.command("mode", to, "--timeout", "20s")
		e.must(ask.Start())
		time.Sleep(time.Duration(20*round) * time.Millisecond) // at another moment each time, 100 ms the last
		e.run("testnet", "kill", "1", "2", "3", "4")
		e.run("testnet", "start", "1", "2", "3", "4")
		_ = ask.Wait() // it may have been cut off
		e.together(n, s.Epoch, n.All()...)
		l.end("acknowledged")
		e.oneModePerSlot(n)
		t.Log(e.run("audit", "--acks", l.acks))
	}
}

// Two changes that are asked for at the same time end in one order at all nodes: whoever comes second is told so, or changes what the first
// has begun.
//
// case J9 K4; two epochs that follow one turn it red.
func TestEndToEndTwoChangesAtOnce(t *testing.T) {
	e := newEndToEnd(t)
	n := e.testnet()
	e.allReady(n)
	for round := range 6 {
		to := []string{"crash", "byzantine"}[round%2]
		var wg sync.WaitGroup
		results := make([]string, 2)
		for i, args := range [][]string{{"mode", to}, {"params", fmt.Sprintf("window=%d", 300+round)}} {
			wg.Go(func() {
				out, err := e.command(args...).CombinedOutput()
				results[i] = fmt.Sprintf("%s (%v)", strings.TrimSpace(string(out)), err)
			})
		}
		wg.Wait()
		t.Logf("%q", results)
		e.together(n, 1, n.All()...)
		e.oneModePerSlot(n)
		e.run("mode", to) // whoever was refused asks again
		e.run("tx", "put", "k", strconv.Itoa(round))
	}
	t.Log(e.run("audit"))
}

// A member whose disk is gone follows, acknowledges nothing, and is given its vote back in an epoch that names its new log, without an operator.
//
// case F2 I2; a vote before that, or a renewal that never comes, turns it red.
func TestEndToEndRenewal(t *testing.T) {
	for _, c := range []struct {
		mode  string
		nodes int
	}{{"crash", 5}, {"byzantine", 4}} {
		t.Run(c.mode, func(t *testing.T) {
			e := newEndToEnd(t, "--mode", c.mode, "--nodes", strconv.Itoa(c.nodes))
			n := e.testnet()
			e.allReady(n)
			l := e.load("acks", "15s")
			l.until(1000)
			e.run("testnet", "kill", "3")
			e.must(os.RemoveAll(n.Home(3).Data()))
			begun := time.Now()
			e.run("testnet", "start", "3")
			e.observesInSilence(n, 3)
			e.together(n, 1, n.All()...)
			t.Logf("renewed %.1f s after it was started without its disk", time.Since(begun).Seconds())
			l.end("acknowledged")
			e.oneModePerSlot(n)
			// It is needed now, and enough: as many others go as may.
			gone := []string{"1"}
			if c.mode == "crash" {
				gone = append(gone, "2")
			}
			e.run(append([]string{"testnet", "kill"}, gone...)...)
			e.run("tx", "put", "a", "b")
			e.run(append([]string{"testnet", "start"}, gone...)...)
			t.Log(e.run("audit", "--acks", l.acks))
		})
	}
}

// blocks are the digests of a node's headers.
func (e *endToEnd) headers(n *local.Network, i int, last uint64) (all []string) {
	e.t.Helper()
	for from := uint64(1); from <= last; {
		var page api.Headers
		e.must(e.getJSON(fmt.Sprintf("%s/headers?from=%d&to=%d", n.URL(i), from, last), &page))
		for _, h := range page.Headers {
			all = append(all, h.HeaderDigest)
		}
		if from = page.Next; from == 0 {
			break
		}
	}
	return all
}

// Three of four disks are gone for good. Operators recover the network from the one that is left: its blocks stay what they are, receipts from
// before stay valid, and it goes on.
//
// case K12; a recovery while a quorum answers, or one that changes the prefix, turns it red.
func TestEndToEndLostQuorum(t *testing.T) {
	e := newEndToEnd(t)
	n := e.testnet()
	e.allReady(n)
	l := e.load("acks", "4s")
	receipt := filepath.Join(e.dir, "receipt.json")
	e.run("tx", "put", "before", "the flood", "--receipt", receipt)
	if l.end("acknowledged") < 1000 {
		t.Fatal("hardly any acknowledgements")
	}
	out, err := e.command("recover", "--timeout", "6s").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "it can help itself") {
		t.Errorf("a network that is well is recovered: %v\n%s", err, out)
	}
	e.run("testnet", "kill", "1", "2", "3", "4")
	for _, i := range []int{1, 2, 3} {
		e.must(os.RemoveAll(n.Home(i).Data()))
	}
	e.run("testnet", "start", "1", "2", "3", "4")
	before, err := e.status(n, 4)
	e.must(err)
	headers := e.headers(n, 4, before.Seq)
	if out, err := e.command("tx", "put", "a", "b", "--timeout", "5s").CombinedOutput(); err == nil {
		t.Errorf("a network without a quorum has acknowledged something\n%s", out)
	}
	t.Log(e.run("recover", "--timeout", "60s"))
	e.together(n, 1, n.All()...)
	e.run("tx", "put", "after", "the flood")
	for _, i := range n.All() {
		if !slices.Equal(e.headers(n, i, before.Seq), headers) {
			t.Errorf("node%d has another prefix", i)
		}
	}
	e.run("receipt", "verify", receipt)
	t.Log(e.run("audit", "--acks", l.acks))
}

// In crash mode a second process speaks for node 4. When somebody has heard both, all stop, and know of whom that is; operators end the epoch
// by force, the prefix stays what it is, and byzantine mode, which bears one liar of four, goes on.
//
// case J7; an acknowledgement after the evidence, or evidence against anybody honest, turns it red.
func TestEndToEndTwinInCrashMode(t *testing.T) {
	e := newBuilt(t)
	s := newIslands(e, 4, 5, "--mode", "crash")
	const hosts = 5
	n := s.network
	l := e.load("acks", "45s")
	l.until(500)
	s.on(hosts, "testnet", "twin", "4", "--host", s.address(hosts))
	holders := func() (all []int) {
		for _, i := range n.All() {
			if slices.Contains(e.accused(n, i), 4) {
				all = append(all, i)
			}
		}
		return all
	}
	sides := []map[int]bool{{1: true, 5: true}, {2: true, 4: true}, {3: true, 5: true}, {1: true, 4: true}, {2: true, 5: true}}
	begun := time.Now()
	for round := 0; len(holders()) == 0; round++ {
		if time.Since(begun) > 30*time.Second {
			t.Fatal("no evidence against member 4 after 30 seconds")
		}
		side := sides[round%len(sides)]
		s.part(hosts, func(a, b int) bool { return side[a] != side[b] })
		time.Sleep(1200 * time.Millisecond)
		s.heal(hosts)
		time.Sleep(800 * time.Millisecond)
	}
	s.heal(hosts)
	found := time.Now()
	for len(holders()) < n.N() {
		if time.Since(found) > 5*time.Second {
			t.Fatalf("only %v hold evidence against member 4", holders())
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Logf("evidence after %.1f s; all hold it %.2f s later", found.Sub(begun).Seconds(), time.Since(found).Seconds())
	// Whoever asked for something before, and was not answered, may still learn from the chain what became of it.
	newest := l.newest()
	time.Sleep(2 * time.Second)
	if slot := l.newest(); newest == 0 || slot > newest {
		t.Errorf("slot %d was acknowledged after all held evidence, before that none above %d", slot, newest)
	}
	var head uint64
	for _, i := range n.All() {
		if got := e.accused(n, i); !slices.Equal(got, []int{4}) {
			t.Errorf("node %d accuses %v", i, got)
		}
		st, err := e.status(n, i)
		e.must(err)
		head = max(head, st.Seq)
	}
	t.Log(e.run("recover", "--timeout", "60s"))
	e.together(n, 1, 1, 2, 3)
	if all := e.oneModePerSlot(n); all[1].Mode != "byzantine" || all[1].Base < head {
		t.Errorf("epoch 1 is %s, from slot %d on; the newest was %d", all[1].Mode, all[1].Base, head)
	}
	prefix := e.headers(n, 1, head)
	for _, i := range []int{2, 3} {
		if !slices.Equal(e.headers(n, i, head), prefix) {
			t.Errorf("node%d has another prefix", i)
		}
	}
	e.run("tx", "put", "a", "b")
	l.end("acknowledged")
	t.Log(e.run("audit", "--acks", l.acks))
}
