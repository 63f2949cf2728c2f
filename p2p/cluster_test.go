package p2p

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	RouteLogs(slog.New(slog.NewTextHandler(io.Discard, nil)))
	goleak.VerifyTestMain(m)
}

const patience = 20 * time.Second // for what should take milliseconds, on a machine that is busy

func seedOf(i int) (seed [32]byte) {
	binary.BigEndian.PutUint32(seed[:], uint32(i)+1)
	return seed
}

var testChain = [32]byte{1}

// logBook is a logger that a test can read.
type logBook struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *logBook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logBook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

type arrival struct {
	from  int
	class Class
	frame []byte
}

// node is a Network under test, and what happened to it.
type node struct {
	*Network
	cfg      Config
	arrivals chan arrival
	gossip   chan []byte
	news     chan string
	book     *logBook
}

// newNode listens on a free port. change may alter the configuration first.
func newNode(tb testing.TB, i, n int, change func(*Config)) *node {
	tb.Helper()
	nd := &node{
		arrivals: make(chan arrival, 1<<14), gossip: make(chan []byte, 1<<10), news: make(chan string, 1<<10),
		book: &logBook{},
	}
	nd.cfg = Config{
		Seed: seedOf(i), Chain: testChain, Listen: "127.0.0.1:0",
		Receive: func(from int, class Class, frame []byte) { nd.arrivals <- arrival{from, class, frame} },
		ReceiveGossip: func(_ int, frame []byte) bool {
			nd.gossip <- frame
			return true
		},
		OnConnect:    func(peer int) { nd.news <- fmt.Sprintf("+%d", peer) },
		OnDisconnect: func(peer int) { nd.news <- fmt.Sprintf("-%d", peer) },
		Logger:       slog.New(slog.NewTextHandler(nd.book, nil)),
	}
	for j := range n {
		nd.cfg.Peers = append(nd.cfg.Peers, Peer{ID: PeerID(seedOf(j)), Name: fmt.Sprintf("node%d", j+1)})
	}
	if change != nil {
		change(&nd.cfg)
	}
	nd.listen(tb)
	return nd
}

func (nd *node) listen(tb testing.TB) {
	tb.Helper()
	network, err := New(nd.cfg)
	if err != nil {
		tb.Fatal(err)
	}
	nd.Network = network
	tb.Cleanup(func() { nd.stop(tb) })
}

func (nd *node) stop(tb testing.TB) {
	tb.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := nd.Close(ctx); err != nil {
		tb.Errorf("close: %v", err)
	}
}

func (nd *node) start(tb testing.TB) {
	tb.Helper()
	if err := nd.Start(); err != nil {
		tb.Fatal(err)
	}
}

// introduce tells every node where the others listen.
func introduce(tb testing.TB, nodes ...*node) {
	tb.Helper()
	for _, a := range nodes {
		for j, p := range a.cfg.Peers {
			for _, b := range nodes {
				if a != b && p.ID == PeerID(b.cfg.Seed) {
					if err := a.SetPeerAddress(j, b.Addr()); err != nil {
						tb.Fatal(err)
					}
				}
			}
		}
	}
}

// newCluster starts n members and waits until all are connected.
func newCluster(tb testing.TB, n int, change func(i int, cfg *Config)) []*node {
	tb.Helper()
	nodes := make([]*node, n)
	for i := range nodes {
		nodes[i] = newNode(tb, i, n, func(cfg *Config) {
			if change != nil {
				change(i, cfg)
			}
		})
	}
	introduce(tb, nodes...)
	for _, nd := range nodes {
		nd.start(tb)
	}
	for _, nd := range nodes {
		nd.awaitConnected(tb, n-1)
	}
	return nodes
}

func (nd *node) awaitConnected(tb testing.TB, n int) {
	tb.Helper()
	await(tb, fmt.Sprintf("%d connections", n), func() bool { return len(nd.Connected()) == n })
}

// await polls, for what nobody announces.
func await(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("waited in vain for %s", what)
		}
	}
}

func take[T any](tb testing.TB, from <-chan T, what string) T {
	tb.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		tb.Fatalf("waited in vain for %s", what)
		panic("unreachable")
	}
}

// lowHigh orders two members by libp2p id: the first dials the second.
func lowHigh(i, j int) (low, high int) {
	a, _ := peerID(PeerID(seedOf(i)))
	b, _ := peerID(PeerID(seedOf(j)))
	if a < b {
		return i, j
	}
	return j, i
}
