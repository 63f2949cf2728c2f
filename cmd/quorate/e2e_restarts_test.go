package main

import (
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// All members restart one after the other, five seconds apart, under load: nothing that was acknowledged is lost, each restart costs
// one view change at most, and that only if it was the leader's.
//
// case H13; a member that comes back into an old view, or a leader whose end costs two views, turns it red.
func TestEndToEndRollingRestart(t *testing.T) {
	e := newEndToEnd(t)
	n := e.testnet()
	e.allReady(n)
	begun, _ := e.led(n, 1)
	led := 0
	l := e.load("acks", "30s")
	l.until(500)
	for _, i := range n.All() {
		if _, leader := e.led(n, i%n.N()+1); leader == i {
			led++
		}
		e.run("testnet", "stop", strconv.Itoa(i))
		e.run("testnet", "start", strconv.Itoa(i))
		time.Sleep(5 * time.Second)
	}
	acknowledged, gap := l.end("acknowledged"), l.figure("max_gap_ms")
	e.allReady(n)
	for _, i := range n.All() {
		if view, _ := e.led(n, i); view > begun+uint64(led) {
			t.Errorf("node %d is at view %d; it began at %d, and %d leaders were restarted", i, view, begun, led)
		}
	}
	t.Logf("%.0f acknowledged, %d leaders restarted, longest gap %.0f ms", acknowledged, led, gap)
	t.Log(e.run("audit", "--acks", "acks"))
}

// A whole machine that stands still for a while, with all members on it, goes on when it wakes up: all of their clocks run out at
// once, and they agree on who leads all the same.
//
// case G4; clocks that count what was slept through, or members that never come to one view again, turn it red.
func TestEndToEndAllStandStill(t *testing.T) {
	e := newEndToEnd(t)
	n := e.testnet()
	e.allReady(n)
	before, _ := e.led(n, 1)
	l := e.load("acks", "25s")
	l.until(500)
	var pids []string
	for _, i := range n.All() {
		pids = append(pids, e.pid(n, i))
	}
	e.must(exec.Command("kill", append([]string{"-STOP"}, pids...)...).Run())
	time.Sleep(10 * time.Second)
	e.must(exec.Command("kill", append([]string{"-CONT"}, pids...)...).Run())
	woken, had := time.Now(), l.lines()
	for l.lines() == had {
		if time.Since(woken) > 5*time.Second {
			t.Fatal("nothing is acknowledged five seconds after all go on")
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Logf("goes on after %d ms", time.Since(woken).Milliseconds())
	l.end("acknowledged")
	view, leader := e.led(n, 1)
	for _, i := range n.All() {
		if v, who := e.led(n, i); v != view || who != leader {
			t.Errorf("node %d is at view %d, led by %d; node 1 at %d, led by %d", i, v, who, view, leader)
		}
	}
	if view > before+1 {
		t.Errorf("at view %d, and before they stood still at %d", view, before)
	}
	t.Log(e.run("audit", "--acks", "acks"))
}

// A client that reads at one node after the other, while leaders are killed and come back, never sees a counter go back, nor anything
// older than what was acknowledged before it asked.
//
// case L3; a read out of a node's own state turns it red.
func TestEndToEndReadsNeverGoBack(t *testing.T) {
	e := newEndToEnd(t)
	n := e.testnet()
	e.allReady(n)
	l := e.load("acks", "20s")
	l.until(500)
	seen, killed, reads := 0, 0, 0
	for round, until := 1, time.Now().Add(18*time.Second); time.Now().Before(until); round++ {
		if round%8 == 4 && killed == 0 {
			_, killed = e.led(n, round%n.N()+1)
			e.run("testnet", "kill", strconv.Itoa(killed))
		}
		if round%8 == 0 && killed != 0 {
			e.run("testnet", "start", strconv.Itoa(killed))
			killed = 0
		}
		up := func(i int) int {
			for i = i%n.N() + 1; i == killed; i = i%n.N() + 1 {
			}
			return i
		}
		e.run("tx", "put", "counter", strconv.Itoa(round), "--node", n.URL(up(round)))
		for at := range 2 {
			value, err := e.command("get", "counter", "--node", n.URL(up(round+at+1))).Output()
			if err != nil {
				continue // the node has just begun, and refuses: an error is no lie
			}
			got, err := strconv.Atoi(strings.TrimSpace(string(value)))
			e.must(err)
			if got < seen || got != round {
				t.Errorf("node %d says %d, after %d was acknowledged and %d read", up(round+at+1), got, round, seen)
			}
			seen = max(seen, got)
			reads++
		}
	}
	if reads < 20 {
		t.Errorf("%d reads", reads)
	}
	t.Logf("%d reads, up to %d", reads, seen)
	if killed != 0 {
		e.run("testnet", "start", strconv.Itoa(killed))
	}
	l.end("acknowledged")
	t.Log(e.run("audit", "--acks", "acks"))
}

// blocked is a goroutine that has waited for a lock, or for somebody to take what it sends, for a minute and more, as the runtime tells.
var blocked = regexp.MustCompile(`goroutine [0-9]+ \[(sync\.[A-Za-z.]*Lock|semacquire|chan send)[^\]]*, [0-9]+ minutes`)

// In a node that has lived through a minute of load, pauses and kills of others nobody waits for a lock, or to send something, for ever.
//
// case M6; a lock that is held while its holder waits turns it red.
func TestEndToEndNobodyWaitsForEver(t *testing.T) {
	e := newEndToEnd(t)
	n := e.testnet()
	e.allReady(n)
	l := e.load("acks", "100s")
	l.until(500)
	for _, i := range []int{2, 3, 4, 2} {
		e.run("testnet", "kill", strconv.Itoa(i))
		time.Sleep(5 * time.Second)
		e.run("testnet", "start", strconv.Itoa(i))
		e.allReady(n)
		e.run("testnet", "pause", strconv.Itoa(i))
		time.Sleep(3 * time.Second)
		e.run("testnet", "resume", strconv.Itoa(i))
		e.allReady(n)
	}
	time.Sleep(65 * time.Second) // whatever began to wait in the turmoil has waited for a minute
	l.end("acknowledged")
	e.must(exec.Command("kill", "-QUIT", e.pid(n, 1)).Run()) // it tells what each goroutine does, and ends
	told := ""
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(told, "goroutine "); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("node 1 does not tell what its goroutines do")
		}
		log, err := os.ReadFile(n.Home(1).Log())
		e.must(err)
		told = string(log)
	}
	time.Sleep(time.Second) // all of it
	log, err := os.ReadFile(n.Home(1).Log())
	e.must(err)
	if found := blocked.FindAllString(string(log), -1); len(found) > 0 {
		t.Errorf("%d goroutines wait: %v", len(found), found)
	}
	t.Logf("%d goroutines", strings.Count(string(log), "\ngoroutine "))
}
