package bft

import (
	"bytes"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/bft/proof"
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

// A checkpoint that a quorum attests becomes stable, the window moves, and the log may forget what is before: one
// Base in the same append repeats all that is still live.
//
// case N1; case N3; a Trim without its Base turns it red.
func TestStableCheckpointTrimsBehindABase(t *testing.T) {
	c := newCluster(t, 4, small())
	trims := 0
	was := make(map[epoch.ReplicaID]int)
	c.after = func(x *node) {
		if x.trimmed == was[x.id] {
			return
		}
		was[x.id] = x.trimmed
		trims++
		bases := 0
		for _, rec := range x.past[x.trimmed:] {
			if b, ok := rec.(*ordering.Base); ok {
				bases++
				if err := b.Stable.Verify(c.epoch, scheme); err != nil || b.Stable.Header.Seq != x.replica.Stable().Header.Seq {
					t.Errorf("the base of %d rests on %d: %v", x.id, b.Stable.Header.Seq, err)
				}
			}
		}
		if bases != 1 {
			t.Errorf("%d trims behind %d bases", x.id, bases)
		}
	}
	c.tick(1)
	c.load(40)
	c.tick(1)
	c.agree(40, 1, 2, 3, 4)
	if trims < 4*9 {
		t.Errorf("%d trims of four logs in 40 slots", trims)
	}
	for _, x := range c.nodes {
		if s := x.replica.Stable().Header.Seq; s != 40 {
			t.Errorf("%d is stable at %d", x.id, s)
		}
		if len(x.replica.chain) > 16 || len(x.replica.pending) != 0 {
			t.Errorf("%d keeps %d headers, %d decisions", x.id, len(x.replica.chain), len(x.replica.pending))
		}
	}
}

// New of what is left of a log after trimming is New of the whole log: the same promises, view and facts; and both are
// the replica that was running. Tried after every step of a replica, with slots in every phase.
//
// case N1; case F1; leaving Facts or Headers out of Base turns it red.
func TestTrimmedLogKeepsThePromises(t *testing.T) {
	c := newCluster(t, 4, small())
	compared, trimmed, said := 0, 0, 0
	c.after = func(x *node) {
		if x.id > 2 { // the leader and a backup
			return
		}
		compared++
		whole, some := reborn(t, c, x, x.past), reborn(t, c, x, x.surviving())
		if !bytes.Equal(whole.said, some.said) || !bytes.Equal(whole.stands, some.stands) {
			t.Fatalf("%d at %d: the trimmed log makes another replica than the whole one", x.id, x.replica.Head().Seq)
		}
		if !bytes.Equal(some.stands, standing(x.replica)) {
			t.Fatalf("%d at %d: the log makes another replica than the one that wrote it", x.id, x.replica.Head().Seq)
		}
		if x.trimmed > 0 {
			trimmed++
		}
		if len(whole.said) > 0 {
			said++
		}
	}
	lost := 0
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		lost++
		return lost%7 == 0 // so that slots stay in every phase
	}
	c.tick(1)
	c.load(100)
	c.tick(30)
	if compared < 500 || trimmed < 300 || said < 300 {
		t.Errorf("compared %d times, %d trimmed, %d with something to say: not tested", compared, trimmed, said)
	}
}

type rebirth struct{ said, stands []byte }

// standing is what a replica stands for: taken from its parts, not from what its Base makes of them.
func standing(r *Replica) []byte {
	var w message.Writer
	w.U64(uint64(r.order.View()))
	w.Fixed(r.birth.Key[:])
	w.Fixed(r.birth.Incarnation[:])
	proof.EncodeEpoch(&w, r.epoch)
	r.attest.stable.Encode(&w)
	r.head.Encode(&w)
	for seq := r.attest.stable.Header.Seq + 1; seq <= r.head.Seq; seq++ {
		if r.isCheckpoint(seq) {
			h := r.chain[seq]
			h.Encode(&w)
		}
	}
	for _, f := range r.order.Facts() {
		w.U8(uint8(f.Kind()))
		w.String(ordering.Encode(f))
	}
	w.String(ordering.Encode(r.base()))
	return w.Bytes()
}

// reborn is a replica made from the encoded log: what it says at once, and what it stands for.
func reborn(t *testing.T, c *cluster, x *node, past []ordering.Record) rebirth {
	t.Helper()
	decoded := make([]ordering.Record, len(past))
	for i, rec := range past {
		var err error
		if decoded[i], err = ordering.Decode(rec.Kind(), ordering.Encode(rec)); err != nil {
			t.Fatal(err)
		}
	}
	r, out, err := New(Config{Self: x.id, Genesis: c.genesis}, decoded)
	if err != nil {
		t.Fatal(err)
	}
	var w message.Writer
	writeSends(&w, c.epoch, x.id, out.Send)
	return rebirth{w.Bytes(), standing(r)}
}

// All crash at once, again and again, with messages lost: nothing acknowledged is gone, and the network goes on.
//
// case F11; case N17; case N18; forgetting to re-send in restoreAccepted turns it red.
func TestAllRestartAtOnce(t *testing.T) {
	c := newCluster(t, 4, small())
	lost := 0
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		lost++
		return lost%5 == 0
	}
	for round := range 8 {
		c.tick(1)
		c.load(5)
		c.tick(50)
		c.submit(1, 2) // in flight when the power goes
		acked := c.node(2).replica.Acknowledged()
		if acked < epoch.Seq(round+1) {
			t.Fatalf("round %d: only %d is acknowledged: not tested", round, acked)
		}
		promised := c.node(2).blocks[acked].Header
		c.queue = nil
		for _, x := range c.nodes {
			past := make([]ordering.Record, 0, len(x.past))
			for _, rec := range x.surviving() {
				back, err := ordering.Decode(rec.Kind(), ordering.Encode(rec))
				if err != nil {
					t.Fatal(err)
				}
				past = append(past, back)
			}
			x.past, x.trimmed = past, 0
			x.done = x.done[:0]
			c.restart(x)
		}
		c.run()
		c.tick(150)
		c.agree(acked, 1, 2, 3, 4)
		for _, x := range c.nodes {
			if x.blocks[acked] == nil || x.blocks[acked].Header != promised {
				t.Errorf("%d has lost block %d, or has another one", x.id, acked)
			}
		}
		if t.Failed() {
			t.Fatalf("in round %d", round)
		}
	}
}

// restart begins again from the log; the machine stands where the newest block leaves it.
func (c *cluster) restart(x *node) {
	c.start(x)
	x.state = x.replica.Head().State
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
	c.drop = nil
	// The others go on meanwhile.
	for range 60 {
		c.submit(1, 1)
		c.tick(5)
	}
	c.tick(130) // an idle replica says every second how far it is, and is sent the newest checkpoint
	c.agree(260, 1, 2, 3, 4)
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

// The view that a replica has promised outlasts any number of trims, though nothing in the log but the Base says it.
//
// case N1; leaving View out of Base, or not reading it, turns it red.
func TestPromisedViewOutlastsTrims(t *testing.T) {
	c := newCluster(t, 4, small())
	x := c.node(3)
	base := x.replica.base()
	base.View = 6
	for range 3 {
		r, _, err := New(Config{Self: 3, Genesis: c.genesis}, []ordering.Record{base})
		if err != nil || r.View() != 6 || r.Leader() != 3 {
			t.Fatalf("in view %d, led by %d: %v", r.View(), r.Leader(), err)
		}
		base = r.base()
	}
}

// A log of another member, or of another life of this one, is refused.
//
// case F2; case D16; not comparing the incarnation turns it red.
func TestForeignLogsAreRefused(t *testing.T) {
	c := newCluster(t, 4, small())
	for name, past := range map[string][]ordering.Record{
		"nothing":         nil,
		"another member":  {&ordering.Birth{Key: keys[2].Public(), Incarnation: epoch.Incarnation{2}}},
		"another life":    {&ordering.Birth{Key: keys[1].Public(), Incarnation: epoch.Incarnation{9}}},
		"a batch missing": {&ordering.Birth{Key: keys[1].Public(), Incarnation: epoch.Incarnation{1}}, &ordering.Accepted{Vote: message.Vote{Seq: 1}}},
	} {
		if _, _, err := New(Config{Self: 1, Genesis: c.genesis}, past); err == nil {
			t.Errorf("%s: passes", name)
		}
	}
	for _, self := range []epoch.ReplicaID{0, 5} {
		if _, _, err := New(Config{Self: self, Genesis: c.genesis}, c.node(1).past); err == nil {
			t.Errorf("member %d of 4 passes", self)
		}
	}
	_, out, err := New(Config{Self: 1, Genesis: c.genesis}, c.node(1).past[:1])
	if err != nil || out.Enter == nil || len(out.Persist) != 1 || out.Persist[0].Kind() != ordering.KindEntered {
		t.Errorf("a new log: %+v, %v", out, err)
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
	r, _, err := New(Config{Self: 2, Genesis: g}, []ordering.Record{&ordering.Birth{Key: keys[2].Public(), Incarnation: epoch.Incarnation{2}}})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r.Step(Tick{1})
	}
}
