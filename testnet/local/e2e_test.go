package local

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// endToEnd is a network of the real program, which is built first. It takes minutes and both cores, so it is asked for.
type endToEnd struct {
	t       *testing.T
	program string
	dir     string
}

func newEndToEnd(t *testing.T) *endToEnd {
	if os.Getenv("QUORATE_E2E") == "" {
		t.Skip("set QUORATE_E2E=1, or make e2e")
	}
	e := &endToEnd{t: t, program: filepath.Join(t.TempDir(), "quorate"), dir: filepath.Join(t.TempDir(), "net")}
	build := exec.Command("go", "build", "-trimpath", "-o", e.program, "github.com/quorate/quorate/cmd/quorate")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() {
		if n, err := Open(e.dir); err == nil {
			for _, i := range n.All() {
				_ = n.Kill(context.Background(), i)
			}
		}
	})
	e.run("testnet", "up", "--detach", "--base-port", "0")
	return e
}

func (e *endToEnd) command(args ...string) *exec.Cmd {
	return exec.Command(e.program, append(args, "--dir", e.dir)...)
}

// run has a command succeed, and returns what it printed.
func (e *endToEnd) run(args ...string) string {
	e.t.Helper()
	out, err := e.try(args...)
	if err != nil {
		e.t.Fatal(err)
	}
	return out
}

func (e *endToEnd) try(args ...string) (string, error) {
	cmd := e.command(args...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("quorate %s: %w: %s%s", strings.Join(args, " "), err, out, complaint.Bytes())
	}
	return string(out), err
}

func lines(t *testing.T, path string) int {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return bytes.Count(text, []byte("\n"))
}

// Five times over, all four nodes are killed under load after 2,000 acknowledgements more, and each of them has every
// acknowledged transaction when they are back. Red with any mutant that speaks before the sync.
func TestEndToEndAPowerCutTakesNothingThatWasAcknowledged(t *testing.T) {
	e := newEndToEnd(t)
	const rounds, least = 5, 2000
	for round := 1; round <= rounds; round++ {
		acks := filepath.Join(t.TempDir(), "acks.txt")
		load := e.command("bench", "--clients", "64", "--duration", "10m", "--size", "256", "--timeout", "1ms", "--acks", acks)
		if err := load.Start(); err != nil {
			t.Fatal(err)
		}
		err := until(t.Context(), func() (bool, error) { return lines(t, acks) >= least, nil })
		e.run("testnet", "kill", "1", "2", "3", "4")
		_ = load.Process.Signal(os.Interrupt)
		_ = load.Wait() // however it ends: what it wrote is what counts
		if err != nil {
			t.Fatal(err)
		}
		e.run("testnet", "start", "1", "2", "3", "4")
		t.Logf("round %d: %d acknowledgements; %s", round, lines(t, acks), lastLine(e.run("audit", "--acks", acks)))
	}
}

func lastLine(text string) string {
	all := strings.Split(strings.TrimSpace(text), "\n")
	return all[len(all)-1]
}

// One backup is killed under load and comes back ten seconds later: the others' clients notice nothing for 200 ms or
// more, and within ten seconds it is where the others are.
func TestEndToEndABackupThatComesBackDisturbsNobody(t *testing.T) {
	e := newEndToEnd(t)
	acks := filepath.Join(t.TempDir(), "acks.txt")
	load := e.command("bench", "--clients", "64", "--duration", "30s", "--size", "256", "--acks", acks, "-o", "json")
	var out bytes.Buffer
	load.Stdout = &out
	if err := load.Start(); err != nil {
		t.Fatal(err)
	}
	away := 10 * time.Second
	if err := until(t.Context(), func() (bool, error) { return lines(t, acks) > 0, nil }); err != nil {
		t.Fatal(err)
	}
	e.run("testnet", "kill", "4")
	back := time.Now().Add(away)
	if err := until(t.Context(), func() (bool, error) { return time.Now().After(back), nil }); err != nil {
		t.Fatal(err)
	}
	// Where the others are when it comes back.
	tip := e.seq(1)
	started := time.Now()
	e.run("testnet", "start", "4")
	if err := until(t.Context(), func() (bool, error) { return e.seq(4) >= tip, nil }); err != nil {
		t.Fatal(err)
	}
	caughtUp := time.Since(started)
	if err := load.Wait(); err != nil {
		t.Fatal(err)
	}
	var r struct {
		Gap      float64 `json:"max_gap_ms"`
		Unknown  int     `json:"unknown"`
		Rejected int     `json:"rejected"`
		Rate     float64 `json:"tx_per_second"`
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("%v: %s", err, out.Bytes())
	}
	t.Logf("%.0f tx/s, longest gap %.0f ms, at the tip after %v", r.Rate, r.Gap, caughtUp)
	if r.Gap >= 200 || r.Unknown+r.Rejected > 0 || caughtUp > 10*time.Second {
		t.Errorf("%s", out.Bytes())
	}
	e.run("audit", "--acks", acks)
}

// seq is how far a node says that it is.
func (e *endToEnd) seq(node int) uint64 {
	e.t.Helper()
	out, err := e.try("status", "--node", strconv.Itoa(node))
	if err != nil {
		return 0 // not listening yet
	}
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) == 2 && f[0] == "seq" {
			seq, err := strconv.ParseUint(f[1], 10, 64)
			if err != nil {
				e.t.Fatal(err)
			}
			return seq
		}
	}
	e.t.Fatalf("no seq in %s", out)
	return 0
}
