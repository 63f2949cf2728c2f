package bft

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// validity has what is needed to say something of every kind that Check passes.
type validity struct {
	epoch   *epoch.Epoch
	batch   *message.Batch
	block   *proof.Block
	checked *proof.Checkpoint
}

func newValidity(mode epoch.Mode) *validity {
	e := withOperator(4, mode).Epoch()
	qs := []*message.Request{
		message.NewRequest(scheme, keys[0], e.Chain, 1, 100, []byte("a")),
		message.NewRequest(scheme, keys[0], e.Chain, 2, 100, []byte("b")),
	}
	v := &validity{epoch: e, batch: message.NewBatch(2000, qs)}
	h := proof.Header{Epoch: e.ID, Seq: 4, Batch: v.batch.Digest(), Time: 2000}
	var commit message.Body = &message.Commit{Vote: message.Vote{Seq: 4, Digest: v.batch.Digest()}}
	if mode == epoch.Crash {
		commit = &message.PaxosAccepted{Vote: message.Vote{Seq: 4, Digest: v.batch.Digest()}}
	}
	v.block = &proof.Block{Decision: proof.Decision{Header: h}, Batch: v.batch}
	v.checked = &proof.Checkpoint{Header: h}
	for _, id := range []epoch.ReplicaID{1, 2, 4} {
		v.block.Certificate = append(v.block.Certificate, v.say(id, commit))
		v.checked.Attestations = append(v.checked.Attestations, v.say(id, &message.Attestation{Seq: 4, Header: h.Digest()}))
	}
	return v
}

func (v *validity) say(author epoch.ReplicaID, b message.Body) *message.Signed {
	return message.Sign(scheme, keys[author], v.epoch, author, b)
}

func (v *validity) bodies() []message.Body {
	vote := message.Vote{Seq: 5, Digest: v.batch.Digest()}
	return []message.Body{
		&message.PrePrepare{Vote: vote, Batch: v.batch},
		&message.PrePrepare{Vote: vote, Outline: v.batch.Outline()},
		&message.Prepare{Vote: vote},
		&message.Commit{Vote: vote},
		&message.Attestation{Seq: 4, Header: v.checked.Header.Digest()},
		&message.Status{Delivered: 3, Progress: []message.Phase{message.Prepared}},
		&message.Want{From: 1, To: 64},
		&message.Have{Blocks: [][]byte{proof.EncodeBlock(v.block)}, Checkpoint: proof.EncodeCheckpoint(v.checked)},
		&message.Bundle{Requests: v.batch.Requests},
		&message.Fetch{Seq: 5, Batch: v.batch.Digest(), Missing: []uint16{1}},
		&message.Bodies{Seq: 5, Batch: v.batch.Digest(), Time: v.batch.Time, Requests: v.batch.Requests[:1]},
		&message.PrePrepare{Vote: message.Vote{View: 1, Seq: 5, Digest: v.batch.Digest()}},
		&message.Suspect{View: 3, Delivered: 9},
		v.viewChange(),
		&message.NewView{View: 1, ViewChanges: []message.Named{{Author: 1}, {Author: 2}, {Author: 4}}},
		v.evidence(),
		&message.Propose{Change: v.renewal(2)},
		&message.Ready{Change: crypto.Digest{1}, Seq: 4},
		&message.Recover{Recovery: v.recovery()},
		&message.Standing{Recovery: crypto.Digest{1}, Seq: 4},
		&message.PrePrepare{Vote: message.Vote{Seq: 5, Digest: v.changeBatch().Digest()}, Batch: v.changeBatch()},
	}
}

// renewal is a change that gives a member another incarnation.
func (v *validity) renewal(of epoch.ReplicaID) *message.Change {
	c := &message.Change{Chain: v.epoch.Chain, Of: v.epoch.ID, Next: v.epoch.Configuration, Last: 9}
	c.Next.Members = slices.Clone(c.Next.Members)
	c.Next.Members[of-1].Incarnation = epoch.Incarnation{99}
	return c
}

func (v *validity) recovery() *message.Recovery {
	r := &message.Recovery{Chain: v.epoch.Chain, Of: v.epoch.ID, Next: v.epoch.Configuration, Seq: 4, Header: crypto.Digest{1}}
	r.Approve(scheme, operator)
	return r
}

func (v *validity) changeBatch() *message.Batch {
	c := v.renewal(3)
	for _, id := range []epoch.ReplicaID{1, 2, 3} {
		c.Readiness = append(c.Readiness, v.say(id, &message.Ready{Change: c.ID(), Incarnation: c.Next.Members[id-1].Incarnation, Seq: 4}))
	}
	return message.NewChangeBatch(2000, c)
}

// paxosBodies are those that are said in crash mode alone.
func (v *validity) paxosBodies() []message.Body {
	vote := message.Vote{View: 2, Seq: 5, Digest: v.batch.Digest()}
	return []message.Body{
		&message.PaxosPrepare{View: 3},
		&message.PaxosPromise{View: 3, Start: 4, Header: v.checked.Header.Digest(), Attestations: v.checked.Attestations, Accepted: []message.Vote{vote}},
		message.NewPaxosAccept(vote, v.batch),
		&message.PaxosAccept{PrePrepare: message.PrePrepare{Vote: vote, Outline: v.batch.Outline()}},
		&message.PaxosAccept{PrePrepare: message.PrePrepare{Vote: vote}},
		&message.PaxosAccepted{Vote: vote},
		&message.PaxosLearn{Vote: vote, Accepted: []*message.Signed{
			v.say(1, &message.PaxosAccepted{Vote: vote}), v.say(2, &message.PaxosAccepted{Vote: vote}), v.say(4, &message.PaxosAccepted{Vote: vote})}},
		&message.Heartbeat{View: 3},
		&message.Have{Blocks: [][]byte{proof.EncodeBlock(v.block)}},
	}
}

func (v *validity) viewChange() *message.ViewChange {
	vote := message.Vote{Seq: 5, Digest: v.batch.Digest()}
	votes := []*message.Signed{v.say(1, &message.PrePrepare{Vote: vote, Batch: v.batch}), v.say(2, &message.Prepare{Vote: vote}), v.say(4, &message.Prepare{Vote: vote})}
	return &message.ViewChange{View: 1, Start: 4, Header: v.checked.Header.Digest(), Attestations: v.checked.Attestations,
		Prepared: []message.Certificate{{Vote: vote, Votes: votes}}}
}

func (v *validity) evidence() *message.Evidence {
	e, err := message.NewEvidence(v.say(3, &message.Attestation{Seq: 4, Header: crypto.Digest{1}}), v.say(3, &message.Attestation{Seq: 4}))
	if err != nil {
		panic(err)
	}
	return e
}

// Of every kind of message: one flipped bit of the signature, another author, chain, epoch or mode, and it is dropped.
//
// case B23; case D1; case D16; case I11; checking no signature for one kind turns its row red.
func TestEveryKindIsDroppedWithoutItsSignature(t *testing.T) {
	kinds := make(map[message.Kind]bool)
	v := newValidity(epoch.Byzantine)
	v.dropped(t, v.bodies(), kinds)
	v = newValidity(epoch.Crash)
	v.dropped(t, v.paxosBodies(), kinds)
	for k := range message.Kind(255) {
		if named := !strings.HasPrefix(k.String(), "kind "); named != kinds[k] {
			t.Errorf("%s: named %v, tried %v", k, named, kinds[k])
		}
	}
}

// A message of one protocol is none of the other's.
func TestKindsOfTheOtherModeAreDropped(t *testing.T) {
	byzantine, crash := newValidity(epoch.Byzantine), newValidity(epoch.Crash)
	for _, b := range crash.paxosBodies() {
		if err := Check(byzantine.say(2, b), byzantine.epoch, scheme); b.Kind() < message.KindAttestation && err == nil {
			t.Errorf("%s passes in byzantine mode", b.Kind())
		}
	}
	for _, b := range byzantine.bodies() {
		err := Check(crash.say(2, b), crash.epoch, scheme)
		if own := b.Kind() < message.KindAttestation && b.Kind() != message.KindSuspect; own && err == nil {
			t.Errorf("%s passes in crash mode", b.Kind())
		}
	}
}

// dropped tries each of these messages with all that makes it somebody else's.
func (v *validity) dropped(t *testing.T, bodies []message.Body, kinds map[message.Kind]bool) {
	for _, b := range bodies {
		kinds[b.Kind()] = true
		m := v.say(2, b)
		if err := Check(m, v.epoch, scheme); err != nil {
			t.Errorf("%s: %v", b.Kind(), err)
		}
		for bit := range 8 * 32 { // the modelled scheme's signatures have 32 zeros behind them
			bad := *m
			bad.Signature[bit/8] ^= 1 << (bit % 8)
			if err := Check(&bad, v.epoch, scheme); !errors.Is(err, ErrSignature) {
				t.Errorf("%s: bit %d of the signature flipped: %v", b.Kind(), bit, err)
				break
			}
		}
		real := message.Sign(crypto.Ed25519(), keys[2], v.epoch, 2, b)
		for _, at := range []int{0, 31, 32, 63} {
			bad := *real
			bad.Signature[at] ^= 1
			if Check(&bad, v.epoch, crypto.Ed25519()) == nil {
				t.Errorf("%s: byte %d of an ed25519 signature changed, and it passes", b.Kind(), at)
			}
		}
		for name, c := range map[string]struct {
			want error
			sign func() *message.Signed
		}{
			"signed by another": {ErrSignature, func() *message.Signed { return message.Sign(scheme, keys[3], v.epoch, 2, b) }},
			"member 0":          {ErrNoMember, func() *message.Signed { return message.Sign(scheme, keys[2], v.epoch, 0, b) }},
			"member 5 of 4":     {ErrNoMember, func() *message.Signed { return message.Sign(scheme, keys[5], v.epoch, 5, b) }},
			"member 2^32-1":     {ErrNoMember, func() *message.Signed { return message.Sign(scheme, keys[5], v.epoch, 1<<32-1, b) }},
			"of another chain":  {ErrForeignChain, func() *message.Signed { return v.elsewhere(b, func(e *epoch.Epoch) { e.Chain[0]++ }) }},
			"of another epoch":  {ErrForeignEpoch, func() *message.Signed { return v.elsewhere(b, func(e *epoch.Epoch) { e.ID[0]++ }) }},
			"of the other mode": {ErrForeignEpoch, func() *message.Signed {
				return v.elsewhere(b, func(e *epoch.Epoch) { e.Mode = epoch.Byzantine + epoch.Crash - e.Mode })
			}},
			"of an unknown mode": {ErrForeignEpoch, func() *message.Signed { return v.elsewhere(b, func(e *epoch.Epoch) { e.Mode = 9 }) }},
		} {
			if err := Check(c.sign(), v.epoch, scheme); !errors.Is(err, c.want) {
				t.Errorf("%s %s: got %v, want %v", b.Kind(), name, err, c.want)
			}
		}
	}
}

func (v *validity) elsewhere(b message.Body, change func(*epoch.Epoch)) *message.Signed {
	e := *v.epoch
	change(&e)
	return message.Sign(scheme, keys[2], &e, 2, b)
}

// resigned is a request whose signature is not its sender's.
func resigned(t *testing.T, q *message.Request) *message.Request {
	raw := append([]byte(nil), q.Bytes()...)
	raw[len(raw)-40] ^= 1
	bad, err := message.DecodeRequest(raw)
	if err != nil {
		t.Fatal(err)
	}
	return bad
}

// What may be voted for is a function of the batch and the epoch alone.
//
// case A9; case N13; case D16; leaving a comparison out of checkBatch or checkForm turns its row red.
func TestBatchesThatNobodyMayVoteForAreRefused(t *testing.T) {
	v := newValidity(epoch.Byzantine)
	chain, p := v.epoch.Chain, v.epoch.Parameters
	q := func(nonce uint64, operation int) *message.Request {
		return message.NewRequest(scheme, keys[0], chain, nonce, 1, make([]byte, operation))
	}
	many := func(n, operation int) (qs []*message.Request) {
		for i := range n {
			qs = append(qs, q(uint64(i+1), operation))
		}
		return qs
	}
	largest := int(p.RequestBytes) - message.RequestOverhead
	v.epoch.Parameters.BatchBytes = 3 * p.RequestBytes
	foreign := message.NewRequest(scheme, keys[0], crypto.Hash("test/other"), 1, 1, nil)
	for _, c := range []struct {
		name     string
		requests []*message.Request
		want     string // empty: passes
	}{
		{"one", many(1, 0), ""},
		{"as many as may be", many(int(p.BatchRequests), 0), ""},
		{"the largest", many(1, largest), ""},
		{"as large as may be", many(3, largest), ""},
		{"none", nil, "batch is empty"},
		{"one too many", many(int(p.BatchRequests)+1, 0), "at most 4"},
		{"a byte too many", append(many(2, largest), q(8, largest-message.RequestOverhead), q(9, 1)), "at most 196608"},
		{"one too large", many(1, largest+1), "at most 65536"},
		{"a foreign chain's", append(many(1, 0), foreign), ErrForeignChain.Error()},
		{"a forged first", []*message.Request{resigned(t, q(1, 0)), q(2, 0)}, ErrSignature.Error()},
		{"a forged last", []*message.Request{q(1, 0), q(2, 0), resigned(t, q(3, 0))}, ErrSignature.Error()},
	} {
		batch := message.NewBatch(1, c.requests)
		m := v.say(1, &message.PrePrepare{Vote: message.Vote{Seq: 1, Digest: batch.Digest()}, Batch: batch})
		err := Check(m, v.epoch, scheme)
		if (c.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	// A transaction twice does not come through its encoding: another signature does not make it another one.
	one := q(1, 5)
	for _, second := range []*message.Request{one, resigned(t, one)} {
		batch := message.NewBatch(1, []*message.Request{one, second})
		var w message.Writer
		v.say(1, &message.PrePrepare{Vote: message.Vote{Seq: 1, Digest: batch.Digest()}, Batch: batch}).Encode(&w)
		if _, err := message.Decode(w.Bytes()); err == nil {
			t.Error("one transaction twice: passes")
		}
	}
	// What is stale or replayed is for the machine to say, never for who votes.
	stale := message.NewBatch(-1, []*message.Request{message.NewRequest(scheme, keys[0], chain, 1<<64-1, 0, nil)})
	m := v.say(1, &message.PrePrepare{Vote: message.Vote{Seq: 1, Digest: stale.Digest()}, Batch: stale})
	if err := Check(m, v.epoch, scheme); err != nil {
		t.Errorf("expired: %v", err)
	}
}

// Bundles, blocks and checkpoints are as good as what is in them, and ranges as wide as may be asked for.
//
// case B9; case E9; case N13; passing a Have without Verify turns it red.
func TestWhatIsInsideIsCheckedToo(t *testing.T) {
	v := newValidity(epoch.Byzantine)
	forged := resigned(t, v.batch.Requests[1])
	spoilt := *v.block
	spoilt.Certificate = append([]*message.Signed(nil), v.block.Certificate...)
	bad := *spoilt.Certificate[2]
	bad.Signature[0]++
	spoilt.Certificate[2] = &bad
	few := *v.checked
	few.Attestations = few.Attestations[:2]
	block, checkpoint := proof.EncodeBlock(v.block), proof.EncodeCheckpoint(v.checked)
	for name, b := range map[string]message.Body{
		"a forged transaction in a bundle":   &message.Bundle{Requests: []*message.Request{v.batch.Requests[0], forged}},
		"a block with a bad signature":       &message.Have{Blocks: [][]byte{block, proof.EncodeBlock(&spoilt)}},
		"half a block":                       &message.Have{Blocks: [][]byte{block[:len(block)-1]}},
		"a checkpoint below the quorum":      &message.Have{Checkpoint: proof.EncodeCheckpoint(&few)},
		"half a checkpoint":                  &message.Have{Checkpoint: checkpoint[:len(checkpoint)-1]},
		"a good block, and a bad checkpoint": &message.Have{Blocks: [][]byte{block}, Checkpoint: proof.EncodeCheckpoint(&few)},
		"nothing wanted":                     &message.Want{From: 2, To: 1},
		"the genesis wanted":                 &message.Want{From: 0, To: 1},
		"too much wanted":                    &message.Want{From: 1, To: 65},
		"everything wanted":                  &message.Want{From: 1, To: 1<<64 - 1},
		"a prepare for the genesis":          &message.Prepare{},
		"a commit for the genesis":           &message.Commit{},
		"an attestation to the genesis":      &message.Attestation{},
	} {
		if Check(v.say(2, b), v.epoch, scheme) == nil {
			t.Errorf("%s: passes", name)
		}
	}
	for name, b := range map[string]message.Body{
		"an empty have":  &message.Have{},
		"the last slots": &message.Want{From: 1<<64 - 1, To: 1<<64 - 1},
	} {
		if err := Check(v.say(2, b), v.epoch, scheme); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// CheckRequests has a verdict on each, and a bad one changes no other's.
//
// case D7; case D16; indexing verdicts by claim instead of request turns it red.
func TestRequestsAreJudgedOneByOne(t *testing.T) {
	v := newValidity(epoch.Byzantine)
	good := v.batch.Requests[0]
	foreign := message.NewRequest(scheme, keys[0], crypto.Hash("test/other"), 1, 1, nil)
	large := message.NewRequest(scheme, keys[0], v.epoch.Chain, 1, 1, make([]byte, 64<<10))
	requests := []*message.Request{foreign, good, resigned(t, good), large, v.batch.Requests[1], resigned(t, foreign)}
	for i, want := range []error{ErrForeignChain, nil, ErrSignature, ErrTooLarge, nil, ErrForeignChain} {
		if err := CheckRequests(requests, v.epoch, scheme)[i]; !errors.Is(err, want) {
			t.Errorf("request %d: got %v, want %v", i, err, want)
		}
	}
	if got := CheckRequests(nil, v.epoch, scheme); len(got) != 0 {
		t.Errorf("of none: %v", got)
	}
}

// A promise and a proof are valid whole or not at all.
//
// case I6 I11; letting any of these pass turns its row red.
func TestPaxosCertificatesAreValidWholeOrNotAtAll(t *testing.T) {
	v := newValidity(epoch.Crash)
	vote := message.Vote{View: 2, Seq: 5, Digest: v.batch.Digest()}
	accepted := func(id epoch.ReplicaID, of message.Vote) *message.Signed {
		return v.say(id, &message.PaxosAccepted{Vote: of})
	}
	other := vote
	other.View = 1
	start := func(p *message.PaxosPromise) *message.PaxosPromise {
		p.Start, p.Header, p.Attestations = 4, v.checked.Header.Digest(), v.checked.Attestations
		return p
	}
	for what, b := range map[string]message.Body{
		"a proof by two of four":        &message.PaxosLearn{Vote: vote, Accepted: []*message.Signed{accepted(1, vote), accepted(2, vote)}},
		"a proof by one, three times":   &message.PaxosLearn{Vote: vote, Accepted: []*message.Signed{accepted(1, vote), accepted(1, vote), accepted(1, vote)}},
		"a proof with another view":     &message.PaxosLearn{Vote: vote, Accepted: []*message.Signed{accepted(1, vote), accepted(2, vote), accepted(3, other)}},
		"a promise of view 0":           &message.PaxosPromise{},
		"a promise with a false start":  &message.PaxosPromise{View: 3, Start: 4, Header: crypto.Digest{1}, Attestations: v.checked.Attestations},
		"a promise with half a start":   &message.PaxosPromise{View: 3, Start: 4, Header: v.checked.Header.Digest(), Attestations: v.checked.Attestations[:1]},
		"an acceptance below the start": start(&message.PaxosPromise{View: 3, Accepted: []message.Vote{{View: 2, Seq: 4}}}),
		"an acceptance of its own view": start(&message.PaxosPromise{View: 2, Accepted: []message.Vote{vote}}),
		"an acceptance beyond a window": start(&message.PaxosPromise{View: 3, Accepted: []message.Vote{{View: 2, Seq: 5 + epoch.Seq(v.epoch.Parameters.Window)}}}),
		"two acceptances of one slot":   start(&message.PaxosPromise{View: 3, Accepted: []message.Vote{vote, vote}}),
		"a wish at the genesis":         &message.PaxosAccepted{},
		"a wish for nothing in view 0":  &message.PaxosAccept{PrePrepare: message.PrePrepare{Vote: message.Vote{Seq: 5}}},
	} {
		if err := Check(v.say(2, b), v.epoch, scheme); err == nil {
			t.Errorf("%s passes", what)
		}
	}
}
