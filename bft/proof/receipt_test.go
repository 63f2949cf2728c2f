package proof_test

import (
	"strings"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// receipt is of the middle of three results in the first of four blocks, attested at the third by 1 and 3, at the
// fourth by 2, and at the first by 4: each vouches for the first.
func receipt(g *proof.Genesis) (*proof.Receipt, *epoch.Epoch) {
	e := g.Epoch()
	results := make([]proof.Result, 3)
	leaves := make([][]byte, len(results))
	for i := range results {
		results[i] = proof.Result{ID: crypto.Hash("test/id", []byte{byte(i)}), Status: 1, Seq: 1, Value: []byte{byte(i)}}
		leaves[i] = results[i].Leaf()
	}
	headers := make([]proof.Header, 4)
	parent := g.Header()
	for i := range headers {
		headers[i] = proof.Header{Epoch: e.ID, Seq: parent.Seq + 1, Parent: parent.Digest(), Time: parent.Time}
		if i == 0 {
			headers[i].Results = crypto.MerkleRoot(leaves)
		}
		parent = headers[i]
	}
	return &proof.Receipt{
		Result: results[1], Index: 1, Count: 3, Path: crypto.MerklePath(leaves, 1), Headers: headers,
		Attestations: []*message.Signed{
			say(e, 1, attestation(headers[2])), say(e, 2, attestation(headers[3])),
			say(e, 3, attestation(headers[2])), say(e, 4, attestation(headers[0])),
		},
	}, e
}

// A receipt that was forged anywhere does not verify.
//
// (A receipt over several epochs comes with them.) Leaving a comparison out of Receipt.Verify turns its row red.
func TestForgedReceiptsAreRefused(t *testing.T) {
	r, e := receipt(genesis(4))
	for _, vouchers := range []int{e.Witnesses(), e.Quorum(), 4} {
		if err := r.Verify(e, scheme, vouchers); err != nil {
			t.Fatalf("%d vouchers: %v", vouchers, err)
		}
	}
	if r.Verify(e, scheme, 5) == nil {
		t.Error("four vouchers pass for five")
	}
	for _, c := range []struct {
		name, want string
		forge      func(*proof.Receipt)
	}{
		{"another result", "not in block 1", func(r *proof.Receipt) { r.Result.Value = []byte("more") }},
		{"another status", "not in block 1", func(r *proof.Receipt) { r.Result.Status = 2 }},
		{"another code", "not in block 1", func(r *proof.Receipt) { r.Result.Code = 1 }},
		{"another slot", "not in block 1", func(r *proof.Receipt) { r.Result.Seq = 2 }},
		{"another id", "not in block 1", func(r *proof.Receipt) { r.Result.ID[0]++ }},
		{"another place", "not in block 1", func(r *proof.Receipt) { r.Index = 2 }},
		{"a place below the first", "not in block 1", func(r *proof.Receipt) { r.Index = -1 }},
		{"another count", "not in block 1", func(r *proof.Receipt) { r.Count = 4 }},
		{"a step less", "not in block 1", func(r *proof.Receipt) { r.Path = r.Path[1:] }},
		{"a step more", "not in block 1", func(r *proof.Receipt) { r.Path = append(r.Path, crypto.Digest{}) }},
		{"another step", "not in block 1", func(r *proof.Receipt) { r.Path[0][0]++ }},
		{"no headers", "no header", func(r *proof.Receipt) { r.Headers = nil }},
		{"a gap in the headers", "not the child", func(r *proof.Receipt) { r.Headers = append(r.Headers[:1], r.Headers[2:]...) }},
		{"headers of two chains", "not the child", func(r *proof.Receipt) { r.Headers[1].State[0]++ }},
		{"a header that skips a number", "not the child", func(r *proof.Receipt) { r.Headers[3].Seq++ }},
		{"a header of another epoch", "another epoch", func(r *proof.Receipt) { r.Headers[3].Epoch[0]++ }},
		{"the first header is not the block's", "not in block 2", func(r *proof.Receipt) { r.Headers = r.Headers[1:] }},
		{"attested beyond these headers", "not among these", func(r *proof.Receipt) { r.Headers = r.Headers[:3] }},
		{"attested before these headers", "not among these", func(r *proof.Receipt) {
			r.Attestations[0] = say(e, 1, &message.Attestation{Seq: 0, Header: r.Headers[0].Parent})
		}},
		{"attested at the end of numbers", "not among these", func(r *proof.Receipt) {
			r.Attestations[0] = say(e, 1, &message.Attestation{Seq: 1<<64 - 1})
		}},
		{"another header attested", "not among these", func(r *proof.Receipt) {
			r.Attestations[0] = say(e, 1, &message.Attestation{Seq: 3, Header: r.Headers[1].Digest()})
		}},
		{"a commit among them", "commit among", func(r *proof.Receipt) { r.Attestations[0] = say(e, 1, &message.Commit{}) }},
		{"a voucher twice", "not in order", func(r *proof.Receipt) { r.Attestations[1] = r.Attestations[0] }},
		{"a voucher's signature", "signature of 2", func(r *proof.Receipt) {
			bad := *r.Attestations[1]
			bad.Signature[5]++
			r.Attestations[1] = &bad
		}},
	} {
		forged, _ := receipt(genesis(4))
		c.forge(forged)
		if err := forged.Verify(e, scheme, e.Witnesses()); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
}

// What is kept in a file verifies as it did before, and with any bit of it flipped it is refused.
//
// Leaving anything out of EncodeReceipt or DecodeReceipt turns it red.
func TestAReceiptInAFileIsTheReceipt(t *testing.T) {
	r, e := receipt(genesis(4))
	raw := proof.EncodeReceipt(r)
	back, err := proof.DecodeReceipt(raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := back.Verify(e, scheme, 4); err != nil {
		t.Error(err)
	}
	for i := range 8 * len(raw) {
		raw[i/8] ^= 1 << (i % 8)
		if r, err := proof.DecodeReceipt(raw); err == nil && r.Verify(e, scheme, 4) == nil {
			t.Errorf("bit %d of byte %d may be anything", i%8, i/8)
		}
		raw[i/8] ^= 1 << (i % 8)
	}
	for n := range raw {
		if _, err := proof.DecodeReceipt(raw[:n]); err == nil {
			t.Errorf("the first %d of %d bytes are a receipt", n, len(raw))
		}
	}
	if _, err := proof.DecodeReceipt(append(raw, 0)); err == nil {
		t.Error("a byte too many is read")
	}
}
