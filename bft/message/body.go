package message

import (
	"fmt"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/crypto"
)

// Kind says what a member's message is. The numbers are in every signature: they are never used again.
type Kind uint8

const (
	KindPrePrepare  Kind = 1
	KindPrepare     Kind = 2
	KindCommit      Kind = 3
	KindAttestation Kind = 16
	KindStatus      Kind = 17
	KindWant        Kind = 18
	KindHave        Kind = 19
	KindBundle      Kind = 20
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
	default:
		return fmt.Sprintf("kind %d", uint8(k))
	}
}

// Bulky says whether messages of this kind may be large, and go apart from the votes.
func (k Kind) Bulky() bool {
	return k == KindPrePrepare || k == KindHave || k == KindBundle
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

func (v Vote) encode(w *Writer) {
	w.U64(uint64(v.View))
	w.U64(uint64(v.Seq))
	w.Fixed(v.Digest[:])
}

func (v Vote) attach(*Writer) {}

func readVote(r *Reader) Vote {
	return Vote{View: epoch.View(r.U64()), Seq: epoch.Seq(r.U64()), Digest: r.Digest()}
}

// PrePrepare is the leader's word that it wants its batch at a slot. The batch is attached; its digest is signed.
type PrePrepare struct {
	Vote
	Batch *Batch
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
	View         epoch.View
	Delivered    epoch.Seq // newest slot executed
	Acknowledged epoch.Seq // newest slot that a quorum is known to have attested
	Stable       epoch.Seq // newest stable checkpoint
	Progress     []Phase   // of the slots above Delivered, in order
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

// Have brings what was wanted, or what a peer seems to lack: encoded blocks in order, an encoded checkpoint, either
// of which may be missing. Package proof knows their layout.
type Have struct {
	Blocks     [][]byte
	Checkpoint []byte
}

// MaxHaveBlocks bounds the blocks of one Have.
const MaxHaveBlocks = 64

// Bundle brings transactions that clients have handed to its author.
type Bundle struct{ Requests []*Request }

// MaxBundleRequests bounds the transactions of one Bundle.
const MaxBundleRequests = 2000

func (*PrePrepare) Kind() Kind  { return KindPrePrepare }
func (*Prepare) Kind() Kind     { return KindPrepare }
func (*Commit) Kind() Kind      { return KindCommit }
func (*Attestation) Kind() Kind { return KindAttestation }
func (*Status) Kind() Kind      { return KindStatus }
func (*Want) Kind() Kind        { return KindWant }
func (*Have) Kind() Kind        { return KindHave }
func (*Bundle) Kind() Kind      { return KindBundle }

func (p *PrePrepare) attach(w *Writer) { p.Batch.Encode(w) }

func (a *Attestation) encode(w *Writer) {
	w.U64(uint64(a.Seq))
	w.Fixed(a.Header[:])
}
func (*Attestation) attach(*Writer) {}

func (s *Status) encode(w *Writer) {
	w.U64(uint64(s.View))
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
}

func (b *Bundle) encode(w *Writer) { encodeAttached(b, w) }
func (b *Bundle) attach(w *Writer) {
	w.U32(uint32(len(b.Requests)))
	for _, q := range b.Requests {
		w.String(q.Bytes())
	}
}

// readBody reads the signed part and what is attached to it, and checks that the two belong together.
func readBody(k Kind, r *Reader, attached []byte) Body {
	at := NewReader(attached)
	var b Body
	switch k {
	case KindPrePrepare:
		p := &PrePrepare{Vote: readVote(r), Batch: DecodeBatch(at)}
		if at.err == nil && p.Batch.Digest() != p.Digest {
			at.Fail(errAttached)
		}
		b = p
	case KindPrepare:
		b = &Prepare{readVote(r)}
	case KindCommit:
		b = &Commit{readVote(r)}
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
		checkAttached(r, at, attached)
		b = readBundle(at)
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
	return h
}

func readBundle(r *Reader) *Bundle {
	b := &Bundle{}
	n := r.Count(MaxBundleRequests, 4+RequestOverhead)
	for range n {
		raw := r.String(MaxRequestBytes)
		if r.err != nil {
			break
		}
		q, err := DecodeRequest(raw)
		if err != nil {
			r.Fail(err)
			break
		}
		b.Requests = append(b.Requests, q)
	}
	return b
}
