package message

import (
	"bytes"
	"testing"
)

// Whatever comes in, no decoder panics, and what it accepts it would have written so: so with all that are fuzzed here.
//
// case D12 D13; slicing what was not measured before, or taking trailing bytes, turns it red.
func FuzzDecode(f *testing.F) {
	for _, b := range samples() {
		f.Add(encode(sign(b)))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		if m, err := Decode(in); err == nil && !bytes.Equal(again(m), in) {
			t.Fatalf("%s: written as %x", m.Body.Kind(), again(m))
		}
		r := NewReader(in)
		m := ReadDetached(r)
		if r.Close() != nil {
			return
		}
		var w Writer
		m.EncodeDetached(&w)
		if !bytes.Equal(w.Bytes(), in) {
			t.Fatalf("%s, detached: written as %x", m.Body.Kind(), w.Bytes())
		}
	})
}

// case D12 D13; reading a length into an int of 32 bits, or an operation beyond its bound, turns it red.
func FuzzDecodeRequest(f *testing.F) {
	f.Add(request(1, "put").Bytes())
	f.Add(request(1<<64-1, "").Bytes())
	f.Fuzz(func(t *testing.T, in []byte) {
		q, err := DecodeRequest(in)
		if err != nil {
			return
		}
		var w Writer
		w.Fixed([]byte(requestTag))
		w.U8(requestVersion)
		w.Fixed(q.Chain[:])
		w.Fixed(q.Sender[:])
		w.U64(q.Nonce)
		w.U64(q.Last)
		w.String(q.Operation)
		w.Fixed(q.Signature[:])
		if !bytes.Equal(w.Bytes(), in) || !bytes.Equal(q.Bytes(), in) {
			t.Fatalf("written as %x", w.Bytes())
		}
	})
}

// case D12 D13; making room for as many transactions as are promised turns it red.
func FuzzDecodeBatch(f *testing.F) {
	f.Add(encodeBatch(NewBatch(0, nil)))
	f.Add(encodeBatch(NewBatch(-1, []*Request{request(1, "put"), request(2, "")})))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := NewReader(in)
		b := DecodeBatch(r)
		if r.Close() == nil && !bytes.Equal(encodeBatch(b), in) {
			t.Fatalf("written as %x", encodeBatch(b))
		}
	})
}
