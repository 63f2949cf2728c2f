package proof_test

import (
	"bytes"
	"testing"

	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
)

// case D12; case D13: whatever comes in, no decoder panics, and what it accepts it would have written so. What is not
// a proof does not verify, and does not panic either.

func FuzzDecodeBlock(f *testing.F) {
	e := genesis(4).Epoch()
	batch := message.NewBatch(1, requests(e, 2))
	h := proof.Header{Epoch: e.ID, Seq: 1, Batch: batch.Digest(), Time: 1}
	commit := &message.Commit{Vote: message.Vote{Seq: 1, Digest: batch.Digest()}}
	good := &proof.Block{Decision: proof.Decision{Header: h, Certificate: all(e, commit, 1, 2, 3)}, Batch: batch}
	f.Add(proof.EncodeBlock(good))
	f.Add(proof.EncodeBlock(&proof.Block{Batch: message.NewBatch(0, nil)}))
	f.Fuzz(func(t *testing.T, in []byte) {
		b, err := proof.DecodeBlock(in)
		if err != nil {
			return
		}
		if back := proof.EncodeBlock(b); !bytes.Equal(back, in) {
			t.Fatalf("written as %x", back)
		}
		if err := b.Verify(e, scheme); err == nil && b.Header.Batch != batch.Digest() {
			t.Fatal("another batch verifies")
		}
	})
}

func FuzzDecodeCheckpoint(f *testing.F) {
	g := genesis(4)
	e := g.Epoch()
	h := chain(g, 1)[0]
	f.Add(proof.EncodeCheckpoint(&proof.Checkpoint{Header: h, Attestations: all(e, attestation(h), 1, 2, 3)}))
	f.Add(proof.EncodeCheckpoint(&proof.Checkpoint{Header: g.Header()}))
	f.Fuzz(func(t *testing.T, in []byte) {
		c, err := proof.DecodeCheckpoint(in)
		if err != nil {
			return
		}
		if back := proof.EncodeCheckpoint(c); !bytes.Equal(back, in) {
			t.Fatalf("written as %x", back)
		}
		if err := c.Verify(e, scheme); err == nil && c.Header != h {
			t.Fatal("another header verifies")
		}
	})
}

func FuzzDecodeReceipt(f *testing.F) {
	good, e := receipt(genesis(4))
	f.Add(proof.EncodeReceipt(good))
	f.Add(proof.EncodeReceipt(&proof.Receipt{}))
	f.Add(proof.EncodeReceipt(laterReceipt(genesis(4))))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := proof.DecodeReceipt(in)
		if err != nil {
			return
		}
		if back := proof.EncodeReceipt(r); !bytes.Equal(back, in) {
			t.Fatalf("written as %x", back)
		}
		if err := r.Verify(e, scheme, e.Quorum()); err == nil && r.Result.ID != good.Result.ID {
			t.Fatal("another result verifies")
		}
	})
}
