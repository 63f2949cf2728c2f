package bft

import (
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
)

// Whoever takes in a request, all execute it once, in one order, and know that it survives.
func TestSubmittedRequestsAreExecutedOnceEverywhere(t *testing.T) {
	for _, n := range []int{4, 6, 7} {
		c := newCluster(t, n, small())
		c.tick(1)
		var asked []*message.Request
		for i := range 30 {
			asked = append(asked, c.submit(epoch.ReplicaID(i%n+1), 3)...)
			if i%3 == 0 {
				c.tick(1)
			}
		}
		c.tick(2)
		c.agree(20, 1, 2, 3, 4)
		for _, x := range c.nodes {
			times := make(map[string]int)
			for i, e := range x.done {
				if e.Seq != epoch.Seq(i+1) {
					t.Fatalf("n=%d: %d executes %d in place %d", n, x.id, e.Seq, i+1)
				}
				if i > 0 && e.Time < x.done[i-1].Time {
					t.Errorf("n=%d: time goes back at %d", n, e.Seq)
				}
				for _, q := range e.Batch.Requests {
					times[string(q.Bytes())]++
				}
			}
			for _, q := range asked {
				if times[string(q.Bytes())] != 1 {
					t.Errorf("n=%d: %d executed a request %d times", n, x.id, times[string(q.Bytes())])
				}
			}
			if requests, size := x.replica.Pooled(); requests != 0 || size != 0 || x.replica.pool.waiting != 0 || x.replica.pool.bytes != 0 {
				t.Errorf("n=%d: %d still holds %d requests, %d bytes", n, x.id, requests, size)
			}
		}
		for _, x := range c.nodes {
			for seq, b := range x.blocks {
				if err := b.Verify(c.epoch, scheme); err != nil {
					t.Errorf("n=%d: block %d of %d: %v", n, seq, x.id, err)
				}
			}
			if err := x.replica.Stable().Verify(c.epoch, scheme); err != nil {
				t.Errorf("n=%d: the stable checkpoint of %d: %v", n, x.id, err)
			}
		}
	}
}

// An acknowledgement is a quorum's word, and shows it: distinct members, good signatures, headers at or above it on
// this chain. Nothing is acknowledged on the word of fewer.
//
// case H7; counting Quorum()-1 voices turns it red.
func TestAcknowledgementIsAQuorumsWord(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	c.load(10)
	for _, x := range c.nodes {
		if len(x.acked) == 0 {
			t.Errorf("%d acknowledged nothing", x.id)
		}
		last := epoch.Seq(0)
		for _, a := range x.acked {
			if a.Seq <= last || len(a.Attestations) != c.epoch.Quorum() {
				t.Errorf("%d: acknowledged %d after %d by %d", x.id, a.Seq, last, len(a.Attestations))
			}
			last = a.Seq
			author := epoch.ReplicaID(0)
			for _, m := range a.Attestations {
				word := m.Body.(*message.Attestation)
				if m.Author <= author || !scheme.Verify(m.Claim(c.epoch)) || word.Seq < a.Seq {
					t.Errorf("%d: acknowledged %d by %d at %d", x.id, a.Seq, m.Author, word.Seq)
				}
				if own := x.blocks[word.Seq].Header; own.Digest() != word.Header {
					t.Errorf("%d: acknowledged %d by a word for another chain", x.id, a.Seq)
				}
				author = m.Author
			}
		}
	}
	before := c.node(1).replica.Acknowledged()
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		return m.Body.Kind() == message.KindAttestation && from > 2
	}
	c.submit(1, 1)
	c.tick(1)
	if r := c.node(1).replica; r.Head().Seq != before+1 || r.Acknowledged() != before {
		t.Errorf("at %d, acknowledged %d by two of four, before %d", r.Head().Seq, r.Acknowledged(), before)
	}
	c.drop = nil
	c.tick(60)
	c.agree(before+1, 1, 2, 3, 4)
}

// A replica that was away for 200 slots, many checkpoints long, comes back by blocks and votes again.
//
// case C5; case C6; leaving the certificates out of what Found sends turns it red.
func TestReplicaThatWasAwayCatchesUp(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	c.load(3)
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool { return from == 4 || to == 4 }
	c.load(200)
	if head := c.node(4).replica.Head().Seq; head > 5 {
		t.Fatalf("it was not away: at %d", head)
	}
	// Half of what it asks for, and half of what it is sent, is lost; the others go on meanwhile.
	asked, lost, chance := 0, 0, uint64(1)
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		switch m.Body.Kind() {
		case message.KindWant:
			asked++
		case message.KindHave:
		default:
			return false
		}
		chance = chance*6364136223846793005 + 1442695040888963407 // not by turns: they fall into step with the ticks
		if chance>>63 == 0 {
			return false
		}
		lost++
		return true
	}
	for range 60 {
		c.submit(1, 1)
		c.tick(5)
	}
	for tick := 0; c.node(4).replica.Head() != c.node(1).replica.Head(); tick++ {
		if tick > 3000 {
			t.Fatalf("at %d after %d wants", c.node(4).replica.Head().Seq, asked)
		}
		c.tick(1)
	}
	c.tick(500) // an idle replica says every second how far it is, and is sent the newest checkpoint
	c.agree(260, 1, 2, 3, 4)
	if asked < 8 || lost < 8 {
		t.Errorf("%d wants, %d of wants and haves lost: not tested", asked, lost)
	}
	if s := c.node(4).replica.Stable().Header.Seq; s < 256 {
		t.Errorf("stable at %d", s)
	}
	// With it the network bears the loss of another one.
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool { return from == 3 || to == 3 }
	c.load(3)
	c.tick(2)
	c.agree(263, 1, 2, 4)
}

// A liar says that it is far ahead, at the end of all numbers, and shows nothing. It neither stops the others nor keeps
// a replica that lacks something from getting it.
//
// case C8; case D13; trusting Status.Delivered, or adding to it, turns it red.
func TestClaimsOfHeightStopNobody(t *testing.T) {
	for _, height := range []epoch.Seq{1 << 63, 1<<64 - 1, 1<<64 - 4} {
		c := newCluster(t, 4, small())
		away := true
		c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
			return from == 4 || away && (from == 3 || to == 3) && m.Body.Kind() != message.KindAttestation
		}
		c.tick(1)
		c.load(20)
		away = false
		for range 120 {
			c.lie(4, &message.Status{View: 0, Delivered: height, Acknowledged: height, Stable: height, Progress: make([]message.Phase, 64)})
			c.lie(4, &message.Have{})
			c.lie(4, &message.Want{From: height, To: height})
			c.lie(4, &message.Attestation{Seq: height})
			c.tick(1)
		}
		before := c.node(1).replica.Head().Seq
		c.agree(before, 1, 2, 3)
		for range 40 {
			c.load(1)
			c.lie(4, &message.Status{Delivered: height, Stable: height})
		}
		c.tick(40)
		c.agree(before+40, 1, 2, 3)
		if s := c.node(1).replica.Stable().Header.Seq; s+4 <= before+40 {
			t.Errorf("height %d: stable at %d, head before it was %d", height, s, before)
		}
	}
}

// lie has a member say something that its replica did not ask for.
func (c *cluster) lie(author epoch.ReplicaID, b message.Body) {
	m := message.Sign(scheme, keys[author], c.epoch, author, b)
	if Check(m, c.epoch, scheme) != nil {
		return
	}
	for _, x := range c.nodes {
		if x.id != author {
			c.post(author, x.id, Received{m})
		}
	}
	c.run()
}

// What members have said of a checkpoint outlasts whatever a peer claims to be stable.
//
// case D13: a Stable of 2^64−1 made the next multiple of K wrap around to 0, and every old multiple looked at took the
// place of a live one.
func TestClaimedCheckpointForgetsNoAttestation(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	c.load(23)
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		return m.Body.Kind() == message.KindAttestation && from > 2 || m.Body.Kind() == message.KindStatus
	}
	c.load(1)
	c.tick(20)
	r := c.node(1).replica
	if r.Stable().Header.Seq != 20 || r.Head().Seq != 24 {
		t.Fatalf("stable at %d, head at %d", r.Stable().Header.Seq, r.Head().Seq)
	}
	for _, claim := range []epoch.Seq{1<<64 - 1, 1<<64 - 4, 1 << 63, 1000, 24} {
		c.drop = func(epoch.ReplicaID, epoch.ReplicaID, *message.Signed) bool { return true }
		c.lie(4, &message.Status{Delivered: claim, Acknowledged: claim, Stable: claim})
		if open := r.openCheckpoints(claim); len(open) != 0 {
			t.Errorf("claimed %d: checkpoints %v are open above it", claim, open)
		}
		if n := r.checkpointVotes(24).tally.Count(r.head.Digest()); n != 2 {
			t.Errorf("claimed %d: %d attestations to the open checkpoint are left of 2", claim, n)
		}
	}
}

// A replica whose machine comes to another state than a quorum stops at the next checkpoint, names it, and says nothing
// any more. The others do without it.
//
// case C1; case C4; ignoring the quorum's digest in decideCheckpoint turns it red.
func TestDivergedReplicaHalts(t *testing.T) {
	c := newCluster(t, 4, small())
	c.node(3).poison = 6
	c.tick(1)
	c.load(12)
	x := c.node(3)
	if x.halt == nil || !x.replica.Halted() || x.halt.Seq != 8 || x.halt.Own == x.halt.Quorum {
		t.Fatalf("halt: %+v", x.halt)
	}
	if own := c.node(1).blocks[8].Header; own.Digest() != x.halt.Quorum {
		t.Errorf("it names %s as the quorum's header", x.halt.Quorum.Short())
	}
	said := x.said
	c.load(8)
	if x.said != said {
		t.Errorf("%d messages after it halted", x.said-said)
	}
	c.agree(20, 1, 2, 4)
}

// If no quorum agrees on a state, nothing is acknowledged and no checkpoint becomes stable: the network stops at its
// window.
//
// case C2; counting attestations to other headers together turns it red.
func TestNothingIsAcknowledgedWithoutAQuorumForOneState(t *testing.T) {
	c := newCluster(t, 4, small())
	c.node(2).poison, c.node(3).poison = 6, 6
	c.tick(1)
	c.load(40)
	for _, x := range c.nodes {
		if r := x.replica; r.Acknowledged() > 5 || r.Stable().Header.Seq != 4 || r.Head().Seq > 4+16 {
			t.Errorf("%d: acknowledged %d, stable at %d, head at %d", x.id, r.Acknowledged(), r.Stable().Header.Seq, r.Head().Seq)
		}
	}
}

// The same events give the same effects, byte for byte: maps are not to be seen.
//
// A range over Replica.pending or pool.slots that shows turns it red.
func TestSameEventsGiveTheSameEffects(t *testing.T) {
	run := func() (traces []string) {
		c := newCluster(t, 4, small())
		lost := 0
		c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
			lost++
			return lost%9 == 0
		}
		c.tick(1)
		for i := range 40 {
			c.submit(epoch.ReplicaID(i%4+1), 5)
			c.tick(3)
		}
		c.tick(100)
		c.agree(20, 1, 2, 3, 4)
		for _, x := range c.nodes {
			traces = append(traces, x.trace.String())
		}
		return traces
	}
	first := run()
	for range 2 {
		for i, trace := range run() {
			if trace != first[i] {
				t.Errorf("%d did something else the second time", i+1)
			}
		}
	}
}

// An idle tick costs next to nothing: a simulator passes millions of them (design §9).
func TestIdleTickAllocatesNothing(t *testing.T) {
	c := newCluster(t, 4, epoch.DefaultParameters())
	c.tick(1)
	c.load(5)
	c.tick(3)
	r := c.node(2).replica
	r.Step(Tick{c.now})
	for r.ticks%statusIdleTicks != 50 { // away from the Status that is due every second
		r.Step(Tick{c.now})
	}
	r.catchup.toldAt = r.ticks
	var tick Event = Tick{c.now}
	if n := testing.AllocsPerRun(40, func() { r.Step(tick) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkIdleTick(b *testing.B) {
	g := testGenesis(4, epoch.DefaultParameters())
	r, _, err := New(Config{Self: 2, Genesis: g, Scheme: scheme}, []ordering.Record{&ordering.Birth{Key: keys[2].Public(), Incarnation: epoch.Incarnation{2}}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r.Step(Tick{1})
	}
}
