package proof

import (
	"errors"
	"fmt"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
)

// Bounds of what a receipt has.
const (
	MaxReceiptPath    = 32 // no block has 2^32 transactions
	MaxReceiptHeaders = 4096
	MaxHandOvers      = 4096 // from the genesis on
)

// A receipt is kept in files by people who have nothing else of Quorate's, so its bytes begin with what they are.
// One of the first epoch has version 1, one of a later epoch version 2, with the hand-overs.
const (
	receiptTag   = "quorate/receipt"
	receiptFirst = 1
	receiptLater = 2
)

var (
	errNoReceipt      = errors.New("these bytes do not begin as a receipt does")
	errReceiptVersion = errors.New("receipt of a later version: verify it with a later release")
	errReceiptLater   = errors.New("receipt of a later epoch, without what leads there")
)

// EncodeReceipt is r's encoding.
func EncodeReceipt(r *Receipt) []byte {
	var w message.Writer
	w.Fixed([]byte(receiptTag))
	if len(r.HandOvers) == 0 {
		w.U8(receiptFirst)
	} else {
		w.U8(receiptLater)
		w.U32(uint32(len(r.HandOvers)))
		for _, h := range r.HandOvers {
			h.Encode(&w)
		}
	}
	w.Fixed(r.Result.Leaf())
	w.U32(uint32(r.Index))
	w.U32(uint32(r.Count))
	w.U32(uint32(len(r.Path)))
	for i := range r.Path {
		w.Fixed(r.Path[i][:])
	}
	w.U32(uint32(len(r.Headers)))
	for i := range r.Headers {
		r.Headers[i].Encode(&w)
	}
	message.WriteVotes(&w, r.Attestations)
	return w.Bytes()
}

// DecodeReceipt reads a whole encoded receipt. That it is one says nothing about whether it holds.
func DecodeReceipt(raw []byte) (*Receipt, error) {
	in := message.NewReader(raw)
	var tag [len(receiptTag)]byte
	in.Fixed(tag[:])
	if string(tag[:]) != receiptTag {
		return nil, errNoReceipt
	}
	r := &Receipt{}
	switch v := in.U8(); v {
	case receiptFirst:
	case receiptLater:
		for range in.Count(MaxHandOvers, HeaderSize) {
			r.HandOvers = append(r.HandOvers, ReadHandOver(in))
		}
		if len(r.HandOvers) == 0 {
			return nil, errReceiptLater
		}
	default:
		return nil, fmt.Errorf("%w: %d", errReceiptVersion, v)
	}
	r.Result, r.Index, r.Count = readResult(in), int(in.U32()), int(in.U32())
	for range in.Count(MaxReceiptPath, crypto.DigestSize) {
		r.Path = append(r.Path, in.Digest())
	}
	for range in.Count(MaxReceiptHeaders, HeaderSize) {
		r.Headers = append(r.Headers, ReadHeader(in))
	}
	r.Attestations = message.ReadVotes(in)
	if err := in.Close(); err != nil {
		return nil, fmt.Errorf("receipt: %w", err)
	}
	return r, nil
}

// readResult reads what Leaf writes.
func readResult(in *message.Reader) Result {
	return Result{ID: in.Digest(), Status: in.U8(), Code: in.U16(), Seq: epoch.Seq(in.U64()), Value: in.String(message.MaxRequestBytes)}
}
