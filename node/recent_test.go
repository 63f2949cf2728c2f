package node

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/node/host"
	"github.com/quorate/quorate/statemachine"
)

// receipts is a node that can do nothing but prove what its committee has decided, with nothing but the newest
// attestations in memory.
func receipts(c *committee) *Node {
	n := &Node{recent: newRecent(c.hosts[0].Blocks(), c.epochs), state: c.states[0], log: slog.New(slog.DiscardHandler)}
	n.recent.acknowledged(c.ack)
	return n
}

// Whoever wants receipts of slots that memory no longer holds waits for the disk; the core and the executor, who tell of
// new slots meanwhile, do not wait for him. // case E14
// To see it hang, hold recent's lock over fill.
func TestNobodyWaitsForAReceiptThatIsReadFromDisk(t *testing.T) {
	c := newCommittee(t)
	for range 3 {
		c.put("key", "value")
	}
	n := receipts(c)
	reading, goOn := make(chan bool), make(chan bool)
	c.read = func() { reading <- true; <-goOn }

	proven := make(chan error)
	go func() {
		_, err := n.Receipt(1, 0)
		proven <- err
	}()
	<-reading
	n.recent.durable(nil)
	n.recent.executed(nil)
	n.recent.acknowledged(c.ack)
	n.Attestations(1)

	close(goOn)
	for {
		select {
		case <-reading:
		case err := <-proven:
			if err != nil {
				t.Fatal(err)
			}
			return
		}
	}
}

// The tree of a recent slot is built once, and everybody but those who want it goes on meanwhile. // case E14
// To see it fail, build the tree in tree at each call; to see it hang, build it under recent's lock.
func TestTheTreeOfARecentSlotIsBuiltOnceAndHoldsNobodyUp(t *testing.T) {
	c := newCommittee(t)
	c.put("key", "value")
	n := receipts(c)
	outcomes, _, err := c.states[0].Outcomes(1)
	if err != nil {
		t.Fatal(err)
	}
	n.recent.executed([]host.Result{resultAt(1, outcomes)})
	slot := n.recent.slots[1]
	first := slot.tree()
	if again := slot.tree(); again != first {
		t.Fatal("the tree was built twice")
	}

	building, goOn := make(chan bool), make(chan bool)
	tree := slot.tree
	slot.tree = func() *crypto.MerkleTree {
		building <- true
		<-goOn
		return tree()
	}
	proven := make(chan error)
	go func() {
		r, err := n.Receipt(1, 0)
		if err == nil {
			err = r.Verify(c.genesis.Epoch(), c.scheme, c.genesis.Epoch().Quorum())
		}
		proven <- err
	}()
	<-building
	n.recent.durable(nil)
	n.recent.executed(nil)
	n.recent.acknowledged(c.ack)
	close(goOn)
	if err := <-proven; err != nil {
		t.Fatal(err)
	}
}

func resultAt(seq epoch.Seq, outcomes []statemachine.Outcome) host.Result {
	r := host.Result{Outcomes: outcomes}
	r.Seq = seq
	return r
}

// A receipt reads few headers from disk: what is recent proves nothing that would need more, and to find that out costs
// no read at all.
// To see it fail, leave out the bound in proves.
func TestWhatIsRecentProvesNothingByManyHeadersFromDisk(t *testing.T) {
	c := newCommittee(t)
	for range maxReadHeaders + 2 {
		c.put("key", "value")
	}
	n := receipts(c)
	reads := 0
	c.read = func() { reads++ }
	first := c.ack.Seq - maxReadHeaders + 1

	if _, _, err := n.recent.proves(first - 1); !errors.Is(err, errNoAttestations) || reads != 0 {
		t.Fatalf("one header too many: %v after %d reads", err, reads)
	}
	r, err := n.Receipt(first, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Verify(c.genesis.Epoch(), c.scheme, c.genesis.Epoch().Quorum()); err != nil {
		t.Fatal(err)
	}
	if reads < maxReadHeaders {
		t.Fatalf("%d reads for %d headers that are not in memory", reads, maxReadHeaders)
	}
}

// case L6: what came of a transaction can be proven long after, also by a node that has started again since.
// To see it fail, let Receipt not look at what the log keeps.
func TestAnOldOutcomeIsProvenByTheCheckpointAboveIt(t *testing.T) {
	c := newCommittee(t)
	const slot = 3
	for range c.genesis.Parameters.Checkpoint + 2 {
		c.put("k", "v")
	}
	n := receipts(c)
	n.recent = newRecent(c.hosts[0].Blocks(), c.epochs) // as after a start

	receipt, err := n.Receipt(slot, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := receipt.Verify(c.genesis.Epoch(), c.scheme, c.genesis.Epoch().Quorum()); err != nil {
		t.Error(err)
	}
	if a := n.Attestations(slot); len(a) < c.genesis.Epoch().Quorum() {
		t.Errorf("%d attestations cover the block", len(a))
	}
	if a := n.Attestations(epoch.Seq(c.genesis.Parameters.Checkpoint) + 1); a != nil {
		t.Errorf("%d attestations to a checkpoint that is not stable", len(a))
	}
}
