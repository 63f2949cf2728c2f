package local

import (
	"os"
	"strconv"
	"syscall"
	"testing"
)

// inheritable makes f what a shell's `3>file` is: open in every child.
func inheritable(t *testing.T, f *os.File) {
	t.Helper()
	if _, _, errno := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), syscall.F_SETFD, 0); errno != 0 {
		t.Fatal(errno)
	}
}

func itoa(fd uintptr) string { return strconv.FormatUint(uint64(fd), 10) }
