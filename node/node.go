// Package node drives one host with a real clock, network and disk.
//
// It owns the goroutines and decides nothing: what is said, remembered and executed is the host's. The table of
// goroutines, with what bounds the queue of each, is in docs/ARCHITECTURE.md. Nothing that the core waits for waits
// for the core.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/node/host"
	"github.com/quorate/quorate/p2p"
	"github.com/quorate/quorate/statemachine"
	"github.com/quorate/quorate/store"
)

// Config is what a node is told once.
type Config struct {
	Home      string // the node's folder; what it remembers is in its folder data
	Genesis   *proof.Genesis
	Self      epoch.ReplicaID
	Key       crypto.PrivateKey // the member's
	PeerKey   crypto.PrivateKey // of its libp2p identity
	P2PListen string            // host:port; empty: what the genesis says
	APIListen string            // host:port; empty: what the genesis says
	Machine   statemachine.Machine
	Version   string
	Logger    *slog.Logger

	// Of test networks only.
	Capture string // file to which every message is appended; empty: none
	Twin    bool   // another process has these keys
	Faults  Faults // nil: none
}

// voteCache is how many verified signatures are remembered: those of the requests and votes of a few seconds at full
// load, at about 100 bytes each.
const voteCache = 1 << 15

// Node is a running replica.
type Node struct {
	cfg     Config
	log     *slog.Logger
	faults  Faults
	host    *host.Host
	scheme  *crypto.VoteCache
	backing statemachine.Backing
	state   *statemachine.Replicated
	network *p2p.Network
	capture *capture
	service *service
	metrics *metrics
	quotas  *quotas // what members may still send

	inbox    *inbox // what the core has still to take
	checker  atomic.Pointer[host.Checker]
	door     *door    // where requests wait to be checked
	waiters  *waiters // callers, by what they wait for
	stages   *stages  // when the slots under way came to where they are
	trace    *trace   // of the last slots, when each thing happened
	recent   *recent  // of the last slots, what receipts are made of
	groups   chan *host.Group
	written  chan *host.Group
	work     *executorWork // what the executor has still to do
	results  *resultQueue  // what the core has still to hear from it
	gossip   chan []byte
	snapshot snapshotHolder
	pulse    *pulse // for whoever listens to events
	lost     lost   // of the core

	stopping chan struct{} // closed when Stop begins
	stopOnce sync.Once
	ended    chan struct{} // closed when the replica runs no more, or must not
	endOnce  sync.Once
	err      error          // why it ended by itself; set before ended is closed
	replica  sync.WaitGroup // core, log and executor: they end when the inbox is closed, each when it has done what is left
	others   sync.WaitGroup // they end when ended is closed
}

func dataDir(home string) string  { return filepath.Join(home, "data") }
func logDir(home string) string   { return filepath.Join(dataDir(home), "log") }
func stateDir(home string) string { return filepath.Join(dataDir(home), "state") }

// Create begins a member's log, and makes it durable. The genesis must name the incarnation. It comes before the
// member's key is written: a key without its log must never speak.
func Create(home string, key crypto.PublicKey, incarnation epoch.Incarnation) error {
	dir := logDir(home)
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return err
	}
	return host.Create(store.System(), dir, store.Options{}, key, incarnation)
}

// CreateTwin makes in the folder home the log of a second process with the keys of the member whose folder of is, which may be
// running. It is for test networks.
func CreateTwin(home, of string) error {
	copied := filepath.Join(dataDir(home), "log.copied")
	if err := os.CopyFS(copied, os.DirFS(logDir(of))); err != nil {
		return err
	}
	if err := host.Duplicate(store.System(), copied, logDir(home), store.Options{}); err != nil {
		return err
	}
	return os.RemoveAll(copied)
}

// Start boots a node and begins to serve. It is ready later: see Ready. It never makes the log that the genesis names:
// without it, the node observes.
func Start(cfg Config) (*Node, error) {
	n := &Node{
		cfg: cfg, log: cfg.Logger, faults: cfg.Faults,
		scheme:   crypto.NewVoteCache(crypto.Ed25519(), voteCache),
		inbox:    newInbox(),
		waiters:  newWaiters(),
		groups:   make(chan *host.Group, 1),
		written:  make(chan *host.Group, 1),
		work:     newExecutorWork(),
		results:  newResultQueue(),
		gossip:   make(chan []byte, gossipQueue),
		pulse:    newPulse(),
		stopping: make(chan struct{}),
		ended:    make(chan struct{}),
	}
	if n.faults == nil {
		n.faults = noFaults{}
	}
	if err := n.open(); err != nil {
		return nil, err
	}
	return n, nil
}

func (n *Node) open() (err error) {
	var opened []func() error
	defer func() {
		if err == nil {
			return
		}
		for i := len(opened) - 1; i >= 0; i-- {
			err = errors.Join(err, opened[i]())
		}
	}()
	genesis := n.cfg.Genesis
	if !genesis.Test && (n.cfg.Capture != "" || n.cfg.Twin || n.cfg.Faults != nil) {
		return errTestOnly
	}
	if err := n.remember(); err != nil {
		return err
	}
	if err := os.MkdirAll(stateDir(n.cfg.Home), 0o700); err != nil {
		return err
	}
	if err := enoughSpace(n.cfg.Home, statemachine.Free); err != nil {
		return err
	}
	if n.backing, err = statemachine.OpenBadger(stateDir(n.cfg.Home), func(line string) { n.log.Warn(line, "from", "badger") }); err != nil {
		return err
	}
	opened = append(opened, n.backing.Close)
	if n.state, err = statemachine.Open(n.backing, n.cfg.Machine, host.Limits(genesis.Parameters)); err != nil {
		return err
	}
	n.host, err = host.Open(host.Config{
		Self: n.cfg.Self, Genesis: genesis, Key: n.cfg.Key, Scheme: n.scheme,
		FS: n.faults.Disk(), Dir: logDir(n.cfg.Home), State: n.state, Notes: true,
	})
	if err != nil {
		return withRemedy(err)
	}
	opened = append(opened, n.host.Writer().Close)
	n.faults.Enter(n.host.Replica().Epoch())
	n.reportRecovery(n.host.Recovery())
	if n.capture, err = openCapture(n.cfg.Capture); err != nil {
		return err
	}
	opened = append(opened, n.capture.close)
	n.recent = newRecent(n.host.Blocks(), func() *epochs { e := n.Epochs(); return &e })
	n.checker.Store(n.host.Checker())
	n.door = newDoor()
	n.metrics = newMetrics(n.Status, n.scheme.Counts)
	n.stages = newStages(n.metrics.stages)
	n.trace = newTrace(n.cfg.Self, len(genesis.Members))
	n.quotas = newQuotas(n.host.Replica().Epoch(), n.metrics.refused, n.log)
	if n.network, err = p2p.New(n.networkConfig()); err != nil {
		return err
	}
	opened = append(opened, func() error { return n.network.Close(context.Background()) })
	n.metrics.registry.MustRegister(newTrafficCollector(n.network.Traffic))
	n.metrics.registry.MustRegister(n.queueMetrics()...)
	n.publish()
	if n.service, err = newService(n, n.cfg.APIListen, n.metrics, n.log); err != nil {
		return err
	}
	opened = append(opened, n.service.listener.Close)
	if err := n.network.Start(); err != nil {
		return err
	}
	n.run()
	return nil
}

// run starts the goroutines, when nothing can fail any more. Frames that have come already wait in the inbox.
func (n *Node) run() {
	n.replica.Go(n.runCore)
	n.replica.Go(n.runLog)
	n.replica.Go(n.runExecutor)
	n.others.Go(n.runGossip)
	n.others.Go(n.watchSpace)
	for range verifiers() {
		n.others.Go(n.runVerifier)
	}
	n.service.start(n.fail)
}

// fail ends the node: a replica that cannot remember, or has come to another state than a quorum, must not speak. The
// first reason is kept.
func (n *Node) fail(err error) {
	n.endOnce.Do(func() {
		n.err = err
		n.log.Error("node ends", "reason", err)
		close(n.ended)
		n.inbox.close() // nobody takes anything out any more: whoever waits for room would wait for ever
	})
}

// Done is closed when the node has ended: by Stop, or by itself.
func (n *Node) Done() <-chan struct{} { return n.ended }

// Err says why the node has ended by itself. It may be asked once Done is closed.
func (n *Node) Err() error { return n.err }

// Stop ends the node in order: not ready; waiting calls end with an unknown outcome; readers; the core takes what it
// has; the log syncs, and what rests on it is sent; executor and state; network; log. Cutting it short is safe at any
// point, as is killing the process.
func (n *Node) Stop(ctx context.Context) error {
	var err error
	n.stopOnce.Do(func() {
		close(n.stopping)
		n.waiters.close()
		err = n.service.stop(ctx)
		n.inbox.close()
		n.replica.Wait()
		n.endOnce.Do(func() { close(n.ended) })
		n.others.Wait()
		err = errors.Join(err, n.backing.Close(), n.network.Close(ctx), n.host.Writer().Close(), n.capture.close())
	})
	return err
}

// Blocks reads decided slots.
func (n *Node) Blocks() *host.Blocks { return n.host.Blocks() }

// State is the machine's state, as far as it is durable.
func (n *Node) State() *statemachine.Replicated { return n.state }

var errTestOnly = errors.New(`a capture, a twin and faults are for test networks: the genesis does not say "test": true`)

var errDiverged = errors.New("a quorum has executed something else than this node")

func divergence(d *bft.Divergence) error {
	return fmt.Errorf("%w: at slot %d it has header %s, a quorum attests %s; its files are kept", errDiverged, d.Seq, d.Own, d.Quorum)
}

// withRemedy adds to what is wrong with a log what can be done about it.
func withRemedy(err error) error {
	var damage *store.DamageError
	switch {
	case errors.As(err, &damage):
		return fmt.Errorf("%w: this member may have forgotten what it promised, and must not vote from this log: bring back its disk, or move the folder data away and start again, to follow without a vote", err)
	default:
		return err
	}
}
