package adversary

import (
	"math/rand/v2"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
)

var scheme = crypto.Modelled([32]byte{1})

func key(i epoch.ReplicaID) crypto.PrivateKey { return crypto.NewPrivateKey([32]byte{byte(i)}) }

func testEpoch() *epoch.Epoch {
	e := &epoch.Epoch{Chain: crypto.Hash("test/chain"), ID: crypto.Hash("test/epoch"), Configuration: epoch.Configuration{Mode: epoch.Byzantine, Parameters: epoch.DefaultParameters()}}
	for i := range epoch.ReplicaID(4) {
		e.Members = append(e.Members, epoch.Member{Key: key(i + 1).Public()})
	}
	return e
}

func say(author epoch.ReplicaID, b message.Body) *message.Signed {
	return message.Sign(scheme, key(author), testEpoch(), author, b)
}

// liar is member 2, which does one thing all the time.
func liar(a Act) *Liar {
	l := New(Config{
		Epoch: testEpoch(), Self: 2, Chance: rand.New(rand.NewPCG(1, 1)), Acts: []Act{a},
		Sign: func(b message.Body) *message.Signed { return say(2, b) },
	})
	l.left, l.on[0] = 1<<30, true
	return l
}

func bodies() []message.Body {
	batch := message.NewBatch(5, []*message.Request{message.NewRequest(scheme, key(9), crypto.Hash("test/chain"), 1, 9, []byte("put"))})
	vote := message.Vote{View: 1, Seq: 3, Digest: batch.Digest()}
	return []message.Body{
		&message.PrePrepare{Vote: vote, Batch: batch}, &message.Prepare{Vote: vote}, &message.Commit{Vote: vote},
		&message.Attestation{Seq: 3, Header: vote.Digest}, &message.Suspect{View: 1},
		&message.ViewChange{View: 2, Prepared: []message.Certificate{{Vote: vote, Votes: []*message.Signed{say(1, &message.Prepare{Vote: vote})}}}},
		&message.NewView{View: 2}, &message.Status{View: 1, Installed: true}, &message.Want{From: 1, To: 2}, &message.Have{},
		&message.Bodies{}, &message.Bundle{},
	}
}

// Whatever a liar says is signed by its member, and can be read: only the protocol defends against it.
func TestLiesAreWellFormedAndSigned(t *testing.T) {
	for _, a := range Acts() {
		l := liar(a)
		for range 6 {
			for _, b := range bodies() {
				for to := range epoch.ReplicaID(4) {
					for _, w := range l.Say(to+1, say(2, b)) {
						if w.Message.Author != 2 || !scheme.Verify(w.Message.Claim(testEpoch())) {
							t.Fatalf("%s: %s is not signed by its member", a, w.Message.Body.Kind())
						}
						var wire message.Writer
						w.Message.Encode(&wire)
						if _, err := message.Decode(wire.Bytes()); err != nil {
							t.Fatalf("%s: %s cannot be read: %v", a, w.Message.Body.Kind(), err)
						}
					}
				}
			}
		}
		if l.Done(a) == 0 && a != Censoring {
			t.Errorf("%s: did nothing", a)
		}
	}
}

// A censor hears nothing of what half of all clients ask for, whoever tells it, and everything else.
//
// case A5 A6; an act that is deaf to nobody turns it red.
func TestACensorIsDeafToSome(t *testing.T) {
	var requests []*message.Request
	for i := range epoch.ReplicaID(40) {
		requests = append(requests, message.NewRequest(scheme, key(i+10), crypto.Hash("test/chain"), 1, 9, []byte("put")))
	}
	l := liar(Censoring)
	heard := l.Hear(say(1, &message.Bundle{Head: 7, Requests: requests})).Body.(*message.Bundle)
	if heard.Head != 7 || len(heard.Requests) == 0 || len(heard.Requests) == len(requests) {
		t.Errorf("of %d requests it hears %d", len(requests), len(heard.Requests))
	}
	for _, q := range heard.Requests {
		if !l.Takes(q) {
			t.Error("it hears of a client by others, and not by itself")
		}
	}
	if l.Done(Censoring) != len(requests)-len(heard.Requests) {
		t.Errorf("it counts %d", l.Done(Censoring))
	}
	for _, q := range requests {
		m := say(1, &message.Bundle{Requests: []*message.Request{q}})
		if got := l.Hear(m); got != nil && got != m || (got != nil) != l.Takes(q) {
			t.Error("one request alone is changed, or heard although it is not taken")
		}
	}
	for _, b := range bodies() {
		if m := say(1, b); l.Hear(m) != m {
			t.Errorf("it is deaf to %s", b.Kind())
		}
	}
}

// With every third message of a kind the liar lies, to all that it is for, and with no other. Red if it counts words to one member, or
// kinds together: it would meet the same member, or the same kind, each time.
func TestEveryThirdMessageOfAKindIsALie(t *testing.T) {
	l := New(Config{
		Epoch: testEpoch(), Self: 1, Chance: rand.New(rand.NewPCG(1, 1)), Acts: []Act{Equivocating, Silent}, Every: 3,
		Sign: func(b message.Body) *message.Signed { return say(1, b) },
	})
	for i := 1; i <= 9; i++ {
		for _, b := range bodies() {
			m := say(1, b)
			for to := epoch.ReplicaID(2); to <= 4; to++ {
				words := l.Say(to, m)
				if lies := len(words) == 0; lies != (i%3 == 0) {
					t.Fatalf("%s %d, to %d: %d words", b.Kind(), i, to, len(words))
				}
			}
		}
	}
	if want := 3 * 3 * len(bodies()); l.Done(Silent) != want {
		t.Errorf("silent %d times, want %d", l.Done(Silent), want)
	}
}

func TestACensorMayBeDeafToEverySecondRequest(t *testing.T) {
	l := New(Config{Epoch: testEpoch(), Self: 2, Chance: rand.New(rand.NewPCG(1, 1)), Acts: []Act{Censoring}, Every: 2})
	meant, deaf := 0, 0
	for i := range epoch.ReplicaID(60) {
		q := message.NewRequest(scheme, key(i+10), crypto.Hash("test/chain"), 1, 9, []byte("put"))
		if q.Sender[0]%2 == l.deaf {
			meant++
		}
		if !l.Takes(q) {
			deaf++
		}
	}
	if deaf == 0 || deaf != meant/2 || l.Done(Censoring) != deaf {
		t.Errorf("deaf to %d of %d, and counts %d", deaf, meant, l.Done(Censoring))
	}
}

// Each act does what its name says, and leaves alone what others have signed.
//
// case A1 case A3 case A4 case A10; an act that does nothing turns its part red.
func TestActsDoWhatTheySay(t *testing.T) {
	count := func(a Act, b message.Body) int { return len(liar(a).Say(4, say(2, b))) }
	for _, b := range bodies() {
		if n := count(Silent, b); n != 0 {
			t.Errorf("silent: says %d words", n)
		}
		if n := count(Flooding, b); n < 2 {
			t.Errorf("flood: says %d words", n)
		}
		if w := liar(Slow).Say(4, say(2, b)); len(w) != 1 || w[0].DelayMillis < slowMillis/2 || w[0].DelayMillis >= slowMillis {
			t.Errorf("slow: %+v", w)
		}
		l := liar(Equivocating)
		one, other := l.Say(1, say(2, b)), l.Say(4, say(2, b))
		again := l.Say(4, say(2, b))
		if _, err := message.NewEvidence(one[0].Message, other[0].Message); (err == nil) != equivocable(b) {
			t.Errorf("equivocate: %s to both is evidence: %v", b.Kind(), err)
		}
		if string(again[0].Message.Bytes) != string(other[0].Message.Bytes) {
			t.Errorf("equivocate: says a third thing of %s", b.Kind())
		}
		foreign := say(1, b)
		for _, a := range []Act{Equivocating, Mutating, Hiding, Forging} {
			for range 5 {
				if w := liar(a).Say(4, foreign); len(w) != 1 || w[0].Message != foreign {
					t.Errorf("%s: changes what another has signed", a)
				}
			}
		}
	}
	for _, b := range []message.Body{&message.Bodies{}, &message.Have{}, &message.Bundle{}} {
		if n := count(Withholding, b); n != 0 {
			t.Errorf("withhold: sends %s", b.Kind())
		}
	}
	if w := liar(Hiding).Say(4, say(2, bodies()[5])); len(w[0].Message.Body.(*message.ViewChange).Prepared) != 0 {
		t.Error("hide: shows what it has prepared")
	}
}

func equivocable(b message.Body) bool {
	_, _, promises := say(2, b).Promise()
	return promises && b.Kind() != message.KindNewView
}
