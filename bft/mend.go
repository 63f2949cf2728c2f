package bft

import (
	"slices"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/bft/proof"
)

// A damaged log may have lost the batch of a block although its decision is there: batches are kept once, since any member
// can supply them. This replica asks its peers for those blocks, one peer after the other, and keeps their batches again.
// Nothing that it decides rests on them: it has executed them.

// mending is what a replica lacks of blocks that it has decided.
type mending struct {
	seqs    []epoch.Seq     // in ascending order
	asked   epoch.ReplicaID // whom a Want is out to; 0: nobody
	askedAt uint64          // tick
	last    epoch.ReplicaID // who was asked last
}

// onLost takes in which blocks' batches this replica's own store can no longer read.
func (r *Replica) onLost(seqs []epoch.Seq) {
	for _, seq := range seqs {
		if at, known := slices.BinarySearch(r.mend.seqs, seq); !known && seq <= r.head.Seq {
			r.mend.seqs = slices.Insert(r.mend.seqs, at, seq)
		}
	}
}

// tickMending asks for the oldest lost blocks that follow each other.
func (r *Replica) tickMending() {
	m := &r.mend
	if len(m.seqs) == 0 || (m.asked != 0 && r.ticks-m.askedAt < wantPatience) {
		return
	}
	n := epoch.ReplicaID(r.epoch.N())
	for i := range n {
		id := (m.last+i)%n + 1
		if id == r.self || r.catchup.peers[id-1].height() < m.seqs[0] {
			continue
		}
		to, of := m.seqs[0], r.EpochAt(m.seqs[0])
		for _, seq := range m.seqs[1:] {
			if seq != to+1 || r.EpochAt(seq) != of || to-m.seqs[0] >= wantBlocks-1 {
				break
			}
			to = seq
		}
		m.asked, m.last, m.askedAt = id, id, r.ticks
		want := &message.Want{From: m.seqs[0], To: to}
		r.out.Send = append(r.out.Send, message.Outgoing{Body: want, To: []epoch.ReplicaID{id}, Epoch: of.ID})
		return
	}
}

// mendFrom takes from a Have what was lost here, of whatever epoch.
func (r *Replica) mendFrom(from epoch.ReplicaID, h *message.Have) error {
	for _, raw := range h.Blocks {
		if h := proof.ReadHeader(message.NewReader(raw)); !r.lost(h.Seq) || h.Epoch != r.EpochAt(h.Seq).ID {
			continue // not worth taking apart, or of a tail that is void
		}
		b, err := proof.DecodeBlock(raw)
		if err != nil {
			return err
		}
		r.mended(from, b)
	}
	return nil
}

// mended keeps the batch of a block that was lost here. Check has found the block's certificate to hold, so it is the one
// that was decided.
func (r *Replica) mended(from epoch.ReplicaID, b *proof.Block) {
	r.out.Persist = append(r.out.Persist, &ordering.Bodies{Batch: b.Batch})
	r.mend.seqs = slices.DeleteFunc(r.mend.seqs, func(seq epoch.Seq) bool { return seq == b.Header.Seq })
	if r.mend.asked == from {
		r.mend.asked = 0
	}
	r.note(MendedBlock{b.Header.Seq, from})
}

// lost says whether a block's batch is wanted again.
func (r *Replica) lost(seq epoch.Seq) bool {
	_, lost := slices.BinarySearch(r.mend.seqs, seq)
	return lost
}
