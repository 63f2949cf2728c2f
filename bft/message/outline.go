package message

import (
	"errors"
	"fmt"

	"github.com/quorate/quorate/crypto"
)

// Outline is a batch by the names of its transactions, which its digest covers in the same way: it is enough to know
// what is proposed, and not enough to vote for it.
type Outline struct {
	Time   int64           // milliseconds since 1970 on the leader's clock
	Bodies []crypto.Digest // of the transactions, in order; none twice

	digest crypto.Digest
}

// NewOutline names transactions by their bodies' digests, in order.
func NewOutline(time int64, bodies []crypto.Digest) *Outline {
	w := Writer{buf: make([]byte, 0, 12+len(bodies)*crypto.DigestSize)}
	o := &Outline{Time: time, Bodies: bodies}
	o.Encode(&w)
	o.digest = crypto.Hash(domainBatch, w.Bytes())
	return o
}

// Digest is the batch's.
func (o *Outline) Digest() crypto.Digest { return o.digest }

// Encode writes the outline.
func (o *Outline) Encode(w *Writer) {
	w.U64(uint64(o.Time))
	w.U32(uint32(len(o.Bodies)))
	for i := range o.Bodies {
		w.Fixed(o.Bodies[i][:])
	}
}

// DecodeOutline reads what Encode writes. It refuses an outline that names a transaction twice.
func DecodeOutline(r *Reader) *Outline {
	time := int64(r.U64())
	bodies := make([]crypto.Digest, r.Count(MaxBatchRequests, crypto.DigestSize))
	seen := make(map[crypto.Digest]struct{}, len(bodies))
	for i := range bodies {
		bodies[i] = r.Digest()
		if _, again := seen[bodies[i]]; again {
			r.Fail(errTwice)
			return nil
		}
		seen[bodies[i]] = struct{}{}
	}
	if r.err != nil {
		return nil
	}
	return NewOutline(time, bodies)
}

var errOutline = errors.New("is not what the outline names")

// Fill is the batch that the outline names, of its transactions in order. An error says why it is none: a transaction is
// another one, or two are one but for their signatures.
func (o *Outline) Fill(requests []*Request) (*Batch, error) {
	if len(requests) != len(o.Bodies) {
		return nil, fmt.Errorf("batch of %d transactions %w, %d", len(requests), errOutline, len(o.Bodies))
	}
	seen := make(map[crypto.Digest]struct{}, len(requests))
	for i, q := range requests {
		if q.Body() != o.Bodies[i] {
			return nil, fmt.Errorf("transaction %s %w at %d", q.ID().Short(), errOutline, i)
		}
		if _, again := seen[q.ID()]; again {
			return nil, errTwice
		}
		seen[q.ID()] = struct{}{}
	}
	return &Batch{Time: o.Time, Requests: requests, digest: o.digest}, nil
}
