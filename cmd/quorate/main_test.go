package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/quorate/quorate/testnet/local"
)

// The test binary is the program, when it is called quorate; and a whole network, or a stranger, when it is called so.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"quorate":       func() { os.Exit(run()) },
		oneProcess:      func() { os.Exit(runInOneProcess()) },
		strangerProcess: func() { os.Exit(runStranger()) },
	})
}

// The scripts drive the program as users and other scripts do.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:      "testdata",
		Deadline: time.Now().Add(2 * time.Minute), // a command that does not return is a failure, not a wait
		Setup: func(e *testscript.Env) error {
			e.Defer(func() { killAll(filepath.Join(e.WorkDir, "quorate-testnet")) })
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"exits": exits, "eventually": eventually, "flip": flip},
	})
}

// killAll leaves no node behind, whatever a script has come to.
func killAll(dir string) {
	n, err := local.Open(dir)
	if err != nil {
		return
	}
	for _, i := range n.All() {
		_ = n.Kill(context.Background(), i)
	}
	_ = n.StopTwins(context.Background())
}

// exits CODE COMMAND…: the command ends with exactly this code.
func exits(s *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	s.Check(err)
	if got := codeOfExec(s, args[1:]); got != want {
		s.Fatalf("exit code %d, want %d", got, want)
	}
}

// eventually CODE COMMAND…: it does so sooner or later.
func eventually(s *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	s.Check(err)
	for deadline := time.Now().Add(20 * time.Second); codeOfExec(s, args[1:]) != want; {
		if time.Now().After(deadline) {
			s.Fatalf("never exit code %d", want)
		}
	}
}

func codeOfExec(s *testscript.TestScript, command []string) int {
	err := s.Exec(command[0], command[1:]...)
	if ended := (*exec.ExitError)(nil); errors.As(err, &ended) {
		return ended.ExitCode()
	}
	s.Check(err)
	return 0
}

// flip FILE TEXT: one bit of the first TEXT in FILE.
func flip(s *testscript.TestScript, _ bool, args []string) {
	path := s.MkAbs(args[0])
	raw, err := os.ReadFile(path)
	s.Check(err)
	at := bytes.Index(raw, []byte(args[1]))
	if at < 0 {
		s.Fatalf("%s has no %q", path, args[1])
	}
	raw[at] ^= 1
	s.Check(os.WriteFile(path, raw, 0o600))
}
