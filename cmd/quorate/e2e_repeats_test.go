package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/crypto/keystore"
	"github.com/quorate/quorate/statemachine/kv"
	"github.com/quorate/quorate/testnet/local"
)

// What the tests here say to a network goes through its public doors alone, one node at a time and with nothing of our
// client in between: it hides what a single node has answered.

// answer is what one node has said of a transaction.
type answer struct {
	id     string // hexadecimal
	status string // as the service has it; empty if there is no outcome
	seq    uint64
	index  uint32
	refuse string // the reason, if it refused
	text   string // its words then
	silent bool   // it was away, not ready, or did not know: anything may have become of the transaction
}

// end is what a node has said by one word, whether it looked the transaction up or ordered it to find out.
func (a answer) end() string {
	return a.refuse + strings.ToLower(strings.TrimPrefix(a.status, "STATUS_"))
}

// submit hands a transaction to one node and waits for its answer.
func (e *endToEnd) submit(url string, transaction []byte) (a answer) {
	body, _ := json.Marshal(map[string]any{"transaction": transaction, "wait": "WAIT_COMMITTED"}) // cannot fail
	q, err := http.NewRequest(http.MethodPost, url+"/quorate.v1.NodeService/Submit", bytes.NewReader(body))
	if err != nil {
		e.t.Error(err)
		return answer{silent: true}
	}
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("Connect-Timeout-Ms", "5000")
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		return answer{silent: true, text: err.Error()}
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		return answer{silent: true, text: err.Error()} // killed in the middle of its answer
	}
	var said struct {
		ID            string
		Seq           uint64 `json:",string"`
		Index         uint32
		Status        string
		Code, Message string
	}
	if err := json.Unmarshal(text, &said); err != nil {
		e.t.Errorf("%s answered %q: %v", url, text, err)
		return answer{silent: true}
	}
	switch said.Code {
	case "":
		id, err := base64.StdEncoding.DecodeString(said.ID)
		if err != nil {
			e.t.Errorf("%s answered %q: %v", url, text, err)
		}
		return answer{id: hex.EncodeToString(id), status: said.Status, seq: said.Seq, index: said.Index}
	case "unavailable", "deadline_exceeded", "resource_exhausted":
		return answer{silent: true, text: said.Message}
	default:
		return answer{refuse: r.Header.Get("Quorate-Reason"), text: said.Message}
	}
}

// ordered is one place of a transaction in a chain.
type ordered struct {
	seq    uint64
	index  int
	status string
}

// chain reads a node's blocks, one after the other, and says where it has ordered each transaction.
func (e *endToEnd) chain(url string) map[string][]ordered {
	e.t.Helper()
	var s struct{ Seq string }
	if err := e.getJSON(url+"/status", &s); err != nil {
		e.t.Fatal(err)
	}
	last, err := strconv.ParseUint(s.Seq, 10, 64)
	if err != nil {
		e.t.Fatal(err)
	}
	places := make(map[string][]ordered)
	for seq := uint64(1); seq <= last; seq++ {
		var b struct{ Transactions []struct{ ID, Status string } }
		if err := e.getJSON(fmt.Sprintf("%s/block/%d", url, seq), &b); err != nil {
			e.t.Fatal(err)
		}
		for i, t := range b.Transactions {
			places[t.ID] = append(places[t.ID], ordered{seq, i, t.Status})
		}
	}
	return places
}

func (e *endToEnd) getJSON(url string, into any) error {
	r, err := http.Get(url)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, r.Status)
	}
	return json.NewDecoder(r.Body).Decode(into)
}

func (e *endToEnd) testnet() *local.Network {
	e.t.Helper()
	n, err := local.Open(filepath.Join(e.dir, "quorate-testnet"))
	if err != nil {
		e.t.Fatal(err)
	}
	return n
}

// The same signed file, handed 1,000 times to nodes that are killed and started meanwhile, one or all, is applied once, and whoever
// hears an outcome hears that one; all others hear that it is not known. // case L1 L4 D2
// Red if a session does not say which nonces are used.
func TestEndToEndTheSameFileAThousandTimes(t *testing.T) {
	const rounds, perRound = 10, 100
	e := newEndToEnd(t)
	n := e.testnet()
	e.run("tx", "sign", "put", "greeting", "hello", "--out", "tx.bin")
	file, err := os.ReadFile(filepath.Join(e.dir, "tx.bin"))
	if err != nil {
		t.Fatal(err)
	}
	q, err := message.DecodeRequest(file)
	if err != nil {
		t.Fatal(err)
	}
	var answers []answer
	for round := range rounds {
		victims := []string{strconv.Itoa(round%4 + 1)} // member 1 leads at first
		if round%5 == 4 {
			victims = []string{"1", "2", "3", "4"} // what only lives in memory is gone everywhere
		}
		var mu sync.Mutex
		var all sync.WaitGroup
		for range perRound {
			url := n.URL(rand.IntN(4) + 1)
			all.Go(func() {
				a := e.submit(url, file)
				mu.Lock()
				defer mu.Unlock()
				answers = append(answers, a)
			})
		}
		e.run(append([]string{"testnet", "kill"}, victims...)...)
		all.Go(func() { e.run(append([]string{"testnet", "start"}, victims...)...) })
		all.Wait()
	}

	silent := 0
	var first *answer
	for i, a := range answers {
		switch {
		case a.silent:
			silent++
		case first == nil && a.end() == "applied" && a.id == q.ID().String():
			first = &answers[i]
		case first == nil || a != *first:
			t.Errorf("one node says %+v, another %+v", first, a)
		}
	}
	if first == nil || silent == 0 || len(answers)-silent < 100 {
		t.Fatalf("of %d answers %d were silent: too little is shown", len(answers), silent)
	}
	for _, i := range n.All() {
		applied := 0
		for _, at := range e.chain(n.URL(i))[q.ID().String()] {
			switch {
			case at.status == "applied" && at.seq == first.seq && at.index == int(first.index):
				applied++
			case at.status != "duplicate":
				t.Errorf("node%d: %+v, all were told %+v", i, at, *first)
			}
		}
		if applied != 1 {
			t.Errorf("node%d: applied %d times", i, applied)
		}
	}
	t.Logf("%d answers, %d of them the same outcome, %d unknown; %d kills", len(answers), len(answers)-silent, silent, rounds)
	t.Log(e.run("audit"))
}

// Of two transactions with one nonce, handed to two nodes at once, one is executed, and the other one's sender is told who
// used it; never is one told the other's outcome. 1,000 pairs, and the chain shows the same. // case N11
// Red if a session does not say which nonces are used.
func TestEndToEndTwoTransactionsWithOneNonce(t *testing.T) {
	const senders, pairs = 25, 40
	e := newEndToEnd(t)
	n := e.testnet()
	views := e.view(n.URL(1))
	winners, losers := make(map[string]string), make(map[string]string) // by id: each other's
	var mu sync.Mutex
	var all sync.WaitGroup
	for range senders {
		key, err := keystore.Generate()
		if err != nil {
			t.Fatal(err)
		}
		all.Go(func() {
			for nonce := range uint64(pairs) {
				w, l := e.race(n, key, nonce+1)
				mu.Lock()
				winners[w], losers[l] = l, w
				mu.Unlock()
			}
		})
	}
	all.Wait()

	if len(winners) != senders*pairs || len(losers) != senders*pairs {
		t.Fatalf("%d winners and %d losers of %d pairs", len(winners), len(losers), senders*pairs)
	}
	for _, i := range n.All() {
		places := e.chain(n.URL(i))
		both := 0
		for w, l := range winners {
			if applied(places[w]) != 1 || applied(places[l]) != 0 {
				t.Errorf("node%d: the winner's places are %+v, the loser's %+v", i, places[w], places[l])
			}
			if len(places[l]) > 0 {
				both++
			}
		}
		t.Logf("node%d: of %d pairs one was executed; of %d the other one was ordered too", i, len(winners), both)
	}
	if after := e.view(n.URL(1)); after != views {
		t.Errorf("view %s before, %s after: a leader was deposed over it", views, after)
	}
}

func (e *endToEnd) view(url string) string {
	e.t.Helper()
	var s struct{ View string }
	if err := e.getJSON(url+"/status", &s); err != nil {
		e.t.Fatal(err)
	}
	return s.View
}

func applied(places []ordered) (n int) {
	for _, at := range places {
		if at.status == "applied" || at.status == "failed" {
			n++
		}
	}
	return n
}

// race hands two transactions with one nonce to two nodes at once, and says which of them was executed.
func (e *endToEnd) race(n *local.Network, key crypto.PrivateKey, nonce uint64) (winner, loser string) {
	var requests [2]*message.Request
	var answers [2]answer
	first := rand.IntN(4)
	var both sync.WaitGroup
	for i, value := range []string{"a", "b"} {
		requests[i] = message.NewRequest(crypto.Ed25519(), key, n.Genesis.Digest(), nonce, 100_000,
			kv.Put(fmt.Appendf(nil, "pair/%s/%d", key.Public(), nonce), []byte(value)))
		url := n.URL((first+i*(1+rand.IntN(3)))%4 + 1)
		both.Go(func() {
			for deadline := time.Now().Add(time.Minute); ; {
				answers[i] = e.submit(url, requests[i].Bytes())
				if !answers[i].silent || time.Now().After(deadline) {
					return
				}
			}
		})
	}
	both.Wait()
	won := 0
	if answers[0].end() != "applied" {
		won = 1
	}
	w, l := answers[won], answers[1-won]
	winner, loser = requests[won].ID().String(), requests[1-won].ID().String()
	named := l.id == loser || strings.Contains(l.text, winner) // ordered to find out, or looked up
	if w.end() != "applied" || w.id != winner || l.end() != "nonce_used" || !named {
		e.t.Errorf("nonce %d: of %s and %s one is told %+v, the other %+v", nonce, winner, loser, w, l)
	}
	return winner, loser
}

// Whatever is replayed, by whichever node, is refused for what it is. // case D2
// Red if what lies behind a window is judged by the committed state alone: then it is waited for.
func TestEndToEndReplaysAreRefused(t *testing.T) {
	e := newEndToEnd(t)
	n := e.testnet()
	key, err := keystore.Generate()
	if err != nil {
		t.Fatal(err)
	}
	signed := func(chain crypto.Digest, nonce uint64, value string) []byte {
		return message.NewRequest(crypto.Ed25519(), key, chain, nonce, 100_000, kv.Put([]byte("key"), []byte(value))).Bytes()
	}
	chain := n.Genesis.Digest()
	foreign := crypto.Hash("quorate/test/chain", chain[:])
	for _, step := range []struct {
		what        string
		transaction []byte
		end         string
	}{
		{"the first", signed(chain, 1, "a"), "applied"},
		{"the same bytes", signed(chain, 1, "a"), "applied"},
		{"its nonce with another body", signed(chain, 1, "b"), "nonce_used"},
		{"a gap", signed(chain, 1000, "c"), "applied"},
		{"one from the gap", signed(chain, 500, "d"), "applied"},
		{"as far ahead as may be", signed(chain, 2024, "e"), "applied"},
		{"one behind the window", signed(chain, 2, "f"), "decided_earlier"},
		{"one too far ahead", signed(chain, 2024+1025, "g"), "nonce_too_distant"},
		{"the last number", signed(chain, math.MaxUint64, "h"), "nonce_too_distant"},
		{"one for another chain", signed(foreign, 2025, "i"), "foreign_chain"},
	} {
		for _, i := range n.All() {
			a := e.submit(n.URL(i), step.transaction)
			if a.silent || a.end() != step.end {
				t.Errorf("%s, at node%d: %+v, want %s", step.what, i, a, step.end)
			}
		}
	}
}
