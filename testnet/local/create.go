package local

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// Plan is what a network is created from.
type Plan struct {
	Nodes      int
	Mode       epoch.Mode
	Hosts      []string // one for each node, or none: 127.0.0.1
	BasePort   int      // node i listens on BasePort+i, and for clients on BasePort+1000+i; 0: whatever is free
	Parameters epoch.Parameters
}

// DefaultPlan is a network of four that may lie.
func DefaultPlan() Plan {
	return Plan{Nodes: 4, Mode: epoch.Byzantine, BasePort: 27000, Parameters: epoch.DefaultParameters()}
}

// apiOffset is how far a node's port for clients is above its port for nodes.
const apiOffset = 1000

// Validate says what cannot be built.
func (p *Plan) Validate() error {
	switch {
	case p.Nodes < 1 || p.Nodes > epoch.MaxMembers:
		return fmt.Errorf("nodes: %d, want 1 to %d", p.Nodes, epoch.MaxMembers)
	case p.Mode == epoch.Byzantine && p.Nodes < 4:
		return fmt.Errorf("nodes: %d, but byzantine mode needs at least 4 to bear one fault", p.Nodes)
	case len(p.Hosts) > 0 && len(p.Hosts) != p.Nodes:
		return fmt.Errorf("hosts: %d addresses for %d nodes", len(p.Hosts), p.Nodes)
	case p.BasePort < 0 || p.BasePort+apiOffset+p.Nodes > 65535:
		return fmt.Errorf("base port: %d, want 0 (any that are free) to %d", p.BasePort, 65535-apiOffset-p.Nodes)
	}
	for _, h := range p.Hosts {
		if net.ParseIP(h) == nil {
			return fmt.Errorf("hosts: %q is not an IP address", h)
		}
	}
	return p.Parameters.Validate()
}

func (p *Plan) host(i int) string {
	if len(p.Hosts) == 0 {
		return "127.0.0.1"
	}
	return p.Hosts[i-1]
}

// addresses are where node i listens, for nodes and for clients.
func (p *Plan) addresses(i int) (p2p, api string) {
	return net.JoinHostPort(p.host(i), strconv.Itoa(p.BasePort+i)),
		net.JoinHostPort(p.host(i), strconv.Itoa(p.BasePort+apiOffset+i))
}

// record is testnet.toml: what Create was told, and chose.
type record struct {
	Version  int      `toml:"version" comment:"A Quorate test network on this machine: quorate testnet status --dir HERE\nIts members, addresses and parameters are in genesis.json."`
	Nodes    int      `toml:"nodes"`
	BasePort int      `toml:"base_port" comment:"Node i listens on base_port + i, and for clients on base_port + 1000 + i."`
	Hosts    []string `toml:"hosts,omitempty"`
}

const recordVersion = 1

func recordFile(dir string) string  { return filepath.Join(dir, "testnet.toml") }
func genesisFile(dir string) string { return filepath.Join(dir, "genesis.json") }
func keysDir(dir string) string     { return filepath.Join(dir, "keys") }
func homeOf(dir string, i int) Home { return Home(filepath.Join(dir, fmt.Sprintf("node%d", i))) }

// ErrExists says that there is something in the folder that a network was to be created in.
var ErrExists = errors.New("is there already")

// Create makes the folder of a new network. It is there whole, or not at all.
func Create(dir string, t Tools, p Plan) (*Network, error) {
	if err := p.Validate(); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if left, err := os.ReadDir(dir); err == nil && len(left) > 0 {
		return nil, fmt.Errorf("%s %w", dir, ErrExists)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if p.BasePort == 0 {
		if p.BasePort, err = freePorts(&p); err != nil {
			return nil, err
		}
	}
	parent := filepath.Dir(dir)
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, err
	}
	building, err := os.MkdirTemp(parent, "."+filepath.Base(dir)+".new-")
	if err != nil {
		return nil, err
	}
	if err := build(building, t, p); err != nil {
		return nil, errors.Join(err, os.RemoveAll(building))
	}
	// Over an empty folder, or none: of two who do this at once, one fails.
	if err := os.Rename(building, dir); err != nil {
		return nil, errors.Join(err, os.RemoveAll(building))
	}
	if err := syncFolder(parent); err != nil {
		return nil, err
	}
	return Open(dir)
}

func build(dir string, t Tools, p Plan) error {
	if err := os.Mkdir(keysDir(dir), 0o700); err != nil {
		return err
	}
	var keys [2]crypto.PublicKey
	for i, name := range []string{"alice", "operator"} {
		key, err := t.NewKey()
		if err != nil {
			return err
		}
		if err := t.SaveKey(filepath.Join(keysDir(dir), name+".json"), key); err != nil {
			return err
		}
		keys[i] = key.Public()
	}
	g := &proof.Genesis{
		Chain: "testnet", Test: true, Time: time.Now().UnixMilli(),
		Configuration: epoch.Configuration{Mode: p.Mode, Parameters: p.Parameters, Operators: keys[1:], Threshold: 1},
	}
	s := DefaultSettings()
	s.Genesis = filepath.Join("..", "..", "genesis.json")
	for i := 1; i <= p.Nodes; i++ {
		p2p, api := p.addresses(i)
		m, err := homeOf(dir, i).Create(t, s, fmt.Sprintf("node%d", i), p2p, api)
		if err != nil {
			return fmt.Errorf("node%d: %w", i, err)
		}
		g.Members = append(g.Members, m)
	}
	if err := WriteGenesis(genesisFile(dir), g); err != nil {
		return err
	}
	if err := writeTOML(recordFile(dir), record{recordVersion, p.Nodes, p.BasePort, p.Hosts}); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	return syncTree(dir)
}

// Network is a network's folder.
type Network struct {
	Dir     string // absolute
	Genesis *proof.Genesis
	record  record
}

// ErrNoNetwork says that there is no network in a folder.
var ErrNoNetwork = errors.New("is not a test network")

// Open reads the folder of a network. The error wraps ErrNoNetwork, and fs.ErrNotExist if there is no folder or nothing
// in it; else it names file, place and reason.
func Open(dir string) (*Network, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	n := &Network{Dir: dir}
	err = readTOML(recordFile(dir), &n.record)
	if errors.Is(err, fs.ErrNotExist) {
		if left, err := os.ReadDir(dir); err == nil && len(left) > 0 {
			return nil, fmt.Errorf("%s %w: it has no testnet.toml", dir, ErrNoNetwork)
		}
		return nil, fmt.Errorf("%s %w: %w", dir, ErrNoNetwork, fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	if n.record.Version != recordVersion {
		return nil, fmt.Errorf("%s: version %d, this program knows %d", recordFile(dir), n.record.Version, recordVersion)
	}
	if n.Genesis, err = ReadGenesis(genesisFile(dir)); err != nil {
		return nil, err
	}
	if len(n.Genesis.Members) != n.record.Nodes {
		return nil, fmt.Errorf("%s: nodes: %d, but %s has %d members", recordFile(dir), n.record.Nodes, genesisFile(dir), len(n.Genesis.Members))
	}
	if err := n.addressesFit(); err != nil {
		return nil, err
	}
	return n, nil
}

// addressesFit refuses ports and hosts in testnet.toml that are not those of the genesis, which all nodes go by.
func (n *Network) addressesFit() error {
	r := n.record
	if len(r.Hosts) > 0 && len(r.Hosts) != r.Nodes {
		return fmt.Errorf("%s: hosts: %d addresses for %d nodes", recordFile(n.Dir), len(r.Hosts), r.Nodes)
	}
	p := Plan{Nodes: r.Nodes, Hosts: r.Hosts, BasePort: r.BasePort}
	for i, m := range n.Genesis.Members {
		p2p, api := p.addresses(i + 1)
		if m.Address != p2p || m.API != api {
			return fmt.Errorf("%s: base_port: %d and hosts: %q put node%d at %s and %s, but %s has it at %s and %s: put back what was there, or make another network with --dir",
				recordFile(n.Dir), r.BasePort, r.Hosts, i+1, p2p, api, genesisFile(n.Dir), m.Address, m.API)
		}
	}
	return nil
}

// Fits says which of what was asked for an existing network does not have. asked names the fields of the plan that the
// user has set: nodes, mode, hosts, base-port, param.
func (n *Network) Fits(p *Plan, asked []string) error {
	differs := map[string]bool{
		"nodes":     p.Nodes != n.record.Nodes,
		"mode":      p.Mode != n.Genesis.Mode,
		"hosts":     !slices.Equal(p.Hosts, n.record.Hosts),
		"base-port": p.BasePort != 0 && p.BasePort != n.record.BasePort,
		"param":     p.Parameters != n.Genesis.Parameters,
	}
	for _, name := range asked {
		if differs[name] {
			return fmt.Errorf("%s has a network with another --%s: leave the flag away, or choose another --dir", n.Dir, name)
		}
	}
	return nil
}

// N is how many nodes there are, from 1.
func (n *Network) N() int { return len(n.Genesis.Members) }

// Home is the folder of node i.
func (n *Network) Home(i int) Home { return homeOf(n.Dir, i) }

// URL is where node i serves clients.
func (n *Network) URL(i int) string { return "http://" + n.Genesis.Members[i-1].API }
