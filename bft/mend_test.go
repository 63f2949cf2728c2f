package bft

import (
	"slices"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
)

// Blocks whose batches the disk has damaged are fetched again, from a peer that has them, and kept; a peer that says
// nothing, or has lost the same, does not hold this up.
//
// case F6, F7; asking one peer for ever, or not persisting what comes, turns it red.
func TestLostBatchesAreFetchedAgain(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	c.load(30)
	c.tick(10)
	x := c.node(3)
	lost := []epoch.Seq{9, 2, 3, 30}
	clear(x.bodies)
	delete(c.node(1).blocks, 9) // the first one asked can tell nothing of it
	wants := 0
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		if from == 3 && m.Body.Kind() == message.KindWant {
			wants++
		}
		return from == 3 && to == 4 // and another one hears nothing
	}

	kept := len(x.past)
	c.step(x, Lost{lost})
	c.step(x, Lost{[]epoch.Seq{2, 99}}) // again, and one that there is not
	c.tick(400)

	var back []epoch.Seq
	for _, rec := range x.past[kept:] {
		if b, ok := rec.(*ordering.Bodies); ok {
			for seq, block := range c.node(2).blocks {
				if block.Header.Batch == b.Batch.Digest() {
					back = append(back, seq)
				}
			}
		}
	}
	slices.Sort(back)
	if want := []epoch.Seq{2, 3, 9, 30}; !slices.Equal(back, want) {
		t.Errorf("kept again: %v, want %v", back, want)
	}
	if len(x.replica.mend.seqs) != 0 {
		t.Errorf("still lost: %v", x.replica.mend.seqs)
	}
	before := wants
	c.tick(200)
	if wants != before {
		t.Errorf("%d more wants when nothing is lost", wants-before)
	}
	c.agree(30, 1, 2, 3, 4)
}
