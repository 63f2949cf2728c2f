package message

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/crypto"
)

const (
	recoveryTag     = "quorate/recovery"
	recoveryVersion = 1

	domainRecovery = "quorate/recovery/1"

	// MaxNamedEvidence bounds Recovery.Evidence.
	MaxNamedEvidence = 1024
)

// Recovery ends an epoch that cannot end itself: a quorum of its members is lost for good, or it bears no liar and has one. Operators say
// at which header, which is the only thing that makes it safe: what the epoch has decided above that is given up.
type Recovery struct {
	Chain     crypto.Digest
	Of        crypto.Digest // identity of the epoch that it ends
	Next      epoch.Configuration
	Number    uint64          // of several of one epoch the one with the highest number counts: ms since 1970, say
	Seq       epoch.Seq       // where the next epoch begins,
	Header    crypto.Digest   // at this header
	Evidence  []crypto.Digest // IDs of the evidence that it rests on, in ascending order; none: the quorum is lost
	Authority []Approval      // of operators, in ascending order of their keys
}

// Recover tells the members of a recovery that is asked for.
type Recover struct{ Recovery *Recovery }

// Standing is where a member stands, of whom a recovery would end the epoch.
type Standing struct {
	Recovery    crypto.Digest     // its ID
	Incarnation epoch.Incarnation // of the member's log
	Seq         epoch.Seq         // newest slot executed
	Willing     bool              // it would take part
	Given       crypto.Digest     // ID of the recovery that it has given its word to, this one or another: it votes in the old epoch no more; zero: none
}

func (*Recover) Kind() Kind  { return KindRecover }
func (*Standing) Kind() Kind { return KindStanding }

func (s *Standing) encode(w *Writer) {
	w.Fixed(s.Recovery[:])
	w.Fixed(s.Incarnation[:])
	w.U64(uint64(s.Seq))
	w.Flag(s.Willing)
	w.Fixed(s.Given[:])
}
func (*Standing) attach(*Writer) {}

func readStanding(r *Reader) *Standing {
	s := &Standing{Recovery: r.Digest()}
	r.Fixed(s.Incarnation[:])
	s.Seq, s.Willing, s.Given = epoch.Seq(r.U64()), r.Flag(), r.Digest()
	return s
}

// Signed is what operators sign.
func (c *Recovery) Signed() []byte {
	next := ConfigurationDigest(&c.Next)
	var w Writer
	w.Fixed([]byte(recoveryTag))
	w.U8(recoveryVersion)
	w.Fixed(c.Chain[:])
	w.Fixed(c.Of[:])
	w.Fixed(next[:])
	c.writeTerms(&w)
	return w.Bytes()
}

// writeTerms writes where the next epoch begins, and why: signed, and encoded, behind what the epochs are.
func (c *Recovery) writeTerms(w *Writer) {
	w.U64(c.Number)
	w.U64(uint64(c.Seq))
	w.Fixed(c.Header[:])
	w.U32(uint32(len(c.Evidence)))
	for i := range c.Evidence {
		w.Fixed(c.Evidence[i][:])
	}
}

// ID names the recovery, whoever has signed it. It is the identity of the epoch that the recovery begins.
func (c *Recovery) ID() crypto.Digest { return crypto.Hash(domainRecovery, c.Signed()) }

// Approve adds an operator's signature.
func (c *Recovery) Approve(s crypto.Scheme, key crypto.PrivateKey) {
	c.Authority = approve(c.Authority, s, key, c.Signed())
}

// Encode writes the recovery.
func (c *Recovery) Encode(w *Writer) {
	w.Fixed(c.Chain[:])
	w.Fixed(c.Of[:])
	WriteConfiguration(w, &c.Next)
	c.writeTerms(w)
	writeApprovals(w, c.Authority)
}

var errNamedEvidence = errors.New("evidence not in ascending order of its IDs")

// ReadRecovery reads what Encode writes.
func ReadRecovery(r *Reader) *Recovery {
	c := &Recovery{Chain: r.Digest(), Of: r.Digest(), Next: *ReadConfiguration(r), Number: r.U64(), Seq: epoch.Seq(r.U64()), Header: r.Digest()}
	for range r.Count(MaxNamedEvidence, crypto.DigestSize) {
		d := r.Digest()
		if n := len(c.Evidence); n > 0 && bytes.Compare(c.Evidence[n-1][:], d[:]) >= 0 {
			r.Fail(errNamedEvidence)
			return c
		}
		c.Evidence = append(c.Evidence, d)
	}
	c.Authority = readApprovals(r)
	return c
}

// EncodeRecovery is c's encoding.
func EncodeRecovery(c *Recovery) []byte {
	var w Writer
	c.Encode(&w)
	return w.Bytes()
}

// DecodeRecovery reads a whole encoded recovery.
func DecodeRecovery(raw []byte) (*Recovery, error) {
	r := NewReader(raw)
	c := ReadRecovery(r)
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("recovery: %w", err)
	}
	return c, nil
}

func (p *Recover) encode(w *Writer) { encodeAttached(p, w) }
func (p *Recover) attach(w *Writer) { p.Recovery.Encode(w) }
