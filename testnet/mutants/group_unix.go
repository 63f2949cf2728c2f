//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// inGroup makes a command the head of a process group, and its cancellation the end of the whole group: a test binary
// must not outlive the go command that started it.
func inGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
