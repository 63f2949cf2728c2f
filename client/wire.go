package client

import (
	"context"
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
		var err error
		if votes[i], err = readVote(v.GetSigned(), v.GetSignature()); err != nil {
			return nil, err
		}
	}
	return votes, nil
}

func readVote(signed, signature []byte) (*message.Signed, error) {
	if len(signature) != crypto.SignatureSize {
		return nil, errors.New("signature of another length")
	}
	var w message.Writer
	w.String(signed)
	w.Fixed(signature)
	r := message.NewReader(w.Bytes())
	v := message.ReadDetached(r)
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("vote: %w", err)
	}
	return v, nil
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

// learnOf has a node show what leads to the epoch of a receipt that it has answered with, unless that is known or there is none.
func (c *Client) learnOf(ctx context.Context, n node, in *quoratev1.Receipt) error {
	if len(in.GetHeaders()) == 0 {
		return nil
	}
	return c.learn(ctx, n, in.GetHeaders()[0])
}

// verifiedReceipt reads a receipt for a transaction's outcome, if as many vouch for it as its epoch asks for. It leads there from the genesis.
func (c *Client) verifiedReceipt(id crypto.Digest, in *quoratev1.Receipt) (*proof.Receipt, error) {
	r, err := readReceipt(in)
	if err != nil {
		return nil, err
	}
	if r.Result.ID != id {
		return nil, errOther
	}
	if len(r.Headers) == 0 {
		return nil, errNoHeader
	}
	e, leads, err := c.epochs.of(&r.Headers[len(r.Headers)-1])
	if err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	if err := r.Verify(e, c.scheme, e.Acknowledgers()); err != nil {
		return nil, err
	}
	r.HandOvers = leads
	return r, nil
}

var (
	errOther    = errors.New("answer about another transaction")
	errNoHeader = errors.New("receipt: no header")
)

func outcomeOf(r *proof.Result, seq epoch.Seq, index int) Outcome {
	return Outcome{ID: r.ID, Seq: seq, Index: index, Status: Status(r.Status), Code: r.Code, Result: r.Value}
}
