package message

import (
	"errors"
	"iter"
	"math"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/crypto"
)

// The messages by which a view ends and the next begins (Castro & Liskov, §4.4): docs/protocol/pbft.md.

// Suspect is a replica's hint that it would leave a view: nothing was delivered for too long, or the leader is slow, or unfair. It
// binds to nothing.
type Suspect struct {
	View      epoch.View
	Delivered epoch.Seq // newest slot delivered: the suspicion is over once its author has delivered more; or Whatever
}

// Whatever is in the place of Suspect.Delivered when it does not matter what is delivered.
const Whatever epoch.Seq = math.MaxUint64

// ViewChange is a replica's promise to vote in no view below View, with all that it knows to be prepared. What it shows is
// signed, and attached is why it holds: the signed bytes alone tell what was left out.
type ViewChange struct {
	View         epoch.View
	Start        epoch.Seq     // a stable checkpoint: what is at or below it needs no certificate
	Header       crypto.Digest // of Start; zero at slot 0, which the genesis proves
	Attestations []*Signed     // a quorum's, to exactly Header; attached
	Prepared     []Certificate // above Start, one a slot, in ascending order; their votes are attached
}

// Shown are the slots that it shows a certificate for.
func (v *ViewChange) Shown() iter.Seq[Vote] {
	return func(yield func(Vote) bool) {
		for i := range v.Prepared {
			if !yield(v.Prepared[i].Vote) {
				return
			}
		}
	}
}

// Certificate shows that a batch was prepared at a slot in a view: the word of a quorum for it, its leader's PrePrepare
// among them, in order of the members' numbers.
type Certificate struct {
	Vote
	Votes []*Signed
}

// NewView begins a view: what it settles follows from the ViewChanges that it names.
type NewView struct {
	View        epoch.View
	ViewChanges []Named // of exactly a quorum, in order of the members' numbers
}

// Named is a message by its author and the digest of its signed bytes.
type Named struct {
	Author epoch.ReplicaID
	Digest crypto.Digest
}

const (
	domainSigned = "quorate/signed/1"
	// MaxCertificates bounds a ViewChange: one a slot of the widest window.
	MaxCertificates = 4096
	voteSize        = 8 + 8 + crypto.DigestSize
)

// Digest names the message by its signed bytes.
func (m *Signed) Digest() crypto.Digest { return crypto.Hash(domainSigned, m.Bytes) }

// NullBatch stands at a slot of which a new view knows nothing: it has no transactions.
func NullBatch() *Batch { return NewBatch(0, nil) }

func (*Suspect) Kind() Kind    { return KindSuspect }
func (*ViewChange) Kind() Kind { return KindViewChange }
func (*NewView) Kind() Kind    { return KindNewView }

func (s *Suspect) encode(w *Writer) {
	w.U64(uint64(s.View))
	w.U64(uint64(s.Delivered))
}
func (*Suspect) attach(*Writer) {}

func (v *ViewChange) encode(w *Writer) {
	v.encodeHead(w)
	encodeAttached(v, w)
}

func (v *ViewChange) encodeHead(w *Writer) {
	w.U64(uint64(v.View))
	w.U64(uint64(v.Start))
	w.Fixed(v.Header[:])
	w.U32(uint32(len(v.Prepared)))
	for _, c := range v.Prepared {
		c.Vote.encode(w)
	}
}

func (v *ViewChange) attach(w *Writer) {
	WriteVotes(w, v.Attestations)
	w.U32(uint32(len(v.Prepared)))
	for _, c := range v.Prepared {
		WriteVotes(w, c.Votes)
	}
}

// Encode writes the body as a log keeps it, before it is signed.
func (v *ViewChange) Encode(w *Writer) {
	v.encodeHead(w)
	v.attach(w)
}

// ReadViewChange reads what Encode writes.
func ReadViewChange(r *Reader) *ViewChange {
	v := readViewChangeHead(r)
	v.readAttached(r)
	return v
}

func readViewChangeHead(r *Reader) *ViewChange {
	v := &ViewChange{View: epoch.View(r.U64()), Start: epoch.Seq(r.U64()), Header: r.Digest()}
	for range r.Count(MaxCertificates, voteSize) {
		v.Prepared = append(v.Prepared, Certificate{Vote: readVote(r)})
	}
	return v
}

func readViewChange(r, at *Reader, attached []byte) *ViewChange {
	v := readViewChangeHead(r)
	checkAttached(r, at, attached)
	v.readAttached(at)
	return v
}

func (v *ViewChange) readAttached(r *Reader) {
	v.Attestations = ReadVotes(r)
	if n := r.Count(MaxCertificates, 4); n != len(v.Prepared) {
		r.Fail(errCertificateVotes)
		return
	}
	for i := range v.Prepared {
		v.Prepared[i].Votes = ReadVotes(r)
	}
}

func (v *NewView) encode(w *Writer) {
	w.U64(uint64(v.View))
	w.U32(uint32(len(v.ViewChanges)))
	for _, n := range v.ViewChanges {
		w.U32(uint32(n.Author))
		w.Fixed(n.Digest[:])
	}
}
func (*NewView) attach(*Writer) {}

// Encode writes the body as a log keeps it, before it is signed.
func (v *NewView) Encode(w *Writer) { v.encode(w) }

// ReadNewView reads what Encode writes.
func ReadNewView(r *Reader) *NewView { return readNewView(r) }

var errCertificateVotes = errors.New("votes for another number of certificates than it shows")

var errNames = errors.New("names not in order of distinct members")

func readNewView(r *Reader) *NewView {
	v := &NewView{View: epoch.View(r.U64())}
	last := epoch.ReplicaID(0)
	for range r.Count(epoch.MaxMembers, 4+crypto.DigestSize) {
		n := Named{epoch.ReplicaID(r.U32()), r.Digest()}
		if n.Author <= last {
			r.Fail(errNames)
			return v
		}
		last = n.Author
		v.ViewChanges = append(v.ViewChanges, n)
	}
	return v
}

// WriteVotes writes the votes of a certificate.
func WriteVotes(w *Writer, votes []*Signed) {
	w.U32(uint32(len(votes)))
	for _, v := range votes {
		v.EncodeDetached(w)
	}
}

// ReadVotes reads what WriteVotes writes.
func ReadVotes(r *Reader) []*Signed {
	var votes []*Signed
	for range r.Count(epoch.MaxMembers, MinDetached) {
		v := ReadDetached(r)
		if r.err != nil {
			return nil
		}
		votes = append(votes, v)
	}
	return votes
}
