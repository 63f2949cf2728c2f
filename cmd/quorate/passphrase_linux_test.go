package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// Who is asked for a passphrase and interrupts has his terminal as it was.
// Red: leave out what ask does when ctx ends.
func TestAnInterruptAtThePromptLeavesTheTerminalAsItWas(t *testing.T) {
	terminal := newTerminal(t)
	k := &keyring{app: &app{in: terminal, err: io.Discard, getenv: func(string) string { return "" }}}
	ctx, interrupt := context.WithCancel(context.Background())
	asked := make(chan error)
	go func() {
		_, err := k.passphrase(ctx, "alice.json", false)
		asked <- err
	}()
	for echoes(t, terminal) {
		runtime.Gosched() // until it is asking
	}

	interrupt()

	if err := <-asked; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	if !echoes(t, terminal) {
		t.Error("the terminal still hides what is typed")
	}
}

func echoes(t *testing.T, terminal *os.File) bool {
	t.Helper()
	s, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return s.Lflag&unix.ECHO != 0
}

// newTerminal is one at which nobody types (pty(7)).
func newTerminal(t *testing.T) *os.File {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { keyboard.Close() })
	if err := unix.IoctlSetPointerInt(int(keyboard.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(keyboard.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return terminal
}
