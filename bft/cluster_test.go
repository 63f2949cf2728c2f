package bft

import (
	"fmt"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

var (
	scheme = crypto.Modelled([32]byte{1})
	keys   = func() (keys [40]crypto.PrivateKey) {
		for i := range keys {
			keys[i] = crypto.NewPrivateKey([32]byte{byte(i)})
		}
		return keys
	}()
)

// small makes checkpoints come soon.
func small() epoch.Parameters {
	p := epoch.DefaultParameters()
	p.Checkpoint, p.Window, p.Pipeline, p.Burst, p.BatchRequests = 4, 16, 2, 4, 4
	return p
}

func testGenesis(n int, p epoch.Parameters) *proof.Genesis {
	g := &proof.Genesis{Chain: "test", Test: true, Configuration: epoch.Configuration{Mode: epoch.Byzantine, Parameters: p}, Time: 1000}
	for i := 1; i <= n; i++ {
		g.Members = append(g.Members, epoch.Member{
			Name: fmt.Sprintf("node%d", i), Key: keys[i].Public(), PeerID: fmt.Sprintf("peer%d", i),
			Address: fmt.Sprintf("host:%d", i), API: fmt.Sprintf("api:%d", i), Incarnation: epoch.Incarnation{byte(i)},
		})
	}
	return g
}

// cluster is n replicas in lock step: what one asks for is carried out at once and in order, by the contract of
// Effects. Messages go through their encoding and Check; a disk never fails. testnet/sim has the rest.
type cluster struct {
	t       *testing.T
	genesis *proof.Genesis
	epoch   *epoch.Epoch
	nodes   []*node // nodes[0] is member 1
	queue   []parcel
	now     int64
	nonce   uint64

	drop  func(from, to epoch.ReplicaID, m *message.Signed) bool // nil: nothing is lost
	after func(*node)                                            // called after every Step
}

type parcel struct {
	from, to epoch.ReplicaID
	event    Event
}

type node struct {
	id      epoch.ReplicaID
	replica *Replica
	epochs  map[crypto.Digest]*epoch.Epoch // that it knows
	past    []ordering.Record              // the whole log
	trimmed int                            // what stands before it may be gone, but for bodies
	bodies  map[crypto.Digest]*message.Batch
	blocks  map[epoch.Seq]*proof.Block
	state   crypto.Digest
	fits    int       // so many blocks fit into one answer to a Want; 0: all
	poison  epoch.Seq // from this slot on the machine comes to another state than others
	done    []Execution
	acked   []Acknowledgement
	answers []Answer
	halt    *Divergence
	trace   crypto.Digest // of all effects
	said    int           // messages sent
}

func newCluster(t *testing.T, n int, p epoch.Parameters) *cluster {
	return newClusterOf(t, testGenesis(n, p))
}

func newClusterOf(t *testing.T, g *proof.Genesis) *cluster {
	n := len(g.Members)
	c := &cluster{t: t, genesis: g, epoch: g.Epoch(), now: 5000}
	if err := g.Validate(); err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= n; i++ {
		x := &node{id: epoch.ReplicaID(i), bodies: make(map[crypto.Digest]*message.Batch), blocks: make(map[epoch.Seq]*proof.Block)}
		x.past = []ordering.Record{&ordering.Birth{Key: keys[i].Public(), Incarnation: epoch.Incarnation{byte(i)}}}
		x.epochs = map[crypto.Digest]*epoch.Epoch{c.epoch.ID: c.epoch}
		c.nodes = append(c.nodes, x)
	}
	for _, x := range c.nodes {
		c.start(x)
	}
	return c
}

func (c *cluster) node(id epoch.ReplicaID) *node { return c.nodes[id-1] }

func (c *cluster) start(x *node) { c.startFrom(x, x.past) }

// startFrom has a member begin with these records of its log.
func (c *cluster) startFrom(x *node, records []ordering.Record) {
	r, out, err := New(Config{Self: x.id, Genesis: c.genesis, Scheme: scheme, History: x.history()}, records)
	if err != nil {
		c.t.Fatal(err)
	}
	x.epochs = map[crypto.Digest]*epoch.Epoch{c.epoch.ID: c.epoch}
	for _, p := range r.History() {
		x.epochs[p.Epoch.ID] = p.Epoch
	}
	x.replica = r
	c.apply(x, out)
}

// restart has a member begin again from the least of its log that may be left, with a machine that stands at its newest block.
func (c *cluster) restart(x *node) {
	x.done = x.done[:min(len(x.done), len(x.blocks))]
	c.startFrom(x, x.surviving())
	x.state = x.replica.Head().State
}

// history is what the whole log tells of epochs that are over.
func (x *node) history() (past []Past) {
	var last *epoch.Epoch
	for _, rec := range x.past {
		if e, ok := rec.(*ordering.Entered); ok {
			if last != nil {
				past = append(past, Past{last, e.HandOver})
			}
			last = e.Epoch
		}
	}
	return past
}

// surviving is the least of a log that may be left after trimming: from the newest Base's append on, and the bodies
// that accepted slots without a block rest on.
func (x *node) surviving() []ordering.Record {
	rest := x.past[x.trimmed:]
	var records []ordering.Record
	for _, rec := range x.past[:x.trimmed] {
		if b, ok := rec.(*ordering.Bodies); ok && !x.inBlock(b.Batch.Digest()) {
			records = append(records, b)
		}
	}
	return append(records, rest...)
}

func (x *node) inBlock(d crypto.Digest) bool {
	for _, b := range x.blocks {
		if b.Header.Batch == d {
			return true
		}
	}
	return false
}

func (c *cluster) apply(x *node, out Effects) {
	for _, e := range out.Enter {
		x.epochs[e.ID] = e
	}
	c.record(x, &out)
	if out.Trim {
		x.trimmed = len(x.past)
	}
	for _, rec := range out.Persist {
		x.past = append(x.past, rec)
		switch rec := rec.(type) {
		case *ordering.Bodies:
			x.bodies[rec.Batch.Digest()] = rec.Batch
		case *ordering.Decided:
			x.blocks[rec.Header.Seq] = &proof.Block{Decision: rec.Decision, Batch: x.bodies[rec.Header.Batch]}
		}
	}
	for _, o := range out.Send {
		c.send(x, o)
	}
	if len(out.Execute) > 0 {
		c.post(x.id, x.id, Executed{x.execute(out.Execute)})
	}
	for _, q := range out.Read {
		blocks := x.read(q)
		q.To = q.From + epoch.Seq(len(blocks)) - 1
		c.post(x.id, x.id, Found{For: q.For, Epoch: q.Epoch, Blocks: blocks, Checkpoint: x.checkpoint(q)})
	}
	if out.Acknowledged != nil {
		x.acked = append(x.acked, *out.Acknowledged)
	}
	x.answers = append(x.answers, out.Answer...)
	if out.Halt != nil {
		x.halt = out.Halt
	}
}

func (x *node) execute(batches []Execution) (outcomes []Outcome) {
	for _, e := range batches {
		d := e.Batch.Digest()
		x.state = crypto.Hash("test/state", x.state[:], d[:])
		if x.poison != 0 && e.Seq >= x.poison {
			x.state = crypto.Hash("test/poison", x.state[:], []byte{byte(x.id)})
		}
		x.done = append(x.done, e)
		outcomes = append(outcomes, Outcome{Seq: e.Seq, Results: crypto.Hash("test/results", d[:]), State: x.state, Ends: make([]End, len(e.Batch.Requests))})
	}
	return outcomes
}

func (x *node) read(q Read) (blocks []*proof.Block) {
	for seq := q.From; seq <= q.To && x.blocks[seq] != nil && (x.fits == 0 || len(blocks) < x.fits); seq++ {
		blocks = append(blocks, x.blocks[seq])
	}
	return blocks
}

func (c *cluster) send(x *node, o message.Outgoing) {
	m := o.Again
	if m == nil {
		m = message.Sign(scheme, keys[x.id], x.epochs[o.Epoch], x.id, o.Body)
	}
	x.said++
	to := o.To
	if to == nil {
		for _, other := range c.nodes {
			if other.id != x.id || o.Way == message.Direct {
				to = append(to, other.id)
			}
		}
	}
	var w message.Writer
	m.Encode(&w)
	for _, id := range to {
		if id != x.id && c.drop != nil && c.drop(x.id, id, m) {
			continue
		}
		got := m
		if id != x.id && m.Attached != nil || m.Body.Kind() != message.KindPrePrepare {
			var err error
			if got, err = message.Decode(w.Bytes()); err != nil {
				c.t.Fatal(err)
			}
			e := c.node(id).epochs[got.Epoch]
			if e == nil {
				c.post(x.id, id, Foreign{})
				continue
			}
			if err := Check(got, e, scheme); err != nil {
				c.t.Fatalf("%d says to %d what is not valid: %v", x.id, id, err)
			}
		}
		c.post(x.id, id, Received{got})
	}
}

func (c *cluster) post(from, to epoch.ReplicaID, e Event) {
	c.queue = append(c.queue, parcel{from, to, e})
}

// run lets everything happen that follows.
func (c *cluster) run() {
	for steps := 0; len(c.queue) > 0; steps++ {
		if steps > 1_000_000 {
			c.t.Fatal("it never ends")
		}
		p := c.queue[0]
		c.queue = c.queue[1:]
		c.step(c.node(p.to), p.event)
	}
}

func (c *cluster) step(x *node, e Event) {
	c.apply(x, x.replica.Step(e))
	if c.after != nil {
		c.after(x)
	}
}

// tick passes n intervals.
func (c *cluster) tick(n int) {
	for range n {
		c.now += TickMillis
		for _, x := range c.nodes {
			c.step(x, Tick{c.now})
		}
		c.run()
	}
}

// submit hands n new requests of one client to a member.
func (c *cluster) submit(to epoch.ReplicaID, n int) []*message.Request {
	qs := make([]*message.Request, n)
	for i := range qs {
		c.nonce++
		qs[i] = message.NewRequest(scheme, keys[0], c.epoch.Chain, c.nonce, 1<<20, fmt.Appendf(nil, "operation %d", c.nonce))
	}
	c.step(c.node(to), Submitted{qs})
	c.run()
	return qs
}

// load has the network decide so many more slots, one request each; they come in at members 1 and 2.
func (c *cluster) load(slots int) {
	for i := range slots {
		c.submit(epoch.ReplicaID(i%2+1), 1)
		c.tick(1)
	}
}

// record chains everything that is asked for, byte for byte.
func (c *cluster) record(x *node, out *Effects) {
	var w message.Writer
	w.Fixed(x.trace[:])
	for _, rec := range out.Persist {
		w.U8(uint8(rec.Kind()))
		w.String(ordering.Encode(rec))
	}
	w.Flag(len(out.Enter) > 0)
	writeSends(&w, x.epochs, x.id, out.Send)
	for _, e := range out.Execute {
		d := e.Batch.Digest()
		w.U64(uint64(e.Seq))
		w.U64(uint64(e.Time))
		w.Fixed(d[:])
	}
	for _, a := range out.Answer {
		w.String(a.Request.Bytes())
		w.String([]byte(a.Refusal.Error()))
	}
	if a := out.Acknowledged; a != nil {
		w.U64(uint64(a.Seq))
		message.WriteVotes(&w, a.Attestations)
	}
	for _, q := range out.Read {
		w.U32(uint32(q.For))
		w.U64(uint64(q.From))
		w.U64(uint64(q.To))
	}
	w.Flag(out.Trim)
	w.Flag(out.Halt != nil)
	x.trace = crypto.Hash("test/trace", w.Bytes())
}

func writeSends(w *message.Writer, epochs map[crypto.Digest]*epoch.Epoch, author epoch.ReplicaID, sends []message.Outgoing) {
	for _, o := range sends {
		m := o.Again
		if m == nil {
			m = message.Sign(scheme, keys[author], epochs[o.Epoch], author, o.Body)
		}
		m.Encode(w)
		w.U8(uint8(o.Way))
		for _, id := range o.To {
			w.U32(uint32(id))
		}
	}
}

// agree fails the test unless the members have executed the same up to seq, and know that it survives.
func (c *cluster) agree(seq epoch.Seq, ids ...epoch.ReplicaID) {
	c.t.Helper()
	first := c.node(ids[0]).replica.Head()
	for _, id := range ids {
		r := c.node(id).replica
		if r.Head() != first || r.Head().Seq < seq {
			c.t.Errorf("%d is at %d with state %s, %d at %d with %s; want at least %d",
				id, r.Head().Seq, r.Head().State.Short(), ids[0], first.Seq, first.State.Short(), seq)
		}
		if r.Acknowledged() != r.Head().Seq {
			c.t.Errorf("%d is at %d and knows only %d to survive", id, r.Head().Seq, r.Acknowledged())
		}
		if r.Halted() {
			c.t.Errorf("%d has halted", id)
		}
	}
}

// checkpoint is the newest one in the log among the blocks that a Read asks for.
func (x *node) checkpoint(q Read) (newest *proof.Checkpoint) {
	for _, rec := range x.past {
		if b, ok := rec.(*ordering.Base); ok && b.Stable.Header.Seq >= q.From && b.Stable.Header.Seq <= q.To && len(b.Stable.Attestations) > 0 {
			newest = b.Stable
		}
	}
	return newest
}
