// Package message has what clients and members say to each other, and the one encoding of it.
//
// One value has one encoding, and the reader refuses what the writer would not have written: a vote that could be
// written in two ways would be two votes. The layouts, with vectors, are in docs/protocol/encoding.md.
package message

import (
	"errors"
	"fmt"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/crypto"
)

const (
	signedTag     = "quorate/msg"
	signedVersion = 1

	// signedHead is the length of the domain tag that all signed bytes begin with.
	signedHead = len(signedTag) + 1 + 32 + 32 + 1 + 1 + 4
)

// Bounds of a message on the wire, in bytes. The signed part is small by construction, but for a ViewChange or a promise,
// which lists what it shows.
const (
	MaxSignedBytes   = 1 << 10
	MaxAttachedBytes = 4 << 20

	maxSignedViewChange = signedHead + 8 + 8 + crypto.DigestSize + 4 + MaxCertificates*voteSize + crypto.DigestSize
)

var (
	errAttached = errors.New("what is attached is not what was signed")
	errDetached = errors.New("without what is attached")
)

// Signed is something a member has said. It is a value that nobody changes, and may be shared between goroutines.
type Signed struct {
	Chain  crypto.Digest
	Epoch  crypto.Digest // identity of the epoch it was said in
	Mode   epoch.Mode
	Author epoch.ReplicaID
	Body   Body

	Bytes     []byte // the exact bytes under the signature: kept, never built again
	Attached  []byte // what is named by digest in Bytes; nil if nothing is
	Signature crypto.Signature
}

// Sign says body in the name of author, a member of e.
func Sign(s crypto.Scheme, key crypto.PrivateKey, e *epoch.Epoch, author epoch.ReplicaID, body Body) *Signed {
	w := Writer{buf: make([]byte, 0, signedHead+64)}
	w.Fixed([]byte(signedTag))
	w.U8(signedVersion)
	w.Fixed(e.Chain[:])
	w.Fixed(e.ID[:])
	w.U8(uint8(e.Mode))
	w.U8(uint8(body.Kind()))
	w.U32(uint32(author))
	body.encode(&w)
	var attached Writer
	body.attach(&attached)
	return &Signed{
		Chain: e.Chain, Epoch: e.ID, Mode: e.Mode, Author: author, Body: body,
		Bytes: w.Bytes(), Attached: attached.Bytes(), Signature: s.Sign(key, w.Bytes()),
	}
}

// Claim is what must hold for the message to be its author's, whose key in e it names.
func (m *Signed) Claim(e *epoch.Epoch) crypto.Claim {
	return crypto.Claim{Key: e.Member(m.Author).Key, Message: m.Bytes, Signature: m.Signature}
}

// Encode writes a message as it travels and as it is kept.
func (m *Signed) Encode(w *Writer) {
	w.String(m.Bytes)
	w.Fixed(m.Signature[:])
	w.String(m.Attached)
}

// EncodeDetached writes a vote as certificates and logs keep it: without what is attached.
func (m *Signed) EncodeDetached(w *Writer) {
	w.String(m.Bytes)
	w.Fixed(m.Signature[:])
}

// MinDetached is the least that EncodeDetached writes, in bytes.
const MinDetached = 4 + signedHead + crypto.SignatureSize

// ReadDetached reads what EncodeDetached writes: a message whose signed part is all there is, or a PrePrepare, whose
// Batch is then nil, or a ViewChange, whose certificates then have no votes; the same in Paxos.
func ReadDetached(r *Reader) *Signed {
	m := &Signed{Bytes: r.String(maxSignedViewChange)}
	r.Fixed(m.Signature[:])
	if r.err != nil {
		return nil
	}
	if err := m.read(func(k Kind, in *Reader) Body {
		switch k {
		case KindPrePrepare:
			return &PrePrepare{Vote: readVote(in)}
		case KindPaxosAccept:
			return &PaxosAccept{PrePrepare{Vote: readVote(in)}}
		case KindPaxosPromise:
			p := readPaxosPromiseHead(in)
			in.Digest() // of what is not there
			return p
		case KindViewChange:
			v := readViewChangeHead(in)
			in.Digest() // of what is not there
			return v
		case KindHave, KindBundle, KindBodies, KindEvidence, KindPaxosLearn, KindPropose, KindRecover:
			in.Fail(errDetached)
			return nil
		default:
			return readBody(k, in, nil)
		}
	}); err != nil {
		r.Fail(err)
		return nil
	}
	return m
}

// EncodedSize is how many bytes Encode writes.
func (m *Signed) EncodedSize() int {
	return 4 + len(m.Bytes) + crypto.SignatureSize + 4 + len(m.Attached)
}

// Decode reads one whole message. It judges form, not truth: whether the author is a member and the signature holds
// is for bft.Check. The message keeps input.
func Decode(input []byte) (*Signed, error) {
	r := NewReader(input)
	m := ReadSigned(r)
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("message: %w", err)
	}
	return m, nil
}

// PeekKind is the kind that an encoded message claims to be of, read from its place in the domain tag without decoding
// anything; 0, which is no kind, if the input is too short to have one. Whoever bounds what a peer sends asks first.
func PeekKind(input []byte) Kind {
	const at = 4 + signedHead - 4 - 1 // behind the length of the signed bytes; the tag ends in kind and author
	if len(input) <= at {
		return 0
	}
	return Kind(input[at])
}

// ReadSigned reads one message of several.
func ReadSigned(r *Reader) *Signed {
	m := &Signed{Bytes: r.String(maxSignedViewChange)}
	r.Fixed(m.Signature[:])
	m.Attached = r.String(MaxAttachedBytes)
	if r.err != nil {
		return nil
	}
	if len(m.Attached) == 0 {
		m.Attached = nil
	}
	if err := m.read(func(k Kind, in *Reader) Body { return readBody(k, in, m.Attached) }); err != nil {
		r.Fail(err)
		return nil
	}
	return m
}

// read takes the signed bytes apart; body reads what is behind the domain tag.
func (m *Signed) read(body func(Kind, *Reader) Body) error {
	in := NewReader(m.Bytes)
	if string(in.take(len(signedTag))) != signedTag {
		in.Fail(errors.New("does not begin with " + signedTag))
	}
	if v := in.U8(); v != signedVersion {
		in.Fail(fmt.Errorf("version %d, want %d", v, signedVersion))
	}
	m.Chain = in.Digest()
	m.Epoch = in.Digest()
	m.Mode = epoch.Mode(in.U8())
	kind := Kind(in.U8())
	m.Author = epoch.ReplicaID(in.U32())
	if kind != KindViewChange && kind != KindPaxosPromise && len(m.Bytes) > MaxSignedBytes {
		in.Fail(fmt.Errorf("%d signed bytes, at most %d", len(m.Bytes), MaxSignedBytes))
	}
	if in.err == nil {
		m.Body = body(kind, in)
	}
	if err := in.Close(); err != nil {
		return fmt.Errorf("%s: %w", kind, err)
	}
	return nil
}

// Outgoing is something a replica wants said.
type Outgoing struct {
	Body  Body
	Again *Signed           // instead of Body: said before, to be sent again as it was
	To    []epoch.ReplicaID // nobody in particular: all members, the author included
	Epoch crypto.Digest     // identity of the epoch in whose name it is said
	Way   Way
}

// Way is how a message travels.
type Way uint8

const (
	Direct Way = 0 // over the stream to each recipient
	Gossip Way = 1 // into the gossip, for all
)
