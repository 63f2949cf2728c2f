package host

import (
	"errors"
	"fmt"

	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/store"
)

// readBytes is how much one answer to a peer's Want holds, but for a single block that is larger.
const readBytes = 1 << 20

// Blocks reads what the log keeps of decided slots. Anybody may use it.
type Blocks struct {
	log   *store.Log
	index *store.Blocks
}

// LostError is that a block's batch cannot be read: the disk has damaged it. Its header and certificate can, and any member
// that has the block can supply the batch.
type LostError struct{ Seq epoch.Seq }

func (e *LostError) Error() string {
	return fmt.Sprintf("the disk has damaged the transactions of block %d here", e.Seq)
}

// Lost are the slots whose batches cannot be read, ascending.
func (b *Blocks) Lost() []epoch.Seq {
	var seqs []epoch.Seq
	for _, seq := range b.index.Lost() {
		seqs = append(seqs, epoch.Seq(seq))
	}
	return seqs
}

// Last is the newest block that is written, though perhaps not yet synced.
func (b *Blocks) Last() epoch.Seq { return epoch.Seq(b.index.Last()) }

// Decision reads a block's header and certificate; ok is false if there is none.
func (b *Blocks) Decision(seq epoch.Seq) (d *proof.Decision, ok bool, err error) {
	place, ok := b.index.Find(uint64(seq))
	if !ok {
		return nil, false, nil
	}
	rec, err := b.record(place.Block)
	if err != nil {
		return nil, false, fmt.Errorf("block %d: %w", seq, err)
	}
	decided, ok := rec.(*ordering.Decided)
	if !ok || decided.Header.Seq != seq {
		return nil, false, fmt.Errorf("block %d: another record stands in its place", seq)
	}
	return &decided.Decision, true, nil
}

// Block reads a whole block; ok is false if there is none. A *LostError if the disk has damaged its batch.
func (b *Blocks) Block(seq epoch.Seq) (block *proof.Block, ok bool, err error) {
	d, ok, err := b.Decision(seq)
	if !ok || err != nil {
		return nil, false, err
	}
	place, _ := b.index.Find(uint64(seq))
	if place.Batch == (store.Position{}) {
		return nil, false, &LostError{seq}
	}
	rec, err := b.record(place.Batch)
	if damage := (*store.DamageError)(nil); errors.As(err, &damage) {
		b.index.Lose(uint64(seq), d.Header.Batch)
		return nil, false, &LostError{seq}
	}
	if err != nil {
		return nil, false, fmt.Errorf("block %d: %w", seq, err)
	}
	bodies, ok := rec.(*ordering.Bodies)
	if !ok || bodies.Batch.Digest() != d.Header.Batch {
		return nil, false, fmt.Errorf("block %d: another batch stands in its place", seq)
	}
	return &proof.Block{Decision: *d, Batch: bodies.Batch}, true, nil
}

// Read serves a peer's Want: as many of the blocks as are there, and fit, and the newest checkpoint among them. A block
// that cannot be read ends the run; the peer asks somebody else, and the error is for whoever looks after this replica.
func (b *Blocks) Read(q bft.Read) (bft.Found, error) {
	found, err := b.run(q)
	if err != nil || len(found.Blocks) == 0 {
		return found, err
	}
	last := found.Blocks[len(found.Blocks)-1].Header.Seq
	found.Checkpoint, err = b.Checkpoint(q.From, last)
	return found, err
}

// Checkpoint reads the newest stable checkpoint from first to last; nil if there is none.
func (b *Blocks) Checkpoint(first, last epoch.Seq) (*proof.Checkpoint, error) {
	at, ok := b.index.Checkpoint(uint64(first), uint64(last))
	if !ok {
		return nil, nil
	}
	rec, err := b.record(at)
	if err != nil {
		return nil, err
	}
	base, ok := rec.(*ordering.Base)
	if !ok || base.Stable.Header.Seq < first || base.Stable.Header.Seq > last {
		return nil, fmt.Errorf("checkpoint from %d to %d: another record stands in its place", first, last)
	}
	return base.Stable, nil
}

func (b *Blocks) run(q bft.Read) (bft.Found, error) {
	found := bft.Found{For: q.For, Epoch: q.Epoch}
	size := 0
	for seq := q.From; seq <= q.To; seq++ {
		block, ok, err := b.Block(seq)
		if !ok || err != nil {
			return found, err
		}
		if size += block.Batch.Size(); size > readBytes && len(found.Blocks) > 0 {
			return found, nil
		}
		found.Blocks = append(found.Blocks, block)
	}
	return found, nil
}

func (b *Blocks) record(at store.Position) (ordering.Record, error) {
	raw, err := b.log.Read(at)
	if err != nil {
		return nil, err
	}
	return ordering.Decode(ordering.RecordKind(raw.Kind), raw.Payload)
}
