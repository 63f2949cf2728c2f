package bft

import (
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/crypto"
)

// forget gives a member a new log and an empty machine, as after its disk was lost.
func (c *cluster) forget(id epoch.ReplicaID, life byte) *node {
	x := c.node(id)
	*x = node{
		id: id, bodies: make(map[crypto.Digest]*message.Batch), blocks: x.blocks,
		past: []ordering.Record{&ordering.Birth{Key: keys[id].Public(), Incarnation: epoch.Incarnation{life}}},
	}
	clear(x.blocks)
	c.start(x)
	return x
}

// promises reports every vote that a member sends, to whomever.
func (c *cluster) promises(id epoch.ReplicaID) *int {
	n := new(int)
	c.drop = func(from, _ epoch.ReplicaID, m *message.Signed) bool {
		switch m.Body.Kind() {
		case message.KindPrePrepare, message.KindPrepare, message.KindCommit, message.KindAttestation:
			if from == id {
				*n++
			}
		}
		return false
	}
	return n
}

// A member that comes back with its key and without its log follows the others by their blocks, and never votes in the
// epoch that names the log it has lost; the others go on, and so it stays when it restarts.
//
// case F2; a pbft instance in the observer's place, or attesting all the same, turns it red.
func TestForgottenMemberFollowsAndNeverVotes(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	c.load(10)
	x := c.forget(3, 9)
	said := c.promises(3)

	c.load(30)
	c.tick(40)

	c.agree(40, 1, 2, 3, 4)
	if !x.replica.Observes() || *said != 0 {
		t.Errorf("observes: %v, after %d promises", x.replica.Observes(), *said)
	}
	if x.replica.Stable().Header.Seq != 40 || x.trimmed == 0 {
		t.Errorf("stable at %d, %d records trimmed: it should keep up with its log too", x.replica.Stable().Header.Seq, x.trimmed)
	}

	x.past = x.surviving()
	x.trimmed = 0
	c.start(x)
	c.load(5)
	c.tick(40)

	c.agree(45, 1, 2, 3, 4)
	if !x.replica.Observes() || *said != 0 {
		t.Errorf("after a restart: observes: %v, after %d promises", x.replica.Observes(), *said)
	}
}

// With one member that observes, all others are needed for a quorum of four: two votes and a silence acknowledge nothing.
//
// case F2; an observer whose votes count turns it red.
func TestObserverIsNotCountedForAQuorum(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	c.load(4)
	c.forget(3, 9)
	c.tick(40)
	before := c.node(1).replica.Acknowledged()
	gone := c.node(4).id
	c.drop = func(from, to epoch.ReplicaID, _ *message.Signed) bool { return from == gone || to == gone }

	c.submit(1, 3)
	c.tick(100)

	if got := c.node(1).replica.Acknowledged(); got != before {
		t.Errorf("acknowledged %d with two voters of four, had %d", got, before)
	}

	c.drop = nil
	c.tick(100)
	c.agree(before+1, 1, 2, 3, 4)
}

// What an observer has learned it serves: a member that was away can catch up from it alone.
//
// case F2; an observer that answers no Want turns it red.
func TestObserverServesItsBlocks(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	c.forget(3, 9)
	away := func(from, to epoch.ReplicaID, _ *message.Signed) bool { return from == 4 || to == 4 }
	c.load(3)
	c.tick(40)
	c.agree(3, 1, 2, 3, 4)

	// The last slots are known to 1, 2 and 3 only, and 4 reaches nobody but the observer.
	c.load(1)
	c.tick(20)
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		return away(from, to, m) && from != 3 && to != 3
	}
	lost := c.node(4)
	*lost = node{id: 4, bodies: make(map[crypto.Digest]*message.Batch), blocks: lost.blocks, past: lost.past[:1]}
	clear(lost.blocks)
	c.start(lost)
	c.tick(100)

	if got, want := lost.replica.Head(), c.node(3).replica.Head(); got != want || want.Seq < 4 {
		t.Errorf("stands at %d, the observer at %d", got.Seq, want.Seq)
	}
}
