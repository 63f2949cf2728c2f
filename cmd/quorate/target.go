package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/client"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/testnet/local"
)

// target is whom a client command talks to, and in whose name.
type target struct {
	app     *app
	node    string
	key     string
	ring    keyring
	genesis string
	timeout time.Duration
}

func (t *target) addNode(f *pflag.FlagSet) {
	f.StringVar(&t.node, "node", "", "URL or number of the one node to ask (default: all)")
	f.StringVar(&t.genesis, "genesis", "", "genesis file (default: that of the test network in --dir)")
	f.DurationVar(&t.timeout, "timeout", 30*time.Second, "how long to try")
}

func (t *target) addKey(f *pflag.FlagSet) {
	f.StringVar(&t.key, "key", "alice", "name of a key in the folder --keys, or a key file")
	t.ring.app = t.app
	t.ring.add(f)
}

// network is what a client must know of a network: nothing in it is secret.
type network struct {
	genesis   *proof.Genesis
	endpoints []string // URLs of all members, or of the one node
	fixed     bool     // of the one node, which is believed
}

// find reads the genesis and says where the nodes are.
func (t *target) find() (*network, error) {
	if t.timeout < 0 {
		return nil, fail(exitUsage, "--timeout %v: want a time, like 30s", t.timeout)
	}
	n := &network{}
	if t.genesis != "" {
		g, err := local.ReadGenesis(t.genesis)
		if err != nil {
			return nil, err
		}
		n.genesis = g
	} else {
		testnet, err := t.app.network()
		if err != nil {
			return nil, err
		}
		n.genesis = testnet.Genesis
	}
	for _, m := range n.genesis.Members {
		n.endpoints = append(n.endpoints, "http://"+m.API)
	}
	if t.node == "" {
		return n, nil
	}
	n.fixed = true
	if i, err := strconv.Atoi(strings.TrimPrefix(t.node, "node")); err == nil {
		if i < 1 || i > len(n.endpoints) {
			return nil, fail(exitUsage, "node %q: want 1 to %d, or a URL", t.node, len(n.endpoints))
		}
		n.endpoints = n.endpoints[i-1 : i]
		return n, nil
	}
	url := strings.TrimRight(t.node, "/")
	if !strings.HasPrefix(url, "http://") && !strings.HasPrefix(url, "https://") {
		return nil, fail(exitUsage, "node %q: want a number or a URL with http://", t.node)
	}
	n.endpoints = []string{url}
	return n, nil
}

// member is whose endpoint this is; 0: no member's.
func (n *network) member(endpoint string) int {
	for i, m := range n.genesis.Members {
		if endpoint == "http://"+m.API {
			return i + 1
		}
	}
	return 0
}

// keyFile is where the key is.
func (t *target) keyFile() string { return t.ring.file(t.key) }

func (t *target) loadKey(ctx context.Context) (crypto.PrivateKey, error) {
	return t.ring.load(ctx, t.key)
}

// client is one that asks these endpoints.
func (n *network) client() (*client.Client, error) {
	return client.New(client.Config{Genesis: n.genesis, Endpoints: n.endpoints, Scheme: crypto.Ed25519()})
}
