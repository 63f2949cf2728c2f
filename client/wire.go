package client

import (
	"errors"
	"fmt"

	quoratev1 "github.com/quorate/quorate/api/quorate/v1"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// Whatever is here comes from a stranger, and may be anything.

var (
	errDigest = errors.New("digest of another length")
	errHeader = errors.New("header of another length")
	errRange  = errors.New("number out of range")
)

func readReceipt(in *quoratev1.Receipt) (*proof.Receipt, error) {
	if len(in.GetPath()) > proof.MaxReceiptPath || len(in.GetHeaders()) > proof.MaxReceiptHeaders {
		return nil, fmt.Errorf("receipt with %d digests and %d headers", len(in.GetPath()), len(in.GetHeaders()))
	}
	r := &proof.Receipt{Index: int(in.GetIndex()), Count: int(in.GetCount())}
	result, err := readResult(in.GetResult())
	if err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	r.Result = result
	for _, raw := range in.GetPath() {
		if len(raw) != crypto.DigestSize {
			return nil, fmt.Errorf("receipt: %w", errDigest)
		}
		r.Path = append(r.Path, crypto.Digest(raw))
	}
	for _, raw := range in.GetHeaders() {
		h, err := readHeader(raw)
		if err != nil {
			return nil, fmt.Errorf("receipt: %w", err)
		}
		r.Headers = append(r.Headers, h)
	}
	if r.Attestations, err = readVotes(in.GetAttestations()); err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	return r, nil
}

func readResult(in *quoratev1.Result) (proof.Result, error) {
	if len(in.GetId()) != crypto.DigestSize {
		return proof.Result{}, errDigest
	}
	if s := in.GetStatus(); s < 1 || s > 255 || in.GetCode() > 1<<16-1 {
		return proof.Result{}, errRange
	}
	return proof.Result{
		ID: crypto.Digest(in.GetId()), Status: uint8(in.GetStatus()), Code: uint16(in.GetCode()),
		Seq: epoch.Seq(in.GetSeq()), Value: in.GetValue(),
	}, nil
}

func readHeader(raw []byte) (proof.Header, error) {
	if len(raw) != proof.HeaderSize {
		return proof.Header{}, errHeader
	}
	return proof.ReadHeader(message.NewReader(raw)), nil
}

func readVotes(in []*quoratev1.Signed) ([]*message.Signed, error) {
	if len(in) > epoch.MaxMembers {
		return nil, fmt.Errorf("%d votes, at most %d", len(in), epoch.MaxMembers)
	}
	votes := make([]*message.Signed, len(in))
	for i, v := range in {
		if len(v.GetSignature()) != crypto.SignatureSize {
			return nil, errors.New("signature of another length")
		}
		var w message.Writer
		w.String(v.GetSigned())
		w.Fixed(v.GetSignature())
		r := message.NewReader(w.Bytes())
		votes[i] = message.ReadDetached(r)
		if err := r.Close(); err != nil {
			return nil, fmt.Errorf("vote: %w", err)
		}
	}
	return votes, nil
}

// answer is what both Submit and GetTransaction answer.
type answer interface {
	GetId() []byte
	GetSeq() uint64
	GetIndex() uint32
	GetStatus() quoratev1.Status
	GetCode() uint32
	GetResult() []byte
	GetReceipt() *quoratev1.Receipt
}

// judge reads a node's answer about a transaction. Proven says that a quorum vouches for the outcome; without that it
// is that node's word.
func (c *Client) judge(id crypto.Digest, a answer) (o Outcome, proven bool, err error) {
	if a.GetReceipt() == nil {
		r, err := readResult(&quoratev1.Result{Id: a.GetId(), Status: a.GetStatus(), Code: a.GetCode(), Seq: a.GetSeq(), Value: a.GetResult()})
		switch {
		case err != nil:
			return Outcome{}, false, err
		case r.ID != id:
			return Outcome{}, false, errOther
		}
		return outcomeOf(&r, r.Seq, int(a.GetIndex())), false, nil
	}
	r, err := c.verifiedReceipt(id, a.GetReceipt())
	if err != nil {
		return Outcome{}, false, err
	}
	o = outcomeOf(&r.Result, r.Headers[0].Seq, r.Index)
	o.Receipt = r
	return o, true, nil
}

// verifiedReceipt reads a receipt for a transaction's outcome, if a quorum vouches for it.
func (c *Client) verifiedReceipt(id crypto.Digest, in *quoratev1.Receipt) (*proof.Receipt, error) {
	r, err := readReceipt(in)
	if err != nil {
		return nil, err
	}
	if r.Result.ID != id {
		return nil, errOther
	}
	if err := r.Verify(c.epoch, c.scheme, c.epoch.Acknowledgers()); err != nil {
		return nil, err
	}
	return r, nil
}

var errOther = errors.New("answer about another transaction")

func outcomeOf(r *proof.Result, seq epoch.Seq, index int) Outcome {
	return Outcome{ID: r.ID, Seq: seq, Index: index, Status: Status(r.Status), Code: r.Code, Result: r.Value}
}
