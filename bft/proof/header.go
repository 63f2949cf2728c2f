// Package proof has what can be shown to a stranger, and how he checks it: headers, attestations, checkpoints, blocks.
package proof

import (
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
)

const domainHeader = "quorate/header/1"

// Header says what a slot decided and what came of it. The headers of a chain name each other as parents, so that
// who believes one believes all before it.
type Header struct {
	Epoch     crypto.Digest // identity of the epoch the slot belongs to
	Seq       epoch.Seq
	Parent    crypto.Digest // digest of the header before
	Batch     crypto.Digest
	Results   crypto.Digest // Merkle root of the outcomes, in order
	State     crypto.Digest // running digest of all that was ever written
	Time      int64         // ms since 1970; never before the parent's
	NextEpoch crypto.Digest // digest of the epoch that this slot announces; zero if it announces none
}

// HeaderSize is the length of an encoded header, in bytes.
const HeaderSize = 32 + 8 + 32 + 32 + 32 + 32 + 8 + 32

// Digest is what attestations sign and children name.
func (h *Header) Digest() crypto.Digest {
	var w message.Writer
	h.Encode(&w)
	return crypto.Hash(domainHeader, w.Bytes())
}

// Encode writes the header.
func (h *Header) Encode(w *message.Writer) {
	w.Fixed(h.Epoch[:])
	w.U64(uint64(h.Seq))
	w.Fixed(h.Parent[:])
	w.Fixed(h.Batch[:])
	w.Fixed(h.Results[:])
	w.Fixed(h.State[:])
	w.U64(uint64(h.Time))
	w.Fixed(h.NextEpoch[:])
}

// ReadHeader reads what Encode writes.
func ReadHeader(r *message.Reader) Header {
	return Header{
		Epoch: r.Digest(), Seq: epoch.Seq(r.U64()), Parent: r.Digest(), Batch: r.Digest(),
		Results: r.Digest(), State: r.Digest(), Time: int64(r.U64()), NextEpoch: r.Digest(),
	}
}
