package message

import (
	"errors"
	"strings"
	"testing"

	"github.com/quorate/quorate/crypto"
)

// A batch is one thing to be voted for, whether its transactions come with it or only their names.
//
// case A11; a digest that depends on the form turns it red.
func TestProposalIsTheSameVoteInEitherForm(t *testing.T) {
	small := NewBatch(7, []*Request{request(1, "put"), request(2, "")})
	large := NewBatch(7, []*Request{request(1, strings.Repeat("x", InlineBytes)), request(2, "")})
	if p := NewPrePrepare(Vote{Digest: small.Digest()}, small); p.Batch == nil || p.Outline != nil || p.Count() != 2 {
		t.Errorf("a small batch is proposed as %+v", p)
	}
	if p := NewPrePrepare(Vote{Digest: large.Digest()}, large); p.Batch != nil || p.Outline == nil || p.Count() != 2 {
		t.Errorf("a large batch is proposed as %+v", p)
	}
	for _, b := range []*Batch{small, large, NewBatch(0, nil)} {
		v := Vote{View: 1, Seq: 2, Digest: b.Digest()}
		whole, named := sign(&PrePrepare{Vote: v, Batch: b}), sign(&PrePrepare{Vote: v, Outline: b.Outline()})
		if string(whole.Bytes) != string(named.Bytes) || whole.Signature != named.Signature {
			t.Error("the two forms are signed differently")
		}
		if b.Outline().Digest() != b.Digest() {
			t.Error("the outline has another digest than its batch")
		}
		filled, err := b.Outline().Fill(b.Requests)
		if err != nil || filled.Digest() != b.Digest() || NewBatch(filled.Time, filled.Requests).Digest() != b.Digest() {
			t.Errorf("filled: %+v, %v", filled, err)
		}
	}
}

// An outline is filled with what it names, in its order, and with nothing else; two signatures of one transaction are not
// two transactions.
//
// case N13; comparing ids instead of bodies, or no ids at all, turns it red.
func TestOutlineIsFilledWithWhatItNames(t *testing.T) {
	a, b := request(1, "a"), request(2, "b")
	raw := append([]byte(nil), a.Bytes()...)
	raw[len(raw)-1]++
	twin, err := DecodeRequest(raw)
	if err != nil || twin.ID() != a.ID() || twin.Body() == a.Body() {
		t.Fatalf("no twin: %v", err)
	}
	o := NewBatch(0, []*Request{a, b}).Outline()
	for name, requests := range map[string][]*Request{
		"too few": {a}, "too many": {a, b, b}, "none": nil, "another order": {b, a}, "another signature": {twin, b},
	} {
		if _, err := o.Fill(requests); err == nil {
			t.Errorf("%s: passes", name)
		}
	}
	twins := NewOutline(0, []crypto.Digest{a.Body(), twin.Body()})
	if _, err := twins.Fill([]*Request{a, twin}); !errors.Is(err, errTwice) {
		t.Errorf("one transaction with two signatures: %v", err)
	}
}

// A name that stands twice in an outline, or places that do not ascend in a fetch, are refused: they would be a second
// way to write one thing, or nonsense.
//
// case D12; case A9; accepting either turns it red.
func TestRepeatedNamesAndPlacesAreRefused(t *testing.T) {
	twice := NewOutline(0, []crypto.Digest{{1}, {2}, {1}})
	m := sign(&PrePrepare{Vote: Vote{Digest: twice.Digest()}, Outline: twice})
	if _, err := Decode(encode(m)); !errors.Is(err, errTwice) {
		t.Errorf("a name twice: %v", err)
	}
	for _, places := range [][]uint16{{1, 1}, {2, 1}, {0, 5, 3}} {
		if _, err := Decode(encode(sign(&Fetch{Missing: places}))); !errors.Is(err, errPlaces) {
			t.Errorf("places %v: %v", places, err)
		}
	}
}
