package ordering

import (
	"errors"
	"fmt"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// Record is a fact that a replica must remember. The log holds facts, not inputs: what a replica has bound itself to,
// never what it was told. The numbers of RecordKind are in every log: they are never used again.
type Record interface {
	Kind() RecordKind
	encode(*message.Writer)
}

// RecordKind says which fact a record is.
type RecordKind uint8

const (
	KindBirth     RecordKind = 1
	KindEntered   RecordKind = 2
	KindBodies    RecordKind = 3
	KindAccepted  RecordKind = 4
	KindPrepared  RecordKind = 5
	KindDecided   RecordKind = 6
	KindBase      RecordKind = 7
	KindEvidence  RecordKind = 8
	KindLeft      RecordKind = 9
	KindInstalled RecordKind = 10
	KindPromised  RecordKind = 11
	KindSealed    RecordKind = 12
)

// Birth is a log's first record: whose log it is, and which life of it.
type Birth struct {
	Key         crypto.PublicKey
	Incarnation epoch.Incarnation
}

// Entered is that this replica has come to take part in an epoch, and, if it is not the first one, what proves that it follows the one
// before.
type Entered struct {
	Epoch    *epoch.Epoch
	HandOver *proof.HandOver // nil: of the genesis
}

// Sealed is that the newest slot has ended the epoch, and which one follows. It stands behind every Base again until that one is
// entered.
type Sealed struct {
	Next   *epoch.Epoch
	Forced *message.Recovery // nil: the slot's header announces it
}

// Bodies is a batch with every transaction, written once, whoever and however many facts name it. It is the block
// store's copy as well.
type Bodies struct{ Batch *message.Batch }

// Accepted is that this replica stands by a proposal, its own or its leader's: it will say Prepare to no other in
// that view. The batch is in a Bodies record of the same append or an earlier one.
type Accepted struct {
	message.Vote
	Proposal *message.Signed // the leader's PrePrepare without its attachment; nil for one's own
}

// Prepared is that a quorum stands by a proposal; the certificate is what a view change will show.
type Prepared struct {
	message.Vote
	Prepares []*message.Signed // a quorum with the leader's PrePrepare; in order of the members' numbers
}

// Decided is a slot's decision with its header, written once the batch was executed. With the Bodies record of its
// batch it is the block.
type Decided struct{ proof.Decision }

// Evidence is what this replica holds against a member. It stands behind every Base again, in the same append.
type Evidence struct{ *message.Evidence }

// Left is that this replica votes in no view below that of its ViewChange any more, which it is to say in just these words
// for as long as nothing is newer. It stands behind every Base again, in the same append.
type Left struct{ ViewChange *message.ViewChange }

// Installed is that this replica votes in a view, by a NewView and the ViewChanges that this names. It stands behind every
// Base again, in the same append.
type Installed struct {
	NewView     *message.NewView
	Signed      *message.Signed   // the leader's; nil if that is this replica, whose signature comes out the same each time
	ViewChanges []*message.Signed // in the order of NewView
}

// Promised is that this replica accepts nothing in a view below that of its PaxosPromise any more, which it is to say in just these
// words. It stands behind every Base again, in the same append.
type Promised struct{ Promise *message.PaxosPromise }

// Base repeats all that has no sequence number and all that is still live, so that whatever stands before it in the
// log is no longer needed as a fact.
type Base struct {
	Birth   Birth
	Epoch   *epoch.Epoch
	View    epoch.View // the highest view promised
	Stable  *proof.Checkpoint
	Headers []proof.Header // above the stable checkpoint: multiples of K, and last the newest
	Facts   []Record       // Accepted and Prepared above the stable checkpoint
}

func (*Birth) Kind() RecordKind     { return KindBirth }
func (*Entered) Kind() RecordKind   { return KindEntered }
func (*Bodies) Kind() RecordKind    { return KindBodies }
func (*Accepted) Kind() RecordKind  { return KindAccepted }
func (*Prepared) Kind() RecordKind  { return KindPrepared }
func (*Decided) Kind() RecordKind   { return KindDecided }
func (*Base) Kind() RecordKind      { return KindBase }
func (*Evidence) Kind() RecordKind  { return KindEvidence }
func (*Left) Kind() RecordKind      { return KindLeft }
func (*Installed) Kind() RecordKind { return KindInstalled }
func (*Promised) Kind() RecordKind  { return KindPromised }
func (*Sealed) Kind() RecordKind    { return KindSealed }

func (b *Birth) encode(w *message.Writer) {
	w.Fixed(b.Key[:])
	w.Fixed(b.Incarnation[:])
}

func (e *Entered) encode(w *message.Writer) {
	proof.EncodeEpoch(w, e.Epoch)
	w.Flag(e.HandOver != nil)
	if e.HandOver != nil {
		e.HandOver.Encode(w)
	}
}

func (s *Sealed) encode(w *message.Writer) {
	proof.EncodeEpoch(w, s.Next)
	w.Flag(s.Forced != nil)
	if s.Forced != nil {
		s.Forced.Encode(w)
	}
}

func (b *Bodies) encode(w *message.Writer) {
	d := b.Batch.Digest() // in front, so that a log's batches are found without being read
	w.Fixed(d[:])
	b.Batch.Encode(w)
}

func (a *Accepted) encode(w *message.Writer) {
	encodeVote(w, a.Vote)
	w.Flag(a.Proposal != nil)
	if a.Proposal != nil {
		a.Proposal.EncodeDetached(w)
	}
}

func (p *Prepared) encode(w *message.Writer) {
	encodeVote(w, p.Vote)
	message.WriteVotes(w, p.Prepares)
}

func (d *Decided) encode(w *message.Writer)  { d.Decision.Encode(w) }
func (e *Evidence) encode(w *message.Writer) { e.Evidence.Encode(w) }
func (l *Left) encode(w *message.Writer)     { l.ViewChange.Encode(w) }
func (p *Promised) encode(w *message.Writer) { p.Promise.Encode(w) }

func (i *Installed) encode(w *message.Writer) {
	w.Flag(i.Signed != nil)
	if i.Signed != nil {
		i.Signed.EncodeDetached(w)
	} else {
		i.NewView.Encode(w)
	}
	w.U32(uint32(len(i.ViewChanges)))
	for _, v := range i.ViewChanges {
		v.Encode(w)
	}
}

// VoteOf is what a fact about a slot binds its replica to; ok is false for other facts.
func VoteOf(rec Record) (v message.Vote, ok bool) {
	switch rec := rec.(type) {
	case *Accepted:
		return rec.Vote, true
	case *Prepared:
		return rec.Vote, true
	default:
		return v, false
	}
}

// maxFacts bounds a Base: two facts a slot of the widest window in each of two views, and a certificate of one before.
const maxFacts = 5 * 4096

func (b *Base) encode(w *message.Writer) {
	b.Birth.encode(w)
	proof.EncodeEpoch(w, b.Epoch)
	w.U64(uint64(b.View))
	b.Stable.Encode(w)
	w.U32(uint32(len(b.Headers)))
	for i := range b.Headers {
		b.Headers[i].Encode(w)
	}
	w.U32(uint32(len(b.Facts)))
	for _, f := range b.Facts {
		w.U8(uint8(f.Kind()))
		f.encode(w)
	}
}

func encodeVote(w *message.Writer, v message.Vote) {
	w.U64(uint64(v.View))
	w.U64(uint64(v.Seq))
	w.Fixed(v.Digest[:])
}

func readVote(r *message.Reader) message.Vote {
	return message.Vote{View: epoch.View(r.U64()), Seq: epoch.Seq(r.U64()), Digest: r.Digest()}
}

var errDigest = errors.New("batch is not the one it is filed under")

// BodiesDigest is the digest that a Bodies record's payload is filed under.
func BodiesDigest(payload []byte) (crypto.Digest, error) {
	r := message.NewReader(payload)
	d := r.Digest()
	return d, r.Err()
}

// DecidedHeader is the header of a Decided record's payload.
func DecidedHeader(payload []byte) (proof.Header, error) {
	r := message.NewReader(payload)
	h := proof.ReadHeader(r)
	return h, r.Err()
}

// Encode is a record's payload in the log.
func Encode(rec Record) []byte {
	var w message.Writer
	rec.encode(&w)
	return w.Bytes()
}

// Decode reads what Encode made of a record of this kind.
func Decode(kind RecordKind, payload []byte) (Record, error) {
	r := message.NewReader(payload)
	rec := read(kind, r)
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("record of kind %d: %w", kind, err)
	}
	return rec, nil
}

func read(kind RecordKind, r *message.Reader) Record {
	switch kind {
	case KindBirth:
		b := readBirth(r)
		return &b
	case KindEntered:
		e := &Entered{Epoch: proof.ReadEpoch(r)}
		if r.Flag() {
			e.HandOver = proof.ReadHandOver(r)
		}
		return e
	case KindSealed:
		s := &Sealed{Next: proof.ReadEpoch(r)}
		if r.Flag() {
			s.Forced = message.ReadRecovery(r)
		}
		return s
	case KindBodies:
		d := r.Digest()
		b := message.DecodeBatch(r)
		if r.Err() == nil && b.Digest() != d {
			r.Fail(errDigest)
		}
		return &Bodies{b}
	case KindAccepted:
		return readAccepted(r)
	case KindPrepared:
		return &Prepared{Vote: readVote(r), Prepares: message.ReadVotes(r)}
	case KindDecided:
		return &Decided{*proof.ReadDecision(r)}
	case KindBase:
		return readBase(r)
	case KindLeft:
		return &Left{message.ReadViewChange(r)}
	case KindInstalled:
		return readInstalled(r)
	case KindPromised:
		return &Promised{message.ReadPaxosPromise(r)}
	case KindEvidence:
		return &Evidence{message.ReadEvidence(r)}
	default:
		r.Fail(fmt.Errorf("kind %d is none", kind))
		return nil
	}
}

func readBirth(r *message.Reader) (b Birth) {
	r.Fixed(b.Key[:])
	r.Fixed(b.Incarnation[:])
	return b
}

func readAccepted(r *message.Reader) *Accepted {
	a := &Accepted{Vote: readVote(r)}
	if r.Flag() {
		a.Proposal = message.ReadDetached(r)
	}
	return a
}

var errInstalled = errors.New("a new view that is none, or without the view changes that it names")

func readInstalled(r *message.Reader) *Installed {
	i := &Installed{}
	if r.Flag() {
		if i.Signed = message.ReadDetached(r); r.Err() != nil {
			return i
		}
		i.NewView, _ = i.Signed.Body.(*message.NewView)
	} else {
		i.NewView = message.ReadNewView(r)
	}
	for range r.Count(epoch.MaxMembers, message.MinDetached) {
		v := message.ReadSigned(r)
		if r.Err() != nil {
			return i
		}
		i.ViewChanges = append(i.ViewChanges, v)
	}
	if r.Err() == nil && !i.whole() {
		r.Fail(errInstalled)
	}
	return i
}

// whole says whether the ViewChanges are those that the NewView names.
func (i *Installed) whole() bool {
	if i.NewView == nil || len(i.ViewChanges) != len(i.NewView.ViewChanges) {
		return false
	}
	for n, v := range i.ViewChanges {
		name := i.NewView.ViewChanges[n]
		if _, ok := v.Body.(*message.ViewChange); !ok || v.Author != name.Author || v.Digest() != name.Digest {
			return false
		}
	}
	return true
}

func readBase(r *message.Reader) *Base {
	b := &Base{Birth: readBirth(r), Epoch: proof.ReadEpoch(r), View: epoch.View(r.U64()), Stable: proof.ReadCheckpoint(r)}
	for range r.Count(maxFacts, proof.HeaderSize) {
		b.Headers = append(b.Headers, proof.ReadHeader(r))
	}
	for range r.Count(maxFacts, 1) {
		kind := RecordKind(r.U8())
		if kind != KindAccepted && kind != KindPrepared {
			r.Fail(fmt.Errorf("kind %d in a base", kind))
			return b
		}
		b.Facts = append(b.Facts, read(kind, r))
	}
	return b
}
