package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/testnet/local"
)

// The tests here spoil the disk of member 4 while the network works, and then mend it. Whatever befalls the disk, the
// node ends by itself, with a plain sentence and not by a signal; it does not start before the disk is well; then it does,
// and catches up. The others never wait for it.

const spoiled = 4

// unwell waits until the spoiled node has ended by itself, and yields its last words.
func (e *endToEnd) unwell(n *local.Network) string {
	e.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		running, err := n.Running()
		e.must(err)
		if len(running) == n.N()-1 {
			break
		}
		if time.Now().After(deadline) {
			e.t.Fatalf("its disk is spoiled, and node%d goes on", spoiled)
		}
	}
	text, err := os.ReadFile(n.Home(spoiled).Log())
	e.must(err)
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	last := lines[len(lines)-1]
	if strings.Contains(string(text), "SIGBUS") || strings.Contains(string(text), "goroutine ") || !strings.HasPrefix(last, "quorate: ") {
		e.t.Errorf("it did not end with a plain sentence:\n%s", strings.Join(lines[max(0, len(lines)-20):], "\n"))
	}
	e.t.Logf("ended: %s", last)
	return last
}

// refuses is that the spoiled node cannot be started, for this reason.
func (e *endToEnd) refuses(reason string) {
	e.t.Helper()
	out, err := e.command("testnet", "start", fmt.Sprint(spoiled)).CombinedOutput()
	if err == nil || !strings.Contains(string(out), reason) || strings.Contains(string(out), "goroutine ") {
		e.t.Errorf("it was started (%v) and said: %s", err, out)
	}
}

// recovered is that the spoiled node starts, and all is well, also with what was acknowledged meanwhile.
func (e *endToEnd) recovered(l *load) {
	e.t.Helper()
	e.run("testnet", "start", fmt.Sprint(spoiled))
	before := l.lines()
	l.until(before + 200)
	if l.end("max_gap_ms") > 1000 {
		e.t.Errorf("the others waited for it: max_gap_ms %v", l.out.String())
	}
	e.t.Log(e.run("audit", "--acks", l.acks))
}

// Whoever fills the disk of a node, slowly or at once, ends it, and damages nothing. // case F9
// Red if neither the watch nor a commit looks at what is free.
func TestEndToEndFullDisk(t *testing.T) {
	e := newBuilt(t)
	e.needsMounts("fallocate")
	e.run("testnet", "init", "--base-port", "0")
	n := e.testnet()
	image := filepath.Join(e.dir, "disk.img")
	e.format(image, 640<<20)
	e.ownDisk(n, spoiled, func(at string) { e.mountImage(image, at) })
	e.run("testnet", "start", "1", "2", "3", "4")
	l := e.load("acks.txt", "15s")
	l.until(1000)
	filler := filepath.Join(n.Home(spoiled).Data(), "filler")

	// A neighbour that grows by 8 MiB at a time.
	grown := int64(0)
	for running := n.N(); running == n.N(); {
		if grown += 8 << 20; grown > 640<<20 {
			break
		}
		e.system("fallocate", "-l", fmt.Sprint(grown), filler)
		time.Sleep(20 * time.Millisecond)
		ids, err := n.Running()
		e.must(err)
		running = len(ids)
	}
	if last := e.unwell(n); !strings.Contains(last, "make room") {
		t.Errorf("it did not say what to do: %s", last)
	}
	e.refuses("make room")
	fill := exec.Command("dd", "if=/dev/zero", "of="+filler+"2", "bs=1M")
	if err := fill.Run(); err == nil {
		t.Error("the disk is not full")
	}
	e.refuses("make room")

	e.must(errors.Join(os.Remove(filler), os.Remove(filler+"2")))
	e.recovered(l)
}

// A file system that has found an error and made itself read-only ends the node at its next write. // case F10
// Red if a node goes on after an error of its log and of its state.
func TestEndToEndReadOnlyDisk(t *testing.T) {
	e := newBuilt(t)
	e.needsMounts("fsck.ext4", "findmnt")
	e.run("testnet", "init", "--base-port", "0")
	n := e.testnet()
	image := filepath.Join(e.dir, "disk.img")
	e.format(image, 640<<20)
	data := n.Home(spoiled).Data()
	e.ownDisk(n, spoiled, func(at string) { e.mountImage(image, at) })
	e.run("testnet", "start", "1", "2", "3", "4")
	l := e.load("acks.txt", "15s")
	l.until(1000)

	device, err := exec.Command("findmnt", "-n", "-o", "SOURCE", data).Output()
	e.must(err)
	trigger := filepath.Join("/sys/fs/ext4", filepath.Base(strings.TrimSpace(string(device))), "trigger_fs_error")
	if err := os.WriteFile(trigger, []byte("quorate: a test"), 0); err != nil {
		t.Skipf("this kernel cannot pretend an error of a file system: %v", err)
	}

	e.unwell(n)
	e.refuses("read-only file system")
	e.system("umount", data)
	_ = exec.Command("fsck.ext4", "-y", image).Run() // its code says that it has mended something
	e.mountImage(image, data)
	e.recovered(l)
}

// The first sync that fails ends the node, whichever it is; nobody tries again, since a second one that succeeds proves
// nothing. Started again it reads what the disk has. // case F8
// Red if an error of fdatasync or msync is passed over, or retried.
func TestEndToEndFailingSync(t *testing.T) {
	for _, call := range []string{"fdatasync", "msync"} {
		t.Run(call, func(t *testing.T) {
			e := newEndToEnd(t)
			e.needs("strace")
			n := e.testnet()
			id := fmt.Sprint(spoiled)
			e.run("testnet", "stop", id)
			l := e.load("acks.txt", "12s")
			l.until(500)
			// Each thread counts its own calls; one failure is all there is.
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			traced := exec.CommandContext(ctx, "strace", "-f", "--seccomp-bpf", "-o", "/dev/null", "-e", "trace="+call, "-e", "inject="+call+":error=EIO:when=20",
				e.binary, "start", "--home", string(n.Home(spoiled)))
			traced.WaitDelay = time.Second // the node, if it goes on, holds the pipe
			out, err := traced.CombinedOutput()
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			last := lines[len(lines)-1]
			if traced.ProcessState.ExitCode() != 1 || !strings.Contains(last, "input/output error") {
				t.Fatalf("a failed %s ended the node with %v:\n%s", call, err, out)
			}
			t.Logf("ended: %s", last)
			e.recovered(l)
		})
	}
}
