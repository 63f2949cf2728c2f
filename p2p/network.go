// Package p2p carries opaque frames between the members of one chain, over libp2p.
//
// It may lose, delay and, between classes and over reconnections, reorder frames; it never invents or
// changes one, and never says that a frame came from a member that did not send it. It knows nothing
// of what the frames mean, so whoever rests on one repeats it until it has been heard.
//
// Every pair of members has one connection, dialled by the member with the lower libp2p id. On it
// each side opens two long-lived streams, one for votes and one for bulk, and reads two. Such a
// connection with its four streams is a session; whatever goes wrong ends the session as a whole, and
// the dialler makes another. Beside the sessions there is gossip, for what everybody should hear and
// nobody waits for.
package p2p

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/prometheus/client_golang/prometheus"
)

// A Class keeps apart what must not wait for each other.
type Class uint8

const (
	Votes Class = iota // small, frequent, repeated by whoever depends on them: the oldest may be dropped
	Bulk               // large and patient: sent only as fast as it does not delay the votes
	classes
)

func (c Class) String() string {
	switch c {
	case Votes:
		return "votes"
	case Bulk:
		return "bulk"
	}
	return fmt.Sprintf("class %d", uint8(c))
}

// What one frame may hold, in bytes. The limits are checked on both sides, and by the reader before it
// allocates anything.
const (
	MaxVoteFrame   = 64 << 10
	MaxBulkFrame   = 4 << 20
	MaxGossipFrame = 128 << 10
)

func (c Class) maxFrame() int {
	if c == Votes {
		return MaxVoteFrame
	}
	return MaxBulkFrame
}

// Peer is a member as the genesis describes it.
type Peer struct {
	ID      string // libp2p id as text, of an ed25519 key
	Address string // "host:port" (an IP or a DNS name), or a TCP multiaddr; empty: this node never dials it
	Name    string // for logs
}

// Config is what a Network needs to know. Seed, Listen, Peers, Receive and Logger are required.
type Config struct {
	Seed   [32]byte // ed25519 seed of this node's libp2p key
	Chain  [32]byte // digest of the genesis: peers of another chain are refused when they greet
	Listen string   // "host:port"; port 0 chooses a free one, see Addr
	Peers  []Peer   // the members, in the order of the genesis; this node may be among them

	// Receive gets every frame of a peer, named by its index in Peers. Calls for one peer and class come
	// one after the other, in the order of sending; others run at the same time. While it blocks, that
	// peer's frames of that class wait with the sender, and nobody else's do. The frame is the callee's.
	Receive func(from int, class Class, frame []byte)

	// ReceiveGossip gets every gossiped frame once, on any of several goroutines, before it is passed
	// on: only if it returns true. from has brought the frame, and need not have made it. It must be cheap and must not block; nil takes part in no gossip.
	ReceiveGossip func(from int, frame []byte) bool

	// OnConnect and OnDisconnect alternate for each peer, and may be nil. No frame of a peer arrives
	// before OnConnect for it has returned. They must not block.
	OnConnect    func(peer int)
	OnDisconnect func(peer int)

	// DialAll is for a second process with this node's key: nobody knows where it is, so it also dials those that would dial this
	// node.
	DialAll bool

	Logger     *slog.Logger
	Registerer prometheus.Registerer // for libp2p's own collectors; nil: none
}

// Network is one node's end of all its connections.
type Network struct {
	cfg   Config
	log   *slog.Logger
	self  peer.ID
	host  host.Host
	gate  *gate
	links []*link // by index in Config.Peers; nil for this node itself
	byID  map[peer.ID]*link
	talk  *gossip // nil without Config.ReceiveGossip

	counters counters
	ctx      context.Context // ends when Close begins to tear down
	cancel   context.CancelFunc
	running  sync.WaitGroup
	mu       sync.Mutex // guards closed against running
	closed   bool
}

// ErrListen says that this host cannot listen where it is to. libp2p gives the system's reason in words only.
var ErrListen = errors.New("listen")

// New listens, and refuses everybody until Start. Errors name the member or address that is wrong.
func New(cfg Config) (*Network, error) {
	key, self, err := identity(cfg.Seed)
	if err != nil {
		return nil, err
	}
	if cfg.Receive == nil || cfg.Logger == nil {
		return nil, fmt.Errorf("p2p: Receive and Logger are required")
	}
	listen, err := multiaddr(cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen address: %w", err)
	}
	n := &Network{cfg: cfg, log: cfg.Logger, self: self, byID: make(map[peer.ID]*link)}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	if err := n.addPeers(); err != nil {
		n.cancel()
		return nil, err
	}
	n.gate = &gate{members: n.byID, refused: &n.counters.refused}
	n.host, err = newHost(key, listen, n.gate, len(cfg.Peers), cfg.Registerer)
	if err != nil {
		n.cancel()
		return nil, fmt.Errorf("%w on %s: %w", ErrListen, cfg.Listen, err)
	}
	return n, nil
}

func (n *Network) addPeers() error {
	n.links = make([]*link, len(n.cfg.Peers))
	seen := make(map[peer.ID]int)
	for i, p := range n.cfg.Peers {
		id, err := peerID(p.ID)
		if err != nil {
			return fmt.Errorf("peer %d (%s): %w", i, p.Name, err)
		}
		if first, twice := seen[id]; twice {
			return fmt.Errorf("peers %d and %d have the same libp2p id %s", first, i, p.ID)
		}
		seen[id] = i
		if id == n.self {
			continue
		}
		l := newLink(n, i, id, p.Name)
		if err := l.setAddress(p.Address); err != nil {
			return fmt.Errorf("peer %d (%s): %w", i, p.Name, err)
		}
		n.links[i], n.byID[id] = l, l
	}
	return nil
}

// Start lets members in and dials those that are this node's to dial. It is called once.
func (n *Network) Start() error {
	if n.cfg.ReceiveGossip != nil {
		talk, err := newGossip(n)
		if err != nil {
			return fmt.Errorf("gossip: %w", err)
		}
		n.talk = talk
	}
	for class := range classes {
		n.host.SetStreamHandler(class.protocol(), func(s network.Stream) { n.accept(s, class) })
	}
	n.host.Network().Notify(&network.NotifyBundle{ConnectedF: n.connected, DisconnectedF: n.disconnected})
	n.gate.open.Store(true)
	for _, l := range n.links {
		if l == nil {
			continue
		}
		n.host.ConnManager().Protect(l.id, "member")
		if n.self < l.id || n.cfg.DialAll {
			n.running.Go(l.keepDialled)
		}
	}
	n.running.Go(n.watch)
	return nil
}

// Addr is where this node listens, as "host:port".
func (n *Network) Addr() string {
	for _, a := range n.host.Network().ListenAddresses() {
		if text, err := hostPort(a); err == nil {
			return text
		}
	}
	return ""
}

// SetPeerAddress changes where a peer is dialled from now on; a connection that stands is left alone.
func (n *Network) SetPeerAddress(to int, address string) error {
	l := n.link(to)
	if l == nil {
		return fmt.Errorf("no peer %d", to)
	}
	return l.setAddress(address)
}

// Send queues a frame for a peer and never blocks. False: it was dropped, because there is no
// connection, the frame is empty or too long, or the bulk queue is full. A full queue of votes drops
// its oldest instead. The frame must not be changed afterwards; it may be sent to many.
func (n *Network) Send(to int, class Class, frame []byte) bool {
	l := n.link(to)
	if l == nil || class >= classes || len(frame) == 0 || len(frame) > class.maxFrame() || !l.send(class, frame) {
		n.counters.dropped[min(class, classes-1)].Add(1)
		return false
	}
	return true
}

// Gossip hands a frame to everybody, by way of whoever is connected, and never blocks. A frame that
// was gossiped by anybody in the last half minute is not sent again: gossiping twice repeats nothing.
// False: it was dropped, because it is empty or too long, the queue is full, or this node does not gossip.
func (n *Network) Gossip(frame []byte) bool {
	if n.talk == nil || len(frame) == 0 || len(frame) > MaxGossipFrame || !n.talk.publish(frame) {
		n.counters.gossipDropped.Add(1)
		return false
	}
	return true
}

// Bar ends a peer's sessions and has no others with it for a while, whoever dials.
func (n *Network) Bar(peer int, pause time.Duration, why string) {
	l := n.link(peer)
	if l == nil {
		return
	}
	l.barredUntil.Store(time.Now().Add(pause).UnixNano())
	l.complain("is not heard for a while", why)
	l.endAll(why)
}

// Connected lists the peers with which frames can be exchanged now, in ascending order.
func (n *Network) Connected() []int {
	var up []int
	for i := range n.links {
		if n.Alive(i) {
			up = append(up, i)
		}
	}
	return up
}

// Alive says whether a session with the peer stands; a silent one ends after silenceLimit.
func (n *Network) Alive(peer int) bool {
	l := n.link(peer)
	return l != nil && l.alive()
}

func (n *Network) link(i int) *link {
	if i < 0 || i >= len(n.links) {
		return nil
	}
	return n.links[i]
}

// Close sends what is queued as votes, for at most 200 ms, then ends every connection and waits for all
// goroutines, or for the context: then its error is returned and they end by themselves.
func (n *Network) Close(ctx context.Context) error {
	n.mu.Lock()
	again := n.closed
	n.closed = true
	n.mu.Unlock()
	if again {
		return nil
	}
	n.gate.open.Store(false)
	n.drainVotes(ctx)
	n.cancel()
	done := make(chan struct{})
	var err error
	go func() {
		defer close(done)
		for _, l := range n.links {
			if l != nil {
				l.endAll("this node is closing")
			}
		}
		if n.talk != nil {
			n.talk.close()
		}
		err = n.host.Close()
		n.running.Wait()
	}()
	select {
	case <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

const drainLimit = 200 * time.Millisecond

// drainVotes closes the vote queues, so that each writer sends what it has and says good-bye, and waits
// for the other side to hang up.
func (n *Network) drainVotes(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, drainLimit)
	defer cancel()
	for _, l := range n.links {
		if l == nil {
			continue
		}
		for _, s := range l.standing() {
			s.votes.close()
		}
	}
	for _, l := range n.links {
		if l == nil {
			continue
		}
		for _, s := range l.standing() {
			select {
			case <-s.done:
			case <-ctx.Done():
				return
			}
		}
	}
}

// connected begins a session. libp2p calls it before it accepts streams on the connection.
func (n *Network) connected(_ network.Network, c network.Conn) {
	l := n.byID[c.RemotePeer()]
	switch {
	case l == nil: // the gate has let nobody else in
	case l.barred(): // since the gate has let it in
		n.background(func() { c.Close() })
	default:
		l.begin(c)
	}
}

func (n *Network) disconnected(_ network.Network, c network.Conn) {
	if l := n.byID[c.RemotePeer()]; l != nil {
		if s := l.sessionOf(c); s != nil {
			s.end("connection closed")
		}
	}
}

// accept takes one incoming stream of each class for each session.
func (n *Network) accept(stream network.Stream, class Class) {
	var s *session
	if l := n.byID[stream.Conn().RemotePeer()]; l != nil {
		s = l.sessionOf(stream.Conn())
	}
	if s == nil || !s.inbound[class].CompareAndSwap(false, true) {
		stream.Reset() // no session, or a second stream of a class
		return
	}
	if !n.background(func() { s.read(stream, class) }) {
		stream.Reset()
	}
}

// background runs f on a goroutine that Close waits for; false, and not at all, if Close has begun.
func (n *Network) background(f func()) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.closed {
		n.running.Go(f)
	}
	return !n.closed
}
