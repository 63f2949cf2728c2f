package message

import (
	"bytes"
	"strings"
	"testing"

	"github.com/quorate/quorate/crypto"
)

// The id is that of what was asked, the body's digest that of what was sent: signed again it is the same transaction
// in another body.
//
// case D3; taking the signature into the id turns it red.
func TestIDLeavesTheSignatureOut(t *testing.T) {
	q := request(1, "put")
	raw := append([]byte(nil), q.Bytes()...)
	raw[len(raw)-1] ^= 1
	other, err := DecodeRequest(raw)
	if err != nil {
		t.Fatal(err)
	}
	if other.ID() != q.ID() || other.Body() == q.Body() {
		t.Errorf("another signature: same id %v, same body %v", other.ID() == q.ID(), other.Body() == q.Body())
	}
	if !testScheme.Verify(q.Claim()) || testScheme.Verify(other.Claim()) {
		t.Error("the claim is not the one that was signed")
	}
	for i := range len(raw) - crypto.SignatureSize {
		changed := append([]byte(nil), q.Bytes()...)
		changed[i] ^= 1
		if c, err := DecodeRequest(changed); err == nil && c.ID() == q.ID() {
			t.Errorf("byte %d is not under the id", i)
		}
	}
}

func TestTransactionsOutOfFormAreRefused(t *testing.T) {
	base := request(7, "put").Bytes()
	for _, c := range []struct {
		want   string
		change func([]byte) []byte
	}{
		{"does not begin", func(b []byte) []byte { b[0] = 'Q'; return b }},
		{"version 2", func(b []byte) []byte { b[10] = 2; return b }},
		{"nonce is 0", func(b []byte) []byte { copy(b[75:], make([]byte, 8)); return b }},
		{"cut short", func(b []byte) []byte { b[94]++; return b }},
		{"trailing", func(b []byte) []byte { b[94]--; return b }},
		{"at most", func(b []byte) []byte { return make([]byte, MaxRequestBytes+1) }},
	} {
		_, err := DecodeRequest(c.change(append([]byte(nil), base...)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
	if got := len(base) - len("put"); got != RequestOverhead {
		t.Errorf("%d bytes beside the operation, want %d", got, RequestOverhead)
	}
	if q := NewRequest(testScheme, key(9), crypto.Digest{}, 1, 1, make([]byte, MaxRequestBytes-RequestOverhead)); q.Size() != MaxRequestBytes {
		t.Errorf("the largest transaction has %d bytes", q.Size())
	}
}

// A batch's digest depends on its time and on its transactions in their order, signatures included, and on nothing else.
func TestBatchDigestNamesTimeOrderAndBodies(t *testing.T) {
	a, b := request(1, "a"), request(2, "b")
	raw := append([]byte(nil), a.Bytes()...)
	raw[len(raw)-1] ^= 1
	resigned, err := DecodeRequest(raw)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[crypto.Digest]int)
	for i, x := range []*Batch{
		NewBatch(1, nil), NewBatch(2, nil), NewBatch(1, []*Request{a}), NewBatch(1, []*Request{b}),
		NewBatch(1, []*Request{a, b}), NewBatch(1, []*Request{b, a}), NewBatch(1, []*Request{resigned, b}),
	} {
		if j, again := seen[x.Digest()]; again {
			t.Errorf("batches %d and %d have one digest", i, j)
		}
		seen[x.Digest()] = i
		r := NewReader(encodeBatch(x))
		got := DecodeBatch(r)
		if err := r.Close(); err != nil || got.Digest() != x.Digest() || got.Size() != x.Size() {
			t.Errorf("batch %d: did not come back as it was: %v", i, err)
		}
	}
}

// One transaction twice in a batch is no batch, whatever its signatures.
//
// case A9; comparing bodies instead of ids turns the second row red.
func TestBatchNamesATransactionOnce(t *testing.T) {
	a := request(1, "a")
	raw := append([]byte(nil), a.Bytes()...)
	raw[len(raw)-1] ^= 1
	resigned, err := DecodeRequest(raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, second := range []*Request{a, resigned} {
		r := NewReader(encodeBatch(NewBatch(1, []*Request{a, second})))
		if DecodeBatch(r); r.Err() == nil {
			t.Error("a transaction twice passes")
		}
	}
	big := make([]*Request, 0, 9)
	for i := range uint64(9) {
		big = append(big, request(i+1, string(bytes.Repeat([]byte{'x'}, MaxRequestBytes-RequestOverhead))))
	}
	for n, pass := range map[int]bool{8: true, 9: false} {
		r := NewReader(encodeBatch(NewBatch(1, big[:n])))
		if DecodeBatch(r); (r.Err() == nil) != pass {
			t.Errorf("a batch of %d × 256 KiB passes: %v", n, r.Err() == nil)
		}
	}
}
