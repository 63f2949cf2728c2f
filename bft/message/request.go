package message

import (
	"errors"
	"fmt"

	"github.com/quorate/quorate/crypto"
)

// Layout of a transaction: docs/protocol/transactions.md. All that is not the operation or its signature has a fixed
// place, so that any language can build one in ten lines.
const (
	requestTag     = "quorate/tx"
	requestVersion = 1
	// RequestOverhead is what a transaction takes beside its operation, in bytes.
	RequestOverhead = len(requestTag) + 1 + 32 + 32 + 8 + 8 + 4 + crypto.SignatureSize

	domainRequestID   = "quorate/tx/id/1"
	domainRequestBody = "quorate/tx/body/1"
)

// MaxRequestBytes bounds a transaction under any parameters, signature included.
const MaxRequestBytes = 256 << 10

// Request is a transaction: what a client asks to be ordered and executed. It is a value that nobody changes.
type Request struct {
	Chain     crypto.Digest
	Sender    crypto.PublicKey
	Nonce     uint64 // unique per sender, from 1; see the window of docs/protocol/transactions.md
	Last      uint64 // the last sequence number at which it may execute
	Operation []byte // for the state machine
	Signature crypto.Signature

	raw  []byte // the exact bytes: signed bytes, then the signature
	id   crypto.Digest
	body crypto.Digest
}

// NewRequest lays out and signs a transaction.
func NewRequest(s crypto.Scheme, key crypto.PrivateKey, chain crypto.Digest, nonce, last uint64, operation []byte) *Request {
	var w Writer
	w.Fixed([]byte(requestTag))
	w.U8(requestVersion)
	w.Fixed(chain[:])
	sender := key.Public()
	w.Fixed(sender[:])
	w.U64(nonce)
	w.U64(last)
	w.String(operation)
	signature := s.Sign(key, w.Bytes())
	w.Fixed(signature[:])
	r, err := DecodeRequest(w.Bytes())
	if err != nil {
		// Only an operation beyond MaxRequestBytes gets here; every caller bounds it before.
		panic("message: " + err.Error())
	}
	return r
}

var errNonceZero = errors.New("nonce is 0, want 1 or more")

// DecodeRequest reads a transaction's exact bytes, which it keeps. It does not judge the signature.
func DecodeRequest(raw []byte) (*Request, error) {
	if len(raw) > MaxRequestBytes {
		return nil, fmt.Errorf("transaction: %d bytes, at most %d", len(raw), MaxRequestBytes)
	}
	r := NewReader(raw)
	q := &Request{raw: raw}
	if string(r.take(len(requestTag))) != requestTag {
		r.Fail(errors.New("does not begin with " + requestTag))
	}
	if v := r.U8(); v != requestVersion {
		r.Fail(fmt.Errorf("version %d, want %d", v, requestVersion))
	}
	q.Chain = r.Digest()
	r.Fixed(q.Sender[:])
	q.Nonce = r.U64()
	q.Last = r.U64()
	q.Operation = r.String(MaxRequestBytes)
	r.Fixed(q.Signature[:])
	if r.err == nil && q.Nonce == 0 {
		r.Fail(errNonceZero)
	}
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("transaction: %w", err)
	}
	q.id = crypto.Hash(domainRequestID, q.signed())
	q.body = crypto.Hash(domainRequestBody, raw)
	return q, nil
}

// ID names the transaction, whatever its signature. It serves deduplication only.
func (q *Request) ID() crypto.Digest { return q.id }

// Body names the transaction with its signature; a batch lists its transactions by it.
func (q *Request) Body() crypto.Digest { return q.body }

// Bytes are the transaction's exact bytes.
func (q *Request) Bytes() []byte { return q.raw }

// Size is how many bytes the transaction has.
func (q *Request) Size() int { return len(q.raw) }

// Claim is what must hold for the transaction to be its sender's.
func (q *Request) Claim() crypto.Claim {
	return crypto.Claim{Key: q.Sender, Message: q.signed(), Signature: q.Signature}
}

func (q *Request) signed() []byte { return q.raw[:len(q.raw)-crypto.SignatureSize] }
