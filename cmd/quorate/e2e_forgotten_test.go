package main

import (
	"bufio"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/testnet/local"
)

// A member whose data folder is gone, or is an older copy of itself, has forgotten what it promised. What it would sign
// now could contradict what it signed before, so it follows, and signs nothing that binds. A network bears as many of
// those as it bears failed members.

// mishaps are what can befall a data folder, by name: data is the folder, earlier a copy of it from some time ago.
var mishaps = map[string]func(data, earlier string) error{
	"wiped": func(data, _ string) error { return os.RemoveAll(data) },
	"restored from an earlier copy": func(data, earlier string) error {
		if err := os.RemoveAll(data); err != nil {
			return err
		}
		return exec.Command("cp", "-a", earlier, data).Run()
	},
}

// Backups that have lost their data, or found an old copy of it, follow and do not vote; they say so; the others go on, and
// nothing is lost. Each votes again in an epoch that names its new log. // case F2 F3
// Red if start makes a log that the genesis names, if a log does not know that it is a copy, or if an observer signs.
func TestEndToEndWhoHasForgottenFollows(t *testing.T) {
	const wiped, copied = "wiped", "restored from an earlier copy"
	for _, c := range []struct {
		nodes    int
		befallen map[int]string // what, by member
	}{
		{4, map[int]string{3: wiped}},
		{4, map[int]string{2: copied}},
		{7, map[int]string{2: wiped, 5: copied}},
	} {
		t.Run(fmt.Sprintf("%d nodes, %v", c.nodes, c.befallen), func(t *testing.T) {
			e := newEndToEnd(t, "--nodes", strconv.Itoa(c.nodes))
			n := e.testnet()
			l := e.load("acks.txt", "12s")
			l.until(1000)
			earlier := make(map[int]string)
			for i := range c.befallen {
				earlier[i] = n.Home(i).Data() + ".earlier"
				if out, err := exec.Command("cp", "-a", n.Home(i).Data(), earlier[i]).CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
			}
			l.until(2500)

			for i, what := range c.befallen {
				e.run("testnet", "kill", strconv.Itoa(i))
				if err := mishaps[what](n.Home(i).Data(), earlier[i]); err != nil {
					t.Fatal(err)
				}
				e.run("testnet", "start", strconv.Itoa(i))
			}
			before := l.lines()
			for i := range c.befallen {
				e.observesInSilence(n, i)
			}
			l.until(before + 1000)

			if acked := l.end("acknowledged"); acked < float64(before+1000) {
				t.Errorf("%v acknowledgements", acked)
			}
			// The audit waits until each node is at what was acknowledged, also those that follow.
			t.Log(e.run("audit", "--acks", l.acks))
			e.together(n, uint64(len(c.befallen)), n.All()...) // each is renewed, one after the other
			e.oneModePerSlot(n)
		})
	}
}

// observesInSilence waits until a node observes, and fails the test if it says anything that binds before an epoch names its new log.
func (e *endToEnd) observesInSilence(n *local.Network, i int) {
	e.t.Helper()
	e.observes(n.URL(i))
	said := e.binding(n.URL(i))
	if s, err := e.status(n, i); len(said) > 0 && (err != nil || s.Role == "observer") {
		e.t.Errorf("node%d has forgotten, and has said: %v, %v", i, said, err)
	}
}

// observes waits until a node says that it is an observer, and why.
func (e *endToEnd) observes(url string) {
	e.t.Helper()
	var s struct {
		Role, Why string
		Ready     bool
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := e.getJSON(url+"/status", &s)
		if err == nil && s.Role == "observer" && !s.Ready && strings.Contains(s.Why, "forgotten") {
			return
		}
		if time.Now().After(deadline) {
			e.t.Fatalf("%s: role %q, ready %v, why %q, %v: want an observer that has forgotten", url, s.Role, s.Ready, s.Why, err)
		}
	}
}

var outgoing = regexp.MustCompile(`^quorate_messages_total\{direction="out",kind="([a-z_-]+)"\} ([0-9.e+]+)$`)

// binding is what a node has sent since its start that binds its member, by its own count.
func (e *endToEnd) binding(url string) (said []string) {
	e.t.Helper()
	r, err := http.Get(url + "/metrics")
	if err != nil {
		e.t.Fatal(err)
	}
	defer r.Body.Close()
	counted := 0
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		m := outgoing.FindStringSubmatch(lines.Text())
		if m == nil {
			continue
		}
		counted++
		switch m[1] {
		case "status", "want", "have", "bundle", "fetch", "bodies", "evidence", "propose", "ready", "recover", "standing":
		default:
			if m[2] != "0" {
				said = append(said, m[1]+" "+m[2])
			}
		}
	}
	if counted == 0 {
		e.t.Errorf("%s/metrics counts no messages", url)
	}
	return said
}
