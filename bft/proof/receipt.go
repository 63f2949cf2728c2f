package proof

import (
	"errors"
	"fmt"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
)

// Result is what came of one transaction, as results roots commit to it. Its layout is that of the state machine's
// outcomes, and in docs/protocol/encoding.md.
type Result struct {
	ID     crypto.Digest
	Status uint8     // 1 applied, 2 failed, 3 duplicate, 4 expired; docs/protocol/transactions.md has the others
	Code   uint16    // why, if it failed
	Seq    epoch.Seq // where it was decided first: another slot than its own if it is a duplicate
	Value  []byte    // the operation's result
}

// Leaf is the result as a leaf of the results tree.
func (r *Result) Leaf() []byte {
	var w message.Writer
	w.Fixed(r.ID[:])
	w.U8(r.Status)
	w.U16(r.Code)
	w.U64(uint64(r.Seq))
	w.String(r.Value)
	return w.Bytes()
}

// Receipt shows that a transaction had a result in the block of a header, and that members vouch for that header:
// headers from the block's on, each the parent of the next, and attestations to any of them.
type Receipt struct {
	Result       Result
	Index, Count int             // the transaction's place in its block, and how many there are
	Path         []crypto.Digest // from the leaf up to the results root
	Headers      []Header
	Attestations []*message.Signed // by distinct members, in order of their numbers
	HandOvers    []*HandOver       // from the first epoch to that of the headers, for those who know the genesis only
}

// VerifyFrom says why the receipt does not show its result to those who know the first epoch and nothing else. It yields the epoch of
// the block, by whose rule the result is acknowledged.
func (r *Receipt) VerifyFrom(first *epoch.Epoch, s crypto.Scheme) (*epoch.Epoch, error) {
	e := first
	for i, h := range r.HandOvers {
		next, err := h.Verify(e, s)
		if err != nil {
			return nil, fmt.Errorf("receipt: epoch %d: %w", i+1, err)
		}
		e = next
	}
	return e, r.Verify(e, s, e.Acknowledgers())
}

// Verify says why the receipt does not show that at least vouchers members of e vouch for its result. With a quorum
// the result survives whatever f members do; with e.Witnesses() one of them is correct. What was decided before e began is not
// theirs to vouch for, since the rule of an earlier epoch may ask for more of them.
func (r *Receipt) Verify(e *epoch.Epoch, s crypto.Scheme, vouchers int) error {
	if len(r.Headers) == 0 {
		return errors.New("receipt: no header")
	}
	digests := make([]crypto.Digest, len(r.Headers))
	for i := range r.Headers {
		h := &r.Headers[i]
		digests[i] = h.Digest()
		switch {
		case h.Epoch != e.ID:
			return fmt.Errorf("receipt: header %d %w", h.Seq, errForeignEpoch)
		case h.Seq <= e.Base:
			return fmt.Errorf("receipt: header %d, but its epoch begins behind %d", h.Seq, e.Base)
		case i > 0 && (h.Parent != digests[i-1] || h.Seq != r.Headers[i-1].Seq+1):
			return fmt.Errorf("receipt: header %d is not the child of %d", h.Seq, r.Headers[i-1].Seq)
		}
	}
	if !crypto.VerifyMerklePath(r.Headers[0].Results, r.Result.Leaf(), r.Index, r.Count, r.Path) {
		return fmt.Errorf("receipt: the result is not in block %d", r.Headers[0].Seq)
	}
	err := certificate(r.Attestations, e, s, vouchers, func(m *message.Signed) error {
		a, ok := m.Body.(*message.Attestation)
		if !ok {
			return fmt.Errorf("%s among the attestations", m.Body.Kind())
		}
		first := r.Headers[0].Seq
		if a.Seq < first || a.Seq-first >= epoch.Seq(len(r.Headers)) || digests[a.Seq-first] != a.Header {
			return fmt.Errorf("attestation to header %d, which is not among these", a.Seq)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("receipt: %w", err)
	}
	return nil
}
