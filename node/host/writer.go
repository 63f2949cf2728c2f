package host

import (
	"fmt"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/store"
)

// Writer appends and syncs groups, and signs what rests on them. It belongs to the log's goroutine, if there is one.
type Writer struct {
	log    *store.Log
	blocks *store.Blocks
	key    crypto.PrivateKey
	scheme crypto.Scheme
	epochs map[crypto.Digest]*epoch.Epoch // that anything may be said in
	self   epoch.ReplicaID

	// bodies says where the batches are that an Accepted record may name and no block holds yet. A batch that is in a
	// block as well may stay until the next Base.
	bodies map[crypto.Digest]store.Position
}

// Append writes a group's records. Nothing of it is durable yet. An error is final: the process must end, since a
// replica that cannot remember must not speak.
func (w *Writer) Append(g *Group) error {
	var records []store.Record
	var facts []ordering.Record
	restart := false
	for i := range g.effects {
		for _, rec := range g.effects[i].Persist {
			records = append(records, store.Record{
				Kind:    uint8(rec.Kind()),
				Once:    rec.Kind() == ordering.KindBodies, // any member can supply a batch
				Payload: ordering.Encode(rec),
			})
			facts = append(facts, rec)
		}
		restart = restart || g.effects[i].Trim
	}
	if len(records) == 0 {
		return nil
	}
	positions, err := w.log.Append(records, restart)
	if err != nil {
		return err
	}
	for i, rec := range facts {
		if err := w.index(rec, positions[i]); err != nil {
			return err
		}
	}
	return nil
}

// Sync makes everything appended durable. An error is final.
func (w *Writer) Sync() error { return w.log.Sync() }

// Sign signs what a group sends. It must not be called before Sync has returned.
func (w *Writer) Sign(g *Group) {
	for i := range g.effects {
		for _, e := range g.effects[i].Enter {
			w.epochs[e.ID] = e
		}
		for _, o := range g.effects[i].Send {
			m := o.Again
			if m == nil {
				m = message.Sign(w.scheme, w.key, w.epochs[o.Epoch], w.self, o.Body)
			}
			g.signed = append(g.signed, Envelope{Message: m, To: o.To, Way: o.Way})
		}
	}
}

// Close closes the log.
func (w *Writer) Close() error { return w.log.Close() }

// index keeps track of where batches and blocks are.
func (w *Writer) index(rec ordering.Record, at store.Position) error {
	switch rec := rec.(type) {
	case *ordering.Bodies:
		w.bodies[rec.Batch.Digest()] = at
		w.blocks.Regain(rec.Batch.Digest(), at)
	case *ordering.Decided:
		return w.addBlock(rec.Header.Seq, rec.Header.Batch, at)
	case *ordering.Base:
		w.addBase(rec, at)
	}
	return nil
}

func (w *Writer) addBlock(seq epoch.Seq, batch crypto.Digest, at store.Position) error {
	body, ok := w.bodies[batch]
	if !ok {
		return fmt.Errorf("log: block %d names batch %s, which is not there", seq, batch.Short())
	}
	return w.blocks.Add(uint64(seq), at, body)
}

// addBase notes which checkpoint a Base proves, and lets go of batches that none of its facts names.
func (w *Writer) addBase(b *ordering.Base, at store.Position) {
	if len(b.Stable.Attestations) > 0 { // else it is where an epoch begins, and the hand-over proves it
		w.blocks.AddCheckpoint(uint64(b.Stable.Header.Seq), at)
	}
	kept := make(map[crypto.Digest]store.Position)
	for _, f := range b.Facts {
		if v, ok := ordering.VoteOf(f); ok {
			if at, ok := w.bodies[v.Digest]; ok {
				kept[v.Digest] = at
			}
		}
	}
	w.bodies = kept
}
