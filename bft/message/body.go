package message

import (
	"errors"
	"fmt"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/crypto"
)

// Kind says what a member's message is. The numbers are in every signature: they are never used again.
type Kind uint8

const (
	KindPrePrepare Kind = 1
	KindPrepare    Kind = 2
	KindCommit     Kind = 3
	KindSuspect    Kind = 4
	KindViewChange Kind = 5
	KindNewView    Kind = 6

	KindPaxosPrepare  Kind = 7
	KindPaxosPromise  Kind = 8
	KindPaxosAccept   Kind = 9
	KindPaxosAccepted Kind = 10
	KindPaxosLearn    Kind = 11
	KindHeartbeat     Kind = 12

	KindAttestation Kind = 16
	KindStatus      Kind = 17
	KindWant        Kind = 18
	KindHave        Kind = 19
	KindBundle      Kind = 20
	KindFetch       Kind = 21
	KindBodies      Kind = 22
	KindEvidence    Kind = 23
	KindPropose     Kind = 24
	KindReady       Kind = 25
	KindRecover     Kind = 26
	KindStanding    Kind = 27
)

// String is the kind's name in logs and captures.
func (k Kind) String() string {
	switch k {
	case KindPrePrepare:
		return "pre-prepare"
	case KindPrepare:
		return "prepare"
	case KindCommit:
		return "commit"
	case KindSuspect:
		return "suspect"
	case KindViewChange:
		return "view-change"
	case KindNewView:
		return "new-view"
	case KindPaxosPrepare:
		return "paxos-prepare"
	case KindPaxosPromise:
		return "paxos-promise"
	case KindPaxosAccept:
		return "paxos-accept"
	case KindPaxosAccepted:
		return "paxos-accepted"
	case KindPaxosLearn:
		return "paxos-learn"
	case KindHeartbeat:
		return "heartbeat"
	case KindAttestation:
		return "attestation"
	case KindStatus:
		return "status"
	case KindWant:
		return "want"
	case KindHave:
		return "have"
	case KindBundle:
		return "bundle"
	case KindFetch:
		return "fetch"
	case KindBodies:
		return "bodies"
	case KindEvidence:
		return "evidence"
	case KindPropose:
		return "propose"
	case KindReady:
		return "ready"
	case KindRecover:
		return "recover"
	case KindStanding:
		return "standing"
	default:
		return fmt.Sprintf("kind %d", uint8(k))
	}
}

// Body is what a member says, apart from who says it, in which epoch.
//
// What is large is attached: it travels behind the signature, and the signed bytes name its digest.
type Body interface {
	Kind() Kind
	encode(w *Writer) // the signed part
	attach(w *Writer) // the attached part, if there is one
}

// Vote is what the three phases of PBFT have in common (Castro & Liskov, §4.2): a batch at a slot in a view.
type Vote struct {
	View   epoch.View
	Seq    epoch.Seq
	Digest crypto.Digest
}

// VoteOf is what a message's author stands for by it: a batch at a slot in a view. ok is false if it is about something else.
func VoteOf(b Body) (v Vote, ok bool) {
	switch b := b.(type) {
	case *PrePrepare:
		return b.Vote, true
	case *Prepare:
		return b.Vote, true
	case *Commit:
		return b.Vote, true
	case *PaxosAccept:
		return b.Vote, true
	case *PaxosAccepted:
		return b.Vote, true
	default:
		return v, false
	}
}

func (v Vote) encode(w *Writer) {
	w.U64(uint64(v.View))
	w.U64(uint64(v.Seq))
	w.Fixed(v.Digest[:])
}

func (v Vote) attach(*Writer) {}

func readVote(r *Reader) Vote {
	return Vote{View: epoch.View(r.U64()), Seq: epoch.Seq(r.U64()), Digest: r.Digest()}
}

// PrePrepare is the leader's word that it wants a batch at a slot. The batch is attached, whole or by the names of its
// transactions, or not at all if its NewView has settled the slot; its digest is signed, so the leader's word is the same
// in each form.
type PrePrepare struct {
	Vote
	Batch   *Batch   // nil if only named, settled, or detached
	Outline *Outline // nil if whole, settled, or detached
}

// InlineBytes is up to which size of its transactions in all a batch is proposed whole. Most transactions of a larger one
// are with everybody already, by gossip: to send them again would cost the leader n-1 times their bytes.
const InlineBytes = 16 << 10

// NewPrePrepare proposes a batch in the form that suits its size.
func NewPrePrepare(v Vote, b *Batch) *PrePrepare {
	if b.Change == nil && b.Size() > InlineBytes {
		return &PrePrepare{Vote: v, Outline: b.Outline()}
	}
	return &PrePrepare{Vote: v, Batch: b}
}

// Count is how many transactions the batch has, 0 if it is not attached or has none.
func (p *PrePrepare) Count() int {
	switch {
	case p.Batch != nil:
		return len(p.Batch.Requests)
	case p.Outline != nil:
		return len(p.Outline.Bodies)
	default:
		return 0
	}
}

// Prepare is a backup's promise to stand by the leader's batch.
type Prepare struct{ Vote }

// Commit is a replica's word that a quorum stands by the batch, and that it has this in its log.
type Commit struct{ Vote }

// Attestation is a replica's word that it has executed everything through a header, and holds the blocks.
// It counts for every header at or below it on that chain.
type Attestation struct {
	Seq    epoch.Seq
	Header crypto.Digest
}

// Status tells peers how far a replica is, so that they can send again what it lacks.
type Status struct {
	View         epoch.View // the highest that it has promised to vote in, and in no lower one
	Installed    bool       // it votes in View: it has the NewView, of which view 0 needs none
	Delivered    epoch.Seq  // newest slot executed
	Acknowledged epoch.Seq  // newest slot that a quorum is known to have attested
	Stable       epoch.Seq  // newest stable checkpoint
	Progress     []Phase    // of the slots above Delivered, in order
}

// MaxProgress bounds Status.Progress.
const MaxProgress = 64

// Phase is how far a slot has come at one replica.
type Phase uint8

const (
	Empty    Phase = 0 // no proposal in hand
	Accepted Phase = 1 // the proposal is in the log, a Prepare or the PrePrepare itself is due
	Prepared Phase = 2 // a quorum stands by it, a Commit is due
	Decided  Phase = 3 // a quorum has committed
)

// Want asks a peer for the blocks From to To.
type Want struct{ From, To epoch.Seq }

// Have brings what was wanted, or what a peer seems to lack: encoded blocks in order, an encoded checkpoint, an encoded
// hand-over to the next epoch, any of which may be missing. Package proof knows their layout.
type Have struct {
	Blocks     [][]byte
	Checkpoint []byte
	HandOver   []byte
}

// MaxHaveBlocks bounds the blocks of one Have.
const MaxHaveBlocks = 64

// Bundle brings transactions that clients have handed to its author. Anybody may pass it on; the head says when it was said,
// so that nobody can bring it up again much later.
type Bundle struct {
	Head     epoch.Seq // newest slot that the author had executed
	Requests []*Request
}

// MaxBundleRequests bounds the transactions of one Bundle.
const MaxBundleRequests = 2000

// Fetch asks a peer for transactions of a batch that was proposed for a slot.
type Fetch struct {
	Seq     epoch.Seq
	Batch   crypto.Digest
	Missing []uint16 // their places in the batch, in ascending order; none: the whole batch is wanted
}

// MaxFetch bounds Fetch.Missing: whoever lacks more asks for all.
const MaxFetch = 256

// Bodies brings transactions of a batch, in the order of the batch, or the change that it is. With all of them and its time it is
// the batch itself.
type Bodies struct {
	Seq      epoch.Seq
	Batch    crypto.Digest
	Time     int64 // the batch's
	Requests []*Request
	Change   *Change // nil: it has transactions
}

func (*PrePrepare) Kind() Kind  { return KindPrePrepare }
func (*Prepare) Kind() Kind     { return KindPrepare }
func (*Commit) Kind() Kind      { return KindCommit }
func (*Attestation) Kind() Kind { return KindAttestation }
func (*Status) Kind() Kind      { return KindStatus }
func (*Want) Kind() Kind        { return KindWant }
func (*Have) Kind() Kind        { return KindHave }
func (*Bundle) Kind() Kind      { return KindBundle }
func (*Fetch) Kind() Kind       { return KindFetch }
func (*Bodies) Kind() Kind      { return KindBodies }
func (*Evidence) Kind() Kind    { return KindEvidence }

// How a proposal's batch is attached.
const (
	formWhole   = 1
	formNamed   = 2
	formSettled = 3
)

func (p *PrePrepare) attach(w *Writer) {
	switch {
	case p.Batch != nil:
		w.U8(formWhole)
		p.Batch.Encode(w)
	case p.Outline != nil:
		w.U8(formNamed)
		p.Outline.Encode(w)
	default:
		w.U8(formSettled)
	}
}

func (a *Attestation) encode(w *Writer) {
	w.U64(uint64(a.Seq))
	w.Fixed(a.Header[:])
}
func (*Attestation) attach(*Writer) {}

func (s *Status) encode(w *Writer) {
	w.U64(uint64(s.View))
	w.Flag(s.Installed)
	w.U64(uint64(s.Delivered))
	w.U64(uint64(s.Acknowledged))
	w.U64(uint64(s.Stable))
	w.U32(uint32(len(s.Progress)))
	for _, p := range s.Progress {
		w.U8(uint8(p))
	}
}
func (*Status) attach(*Writer) {}

func (q *Want) encode(w *Writer) {
	w.U64(uint64(q.From))
	w.U64(uint64(q.To))
}
func (*Want) attach(*Writer) {}

const domainAttached = "quorate/attached/1"

// encodeAttached writes the digest of what is attached.
func encodeAttached(b Body, w *Writer) {
	var attached Writer
	b.attach(&attached)
	d := crypto.Hash(domainAttached, attached.Bytes())
	w.Fixed(d[:])
}

func (h *Have) encode(w *Writer) { encodeAttached(h, w) }
func (h *Have) attach(w *Writer) {
	w.U32(uint32(len(h.Blocks)))
	for _, b := range h.Blocks {
		w.String(b)
	}
	w.String(h.Checkpoint)
	w.String(h.HandOver)
}

func (b *Bundle) encode(w *Writer) {
	w.U64(uint64(b.Head))
	encodeAttached(b, w)
}
func (b *Bundle) attach(w *Writer) { writeRequests(w, b.Requests) }

func (f *Fetch) encode(w *Writer) {
	w.U64(uint64(f.Seq))
	w.Fixed(f.Batch[:])
	w.U32(uint32(len(f.Missing)))
	for _, i := range f.Missing {
		w.U16(i)
	}
}
func (*Fetch) attach(*Writer) {}

func (b *Bodies) encode(w *Writer) { encodeAttached(b, w) }
func (b *Bodies) attach(w *Writer) {
	w.U64(uint64(b.Seq))
	w.Fixed(b.Batch[:])
	w.U64(uint64(b.Time))
	w.Flag(b.Change != nil)
	if b.Change != nil {
		b.Change.Encode(w)
		return
	}
	writeRequests(w, b.Requests)
}

func writeRequests(w *Writer, requests []*Request) {
	w.U32(uint32(len(requests)))
	for _, q := range requests {
		w.String(q.Bytes())
	}
}

// readBody reads the signed part and what is attached to it, and checks that the two belong together.
func readBody(k Kind, r *Reader, attached []byte) Body {
	at := NewReader(attached)
	var b Body
	switch k {
	case KindPrePrepare:
		b = readPrePrepare(r, at)
	case KindPaxosAccept:
		b = &PaxosAccept{*readPrePrepare(r, at)}
	case KindPaxosPrepare:
		b = &PaxosPrepare{View: epoch.View(r.U64())}
	case KindPaxosPromise:
		b = readPaxosPromise(r, at, attached)
	case KindPaxosAccepted:
		b = &PaxosAccepted{readVote(r)}
	case KindPaxosLearn:
		b = readPaxosLearn(r, at, attached)
	case KindHeartbeat:
		b = &Heartbeat{View: epoch.View(r.U64())}
	case KindPrepare:
		b = &Prepare{readVote(r)}
	case KindCommit:
		b = &Commit{readVote(r)}
	case KindSuspect:
		b = &Suspect{View: epoch.View(r.U64()), Delivered: epoch.Seq(r.U64())}
	case KindViewChange:
		b = readViewChange(r, at, attached)
	case KindNewView:
		b = readNewView(r)
	case KindAttestation:
		b = &Attestation{Seq: epoch.Seq(r.U64()), Header: r.Digest()}
	case KindStatus:
		b = readStatus(r)
	case KindWant:
		b = &Want{From: epoch.Seq(r.U64()), To: epoch.Seq(r.U64())}
	case KindHave:
		checkAttached(r, at, attached)
		b = readHave(at)
	case KindBundle:
		head := epoch.Seq(r.U64())
		checkAttached(r, at, attached)
		b = &Bundle{head, readRequests(at, MaxBundleRequests)}
	case KindFetch:
		b = readFetch(r)
	case KindBodies:
		checkAttached(r, at, attached)
		b = readBodies(at)
	case KindEvidence:
		checkAttached(r, at, attached)
		b = ReadEvidence(at)
	case KindPropose:
		checkAttached(r, at, attached)
		b = &Propose{ReadChange(at)}
	case KindReady:
		b = readReady(r)
	case KindStanding:
		b = readStanding(r)
	case KindRecover:
		checkAttached(r, at, attached)
		b = &Recover{ReadRecovery(at)}
	default:
		r.Fail(fmt.Errorf("%s is none", k))
	}
	if err := at.Close(); err != nil {
		r.Fail(err)
	}
	return b
}

func checkAttached(r, at *Reader, attached []byte) {
	if r.Digest() != crypto.Hash(domainAttached, attached) {
		at.Fail(errAttached)
	}
}

func readStatus(r *Reader) *Status {
	s := &Status{
		View:         epoch.View(r.U64()),
		Installed:    r.Flag(),
		Delivered:    epoch.Seq(r.U64()),
		Acknowledged: epoch.Seq(r.U64()),
		Stable:       epoch.Seq(r.U64()),
	}
	n := r.Count(MaxProgress, 1)
	for range n {
		p := Phase(r.U8())
		if p > Decided {
			r.Fail(fmt.Errorf("phase %d is none", p))
		}
		s.Progress = append(s.Progress, p)
	}
	return s
}

func readHave(r *Reader) *Have {
	h := &Have{}
	n := r.Count(MaxHaveBlocks, 4)
	for range n {
		h.Blocks = append(h.Blocks, r.String(MaxAttachedBytes))
	}
	h.Checkpoint = r.String(MaxAttachedBytes)
	h.HandOver = r.String(MaxAttachedBytes)
	return h
}

func readBodies(r *Reader) *Bodies {
	b := &Bodies{Seq: epoch.Seq(r.U64()), Batch: r.Digest(), Time: int64(r.U64())}
	if r.Flag() {
		b.Change = ReadChange(r)
		return b
	}
	b.Requests = readRequests(r, MaxBatchRequests)
	return b
}

func readPrePrepare(r, at *Reader) *PrePrepare {
	p := &PrePrepare{Vote: readVote(r)}
	var digest crypto.Digest
	switch form := at.U8(); form {
	case formWhole:
		if p.Batch = DecodeBatch(at); at.err == nil {
			digest = p.Batch.Digest()
		}
	case formNamed:
		if p.Outline = DecodeOutline(at); at.err == nil {
			digest = p.Outline.Digest()
		}
	case formSettled:
		digest = p.Digest
	default:
		at.Fail(fmt.Errorf("form %d is none", form))
	}
	if at.err == nil && digest != p.Digest {
		at.Fail(errAttached)
	}
	return p
}

var errPlaces = errors.New("places are not in ascending order")

func readFetch(r *Reader) *Fetch {
	f := &Fetch{Seq: epoch.Seq(r.U64()), Batch: r.Digest()}
	for range r.Count(MaxFetch, 2) {
		i := r.U16()
		if n := len(f.Missing); n > 0 && i <= f.Missing[n-1] {
			r.Fail(errPlaces)
			break
		}
		f.Missing = append(f.Missing, i)
	}
	return f
}

func readRequests(r *Reader, most int) []*Request {
	var requests []*Request
	for range r.Count(most, 4+RequestOverhead) {
		raw := r.String(MaxRequestBytes)
		if r.err != nil {
			break
		}
		q, err := DecodeRequest(raw)
		if err != nil {
			r.Fail(err)
			break
		}
		requests = append(requests, q)
	}
	return requests
}
