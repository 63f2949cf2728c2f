package message

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/crypto"
)

// Every kind that has a name comes back as it was sent.
func TestEveryKindRoundTrips(t *testing.T) {
	seen := make(map[Kind]bool)
	for _, b := range samples() {
		m := sign(b)
		seen[b.Kind()] = true
		wire := encode(m)
		got, err := Decode(wire)
		if err != nil {
			t.Errorf("%s: %v", b.Kind(), err)
			continue
		}
		if !reflect.DeepEqual(normal(got.Body), normal(b)) {
			t.Errorf("%s: got %+v, sent %+v", b.Kind(), got.Body, b)
		}
		if got.Author != 2 || got.Chain != m.Chain || got.Epoch != m.Epoch || got.Mode != m.Mode {
			t.Errorf("%s: came back under another tag", b.Kind())
		}
		if !bytes.Equal(encode(got), wire) || len(wire) != m.EncodedSize() {
			t.Errorf("%s: %d bytes, said to be %d, or not the ones sent", b.Kind(), len(wire), m.EncodedSize())
		}
		if !bytes.Equal(again(got), wire) {
			t.Errorf("%s: laid out again from its fields it is another message", b.Kind())
		}
	}
	for k := range 256 {
		if named := !strings.HasPrefix(Kind(k).String(), "kind "); named != seen[Kind(k)] {
			t.Errorf("%s: named %v, tried %v", Kind(k), named, seen[Kind(k)])
		}
	}
}

// normal makes what is empty the same as what is nil: the encoding does not tell them apart.
func normal(b Body) Body {
	h, ok := b.(*Have)
	if !ok {
		return b
	}
	n := &Have{Checkpoint: append([]byte(nil), h.Checkpoint...)}
	for _, block := range h.Blocks {
		n.Blocks = append(n.Blocks, append([]byte(nil), block...))
	}
	return n
}

// A message with one byte changed is refused, or is another message whose one encoding it is.
//
// case A11; accepting trailing bytes, or another version, turns it red.
func TestOneValueHasOneEncoding(t *testing.T) {
	for _, b := range samples() {
		wire := encode(sign(b))
		changed := make([]byte, len(wire))
		for i := range wire {
			for d := 1; d < 256; d++ {
				if len(wire) > 300 && d&(d-1) != 0 {
					continue // of the long ones single bits only
				}
				copy(changed, wire)
				changed[i] ^= byte(d)
				m, err := Decode(changed)
				if err == nil && !bytes.Equal(again(m), changed) {
					t.Fatalf("%s: byte %d ^ %#x decodes to what is written otherwise", b.Kind(), i, d)
				}
			}
		}
	}
}

// Nothing that is cut short or continued is a message.
//
// case D12; a Close that is forgotten turns it red.
func TestCutOrContinuedMessagesAreRefused(t *testing.T) {
	for _, b := range samples() {
		wire := encode(sign(b))
		for n := range len(wire) {
			if _, err := Decode(wire[:n:n]); err == nil {
				t.Errorf("%s: %d of %d bytes pass", b.Kind(), n, len(wire))
			}
		}
		if _, err := Decode(append(wire[:len(wire):len(wire)], 0)); err == nil {
			t.Errorf("%s: passes with a byte behind it", b.Kind())
		}
		if m := sign(b); len(m.Attached) == 0 {
			m.Attached = []byte{0}
			if _, err := Decode(encode(m)); err == nil {
				t.Errorf("%s: passes with something attached", b.Kind())
			}
		}
		m := sign(b)
		m.Bytes = append(m.Bytes[:len(m.Bytes):len(m.Bytes)], 0)
		if _, err := Decode(encode(m)); err == nil {
			t.Errorf("%s: passes with a byte more under the signature", b.Kind())
		}
	}
	raw := request(1, "put").Bytes()
	for n := range len(raw) {
		if _, err := DecodeRequest(raw[:n:n]); err == nil {
			t.Errorf("%d of %d bytes of a transaction pass", n, len(raw))
		}
	}
	if _, err := DecodeRequest(append(raw[:len(raw):len(raw)], 0)); err == nil {
		t.Error("a transaction passes with a byte behind it")
	}
}

// Numbers that stand for nothing are refused, not passed on.
//
// case D12; taking any number for a kind, a phase, a flag or a version turns it red.
func TestNumbersThatStandForNothingAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		of Body
		at int
		to byte
	}{
		"a version":      {&Prepare{}, len(signedTag), 2},
		"kind 0":         {&Prepare{}, signedHead - 5, 0},
		"kind 7":         {&Prepare{}, signedHead - 5, 7},
		"kind 255":       {&Prepare{}, signedHead - 5, 255},
		"a fifth phase":  {&Status{Progress: []Phase{Decided}}, signedHead + 37, 4},
		"phases without": {&Status{Progress: []Phase{Decided}}, signedHead + 36, 2},
	} {
		m := sign(c.of)
		m.Bytes[c.at] = c.to
		if _, err := Decode(encode(m)); err == nil {
			t.Errorf("%s: passes", name)
		}
	}
	r := NewReader([]byte{2})
	if r.Flag(); r.Close() == nil {
		t.Error("a flag of 2 passes")
	}
}

// What is attached is what was signed for: not another batch, blocks or transactions.
func TestAttachmentsOfOthersAreRefused(t *testing.T) {
	other := NewBatch(1235, []*Request{request(1, "put")})
	for _, pair := range [][2]Body{
		{samples()[0], &PrePrepare{Vote: Vote{Digest: other.Digest()}, Batch: other}},
		{&Have{Blocks: [][]byte{{1}}}, &Have{Blocks: [][]byte{{2}}}},
		{&Bundle{Requests: []*Request{request(1, "a")}}, &Bundle{Requests: []*Request{request(1, "b")}}},
		{samples()[0], &PrePrepare{Vote: Vote{Digest: other.Digest()}, Outline: other.Outline()}},
		{&Bodies{Requests: []*Request{request(1, "a")}}, &Bodies{Requests: []*Request{request(1, "b")}}},
	} {
		m := sign(pair[0])
		m.Attached = sign(pair[1]).Attached
		if _, err := Decode(encode(m)); err == nil {
			t.Errorf("%s: passes with another's attachment", pair[0].Kind())
		}
	}
}

// A vote as certificates keep it comes back to the same bytes; kinds whose attachment is needed do not.
func TestDetachedVotesRoundTrip(t *testing.T) {
	for _, b := range samples() {
		m := sign(b)
		var w Writer
		m.EncodeDetached(&w)
		r := NewReader(w.Bytes())
		got := ReadDetached(r)
		if k := b.Kind(); k == KindHave || k == KindBundle || k == KindBodies || k == KindEvidence || k == KindPaxosLearn || k == KindPropose || k == KindRecover {
			if r.Close() == nil {
				t.Errorf("%s: was read without what is attached", k)
			}
			continue
		}
		if err := r.Close(); err != nil {
			t.Errorf("%s: %v", b.Kind(), err)
			continue
		}
		var back Writer
		got.EncodeDetached(&back)
		if !bytes.Equal(back.Bytes(), w.Bytes()) || got.Body.Kind() != b.Kind() || got.Claim(testEpoch()).Key != key(2).Public() {
			t.Errorf("%s: did not come back as it was", b.Kind())
		}
		if len(w.Bytes()) < MinDetached {
			t.Errorf("%s: %d bytes, less than the least, %d", b.Kind(), len(w.Bytes()), MinDetached)
		}
	}
}

// A count or length that promises gigabytes costs nothing: it is held against what is there first.
//
// case E1; case E2; allocating on the word of Count or String turns it red.
func TestPromisedLengthsAllocateNothing(t *testing.T) {
	huge := func(at int, b []byte) []byte {
		out := append([]byte(nil), b...)
		binary.BigEndian.PutUint32(out[at:], 1<<31)
		return out
	}
	batch := encodeBatch(NewBatch(1, []*Request{request(1, "put")}))
	wire := encode(sign(&Prepare{}))
	status := sign(&Status{}).Bytes
	most := func(n uint32) []byte { return binary.BigEndian.AppendUint32(make([]byte, 8), n) }
	for _, c := range []struct {
		name string
		try  func() error
	}{
		{"length of the signed bytes", func() error { _, err := Decode(huge(0, wire)); return err }},
		{"length of what is attached", func() error { _, err := Decode(huge(len(wire)-4, wire)); return err }},
		{"count of transactions in a batch", func() error { r := NewReader(huge(8, batch)); DecodeBatch(r); return r.Close() }},
		{"length of a transaction", func() error { r := NewReader(huge(12, batch)); DecodeBatch(r); return r.Close() }},
		{"the most transactions, and none there", func() error { r := NewReader(most(MaxBatchRequests)); DecodeBatch(r); return r.Close() }},
		{"count of transactions in a bundle", func() error {
			r := NewReader(huge(0, make([]byte, 4)))
			readRequests(r, MaxBundleRequests)
			return r.Close()
		}},
		{"count of names in an outline", func() error { r := NewReader(huge(8, make([]byte, 12))); DecodeOutline(r); return r.Close() }},
		{"count of places", func() error { r := NewReader(huge(40, make([]byte, 44))); readFetch(r); return r.Close() }},
		{"count of blocks", func() error { r := NewReader(huge(0, make([]byte, 4))); readHave(r); return r.Close() }},
		{"count of phases", func() error {
			r := NewReader(huge(33, status[signedHead:]))
			readStatus(r)
			return r.Close()
		}},
	} {
		if err := c.try(); err == nil {
			t.Errorf("%s: passes", c.name)
		}
		if n := bytesPerRun(func() { _ = c.try() }); n > 8<<10 {
			t.Errorf("%s: %d bytes allocated", c.name, n)
		}
	}
}

func bytesPerRun(f func()) uint64 {
	const runs = 100
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range runs {
		f()
	}
	runtime.ReadMemStats(&after)
	return (after.TotalAlloc - before.TotalAlloc) / runs
}

func encodeBatch(b *Batch) []byte {
	var w Writer
	b.Encode(&w)
	return w.Bytes()
}

// The same content under another chain, epoch, mode, kind or author is signed for by other bytes, and the signature
// for one holds for no other.
//
// case D1; leaving a part out of the tag turns it red.
func TestSignedBytesNameWhatTheyAreFor(t *testing.T) {
	vote := Vote{View: 1, Seq: 2, Digest: crypto.Hash("test/batch")}
	type said struct {
		name string
		m    *Signed
	}
	var all []said
	add := func(name string, author epoch.ReplicaID, b Body, change func(*epoch.Epoch)) {
		e := testEpoch()
		change(e)
		all = append(all, said{name, Sign(testScheme, key(2), e, author, b)})
	}
	same := func(*epoch.Epoch) {}
	add("the vote", 2, &Prepare{vote}, same)
	add("another chain", 2, &Prepare{vote}, func(e *epoch.Epoch) { e.Chain[31]++ })
	add("another epoch", 2, &Prepare{vote}, func(e *epoch.Epoch) { e.ID[31]++ })
	add("chain and epoch swapped", 2, &Prepare{vote}, func(e *epoch.Epoch) { e.Chain, e.ID = e.ID, e.Chain })
	add("another mode", 2, &Prepare{vote}, func(e *epoch.Epoch) { e.Mode = epoch.Crash })
	add("another author", 3, &Prepare{vote}, same)
	add("an author that overflows", 2+256, &Prepare{vote}, same)
	add("another kind", 2, &Commit{vote}, same)
	add("a proposal", 2, &PrePrepare{Vote: vote, Batch: NewBatch(0, nil)}, same)
	add("another view", 2, &Prepare{Vote{2, 2, vote.Digest}}, same)
	add("another slot", 2, &Prepare{Vote{1, 3, vote.Digest}}, same)
	add("view and slot swapped", 2, &Prepare{Vote{2, 1, vote.Digest}}, same)
	add("another batch", 2, &Prepare{Vote{1, 2, crypto.Hash("test/other")}}, same)
	add("an attestation", 2, &Attestation{2, vote.Digest}, same)
	add("a want", 2, &Want{1, 2}, same)
	add("a status", 2, &Status{View: 1, Delivered: 2}, same)
	wide := wideEpoch()
	for i, a := range all {
		for _, b := range all[i+1:] {
			if bytes.Equal(a.m.Bytes, b.m.Bytes) {
				t.Errorf("%s and %s sign the same bytes", a.name, b.name)
			}
			claim := b.m.Claim(wide)
			claim.Key, claim.Signature = key(2).Public(), a.m.Signature
			if testScheme.Verify(claim) {
				t.Errorf("the signature for %s holds for %s", a.name, b.name)
			}
		}
	}
}

// wideEpoch has members enough for every author in the matrix.
func wideEpoch() *epoch.Epoch {
	e := testEpoch()
	for len(e.Members) < 300 {
		e.Members = append(e.Members, epoch.Member{})
	}
	return e
}

// Numbers at the end of their range are numbers like any others.
//
// case D13; reading a 64-bit number into 63 bits turns it red.
func TestLargestNumbersRoundTrip(t *testing.T) {
	const top = 1<<64 - 1
	vote := Vote{View: top, Seq: top}
	for _, b := range []Body{
		&Prepare{vote}, &Commit{vote}, &Attestation{Seq: top}, &Want{top, top},
		&Status{View: top, Delivered: top, Acknowledged: top, Stable: top},
		&PrePrepare{Vote: Vote{View: top, Seq: top, Digest: NewBatch(-1, nil).Digest()}, Batch: NewBatch(-1, nil)},
	} {
		m := Sign(testScheme, key(2), testEpoch(), 1<<32-1, b)
		got, err := Decode(encode(m))
		if err != nil || !reflect.DeepEqual(got.Body, b) && b.Kind() != KindPrePrepare {
			t.Errorf("%s: %+v, %v", b.Kind(), got, err)
		}
		if err == nil && got.Author != 1<<32-1 {
			t.Errorf("%s: author %d", b.Kind(), got.Author)
		}
	}
	q := NewRequest(testScheme, key(9), crypto.Digest{}, top, top, nil)
	if q.Nonce != top || q.Last != top {
		t.Errorf("nonce %d, last %d", q.Nonce, q.Last)
	}
}

// The kind of a message can be seen without decoding it, and there is none in what is too short to be one.
//
// Reading it from another place turns it red.
func TestKindIsSeenWithoutDecoding(t *testing.T) {
	for _, body := range samples() {
		frame := encode(sign(body))
		if k := PeekKind(frame); k != body.Kind() {
			t.Errorf("%s is seen as %s", body.Kind(), k)
		}
		for n := range signedHead {
			if k := PeekKind(frame[:n]); k != 0 {
				t.Errorf("%d bytes of a %s are seen as %s", n, body.Kind(), k)
			}
		}
	}
}
