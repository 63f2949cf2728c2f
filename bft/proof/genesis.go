package proof

import (
	"errors"
	"fmt"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
)

const domainGenesis = "quorate/genesis/1"

// Genesis is what a network begins with. Its digest is the chain's identity: who has another genesis is on another
// chain. It is kept as JSON, in a file that people read; the digest is over the canonical encoding, not the file.
type Genesis struct {
	Chain      string             `json:"chain"` // a name for people
	Test       bool               `json:"test"`  // a test network: faults may be asked for
	Mode       epoch.Mode         `json:"mode"`
	Members    []epoch.Member     `json:"members"`
	Parameters epoch.Parameters   `json:"parameters"`
	Operators  []crypto.PublicKey `json:"operators"` // whose signatures change epochs
	Threshold  uint32             `json:"threshold"` // how many of them it takes
	Time       int64              `json:"time"`      // ms since 1970: no header is older
}

// MaxOperators bounds the operators of a genesis.
const MaxOperators = 32

// Validate says which field would keep the network from running.
func (g *Genesis) Validate() error {
	switch {
	case g.Chain == "" || len(g.Chain) > 64:
		return errors.New("chain: want a name of 1 to 64 bytes")
	case len(g.Operators) > MaxOperators:
		return fmt.Errorf("operators: %d, at most %d", len(g.Operators), MaxOperators)
	case int(g.Threshold) > len(g.Operators):
		return fmt.Errorf("threshold: %d, but there are %d operators", g.Threshold, len(g.Operators))
	case len(g.Operators) > 0 && g.Threshold == 0:
		return errors.New("threshold: 0, want 1 or more")
	case g.Time < 0:
		return errors.New("time: before 1970")
	}
	seen := make(map[crypto.PublicKey]struct{}, len(g.Operators))
	for i, key := range g.Operators {
		if _, twice := seen[key]; twice || key.IsZero() {
			return fmt.Errorf("operators[%d]: missing or named before", i+1)
		}
		seen[key] = struct{}{}
	}
	return g.Epoch().Validate()
}

// Digest is the chain's identity, and that of its first epoch.
func (g *Genesis) Digest() crypto.Digest {
	var w message.Writer
	w.String([]byte(g.Chain))
	w.Flag(g.Test)
	encodeConfiguration(&w, g.Mode, g.Members, g.Parameters)
	w.U32(uint32(len(g.Operators)))
	for _, key := range g.Operators {
		w.Fixed(key[:])
	}
	w.U32(g.Threshold)
	w.U64(uint64(g.Time))
	return crypto.Hash(domainGenesis, w.Bytes())
}

// Epoch is the first epoch.
func (g *Genesis) Epoch() *epoch.Epoch {
	d := g.Digest()
	return &epoch.Epoch{Chain: d, ID: d, Mode: g.Mode, Members: g.Members, Parameters: g.Parameters}
}

// Header is the header that the first block names as its parent. It is proven by the genesis itself.
func (g *Genesis) Header() Header { return Header{Epoch: g.Digest(), Time: g.Time} }

// EncodeEpoch writes an epoch as logs keep it.
func EncodeEpoch(w *message.Writer, e *epoch.Epoch) {
	w.Fixed(e.Chain[:])
	w.Fixed(e.ID[:])
	w.U64(e.Number)
	w.U64(uint64(e.Base))
	encodeConfiguration(w, e.Mode, e.Members, e.Parameters)
}

// ReadEpoch reads what EncodeEpoch writes.
func ReadEpoch(r *message.Reader) *epoch.Epoch {
	e := &epoch.Epoch{Chain: r.Digest(), ID: r.Digest(), Number: r.U64(), Base: epoch.Seq(r.U64()), Mode: epoch.Mode(r.U8())}
	for range r.Count(epoch.MaxMembers, 4*4+32+16) {
		var m epoch.Member
		m.Name = string(r.String(maxText))
		r.Fixed(m.Key[:])
		m.PeerID = string(r.String(maxText))
		m.Address = string(r.String(maxText))
		m.API = string(r.String(maxText))
		r.Fixed(m.Incarnation[:])
		e.Members = append(e.Members, m)
	}
	for _, f := range e.Parameters.Fields() {
		*f.Value = r.U32()
	}
	return e
}

const maxText = 128

func encodeConfiguration(w *message.Writer, mode epoch.Mode, members []epoch.Member, p epoch.Parameters) {
	w.U8(uint8(mode))
	w.U32(uint32(len(members)))
	for i := range members {
		m := &members[i]
		w.String([]byte(m.Name))
		w.Fixed(m.Key[:])
		w.String([]byte(m.PeerID))
		w.String([]byte(m.Address))
		w.String([]byte(m.API))
		w.Fixed(m.Incarnation[:])
	}
	for _, f := range p.Fields() {
		w.U32(*f.Value)
	}
}
