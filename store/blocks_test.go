package store

import (
	"sync"
	"testing"
	"unsafe"
)

func placed(seq uint64) Place {
	return Place{Block: Position{Segment: 1, Offset: uint32(seq)}, Batch: Position{Segment: 2, Offset: uint32(seq)}}
}

// Breaks when: chunks are counted wrong at their borders.
func TestBlocksAreFoundWhereTheyWerePut(t *testing.T) {
	var b Blocks
	const n = 2*placesPerChunk + 3
	for seq := uint64(1); seq <= n; seq++ {
		if _, ok := b.Find(seq); ok || b.Last() != seq-1 {
			t.Fatalf("block %d is there before it was added", seq)
		}
		must(t, b.Add(seq, placed(seq).Block, placed(seq).Batch))
	}
	for seq := uint64(1); seq <= n; seq++ {
		if p, ok := b.Find(seq); !ok || p != placed(seq) {
			t.Fatalf("block %d: %+v, %v", seq, p, ok)
		}
	}
	for _, seq := range []uint64{0, n + 1, 1 << 63} {
		if p, ok := b.Find(seq); ok || p != (Place{}) {
			t.Fatalf("block %d: %+v", seq, p)
		}
	}
}

func TestBlocksAreAddedWithoutGaps(t *testing.T) {
	var b Blocks
	for _, c := range []struct {
		seq uint64
		ok  bool
	}{{0, false}, {2, false}, {1, true}, {1, false}, {3, false}, {2, true}} {
		if err := b.Add(c.seq, Position{}, Position{}); (err == nil) != c.ok {
			t.Fatalf("block %d after %d: %v", c.seq, b.Last(), err)
		}
	}
	if b.Last() != 2 {
		t.Fatal(b.Last())
	}
}

// Ten million blocks are to fit where other things must live too.
func TestABlockTakes32Bytes(t *testing.T) {
	if n := unsafe.Sizeof(Place{}); n > 32 {
		t.Fatal(n)
	}
}

// Breaks under -race when: Find does without the lock.
func TestBlocksAreFoundBesideAdding(t *testing.T) {
	var b Blocks
	var finders sync.WaitGroup
	for range 2 {
		finders.Go(func() {
			for b.Last() < 3*placesPerChunk {
				last := b.Last()
				if p, ok := b.Find(last); last > 0 && (!ok || p != placed(last)) {
					t.Errorf("block %d: %+v, %v", last, p, ok)
					return
				}
			}
		})
	}
	for seq := uint64(1); seq <= 3*placesPerChunk; seq++ {
		must(t, b.Add(seq, placed(seq).Block, placed(seq).Batch))
	}
	finders.Wait()
}

// The newest checkpoint within a range is found, and none outside it.
func TestCheckpointsAreFoundByRange(t *testing.T) {
	var b Blocks
	for seq := uint64(8); seq <= 32; seq += 8 {
		b.AddCheckpoint(seq, Position{Segment: uint32(seq)})
	}
	b.AddCheckpoint(16, Position{Segment: 99}) // known already
	for _, c := range []struct{ first, last, want uint64 }{
		{1, 7, 0}, {1, 8, 8}, {8, 8, 8}, {9, 15, 0}, {1, 16, 16}, {9, 31, 24}, {1, 100, 32}, {33, 100, 0}, {0, 0, 0},
	} {
		at, ok := b.Checkpoint(c.first, c.last)
		if ok != (c.want > 0) || uint64(at.Segment) != c.want {
			t.Errorf("from %d to %d: %v, %v, want %d", c.first, c.last, at.Segment, ok, c.want)
		}
	}
	if _, ok := new(Blocks).Checkpoint(0, 100); ok {
		t.Error("found in nothing")
	}
}
