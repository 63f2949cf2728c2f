package proof

import (
	"errors"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
)

const domainGenesis = "quorate/genesis/1"

// Genesis is what a network begins with. Its digest is the chain's identity: who has another genesis is on another
// chain. It is kept as JSON, in a file that people read; the digest is over the canonical encoding, not the file.
type Genesis struct {
	Chain               string `json:"chain"` // a name for people
	Test                bool   `json:"test"`  // a test network: faults may be asked for
	epoch.Configuration        // of the first epoch
	Time                int64  `json:"time"` // ms since 1970: no header is older
}

// Validate says which field would keep the network from running.
func (g *Genesis) Validate() error {
	switch {
	case g.Chain == "" || len(g.Chain) > 64:
		return errors.New("chain: want a name of 1 to 64 bytes")
	case g.Time < 0:
		return errors.New("time: before 1970")
	}
	return g.Configuration.Validate()
}

// Digest is the chain's identity, and that of its first epoch.
func (g *Genesis) Digest() crypto.Digest {
	var w message.Writer
	w.String([]byte(g.Chain))
	w.Flag(g.Test)
	message.WriteConfiguration(&w, &g.Configuration)
	w.U64(uint64(g.Time))
	return crypto.Hash(domainGenesis, w.Bytes())
}

// Epoch is the first epoch.
func (g *Genesis) Epoch() *epoch.Epoch {
	d := g.Digest()
	return &epoch.Epoch{Chain: d, ID: d, Configuration: g.Configuration}
}

// Header is the header that the first block names as its parent. It is proven by the genesis itself.
func (g *Genesis) Header() Header { return Header{Epoch: g.Digest(), Time: g.Time} }

// EncodeEpoch writes an epoch as logs keep it.
func EncodeEpoch(w *message.Writer, e *epoch.Epoch) {
	w.Fixed(e.Chain[:])
	w.Fixed(e.ID[:])
	w.U64(e.Number)
	w.U64(uint64(e.Base))
	message.WriteConfiguration(w, &e.Configuration)
}

// ReadEpoch reads what EncodeEpoch writes.
func ReadEpoch(r *message.Reader) *epoch.Epoch {
	return &epoch.Epoch{
		Chain: r.Digest(), ID: r.Digest(), Number: r.U64(), Base: epoch.Seq(r.U64()), Configuration: *message.ReadConfiguration(r),
	}
}
