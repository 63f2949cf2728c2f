package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/testnet/local"
)

// With little of what a system gives, nodes do less, say so, and are well again when there is more: nothing that they
// acknowledge is lost, and none of them ends. // case E13
// Red if a node ends when it has no descriptor left for one more connection.
func TestEndToEndScarcity(t *testing.T) {
	for name, c := range map[string]struct {
		limits []string                                            // of prlimit, for the nodes
		groups map[string]string                                   // what to write into which file of a node's control group
		worse  func(e *endToEnd, n *local.Network) (better func()) // makes it harder for a while
	}{
		"256 descriptors":        {limits: []string{"--nofile=256:256"}, worse: manyConnections},
		"512 MiB of memory":      {groups: map[string]string{"memory/memory.limit_in_bytes": "512M"}},
		"a fifth of a processor": {groups: map[string]string{"cpu/cpu.cfs_period_us": "100000", "cpu/cpu.cfs_quota_us": "20000"}},
	} {
		t.Run(name, func(t *testing.T) {
			e := newBuilt(t)
			e.needs("prlimit")
			e.run("testnet", "init", "--base-port", "0")
			n := e.testnet()
			for _, i := range n.All() {
				start := exec.Command("prlimit", append(c.limits, e.binary, "testnet", "start", fmt.Sprint(i))...)
				start.Dir = e.dir
				if out, err := start.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
				for file, value := range c.groups {
					e.confine(n, i, file, value)
				}
			}
			e.run("testnet", "up", "--detach") // waits until they are ready
			l := e.load("acks.txt", "12s")
			l.until(200)
			if c.worse != nil {
				better := c.worse(e, n)
				l.until(l.lines() + 200)
				better()
			}
			l.until(l.lines() + 200)

			acknowledged := l.end("acknowledged")

			running, err := n.Running()
			e.must(err)
			if len(running) != n.N() {
				t.Errorf("only nodes %v are left", running)
			}
			t.Logf("%v acknowledged, max_gap_ms %v", acknowledged, l.figure("max_gap_ms"))
			t.Log(e.run("audit", "--acks", l.acks))
		})
	}
}

// confine puts a node into a control group of its own (version 1).
func (e *endToEnd) confine(n *local.Network, i int, file, value string) {
	e.t.Helper()
	controller, name := filepath.Split(file)
	group := filepath.Join("/sys/fs/cgroup", controller, fmt.Sprintf("quorate-e2e-%d-%d", os.Getpid(), i))
	if err := os.Mkdir(group, 0o755); err != nil && !os.IsExist(err) {
		e.t.Skipf("no control groups (version 1) can be made here: %v", err)
	}
	e.t.Cleanup(func() {
		killAll(filepath.Join(e.dir, "quorate-testnet"))
		_ = os.Remove(group)
	})
	e.must(os.WriteFile(filepath.Join(group, name), []byte(value), 0))
	pid, err := os.ReadFile(n.Home(i).PID())
	e.must(err)
	e.must(os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(strings.TrimSpace(string(pid))), 0))
}

// manyConnections has every node hold more connections than it has descriptors for, if it lets them.
func manyConnections(e *endToEnd, n *local.Network) (better func()) {
	var all []net.Conn
	for _, i := range n.All() {
		for _, address := range []string{n.Genesis.Members[i-1].API, n.Genesis.Members[i-1].Address} {
			for range 300 {
				c, err := net.DialTimeout("tcp", address, time.Second)
				if err != nil {
					break
				}
				all = append(all, c)
			}
		}
	}
	e.t.Logf("%d connections that say nothing", len(all))
	return func() {
		for _, c := range all {
			_ = c.Close()
		}
	}
}
