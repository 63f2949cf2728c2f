package proof

import (
	"errors"
	"fmt"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
)

// Decision is a slot's header and the proof that its batch was decided: a quorum's commits.
type Decision struct {
	Header      Header
	View        epoch.View
	Certificate []*message.Signed // by distinct members, in order of their numbers; members' certificates may differ
}

// Block is a decision with its batch.
type Block struct {
	Decision
	Batch *message.Batch
}

// Verify says why the certificate does not prove, in e, that the block's batch was decided at its slot. It says
// nothing about what came of the batch: results and state are for who executes it, or has attestations.
func (b *Block) Verify(e *epoch.Epoch, s crypto.Scheme) error {
	if b.Batch.Digest() != b.Header.Batch {
		return errors.New("batch is not the header's")
	}
	return b.Decision.Verify(e, s)
}

// Verify says why the certificate does not prove, in e, that the header's batch was decided at its slot.
func (d *Decision) Verify(e *epoch.Epoch, s crypto.Scheme) error {
	if d.Header.Epoch != e.ID {
		return errForeignEpoch
	}
	return VerifyDecided(message.Vote{View: d.View, Seq: d.Header.Seq, Digest: d.Header.Batch}, d.Certificate, e, s)
}

// VerifyDecided says why votes do not show that a quorum of e has decided a batch: by its commits, or in crash mode by having accepted it.
func VerifyDecided(want message.Vote, votes []*message.Signed, e *epoch.Epoch, s crypto.Scheme) error {
	return certificate(votes, e, s, e.Quorum(), func(m *message.Signed) error {
		var vote message.Vote
		switch b := m.Body.(type) {
		case *message.Commit:
			vote = b.Vote
		case *message.PaxosAccepted:
			vote = b.Vote
		default:
			return fmt.Errorf("%s among the votes that decide", m.Body.Kind())
		}
		if vote != want {
			return errors.New("vote for another batch, slot or view")
		}
		return m.Body.Kind().CheckMode(e.Mode)
	})
}

// Encode writes the decision.
func (d *Decision) Encode(w *message.Writer) {
	d.Header.Encode(w)
	w.U64(uint64(d.View))
	message.WriteVotes(w, d.Certificate)
}

// ReadDecision reads what Encode writes.
func ReadDecision(r *message.Reader) *Decision {
	return &Decision{Header: ReadHeader(r), View: epoch.View(r.U64()), Certificate: message.ReadVotes(r)}
}

// EncodeBlock is b's encoding: the decision's, then the batch's with every transaction.
func EncodeBlock(b *Block) []byte {
	var w message.Writer
	b.Decision.Encode(&w)
	b.Batch.Encode(&w)
	return w.Bytes()
}

// DecodeBlock reads a whole encoded block.
func DecodeBlock(raw []byte) (*Block, error) {
	r := message.NewReader(raw)
	b := &Block{Decision: *ReadDecision(r), Batch: message.DecodeBatch(r)}
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("block: %w", err)
	}
	return b, nil
}
