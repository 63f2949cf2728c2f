package bft

import (
	"slices"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// rested is a network of four that has done six slots, and in which nothing is under way.
func rested(t *testing.T, mode epoch.Mode) *cluster {
	c := newClusterOf(t, withOperator(4, mode))
	c.tick(1)
	c.load(6)
	c.tick(60)
	return c
}

// lose has members lose their disks, and come back with new logs.
func (c *cluster) lose(ids ...epoch.ReplicaID) {
	for _, id := range ids {
		c.forget(id, byte(50+id))
	}
}

// recovery is what operators sign: the epoch that a member is in ends at its head, and the next one names the logs that all have now.
func (c *cluster) recovery(at epoch.ReplicaID) *message.Recovery {
	r := c.node(at).replica
	e := r.Epoch()
	next := e.Configuration
	next.Mode = epoch.Byzantine
	next.Members = slices.Clone(next.Members)
	for i, x := range c.nodes {
		next.Members[i].Incarnation = x.replica.birth.Incarnation
	}
	head := r.Head()
	rec := &message.Recovery{Chain: e.Chain, Of: e.ID, Next: next, Number: uint64(c.now), Seq: head.Seq, Header: head.Digest()}
	for _, ev := range r.Evidence() {
		rec.Evidence = append(rec.Evidence, ev.ID())
	}
	slices.SortFunc(rec.Evidence, func(a, b crypto.Digest) int { return slices.Compare(a[:], b[:]) })
	return signed(rec)
}

// signed has the operator sign a recovery as it is now.
func signed(rec *message.Recovery) *message.Recovery {
	rec.Authority = nil
	rec.Approve(scheme, operator)
	return rec
}

// recover has an operator ask one member for a recovery.
func (c *cluster) recover(at epoch.ReplicaID, rec *message.Recovery) {
	c.t.Helper()
	if err := proof.Recoverable(c.node(at).replica.Epoch(), rec, scheme); err != nil {
		c.t.Fatal(err)
	}
	c.step(c.node(at), AskedToRecover{rec})
	c.run()
}

// recoverAll has him ask all of them, before one hears of it from another.
func (c *cluster) recoverAll(rec *message.Recovery) {
	for _, x := range c.nodes {
		c.step(x, AskedToRecover{rec})
	}
	c.run()
}

// Three of four disks are gone for good: the epoch can do nothing more. Operators end it at what the survivor has, and the network goes on
// with all that it had acknowledged.
//
// Breaks when: a recovery needs a word of the quorum that is lost, or those that have forgotten get no vote in what follows.
func TestALostQuorumIsRecovered(t *testing.T) {
	for _, mode := range []epoch.Mode{epoch.Byzantine, epoch.Crash} {
		c := newClusterOf(t, withOperator(4, mode))
		c.tick(1)
		c.load(9)
		c.tick(50)
		before := c.node(4).replica.Head()
		c.lose(1, 2, 3)
		c.tick(300)
		for _, x := range c.nodes {
			if x.replica.Head() != before || x.replica.Epoch().Number != 0 {
				t.Fatalf("%s: %d stands at %d of epoch %d, the survivor at %d", mode, x.id, x.replica.Head().Seq, x.replica.Epoch().Number, before.Seq)
			}
		}

		c.recover(4, c.recovery(4))
		c.tick(recoverTicks + 100)

		c.inEpoch(1, epoch.Byzantine, 1, 2, 3, 4)
		c.load(5)
		c.tick(100)
		c.agree(before.Seq+5, 1, 2, 3, 4)
		for _, x := range c.nodes {
			h := x.replica.History()[0].HandOver
			if next, err := h.Verify(c.genesis.Epoch(), scheme); err != nil || next.ID != x.replica.Epoch().ID || h.Forced == nil {
				t.Errorf("%s: the hand-over of %d: %v", mode, x.id, err)
			}
			if x.blocks[before.Seq].Header != before {
				t.Errorf("%s: the prefix of %d is another one", mode, x.id)
			}
		}
	}
}

// While a quorum of the epoch answers nobody takes part in ending it by force, whatever operators have signed.
//
// Breaks when: nobody asks the members of the old epoch.
func TestARecoveryIsRefusedWhileAQuorumAnswers(t *testing.T) {
	for _, mode := range []epoch.Mode{epoch.Byzantine, epoch.Crash} {
		c := newClusterOf(t, withOperator(4, mode))
		c.tick(1)
		c.load(9)
		c.drop = cut(4) // that leaves a quorum
		c.recover(1, c.recovery(1))
		c.tick(2 * recoverTicks)
		for _, x := range c.nodes {
			if x.replica.Sealed() || x.replica.Epoch().Number != 0 {
				t.Errorf("%s: %d has ended the epoch", mode, x.id)
			}
		}
		if r := c.node(1).replica.Recovery(); r == nil || r.Voters != 3 || len(r.Willing) > 0 {
			t.Errorf("%s: %+v", mode, r)
		}
	}
}

// A recovery that begins below what a member has executed is none for it: it has acknowledged more, perhaps.
//
// Breaks when: the header is not compared with the head.
func TestARecoveryBelowTheHeadIsRefused(t *testing.T) {
	c := newClusterOf(t, withOperator(4, epoch.Byzantine))
	c.tick(1)
	c.load(5)
	old := c.recovery(4)
	c.load(5)
	c.lose(1, 2)
	c.tick(300)
	for i, x := range c.nodes {
		old.Next.Members[i].Incarnation = x.replica.birth.Incarnation
	}
	c.recover(4, signed(old))
	c.tick(2 * recoverTicks)
	for _, x := range c.nodes {
		if x.replica.Sealed() || x.replica.Epoch().Number != 0 || x.replica.Halted() {
			t.Errorf("%d has ended the epoch below its head", x.id)
		}
	}
}

// Where a member of a crash epoch is proven to lie, all stop; operators end the epoch by force, and what follows bears it.
//
// case J7; a recovery that waits for a quorum of the old epoch to be gone, or an epoch that is ended although members lie in it, turns it red.
func TestACrashEpochWithALiarIsRecovered(t *testing.T) {
	c := rested(t, epoch.Crash)
	c.tell(1, 2, c.against(3, 3))
	c.tick(10)
	before := c.node(1).replica.Head()
	acked := c.node(1).replica.Acknowledged()
	c.submit(1, 3)
	c.tick(100)
	if c.node(1).replica.Head() != before || c.node(1).replica.Acknowledged() != acked {
		t.Error("something is decided or acknowledged although a member lies")
	}
	c.ask(1, c.change(1, toMode(epoch.Byzantine)))
	c.tick(100)
	c.inEpoch(0, epoch.Crash, 1, 2, 3, 4)

	c.recover(2, c.recovery(2))
	c.tick(recoverTicks + 100)

	c.inEpoch(1, epoch.Byzantine, 1, 2, 3, 4)
	c.load(3)
	c.tick(60)
	c.agree(before.Seq+2, 1, 2, 3, 4)
}
