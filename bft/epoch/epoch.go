// Package epoch says who takes part, under which fault model, and how many make a quorum.
//
// An epoch is a stretch of the log ordered by one set of members under one mode with one set of parameters.
package epoch

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"

	"github.com/quorate/quorate/crypto"
)

// Seq numbers the slots of the log, from 1. Zero is the genesis.
type Seq uint64

// View numbers the attempts of an epoch at having a leader, from 0.
type View uint64

// ReplicaID numbers the members of an epoch from 1, in the order of the genesis file. Zero is nobody.
type ReplicaID uint32

// Mode is the fault model under which an epoch agrees.
type Mode uint8

const (
	// Byzantine members may do anything (Castro & Liskov, OSDI 1999).
	Byzantine Mode = 1
	// Crash members may only stop (Lamport, The Part-Time Parliament).
	Crash Mode = 2
)

// String is the mode's name in files and commands.
func (m Mode) String() string {
	switch m {
	case Byzantine:
		return "byzantine"
	case Crash:
		return "crash"
	default:
		return fmt.Sprintf("mode %d", uint8(m))
	}
}

// MarshalText writes the mode's name.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText reads the mode's name.
func (m *Mode) UnmarshalText(text []byte) error {
	switch string(text) {
	case "byzantine":
		*m = Byzantine
	case "crash":
		*m = Crash
	default:
		return fmt.Errorf("mode %q: want byzantine or crash", text)
	}
	return nil
}

// Incarnation names one life of a member's log. It is drawn when the log is created; a member whose log is gone has
// forgotten what it promised, and under its old incarnation it must not speak again.
type Incarnation [16]byte

// String is the incarnation in lower-case hexadecimal.
func (i Incarnation) String() string { return hex.EncodeToString(i[:]) }

// MarshalText writes what String says.
func (i Incarnation) MarshalText() ([]byte, error) { return []byte(i.String()), nil }

// UnmarshalText reads what MarshalText writes, and nothing else.
func (i *Incarnation) UnmarshalText(text []byte) error {
	var got Incarnation
	if len(text) != hex.EncodedLen(len(got)) {
		return fmt.Errorf("incarnation: want %d hexadecimal digits, got %d", hex.EncodedLen(len(got)), len(text))
	}
	if _, err := hex.Decode(got[:], text); err != nil {
		return fmt.Errorf("incarnation: %w", err)
	}
	if got.String() != string(text) {
		return errors.New("incarnation: want lower-case hexadecimal")
	}
	*i = got
	return nil
}

// Member is one replica's entry in an epoch.
type Member struct {
	Name        string           `json:"name"`
	Key         crypto.PublicKey `json:"key"`     // signs what the member says
	PeerID      string           `json:"peer_id"` // its libp2p identity, in text
	Address     string           `json:"address"` // its libp2p listener, host:port
	API         string           `json:"api"`     // its public service, host:port
	Incarnation Incarnation      `json:"incarnation"`
}

// Configuration is what changes from epoch to epoch, all of it together.
type Configuration struct {
	Mode       Mode               `json:"mode"`
	Members    []Member           `json:"members"`
	Parameters Parameters         `json:"parameters"`
	Operators  []crypto.PublicKey `json:"operators"` // whose signatures change epochs
	Threshold  uint32             `json:"threshold"` // how many of them it takes
}

// Epoch is one configuration of the network, in its place. It is a value that nobody changes.
type Epoch struct {
	Chain  crypto.Digest // the genesis digest
	ID     crypto.Digest // digest of the header that announced this epoch; for the first one, the genesis digest
	Number uint64        // how many epochs came before; for people, never for judging
	Base   Seq           // the last slot of the epoch before; this one's first is Base+1
	Configuration
}

// N is how many members there are.
func (e *Epoch) N() int { return len(e.Members) }

// Faulty is how many members may fail without harm.
func (e *Epoch) Faulty() int { return Faulty(e.Mode, e.N()) }

// Quorum is how many members it takes for any two such groups to share a correct one.
func (e *Epoch) Quorum() int { return Quorum(e.Mode, e.N()) }

// Witnesses is how many members it takes for one of them to be correct.
func (e *Epoch) Witnesses() int { return Witnesses(e.Mode, e.N()) }

// Acknowledgers is how many members must have executed something for its result to survive.
func (e *Epoch) Acknowledgers() int { return Acknowledgers(e.Mode, e.N()) }

// Leader is the member whose turn it is in a view.
func (e *Epoch) Leader(v View) ReplicaID { return ReplicaID(uint64(v)%uint64(e.N())) + 1 }

// Has says whether id is a member.
func (e *Epoch) Has(id ReplicaID) bool { return id >= 1 && int(id) <= e.N() }

// Member is id's entry; id must be a member.
func (e *Epoch) Member(id ReplicaID) *Member { return &e.Members[id-1] }

// IDOf is the number of the member with this key, or 0.
func (e *Epoch) IDOf(key crypto.PublicKey) ReplicaID {
	i := slices.IndexFunc(e.Members, func(m Member) bool { return m.Key == key })
	return ReplicaID(i + 1)
}

// A replica that changes views shows a certificate for each slot of its window, in one message: so many bytes for a vote, and so
// many for all.
const (
	voteBytes           = 200
	maxCertificateBytes = 4<<20 - 64<<10
)

// MaxMembers bounds an epoch: every member hears every vote, so cost grows with the square.
const MaxMembers = 31

// Bounds of the texts in a member's entry, in bytes.
const maxText = 128

var errFewByzantine = errors.New("byzantine mode needs at least 4 members to bear one fault")

// Validate says what would keep an epoch of this configuration from running.
func (c *Configuration) Validate() error {
	if err := c.validateOperators(); err != nil {
		return err
	}
	n := len(c.Members)
	switch {
	case c.Mode != Byzantine && c.Mode != Crash:
		return fmt.Errorf("mode: %s is none", c.Mode)
	case n == 0:
		return errors.New("members: none")
	case n > MaxMembers:
		return fmt.Errorf("members: %d, at most %d", n, MaxMembers)
	case c.Mode == Byzantine && n < 4:
		return fmt.Errorf("members: %d: %w", n, errFewByzantine)
	case int(c.Parameters.Window)*Quorum(c.Mode, n)*voteBytes > maxCertificateBytes:
		return fmt.Errorf("window: %d slots with a certificate of %d votes each do not fit into one message, at most %d do",
			c.Parameters.Window, Quorum(c.Mode, n), maxCertificateBytes/voteBytes/Quorum(c.Mode, n))
	}
	for i, m := range c.Members {
		if err := m.validate(); err != nil {
			return fmt.Errorf("members[%d]: %w", i+1, err)
		}
		for j, other := range c.Members[:i] {
			switch {
			case m.Name == other.Name:
				return fmt.Errorf("members[%d]: name %q is that of members[%d]", i+1, m.Name, j+1)
			case m.Key == other.Key:
				return fmt.Errorf("members[%d]: key is that of members[%d]", i+1, j+1)
			case m.PeerID == other.PeerID:
				return fmt.Errorf("members[%d]: peer_id is that of members[%d]", i+1, j+1)
			case m.Address == other.Address:
				return fmt.Errorf("members[%d]: address is that of members[%d]", i+1, j+1)
			}
		}
	}
	return c.Parameters.Validate()
}

// MaxOperators bounds the operators of an epoch.
const MaxOperators = 32

func (c *Configuration) validateOperators() error {
	switch {
	case len(c.Operators) > MaxOperators:
		return fmt.Errorf("operators: %d, at most %d", len(c.Operators), MaxOperators)
	case int(c.Threshold) > len(c.Operators):
		return fmt.Errorf("threshold: %d, but there are %d operators", c.Threshold, len(c.Operators))
	case len(c.Operators) > 0 && c.Threshold == 0:
		return errors.New("threshold: 0, want 1 or more")
	}
	seen := make(map[crypto.PublicKey]struct{}, len(c.Operators))
	for i, key := range c.Operators {
		if _, twice := seen[key]; twice || key.IsZero() {
			return fmt.Errorf("operators[%d]: missing or named before", i+1)
		}
		seen[key] = struct{}{}
	}
	return nil
}

func (m *Member) validate() error {
	switch {
	case m.Name == "" || len(m.Name) > maxText:
		return fmt.Errorf("name: want 1 to %d bytes", maxText)
	case m.Key.IsZero():
		return errors.New("key: missing")
	case m.PeerID == "" || len(m.PeerID) > maxText:
		return fmt.Errorf("peer_id: want 1 to %d bytes", maxText)
	case m.Address == "" || len(m.Address) > maxText:
		return fmt.Errorf("address: want 1 to %d bytes", maxText)
	case m.API == "" || len(m.API) > maxText:
		return fmt.Errorf("api: want 1 to %d bytes", maxText)
	case m.Incarnation == Incarnation{}:
		return errors.New("incarnation: missing")
	}
	return nil
}
