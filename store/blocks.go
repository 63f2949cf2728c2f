package store

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
)

// placesPerChunk keeps the index from being copied whole as it grows.
const placesPerChunk = 4096

// Place is where the log holds a block: what was decided and why, and the batch with its bodies. The batch's position is zero
// while the log has lost it.
type Place struct{ Block, Batch Position }

// Blocks finds blocks in the log by sequence number, from 1 without gaps, and the records that prove checkpoints. It lives in
// memory, 32 bytes a block, and is filled again from the log on every start. The zero Blocks is empty and ready. Safe for concurrent
// use.
type Blocks struct {
	mu          sync.RWMutex
	last        uint64
	chunks      [][]Place
	checkpoints []checkpoint          // in ascending order
	lost        map[[32]byte][]uint64 // blocks that lack their batches, by the batch's name
}

type checkpoint struct {
	seq uint64
	at  Position
}

// Add notes where the block after Last lies; any other sequence number is an error, and nothing is noted.
func (b *Blocks) Add(seq uint64, block, batch Position) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if seq != b.last+1 {
		return fmt.Errorf("store: block %d to be added after block %d", seq, b.last)
	}
	if b.last%placesPerChunk == 0 {
		b.chunks = append(b.chunks, make([]Place, 0, placesPerChunk))
	}
	newest := &b.chunks[len(b.chunks)-1]
	*newest = append(*newest, Place{Block: block, Batch: batch})
	b.last = seq
	return nil
}

// Lose notes that the batch of a block, which has that name, cannot be read.
func (b *Blocks) Lose(seq uint64, name [32]byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if seq == 0 || seq > b.last || slices.Contains(b.lost[name], seq) {
		return
	}
	if b.lost == nil {
		b.lost = make(map[[32]byte][]uint64)
	}
	b.lost[name] = append(b.lost[name], seq)
	b.place(seq).Batch = Position{}
}

// Regain notes where a batch was written. Whichever blocks lacked it have it again.
func (b *Blocks) Regain(name [32]byte, batch Position) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, seq := range b.lost[name] {
		b.place(seq).Batch = batch
	}
	delete(b.lost, name)
}

// Lost are the blocks that lack their batches, ascending.
func (b *Blocks) Lost() []uint64 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var all []uint64
	for _, seqs := range b.lost {
		all = append(all, seqs...)
	}
	slices.Sort(all)
	return all
}

func (b *Blocks) place(seq uint64) *Place {
	return &b.chunks[(seq-1)/placesPerChunk][(seq-1)%placesPerChunk]
}

// Find says where the block lies, if it was added.
func (b *Blocks) Find(seq uint64) (Place, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if seq == 0 || seq > b.last {
		return Place{}, false
	}
	return *b.place(seq), true
}

// AddCheckpoint notes which record proves the checkpoint at seq. One that is not above the last is known already.
func (b *Blocks) AddCheckpoint(seq uint64, at Position) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.checkpoints); n == 0 || b.checkpoints[n-1].seq < seq {
		b.checkpoints = append(b.checkpoints, checkpoint{seq, at})
	}
}

// Checkpoint says which record proves the newest checkpoint from first to last, if there is one.
func (b *Blocks) Checkpoint(first, last uint64) (Position, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	i, found := slices.BinarySearchFunc(b.checkpoints, last, func(c checkpoint, seq uint64) int { return cmp.Compare(c.seq, seq) })
	if !found {
		i--
	}
	if i < 0 || b.checkpoints[i].seq < first {
		return Position{}, false
	}
	return b.checkpoints[i].at, true
}

// Last is the newest block's sequence number, or 0.
func (b *Blocks) Last() uint64 {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.last
}
