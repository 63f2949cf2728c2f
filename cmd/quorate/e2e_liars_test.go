package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/client"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/statemachine/kv"
	"github.com/quorate/quorate/testnet/adversary"
	"github.com/quorate/quorate/testnet/local"
)

// accused are the members against which a node holds evidence.
func (e *endToEnd) accused(n *local.Network, by int) []int {
	e.t.Helper()
	var said struct {
		Evidence []struct {
			Member int `json:"member"`
		} `json:"evidence"`
	}
	e.must(e.getJSON(n.URL(by)+"/evidence", &said))
	members := make(map[int]bool)
	for _, piece := range said.Evidence {
		members[piece.Member] = true
	}
	return slices.Sorted(maps.Keys(members))
}

// A second process speaks for node 4, from what node 4 remembered when it was made, and who hears whom changes all the time: within 15
// seconds everybody holds evidence against member 4, and nobody else is accused. The independent checker finds it good.
//
// case A12 D15. An honest member that provides evidence against itself, or evidence that is kept by who found it, turns it red.
func TestEndToEndTwin(t *testing.T) {
	e := newBuilt(t)
	s := newIslands(e, 4, 5)
	const hosts = 5
	l := e.load("acks", "60s")
	l.until(500)
	s.on(hosts, "testnet", "twin", "4", "--host", s.address(hosts))
	begun := time.Now()
	found := func() bool {
		for _, i := range s.network.All() {
			if !slices.Contains(e.accused(s.network, i), 4) {
				return false
			}
		}
		return true
	}
	sides := []map[int]bool{{1: true, 5: true}, {2: true, 4: true}, {3: true, 5: true}, {1: true, 4: true}, {2: true, 5: true}}
	for round := 0; !found(); round++ {
		if time.Since(begun) > 15*time.Second {
			t.Fatal("no evidence against member 4 at everybody after 15 seconds")
		}
		side := sides[round%len(sides)]
		s.part(hosts, func(a, b int) bool { return side[a] != side[b] })
		time.Sleep(1200 * time.Millisecond)
		s.heal(hosts)
		time.Sleep(800 * time.Millisecond)
	}
	t.Logf("everybody holds evidence against member 4 after %.1f s", time.Since(begun).Seconds())
	s.heal(hosts)
	l.end("acknowledged")
	for _, i := range s.network.All() {
		if got := e.accused(s.network, i); !slices.Equal(got, []int{4}) {
			t.Errorf("node %d accuses %v", i, got)
		}
	}
	file := filepath.Join(e.dir, "evidence.json")
	e.must(os.WriteFile(file, []byte(e.run("evidence", "--node", s.network.URL(1), "-o", "json")), 0o600))
	e.needs("node")
	out, err := exec.Command("node", "../../testnet/checker/check.mjs", "--evidence", file, filepath.Join(s.network.Dir, "genesis.json")).CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !strings.Contains(string(out), "against member 4: all hold") {
		t.Errorf("checker: %v", err)
	}
	t.Log(e.run("audit", "--acks", "acks"))
}

// One member of four lies, in each way for a while, under load: clients are served, all chains are one, and nobody honest is accused.
//
// case A1 A2 A4. An adversary of which any honest member dies, or falls behind for good, turns it red.
func TestEndToEndLiars(t *testing.T) {
	for _, act := range adversary.Acts() {
		t.Run(act.String(), func(t *testing.T) {
			e := newEndToEnd(t)
			n := e.testnet()
			e.allReady(n)
			liar := 1 + rand.IntN(n.N())
			e.run("testnet", "kill", strconv.Itoa(liar))
			e.run("testnet", "start", strconv.Itoa(liar), "--lie", act.String())
			l := e.load("acks", "12s")
			made := l.end("acknowledged")
			t.Logf("member %d: %.0f acknowledged, longest gap %.0f ms", liar, made, l.figure("max_gap_ms"))
			if made < 500 {
				t.Errorf("%.0f transactions in 12 s", made)
			}
			for _, i := range n.All() {
				if i == liar {
					continue
				}
				if got := e.accused(n, i); len(got) > 1 || len(got) == 1 && got[0] != liar {
					t.Errorf("node %d accuses %v, and member %d lies", i, got, liar)
				}
			}
			e.run("testnet", "kill", strconv.Itoa(liar))
			e.run("testnet", "start", strconv.Itoa(liar))
			e.allReady(n)
			t.Log(e.run("audit", "--acks", "acks"))
		})
	}
}

// A leader that runs 50 ms in every half second is never silent for a timeout, and makes everybody slow: it is replaced within ten
// seconds, and the network is as fast as before without it.
//
// case A4 G5. Suspecting leaders for silence alone turns it red.
func TestEndToEndStutteringLeader(t *testing.T) {
	e := newBuilt(t)
	e.run("testnet", "up", "--detach", "--base-port", "0")
	n := e.testnet()
	e.allReady(n)
	usual := e.load("before", "10s").end("acknowledged") / 10
	view, leader := e.led(n, 1)
	other := leader%n.N() + 1
	pid := e.pid(n, leader)
	l := e.load("acks", "50s")
	l.until(2000)
	begun, stop := time.Now(), make(chan struct{})
	var stutter sync.WaitGroup
	stutter.Go(func() {
		for {
			_ = exec.Command("kill", "-STOP", pid).Run()
			select {
			case <-stop:
				_ = exec.Command("kill", "-CONT", pid).Run()
				return
			case <-time.After(450 * time.Millisecond):
			}
			_ = exec.Command("kill", "-CONT", pid).Run()
			time.Sleep(50 * time.Millisecond)
		}
	})
	for {
		if now, _ := e.led(n, other); now > view {
			break
		}
		if time.Since(begun) > 10*time.Second {
			t.Errorf("still led by member %d after 10 s", leader)
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Logf("replaced after %.1f s", time.Since(begun).Seconds())
	l.end("acknowledged")
	close(stop)
	stutter.Wait()
	late := 0
	ended := time.Now()
	for _, line := range strings.Split(readFile(t, l.acks), "\n") {
		if f := strings.Fields(line); len(f) > 4 {
			nanos, err := strconv.ParseInt(f[4], 10, 64)
			e.must(err)
			if ended.Sub(time.Unix(0, nanos)) < 30*time.Second {
				late++
			}
		}
	}
	t.Logf("%.0f a second before, %d in the last 30 s", usual, late/30)
	if float64(late)/30 < usual/2 {
		t.Errorf("%d transactions a second in the last 30 s, %.0f before", late/30, usual)
	}
	e.allReady(n)
	t.Log(e.run("audit", "--acks", "acks"))
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// All hear of one node alone, a transaction comes, and after a minute all hear of each other again: it is acknowledged within 15
// seconds, whichever node it was: what was lost of view changes in that minute is said again.
//
// case B11 H3. A ViewChange that is said once turns it red.
func TestEndToEndOnlyOneConnected(t *testing.T) {
	e := newBuilt(t)
	s := newIslands(e, 4, 4)
	minute := time.Duration(numberFrom(t, "QUORATE_SECONDS", 60)) * time.Second
	for hub := 1; hub <= 4; hub++ {
		s.part(4, func(a, b int) bool { return a != hub && b != hub })
		time.Sleep(4 * time.Second) // until the sessions that are cut have ended
		key := fmt.Sprintf("hub%d", hub)
		var acknowledged time.Time
		done := make(chan error)
		go func() {
			c := e.command("tx", "put", key, "v", "--node", s.network.URL(hub%4+1), "--timeout", "3m")
			out, err := c.CombinedOutput()
			acknowledged = time.Now()
			if err != nil {
				err = fmt.Errorf("%w: %s", err, out)
			}
			done <- err
		}()
		time.Sleep(minute)
		s.heal(4)
		healed := time.Now()
		e.must(<-done)
		t.Logf("hub %d: acknowledged %.1f s after all were connected again", hub, acknowledged.Sub(healed).Seconds())
		if acknowledged.Sub(healed) > 15*time.Second {
			t.Errorf("hub %d: acknowledged %v after all were connected", hub, acknowledged.Sub(healed))
		}
		e.allReady(s.network)
	}
	t.Log(e.run("audit"))
}

// Networks of 4, 7 and 10 commit, lose their leader, and commit. What one batch costs in messages of the three phases is what the paper
// says: n-1 proposals, (n-1)² prepares and n(n-1) commits, 2n(n-1) in all, and a few that are said again.
func TestEndToEndSizes(t *testing.T) {
	for _, nodes := range []int{4, 7, 10} {
		t.Run(strconv.Itoa(nodes), func(t *testing.T) {
			e := newEndToEnd(t, "--nodes", strconv.Itoa(nodes))
			n := e.testnet()
			e.allReady(n)
			phases := func() (sent, batches float64) {
				for _, i := range n.All() {
					for _, line := range strings.Split(e.page(n.URL(i)+"/metrics"), "\n") {
						f := strings.Fields(line)
						if len(f) != 2 {
							continue
						}
						v, _ := strconv.ParseFloat(f[1], 64)
						for _, kind := range []string{"pre-prepare", "prepare", "commit"} {
							if strings.HasPrefix(f[0], "quorate_messages_total{") && strings.Contains(f[0], `kind="`+kind+`"`) && strings.Contains(f[0], `direction="out"`) {
								sent += v
							}
						}
						if f[0] == "quorate_seq" {
							batches = max(batches, v)
						}
					}
				}
				return sent, batches
			}
			sentBefore, batchesBefore := phases()
			e.load("before", "5s").end("acknowledged")
			sent, batches := phases()
			perBatch, paper := (sent-sentBefore)/(batches-batchesBefore), 2*nodes*(nodes-1)
			t.Logf("n = %d: %.1f messages a batch, 2n(n-1) = %d", nodes, perBatch, paper)
			if perBatch > 1.1*float64(paper) {
				t.Errorf("%.1f messages a batch, want %d and a tenth more at most", perBatch, paper)
			}
			_, leader := e.led(n, 1)
			e.run("testnet", "kill", strconv.Itoa(leader))
			e.run("tx", "put", "after", "v", "--node", n.URL(leader%nodes+1))
			if l := e.load("acks", "3s"); l.end("acknowledged") == 0 {
				t.Error("nothing is committed without the leader")
			}
			e.run("testnet", "start", strconv.Itoa(leader))
			e.allReady(n)
			t.Log(e.run("audit", "--acks", "acks"))
		})
	}
}

// readsOf has a node asked so many times at once for what is under a key, by reads that are ordered, and hands on each answer.
func (e *endToEnd) readsOf(n *local.Network, node, reads int, key string, each func(value string)) {
	e.t.Helper()
	c, err := client.New(client.Config{Genesis: n.Genesis, Endpoints: []string{n.URL(node)}, Scheme: crypto.Ed25519()})
	e.must(err)
	defer c.Close()
	var seed [crypto.SeedSize]byte
	for i := range seed {
		seed[i] = byte(rand.Uint32())
	}
	reader := crypto.NewPrivateKey(seed)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	var all sync.WaitGroup
	var mu sync.Mutex
	for i := range reads {
		all.Go(func() {
			q := message.NewRequest(crypto.Ed25519(), reader, n.Genesis.Digest(), uint64(i+1), 1<<19, kv.Get([]byte(key)))
			o, err := c.Submit(ctx, q)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				e.t.Errorf("read %d: %v", i, err)
				return
			}
			each(string(o.Result[min(1, len(o.Result)):])) // behind the byte that says that there is something
		})
	}
	all.Wait()
}

// page is what stands at a URL.
func (e *endToEnd) page(url string) string {
	e.t.Helper()
	r, err := http.Get(url)
	e.must(err)
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	e.must(err)
	return string(text)
}
