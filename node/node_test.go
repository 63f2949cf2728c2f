package node

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/p2p"
	"github.com/quorate/quorate/statemachine"
	"github.com/quorate/quorate/statemachine/kv"
)

// network is a test network in one process.
type network struct {
	t       *testing.T
	dir     string
	genesis *proof.Genesis
	nodes   []*Node // by member; nil while stopped
	nonce   uint64
	machine statemachine.Machine
}

func seedKey(kind, i byte) crypto.PrivateKey {
	return crypto.NewPrivateKey([crypto.SeedSize]byte{kind, i})
}

// The ports of the tests' nodes: above those that testnet/local chooses, whose tests run beside these, and below those that Linux
// gives to outgoing connections, which would take a stopped node's.
const firstPort, lastPort = 31500, 32700

var nextPort atomic.Uint32

func init() { nextPort.Store(uint32(rand.IntN(lastPort - firstPort))) }

// freeAddress is an address of loopback that is nobody's, and that no other test of this process is given soon.
func freeAddress(t *testing.T) string {
	for range lastPort - firstPort {
		address := fmt.Sprintf("127.0.0.1:%d", firstPort+nextPort.Add(1)%(lastPort-firstPort))
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			return address
		}
	}
	t.Fatal("no free port")
	return ""
}

func newNetwork(t *testing.T) *network {
	w := &network{t: t, dir: t.TempDir(), nodes: make([]*Node, 4), machine: kv.Machine{}, genesis: &proof.Genesis{
		Chain: "test", Test: true, Configuration: epoch.Configuration{Mode: epoch.Byzantine, Parameters: epoch.DefaultParameters()}, Time: 1,
	}}
	for i := byte(1); i <= 4; i++ {
		incarnation := epoch.Incarnation{i}
		w.genesis.Members = append(w.genesis.Members, epoch.Member{
			Name: fmt.Sprintf("node%d", i), Key: seedKey('m', i).Public(), PeerID: p2p.PeerID(seedKey('p', i).Seed()),
			Address: freeAddress(t), API: freeAddress(t), Incarnation: incarnation,
		})
		if err := Create(w.home(int(i)), seedKey('m', i).Public(), incarnation); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		for i := range w.nodes {
			w.stop(i + 1)
		}
	})
	return w
}

func (w *network) home(i int) string { return filepath.Join(w.dir, fmt.Sprintf("node%d", i)) }

func (w *network) config(i int) Config {
	return Config{
		Home: w.home(i), Genesis: w.genesis, Self: epoch.ReplicaID(i),
		Key: seedKey('m', byte(i)), PeerKey: seedKey('p', byte(i)), Machine: w.machine,
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
}

func (w *network) start(ids ...int) {
	w.t.Helper()
	for _, i := range ids {
		n, err := Start(w.config(i))
		if err != nil {
			w.t.Fatalf("start %d: %v", i, err)
		}
		w.nodes[i-1] = n
	}
}

func (w *network) stop(i int) {
	if w.nodes[i-1] == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := w.nodes[i-1].Stop(ctx); err != nil {
		w.t.Errorf("stop %d: %v", i, err)
	}
	w.nodes[i-1] = nil
}

// until waits for the thing, not for a time; the deadline is for a test that will never pass.
func (w *network) until(what string, holds func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			w.t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (w *network) ready(ids ...int) {
	w.t.Helper()
	for _, i := range ids {
		w.until(fmt.Sprintf("node %d is ready", i), func() bool { ok, _ := w.nodes[i-1].Ready(); return ok })
	}
}

func (w *network) request(operation []byte) *message.Request {
	w.nonce++
	return message.NewRequest(crypto.Ed25519(), seedKey('c', 1), w.genesis.Digest(), w.nonce, 100_000, operation)
}

func (w *network) submit(i int, q *message.Request) Decision {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	d, err := w.nodes[i-1].Submit(ctx, q)
	if err != nil {
		w.t.Fatalf("submit to %d: %v", i, err)
	}
	return d
}

// same waits until these nodes stand at one header, and yields it.
func (w *network) same(ids ...int) Status {
	w.t.Helper()
	first := w.nodes[ids[0]-1]
	w.until("nodes stand at one header", func() bool {
		for _, i := range ids {
			if w.nodes[i-1].Status().Header != first.Status().Header {
				return false
			}
		}
		return true
	})
	return first.Status()
}

// What a quorum has attested is proven to the client, and is there after everybody was stopped and started again.
// Red if a node's log or state does not come back, or a receipt does not verify.
func TestNetworkCommitsAndRemembers(t *testing.T) {
	w := newNetwork(t)
	w.start(1, 2, 3, 4)
	w.ready(1, 2, 3, 4)

	for i := range 20 {
		d := w.submit(i%4+1, w.request(kv.Put(fmt.Appendf(nil, "key%d", i), []byte("value"))))
		if d.Receipt == nil {
			t.Fatal("no receipt with a fresh decision")
		}
		e := w.genesis.Epoch()
		if err := d.Receipt.Verify(e, crypto.Ed25519(), e.Quorum()); err != nil {
			t.Fatal(err)
		}
	}
	before := w.same(1, 2, 3, 4)

	for i := 1; i <= 4; i++ {
		w.stop(i)
	}
	w.start(4, 3, 2, 1)
	w.ready(1, 2, 3, 4)

	if after := w.same(1, 2, 3, 4); after.Header != before.Header || after.State != before.State {
		t.Fatalf("before the restart header %s state %s, after it header %s state %s", before.Header, before.State, after.Header, after.State)
	}
	d := w.submit(2, w.request(kv.Get([]byte("key7"))))
	if value, held, err := kv.DecodeContent(d.Outcome.Result); err != nil || !held || !bytes.Equal(value, []byte("value")) {
		t.Fatalf("get after the restart: %q, held %v, %v", value, held, err)
	}
}

// A node that was away for more than a checkpoint gets what it missed as blocks, and is at the tip again.
func TestLateNodeCatchesUp(t *testing.T) {
	w := newNetwork(t)
	w.start(1, 2, 3)
	w.ready(1, 2, 3)
	for i := range 150 {
		w.submit(1, w.request(kv.Put([]byte("counter"), fmt.Append(nil, i))))
	}

	w.start(4)

	w.same(1, 2, 3, 4)
	w.ready(4)
	if n := w.nodes[3].Blocks().Last(); n < 150 {
		t.Fatalf("node 4 has %d blocks, want 150", n)
	}
}

// The same bytes, submitted to every node and again after the answer, are executed once and answered alike.
func TestSameTransactionEverywhereIsOneExecution(t *testing.T) {
	w := newNetwork(t)
	w.start(1, 2, 3, 4)
	w.ready(1, 2, 3, 4)
	q := w.request(kv.Put([]byte("key"), []byte("value")))

	first := w.submit(3, q)
	for i := range 8 {
		again := w.submit(i%4+1, q)
		if again.Seq != first.Seq || again.Outcome.Status != first.Outcome.Status || again.Index != first.Index {
			t.Fatalf("node %d: decided at %d, %s; first at %d, %s", i%4+1, again.Seq, again.Outcome.Status, first.Seq, first.Outcome.Status)
		}
	}
}

// Two processes on one folder would sign for one member: the second is refused. // case F20
func TestSecondNodeOnOneFolderIsRefused(t *testing.T) {
	w := newNetwork(t)
	w.start(1)

	if n, err := Start(w.config(1)); err == nil {
		_ = n.Stop(context.Background())
		t.Fatal("a second node has started on the same folder")
	}
}
