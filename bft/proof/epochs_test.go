package proof_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// changes makes changes of an epoch of n members, whose two of three operators sign with keys 36 to 38.
type changes struct {
	current *epoch.Epoch
}

func newChanges(n int, mode epoch.Mode) *changes {
	g := genesis(n)
	g.Mode = mode
	g.Operators, g.Threshold = []crypto.PublicKey{keys[36].Public(), keys[37].Public(), keys[38].Public()}, 2
	e := g.Epoch()
	e.Base = 10
	return &changes{e}
}

// change is one to the other mode that operators have signed and all are ready for, at slot 50, until 60.
func (c *changes) change(edit func(*message.Change)) *message.Change {
	e := c.current
	ch := &message.Change{Chain: e.Chain, Of: e.ID, Next: e.Configuration, Last: 60}
	ch.Next.Members = slices.Clone(e.Members)
	ch.Next.Mode = epoch.Byzantine + epoch.Crash - e.Mode
	if edit != nil {
		edit(ch)
	}
	return ch
}

func (c *changes) signed(ch *message.Change, by ...int) *message.Change {
	for _, i := range by {
		ch.Approve(scheme, keys[i])
	}
	return ch
}

func (c *changes) ready(ch *message.Change, at epoch.Seq, ids ...epoch.ReplicaID) *message.Change {
	for _, id := range ids {
		ch.Readiness = append(ch.Readiness, say(c.current, id, &message.Ready{Change: ch.ID(), Incarnation: ch.Next.Members[id-1].Incarnation, Seq: at}))
	}
	return ch
}

// A change ends an epoch if operators want it and the next epoch can run, and not otherwise.
//
// case J9, case J10, case N7; each row is red if its guard in Next is left out.
func TestNextIsTheJudgeOfAChange(t *testing.T) {
	c := newChanges(4, epoch.Byzantine)
	window := epoch.Seq(c.current.Parameters.Window)
	renewal := func(ch *message.Change) {
		ch.Next.Mode = c.current.Mode
		ch.Next.Members[2].Incarnation = epoch.Incarnation{99}
	}
	for name, x := range map[string]struct {
		change *message.Change
		at     epoch.Seq
		want   error // nil: it holds
	}{
		"to the other mode":                {c.ready(c.signed(c.change(nil), 36, 38), 45, 1, 2, 3), 50, nil},
		"with all operators":               {c.ready(c.signed(c.change(nil), 36, 37, 38), 45, 1, 2, 3, 4), 50, nil},
		"at its last slot":                 {c.ready(c.signed(c.change(nil), 36, 38), 45, 1, 2, 3), 60, nil},
		"behind its last slot":             {c.ready(c.signed(c.change(nil), 36, 38), 45, 1, 2, 3), 61, proof.ErrTooLate},
		"below the epoch":                  {c.ready(c.signed(c.change(nil), 36, 38), 45, 1, 2, 3), 10, proof.ErrOtherEpoch},
		"one operator of two":              {c.ready(c.signed(c.change(nil), 36), 45, 1, 2, 3), 50, proof.ErrAuthority},
		"a stranger's signature":           {c.ready(c.signed(c.change(nil), 36, 5), 45, 1, 2, 3), 50, proof.ErrAuthority},
		"nobody's signature":               {c.ready(c.change(nil), 45, 1, 2, 3), 50, proof.ErrAuthority},
		"of another epoch":                 {c.ready(c.signed(c.change(func(ch *message.Change) { ch.Of = crypto.Digest{1} }), 36, 38), 45, 1, 2, 3), 50, proof.ErrOtherEpoch},
		"of another chain":                 {c.ready(c.signed(c.change(func(ch *message.Change) { ch.Chain = crypto.Digest{1} }), 36, 38), 45, 1, 2, 3), 50, proof.ErrOtherEpoch},
		"two are ready of four":            {c.ready(c.signed(c.change(nil), 36, 38), 45, 1, 2), 50, proof.ErrReadiness},
		"a majority, ready for crash mode": {c.ready(c.signed(c.change(nil), 36, 38), 45, 2, 3, 4), 50, nil},
		"ready long ago":                   {c.ready(c.signed(c.change(func(ch *message.Change) { ch.Last = 9999 }), 36, 38), 45, 1, 2, 3), 45 + 2*window + 1, proof.ErrReadiness},
		"ready just in time":               {c.ready(c.signed(c.change(func(ch *message.Change) { ch.Last = 9999 }), 36, 38), 45, 1, 2, 3), 45 + 2*window, nil},
		"ready in time to come":            {c.ready(c.signed(c.change(nil), 36, 38), 50, 1, 2, 3), 50, proof.ErrReadiness},
		"a member's own renewal":           {c.ready(c.change(renewal), 45, 1, 2, 3), 50, nil},
		"a renewal without the member":     {c.ready(c.change(renewal), 45, 1, 2, 4), 50, proof.ErrAuthority},
		"a renewal that changes the mode": {c.ready(c.change(func(ch *message.Change) {
			renewal(ch)
			ch.Next.Mode = epoch.Crash
		}), 45, 1, 2, 3), 50, proof.ErrAuthority},
		"a renewal of two": {c.ready(c.change(func(ch *message.Change) {
			renewal(ch)
			ch.Next.Members[1].Incarnation = epoch.Incarnation{98}
		}), 45, 1, 2, 3), 50, proof.ErrAuthority},
	} {
		t.Run(name, func(t *testing.T) {
			next, err := proof.Next(c.current, x.change, x.at, scheme)
			if !errors.Is(err, x.want) || (next == nil) != (x.want != nil) {
				t.Errorf("%v, want %v", err, x.want)
			}
		})
	}
}

// What could not run, or is not built, is refused by name.
//
// case J10; each row is red if nothing looks at it.
func TestChangesThatCannotBeAreRefusedByName(t *testing.T) {
	for name, edit := range map[string]func(*message.Change){
		"byzantine mode with three": func(ch *message.Change) { ch.Next.Members = ch.Next.Members[:3] },
		"nothing":                   func(ch *message.Change) { ch.Next.Mode = epoch.Byzantine },
		"another key":               func(ch *message.Change) { ch.Next.Members[0].Key = keys[30].Public() },
		"two members exchanged":     func(ch *message.Change) { m := ch.Next.Members; m[0], m[1] = m[1], m[0] },
		"another nonce window":      func(ch *message.Change) { ch.Next.Parameters.NonceWindow = 16 },
		"a window of one":           func(ch *message.Change) { ch.Next.Parameters.Window = 1 },
		"more to sign than there":   func(ch *message.Change) { ch.Next.Threshold = 4 },
	} {
		c := newChanges(4, epoch.Byzantine)
		if err := proof.Asked(c.current, c.signed(c.change(edit), 36, 37), scheme); err == nil {
			t.Errorf("%s passes", name)
		}
	}
	c := newChanges(3, epoch.Crash)
	if err := proof.Asked(c.current, c.signed(c.change(nil), 36, 37), scheme); err == nil {
		t.Error("three members pass for byzantine mode")
	}
}

// A member's word of readiness counts for the change that it names, under the incarnation that is listed, and with its signature.
//
// case N7, case F2; a word that is not compared turns its row red.
func TestReadinessIsAMembersOwn(t *testing.T) {
	c := newChanges(4, epoch.Byzantine)
	ch := c.signed(c.change(nil), 36, 38)
	good := func(id epoch.ReplicaID) *message.Ready {
		return &message.Ready{Change: ch.ID(), Incarnation: ch.Next.Members[id-1].Incarnation, Seq: 45}
	}
	other := *c.current
	other.ID = crypto.Digest{7}
	for name, words := range map[string][]*message.Signed{
		"another life":   {say(c.current, 1, good(1)), say(c.current, 2, &message.Ready{Change: ch.ID(), Incarnation: epoch.Incarnation{9}, Seq: 45}), say(c.current, 3, good(3))},
		"another change": {say(c.current, 1, good(1)), say(c.current, 2, &message.Ready{Incarnation: ch.Next.Members[1].Incarnation, Seq: 45}), say(c.current, 3, good(3))},
		"another epoch":  {say(c.current, 1, good(1)), say(&other, 2, good(2)), say(c.current, 3, good(3))},
		"another's key":  {say(c.current, 1, good(1)), message.Sign(scheme, keys[5], c.current, 2, good(2)), say(c.current, 3, good(3))},
		"twice":          {say(c.current, 1, good(1)), say(c.current, 1, good(1)), say(c.current, 3, good(3))},
		"out of order":   {say(c.current, 3, good(3)), say(c.current, 2, good(2)), say(c.current, 1, good(1))},
	} {
		if _, err := proof.Next(c.current, ch.With(words), 50, scheme); err == nil {
			t.Errorf("%s passes", name)
		}
	}
}

// A hand-over holds by a quorum of each epoch, of each in its own tag, to the header that announces the next epoch.
//
// case N6; counting one quorum for both, or a number in the place of the identity, turns it red.
func TestAHandOverHoldsByAQuorumOfEach(t *testing.T) {
	c := newChanges(5, epoch.Crash)
	next := c.current.Configuration
	next.Mode = epoch.Byzantine
	h := proof.Header{Epoch: c.current.ID, Seq: 50, NextEpoch: message.ConfigurationDigest(&next)}
	after := proof.Announced(c.current, &h, &next)
	attest := func(e *epoch.Epoch, ids ...epoch.ReplicaID) (all []*message.Signed) {
		for _, id := range ids {
			all = append(all, say(e, id, &message.Attestation{Seq: 50, Header: h.Digest()}))
		}
		return all
	}
	good := func() *proof.HandOver {
		return &proof.HandOver{Header: h, Next: next, Outgoing: attest(c.current, 1, 2, 4), Incoming: attest(after, 1, 2, 4, 5)}
	}
	if got, err := good().Verify(c.current, scheme); err != nil || got.ID != h.Digest() || got.Number != 1 || got.Base != 50 || got.Mode != epoch.Byzantine {
		t.Fatalf("%+v, %v", got, err)
	}
	encoded := proof.EncodeHandOver(good())
	if again, err := proof.DecodeHandOver(encoded); err != nil || string(proof.EncodeHandOver(again)) != string(encoded) {
		t.Errorf("it does not come back as it was: %v", err)
	}
	for name, edit := range map[string]func(*proof.HandOver){
		"two of the old":               func(h *proof.HandOver) { h.Outgoing = h.Outgoing[:2] },
		"three of the new":             func(h *proof.HandOver) { h.Incoming = h.Incoming[:3] },
		"the old ones twice":           func(h *proof.HandOver) { h.Incoming = attest(c.current, 1, 2, 4, 5) },
		"another configuration":        func(h *proof.HandOver) { h.Next.Threshold = 1 },
		"a header of another epoch":    func(h *proof.HandOver) { h.Header.Epoch = crypto.Digest{1} },
		"a header that announces none": func(h *proof.HandOver) { h.Header.NextEpoch = crypto.Digest{} },
		"a recovery's mark":            func(h *proof.HandOver) { h.Forced = &message.Recovery{Next: next} },
	} {
		bad := good()
		edit(bad)
		if _, err := bad.Verify(c.current, scheme); err == nil {
			t.Errorf("%s passes", name)
		}
	}
}

// A forced hand-over holds by operators' signatures and a quorum of the epoch that begins.
//
// Breaks when: one of its guards is left out.
func TestAForcedHandOverHoldsByItsOperators(t *testing.T) {
	c := newChanges(4, epoch.Crash)
	next := c.current.Configuration
	next.Mode = epoch.Byzantine
	h := proof.Header{Epoch: c.current.ID, Seq: 50}
	rec := func(edit func(*message.Recovery), by ...int) *message.Recovery {
		r := &message.Recovery{Chain: c.current.Chain, Of: c.current.ID, Next: next, Seq: 50, Header: h.Digest()}
		if edit != nil {
			edit(r)
		}
		for _, i := range by {
			r.Approve(scheme, keys[i])
		}
		return r
	}
	with := func(r *message.Recovery, ids ...epoch.ReplicaID) *proof.HandOver {
		o := &proof.HandOver{Header: h, Next: r.Next, Forced: r}
		for _, id := range ids {
			o.Incoming = append(o.Incoming, say(proof.Recovered(c.current, r), id, &message.Attestation{Seq: 50, Header: h.Digest()}))
		}
		return o
	}
	if got, err := with(rec(nil, 36, 37), 1, 2, 3).Verify(c.current, scheme); err != nil || got.ID != rec(nil).ID() {
		t.Fatal(err)
	}
	for name, bad := range map[string]*proof.HandOver{
		"one operator":         with(rec(nil, 36), 1, 2, 3),
		"two members":          with(rec(nil, 36, 37), 1, 2),
		"into crash mode":      with(rec(func(r *message.Recovery) { r.Next.Mode = epoch.Crash; r.Next.Parameters.Window = 300 }, 36, 37), 1, 2, 3),
		"at another header":    with(rec(func(r *message.Recovery) { r.Header = crypto.Digest{1} }, 36, 37), 1, 2, 3),
		"of another epoch":     with(rec(func(r *message.Recovery) { r.Of = crypto.Digest{1} }, 36, 37), 1, 2, 3),
		"below the epoch":      with(rec(func(r *message.Recovery) { r.Seq = 9 }, 36, 37), 1, 2, 3),
		"another nonce window": with(rec(func(r *message.Recovery) { r.Next.Parameters.NonceWindow = 16 }, 36, 37), 1, 2, 3),
	} {
		if _, err := bad.Verify(c.current, scheme); err == nil {
			t.Errorf("%s passes", name)
		}
	}
}
