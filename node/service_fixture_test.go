package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"

	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/node/host"
	"github.com/quorate/quorate/statemachine"
	"github.com/quorate/quorate/statemachine/kv"
	"github.com/quorate/quorate/store"
)

// committee is four real hosts that reach every decision before submit returns: what the service reads of a node, it
// reads in these tests of the first of them.
type committee struct {
	t       *testing.T
	genesis *proof.Genesis
	scheme  crypto.Scheme
	hosts   []*host.Host
	states  []*statemachine.Replicated
	ack     *bft.Acknowledgement // the first one's newest
	told    []host.Answer        // that the first one has given
	read    func()               // if set, called before each read of the first one's disk
	nonce   uint64
}

// watchedDisk says when it is read.
type watchedDisk struct {
	store.FS
	c *committee
}

type watchedFile struct {
	store.File
	c *committee
}

func (d watchedDisk) Create(path string) (store.File, error) {
	f, err := d.FS.Create(path)
	return watchedFile{f, d.c}, err
}

func (d watchedDisk) Open(path string) (store.File, error) {
	f, err := d.FS.Open(path)
	return watchedFile{f, d.c}, err
}

func (f watchedFile) ReadAt(p []byte, at int64) (int, error) {
	if f.c.read != nil {
		f.c.read()
	}
	return f.File.ReadAt(p, at)
}

func seeded(b byte) crypto.PrivateKey { return crypto.NewPrivateKey([crypto.SeedSize]byte{b}) }

var alice = seeded(100)

func newCommittee(t *testing.T) *committee {
	t.Helper()
	c := &committee{t: t, scheme: crypto.Modelled([32]byte{1}), genesis: &proof.Genesis{
		Chain: "test", Configuration: epoch.Configuration{Mode: epoch.Byzantine, Parameters: epoch.DefaultParameters()}, Time: 1_000,
	}}
	for i := range 4 {
		c.genesis.Members = append(c.genesis.Members, epoch.Member{
			Name: fmt.Sprintf("node%d", i+1), Key: seeded(byte(i + 1)).Public(), PeerID: fmt.Sprintf("peer%d", i+1),
			Address: fmt.Sprintf("127.0.0.1:%d", 27001+i), API: fmt.Sprintf("127.0.0.1:%d", 28001+i),
			Incarnation: epoch.Incarnation{byte(i + 1)},
		})
	}
	if err := c.genesis.Validate(); err != nil {
		t.Fatal(err)
	}
	for i, m := range c.genesis.Members {
		state, err := statemachine.Open(statemachine.NewMemory(), kv.Machine{}, host.Limits(c.genesis.Parameters))
		if err != nil {
			t.Fatal(err)
		}
		var disk store.FS = store.NewMemory()
		if i == 0 {
			disk = watchedDisk{disk, c}
		}
		options := store.Options{SegmentBytes: 1 << 20}
		if err := host.Create(disk, "log", options, m.Key, m.Incarnation); err != nil {
			t.Fatal(err)
		}
		h, err := host.Open(host.Config{
			Self: epoch.ReplicaID(i + 1), Genesis: c.genesis, Key: seeded(byte(i + 1)), Scheme: c.scheme,
			FS: disk, Dir: "log", Log: options, State: state,
		})
		if err != nil {
			t.Fatal(err)
		}
		c.hosts, c.states = append(c.hosts, h), append(c.states, state)
	}
	for _, h := range c.hosts {
		h.Step(bft.Tick{Now: 2_000})
	}
	c.run()
	return c
}

// request signs alice's next transaction.
func (c *committee) request(op []byte) *message.Request {
	c.nonce++
	return message.NewRequest(c.scheme, alice, c.genesis.Digest(), c.nonce, 1000, op)
}

// submit has a transaction decided, executed, made durable and acknowledged.
func (c *committee) submit(q *message.Request) {
	c.t.Helper()
	if _, err := c.hosts[0].Submit([]*message.Request{q}); err != nil {
		c.t.Fatal(err)
	}
	c.run()
}

func (c *committee) put(key, value string) *message.Request {
	q := c.request(kv.Put([]byte(key), []byte(value)))
	c.submit(q)
	return q
}

// run carries out effects until there are none.
func (c *committee) run() {
	for busy := true; busy; {
		busy = false
		for i, h := range c.hosts {
			if g := h.Take(); g != nil {
				busy = true
				c.carryOut(i, g)
			}
		}
	}
}

func (c *committee) carryOut(i int, g *host.Group) {
	h := c.hosts[i]
	if err := errors.Join(h.Writer().Append(g), h.Writer().Sync()); err != nil {
		c.t.Fatal(err)
	}
	h.Writer().Sign(g)
	r := h.Done(g)
	for _, e := range r.Send {
		for to := range c.hosts {
			if to != i && (e.To == nil || contains(e.To, epoch.ReplicaID(to+1))) {
				c.hosts[to].Step(bft.Received{Signed: e.Message})
			}
		}
	}
	results, err := h.Executor().Run(r.Execute)
	if err != nil {
		c.t.Fatal(err)
	}
	if len(results) > 0 {
		h.Executed(results)
	}
	if len(r.Blocks) > 0 {
		if err := h.Executor().Commit(r.Blocks[len(r.Blocks)-1].Seq); err != nil {
			c.t.Fatal(err)
		}
	}
	if i == 0 {
		c.told = append(c.told, r.Answers...)
		if r.Acknowledged != nil {
			c.ack = r.Acknowledged
		}
	}
}

// epochs are those of the first member.
func (c *committee) epochs() *epochs {
	e := epochsOf(c.hosts[0].Replica())
	return &e
}

func contains(ids []epoch.ReplicaID, id epoch.ReplicaID) bool {
	for _, other := range ids {
		if other == id {
			return true
		}
	}
	return false
}

// fakeNode is a backend whose blocks and state are a committee's, and whose word is what the test says.
type fakeNode struct {
	*committee
	mu        sync.Mutex
	notReady  string
	submitted func(context.Context, *message.Request) (Decision, error)
	accepted  func(context.Context, *message.Request) error
	noReceipt error
}

func (n *fakeNode) CheckOperation(op []byte) error { return kv.Machine{}.Check(op) }

func (n *fakeNode) Submit(ctx context.Context, q *message.Request) (Decision, error) {
	return n.submitted(ctx, q)
}
func (n *fakeNode) Accept(ctx context.Context, q *message.Request) error {
	return n.accepted(ctx, q)
}
func (n *fakeNode) Epoch() *epoch.Epoch                               { return n.genesis.Epoch() }
func (n *fakeNode) Epochs() epochs                                    { return epochsOf(n.hosts[0].Replica()) }
func (n *fakeNode) Change(_ context.Context, c *message.Change) error { return n.hosts[0].Ask(c) }
func (n *fakeNode) Recover(_ context.Context, c *message.Recovery) error {
	return n.hosts[0].Recover(c)
}
func (n *fakeNode) Waiting() ([]bft.Change, *bft.Recovery) {
	r := n.hosts[0].Replica()
	return r.Changes(), r.Recovery()
}
func (n *fakeNode) Blocks() *host.Blocks                     { return n.hosts[0].Blocks() }
func (n *fakeNode) State() *statemachine.Replicated          { return n.states[0] }
func (n *fakeNode) Trace(epoch.Seq) ([]point, bool)          { return nil, false }
func (n *fakeNode) Attestations(epoch.Seq) []*message.Signed { return n.ack.Attestations }
func (n *fakeNode) Evidence() []*message.Evidence            { return n.hosts[0].Replica().Evidence() }

func (n *fakeNode) Done() <-chan struct{} { return nil }
func (n *fakeNode) Err() error            { return nil }

func (n *fakeNode) Look() (moment, epoch.Seq, <-chan struct{}) {
	return momentOf(n.Status()), n.hosts[0].Replica().Acknowledged(), nil
}

func (n *fakeNode) Ready() (bool, string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.notReady == "", n.notReady
}

func (n *fakeNode) Status() Status {
	ready, why := n.Ready()
	r := n.hosts[0].Replica()
	head := r.Head()
	return Status{
		Chain: n.genesis.Digest(), Node: 1, Role: LeaderRole, Mode: epoch.Byzantine, Leader: 1, Seq: head.Seq, Header: head.Digest(),
		State: head.State, Members: n.genesis.Members, Peers: 3, Ready: ready, Why: why, Version: "v0.0.0-test",
		PoolTransactions: 5, PoolBytes: 500,
	}
}

// Receipt proves an outcome by the newest acknowledgement.
func (n *fakeNode) Receipt(seq epoch.Seq, index int) (*proof.Receipt, error) {
	if n.noReceipt != nil {
		return nil, n.noReceipt
	}
	outcomes, _, err := n.State().Outcomes(uint64(seq))
	if err != nil {
		return nil, err
	}
	var leaves [][]byte
	for _, o := range outcomes {
		leaves = append(leaves, statemachine.Leaf(o))
	}
	o := outcomes[index]
	r := &proof.Receipt{
		Result: proof.Result{ID: o.ID, Status: uint8(o.Status), Code: uint16(o.Code), Seq: epoch.Seq(o.Seq), Value: o.Result},
		Index:  index, Count: len(outcomes), Path: crypto.MerklePath(leaves, index), Attestations: n.ack.Attestations,
	}
	last := seq
	for _, m := range n.ack.Attestations {
		last = max(last, m.Body.(*message.Attestation).Seq)
	}
	for s := seq; s <= last; s++ {
		d, _, err := n.Blocks().Decision(s)
		if err != nil {
			return nil, err
		}
		r.Headers = append(r.Headers, d.Header)
	}
	return r, nil
}

// decided is what Submit answers for a transaction that the committee has decided.
func (n *fakeNode) decided(_ context.Context, q *message.Request) (Decision, error) {
	at, ok, err := n.State().Lookup(q.ID())
	if err != nil || !ok {
		return Decision{}, fmt.Errorf("no transaction %s: %v", q.ID(), err)
	}
	outcomes, _, err := n.State().Outcomes(at.Seq)
	if err != nil {
		return Decision{}, err
	}
	d := Decision{ID: q.ID(), Seq: epoch.Seq(at.Seq), Index: at.Index, Outcome: outcomes[at.Index]}
	d.Receipt, err = n.Receipt(d.Seq, d.Index)
	return d, err
}

// serve starts the service of a node on loopback; it is stopped when the test ends.
func serve(t *testing.T, n *fakeNode) *service {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	m := newMetrics(n.Status, func() (made, verified uint64) { return 7, 9 })
	s, err := newService(n, "127.0.0.1:0", m, log)
	if err != nil {
		t.Fatal(err)
	}
	s.start(func(err error) { t.Error(err) })
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), settleTimeout)
		defer cancel()
		if err := s.stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}
