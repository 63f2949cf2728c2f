package p2p

import (
	"sync/atomic"

	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// gate lets in members and nobody else. A peer's id is its ed25519 key, and is known, proven by the
// Noise handshake, at InterceptSecured: before a stream, a buffer or a place in any table is his.
type gate struct {
	members map[peer.ID]*link // never written after New
	open    atomic.Bool       // between Start and Close
	refused *atomic.Uint64    // strangers turned away
}

func (g *gate) InterceptPeerDial(id peer.ID) bool                 { return g.members[id] != nil }
func (g *gate) InterceptAddrDial(id peer.ID, _ ma.Multiaddr) bool { return g.members[id] != nil }
func (g *gate) InterceptAccept(network.ConnMultiaddrs) bool       { return g.open.Load() }

func (g *gate) InterceptSecured(_ network.Direction, id peer.ID, c network.ConnMultiaddrs) bool {
	if h, ok := c.(*handshake); ok {
		h.leave()
	}
	// Every id in members was found to be of an ed25519 key when it was entered.
	l := g.members[id]
	if l == nil {
		g.refused.Add(1)
		return false
	}
	return !l.barred()
}

func (g *gate) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }
