package p2p

import (
	"net"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/transport"
	manet "github.com/multiformats/go-multiaddr/net"
)

// maxHandshakes is how many incoming connections may be unproven at once. A member needs a place for a
// few milliseconds; a stranger who opens connections and says nothing would keep each for handshakeTimeout.
const maxHandshakes = 64

// handshakeListener bounds the incoming connections whose other end is not known yet. When all places
// are taken, the oldest connection of the address that holds most of them gives way, so that neither
// one flooding address nor many keep a member out: its handshake is over long before its turn comes.
type handshakeListener struct {
	transport.GatedMaListener
	mu      sync.Mutex
	pending []*handshake // oldest first
}

func (l *handshakeListener) Accept() (manet.Conn, network.ConnManagementScope, error) {
	c, scope, err := l.GatedMaListener.Accept()
	if err != nil {
		return nil, nil, err
	}
	h := &handshake{Conn: c, listener: l}
	if tcp, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		h.from = tcp.IP.String()
	}
	if loser := l.enter(h); loser != nil {
		loser.Close()
	}
	return h, scope, nil
}

func (l *handshakeListener) enter(h *handshake) (loser *handshake) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.pending) >= maxHandshakes {
		i := l.mostCrowded()
		loser = l.pending[i]
		l.pending = slices.Delete(l.pending, i, i+1)
	}
	l.pending = append(l.pending, h)
	return loser
}

func (l *handshakeListener) mostCrowded() int {
	held := make(map[string]int)
	for _, h := range l.pending {
		held[h.from]++
	}
	most := 0
	for i, h := range l.pending {
		if held[h.from] > held[l.pending[most].from] {
			most = i
		}
	}
	return most
}

// handshake is an incoming connection that is on its listener's list until its peer is known or gone.
type handshake struct {
	manet.Conn
	listener *handshakeListener
	from     string // IP address
}

func (h *handshake) leave() {
	l := h.listener
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.pending, h); i >= 0 {
		l.pending = slices.Delete(l.pending, i, i+1)
	}
}

func (h *handshake) Close() error {
	h.leave()
	return h.Conn.Close()
}

type keepAliver interface {
	SetKeepAlive(bool) error
	SetKeepAlivePeriod(time.Duration) error
}

// SetKeepAlive is called by libp2p's TCP transport on whatever it has accepted. SetLinger is left out on
// purpose: with its zero linger, what a node sent just before it closed would be thrown away.
func (h *handshake) SetKeepAlive(on bool) error {
	if c, ok := h.Conn.(keepAliver); ok {
		return c.SetKeepAlive(on)
	}
	return nil
}

func (h *handshake) SetKeepAlivePeriod(d time.Duration) error {
	if c, ok := h.Conn.(keepAliver); ok {
		return c.SetKeepAlivePeriod(d)
	}
	return nil
}
