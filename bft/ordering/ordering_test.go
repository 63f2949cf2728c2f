package ordering

import (
	"bytes"
	"errors"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

var (
	scheme = crypto.Modelled([32]byte{1})
	keys   = [...]crypto.PrivateKey{
		crypto.NewPrivateKey([32]byte{0}), crypto.NewPrivateKey([32]byte{1}), crypto.NewPrivateKey([32]byte{2}),
		crypto.NewPrivateKey([32]byte{3}), crypto.NewPrivateKey([32]byte{4}),
	}
)

func testEpoch() *epoch.Epoch {
	e := &epoch.Epoch{
		Chain: crypto.Hash("test/chain"), ID: crypto.Hash("test/epoch"), Configuration: epoch.Configuration{Mode: epoch.Byzantine,
			Parameters: epoch.DefaultParameters()},
	}
	for _, key := range keys[1:] {
		e.Members = append(e.Members, epoch.Member{Name: "n", Key: key.Public(), PeerID: "p", Address: "a", API: "b", Incarnation: epoch.Incarnation{1}})
	}
	return e
}

func say(author epoch.ReplicaID, b message.Body) *message.Signed {
	return message.Sign(scheme, keys[author], testEpoch(), author, b)
}

// records has one of every kind.
func records() []Record {
	e := testEpoch()
	batch := message.NewBatch(5, []*message.Request{message.NewRequest(scheme, keys[0], e.Chain, 1, 9, []byte("put"))})
	other := message.NewBatch(6, batch.Requests)
	vote := message.Vote{View: 1, Seq: 2, Digest: batch.Digest()}
	proposal := say(2, &message.PrePrepare{Vote: vote, Batch: batch})
	h := proof.Header{Epoch: e.ID, Seq: 2, Batch: batch.Digest()}
	accepted := &Accepted{Vote: vote, Proposal: proposal}
	prepared := &Prepared{Vote: vote, Prepares: []*message.Signed{say(1, &message.Prepare{Vote: vote}), proposal, say(3, &message.Prepare{Vote: vote})}}
	birth := Birth{Key: keys[1].Public(), Incarnation: epoch.Incarnation{1}}
	commits := []*message.Signed{say(1, &message.Commit{Vote: vote}), say(2, &message.Commit{Vote: vote}), say(4, &message.Commit{Vote: vote})}
	evidence, err := message.NewEvidence(proposal, say(2, &message.PrePrepare{Vote: message.Vote{View: 1, Seq: 2, Digest: other.Digest()}, Batch: other}))
	if err != nil {
		panic(err)
	}
	viewChange := &message.ViewChange{View: 2, Start: 1, Header: crypto.Digest{1}, Attestations: []*message.Signed{say(1, &message.Attestation{Seq: 1, Header: crypto.Digest{1}})},
		Prepared: []message.Certificate{{Vote: vote, Votes: prepared.Prepares}}}
	changes := []*message.Signed{say(1, viewChange), say(3, &message.ViewChange{View: 2})}
	newView := &message.NewView{View: 2}
	for _, m := range changes {
		newView.ViewChanges = append(newView.ViewChanges, message.Named{Author: m.Author, Digest: m.Digest()})
	}
	return []Record{
		&birth, &Entered{Epoch: e}, &Bodies{batch}, accepted, &Accepted{Vote: vote}, prepared,
		&Decided{proof.Decision{Header: h, View: 1, Certificate: commits}},
		&Base{Birth: birth, Epoch: e, View: 1, Stable: &proof.Checkpoint{Header: h}, Headers: []proof.Header{h}, Facts: []Record{accepted, prepared}},
		&Evidence{evidence},
		&Entered{Epoch: e, HandOver: &proof.HandOver{Header: h, Next: e.Configuration, Outgoing: commits[:1], Incoming: commits[1:]}}, &Sealed{Next: e}, &Sealed{Next: e, Forced: &message.Recovery{Next: e.Configuration, Seq: 1}},
		&Left{viewChange}, &Left{&message.ViewChange{View: 7}},
		&Installed{NewView: newView, Signed: say(2, newView), ViewChanges: changes}, &Installed{NewView: newView, ViewChanges: changes},
	}
}

// A fact comes back from the log as it was written, and nothing that was cut or continued is a fact.
func TestEveryRecordRoundTrips(t *testing.T) {
	seen := make(map[RecordKind]bool)
	for _, rec := range records() {
		seen[rec.Kind()] = true
		payload := Encode(rec)
		back, err := Decode(rec.Kind(), payload)
		if err != nil || back.Kind() != rec.Kind() || !bytes.Equal(Encode(back), payload) {
			t.Errorf("kind %d: did not come back as it was: %v", rec.Kind(), err)
		}
		for n := range payload {
			if _, err := Decode(rec.Kind(), payload[:n:n]); err == nil {
				t.Errorf("kind %d: %d of %d bytes pass", rec.Kind(), n, len(payload))
			}
		}
		if _, err := Decode(rec.Kind(), append(payload[:len(payload):len(payload)], 0)); err == nil {
			t.Errorf("kind %d: passes with a byte behind it", rec.Kind())
		}
	}
	for k := KindBirth; k <= KindInstalled; k++ {
		if !seen[k] {
			t.Errorf("kind %d: not tried", k)
		}
	}
	for _, k := range []RecordKind{0, KindBase + 1, 255} {
		if _, err := Decode(k, nil); err == nil {
			t.Errorf("kind %d is a fact", k)
		}
	}
}

// The store finds batches and headers without reading the whole record.
func TestRecordsAreFiledUnderWhatTheyHold(t *testing.T) {
	for _, rec := range records() {
		switch rec := rec.(type) {
		case *Bodies:
			payload := Encode(rec)
			if d, err := BodiesDigest(payload); err != nil || d != rec.Batch.Digest() {
				t.Errorf("bodies filed under %s, hold %s: %v", d, rec.Batch.Digest(), err)
			}
			payload[0]++
			if _, err := Decode(KindBodies, payload); err == nil {
				t.Error("bodies filed under another batch's digest pass")
			}
		case *Decided:
			if h, err := DecidedHeader(Encode(rec)); err != nil || h != rec.Header {
				t.Errorf("header %v: %v", h, err)
			}
		}
	}
	if _, err := BodiesDigest(make([]byte, 31)); err == nil {
		t.Error("31 bytes are a digest")
	}
	if _, err := DecidedHeader(make([]byte, proof.HeaderSize-1)); err == nil {
		t.Error("a header cut short passes")
	}
}

// A member votes once, whatever it says and however often (ledger: Fabric #370).
//
// case E8; counting every message in Add turns it red.
func TestTallyCountsAMemberOnce(t *testing.T) {
	a, b := crypto.Hash("test/a"), crypto.Hash("test/b")
	var tally Tally
	if tally.Of(1) != nil || tally.Count(a) != 0 || len(tally.For(a, 3)) != 0 {
		t.Error("votes before any was cast")
	}
	for _, c := range []struct {
		author epoch.ReplicaID
		digest crypto.Digest
		want   error
	}{
		{3, a, nil}, {3, a, ErrAgain}, {3, b, ErrEquivocation}, {3, a, ErrAgain}, {1, b, nil}, {1, a, ErrEquivocation}, {4, a, nil}, {2, a, nil},
	} {
		if err := tally.Add(4, c.digest, say(c.author, &message.Prepare{})); !errors.Is(err, c.want) {
			t.Errorf("%d for %s: got %v, want %v", c.author, c.digest.Short(), err, c.want)
		}
	}
	if tally.Count(a) != 3 || tally.Count(b) != 1 {
		t.Errorf("%d and %d votes, want 3 and 1", tally.Count(a), tally.Count(b))
	}
	for most, want := range map[int][]epoch.ReplicaID{2: {2, 3}, 5: {2, 3, 4}} {
		var got []epoch.ReplicaID
		for _, v := range tally.For(a, most) {
			got = append(got, v.Author)
		}
		if len(got) != len(want) || got[0] != want[0] || got[len(got)-1] != want[len(want)-1] {
			t.Errorf("first %d for a: %v, want %v", most, got, want)
		}
	}
}

// case D12; case D13: no payload makes Decode panic, and what it accepts it would have written so.
func FuzzDecodeRecord(f *testing.F) {
	for _, rec := range records() {
		f.Add(uint8(rec.Kind()), Encode(rec))
	}
	f.Fuzz(func(t *testing.T, kind uint8, payload []byte) {
		rec, err := Decode(RecordKind(kind), payload)
		if err == nil && !bytes.Equal(Encode(rec), payload) {
			t.Fatalf("kind %d: written as %x", kind, Encode(rec))
		}
	})
}
