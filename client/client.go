// Package client submits transactions and reads, and believes a result when enough members vouch for it.
//
// One node may be down, slow, behind, or lie. So a client hands a transaction to one node, and soon to another; takes
// no outcome without the attestations of a quorum, which it verifies, or the same answer from enough members that one of
// them is correct; and sends the same bytes again, elsewhere, as often as its caller has time for: they are executed
// once. What it cannot find out it calls unknown, never failed.
package client

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"connectrpc.com/connect"

	"github.com/quorate/quorate/api/quorate/v1/quoratev1connect"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// Config is what a client is told once.
type Config struct {
	Genesis *proof.Genesis
	// Endpoints are the URLs of distinct members; without any, those that the genesis names. Where fewer are given than
	// it takes for one to be correct, what all of them say is believed.
	Endpoints []string
	Scheme    crypto.Scheme // the network's
	// Transport carries the calls; nil is one of the client's own, that shares a few connections between all calls.
	Transport http.RoundTripper
}

// Client talks to the members of a network. Any number of goroutines may use one, and should: they share its
// connections and what it has verified.
type Client struct {
	epochs    *epochs
	scheme    *crypto.VoteCache
	nodes     []node
	transport http.RoundTripper
	own       *http.Transport // if the transport is the client's own
	preferred atomic.Int32    // index of the node to ask first
	latency   atomic.Int64    // smoothed, of a commit, in ns; 0 before the first
	speeds    speeds
}

// node is one member's public service.
type node struct {
	url      string
	rpc      quoratev1connect.NodeServiceClient
	learning chan struct{} // full while a call asks it for epochs
}

const (
	// dialTimeout and the pings notice a machine that is gone without a word.
	dialTimeout = 2 * time.Second
	pingAfter   = 5 * time.Second
	pingTimeout = 5 * time.Second

	// maxAnswerBytes fits the largest block: what no node may exceed.
	maxAnswerBytes = 16 << 20

	// voteCache remembers the attestations of the blocks of a few seconds: those of a block are verified once, for all
	// its transactions.
	voteCache = 1 << 14
)

// New makes a client. It connects when there is something to ask.
func New(cfg Config) (*Client, error) {
	if err := cfg.Genesis.Validate(); err != nil {
		return nil, fmt.Errorf("genesis: %w", err)
	}
	first := cfg.Genesis.Epoch()
	c := &Client{epochs: newEpochs(first), scheme: crypto.NewVoteCache(cfg.Scheme, voteCache), transport: cfg.Transport}
	if c.transport == nil {
		c.own = newTransport()
		c.transport = c.own
	}
	endpoints := cfg.Endpoints
	if len(endpoints) == 0 {
		for _, m := range first.Members {
			endpoints = append(endpoints, m.API)
		}
		c.preferred.Store(int32(first.Leader(0)) - 1)
	}
	seen := make(map[string]bool, len(endpoints))
	for _, e := range endpoints {
		u, err := endpoint(e)
		if err != nil {
			return nil, err
		}
		if seen[u] {
			return nil, fmt.Errorf("endpoint %s is named twice: one member would count as two", u)
		}
		seen[u] = true
		c.nodes = append(c.nodes, node{u, quoratev1connect.NewNodeServiceClient(
			&http.Client{Transport: c.transport}, u,
			connect.WithReadMaxBytes(maxAnswerBytes),
			connect.WithAcceptCompression("gzip", nil, nil), // digests and signatures do not shrink
		), make(chan struct{}, 1)})
	}
	if len(c.nodes) > epoch.MaxMembers {
		return nil, fmt.Errorf("%d endpoints, at most %d", len(c.nodes), epoch.MaxMembers)
	}
	return c, nil
}

// newTransport speaks HTTP/2 in clear text (or over TLS): many calls share a connection.
func newTransport() *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Transport{
		Proxy:       http.ProxyFromEnvironment,
		DialContext: (&net.Dialer{Timeout: dialTimeout}).DialContext,
		Protocols:   &protocols,
		HTTP2:       &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
	}
}

// Close lets go of connections that the client has made itself.
func (c *Client) Close() {
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
}

// Endpoints are the URLs of the nodes the client asks, in the order of its configuration.
func (c *Client) Endpoints() []string {
	urls := make([]string, len(c.nodes))
	for i := range c.nodes {
		urls[i] = c.nodes[i].url
	}
	return urls
}

// endpoint is a URL without a path from one, or from host:port.
func endpoint(text string) (string, error) {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", fmt.Errorf("endpoint: %w", err)
	case u.Scheme != "http" && u.Scheme != "https":
		return "", fmt.Errorf("endpoint %s: want http or https", text)
	case u.Host == "":
		return "", fmt.Errorf("endpoint %s: names no host", text)
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil:
		return "", fmt.Errorf("endpoint %s: want host and port only", text)
	}
	return u.Scheme + "://" + u.Host, nil
}

// witnesses is how many equal answers are believed: one of so many members is correct, although some may lie. That is asked for in crash
// mode too: the network may have left it without this client's having been shown.
func (c *Client) witnesses() int {
	return min(epoch.Witnesses(epoch.Byzantine, c.epochs.newest().N()), len(c.nodes))
}
