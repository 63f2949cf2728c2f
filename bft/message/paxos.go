package message

import (
	"errors"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/crypto"
)

// The messages of Multi-Paxos (Lamport, Paxos Made Simple, 2001, §2.2): docs/protocol/paxos.md. A ballot is a view, which belongs to one member.

// PaxosPrepare is phase 1a: a candidate asks for promises to accept nothing in any view below.
type PaxosPrepare struct{ View epoch.View }

// PaxosPromise is phase 1b: its author accepts nothing in any view below View any more, and shows all that it has accepted. What it
// shows is signed, so the signed bytes alone tell what was left out.
type PaxosPromise struct {
	View         epoch.View
	Start        epoch.Seq     // a stable checkpoint: what is at or below it is decided
	Header       crypto.Digest // of Start; zero at slot 0, which the genesis proves
	Attestations []*Signed     // a quorum's, to exactly Header; attached
	Accepted     []Vote        // above Start, one a slot, in ascending order: of the highest view
}

// PaxosAccept is phase 2a: the leader's word that it wants a batch at a slot. The batch is attached as to a PrePrepare.
type PaxosAccept struct{ PrePrepare }

// PaxosAccepted is phase 2b: its author has accepted the batch, and has it in its log.
type PaxosAccepted struct{ Vote }

// PaxosLearn tells that a batch is chosen, with the proof: a majority has accepted it.
type PaxosLearn struct {
	Vote
	Accepted []*Signed // by distinct members, in order of their numbers; attached
}

// Heartbeat tells the members that the leader of a view leads it, and the leader that its author follows.
type Heartbeat struct{ View epoch.View }

// NewPaxosAccept asks for a batch in the form that suits its size.
func NewPaxosAccept(v Vote, b *Batch) *PaxosAccept { return &PaxosAccept{*NewPrePrepare(v, b)} }

func (*PaxosPrepare) Kind() Kind  { return KindPaxosPrepare }
func (*PaxosPromise) Kind() Kind  { return KindPaxosPromise }
func (*PaxosAccept) Kind() Kind   { return KindPaxosAccept }
func (*PaxosAccepted) Kind() Kind { return KindPaxosAccepted }
func (*PaxosLearn) Kind() Kind    { return KindPaxosLearn }
func (*Heartbeat) Kind() Kind     { return KindHeartbeat }

func (p *PaxosPrepare) encode(w *Writer) { w.U64(uint64(p.View)) }
func (*PaxosPrepare) attach(*Writer)     {}

func (h *Heartbeat) encode(w *Writer) { w.U64(uint64(h.View)) }
func (*Heartbeat) attach(*Writer)     {}

func (p *PaxosPromise) encode(w *Writer) {
	p.encodeHead(w)
	encodeAttached(p, w)
}

func (p *PaxosPromise) encodeHead(w *Writer) {
	w.U64(uint64(p.View))
	w.U64(uint64(p.Start))
	w.Fixed(p.Header[:])
	w.U32(uint32(len(p.Accepted)))
	for _, v := range p.Accepted {
		v.encode(w)
	}
}

func (p *PaxosPromise) attach(w *Writer) { WriteVotes(w, p.Attestations) }

// Encode writes the body as a log keeps it, before it is signed.
func (p *PaxosPromise) Encode(w *Writer) {
	p.encodeHead(w)
	p.attach(w)
}

// ReadPaxosPromise reads what Encode writes.
func ReadPaxosPromise(r *Reader) *PaxosPromise {
	p := readPaxosPromiseHead(r)
	p.Attestations = ReadVotes(r)
	return p
}

func readPaxosPromiseHead(r *Reader) *PaxosPromise {
	p := &PaxosPromise{View: epoch.View(r.U64()), Start: epoch.Seq(r.U64()), Header: r.Digest()}
	for range r.Count(MaxCertificates, voteSize) {
		p.Accepted = append(p.Accepted, readVote(r))
	}
	return p
}

func readPaxosPromise(r, at *Reader, attached []byte) *PaxosPromise {
	p := readPaxosPromiseHead(r)
	checkAttached(r, at, attached)
	p.Attestations = ReadVotes(at)
	return p
}

func (l *PaxosLearn) encode(w *Writer) {
	l.Vote.encode(w)
	encodeAttached(l, w)
}

func (l *PaxosLearn) attach(w *Writer) { WriteVotes(w, l.Accepted) }

func readPaxosLearn(r, at *Reader, attached []byte) *PaxosLearn {
	l := &PaxosLearn{Vote: readVote(r)}
	checkAttached(r, at, attached)
	l.Accepted = ReadVotes(at)
	return l
}

var errMode = errors.New("is not said in an epoch of this mode")

// CheckMode says whether a kind of message is said under a fault model: each protocol has kinds of its own, and shares the others.
func (k Kind) CheckMode(m epoch.Mode) error {
	switch k {
	case KindPrePrepare, KindPrepare, KindCommit, KindViewChange, KindNewView:
		if m != epoch.Byzantine {
			return errMode
		}
	case KindPaxosPrepare, KindPaxosPromise, KindPaxosAccept, KindPaxosAccepted, KindPaxosLearn, KindHeartbeat:
		if m != epoch.Crash {
			return errMode
		}
	}
	return nil
}
