package bft

import (
	"fmt"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
)

// crashCluster is one whose members only stop.
func crashCluster(t *testing.T, n int, p epoch.Parameters) *cluster {
	g := testGenesis(n, p)
	g.Mode = epoch.Crash
	return newClusterOf(t, g)
}

// Members that only stop agree with a bare majority up, whatever their number: the leader goes, and the next one, and whoever was away follows.
//
// case I1 I4; a leader that does not propose again what promises show turns it red.
func TestPaxosGoesOnWithAMajority(t *testing.T) {
	for _, n := range []int{1, 2, 3, 4, 5, 7} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			c := crashCluster(t, n, small())
			c.tick(1)
			c.load2(1, 10)
			c.agree(10, others(n, 0)...)
			if n < 3 {
				return
			}
			c.drop = cut(1)
			c.submit(2, 1)
			c.tick(150)
			rest := others(n, 1)
			c.agree(11, rest...)
			c.load2(rest[0], 40) // windows and more
			c.tick(10)
			c.agree(51, rest...)
			c.drop = nil
			c.tick(200)
			c.agree(51, others(n, 0)...)
			if f := epoch.Faulty(epoch.Crash, n); f > 1 {
				leader := c.node(2).replica.Leader()
				c.drop = cut(leader, leader%epoch.ReplicaID(n)+1)
				at := (leader+1)%epoch.ReplicaID(n) + 1
				c.submit(at, 1)
				c.tick(200)
				c.agree(52, at)
			}
			for _, x := range c.nodes {
				if len(x.replica.Evidence()) != 0 {
					t.Errorf("%d accuses somebody", x.id)
				}
			}
		})
	}
}

// A member that is restarted has what it accepted and promised, and one that led leads its view no more.
//
// case I3; leading a view again after a restart turns it red.
func TestPaxosAfterRestarts(t *testing.T) {
	c := crashCluster(t, 3, small())
	c.tick(1)
	for round := range 12 {
		x := c.nodes[round%3]
		c.load2(epoch.ReplicaID(round%3+1), 3)
		before := c.node(1).replica.View()
		x.past = x.surviving()
		x.trimmed = 0
		c.start(x)
		c.run()
		if x.replica.Role() == ordering.Leader {
			t.Fatalf("%d leads view %d again", x.id, before)
		}
		c.tick(150)
	}
	c.load2(2, 3)
	c.tick(20)
	c.agree(39, 1, 2, 3)
	c.inOrder(1, 2, 3)
}

// No majority, no decision: of four, two and two do not go on, and do not fork.
//
// case I9; a quorum of half turns it red.
func TestPaxosHalvesDoNotGoOn(t *testing.T) {
	c := crashCluster(t, 4, small())
	c.tick(1)
	c.load2(1, 4)
	c.drop = func(from, to epoch.ReplicaID, _ *message.Signed) bool { return (from <= 2) != (to <= 2) }
	c.submit(1, 1)
	c.submit(3, 1)
	c.tick(500)
	for _, x := range c.nodes {
		if x.replica.Head().Seq != 4 {
			t.Errorf("%d is at slot %d", x.id, x.replica.Head().Seq)
		}
	}
	c.drop = nil
	c.tick(200)
	c.agree(5, 1, 2, 3, 4)
}

// The leader reaches nobody but the hub of a star: it steps down, and the hub, which alone hears a majority, leads.
//
// case N20 H3; a leader that needs not hear a majority turns it red.
func TestPaxosLeaderAtTheRimStepsDown(t *testing.T) {
	c := crashCluster(t, 5, small())
	c.tick(1)
	c.load2(1, 4)
	const hub = 3
	c.drop = func(from, to epoch.ReplicaID, _ *message.Signed) bool { return from != hub && to != hub && from != to }
	c.tick(45) // before anybody could complain of what it does not get done
	if r := c.node(1).replica.Role(); r == ordering.Leader {
		t.Error("1 reaches two of five, and leads")
	}
	c.submit(hub, 1)
	c.tick(300)
	if l := c.node(hub).replica.Leader(); l != hub {
		t.Errorf("%d leads, want the hub", l)
	}
	c.agree(5, 1, 2, 3, 4, 5)
}

// A member that hears nobody suspects the leader for as long as it likes: alone it unseats nobody, and when it is back, it follows. One that
// has promised a view that nobody leads is taken in again.
//
// case I1 H5; a candidate that needs no majority of suspicions turns it red.
func TestPaxosOneMemberUnseatsNobody(t *testing.T) {
	c := crashCluster(t, 5, small())
	c.tick(1)
	c.load2(1, 2)
	c.drop = cut(5)
	c.submit(1, 1)
	c.tick(300)
	c.drop = nil
	c.tick(100)
	for _, x := range c.nodes {
		if x.replica.View() != 0 {
			t.Errorf("%d is at view %d", x.id, x.replica.View())
		}
	}
	c.agree(3, 1, 2, 3, 4, 5)
	c.tell(3, 5, &message.PaxosPrepare{View: 2}) // of a candidate that was gone at once
	c.drop = cut(2)                              // without 5 and 2 there are three
	c.tick(150)
	c.load2(1, 3)
	c.tick(50)
	c.agree(6, 1, 3, 4, 5)
	if r := c.node(5).replica; !r.order.Voting() {
		t.Errorf("5 takes no part, at view %d", r.View())
	}
}

// A candidate that is behind what its promises start from catches up before it leads: below that it proposes nothing.
//
// case I6; leading at once turns it red.
func TestPaxosCandidateCatchesUpFirst(t *testing.T) {
	c := crashCluster(t, 3, small())
	c.tick(1)
	c.drop = cut(2)
	c.load2(1, 40)
	stable := c.node(1).replica.Stable().Header.Seq
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		if m.Author == 2 && m.Body.Kind() == message.KindPaxosAccept {
			t.Errorf("2 has delivered slot %d, and asks for something", c.node(2).replica.delivered)
		}
		// 1 is gone; of 3, 2 hears no block, and 3 would not begin itself.
		return from == 1 || to == 1 || to == 2 && m.Body.Kind() == message.KindHave || m.Author == 3 && m.Body.Kind() == message.KindPaxosPrepare ||
			to == 3 && m.Body.Kind() == message.KindSuspect
	}
	c.submit(3, 1)
	c.tick(300)
	if r := c.node(2).replica; r.Role() != ordering.Candidate || r.delivered >= stable {
		t.Fatalf("2 is %s, and has delivered slot %d of %d", r.Role(), r.delivered, stable)
	}
	c.drop = func(from, to epoch.ReplicaID, _ *message.Signed) bool { return from == 1 || to == 1 }
	c.tick(200)
	c.agree(41, 2, 3)
	c.drop = nil
	c.tick(200)
	c.agree(41, 1, 2, 3)
	c.inOrder(1, 2, 3)
}

// A leader that asks two members for two batches at one slot is found out as soon as somebody hears both, and from then on nobody accepts or
// acknowledges anything: this mode bears nobody who lies. What was acknowledged stays, and so do the evidence and the chain.
//
// case J7; going on once a member is proven to lie turns it red.
func TestPaxosStopsWhereAMemberLies(t *testing.T) {
	c := crashCluster(t, 4, small())
	c.tick(1)
	c.load2(1, 2)
	a, b := c.batch(77), c.batch(78)
	vote := func(b *message.Batch) message.Vote { return message.Vote{Seq: 3, Digest: b.Digest()} }
	c.tell(1, 2, message.NewPaxosAccept(vote(a), a))
	c.tell(1, 2, message.NewPaxosAccept(vote(b), b))
	c.holds([]message.Promise{c.promise(1, message.KindPaxosAccept, 3)}, 1, 2, 3, 4)
	before := c.node(2).replica.Acknowledged()
	c.submit(2, 1)
	c.tick(400)
	for _, x := range c.nodes {
		r := x.replica
		if r.Acknowledged() > before || r.order.Voting() {
			t.Errorf("%d has acknowledged slot %d, and votes: %v", x.id, r.Acknowledged(), r.order.Voting())
		}
		x.past = x.surviving()
		c.start(x)
	}
	c.run()
	c.tick(100)
	for _, x := range c.nodes {
		if r := x.replica; r.order.Voting() || len(r.Evidence()) != 1 || r.Head().Seq < 2 {
			t.Errorf("after a restart %d votes: %v, at slot %d, with %d pieces of evidence", x.id, r.order.Voting(), r.Head().Seq, len(r.Evidence()))
		}
	}
}
