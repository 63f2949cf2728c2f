package bft

import (
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// operator signs changes in these tests.
var operator = keys[39]

// withOperator is a network of n whose epochs one key may change.
func withOperator(n int, mode epoch.Mode) *proof.Genesis {
	g := testGenesis(n, small())
	g.Mode, g.Operators, g.Threshold = mode, []crypto.PublicKey{operator.Public()}, 1
	return g
}

// inEpoch fails the test unless these members are in the epoch of this number, the same one, and under this mode.
func (c *cluster) inEpoch(number uint64, mode epoch.Mode, ids ...epoch.ReplicaID) {
	c.t.Helper()
	first := c.node(ids[0]).replica.Epoch()
	for _, id := range ids {
		if e := c.node(id).replica.Epoch(); e.Number != number || e.Mode != mode || e.ID != first.ID {
			c.t.Errorf("%d is in epoch %d (%s), %s; want %d, %s", id, e.Number, e.ID.Short(), e.Mode, number, mode)
		}
	}
}

// once fails the test unless every member has executed each request exactly once.
func (c *cluster) once(asked []*message.Request, ids ...epoch.ReplicaID) {
	c.t.Helper()
	for _, id := range ids {
		times := make(map[crypto.Digest]int)
		for _, e := range c.node(id).done {
			for _, q := range e.Batch.Requests {
				times[q.ID()]++
			}
		}
		for _, q := range asked {
			if times[q.ID()] != 1 {
				c.t.Errorf("%d has executed %s %d times", id, q.ID().Short(), times[q.ID()])
			}
		}
	}
}

// The network goes from one mode to the other and back while requests come in: each slot is of one epoch, the same at all, and nothing
// that was asked for is lost or done twice.
//
// case J1, case J2; a tail that is executed although it is void, or requests of it that are forgotten, turn it red.
func TestModesSwitchThereAndBackUnderLoad(t *testing.T) {
	for _, n := range []int{4, 5, 7} {
		c := newClusterOf(t, withOperator(n, epoch.Byzantine))
		c.tick(1)
		all := everybody(n)
		var asked []*message.Request
		modes := []epoch.Mode{epoch.Crash, epoch.Byzantine, epoch.Crash, epoch.Byzantine}
		for i, mode := range modes {
			for k := range 10 {
				asked = append(asked, c.submit(epoch.ReplicaID(k%n+1), 3)...)
				if k == 5 {
					c.ask(epoch.ReplicaID(i%n+1), c.change(1, toMode(mode)))
				}
				c.tick(1)
			}
			c.tick(100)
			c.inEpoch(uint64(i+1), mode, all...)
		}
		c.agree(20, all...)
		c.once(asked, all...)
		c.oneEpochPerSlot(all...)
	}
}

func everybody(n int) (ids []epoch.ReplicaID) {
	for i := range n {
		ids = append(ids, epoch.ReplicaID(i+1))
	}
	return ids
}

// oneEpochPerSlot verifies every block in the epoch that its place in the chain gives it.
func (c *cluster) oneEpochPerSlot(ids ...epoch.ReplicaID) {
	c.t.Helper()
	for _, id := range ids {
		x := c.node(id)
		e := c.genesis.Epoch()
		past := x.replica.History()
		for seq := epoch.Seq(1); seq <= x.replica.Head().Seq; seq++ {
			b := x.blocks[seq]
			if err := b.Verify(e, scheme); err != nil {
				c.t.Fatalf("%d: block %d: %v", id, seq, err)
			}
			if b.Header.NextEpoch.IsZero() {
				continue
			}
			next, err := past[e.Number].HandOver.Verify(e, scheme)
			if err != nil || past[e.Number].HandOver.Header != b.Header {
				c.t.Fatalf("%d: the hand-over at %d: %v", id, seq, err)
			}
			e = next
		}
		if e.ID != x.replica.Epoch().ID {
			c.t.Errorf("%d is in another epoch than its chain says", id)
		}
	}
}

// Whoever was away for two switches follows the hand-overs, one after the other.
//
// case J11; a peer that answers nobody of an older epoch turns it red.
func TestAMemberThatWasAwayFollowsTheHandOvers(t *testing.T) {
	c := newClusterOf(t, withOperator(4, epoch.Byzantine))
	c.tick(1)
	c.load(6)
	c.drop = cut(4)
	for i, mode := range []epoch.Mode{epoch.Crash, epoch.Byzantine, epoch.Crash} {
		c.ask(1, c.change(1, toMode(mode)))
		c.tick(60)
		c.inEpoch(uint64(i+1), mode, 1, 2, 3)
		c.load(7)
	}
	c.inEpoch(0, epoch.Byzantine, 4)
	c.drop = nil
	c.tick(200)
	c.inEpoch(3, epoch.Crash, 1, 2, 3, 4)
	c.agree(20, 1, 2, 3, 4)
	c.oneEpochPerSlot(1, 2, 3, 4)
}

// All members end and start again after each step of a switch: they come to one epoch, and go on.
//
// case J5, case K13; a seal that the log does not hold turns it red.
func TestASwitchSurvivesThatAllRestartAtAnyStep(t *testing.T) {
	for _, to := range []epoch.Mode{epoch.Crash, epoch.Byzantine} {
		from := epoch.Byzantine + epoch.Crash - to
		for after := range 40 {
			c := newClusterOf(t, withOperator(4, from))
			c.tick(1)
			c.load(3)
			c.submit(2, 5)
			steps := 0
			c.after = func(*node) { steps++ }
			c.step(c.node(1), Asked{c.change(1, toMode(to))})
			for len(c.queue) > 0 && steps < after*5 {
				p := c.queue[0]
				c.queue = c.queue[1:]
				c.step(c.node(p.to), p.event)
			}
			ended := c.node(1).replica.Sealed() || c.node(1).replica.Epoch().Number > 0
			c.queue, c.after = nil, nil
			for _, x := range c.nodes {
				c.restart(x)
			}
			c.tick(300)
			if ended {
				c.inEpoch(1, to, 1, 2, 3, 4)
			}
			c.load(3)
			c.tick(300)
			c.agree(6, 1, 2, 3, 4)
			c.oneEpochPerSlot(1, 2, 3, 4)
			if t.Failed() {
				t.Fatalf("to %s, after %d events", to, after*5)
			}
		}
	}
}

// Whoever comes to another header than a quorum of each epoch has attested stops, and keeps its files.
//
// Breaks when: a hand-over is taken for one's own header.
func TestWhoHasAnotherHeaderAtTheEndStops(t *testing.T) {
	c := newClusterOf(t, withOperator(4, epoch.Byzantine))
	c.tick(1)
	c.load(5)
	c.node(4).poison = 6
	c.ask(1, c.change(1, toMode(epoch.Crash)))
	c.tick(100)
	c.inEpoch(1, epoch.Crash, 1, 2, 3)
	if r := c.node(4).replica; !r.Halted() || r.Epoch().Number != 0 {
		t.Errorf("halted: %v, in epoch %d", r.Halted(), r.Epoch().Number)
	}
}

// The transactions of a block of an epoch that is over, which a disk has damaged, come back from others in that epoch's name.
//
// case F7; a member that asks for them in the running epoch's name turns it red.
func TestBlocksOfEarlierEpochsAreMended(t *testing.T) {
	c := newClusterOf(t, withOperator(4, epoch.Byzantine))
	c.tick(1)
	c.load(5)
	c.ask(1, c.change(1, toMode(epoch.Crash)))
	c.tick(60)
	c.load(3)
	x := c.node(3)
	d := x.blocks[2].Header.Batch
	delete(x.bodies, d)
	c.step(x, Lost{[]epoch.Seq{2}})
	c.tick(20)
	if x.bodies[d] == nil {
		t.Error("block 2 stays damaged")
	}
}

// What a leader has decided behind a change is void: nobody executes it there, and its requests are ordered in the next epoch.
//
// case J2; a tail that is executed, or requests that stay in a proposal that is void, turn it red.
func TestTheVoidTailIsOrderedAgain(t *testing.T) {
	for _, mode := range []epoch.Mode{epoch.Byzantine, epoch.Crash} {
		c := newClusterOf(t, withOperator(4, mode))
		c.tick(1)
		c.load(2)
		c.tick(5)
		leader := c.node(1)
		leader.replica.now = 0 // it proposes nothing by itself, and then what it should not
		ch := c.change(1, toWindow(20))
		c.ask(1, ch)
		tail := c.submit(1, 1)
		order := leader.replica.order
		at := order.Open() + 1
		ripe := leader.replica.ripe(at)
		if ripe == nil || !order.Propose(message.NewChangeBatch(c.now, ripe)) || !order.Propose(message.NewBatch(c.now, tail)) {
			t.Fatal("the leader cannot propose")
		}
		leader.replica.pool.markProposed(tail)
		c.tick(60)
		c.inEpoch(1, mode, 1, 2, 3, 4)
		c.once(tail, 1, 2, 3, 4)
		c.agree(at+1, 1, 2, 3, 4)
		c.oneEpochPerSlot(1, 2, 3, 4)
		if b := c.node(2).blocks[at+1]; b == nil || b.Header.Epoch == c.genesis.Digest() {
			t.Errorf("%s: slot %d is of the epoch that the slot before has ended", mode, at+1)
		}
	}
}

// A hand-over that is not proven is dropped with the message that brings it, whoever says so.
//
// case N6; believing it turns it red.
func TestAnUnprovenHandOverIsDropped(t *testing.T) {
	c := newClusterOf(t, withOperator(4, epoch.Byzantine))
	c.tick(1)
	c.load(5)
	e := c.genesis.Epoch()
	next := e.Configuration
	next.Mode = epoch.Crash
	h := c.node(1).replica.Head()
	h.NextEpoch = message.ConfigurationDigest(&next)
	after := proof.Announced(e, &h, &next)
	o := &proof.HandOver{Header: h, Next: next}
	for _, id := range []epoch.ReplicaID{2, 3} { // not a quorum
		a := &message.Attestation{Seq: h.Seq, Header: h.Digest()}
		o.Outgoing = append(o.Outgoing, message.Sign(scheme, keys[id], e, id, a))
		o.Incoming = append(o.Incoming, message.Sign(scheme, keys[id], after, id, a))
	}
	m := message.Sign(scheme, keys[2], e, 2, &message.Have{HandOver: proof.EncodeHandOver(o)})
	if err := Check(m, e, scheme); err == nil {
		t.Error("it passes")
	}
}

// Evidence that comes while a crash epoch is being handed over stops that: the base may be one of two.
//
// case J7; a hand-over that does not look at evidence turns it red.
func TestACrashEpochWithALiarStops(t *testing.T) {
	c := newClusterOf(t, withOperator(4, epoch.Crash))
	c.tick(1)
	c.load(3)
	evidence := c.against(4, 2)
	told := false
	c.after = func(x *node) {
		if x.replica.Sealed() && !told {
			told = true
			for _, y := range c.nodes {
				c.post(1, y.id, Received{message.Sign(scheme, keys[1], c.epoch, 1, evidence)})
			}
		}
	}
	c.drop = func(_, _ epoch.ReplicaID, m *message.Signed) bool { // the evidence is faster
		return m.Body.Kind() == message.KindAttestation && len(c.node(1).replica.Evidence()) == 0
	}
	c.ask(1, c.change(1, toMode(epoch.Byzantine)))
	c.tick(100)
	c.inEpoch(0, epoch.Crash, 1, 2, 3, 4)
	if !c.node(1).replica.Sealed() {
		t.Error("the epoch has not ended: this shows nothing")
	}
}

// From crash to Byzantine mode of seven: a majority has ended the epoch, and a Byzantine quorum is not there. Nothing of the next epoch is voted
// for or acknowledged until it is; then what was asked for meanwhile is ordered.
//
// case J6, case J12; a hand-over by the old quorum alone, or requests that are lost while it waits, turn it red.
func TestNothingIsSaidBeforeTheNewQuorumStandsAtTheBase(t *testing.T) {
	c := newClusterOf(t, withOperator(7, epoch.Crash))
	c.tick(1)
	c.load(5)
	away := func(id epoch.ReplicaID) bool { return id > 4 }
	cut := false
	next := 0
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		if m.Epoch != c.epoch.ID && m.Body.Kind() != message.KindAttestation {
			next++
		}
		if a, ok := m.Body.(*message.PaxosAccept); ok && a.Batch != nil && a.Batch.Change != nil {
			cut = true // it is proposed: all were ready, and three are gone now
		}
		return cut && (away(from) || away(to))
	}
	c.ask(1, c.change(1, toMode(epoch.Byzantine)))
	c.tick(20)
	asked := c.submit(2, 3)
	acked := c.node(1).replica.Acknowledged()
	c.tick(300)
	for _, id := range []epoch.ReplicaID{1, 2, 3, 4} {
		r := c.node(id).replica
		if !r.Sealed() || r.Epoch().Number != 0 || r.Acknowledged() > acked {
			t.Errorf("%d: sealed %v, in epoch %d, acknowledged %d of %d", id, r.Sealed(), r.Epoch().Number, r.Acknowledged(), acked)
		}
	}
	if next > 0 {
		t.Errorf("%d words of the next epoch before it has a base", next)
	}
	away = func(id epoch.ReplicaID) bool { return id > 5 } // one more is enough
	c.tick(200)
	c.inEpoch(1, epoch.Byzantine, 1, 2, 3, 4, 5)
	c.once(asked, 1, 2, 3, 4, 5)
	c.drop = nil
	c.tick(300)
	c.inEpoch(1, epoch.Byzantine, everybody(7)...)
	c.agree(6, everybody(7)...)
}

// Each epoch counts by its own rule: three of five are enough in crash mode, and are not in Byzantine mode.
//
// case I10; a quorum that is kept from one epoch to the next turns it red.
func TestEachEpochCountsByItsOwnRule(t *testing.T) {
	for _, from := range []epoch.Mode{epoch.Byzantine, epoch.Crash} {
		to := epoch.Byzantine + epoch.Crash - from
		c := newClusterOf(t, withOperator(5, from))
		c.tick(1)
		c.load(3)
		c.ask(1, c.change(1, toMode(to)))
		c.tick(60)
		c.inEpoch(1, to, everybody(5)...)
		c.drop = func(from, to epoch.ReplicaID, _ *message.Signed) bool { return from > 3 || to > 3 }
		before := c.node(1).replica.Acknowledged()
		c.submit(1, 1)
		c.tick(200)
		if goes := c.node(1).replica.Acknowledged() > before; goes != (to == epoch.Crash) {
			t.Errorf("to %s: three of five go on: %v", to, goes)
		}
	}
}

// A member that was away votes at nothing that the others have decided meanwhile, in whatever epoch: it learns that.
//
// case F4; a vote below the height that it has heard of turns it red.
func TestWhoCatchesUpVotesAtNothingThatIsDecided(t *testing.T) {
	c := newClusterOf(t, withOperator(4, epoch.Byzantine))
	c.tick(1)
	c.load(3)
	c.drop = cut(4)
	c.load(10)
	c.ask(1, c.change(1, toWindow(20)))
	c.tick(60)
	c.load(10)
	tip := c.node(1).replica.Head().Seq
	c.drop = func(from, _ epoch.ReplicaID, m *message.Signed) bool {
		if v, ok := message.VoteOf(m.Body); from == 4 && ok && v.Seq <= tip {
			t.Errorf("%s of slot %d, which the others had decided up to %d", m.Body.Kind(), v.Seq, tip)
		}
		return false
	}
	c.tick(200)
	c.inEpoch(1, epoch.Byzantine, 1, 2, 3, 4)
	c.load(3)
	c.tick(30)
	c.agree(tip+3, 1, 2, 3, 4)
}
