package paxos

import (
	"slices"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/crypto"
)

// Each slot above the highest start is settled by the highest view that anybody has accepted there; where nobody has, it is null.
//
// case I4; taking one promise's whole set, or the newest promise, turns it red.
func TestEachSlotIsSettledByItsHighestView(t *testing.T) {
	vote := func(seq epoch.Seq, v epoch.View, d byte) message.Vote {
		return message.Vote{View: v, Seq: seq, Digest: crypto.Digest{d}}
	}
	promise := func(author epoch.ReplicaID, start epoch.Seq, votes ...message.Vote) *message.Signed {
		return &message.Signed{Author: author, Body: &message.PaxosPromise{View: 9, Start: start, Accepted: votes}}
	}
	p := settle([]*message.Signed{
		promise(1, 0, vote(1, 8, 1), vote(4, 1, 4), vote(5, 3, 5)), nil,
		promise(3, 3, vote(4, 2, 5), vote(7, 0, 7)),
		promise(4, 0, vote(4, 2, 5), vote(5, 2, 6)),
	})
	if p.start != 3 || p.last() != 7 {
		t.Fatalf("settles slots %d to %d", p.start+1, p.last())
	}
	null := nullDigest()
	for i, want := range []crypto.Digest{{5}, {5}, null, {7}} {
		if v, _ := p.vote(9, p.start+1+epoch.Seq(i)); v.Digest != want || v.View != 9 {
			t.Errorf("slot %d: %v", v.Seq, v)
		}
	}
	if who := p.shownBy(4, crypto.Digest{5}); !slices.Equal(who, []epoch.ReplicaID{3, 4}) {
		t.Errorf("slot 4 is with %v", who)
	}
	if _, ok := p.vote(9, 3); ok {
		t.Error("settles what is decided")
	}
}

// An acceptor that has promised a view accepts nothing that the leader of a lower one asks for.
//
// case I3; taking the leader's word for its view turns it red.
func TestPaxosAcceptsNothingBelowItsPromise(t *testing.T) {
	w := &world{t: t, batches: make(map[string]*message.Batch)}
	w.begin(3)
	w.wire = nil
	say := func(author epoch.ReplicaID, b message.Body) *message.Signed {
		return message.Sign(scheme, keys[author], w.epoch, author, b)
	}
	x := w.members[2]
	a, b := w.batch("a"), w.batch("b")
	old := message.Vote{View: 0, Seq: 1, Digest: a.Digest()}
	if err := x.p.Receive(say(2, &message.PaxosPrepare{View: 1})); err != nil {
		t.Fatal(err)
	}
	w.take(x)
	if err := x.p.Receive(say(1, message.NewPaxosAccept(old, a))); err == nil {
		t.Error("takes the word of the leader of a view below its promise")
	}
	if err := x.p.Receive(say(1, &message.PaxosPrepare{View: 0})); err == nil {
		t.Error("promises a lower view")
	}
	w.take(x)
	if len(x.p.Facts()) != 0 {
		t.Errorf("has accepted %v", x.p.Facts())
	}
	if err := x.p.Receive(say(2, message.NewPaxosAccept(message.Vote{View: 1, Seq: 1, Digest: b.Digest()}, b))); err != nil {
		t.Fatal(err)
	}
	w.take(x)
	if f := x.p.Facts(); len(f) != 1 || f[0].(*ordering.Accepted).Digest != b.Digest() {
		t.Errorf("has accepted %v", f)
	}
	if err := x.p.Receive(say(2, &message.PaxosPrepare{View: 1 + 3*maxAhead})); err != errFar {
		t.Errorf("a view without bounds: %v", err)
	}
}

// Two that wait for the same leader seldom run at once, and a seed repeats them.
func TestElectionTimeoutsDiffer(t *testing.T) {
	same := 0
	for v := range epoch.View(100) {
		if draw(1, v, 1) == draw(2, v, 1) {
			same++
		}
		if d := draw(3, v, 2); d < 0 || d > electionTicks || d != draw(3, v, 2) {
			t.Errorf("view %d: %d", v, d)
		}
	}
	if same > 10 {
		t.Errorf("%d of 100 are the same", same)
	}
}

var _ ordering.Protocol = (*Protocol)(nil)
