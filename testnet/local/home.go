package local

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/crypto"
)

// Tools is what making a node's folder takes beside this package: a node's log and keys are not its business.
type Tools struct {
	NewKey    func() (crypto.PrivateKey, error)
	SaveKey   func(path string, key crypto.PrivateKey) error // to a new file, durably
	PeerID    func(seed [crypto.SeedSize]byte) string        // the libp2p identity of a key
	CreateLog func(home string, key crypto.PublicKey, i epoch.Incarnation) error
	CopyLog   func(home, of string) error // of another node's home, which may be running, so that a twin speaks from it
}

// Home is the folder of one node: config with what it is told and must keep secret, data with what it remembers.
type Home string

// Config is the folder of the node's settings and keys.
func (h Home) Config() string { return filepath.Join(string(h), "config") }

// Data is the folder of the node's log and state.
func (h Home) Data() string { return filepath.Join(string(h), "data") }

// SettingsFile is where Settings are.
func (h Home) SettingsFile() string { return filepath.Join(h.Config(), "config.toml") }

// PeerKey is the file of the node's libp2p key.
func (h Home) PeerKey() string { return filepath.Join(h.Config(), "node_key.json") }

// MemberKey is the file of the key that signs what the member says.
func (h Home) MemberKey() string { return filepath.Join(h.Config(), "member_key.json") }

// MemberFile is the file of the member's entry, for whoever puts the genesis together.
func (h Home) MemberFile() string { return filepath.Join(h.Config(), "member.json") }

// Log is the file that takes a testnet node's output.
func (h Home) Log() string { return filepath.Join(string(h), "node.log") }

// PID is the file that names the node's process and is locked by it.
func (h Home) PID() string { return filepath.Join(string(h), "node.pid") }

// Settings are what config.toml says: what is this node's own affair, and not the network's.
type Settings struct {
	Genesis   string `toml:"genesis" comment:"The network's genesis; relative to this file's folder."`
	P2PListen string `toml:"p2p_listen" comment:"host:port to listen on, if not what the genesis says, for other nodes..."`
	APIListen string `toml:"api_listen" comment:"...and for clients."`
	LogLevel  string `toml:"log_level" comment:"debug, info, warn or error"`
	LogFormat string `toml:"log_format" comment:"text or json"`

	said map[string]bool // keys that the file gives a value
}

// setting is one of the settings, by its key in the file.
type setting struct {
	key   string
	value *string
}

func (s *Settings) all() []setting {
	return []setting{
		{"genesis", &s.Genesis}, {"p2p_listen", &s.P2PListen}, {"api_listen", &s.APIListen}, {"log_level", &s.LogLevel},
		{"log_format", &s.LogFormat},
	}
}

// Says tells whether the file gives that key a value, and not an empty one: else it is the default.
func (s *Settings) Says(key string) bool { return s.said[key] }

// DefaultSettings are those of a file that says nothing.
func DefaultSettings() Settings {
	return Settings{Genesis: "genesis.json", LogLevel: "info", LogFormat: "text"}
}

// Settings reads the home's config.toml; what it leaves out is as DefaultSettings says. Genesis comes back as a path that
// can be opened. The error names file, place and reason.
func (h Home) Settings() (Settings, error) {
	var file Settings
	if err := readTOML(h.SettingsFile(), &file); err != nil {
		return Settings{}, err
	}
	s := DefaultSettings()
	s.said = make(map[string]bool)
	for i, said := range file.all() {
		if *said.value != "" {
			*s.all()[i].value, s.said[said.key] = *said.value, true
		}
	}
	if !filepath.IsAbs(s.Genesis) {
		s.Genesis = filepath.Join(h.Config(), s.Genesis)
	}
	return s, nil
}

// Create makes the folder of a node that has never run, and says what the genesis must say of it. Its log is there before
// its key: who has a key without that log is somebody who has forgotten what he promised. It refuses a folder that has
// a node in it. name, address and api are what the member's entry says.
func (h Home) Create(t Tools, s Settings, name, address, api string) (epoch.Member, error) {
	for _, path := range []string{h.Config(), h.Data()} {
		if left, err := os.ReadDir(path); err == nil && len(left) > 0 {
			return epoch.Member{}, fmt.Errorf("%s is not empty: choose another folder, or start the node that is there", path)
		}
		if err := os.MkdirAll(path, 0o700); err != nil {
			return epoch.Member{}, err
		}
	}
	key, err := t.NewKey()
	if err != nil {
		return epoch.Member{}, err
	}
	peer, err := t.NewKey()
	if err != nil {
		return epoch.Member{}, err
	}
	m := epoch.Member{Name: name, Key: key.Public(), PeerID: t.PeerID(peer.Seed()), Address: address, API: api}
	if _, err := rand.Read(m.Incarnation[:]); err != nil {
		return epoch.Member{}, fmt.Errorf("draw an incarnation: %w", err)
	}
	if err := t.CreateLog(string(h), m.Key, m.Incarnation); err != nil {
		return epoch.Member{}, err
	}
	if err := writeTOML(h.SettingsFile(), s); err != nil {
		return epoch.Member{}, err
	}
	if err := WriteMember(h.MemberFile(), m); err != nil {
		return epoch.Member{}, err
	}
	if err := t.SaveKey(h.PeerKey(), peer); err != nil {
		return epoch.Member{}, err
	}
	return m, t.SaveKey(h.MemberKey(), key)
}

// WriteMember writes a member's entry to a new file.
func WriteMember(path string, m epoch.Member) error {
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(path, append(text, '\n'), 0o644)
}

// ReadMember reads what WriteMember writes. The error names file, place and reason.
func ReadMember(path string) (epoch.Member, error) {
	var m epoch.Member
	return m, readJSON(path, &m)
}
