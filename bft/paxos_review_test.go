package bft

import (
	"fmt"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
)

// These are schedules by which a review has kept a majority that is up and connected from deciding anything.

// Two of three are up and connected: the leader, and one follower. The leader has settled a slot with a batch that only the
// third has, which is gone. It gives up, and the next majority settles the slot without the third.
//
// case I4 I12; a leader that never suspects itself turns it red.
func TestPaxosALeaderThatLacksASettledBatch(t *testing.T) {
	c := crashCluster(t, 3, small())
	c.tick(1)
	c.load2(1, 4)
	// 1 accepts a batch of its own, and nobody hears anything of it.
	c.drop = cut(1)
	c.submit(1, 1)
	c.tick(2)
	// 2 is a candidate, 1 promises and shows its batch; then 1 is gone. 3's promise comes late.
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		k := m.Body.Kind()
		if from == 1 {
			return k != message.KindPaxosPromise
		}
		if to == 1 {
			return k != message.KindPaxosPrepare
		}
		return from == 3 && (k == message.KindPaxosPromise || k == message.KindPaxosPrepare)
	}
	for range 200 {
		c.tick(1)
		if c.node(2).replica.Role() == ordering.Leader {
			break
		}
	}
	if r := c.node(2).replica; r.Role() != ordering.Leader || r.Head().Seq != 4 {
		t.Fatalf("2 is %s at slot %d", r.Role(), r.Head().Seq)
	}
	c.drop = cut(1) // 1 stops; 2 and 3 hear each other, and lose nothing
	for range 60 {
		c.submit(2, 1)
		c.submit(3, 1)
		c.tick(100)
	}
	for _, id := range []epoch.ReplicaID{2, 3} {
		if r := c.node(id).replica; r.Head().Seq == 4 {
			t.Errorf("a minute later %d is %s in view %d, and has decided nothing", id, r.Role(), r.View())
		}
	}
}

// slowNet has every message between two members take so many ticks.
type slowNet struct {
	c    *cluster
	now  int
	due  map[int][]parcel
	gone epoch.ReplicaID // is cut off
}

func slow(c *cluster, delay int) *slowNet {
	s := &slowNet{c: c, due: make(map[int][]parcel)}
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		var w message.Writer
		m.Encode(&w)
		got, err := message.Decode(w.Bytes())
		if err != nil {
			c.t.Fatal(err)
		}
		if from != s.gone && to != s.gone {
			s.due[s.now+delay] = append(s.due[s.now+delay], parcel{from, to, Received{got}})
		}
		return true
	}
	return s
}

func (s *slowNet) tick(n int) {
	for range n {
		s.now++
		for _, p := range s.due[s.now] {
			s.c.post(p.from, p.to, p.event)
		}
		delete(s.due, s.now)
		s.c.run()
		s.c.tick(1)
	}
}

// A message takes a while, always the same, and none is lost. The first leader is gone; three of four are up. PBFT goes on, at any of these
// delays.
func TestPaxosElectsOverLongWays(t *testing.T) {
	for _, mode := range []epoch.Mode{epoch.Byzantine, epoch.Crash} {
		for _, delay := range []int{8, 10, 12, 13, 14, 16, 20, 30} {
			t.Run(fmt.Sprintf("mode %d, %d ms one way", mode, delay*10), func(t *testing.T) {
				g := testGenesis(4, small())
				g.Mode = mode
				c := newClusterOf(t, g)
				s := slow(c, delay)
				s.tick(100)
				s.gone = 1
				for range 60 {
					c.submit(2, 1)
					s.tick(100)
				}
				s.tick(500)
				for _, x := range c.nodes[1:] {
					t.Logf("%d: slot %d, view %d, %s", x.id, x.replica.Head().Seq, x.replica.View(), x.replica.Role())
				}
				if h := c.node(2).replica.Head().Seq; h < 15 {
					t.Errorf("after a minute slot %d is decided, in view %d", h, c.node(2).replica.View())
				}
				if v := c.node(2).replica.View(); v > 20 {
					t.Errorf("no leader stays: view %d", v)
				}
			})
		}
	}
}

// Somebody says again what members have suspected in a view that is over: it hides nothing of what they suspect now.
//
// case D1 I1; taking a member's latest word for its newest turns it red.
func TestPaxosOldSuspicionsHideNewOnes(t *testing.T) {
	c := crashCluster(t, 3, small())
	c.tick(1)
	c.load2(1, 2)
	old := make(map[epoch.ReplicaID]*message.Signed)
	gone := epoch.ReplicaID(1)
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		if b, ok := m.Body.(*message.Suspect); ok && b.View == 0 {
			old[from] = m
		}
		return from == gone || to == gone
	}
	c.submit(2, 1)
	c.tick(150) // 2 and 3 suspect view 0, and begin another
	gone = 0
	c.tick(150)
	c.submit(1, 1)
	c.agree(4, 1, 2, 3)
	leader := c.node(1).replica.Leader()
	if old[2] == nil || old[3] == nil || leader == 1 {
		t.Fatal("2 and 3 were to suspect view 0")
	}
	// Now the leader is gone. 1's old word is one that it says in view 0 whenever it is restarted there.
	old[1] = message.Sign(scheme, keys[1], c.epoch, 1, &message.Suspect{View: 0, Delivered: message.Whatever})
	c.drop = cut(leader)
	rest := others(3, leader)
	c.submit(rest[0], 1)
	for range 6000 {
		c.post(rest[0], rest[1], Received{old[rest[0]]})
		c.post(rest[1], rest[0], Received{old[rest[1]]})
		c.run()
		c.tick(1)
	}
	for _, id := range rest {
		if r := c.node(id).replica; r.Head().Seq < 5 {
			t.Errorf("after a minute %d is %s in view %d at slot %d: the leader, %d, is gone", id, r.Role(), r.View(), r.Head().Seq, leader)
		}
	}
}

// Somebody says again what a member has suspected in a view that is over, to one that does not hear the leader: the two are no majority
// against it.
//
// case D1 I1; counting what a member has suspected before it went on to another view turns it red.
func TestPaxosOldSuspicionsUnseatNobody(t *testing.T) {
	c := crashCluster(t, 3, small())
	c.tick(1)
	c.drop = cut(1)
	c.submit(2, 1)
	c.tick(150)
	c.drop = nil
	c.tick(150)
	c.agree(1, 1, 2, 3)
	leader, view := c.node(1).replica.Leader(), c.node(1).replica.View()
	if leader == 1 {
		t.Fatal("1 leads again")
	}
	deaf, other := epoch.ReplicaID(1), 5-leader
	old := message.Sign(scheme, keys[other], c.epoch, other, &message.Suspect{View: 0, Delivered: message.Whatever})
	c.drop = func(from, to epoch.ReplicaID, _ *message.Signed) bool { return from == leader && to == deaf }
	for range 300 {
		c.post(other, deaf, Received{old})
		c.tick(1)
	}
	for _, x := range c.nodes {
		if x.replica.View() != view {
			t.Errorf("%d is at view %d, and %d led view %d well", x.id, x.replica.View(), leader, view)
		}
	}
}

// The leader is gone, and somebody is candidate; at this moment links fail, and what is left is a star. The hub has promised the
// candidate's view, and the others have not heard of it. It is elected all the same: none of them hears a majority.
//
// case N20 H3 I1; counting suspicions of one's own view alone turns it red.
func TestPaxosAHubThatHasPromisedMore(t *testing.T) {
	for _, n := range []int{4, 5, 7} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			c := crashCluster(t, n, small())
			c.tick(1)
			c.load2(1, 4)
			hub := epoch.ReplicaID(0)
			c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
				if hub == 0 && m.Body.Kind() == message.KindPaxosPrepare {
					hub = from%epoch.ReplicaID(n) + 1
					if hub == 1 {
						hub = 2
					}
				}
				if hub == 0 {
					return from == 1 || to == 1 // 1 is away for a while
				}
				return from != hub && to != hub
			}
			c.submit(2, 1)
			c.tick(150)
			if hub == 0 {
				t.Fatal("nobody was candidate")
			}
			c.submit(hub, 1)
			c.tick(6000)
			if h := c.node(hub).replica.Head().Seq; h == 4 {
				t.Errorf("all %d are up, %d reaches them all, and nothing is decided for a minute", n, hub)
			}
			for _, x := range c.nodes {
				t.Logf("%d: slot %d, view %d, %s", x.id, x.replica.Head().Seq, x.replica.View(), x.replica.Role())
			}
		})
	}
}

// The same with a bare majority up: three of five in a row, of whom the middle one has promised a candidate that was gone at once.
//
// case N20 I1; the same turns it red.
func TestPaxosAHubThatHasPromisedMoreAndABareMajority(t *testing.T) {
	c := crashCluster(t, 5, small())
	c.tick(1)
	c.load2(1, 4)
	c.tell(2, 3, &message.PaxosPrepare{View: 6})
	c.drop = func(from, to epoch.ReplicaID, _ *message.Signed) bool {
		return from <= 2 || to <= 2 || from != 3 && to != 3
	}
	c.submit(3, 1)
	c.tick(6000)
	if h := c.node(3).replica.Head().Seq; h == 4 {
		t.Error("3 reaches 4 and 5, and nothing is decided for a minute")
	}
	for _, x := range c.nodes {
		t.Logf("%d: slot %d, view %d, %s", x.id, x.replica.Head().Seq, x.replica.View(), x.replica.Role())
	}
}

// Whoever says a Prepare again, of a few bytes, does not have its author sent a Promise each time, which may be large.
//
// case E8; an answer without a pause turns it red.
func TestPaxosAPrepareSaidAgain(t *testing.T) {
	p := small()
	p.Window, p.Checkpoint, p.Burst, p.Pipeline = 1024, 256, 64, 64
	c := crashCluster(t, 3, p)
	c.tick(1)
	c.load2(1, 250)
	var prepare *message.Signed
	in, out := 0, 0
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		var w message.Writer
		m.Encode(&w)
		switch m.Body.(type) {
		case *message.PaxosPrepare:
			prepare = m
		case *message.PaxosPromise:
			out += len(w.Bytes())
		}
		return from == 1 || to == 1
	}
	c.submit(2, 1)
	c.tick(150)
	var w message.Writer
	prepare.Encode(&w)
	out = 0
	to := c.node(5 - prepare.Author).id // the other one of 2 and 3
	for range 1000 {
		in += len(w.Bytes())
		c.post(prepare.Author, to, Received{prepare})
		c.run()
	}
	if out > 10*in {
		t.Errorf("in one tick %d bytes of Prepares that were said before, %d bytes of Promises to a leader that leads already", in, out)
	}
}
