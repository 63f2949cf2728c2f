//go:build unix

package keystore

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// case D17
//
// Red if the owner is not looked at.
func TestAKeyFileOfAnotherUserIsRefused(t *testing.T) {
	for _, c := range []struct {
		owner, user int
		refused     bool
	}{
		{1000, 1000, false},
		{0, 1000, false}, // root reads and replaces what it likes
		{0, 0, false},
		{1001, 1000, true},
		{1000, 0, true},
	} {
		err := checkOwnerIs(c.owner, c.user, "alice.json")
		if (err != nil) != c.refused {
			t.Errorf("of %d, run by %d: %v", c.owner, c.user, err)
		}
		if err != nil && !strings.Contains(err.Error(), "alice.json") {
			t.Errorf("the error %q does not say what to do", err)
		}
	}
	if os.Geteuid() == 0 { // only root can make such a file
		path := write(t, fileOfZeroSeed, 0o600)
		if err := os.Chown(path, 65534, -1); err != nil {
			t.Fatal(err)
		}
		if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "belongs to user 65534") {
			t.Errorf("a file of another user: %v", err)
		}
	}
}

func TestAPipeIsRefusedAndNotWaitedFor(t *testing.T) {
	path := filepath.Join(t.TempDir(), "alice.json")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "is not a regular file") {
		t.Errorf("a pipe that nobody writes to: %v", err)
	}
}
