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
	return receiptIn(e, g.Header()), e
}

// receiptIn is such a receipt of the blocks behind parent, which are of the epoch e.
func receiptIn(e *epoch.Epoch, parent proof.Header) *proof.Receipt {
	results := make([]proof.Result, 3)
	leaves := make([][]byte, len(results))
	for i := range results {
		results[i] = proof.Result{ID: crypto.Hash("test/id", []byte{byte(i)}), Status: 1, Seq: 1, Value: []byte{byte(i)}}
		leaves[i] = results[i].Leaf()
	}
	headers := make([]proof.Header, 4)
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
	}
}

// laterReceipt is one of the third epoch, with what leads there from the genesis: from Byzantine mode to crash mode and back.
func laterReceipt(g *proof.Genesis) *proof.Receipt {
	first, crash := handOver(g.Epoch(), 5, toMode(epoch.Crash))
	second, last := handOver(crash, 9, toMode(epoch.Byzantine))
	r := receiptIn(last, second.Header)
	r.HandOvers = []*proof.HandOver{first, second}
	return r
}

// Whoever has the genesis follows the hand-overs to the epoch of a receipt, and judges it by the rule of that one.
//
// case J8; a receipt that is judged by the rule of the genesis turns it red.
func TestAReceiptOfALaterEpochLeadsThereItself(t *testing.T) {
	g := genesis(4)
	r := laterReceipt(g)
	if e, err := r.VerifyFrom(g.Epoch(), scheme); err != nil || e.Number != 2 {
		t.Fatalf("%+v, %v", e, err)
	}
	crash := laterReceipt(g)
	e, err := crash.HandOvers[0].Verify(g.Epoch(), scheme)
	if err != nil {
		t.Fatal(err)
	}
	one := receiptIn(e, crash.HandOvers[0].Header)
	one.HandOvers, one.Attestations = crash.HandOvers[:1], one.Attestations[:1]
	if _, err := one.VerifyFrom(g.Epoch(), scheme); err != nil {
		t.Errorf("in crash mode one word is enough: %v", err)
	}
	for _, c := range []struct {
		name, want string
		forge      func(*proof.Receipt)
	}{
		{"no hand-over", "another epoch", func(r *proof.Receipt) { r.HandOvers = nil }},
		{"one is missing", "another epoch", func(r *proof.Receipt) { r.HandOvers = r.HandOvers[1:] }},
		{"the last is missing", "another epoch", func(r *proof.Receipt) { r.HandOvers = r.HandOvers[:1] }},
		{"another configuration", "announces another", func(r *proof.Receipt) { r.HandOvers[1].Next.Threshold = 0 }},
		{"too few of the old epoch", "of the old epoch", func(r *proof.Receipt) { r.HandOvers[0].Outgoing = r.HandOvers[0].Outgoing[:2] }},
		{"too few of the new epoch", "of the new epoch", func(r *proof.Receipt) { r.HandOvers[1].Incoming = r.HandOvers[1].Incoming[:2] }},
		{"the old epoch speaks for the new", "of the new epoch", func(r *proof.Receipt) { r.HandOvers[1].Incoming = r.HandOvers[0].Outgoing }},
		{"too few vouch", "2 votes, want 3", func(r *proof.Receipt) { r.Attestations = r.Attestations[:2] }},
	} {
		forged := laterReceipt(g)
		c.forge(forged)
		if _, err := forged.VerifyFrom(g.Epoch(), scheme); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
}

// A member of a crash epoch, where one word acknowledges, vouches for nothing that was decided before that epoch began.
//
// case N19; a receipt whose attestations may be of another epoch than its block, or whose block may lie before its epoch, turns it red.
func TestOneLiarOfALaterEpochVouchesForNothingBefore(t *testing.T) {
	g := genesis(4)
	first, crash := handOver(g.Epoch(), 5, toMode(epoch.Crash))
	lies := func(r *proof.Receipt) []*message.Signed {
		return []*message.Signed{say(crash, 2, attestation(r.Headers[len(r.Headers)-1]))}
	}
	byItsWord := receiptIn(g.Epoch(), g.Header())
	byItsWord.Attestations = lies(byItsWord)
	asItsOwn := receiptIn(crash, g.Header())
	asItsOwn.Attestations = lies(asItsOwn)
	across := receiptIn(g.Epoch(), proof.Header{Seq: 3})
	above := receiptIn(crash, across.Headers[1])
	across.Headers = append(across.Headers[:2], above.Headers...)
	across.Attestations = lies(across)
	for name, r := range map[string]*proof.Receipt{
		"a block of the first epoch": byItsWord, "one that it calls its own": asItsOwn, "one from which headers lead to its own": across,
	} {
		for _, with := range [][]*proof.HandOver{nil, {first}} {
			r.HandOvers = with
			if _, err := r.VerifyFrom(g.Epoch(), scheme); err == nil {
				t.Errorf("%s, %d hand-overs: the word of one member is believed", name, len(with))
			}
		}
	}
	own := receiptIn(crash, first.Header)
	own.HandOvers, own.Attestations = []*proof.HandOver{first}, lies(own)
	if _, err := own.VerifyFrom(g.Epoch(), scheme); err != nil {
		t.Errorf("of its own epoch its word is enough: %v", err)
	}
}

// A receipt that was forged anywhere does not verify.
//
// Leaving a comparison out of Receipt.Verify turns its row red.
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
	g := genesis(4)
	first, _ := receipt(g)
	for name, r := range map[string]*proof.Receipt{"of the first epoch": first, "of a later epoch": laterReceipt(g)} {
		e, err := r.VerifyFrom(g.Epoch(), scheme)
		if err != nil {
			t.Fatal(err)
		}
		raw := proof.EncodeReceipt(r)
		back, err := proof.DecodeReceipt(raw)
		if err != nil {
			t.Fatal(err)
		}
		if err := back.Verify(e, scheme, 4); err != nil {
			t.Error(err)
		}
		if _, err := back.VerifyFrom(g.Epoch(), scheme); err != nil {
			t.Error(err)
		}
		for i := range 8 * len(raw) {
			raw[i/8] ^= 1 << (i % 8)
			if r, err := proof.DecodeReceipt(raw); err == nil && r.Verify(e, scheme, 4) == nil {
				if _, err := r.VerifyFrom(g.Epoch(), scheme); err == nil {
					t.Errorf("%s: bit %d of byte %d may be anything", name, i%8, i/8)
				}
			}
			raw[i/8] ^= 1 << (i % 8)
		}
		for n := range raw {
			if _, err := proof.DecodeReceipt(raw[:n]); err == nil {
				t.Errorf("%s: the first %d of %d bytes are a receipt", name, n, len(raw))
			}
		}
		if _, err := proof.DecodeReceipt(append(raw, 0)); err == nil {
			t.Errorf("%s: a byte too many is read", name)
		}
	}
}
