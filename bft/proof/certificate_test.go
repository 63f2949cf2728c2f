package proof_test

import (
	"strings"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// spoiled are the ways to spoil a certificate of members 1 to 5 of six, of whom four are a quorum; vote is what they
// sign, other the same kind of vote for something else.
var spoiled = []struct {
	name, want string
	spoil      func(votes []*message.Signed, e *epoch.Epoch, vote, other message.Body) []*message.Signed
}{
	{"one signature is bad", "signature of 3", func(v []*message.Signed, e *epoch.Epoch, vote, _ message.Body) []*message.Signed {
		bad := *v[2]
		bad.Signature[0] ^= 1
		v[2] = &bad
		return v
	}},
	{"one signature is another member's", "signature of 3", func(v []*message.Signed, e *epoch.Epoch, vote, _ message.Body) []*message.Signed {
		v[2] = message.Sign(scheme, keys[4], e, 3, vote)
		return v
	}},
	{"a member twice", "not in order", func(v []*message.Signed, e *epoch.Epoch, _, _ message.Body) []*message.Signed {
		v[2] = v[1]
		return v
	}},
	{"out of order", "not in order", func(v []*message.Signed, e *epoch.Epoch, _, _ message.Body) []*message.Signed {
		v[0], v[1] = v[1], v[0]
		return v
	}},
	{"a stranger", "no member", func(v []*message.Signed, e *epoch.Epoch, vote, _ message.Body) []*message.Signed {
		return append(v, message.Sign(scheme, keys[7], e, 7, vote))
	}},
	{"author 0", "no member", func(v []*message.Signed, e *epoch.Epoch, vote, _ message.Body) []*message.Signed {
		v[0] = message.Sign(scheme, keys[1], e, 0, vote)
		return v
	}},
	{"another epoch", "another epoch", func(v []*message.Signed, e *epoch.Epoch, vote, _ message.Body) []*message.Signed {
		o := *e
		o.ID[0]++
		v[0] = say(&o, 1, vote)
		return v
	}},
	{"another chain", "another epoch", func(v []*message.Signed, e *epoch.Epoch, vote, _ message.Body) []*message.Signed {
		o := *e
		o.Chain[0]++
		v[0] = say(&o, 1, vote)
		return v
	}},
	{"another mode", "another epoch", func(v []*message.Signed, e *epoch.Epoch, vote, _ message.Body) []*message.Signed {
		o := *e
		o.Mode = epoch.Crash
		v[0] = say(&o, 1, vote)
		return v
	}},
	{"below the quorum", "3 votes, want 4", func(v []*message.Signed, e *epoch.Epoch, _, _ message.Body) []*message.Signed {
		return v[:3]
	}},
	{"nothing", "0 votes, want 4", func([]*message.Signed, *epoch.Epoch, message.Body, message.Body) []*message.Signed {
		return nil
	}},
	{"more votes than members", "7 votes of 6", func(v []*message.Signed, e *epoch.Epoch, vote, _ message.Body) []*message.Signed {
		return append(v, say(e, 6, vote), say(e, 6, vote))
	}},
	{"one vote for something else", "another", func(v []*message.Signed, e *epoch.Epoch, _, other message.Body) []*message.Signed {
		v[4] = say(e, 5, other)
		return v
	}},
	{"a vote of another kind", "among the", func(v []*message.Signed, e *epoch.Epoch, _, _ message.Body) []*message.Signed {
		v[4] = say(e, 5, &message.Prepare{})
		return v
	}},
}

// A certificate is valid whole or not at all, also if a quorum of good votes is left in it.
//
// case B3; case B9; case D7; leaving any comparison out of certificate turns its row red.
func TestCheckpointIsValidWholeOrNotAtAll(t *testing.T) {
	g := genesis(6)
	e := g.Epoch()
	headers := chain(g, 2)
	h := headers[0]
	for _, authors := range [][]epoch.ReplicaID{{1, 2, 3, 4}, {3, 4, 5, 6}, {1, 2, 3, 4, 5, 6}} {
		c := &proof.Checkpoint{Header: h, Attestations: all(e, attestation(h), authors...)}
		if err := c.Verify(e, scheme); err != nil {
			t.Errorf("attested by %v: %v", authors, err)
		}
		raw := proof.EncodeCheckpoint(c)
		back, err := proof.DecodeCheckpoint(raw)
		if err != nil || back.Header != h || string(proof.EncodeCheckpoint(back)) != string(raw) || back.Verify(e, scheme) != nil {
			t.Errorf("attested by %v: did not come back as it was: %v", authors, err)
		}
	}
	for _, s := range spoiled {
		votes := all(e, attestation(h), 1, 2, 3, 4, 5)
		c := &proof.Checkpoint{Header: h, Attestations: s.spoil(votes, e, attestation(h), attestation(headers[1]))}
		if err := c.Verify(e, scheme); err == nil || !strings.Contains(err.Error(), s.want) {
			t.Errorf("%s: got %v, want %s", s.name, err, s.want)
		}
	}
	seq := attestation(h)
	seq.Seq++
	c := &proof.Checkpoint{Header: h, Attestations: all(e, seq, 1, 2, 3, 4)}
	if c.Verify(e, scheme) == nil {
		t.Error("attestations that name another slot pass")
	}
	c = &proof.Checkpoint{Header: h, Attestations: all(e, attestation(h), 1, 2, 3, 4)}
	c.Header.State[0]++
	if c.Verify(e, scheme) == nil {
		t.Error("a header that was changed passes")
	}
	c.Header = h
	c.Header.Epoch[0]++
	if c.Verify(e, scheme) == nil {
		t.Error("a header of another epoch passes")
	}
}

// Blocks hold by their commits: all to the header's batch, at its slot, in one view.
//
// case B3; case B9; counting commits of two views together turns it red.
func TestBlockIsValidWholeOrNotAtAll(t *testing.T) {
	e := genesis(6).Epoch()
	batch := message.NewBatch(1_700_000_000_005, requests(e, 2))
	h := proof.Header{Epoch: e.ID, Seq: 9, Batch: batch.Digest(), Time: batch.Time}
	vote := message.Vote{View: 2, Seq: 9, Digest: batch.Digest()}
	commit := &message.Commit{Vote: vote}
	block := func(votes []*message.Signed) *proof.Block {
		return &proof.Block{Decision: proof.Decision{Header: h, View: 2, Certificate: votes}, Batch: batch}
	}
	good := block(all(e, commit, 2, 3, 5, 6))
	if err := good.Verify(e, scheme); err != nil {
		t.Fatal(err)
	}
	raw := proof.EncodeBlock(good)
	back, err := proof.DecodeBlock(raw)
	if err != nil || back.Verify(e, scheme) != nil || string(proof.EncodeBlock(back)) != string(raw) {
		t.Fatalf("did not come back as it was: %v", err)
	}
	for n := range raw {
		if _, err := proof.DecodeBlock(raw[:n:n]); err == nil {
			t.Fatalf("%d of %d bytes pass", n, len(raw))
		}
	}
	for _, s := range spoiled {
		for what, other := range map[string]message.Vote{
			"view":  {View: 1, Seq: 9, Digest: vote.Digest},
			"slot":  {View: 2, Seq: 8, Digest: vote.Digest},
			"batch": {View: 2, Seq: 9, Digest: crypto.Hash("test/other")},
		} {
			votes := s.spoil(all(e, commit, 1, 2, 3, 4, 5), e, commit, &message.Commit{Vote: other})
			if err := block(votes).Verify(e, scheme); err == nil || !strings.Contains(err.Error(), s.want) {
				t.Errorf("%s, other %s: got %v, want %s", s.name, what, err, s.want)
			}
		}
	}
	for name, change := range map[string]func(*proof.Block){
		"header of another slot":  func(b *proof.Block) { b.Header.Seq++ },
		"header of another epoch": func(b *proof.Block) { b.Header.Epoch[0]++ },
		"another view":            func(b *proof.Block) { b.View++ },
		"another batch":           func(b *proof.Block) { b.Batch = message.NewBatch(batch.Time+1, batch.Requests) },
		"another batch, in both": func(b *proof.Block) {
			b.Batch = message.NewBatch(batch.Time+1, batch.Requests)
			b.Header.Batch = b.Batch.Digest()
		},
	} {
		b := block(all(e, commit, 1, 2, 3, 4))
		change(b)
		if b.Verify(e, scheme) == nil {
			t.Errorf("%s: passes", name)
		}
	}
}
