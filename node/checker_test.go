package node

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/quorate/quorate/api"
	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/statemachine"
	"github.com/quorate/quorate/statemachine/kv"
)

const checkerScript = "../testnet/checker/check.mjs"

// checker runs the checker that shares none of our code, and yields its exit code and what it said.
func checker(t *testing.T, arguments ...string) (code int, said string) {
	t.Helper()
	program, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("QUORATE_REQUIRE_NODE") != "" {
			t.Fatal("Node.js is missing: install it (Debian: nodejs), for the checker is written in it")
		}
		t.Skip("not checked by the independent checker: Node.js is missing")
	}
	out, err := exec.Command(program, append([]string{checkerScript}, arguments...)...).CombinedOutput()
	if ended := (*exec.ExitError)(nil); errors.As(err, &ended) {
		return ended.ExitCode(), string(out)
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0, string(out)
}

// The vectors that other implementations are held to hold for one that was written from the documents alone.
//
// case D12; changing any byte of any vector turns it red.
func TestIndependentCheckerAgreesOnTheVectors(t *testing.T) {
	const vectors = "../docs/protocol/vectors"
	if code, said := checker(t, "--vectors", vectors); code != 0 || !strings.Contains(said, "all holds") {
		t.Fatalf("exit code %d: %s", code, said)
	}
	files, err := filepath.Glob(filepath.Join(vectors, "*.json"))
	if err != nil || len(files) < 8 {
		t.Fatalf("%d files of vectors: %v", len(files), err)
	}
	for _, file := range files {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(vectors)); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		at := strings.LastIndex(string(raw), `"bytes"`)
		at += strings.Index(string(raw[at:]), `": "`) + len(`": "`) // the first digit of a result
		raw[at] = map[bool]byte{true: '1', false: '0'}[raw[at] == '0']
		if err := os.WriteFile(filepath.Join(dir, filepath.Base(file)), raw, 0o600); err != nil {
			t.Fatal(err)
		}
		if code, said := checker(t, "--vectors", dir); code != 6 {
			t.Errorf("%s with one digit changed: exit code %d: %s", filepath.Base(file), code, said)
		}
	}
}

// checkedNetwork has a chain with every kind of outcome, and its genesis in a file.
func checkedNetwork(t *testing.T) (w *network, genesis string) {
	w = newNetwork(t)
	w.start(1, 2, 3, 4)
	w.ready(1, 2, 3, 4)
	first := w.request(kv.Put([]byte("a"), []byte("one")))
	w.submit(1, first)
	w.submit(2, w.request(kv.CompareAndSet([]byte("a"), []byte("one"), []byte("two"))))
	w.submit(3, w.request(kv.CompareAndSet([]byte("a"), []byte("one"), []byte("three"))))
	w.submit(4, w.request(kv.Get([]byte("a"))))
	w.submit(1, w.request(kv.Delete([]byte("a"))))
	w.submit(2, w.request(kv.Put([]byte("empty"), nil)))

	// What no door lets through, a member may all the same bring to the leader; it is ordered, and comes to nothing.
	request := func(nonce, last uint64, operation []byte) *message.Request {
		return message.NewRequest(crypto.Ed25519(), seedKey('c', 1), w.genesis.Digest(), nonce, last, operation)
	}
	bundle := &message.Bundle{Head: 1, Requests: []*message.Request{
		request(first.Nonce, 100_000, kv.Put([]byte("a"), []byte("another"))),
		request(900, 1, kv.Put([]byte("late"), nil)),
		request(1<<40, 100_000, kv.Put([]byte("far"), nil)),
		request(901, 1<<40, kv.Put([]byte("far"), nil)),
		request(902, 0, kv.Put([]byte("never"), nil)),
		request(903, 100_000, []byte{99}),
		request(904, 100_000, []byte{byte(kv.KindPut), 1}),
	}}
	signed := message.Sign(crypto.Ed25519(), seedKey('m', 2), w.genesis.Epoch(), 2, bundle)
	w.nodes[0].inbox.put(item{event: bft.Received{Signed: signed}})
	w.until("all of them are ordered", func() bool {
		at, ok, err := w.nodes[0].State().Lookup(bundle.Requests[6].ID())
		return err == nil && ok && at.Status == statemachine.Failed
	})
	w.same(1, 2, 3, 4)
	raw, err := json.Marshal(w.genesis)
	if err != nil {
		t.Fatal(err)
	}
	genesis = filepath.Join(w.dir, "genesis.json")
	if err := os.WriteFile(genesis, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	return w, genesis
}

func url(w *network, i int) string { return "http://" + w.genesis.Members[i-1].API }

// Whoever starts from the genesis and the documents alone comes to the same chain, results and state, at every node.
//
// case D3; a state digest, results root, header or batch digest that is not as documented turns it red.
func TestIndependentCheckerAgreesOnTheChain(t *testing.T) {
	w, genesis := checkedNetwork(t)

	code, said := checker(t, "--genesis", genesis)

	if code != 0 || !strings.Contains(said, "4 nodes") || !strings.Contains(said, "all holds") {
		t.Fatalf("exit code %d: %s", code, said)
	}
	w.stop(4)
	if code, said := checker(t, "--genesis", genesis); code != 4 {
		t.Errorf("with a node down: exit code %d: %s", code, said)
	}
}

// leaf is one value of an answer, and where it stands.
type leaf struct {
	path  string
	value any
	set   func(any)
}

func leavesOf(path string, v any, set func(any)) (all []leaf) {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			all = append(all, leavesOf(path+"."+k, v[k], func(x any) { v[k] = x })...)
		}
	case []any:
		for i := range v {
			all = append(all, leavesOf(fmt.Sprintf("%s[%d]", path, i), v[i], func(x any) { v[i] = x })...)
		}
	default:
		all = append(all, leaf{path, v, set})
	}
	return all
}

// other is a value that is not v, as near to it as can be.
func other(v any) any {
	switch v := v.(type) {
	case float64:
		return v + 1
	case string:
		if n, err := strconv.ParseUint(v, 10, 64); err == nil && len(v) < 20 {
			return strconv.FormatUint(n+1, 10)
		}
		if v == "" {
			return "00"
		}
		last := v[len(v)-1]
		if last == '0' {
			return v[:len(v)-1] + "1"
		}
		return v[:len(v)-1] + "0"
	}
	return nil
}

// One value changed, anywhere in what a node answers, and the checker names the broken link.
//
// case M3; a checker that looks at less turns it red.
func TestIndependentCheckerSeesEveryChange(t *testing.T) {
	w, genesis := checkedNetwork(t)
	seq := ""
	var fields []string
	for n := 1; ; n++ {
		body := fetched(t, fmt.Sprintf("%s/block/%d", url(w, 1), n))
		if txs := body["transactions"].([]any); len(txs) > 1 {
			seq = strconv.Itoa(n)
			body["transactions"] = txs[:2] // the others are like them
			for _, l := range leavesOf("", body, nil) {
				fields = append(fields, l.path)
			}
			break
		}
	}
	if len(fields) < 35 {
		t.Fatalf("%d fields: %v", len(fields), fields)
	}
	work := make(chan string)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for field := range work {
				lying := httptest.NewServer(tampering(t, w, "/block/"+seq, field))
				code, said := checker(t, "--genesis", genesis, lying.URL)
				lying.Close()
				if code != 6 || !strings.Contains(said, "expected") {
					t.Errorf("%s of block %s changed: exit code %d: %s", field, seq, code, said)
				}
			}
		})
	}
	checker(t, "--vectors", "../docs/protocol/vectors") // skips here, not in a goroutine
	for _, field := range fields {
		work <- field
	}
	close(work)
	wg.Wait()
}

// Evidence that a member has concealed what it committed holds for the independent checker by its two words alone, and only if it does.
//
// case B18; a checker that takes any commit and view change of one member for evidence turns it red.
func TestIndependentCheckerJudgesWhatIsConcealed(t *testing.T) {
	w := newNetwork(t)
	e, dir := w.genesis.Epoch(), w.dir
	write := func(name string, what any) string {
		raw, err := json.Marshal(what)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), raw, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name)
	}
	genesis := write("genesis.json", w.genesis)
	word := func(b message.Body) api.Word {
		m := message.Sign(crypto.Ed25519(), seedKey('m', 3), e, 3, b)
		return api.Word{Signed: hex.EncodeToString(m.Bytes), Signature: m.Signature.String()}
	}
	vote := message.Vote{View: 2, Seq: 5, Digest: crypto.Digest{1}}
	older, later := message.Vote{View: 1, Seq: 5, Digest: vote.Digest}, message.Vote{View: 10, Seq: 5, Digest: crypto.Digest{2}}
	for _, c := range []struct {
		what  string
		view  epoch.View
		start epoch.Seq
		shown []message.Vote
		code  int
	}{
		{"nothing shown", 3, 4, nil, 0},
		{"an older one shown", 10, 4, []message.Vote{older}, 0},
		{"the commit shown", 3, 4, []message.Vote{vote}, 6},
		{"a later one shown", 11, 4, []message.Vote{later}, 6},
		{"a start at the slot", 3, 5, nil, 6},
		{"a view that was not left", 2, 4, nil, 6},
	} {
		v := &message.ViewChange{View: c.view, Start: c.start}
		for _, s := range c.shown {
			v.Prepared = append(v.Prepared, message.Certificate{Vote: s})
		}
		file := write("evidence.json", api.EvidenceList{Evidence: []api.Evidence{{
			ID: "1", Member: 3, Key: e.Member(3).Key.String(), A: word(&message.Commit{Vote: vote}), B: word(v)}}})
		if code, said := checker(t, "--evidence", file, genesis); code != c.code {
			t.Errorf("%s: exit code %d, want %d: %s", c.what, code, c.code, said)
		}
	}
}

func fetched(t *testing.T, url string) map[string]any {
	t.Helper()
	answer, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var body map[string]any
	if err := json.NewDecoder(answer.Body).Decode(&body); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s, %v", url, answer.Status, err)
	}
	return body
}

// tampering passes node 1's answers on, but for one field of one block.
func tampering(t *testing.T, w *network, path, field string) http.HandlerFunc {
	return func(out http.ResponseWriter, r *http.Request) {
		if r.URL.Path != path {
			answer, err := http.Get(url(w, 1) + r.URL.Path)
			if err != nil {
				t.Error(err)
				return
			}
			defer answer.Body.Close()
			out.WriteHeader(answer.StatusCode)
			_, _ = io.Copy(out, answer.Body)
			return
		}
		body := fetched(t, url(w, 1)+r.URL.Path)
		for _, l := range leavesOf("", body, nil) {
			if l.path == field {
				l.set(other(l.value))
			}
		}
		_ = json.NewEncoder(out).Encode(body)
	}
}
