package local

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func upAndRunning(t *testing.T, n *Network) {
	t.Helper()
	t.Cleanup(func() {
		for _, i := range n.All() {
			_ = n.Kill(context.Background(), i)
		}
	})
	if err := n.Start(t.Context(), n.All(), thisTest(t)); err != nil {
		t.Fatal(err)
	}
	if err := n.AwaitReady(t.Context(), n.All()); err != nil {
		t.Fatal(err)
	}
}

func states(t *testing.T, n *Network) (all []string) {
	t.Helper()
	status, err := n.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range status {
		all = append(all, s.State)
	}
	return all
}

func TestNodesAreStartedStoppedKilledPausedAndResumed(t *testing.T) {
	n := newNetwork(t)
	if got := states(t, n); !slices.Equal(got, []string{"stopped", "stopped", "stopped", "stopped"}) {
		t.Fatalf("before: %q", got)
	}

	upAndRunning(t, n)
	status, err := n.Status(t.Context())
	if s := status[1]; err != nil || s.State != "running" || s.Seq != "17" || s.Leader != 1 || !s.Ready || s.PID == 0 || s.Node != 2 {
		t.Errorf("node2: %+v, %v", s, err)
	}

	if err := errors.Join(n.Stop(t.Context(), 1), n.Kill(t.Context(), 2), n.Pause(3)); err != nil {
		t.Fatal(err)
	}
	if err := until(t.Context(), func() (bool, error) { return states(t, n)[2] == "paused", nil }); err != nil {
		t.Fatal(err)
	}
	if got := states(t, n); !slices.Equal(got, []string{"stopped", "stopped", "paused", "running"}) {
		t.Errorf("then: %q", got)
	}
	if ids, err := n.Running(); err != nil || !slices.Equal(ids, []int{3, 4}) {
		t.Errorf("running: %v, %v", ids, err)
	}
	// Graceful: it has taken its file away. Killed: it could not, and nobody is taken for it.
	if _, err := os.Stat(n.Home(1).PID()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("node1's file: %v", err)
	}
	if _, err := os.Stat(n.Home(2).PID()); err != nil {
		t.Errorf("node2's file: %v", err)
	}

	if err := n.Resume(3); err != nil {
		t.Fatal(err)
	}
	upAndRunning(t, n)
	if got := states(t, n); !slices.Equal(got, []string{"running", "running", "running", "running"}) {
		t.Errorf("at the end: %q", got)
	}

	for _, i := range n.All() {
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if err := n.AwaitEnd(over); err == nil {
			t.Errorf("before node%d is stopped, all have ended", i)
		}
		if err := n.Stop(t.Context(), i); err != nil {
			t.Error(err)
		}
	}
	if err := n.AwaitEnd(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestAPausedNodeIsStoppedAllTheSame(t *testing.T) {
	n := newNetwork(t)
	upAndRunning(t, n)
	if err := n.Pause(1); err != nil {
		t.Fatal(err)
	}
	if err := n.Stop(t.Context(), 1); err != nil {
		t.Error(err)
	}
}

func TestOnlyARunningNodeCanBeKilled(t *testing.T) {
	n := newNetwork(t)
	// A pid that was left behind and belongs to somebody else now: this test.
	if err := os.WriteFile(n.Home(1).PID(), []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{"kill": n.Kill(t.Context(), 1), "pause": n.Pause(1), "resume": n.Resume(1)} {
		if !errors.Is(err, ErrNotRunning) || !strings.Contains(err.Error(), "quorate testnet start 1") {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := n.Stop(t.Context(), 1); err != nil {
		t.Errorf("stopping what is stopped: %v", err)
	}
}

// case D17: two processes of one node. Red if Claim takes no lock.
func TestASecondProcessOfANodeIsRefused(t *testing.T) {
	n := newNetwork(t)
	upAndRunning(t, n)
	cmd := exec.Command(thisTest(t).Path, "start", "--home", string(n.Home(2)))
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), ErrRuns.Error()) {
		t.Errorf("%v: %s", err, out)
	}
	if _, runs, err := n.Home(2).running(); !runs || err != nil {
		t.Errorf("the first one is gone: %v", err)
	}
}

func TestANodeThatDiesAtStartSaysItsLastWords(t *testing.T) {
	n := newNetwork(t)
	if err := os.WriteFile(filepath.Join(string(n.Home(1)), "dies"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, i := range n.All() {
			_ = n.Kill(context.Background(), i) // the others run
		}
	})
	err := n.Start(t.Context(), n.All(), thisTest(t))
	if err == nil || !strings.Contains(err.Error(), "node1 ended") || !strings.Contains(err.Error(), "the disk is on fire") {
		t.Errorf("%v", err)
	}
}

func TestATakenPortIsNamedBeforeTheNodeIsStarted(t *testing.T) {
	n := newNetwork(t)
	l, err := net.Listen("tcp", n.Genesis.Members[0].API)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	err = n.Start(t.Context(), []int{1}, thisTest(t))
	if err == nil || !strings.Contains(err.Error(), n.Genesis.Members[0].API) || !strings.Contains(err.Error(), "another network: quorate testnet up --dir") {
		t.Errorf("%v", err)
	}
}

// Red if only the node itself looks at its ports: then there is a folder with ports that cannot be had.
func TestTakenPortsAreNamedBeforeThereIsANetwork(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := DefaultPlan()
	p.BasePort = l.Addr().(*net.TCPAddr).Port - 1 // node1's, for other nodes
	if err := p.PortsFree(); err == nil || !strings.Contains(err.Error(), l.Addr().String()) || !strings.Contains(err.Error(), "--base-port 0") {
		t.Errorf("%v", err)
	}
	p.BasePort = 0
	if err := p.PortsFree(); err != nil {
		t.Errorf("ports that are yet to be chosen: %v", err)
	}
}

func TestWhoWaitsForReadinessHearsWhyThereIsNone(t *testing.T) {
	n := newNetwork(t)
	if err := os.WriteFile(filepath.Join(string(n.Home(2)), "unready"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Kill(context.Background(), 2) })
	if err := n.Start(t.Context(), []int{2}, thisTest(t)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := n.AwaitReady(ctx, []int{2})
	if !errors.Is(err, ErrNotReady) || !strings.Contains(err.Error(), "node2") || !strings.Contains(err.Error(), "no quorum") {
		t.Errorf("%v", err)
	}
}

// Red without closeOnExec: the node inherits the pipe, and its reader waits for ever.
func TestANodeHoldsNothingOfItsCaller(t *testing.T) {
	t.Setenv("QUORATE_API_LISTEN", "127.0.0.1:1")
	n := newNetwork(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	inheritable(t, w)
	link, err := os.Readlink("/proc/self/fd/" + itoa(w.Fd()))
	if err != nil {
		t.Skip("no /proc")
	}
	upAndRunning(t, n)
	w.Close()

	_, open, err := get(t.Context(), n.URL(1)+"/descriptors")
	if err != nil || strings.Contains(open, link) || !strings.Contains(open, "node.log") {
		t.Errorf("%v; open: %s", err, open)
	}
	if !strings.Contains(open, "0 /dev/null") {
		t.Errorf("standard input: %s", open)
	}
	if _, all, err := get(t.Context(), n.URL(1)+"/environment"); err != nil || strings.Contains(all, "QUORATE_") {
		t.Errorf("%v; environment: %s", err, all)
	}
}
