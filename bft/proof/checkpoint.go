package proof

import (
	"errors"
	"fmt"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
)

// Checkpoint is a header with a quorum's attestations to exactly it. Zero attestations vouch for the genesis only.
type Checkpoint struct {
	Header       Header
	Attestations []*message.Signed // by distinct members, in order of their numbers
}

// Verify says why the checkpoint does not hold in e. It is valid whole or not at all: one bad attestation spoils it,
// so that nobody can make a correct replica pass on what another refuses.
func (c *Checkpoint) Verify(e *epoch.Epoch, s crypto.Scheme) error {
	if c.Header.Epoch != e.ID {
		return errForeignEpoch
	}
	return VerifyAttested(c.Header.Seq, c.Header.Digest(), c.Attestations, e, s)
}

// VerifyAttested says why votes do not show that a quorum of e has attested exactly this header.
func VerifyAttested(seq epoch.Seq, header crypto.Digest, votes []*message.Signed, e *epoch.Epoch, s crypto.Scheme) error {
	return certificate(votes, e, s, e.Quorum(), func(m *message.Signed) error {
		a, ok := m.Body.(*message.Attestation)
		switch {
		case !ok:
			return fmt.Errorf("%s among the attestations", m.Body.Kind())
		case a.Seq != seq || a.Header != header:
			return errors.New("attestation to another header")
		}
		return nil
	})
}

// VerifyPrepared says why a certificate does not show that its batch was prepared (Castro & Liskov, §4.2): the leader's
// PrePrepare, and with it the Prepares of backups from a quorum.
func VerifyPrepared(c *message.Certificate, e *epoch.Epoch, s crypto.Scheme) error {
	leader := e.Leader(c.View)
	proposed := false
	if err := certificate(c.Votes, e, s, e.Quorum(), func(m *message.Signed) error {
		var vote message.Vote
		switch b := m.Body.(type) {
		case *message.PrePrepare:
			vote, proposed = b.Vote, true
			if m.Author != leader {
				return errors.New("pre-prepare by one who does not lead the view")
			}
		case *message.Prepare:
			vote = b.Vote
			if m.Author == leader {
				return errors.New("prepare by the leader")
			}
		default:
			return fmt.Errorf("%s among the prepares", b.Kind())
		}
		if vote != c.Vote {
			return errors.New("vote for something else")
		}
		return nil
	}); err != nil {
		return err
	}
	if !proposed {
		return errors.New("prepares without the pre-prepare")
	}
	return nil
}

// Encode writes the checkpoint.
func (c *Checkpoint) Encode(w *message.Writer) {
	c.Header.Encode(w)
	message.WriteVotes(w, c.Attestations)
}

// ReadCheckpoint reads what Encode writes.
func ReadCheckpoint(r *message.Reader) *Checkpoint {
	return &Checkpoint{Header: ReadHeader(r), Attestations: message.ReadVotes(r)}
}

// EncodeCheckpoint is c's encoding.
func EncodeCheckpoint(c *Checkpoint) []byte {
	var w message.Writer
	c.Encode(&w)
	return w.Bytes()
}

// DecodeCheckpoint reads a whole encoded checkpoint.
func DecodeCheckpoint(b []byte) (*Checkpoint, error) {
	r := message.NewReader(b)
	c := ReadCheckpoint(r)
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("checkpoint: %w", err)
	}
	return c, nil
}

var (
	errForeignEpoch = errors.New("is of another epoch")
	errOrder        = errors.New("votes not in order of distinct members")
)

// certificate judges the votes of at least so many members; judge says whether a vote is for the thing.
func certificate(votes []*message.Signed, e *epoch.Epoch, s crypto.Scheme, least int, judge func(*message.Signed) error) error {
	if len(votes) < least {
		return fmt.Errorf("%d votes, want %d", len(votes), least)
	}
	if len(votes) > e.N() {
		return fmt.Errorf("%d votes of %d members", len(votes), e.N())
	}
	claims := make([]crypto.Claim, len(votes))
	last := epoch.ReplicaID(0)
	for i, v := range votes {
		switch {
		case v.Chain != e.Chain || v.Epoch != e.ID || v.Mode != e.Mode:
			return errForeignEpoch
		case !e.Has(v.Author):
			return fmt.Errorf("vote of %d, who is no member", v.Author)
		case v.Author <= last:
			return errOrder
		}
		last = v.Author
		if err := judge(v); err != nil {
			return err
		}
		claims[i] = v.Claim(e)
	}
	for i, ok := range s.VerifyBatch(claims) {
		if !ok {
			return fmt.Errorf("signature of %d does not hold", votes[i].Author)
		}
	}
	return nil
}
