package bft

import (
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/crypto"
)

// These are about members that learn decisions from blocks while views change.

// suspected has members tell everybody that they suspect the leader of view 0.
func (c *cluster) suspected(ids ...epoch.ReplicaID) {
	c.t.Helper()
	for _, id := range ids {
		for to := range c.nodes {
			c.tell(id, epoch.ReplicaID(to+1), &message.Suspect{Delivered: message.Whatever})
		}
	}
}

// inOrder fails the test unless a member's machine was handed every slot once, in order.
func (c *cluster) inOrder(ids ...epoch.ReplicaID) {
	c.t.Helper()
	for _, id := range ids {
		for i, e := range c.node(id).done {
			if e.Seq != epoch.Seq(i+1) {
				c.t.Fatalf("the machine of %d was handed slot %d as its %d.", id, e.Seq, i+1)
			}
		}
	}
}

// A decision that comes as a block to a member that has left its view, and waits for the next one, is delivered once, and the ViewChange
// that it has said stays as it is: others settle the slot that it has decided meanwhile once more.
//
// case B14; a slot that is settled and delivered twice turns it red.
func TestADecisionComesByABlockInTheMiddleOfAViewChange(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	c.drop = func(_, to epoch.ReplicaID, m *message.Signed) bool {
		return m.Body.Kind() == message.KindNewView || to == 4 && (m.Body.Kind() == message.KindCommit || m.Body.Kind() == message.KindHave)
	}
	c.submit(1, 1)
	c.tick(2)
	if got := c.node(4).replica.delivered; got != 0 {
		t.Fatalf("4 has delivered slot %d", got)
	}
	c.suspected(2, 3)
	c.run()
	if r := c.node(4).replica; r.View() != 1 || r.order.Voting() {
		t.Fatalf("4 is at view %d, and votes: %v", r.View(), r.order.Voting())
	}
	said := leftWith(c.node(4))
	c.drop = func(_, _ epoch.ReplicaID, m *message.Signed) bool { return m.Body.Kind() == message.KindNewView }
	c.tick(40)
	if got := c.node(4).replica.delivered; got != 1 {
		t.Fatalf("4 has delivered slot %d from blocks", got)
	}
	if again := leftWith(c.node(4)); again != said {
		t.Error("the view change is another one since the block has come")
	}
	c.drop = nil
	c.tick(200)
	c.submit(3, 1)
	c.tick(20)
	c.agree(2, 1, 2, 3, 4)
	c.inOrder(1, 2, 3, 4)
}

// leftWith is the ViewChange to view 1 that a member has in its log.
func leftWith(x *node) (d crypto.Digest) {
	for _, rec := range x.past {
		if rec, ok := rec.(*ordering.Left); ok && rec.ViewChange.View == 1 {
			d = crypto.Hash("test/left", ordering.Encode(rec))
		}
	}
	return d
}

// A leader that has yet to catch up with what its own view begins with proposes nothing, and is passed over when that takes too long; nobody
// executes anything but what was decided.
//
// case B15; a leader that goes on from its own newest slot turns it red.
func TestALeaderThatIsStillBehindProposesNothing(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	c.drop = cut(2)
	c.load2(1, 40) // two windows and more
	behind := true
	proposed := 0
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		if p, ok := m.Body.(*message.PrePrepare); ok && m.Author == 2 && behind {
			proposed++
			if p.Batch != nil || p.Outline != nil {
				t.Errorf("2 has delivered slot %d, and proposes a batch of its own at slot %d", c.node(2).replica.delivered, p.Seq)
			}
		}
		return from == 1 || to == 1 || behind && to == 2 && m.Body.Kind() == message.KindHave
	}
	c.submit(3, 1) // 1 is gone, and 2 leads view 1, without a block of those forty
	c.tick(300)
	if r := c.node(2).replica; r.delivered >= 40 || r.View() < 1 {
		t.Fatalf("2 has delivered slot %d, at view %d", r.delivered, r.View())
	}
	behind = false
	c.tick(500)
	c.agree(41, 2, 3, 4)
	c.drop = nil
	c.tick(200)
	c.submit(2, 1)
	c.tick(20)
	c.agree(42, 1, 2, 3, 4)
	c.inOrder(1, 2, 3, 4)
	t.Logf("%d settled proposals by the leader that was behind", proposed)
}

// A member that has left its view, and catches up by blocks over several windows before it hears of the next one, votes in that one
// afterwards: without it there is no quorum.
//
// case B16; a member that stays between views once it has caught up turns it red.
func TestWhoCatchesUpBetweenViewsVotesAgain(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	c.submit(1, 1)
	views := func(m *message.Signed) bool { return m.Body.Kind() == message.KindNewView }
	c.drop = func(_, to epoch.ReplicaID, m *message.Signed) bool { return to == 4 && views(m) }
	c.suspected(2, 3)
	c.tick(5)
	c.inView(1, 1, 2, 3)
	c.load2(1, 40)
	c.tick(100)
	if r := c.node(4).replica; r.order.Voting() || r.delivered != 41 {
		t.Fatalf("4 votes: %v, and has delivered slot %d", r.order.Voting(), r.delivered)
	}
	c.drop = nil
	c.tick(200)
	c.inView(1, 1, 2, 3, 4)
	c.drop = cut(3)
	c.load2(1, 3)
	c.tick(20)
	c.agree(44, 1, 2, 4)
	c.inOrder(1, 2, 4)
}

// One member alone has prepared a batch, and nobody has decided it. If it is heard as the view changes, its batch is settled, whatever
// a liar shows or votes for. If it is not, the quorum's plan frees it: it stands by another batch at that slot in the next view, and does
// not hold out for its own, as who locks in a round would (Abraham et al., Revisiting Fast Practical Byzantine Fault Tolerance, 2017,
// and Saltini & Hyland-Wood, IBFT 2.0, 2019, §3 have such stories).
//
// case B21; a member that votes for nothing else where it was prepared turns it red, and so does a plan that a certificate does not bind.
func TestWhoWasPreparedAloneIsHeardOrFreed(t *testing.T) {
	for _, heard := range []bool{true, false} {
		c := newCluster(t, 4, small())
		c.tick(1)
		// Everybody accepts a at slot 1; only 3 gets the Prepares.
		c.drop = func(_, to epoch.ReplicaID, m *message.Signed) bool {
			k := m.Body.Kind()
			return k == message.KindPrepare && to != 3 || k == message.KindCommit
		}
		a := c.submit(1, 1)[0]
		c.tick(2)
		for id, want := range []message.Phase{1: message.Accepted, 2: message.Accepted, 3: message.Prepared, 4: message.Accepted} {
			if id > 0 && c.node(epoch.ReplicaID(id)).replica.order.Progress()[0] != want {
				t.Fatalf("%d is not %v at slot 1", id, want)
			}
		}
		v, _ := ordering.VoteOf(c.node(3).replica.order.Facts()[0])
		gone := epoch.ReplicaID(1)
		if !heard {
			gone = 3
		}
		c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
			return m.Author == gone && m.Body.Kind() == message.KindViewChange || from == gone && m.Body.Kind() == message.KindStatus ||
				m.Body.Kind() == message.KindCommit && m.Body.(*message.Commit).View == 0
		}
		c.suspected(2, 4)
		c.tell(4, 2, &message.Commit{Vote: message.Vote{View: 0, Seq: 1, Digest: crypto.Digest{7}}}) // the liar's b
		c.tick(5)
		c.drop = cut(1) // without 3 there is no quorum
		c.tick(100)
		c.agree(1, 2, 3, 4)
		first := c.node(3).blocks[1]
		if (first.Header.Batch == v.Digest) != heard {
			t.Errorf("heard: %v, and at slot 1 stands batch %s, where %s was prepared", heard, first.Header.Batch.Short(), v.Digest.Short())
		}
		if first.View == 0 {
			t.Errorf("slot 1 was decided in view 0")
		}
		ordered := 0
		for _, e := range c.node(2).done {
			for _, q := range e.Batch.Requests {
				if q.ID() == a.ID() {
					ordered++
				}
			}
		}
		if ordered != 1 {
			t.Errorf("heard %v: the request was ordered %d times", heard, ordered)
		}
	}
}

// Ten thousand views that all fail, without a checkpoint: what a member shows, and what it keeps of it all, stays as small as the window.
//
// case B22; keeping what each view has left behind turns it red.
func TestThousandsOfViewsWithoutACheckpointTakeNoMemory(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	c.drop = func(_, to epoch.ReplicaID, m *message.Signed) bool { return m.Body.Kind() == message.KindCommit }
	c.submit(1, 3) // prepared everywhere, decided nowhere
	c.tick(2)
	c.drop = func(from, _ epoch.ReplicaID, m *message.Signed) bool { return from == 2 } // nobody answers: all that matters is what 2 keeps
	x := c.node(2)
	const views = 10_000
	var first, last int
	for v := epoch.View(1); v <= views; v++ {
		for _, id := range []epoch.ReplicaID{3, 4} {
			m := message.Sign(scheme, keys[id], c.epoch, id, &message.ViewChange{View: v})
			c.step(x, Received{m})
		}
		x.said, c.queue = 0, c.queue[:0]
		if x.replica.View() != v {
			t.Fatalf("2 is at view %d after view changes to %d", x.replica.View(), v)
		}
		left := x.past[len(x.past)-1].(*ordering.Left)
		if last = len(ordering.Encode(left)); v == 1 {
			first = last
		}
		x.past = x.past[:min(len(x.past), 100)]
	}
	if last != first {
		t.Errorf("the first view change took %d bytes, the last %d", first, last)
	}
	kept := 0
	for _, rec := range append(x.replica.order.Promises(), x.replica.order.Facts()...) {
		kept += len(ordering.Encode(rec))
	}
	if p := small(); kept > int(p.Window)*4096 {
		t.Errorf("after %d views %d bytes are live", views, kept)
	}
}

// What is delivered in the last moment stops the clock, and what was suspected before counts no more: two members that suspect the leader
// one after the other, with progress between, have nobody replaced.
//
// case G6; a clock that goes on from where it was, or a hint that outlives what it was about, turns it red.
func TestProgressInTheLastMomentStopsTheClock(t *testing.T) {
	const timeout = 50 // 500 ms in ticks
	for _, late := range []int{timeout - 3, timeout + 10} {
		c := newCluster(t, 4, small())
		c.tick(1)
		var held []parcel
		holds, hints := true, 0
		c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
			if m.Body.Kind() == message.KindSuspect {
				hints++
			}
			if holds && m.Body.Kind() == message.KindPrePrepare {
				held = append(held, parcel{from, to, Received{m}})
				return true
			}
			return false
		}
		c.submit(2, 1)
		c.tick(late)
		holds = false
		c.queue = append(c.queue, held...)
		c.run()
		if late > timeout {
			if c.node(2).replica.View() != 1 {
				t.Fatalf("nobody was replaced after %d ticks without progress", late)
			}
			continue
		}
		c.tick(4 * timeout)
		c.inView(0, 1, 2, 3, 4)
		if hints > 0 {
			t.Errorf("%d hints, with progress before the timeout", hints)
		}
		c.tell(3, 2, &message.Suspect{View: 0, Delivered: c.node(3).replica.delivered})
		c.submit(2, 1)
		c.tick(101) // within a second 3 tells how far it is, and does not suspect again
		c.tell(4, 2, &message.Suspect{View: 0, Delivered: c.node(4).replica.delivered})
		c.tick(timeout)
		c.inView(0, 1, 2, 3, 4)
		c.agree(2, 1, 2, 3, 4)
	}
}
