package message

import (
	"bytes"
	"errors"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/crypto"
)

// Evidence is two things that one member has signed, of which a correct one never signs both, however it crashes and is started
// again: what it says rests on facts in its log. It is told by the two alone, whoever brings them. What counts is a closed
// list of pairs, of one chain, epoch, mode, author and kind:
//
//	pre-prepare, prepare, commit   the same view and slot, and another digest
//	view-change, new-view          the same view, and other content
//	paxos-accept, paxos-accepted   the same view and slot, and another digest
//	paxos-promise                  the same view, and other content
//	attestation                    the same slot, and another header
//
// and one pair of two kinds: a commit, and a view-change to a later view that starts below its slot and does not show it.
type Evidence struct{ A, B *Signed } // without attachments; A's bytes sort before B's

// Promise is what a member may say one thing about.
type Promise struct {
	Chain, Epoch crypto.Digest
	Mode         epoch.Mode
	Author       epoch.ReplicaID
	Kind         Kind
	View         epoch.View // 0 for an attestation
	Seq          epoch.Seq  // 0 for a view change or a new view
}

// Promise is what m promises, and the digest that it promises there; ok is false for what promises nothing.
func (m *Signed) Promise() (p Promise, digest crypto.Digest, ok bool) {
	p = Promise{Chain: m.Chain, Epoch: m.Epoch, Mode: m.Mode, Author: m.Author, Kind: m.Body.Kind()}
	if v, ok := VoteOf(m.Body); ok {
		p.View, p.Seq = v.View, v.Seq
		return p, v.Digest, true
	}
	switch b := m.Body.(type) {
	case *ViewChange:
		p.View = b.View
		return p, m.Digest(), true
	case *NewView:
		p.View = b.View
		return p, m.Digest(), true
	case *PaxosPromise:
		p.View = b.View
		return p, m.Digest(), true
	case *Attestation:
		p.Seq = b.Seq
		return p, b.Header, true
	default:
		return p, digest, false
	}
}

var (
	errNoConflict = errors.New("two messages that a correct member may have signed both")
	errPairOrder  = errors.New("evidence with its messages in the other order")
)

// NewEvidence makes evidence of two messages, in either order. An error says that they are none. Whether the signatures hold is
// for bft.Check.
func NewEvidence(a, b *Signed) (*Evidence, error) {
	if bytes.Compare(a.Bytes, b.Bytes) > 0 {
		a, b = b, a
	}
	if !contradict(a, b) && !conceals(a, b) {
		return nil, errNoConflict
	}
	return &Evidence{a.detached(), b.detached()}, nil
}

// contradict says whether two messages make one promise in two ways.
func contradict(a, b *Signed) bool {
	of, first, ok := a.Promise()
	with, second, also := b.Promise()
	return ok && also && of == with && first != second
}

// conceals says whether a is a commit of what b, a view-change, should show: whoever commits has a certificate in its log, shows it in
// every later view, or one of a view between, and starts above the slot only when it needs none any more.
func conceals(a, b *Signed) bool {
	c, ok := a.Body.(*Commit)
	v, also := b.Body.(*ViewChange)
	if !ok || !also || a.Chain != b.Chain || a.Epoch != b.Epoch || a.Mode != b.Mode || a.Author != b.Author {
		return false
	}
	if v.View <= c.View || v.Start >= c.Seq {
		return false
	}
	for shown := range v.Shown() {
		if shown.Seq == c.Seq && (shown.View > c.View || shown == c.Vote) {
			return false
		}
	}
	return true
}

// detached is m without what is attached to it.
func (m *Signed) detached() *Signed {
	out := *m
	out.Attached = nil
	switch b := m.Body.(type) {
	case *PrePrepare:
		out.Body = &PrePrepare{Vote: b.Vote}
	case *PaxosAccept:
		out.Body = &PaxosAccept{PrePrepare{Vote: b.Vote}}
	case *PaxosPromise:
		out.Body = &PaxosPromise{View: b.View, Start: b.Start, Header: b.Header, Accepted: b.Accepted}
	case *ViewChange:
		v := &ViewChange{View: b.View, Start: b.Start, Header: b.Header}
		for _, c := range b.Prepared {
			v.Prepared = append(v.Prepared, Certificate{Vote: c.Vote})
		}
		out.Body = v
	}
	return &out
}

// Broken is the promise that was broken; a commit whose slot was concealed is one.
func (e *Evidence) Broken() Promise {
	p, _, _ := e.A.Promise()
	return p
}

const domainEvidence = "quorate/evidence/1"

// ID names the broken promise, so that it is the same whichever two of many conflicting messages somebody holds.
func (e *Evidence) ID() crypto.Digest {
	p := e.Broken()
	var w Writer
	w.Fixed(p.Chain[:])
	w.Fixed(p.Epoch[:])
	w.U8(uint8(p.Mode))
	w.U32(uint32(p.Author))
	w.U8(uint8(p.Kind))
	w.U64(uint64(p.View))
	w.U64(uint64(p.Seq))
	return crypto.Hash(domainEvidence, w.Bytes())
}

func (e *Evidence) encode(w *Writer) { encodeAttached(e, w) }
func (e *Evidence) attach(w *Writer) { e.Encode(w) }

// Encode writes the evidence as it travels and as it is kept.
func (e *Evidence) Encode(w *Writer) {
	e.A.EncodeDetached(w)
	e.B.EncodeDetached(w)
}

// ReadEvidence reads what Encode writes, and nothing that is no evidence.
func ReadEvidence(r *Reader) *Evidence {
	a, b := ReadDetached(r), ReadDetached(r)
	if r.err != nil {
		return nil
	}
	e, err := NewEvidence(a, b)
	switch {
	case err != nil:
		r.Fail(err)
	case !bytes.Equal(e.A.Bytes, a.Bytes):
		r.Fail(errPairOrder)
	}
	return e
}
