package bft

import (
	"fmt"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
)

// large are requests that no proposal carries inline: each alone is above the bound.
func (c *cluster) large(n int) []*message.Request {
	qs := make([]*message.Request, n)
	for i := range qs {
		c.nonce++
		operation := append(fmt.Appendf(nil, "operation %d ", c.nonce), make([]byte, message.InlineBytes)...)
		qs[i] = message.NewRequest(scheme, keys[0], c.epoch.Chain, c.nonce, 1<<20, operation)
	}
	return qs
}

func (c *cluster) hand(to epoch.ReplicaID, qs []*message.Request) {
	c.step(c.node(to), Submitted{qs})
	c.run()
}

// heard counts what passes by kind, and drops what lost says.
func (c *cluster) heard(lost func(from, to epoch.ReplicaID, m *message.Signed) bool) map[message.Kind]int {
	count := make(map[message.Kind]int)
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		if lost != nil && lost(from, to, m) {
			return true
		}
		count[m.Body.Kind()]++
		return false
	}
	return count
}

// standsByWhatItHolds fails the test if a member votes for a batch whose transactions are not in its log.
func (c *cluster) standsByWhatItHolds() {
	c.after = func(x *node) {
		for _, rec := range x.past {
			if a, ok := rec.(*ordering.Accepted); ok && x.bodies[a.Digest] == nil {
				c.t.Fatalf("%d stands by a batch at %d that is not in its log", x.id, a.Seq)
			}
		}
	}
}

// A batch above the bound is proposed by the names of its transactions, which everybody has by gossip.
//
// case N2; accepting a proposal whose transactions are not persisted with it turns it red.
func TestLargeBatchGoesByName(t *testing.T) {
	c := newCluster(t, 4, small())
	c.standsByWhatItHolds()
	c.tick(1)
	named := 0
	count := c.heard(func(_, _ epoch.ReplicaID, m *message.Signed) bool {
		if p, ok := m.Body.(*message.PrePrepare); ok && p.Outline != nil {
			named++
		}
		return false
	})

	for i := range 8 {
		c.hand(epoch.ReplicaID(i%4+1), c.large(3))
		c.tick(5)
	}

	c.agree(8, 1, 2, 3, 4)
	if named == 0 || named != count[message.KindPrePrepare] {
		t.Errorf("%d of %d proposals by name", named, count[message.KindPrePrepare])
	}
	if count[message.KindFetch] != 0 {
		t.Errorf("%d fetches of what everybody had", count[message.KindFetch])
	}
}

// What the gossip has lost is fetched: from the proposer, and if that says nothing from those who voted.
//
// case A10; asking the proposer alone, or nobody, turns it red.
func TestMissingTransactionsAreFetched(t *testing.T) {
	for name, mute := range map[string]func(from, to epoch.ReplicaID, m *message.Signed) bool{
		"the proposer answers": func(_, _ epoch.ReplicaID, m *message.Signed) bool { return false },
		"the proposer answers 2 and 3 alone": func(from, to epoch.ReplicaID, m *message.Signed) bool {
			return from == 1 && to == 4 && m.Body.Kind() == message.KindBodies
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t, 4, small())
			c.standsByWhatItHolds()
			c.tick(1)
			count := c.heard(func(from, to epoch.ReplicaID, m *message.Signed) bool {
				return m.Body.Kind() == message.KindBundle || m.Body.Kind() == message.KindHave || mute(from, to, m)
			})

			c.hand(1, c.large(3))
			c.tick(60)

			c.agree(1, 1, 2, 3, 4)
			if count[message.KindFetch] == 0 || count[message.KindBodies] < 3 {
				t.Errorf("%d fetches, %d answers", count[message.KindFetch], count[message.KindBodies])
			}
		})
	}
}

// Whoever lacks more than a fetch can name asks for all of it at once.
func TestWholeBatchIsFetchedWhenMuchIsMissing(t *testing.T) {
	p := small()
	p.BatchRequests = 1000
	c := newCluster(t, 4, p)
	c.tick(1)
	var whole int
	c.heard(func(_, _ epoch.ReplicaID, m *message.Signed) bool {
		if f, ok := m.Body.(*message.Fetch); ok && len(f.Missing) == 0 {
			whole++
		}
		return m.Body.Kind() == message.KindBundle
	})

	c.submit(1, 4*message.MaxFetch)
	c.tick(60)

	c.agree(1, 1, 2, 3, 4)
	if whole == 0 {
		t.Error("nobody asked for a whole batch")
	}
}

// A leader that names transactions and gives them to nobody gets no vote; what waits for them is bounded, and ends with
// the slot.
//
// case A10; voting for a name turns it red.
func TestNobodyVotesForNamesAlone(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	count := c.heard(func(from, _ epoch.ReplicaID, m *message.Signed) bool {
		return m.Body.Kind() == message.KindBundle || m.Body.Kind() == message.KindBodies
	})

	c.hand(1, c.large(3))
	c.tick(300)

	if count[message.KindPrepare] != 0 {
		t.Errorf("%d promises to stand by what nobody has", count[message.KindPrepare])
	}
	if most := 3 * 300 / maxFetchPause * 3; count[message.KindFetch] > most || count[message.KindFetch] < 9 {
		t.Errorf("%d fetches in three seconds, want some and at most %d", count[message.KindFetch], most)
	}
	c.drop = nil
	c.tick(60)
	c.agree(1, 1, 2, 3, 4)
	for _, x := range c.nodes {
		if g := &x.replica.gather; len(g.list) != 0 || len(g.wants) != 0 {
			t.Errorf("%d still waits for %d proposals, %d transactions", x.id, len(g.list), len(g.wants))
		}
	}
}

// propose has member 1 say what it never would by itself, to one backup.
func (c *cluster) propose(to epoch.ReplicaID, seq epoch.Seq, p *message.PrePrepare) {
	p.View, p.Seq = 0, seq
	m := message.Sign(scheme, keys[1], c.epoch, 1, p)
	if err := Check(m, c.epoch, scheme); err != nil {
		c.t.Fatal(err)
	}
	c.post(1, to, Received{m})
	c.run()
}

// Names that make no valid batch are found out when the transactions are there: nobody votes, and nothing else happens.
//
// case A9, N13; filling an outline without looking turns it red.
func TestNamesOfNoValidBatchGetNoVote(t *testing.T) {
	p := small()
	p.BatchBytes = 64 << 10
	p.RequestBytes = 32 << 10
	c := newCluster(t, 4, p)
	c.tick(1)
	count := c.heard(nil)
	one := c.large(1)[0]
	twin := resigned(t, one)
	for name, requests := range map[string][]*message.Request{
		"one transaction with two signatures": {one, twin},
		"more bytes than a batch may have":    c.large(4),
	} {
		batch := message.NewBatch(c.now, requests)
		x := c.node(2)
		c.propose(2, 1, &message.PrePrepare{Vote: message.Vote{Digest: batch.Digest()}, Outline: batch.Outline()})
		for _, q := range requests {
			x.replica.offer(q)
		}
		c.step(x, Tick{c.now})
		c.run()
		if len(x.replica.gather.list) != 0 || len(x.replica.gather.wants) != 0 {
			t.Errorf("%s: still waits", name)
		}
		c.start(x) // for the next name, at the same slot
	}
	if count[message.KindPrepare] != 0 {
		t.Errorf("%d votes", count[message.KindPrepare])
	}
}

// The pool's bounds are not the proposal's: what a slot names is taken in however full the pool is.
//
// case E6; putting what is named through the pool alone turns it red.
func TestNamedTransactionsNeedNoRoomInThePool(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	c.heard(func(from, to epoch.ReplicaID, m *message.Signed) bool {
		return m.Body.Kind() == message.KindBundle
	})
	x := c.node(4)
	fill := x.replica.pool
	for i := range fill.queues {
		fill.queues[i].usage = fill.share()
	}

	c.hand(1, c.large(2))
	c.tick(60)

	c.agree(1, 1, 2, 3, 4)
}

// A member that asks again and again gets its share, and no more.
//
// case E9; answering every Fetch turns it red.
func TestFetchesAreAnsweredWithinAShare(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	c.hand(1, c.large(4))
	c.tick(2)
	x := c.node(1)
	b := x.replica.order.Batch(1)
	if b == nil {
		t.Fatal("no batch at 1")
	}
	sent := 0
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		if m.Body.Kind() == message.KindBodies {
			sent += len(m.Attached)
		}
		return false
	}
	const ticks = 50
	for range ticks {
		for range 200 {
			c.step(x, Received{message.Sign(scheme, keys[3], c.epoch, 3, &message.Fetch{Seq: 1, Batch: b.Digest()})})
		}
		c.tick(1)
	}
	if most := fetchBurstBytes + ticks*fetchTickBytes + 1<<20; sent > most || sent < b.Size() {
		t.Errorf("%d bytes sent to one member, want at most %d and one batch at least", sent, most)
	}
	for _, f := range []*message.Fetch{{Seq: 9, Batch: b.Digest()}, {Seq: 1}, {Seq: 1 << 63, Batch: b.Digest()}, {Seq: 1, Batch: b.Digest(), Missing: []uint16{4}}} {
		if err := x.replica.onFetch(2, f); err == nil {
			t.Errorf("%+v is answered", f)
		}
	}
}

// A log that has lost the transactions of an accepted slot gets them from others, and then goes on where it was.
//
// case F6; an Accepted fact without its Bodies that is dropped, or voted on, turns it red.
func TestLostTransactionsOfAnAcceptedSlotComeBack(t *testing.T) {
	for _, id := range []epoch.ReplicaID{1, 3} {
		c := newCluster(t, 4, small())
		c.tick(1)
		silent := func(_, _ epoch.ReplicaID, m *message.Signed) bool {
			return m.Body.Kind() == message.KindPrepare || m.Body.Kind() == message.KindStatus
		}
		c.drop = silent // accepted everywhere, and no further
		c.submit(1, 2)
		c.tick(1)
		x := c.node(id)
		var past []ordering.Record
		for _, rec := range x.past {
			if rec.Kind() != ordering.KindBodies {
				past = append(past, rec)
			}
		}
		if len(past) == len(x.past) {
			t.Fatal("nothing was accepted")
		}
		x.past = past
		clear(x.bodies)
		c.start(x)
		c.run()
		if n := len(x.replica.gather.list); n != 1 {
			t.Fatalf("%d waits for %d batches, want one", id, n)
		}

		c.drop = nil
		c.tick(200)

		c.agree(1, 1, 2, 3, 4)
	}
}

// A proposal whose time is far ahead is held, not refused: until this clock has come near, or until so many stand by it
// that one of them is correct and the fault is this clock's.
//
// case D9, N21; voting at once, or never, turns it red.
func TestProposalFarAheadIsHeld(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	var votes []epoch.ReplicaID
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		if m.Body.Kind() == message.KindPrepare && to == 1 {
			votes = append(votes, from)
		}
		return true
	}
	batch := func(ahead int64) *message.PrePrepare {
		b := message.NewBatch(c.now+ahead, c.large(1))
		return &message.PrePrepare{Vote: message.Vote{Digest: b.Digest()}, Batch: b}
	}

	c.propose(2, 1, batch(maxAheadMillis))
	if len(votes) != 1 {
		t.Errorf("as far ahead as may be: %d votes", len(votes))
	}

	late := batch(maxAheadMillis + 50)
	c.propose(3, 1, late)
	c.tick(4)
	if len(votes) != 1 {
		t.Errorf("too far ahead: voted by %v", votes)
	}
	c.tick(1)
	if len(votes) != 2 || votes[1] != 3 {
		t.Errorf("when the clock has come near: voted by %v", votes)
	}

	far := batch(1 << 50)
	c.propose(4, 1, far)
	c.tick(100)
	if len(votes) != 2 {
		t.Errorf("of a distant age: voted by %v", votes)
	}
	c.post(3, 4, Received{message.Sign(scheme, keys[3], c.epoch, 3, &message.Prepare{Vote: far.Vote})})
	c.run()
	c.tick(1)
	if len(votes) != 3 || votes[2] != 4 {
		t.Errorf("when a correct member stands by it: voted by %v", votes)
	}
}

// A member's bundle that another has kept, and gossips again when it is long decided, is not ordered again.
//
// case D1, A7; taking a bundle of any age turns it red: the network orders it a second time, in its author's share.
func TestBundleOfLongAgoIsNotTakenAgain(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	var kept *message.Signed
	c.drop = func(from, _ epoch.ReplicaID, m *message.Signed) bool {
		if b, ok := m.Body.(*message.Bundle); ok && from == 2 && len(b.Requests) > 0 && kept == nil {
			kept = m
		}
		return false
	}
	c.submit(2, 2)
	c.load(20) // more than a window
	c.tick(20)
	if kept == nil {
		t.Fatal("no bundle was seen")
	}
	for i := range c.nodes { // whoever restarts knows nothing of executed requests
		c.start(c.nodes[i])
		c.run()
	}
	c.tick(20)
	before := c.node(1).replica.Head().Seq

	for _, x := range c.nodes {
		if x.id != 2 {
			c.post(4, x.id, Received{kept})
		}
	}
	c.run()
	c.tick(100)

	if after := c.node(1).replica.Head().Seq; after != before {
		t.Errorf("%d slots for what was decided long ago", after-before)
	}
	if n, _ := c.node(1).replica.Pooled(); n != 0 {
		t.Errorf("%d requests in the leader's pool", n)
	}
}
