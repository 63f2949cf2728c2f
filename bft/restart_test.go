package bft

import (
	"bytes"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/bft/proof"
)

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
	base := r.base()
	base.Facts = binding(r.order)
	w.String(ordering.Encode(base))
	for _, f := range r.order.Promises() {
		w.String(ordering.Encode(f))
	}
	return w.Bytes()
}

// binding are the facts that bind a replica from here on: what it has accepted in the view that it votes in, and the
// certificate of the highest view for each slot. What was accepted in a view before only keeps its batch.
func binding(p ordering.Protocol) (facts []ordering.Record) {
	highest := make(map[epoch.Seq]*ordering.Prepared)
	for _, f := range p.Facts() {
		if f, ok := f.(*ordering.Prepared); ok && (highest[f.Seq] == nil || f.View > highest[f.Seq].View) {
			highest[f.Seq] = f
		}
	}
	for _, f := range p.Facts() {
		switch f := f.(type) {
		case *ordering.Accepted:
			if f.View == p.View() {
				facts = append(facts, f)
			}
		case *ordering.Prepared:
			if highest[f.Seq] == f {
				facts = append(facts, f)
				highest[f.Seq] = nil
			}
		}
	}
	return facts
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
	r, out, err := New(Config{Self: x.id, Genesis: c.genesis, Scheme: scheme}, decoded)
	if err != nil {
		t.Fatal(err)
	}
	var w message.Writer
	writeSends(&w, x.epochs, x.id, out.Send)
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

// A log of another member is refused, and so is none at all.
//
// case D16; not comparing the key turns it red.
func TestForeignLogsAreRefused(t *testing.T) {
	c := newCluster(t, 4, small())
	for name, past := range map[string][]ordering.Record{
		"nothing":        nil,
		"another member": {&ordering.Birth{Key: keys[2].Public(), Incarnation: epoch.Incarnation{2}}},
	} {
		if _, _, err := New(Config{Self: 1, Genesis: c.genesis, Scheme: scheme}, past); err == nil {
			t.Errorf("%s: passes", name)
		}
	}
	for _, self := range []epoch.ReplicaID{0, 5} {
		if _, _, err := New(Config{Self: self, Genesis: c.genesis, Scheme: scheme}, c.node(1).past); err == nil {
			t.Errorf("member %d of 4 passes", self)
		}
	}
	_, out, err := New(Config{Self: 1, Genesis: c.genesis, Scheme: scheme}, c.node(1).past[:1])
	if err != nil || out.Enter == nil || len(out.Persist) != 1 || out.Persist[0].Kind() != ordering.KindEntered {
		t.Errorf("a new log: %+v, %v", out, err)
	}
}

// A log belongs to one genesis: under another it must not speak, however far it had come. // case D16
// Red if New does not hold the epoch in the log against the genesis: blocks of one chain would stand on another's.
func TestLogOfAnotherGenesisIsRefused(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	young := append([]ordering.Record(nil), c.node(1).past...)
	c.load(20)
	trimmed := c.node(1).surviving()
	if trimmed[0].Kind() != ordering.KindBase && trimmed[0].Kind() != ordering.KindDecided {
		t.Fatalf("the log begins with kind %d: not trimmed", trimmed[0].Kind())
	}
	other := *c.genesis
	other.Time++
	for name, past := range map[string][]ordering.Record{"young": young, "trimmed": trimmed} {
		if _, _, err := New(Config{Self: 1, Genesis: c.genesis, Scheme: scheme}, past); err != nil {
			t.Errorf("%s log, own genesis: %v", name, err)
		}
		if _, _, err := New(Config{Self: 1, Genesis: &other, Scheme: scheme}, past); err == nil {
			t.Errorf("%s log: another genesis passes", name)
		}
	}
}
