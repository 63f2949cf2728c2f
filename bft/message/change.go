package message

import (
	"errors"
	"fmt"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/crypto"
)

// What ends an epoch and says what the next one is: docs/protocol/epochs.md.

const (
	changeTag     = "quorate/change"
	changeVersion = 1

	domainConfiguration = "quorate/configuration/1"
	domainChange        = "quorate/change/1"
	domainChangeBatch   = "quorate/batch/change/1"
)

// Change ends an epoch. It is a batch of its own. Whether it may be ordered at a slot says proof.Next.
type Change struct {
	Chain     crypto.Digest
	Of        crypto.Digest       // identity of the epoch that it ends
	Next      epoch.Configuration // all of the next one, never a difference
	Last      epoch.Seq           // the last slot at which it may be ordered
	Authority []Approval          // of operators, in ascending order of their keys; none: a member renews itself
	Readiness []*Signed           // Ready, by members of the next epoch in order of their numbers
}

// Ready is a member's word that it would take part in the epoch that a change announces: it has this incarnation, and this
// header in its chain.
type Ready struct {
	Change      crypto.Digest // ID of the change
	Incarnation epoch.Incarnation
	Seq         epoch.Seq
	Header      crypto.Digest
}

// Propose tells the members of a change that is asked for, so that they say whether they are ready. Its readiness is not attached.
type Propose struct{ Change *Change }

func (*Ready) Kind() Kind   { return KindReady }
func (*Propose) Kind() Kind { return KindPropose }

// Signed is what operators sign.
func (c *Change) Signed() []byte {
	next := ConfigurationDigest(&c.Next)
	var w Writer
	w.Fixed([]byte(changeTag))
	w.U8(changeVersion)
	w.Fixed(c.Chain[:])
	w.Fixed(c.Of[:])
	w.Fixed(next[:])
	w.U64(uint64(c.Last))
	return w.Bytes()
}

// ID names the change, whoever has signed it and is ready for it.
func (c *Change) ID() crypto.Digest { return crypto.Hash(domainChange, c.Signed()) }

// Approve adds an operator's signature.
func (c *Change) Approve(s crypto.Scheme, key crypto.PrivateKey) {
	c.Authority = approve(c.Authority, s, key, c.Signed())
}

// With is the change with this readiness.
func (c *Change) With(readiness []*Signed) *Change {
	out := *c
	out.Readiness = readiness
	return &out
}

// Encode writes the change.
func (c *Change) Encode(w *Writer) {
	w.Fixed(c.Chain[:])
	w.Fixed(c.Of[:])
	WriteConfiguration(w, &c.Next)
	w.U64(uint64(c.Last))
	writeApprovals(w, c.Authority)
	WriteVotes(w, c.Readiness)
}

var errReadiness = errors.New("something else among the readiness")

// ReadChange reads what Encode writes.
func ReadChange(r *Reader) *Change {
	c := &Change{Chain: r.Digest(), Of: r.Digest(), Next: *ReadConfiguration(r), Last: epoch.Seq(r.U64())}
	c.Authority = readApprovals(r)
	c.Readiness = ReadVotes(r)
	for _, m := range c.Readiness {
		if _, ok := m.Body.(*Ready); !ok {
			r.Fail(errReadiness)
			return nil
		}
	}
	return c
}

// EncodeChange is c's encoding.
func EncodeChange(c *Change) []byte {
	var w Writer
	c.Encode(&w)
	return w.Bytes()
}

// DecodeChange reads a whole encoded change.
func DecodeChange(raw []byte) (*Change, error) {
	r := NewReader(raw)
	c := ReadChange(r)
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("change: %w", err)
	}
	return c, nil
}

func (q *Ready) encode(w *Writer) {
	w.Fixed(q.Change[:])
	w.Fixed(q.Incarnation[:])
	w.U64(uint64(q.Seq))
	w.Fixed(q.Header[:])
}
func (*Ready) attach(*Writer) {}

func readReady(r *Reader) *Ready {
	q := &Ready{Change: r.Digest()}
	r.Fixed(q.Incarnation[:])
	q.Seq, q.Header = epoch.Seq(r.U64()), r.Digest()
	return q
}

func (p *Propose) encode(w *Writer) { encodeAttached(p, w) }
func (p *Propose) attach(w *Writer) { p.Change.Encode(w) }

// NewChangeBatch is the batch of a change. Its digest is over the change with all that stands behind it.
func NewChangeBatch(time int64, c *Change) *Batch {
	var w Writer
	w.U64(uint64(time))
	c.Encode(&w)
	return &Batch{Time: time, Change: c, digest: crypto.Hash(domainChangeBatch, w.Bytes())}
}

// ConfigurationDigest names a configuration: the header of the slot that announces an epoch has it.
func ConfigurationDigest(c *epoch.Configuration) crypto.Digest {
	var w Writer
	WriteConfiguration(&w, c)
	return crypto.Hash(domainConfiguration, w.Bytes())
}

const maxText = 128

// WriteConfiguration writes what an epoch is configured with.
func WriteConfiguration(w *Writer, c *epoch.Configuration) {
	w.U8(uint8(c.Mode))
	w.U32(uint32(len(c.Members)))
	for i := range c.Members {
		m := &c.Members[i]
		w.String([]byte(m.Name))
		w.Fixed(m.Key[:])
		w.String([]byte(m.PeerID))
		w.String([]byte(m.Address))
		w.String([]byte(m.API))
		w.Fixed(m.Incarnation[:])
	}
	p := c.Parameters
	for _, f := range p.Fields() {
		w.U32(*f.Value)
	}
	w.U32(uint32(len(c.Operators)))
	for _, key := range c.Operators {
		w.Fixed(key[:])
	}
	w.U32(c.Threshold)
}

// ReadConfiguration reads what WriteConfiguration writes.
func ReadConfiguration(r *Reader) *epoch.Configuration {
	c := &epoch.Configuration{Mode: epoch.Mode(r.U8())}
	for range r.Count(epoch.MaxMembers, 4*4+32+16) {
		var m epoch.Member
		m.Name = string(r.String(maxText))
		r.Fixed(m.Key[:])
		m.PeerID = string(r.String(maxText))
		m.Address = string(r.String(maxText))
		m.API = string(r.String(maxText))
		r.Fixed(m.Incarnation[:])
		c.Members = append(c.Members, m)
	}
	for _, f := range c.Parameters.Fields() {
		*f.Value = r.U32()
	}
	for range r.Count(epoch.MaxOperators, 32) {
		var key crypto.PublicKey
		r.Fixed(key[:])
		c.Operators = append(c.Operators, key)
	}
	c.Threshold = r.U32()
	return c
}
