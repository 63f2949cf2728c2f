package bft

import (
	"errors"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/crypto"
)

// tell has a member sign something, and brings it to another one.
func (c *cluster) tell(author, to epoch.ReplicaID, b message.Body) {
	c.t.Helper()
	m := message.Sign(scheme, keys[author], c.epoch, author, b)
	if err := Check(m, c.epoch, scheme); err != nil {
		c.t.Fatal(err)
	}
	c.post(author, to, Received{m})
	c.run()
}

// against is evidence that a member has attested two headers of one slot of the first epoch.
func (c *cluster) against(liar epoch.ReplicaID, seq epoch.Seq) *message.Evidence {
	c.t.Helper()
	attested := func(header crypto.Digest) *message.Signed {
		return message.Sign(scheme, keys[liar], c.epoch, liar, &message.Attestation{Seq: seq, Header: header})
	}
	e, err := message.NewEvidence(attested(crypto.Digest{1}), attested(crypto.Digest{2}))
	if err != nil {
		c.t.Fatal(err)
	}
	return e
}

func (c *cluster) evidence(id epoch.ReplicaID) []*message.Evidence {
	return c.node(id).replica.Evidence()
}

// holds fails the test unless the members hold this evidence, one piece for each promise.
func (c *cluster) holds(want []message.Promise, ids ...epoch.ReplicaID) {
	c.t.Helper()
	for _, id := range ids {
		var got []message.Promise
		for _, e := range c.evidence(id) {
			got = append(got, e.Broken())
			if err := checkEvidence(e, c.epoch, scheme); err != nil {
				c.t.Errorf("%d holds evidence that does not hold: %v", id, err)
			}
		}
		if len(got) != len(want) {
			c.t.Errorf("%d holds %v, want %v", id, got, want)
			continue
		}
		for i := range want {
			if got[i] != want[i] {
				c.t.Errorf("%d holds %v, want %v", id, got[i], want[i])
			}
		}
	}
}

func (c *cluster) promise(author epoch.ReplicaID, k message.Kind, seq epoch.Seq) message.Promise {
	return message.Promise{Chain: c.epoch.Chain, Epoch: c.epoch.ID, Mode: c.epoch.Mode, Author: author, Kind: k, Seq: seq}
}

func (c *cluster) batch(nonce uint64) *message.Batch {
	return message.NewBatch(c.now, []*message.Request{message.NewRequest(scheme, keys[0], c.epoch.Chain, nonce, 1<<20, []byte("x"))})
}

// A leader that proposes one batch to two members and another to the third is found out by those who have prepared: each shows
// the other what the leader has told it. Nobody but the leader is accused, its view is over, and the next one has decided what a
// quorum had prepared.
//
// case A1; without showing the leader's proposal to who prepared another, it turns red.
func TestALeaderThatProposesTwoBatchesIsFoundOut(t *testing.T) {
	c := newCluster(t, 4, small())
	c.drop = func(from, _ epoch.ReplicaID, _ *message.Signed) bool { return from == 1 } // it says only what follows
	one, other := c.batch(1), c.batch(2)
	for to, b := range map[epoch.ReplicaID]*message.Batch{2: one, 3: one, 4: other} {
		m := message.Sign(scheme, keys[1], c.epoch, 1, message.NewPrePrepare(message.Vote{Seq: 1, Digest: b.Digest()}, b))
		c.post(1, to, Received{m})
	}
	c.tick(1) // a clock is needed to vote
	c.tick(30)
	c.holds([]message.Promise{c.promise(1, message.KindPrePrepare, 1)}, 2, 3, 4)
	for _, id := range []epoch.ReplicaID{2, 3, 4} {
		if head := c.node(id).replica.Head(); head.Seq != 1 || head.Batch != one.Digest() {
			t.Errorf("%d has executed batch %s at slot %d", id, head.Batch.Short(), head.Seq)
		}
	}
	c.inView(1, 2, 3, 4)
}

// A member that says two things about one slot is held to both, whatever they are about, and also when the slot is decided;
// whoever hears of it tells all others.
//
// case B18 case D14; looking at undecided slots only turns it red.
func TestTwoWordsAboutOneThingAreEvidence(t *testing.T) {
	for _, k := range []message.Kind{message.KindPrepare, message.KindCommit, message.KindAttestation} {
		for _, decided := range []bool{false, true} {
			c := newCluster(t, 4, small())
			c.tick(1)
			word := func(d crypto.Digest) message.Body {
				switch v := (message.Vote{Seq: 1, Digest: d}); k {
				case message.KindPrepare:
					return &message.Prepare{Vote: v}
				case message.KindCommit:
					return &message.Commit{Vote: v}
				default:
					return &message.Attestation{Seq: 1, Header: d}
				}
			}
			if decided {
				c.submit(1, 1) // 4 votes as it should
			} else {
				c.tell(4, 2, word(crypto.Digest{1}))
			}
			c.tell(4, 2, word(crypto.Digest{2}))
			c.tell(4, 2, word(crypto.Digest{3}))
			c.tell(4, 2, word(crypto.Digest{2}))
			c.holds([]message.Promise{c.promise(4, k, 1)}, 1, 2, 3, 4)
		}
	}
}

// Whoever has committed shows that as it leaves, or starts above. A ViewChange that does neither is held against its author, in
// whichever order the two come, also while the slot is decided.
//
// case B18; looking at a ViewChange's own view only turns it red.
func TestWhatAViewChangeConcealsIsEvidence(t *testing.T) {
	concealed := &message.ViewChange{View: 1}
	for _, order := range []string{"decided, then concealed", "open, then concealed", "concealed, then open"} {
		c := newCluster(t, 4, small())
		c.tick(1)
		switch word := (&message.Commit{Vote: message.Vote{Seq: 1, Digest: crypto.Digest{1}}}); order {
		case "decided, then concealed":
			c.submit(1, 1)
			c.tell(4, 2, concealed)
		case "open, then concealed":
			c.tell(4, 2, word)
			c.tell(4, 2, concealed)
		default:
			c.tell(4, 2, concealed)
			c.tell(4, 2, word)
		}
		c.holds([]message.Promise{c.promise(4, message.KindCommit, 1)}, 1, 2, 3, 4)
	}
}

// Evidence outlasts restarts and checkpoints, and a member that has missed it is told after the restart of one that holds it.
//
// case D14; a Base without the evidence behind it turns it red.
func TestEvidenceOutlastsRestartsAndTrims(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	c.drop = func(_, to epoch.ReplicaID, m *message.Signed) bool {
		return to == 3 && m.Body.Kind() == message.KindEvidence
	}
	for d := range byte(2) {
		c.tell(4, 2, &message.Prepare{Vote: message.Vote{Seq: 1, Digest: crypto.Digest{d + 1}}})
	}
	want := []message.Promise{c.promise(4, message.KindPrepare, 1)}
	c.holds(want, 1, 2, 4)
	c.holds(nil, 3)
	c.load(20)
	x := c.node(2)
	if x.trimmed == 0 {
		t.Fatal("nothing was trimmed")
	}
	c.drop = nil
	x.past = x.surviving()
	x.trimmed = 0
	c.start(x)
	c.run()
	c.holds(want, 1, 2, 3, 4)
	c.load(20)
	c.agree(40, 1, 2, 3, 4)
	c.holds(want, 1, 2, 3, 4)
}

// A member that breaks its word a thousand times is recorded a few times, and honest ones are not accused by what is no
// evidence: one word twice, two about different things, words of two members, forged ones, ones of another epoch.
//
// case D15 case E8 case E11; dropping the bound, or comparing less than all of a promise, turns it red.
func TestWhatIsNoEvidenceAccusesNobody(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	for seq := range epoch.Seq(12) {
		for d := range byte(100) {
			c.tell(4, 2, &message.Prepare{Vote: message.Vote{Seq: seq + 1, Digest: crypto.Digest{d}}})
			c.tell(4, 2, &message.Commit{Vote: message.Vote{Seq: seq + 1, Digest: crypto.Digest{d}}})
		}
	}
	if got := len(c.evidence(2)); got != maxEvidence {
		t.Errorf("%d pieces against one member, want %d", got, maxEvidence)
	}
	vote := func(author epoch.ReplicaID, e *epoch.Epoch, view epoch.View, seq epoch.Seq, d byte) *message.Signed {
		return message.Sign(scheme, keys[author], e, author, &message.Prepare{Vote: message.Vote{View: view, Seq: seq, Digest: crypto.Digest{d}}})
	}
	foreign := *c.epoch
	foreign.ID = crypto.Digest{9}
	first := vote(3, c.epoch, 0, 1, 1)
	commit := message.Sign(scheme, keys[3], c.epoch, 3, &message.Commit{Vote: message.Vote{Seq: 1, Digest: crypto.Digest{2}}})
	for what, second := range map[string]*message.Signed{
		"the same word": vote(3, c.epoch, 0, 1, 1), "another slot": vote(3, c.epoch, 0, 2, 2), "another view": vote(3, c.epoch, 1, 1, 2),
		"another member": vote(2, c.epoch, 0, 1, 2), "another epoch": vote(3, &foreign, 0, 1, 2), "another kind": commit,
	} {
		if _, err := message.NewEvidence(first, second); err == nil {
			t.Errorf("%s is evidence", what)
		}
	}
	left := func(author epoch.ReplicaID, e *epoch.Epoch, view epoch.View, start epoch.Seq, shown ...message.Vote) *message.Signed {
		v := &message.ViewChange{View: view, Start: start}
		for _, s := range shown {
			v.Prepared = append(v.Prepared, message.Certificate{Vote: s})
		}
		return message.Sign(scheme, keys[author], e, author, v)
	}
	committed := message.Vote{View: 2, Seq: 5, Digest: crypto.Digest{1}}
	said := message.Sign(scheme, keys[3], c.epoch, 3, &message.Commit{Vote: committed})
	shows := func(view epoch.View, seq epoch.Seq, d byte) message.Vote {
		return message.Vote{View: view, Seq: seq, Digest: crypto.Digest{d}}
	}
	for what, v := range map[string]*message.Signed{
		"the commit shown": left(3, c.epoch, 3, 4, committed), "a later one shown": left(3, c.epoch, 4, 4, shows(3, 5, 2)),
		"a start at the slot": left(3, c.epoch, 3, 5), "a promise kept before": left(3, c.epoch, 2, 4),
		"a view change of another member": left(2, c.epoch, 3, 4), "a view change of another epoch": left(3, &foreign, 3, 4),
	} {
		if _, err := message.NewEvidence(said, v); err == nil {
			t.Errorf("%s is evidence", what)
		}
	}
	for what, v := range map[string]*message.Signed{
		"nothing shown": left(3, c.epoch, 3, 4), "another slot shown": left(3, c.epoch, 3, 4, shows(2, 6, 1)),
		"an older one shown": left(3, c.epoch, 3, 4, shows(1, 5, 1)), "another batch of that view shown": left(3, c.epoch, 9, 0, shows(2, 5, 2)),
	} {
		e, err := message.NewEvidence(v, said)
		if err != nil || e.A.Digest() != said.Digest() || checkEvidence(e, c.epoch, scheme) != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	e, err := message.NewEvidence(first, vote(3, c.epoch, 0, 1, 2))
	if err != nil {
		t.Fatal(err)
	}
	forged := *e.B
	forged.Signature[0] ^= 1
	of, err := message.NewEvidence(vote(3, &foreign, 0, 1, 1), vote(3, &foreign, 0, 1, 2))
	if err != nil {
		t.Fatal(err)
	}
	for want, b := range map[error]*message.Evidence{nil: e, ErrSignature: {A: e.A, B: &forged}, ErrForeignEpoch: of} {
		if err := Check(message.Sign(scheme, keys[2], c.epoch, 2, b), c.epoch, scheme); !errors.Is(err, want) {
			t.Errorf("got %v, want %v", err, want)
		}
	}
	var pieces int
	for _, rec := range c.node(2).past {
		if rec.Kind() == ordering.KindEvidence {
			pieces++
		}
	}
	if pieces != maxEvidence {
		t.Errorf("the log has %d pieces, want %d", pieces, maxEvidence)
	}
}
