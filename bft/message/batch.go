package message

import (
	"errors"
	"fmt"
	"math"

	"github.com/quorate/quorate/crypto"
)

const domainBatch = "quorate/batch/1"

// MaxBatchRequests and MaxBatchBytes bound a batch under any parameters.
const (
	MaxBatchRequests = 10_000
	MaxBatchBytes    = 2 << 20
)

// Batch is what one slot decides on: the leader's time and transactions in order, or a change that ends the epoch.
//
// Its digest is taken over the transactions' body digests, and depends on neither view nor leader: the same batch
// proposed again in a later view is the same.
type Batch struct {
	Time     int64 // milliseconds since 1970 on the leader's clock
	Requests []*Request
	Change   *Change // then there are no requests

	digest crypto.Digest
}

// NewBatch puts transactions in order.
func NewBatch(time int64, requests []*Request) *Batch {
	b := &Batch{Time: time, Requests: requests}
	b.digest = b.Outline().Digest()
	return b
}

// Outline is the batch by its transactions' names.
func (b *Batch) Outline() *Outline {
	bodies := make([]crypto.Digest, len(b.Requests))
	for i, q := range b.Requests {
		bodies[i] = q.Body()
	}
	return NewOutline(b.Time, bodies)
}

// Digest names the batch.
func (b *Batch) Digest() crypto.Digest { return b.digest }

// Size is how many bytes the batch's transactions have; of a change, none.
func (b *Batch) Size() int {
	n := 0
	for _, q := range b.Requests {
		n += q.Size()
	}
	return n
}

// isChange stands in the place of a count of transactions.
const isChange = math.MaxUint32

// Encode writes the batch with every transaction.
func (b *Batch) Encode(w *Writer) {
	w.U64(uint64(b.Time))
	if b.Change != nil {
		w.U32(isChange)
		b.Change.Encode(w)
		return
	}
	w.U32(uint32(len(b.Requests)))
	for _, q := range b.Requests {
		w.String(q.Bytes())
	}
}

var errTwice = errors.New("names one transaction twice")

// DecodeBatch reads what Encode writes. It refuses a batch that names a transaction twice, or is over the bounds
// that hold under any parameters.
func DecodeBatch(r *Reader) *Batch {
	time := int64(r.U64())
	if r.comes(isChange) {
		c := ReadChange(r)
		if r.err != nil {
			return nil
		}
		return NewChangeBatch(time, c)
	}
	n := r.Count(MaxBatchRequests, 4+RequestOverhead)
	requests := make([]*Request, 0, n)
	seen := make(map[crypto.Digest]struct{}, n)
	size := 0
	for range n {
		raw := r.String(MaxRequestBytes)
		if r.err != nil {
			return nil
		}
		q, err := DecodeRequest(raw)
		if err != nil {
			r.Fail(err)
			return nil
		}
		if _, again := seen[q.id]; again {
			r.Fail(errTwice)
			return nil
		}
		seen[q.id] = struct{}{}
		if size += q.Size(); size > MaxBatchBytes {
			r.Fail(fmt.Errorf("batch: over %d bytes", MaxBatchBytes))
			return nil
		}
		requests = append(requests, q)
	}
	if r.err != nil {
		return nil
	}
	return NewBatch(time, requests)
}
