package main

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/quorate/quorate/testnet/local"
)

// islands is a network whose nodes are on hosts of their own, which are network namespaces, so that any two of them can be parted.
type islands struct {
	*endToEnd
	network *local.Network
	suffix  string
	subnet  string // of the block that RFC 2544 keeps for tests between networks, without the last number
	apart   map[[2]int]bool
}

// newIslands has a network that runs, and hosts for more processes than it has nodes.
func newIslands(e *endToEnd, nodes, hosts int, flags ...string) *islands {
	if os.Geteuid() != 0 {
		e.t.Skip("needs root, to make network namespaces: no partition of real processes was tested")
	}
	e.needs("ip")
	var id [2]byte
	rand.Read(id[:])
	s := &islands{endToEnd: e, suffix: hex.EncodeToString(id[:]), subnet: fmt.Sprintf("198.%d.%d.", 18+id[0]&1, id[1]), apart: make(map[[2]int]bool)}
	bridge := "qb" + s.suffix
	e.t.Cleanup(func() {
		killAll(filepath.Join(e.dir, "quorate-testnet"))
		for i := range hosts {
			_ = exec.Command("ip", "netns", "del", s.host(i+1)).Run()
		}
		_ = exec.Command("ip", "link", "del", bridge).Run()
	})
	e.system("ip", "link", "add", bridge, "type", "bridge")
	e.system("ip", "addr", "add", s.subnet+"254/24", "dev", bridge)
	e.system("ip", "link", "set", bridge, "up")
	for i := 1; i <= hosts; i++ {
		here, there := fmt.Sprintf("q%s-%d", s.suffix, i), fmt.Sprintf("p%s-%d", s.suffix, i)
		e.system("ip", "netns", "add", s.host(i))
		e.system("ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns", s.host(i))
		e.system("ip", "link", "set", here, "master", bridge, "up")
		e.system("ip", "-n", s.host(i), "addr", "add", s.address(i)+"/24", "dev", there)
		e.system("ip", "-n", s.host(i), "link", "set", there, "up")
		e.system("ip", "-n", s.host(i), "link", "set", "lo", "up")
	}
	var addresses []string
	for i := 1; i <= nodes; i++ {
		addresses = append(addresses, s.address(i))
	}
	e.run(append([]string{"testnet", "init", "--nodes", strconv.Itoa(nodes), "--hosts", strings.Join(addresses, ",")}, flags...)...)
	s.network = e.testnet()
	for i := 1; i <= nodes; i++ {
		s.on(i, "testnet", "start", strconv.Itoa(i))
	}
	e.allReady(s.network)
	return s
}

func (s *islands) host(i int) string    { return fmt.Sprintf("quorate-%s-%d", s.suffix, i) }
func (s *islands) address(i int) string { return s.subnet + strconv.Itoa(i) }

// on runs quorate on a host.
func (s *islands) on(host int, args ...string) {
	s.t.Helper()
	c := exec.Command("ip", append([]string{"netns", "exec", s.host(host), s.binary}, args...)...)
	c.Dir = s.dir
	if out, err := c.CombinedOutput(); err != nil {
		s.t.Fatalf("quorate %v: %v\n%s", args, err, out)
	}
}

// part has hosts not hear of each other, those of which apart says so, and joins all others.
func (s *islands) part(hosts int, apart func(a, b int) bool) {
	s.t.Helper()
	for a := 1; a <= hosts; a++ {
		for b := 1; b <= hosts; b++ {
			want, is := a != b && (apart(a, b) || apart(b, a)), s.apart[[2]int{a, b}]
			if want == is {
				continue
			}
			do := "add"
			if is {
				do = "del"
			}
			s.system("ip", "-n", s.host(a), "route", do, "blackhole", s.address(b)+"/32")
			s.apart[[2]int{a, b}] = want
		}
	}
}

func (s *islands) heal(hosts int) { s.part(hosts, func(int, int) bool { return false }) }
