package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The tests here run real networks for minutes: make e2e. Their bounds on time are the project's promises on a machine
// with two cores that does nothing else.

// endToEnd is a built quorate with a network of its own.
type endToEnd struct {
	t           *testing.T
	binary, dir string
}

// newEndToEnd has a network with these flags, up and ready.
func newEndToEnd(t *testing.T, flags ...string) *endToEnd {
	e := newBuilt(t)
	e.run(append([]string{"testnet", "up", "--detach", "--base-port", "0"}, flags...)...)
	return e
}

// newBuilt has no network yet; the one that it gets is ended with the test.
func newBuilt(t *testing.T) *endToEnd {
	if os.Getenv("QUORATE_E2E") == "" {
		t.Skip("takes minutes: run make e2e")
	}
	e := &endToEnd{t: t, dir: t.TempDir()}
	e.binary = filepath.Join(e.dir, "quorate")
	build := exec.Command("go", "build", "-o", e.binary, ".")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { killAll(filepath.Join(e.dir, "quorate-testnet")) })
	return e
}

func (e *endToEnd) command(args ...string) *exec.Cmd {
	c := exec.Command(e.binary, args...)
	c.Dir = e.dir
	return c
}

func (e *endToEnd) run(args ...string) string {
	e.t.Helper()
	c := e.command(args...)
	var out, errs bytes.Buffer
	c.Stdout, c.Stderr = &out, &errs
	if err := c.Run(); err != nil {
		e.t.Fatalf("quorate %v: %v\n%s%s", args, err, out.Bytes(), errs.Bytes())
	}
	return out.String()
}

// load is a bench under way.
type load struct {
	*endToEnd
	cmd  *exec.Cmd
	out  bytes.Buffer
	acks string
}

func (e *endToEnd) load(name, duration string) *load {
	e.t.Helper()
	l := &load{endToEnd: e, acks: filepath.Join(e.dir, name)}
	l.cmd = e.command("bench", "--clients", "64", "--duration", duration, "--size", "256", "--acks", l.acks, "-o", "json")
	l.cmd.Stdout, l.cmd.Stderr = &l.out, os.Stderr
	if err := l.cmd.Start(); err != nil {
		e.t.Fatal(err)
	}
	return l
}

// lines counts what has been acknowledged so far.
func (l *load) lines() int {
	f, err := os.Open(l.acks)
	if err != nil {
		return 0
	}
	defer f.Close()
	n := 0
	for s := bufio.NewScanner(f); s.Scan(); n++ {
	}
	return n
}

// newest is the newest slot that was acknowledged.
func (l *load) newest() (slot uint64) {
	text, err := os.ReadFile(l.acks)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 3 {
			seq, err := strconv.ParseUint(fields[3], 10, 64)
			l.must(err)
			slot = max(slot, seq)
		}
	}
	return slot
}

func (l *load) until(acks int) {
	l.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); l.lines() < acks; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			l.t.Fatalf("%d acknowledgements after a minute, want %d", l.lines(), acks)
		}
	}
}

// end waits for the load to end, and yields one of its figures.
func (l *load) end(figure string) float64 {
	l.t.Helper()
	if err := l.cmd.Wait(); err != nil {
		l.t.Fatalf("bench: %v\n%s", err, l.out.Bytes())
	}
	return l.figure(figure)
}

// figure is one of a load's that has ended.
func (l *load) figure(figure string) float64 {
	l.t.Helper()
	var figures map[string]json.RawMessage
	if err := json.Unmarshal(l.out.Bytes(), &figures); err != nil {
		l.t.Fatalf("bench printed %q: %v", l.out.Bytes(), err)
	}
	v, err := strconv.ParseFloat(string(bytes.Trim(figures[figure], `"`)), 64)
	if err != nil {
		l.t.Fatalf("%s: %v", figure, err)
	}
	return v
}

// Whatever instant all four nodes are killed at, each of them has everything that was acknowledged. // case F11
// Red if an acknowledgement leaves before what it rests on is durable at a quorum.
func TestEndToEndKillAllUnderLoad(t *testing.T) {
	e := newEndToEnd(t)
	for round := range 5 {
		l := e.load("acks"+strconv.Itoa(round)+".txt", "12s")
		l.until(2000)
		e.run("testnet", "kill", "1", "2", "3", "4")
		e.run("testnet", "start", "1", "2", "3", "4")
		if l.end("acknowledged") < 2000 {
			t.Fatal("fewer than 2000 acknowledgements")
		}
		t.Log(e.run("audit", "--acks", l.acks))
	}
}

// A backup that is killed, and comes back after ten seconds, holds up nobody, and is at the tip within ten seconds.
func TestEndToEndBackupAwayUnderLoad(t *testing.T) {
	e := newEndToEnd(t)
	l := e.load("acks.txt", "30s")
	l.until(1000)
	e.run("testnet", "kill", "3")
	time.Sleep(10 * time.Second) // how long it is away is what the test is about
	e.run("testnet", "start", "3")
	back := time.Now()

	seq := func(node string) uint64 {
		var s struct{ Seq string }
		if err := json.Unmarshal([]byte(e.run("status", "--node", node, "-o", "json")), &s); err != nil {
			t.Fatal(err)
		}
		n, err := strconv.ParseUint(s.Seq, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	for {
		tip := seq("1")
		if seq("3") >= tip {
			break
		}
		if time.Since(back) > 10*time.Second {
			t.Fatalf("node 3 is at %d ten seconds after it was started, node 1 at %d", seq("3"), seq("1"))
		}
	}
	t.Logf("at the tip %v after it was started", time.Since(back).Round(10*time.Millisecond))

	if gap := l.end("max_gap_ms"); gap >= 200 {
		t.Errorf("max_gap_ms %v, want below 200", gap)
	}
	t.Log(e.run("audit", "--acks", l.acks))
}
