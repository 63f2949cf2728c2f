package p2p

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	ma "github.com/multiformats/go-multiaddr"
)

const (
	heartbeatInterval = 500 * time.Millisecond
	silenceLimit      = 3 * time.Second

	minRedial = 50 * time.Millisecond
	maxRedial = time.Second

	// sessionsPerPeer is two, not one, so that a member that comes back before its former connection is
	// known to be dead is heard at once, and that two processes with one key do not cut each other off
	// in turns: both are heard and sent to, and what they say against each other is for others to judge.
	sessionsPerPeer = 2
)

// link is what a node has with one other member, whether or not they are connected.
type link struct {
	n     *Network
	index int
	id    peer.ID
	name  string

	mu       sync.Mutex
	address  ma.Multiaddr // nil: it dials us
	sessions []*session   // oldest first
	ups      int          // sessions that came up so far
	news     []bool       // true: connected, false: disconnected; not yet told

	telling sync.Mutex          // held while OnConnect or OnDisconnect runs
	turn    [classes]sync.Mutex // held while Receive runs
	lost    chan struct{}       // holds a token when a session has ended
	lines   allowance           // log lines that this peer may cause

	barredUntil atomic.Int64 // no sessions before, in Unix ns
}

func newLink(n *Network, index int, id peer.ID, name string) *link {
	return &link{n: n, index: index, id: id, name: name, lost: make(chan struct{}, 1)}
}

func (l *link) setAddress(text string) error {
	if text == "" {
		return nil
	}
	a, err := multiaddr(text)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.address = a
	return nil
}

// begin makes a session of a new connection; the oldest gives way to it.
func (l *link) begin(c network.Conn) {
	s := newSession(l, c)
	var surplus *session
	l.mu.Lock()
	l.sessions = append(l.sessions, s)
	if len(l.sessions) > sessionsPerPeer {
		surplus = l.sessions[0]
	}
	l.mu.Unlock()
	if surplus != nil {
		surplus.end("replaced by newer connections")
	}
	for class := range classes {
		if !l.n.background(func() { s.write(class) }) {
			s.end("this node is closing")
			return
		}
	}
}

// barred says whether there is to be no session with the peer now.
func (l *link) barred() bool { return time.Now().UnixNano() < l.barredUntil.Load() }

// announce makes a session that has greeted part of the link, and tells before it lets frames through.
func (l *link) announce(s *session) {
	l.mu.Lock()
	if !slices.Contains(l.sessions, s) {
		l.mu.Unlock()
		return // it has ended
	}
	first := !l.upLocked()
	s.isUp = true
	l.ups++
	if first {
		l.news = append(l.news, true)
	}
	l.mu.Unlock()
	l.tell("")
	close(s.up)
}

func (l *link) remove(s *session, why string) {
	l.mu.Lock()
	l.sessions = slices.DeleteFunc(l.sessions, func(other *session) bool { return other == s })
	if s.isUp && !l.upLocked() {
		l.news = append(l.news, false)
	}
	l.mu.Unlock()
	l.tell(why)
	poke(l.lost)
}

// tell passes the news on, in order. When it returns, all that was news before it is told.
func (l *link) tell(why string) {
	l.telling.Lock()
	defer l.telling.Unlock()
	l.mu.Lock()
	news := l.news
	l.news = nil
	l.mu.Unlock()
	for _, up := range news {
		call := l.n.cfg.OnDisconnect
		if up {
			call = l.n.cfg.OnConnect
			l.logLine(slog.LevelInfo, "peer connected")
		} else {
			l.logLine(slog.LevelInfo, "peer disconnected", "why", why)
		}
		if call != nil {
			call(l.index)
		}
	}
}

func (l *link) upLocked() bool {
	return slices.ContainsFunc(l.sessions, func(s *session) bool { return s.isUp })
}

func (l *link) alive() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.upLocked()
}

// send queues the frame on every session that is up; false if none took it.
func (l *link) send(class Class, frame []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	sent := false
	for _, s := range l.sessions {
		if !s.isUp {
			continue
		}
		if class == Bulk {
			sent = s.bulk.push(frame) || sent
			continue
		}
		dropped, ok := s.votes.push(frame)
		l.n.counters.dropped[Votes].Add(uint64(dropped))
		sent = ok || sent
	}
	return sent
}

func (l *link) standing() []*session {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.sessions)
}

func (l *link) sessionOf(c network.Conn) *session {
	for _, s := range l.standing() {
		if s.conn == c {
			return s
		}
	}
	return nil
}

func (l *link) endAll(why string) {
	for _, s := range l.standing() {
		s.end(why)
	}
}

// keepDialled dials whenever there is no session. Only the member with the lower id does so: if both
// dial, both connections tend to stay.
func (l *link) keepDialled() {
	bound, ups := minRedial, 0
	for {
		if len(l.standing()) == 0 && !l.barred() {
			l.dial()
		}
		for len(l.standing()) > 0 {
			select {
			case <-l.lost:
			case <-l.n.ctx.Done():
				return
			}
		}
		if now := l.timesUp(); now != ups {
			bound, ups = minRedial, now
		}
		select {
		case <-time.After(minRedial + rand.N(bound)):
		case <-l.n.ctx.Done():
			return
		}
		bound = min(2*bound, maxRedial-minRedial)
	}
}

func (l *link) timesUp() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ups
}

func (l *link) dial() {
	l.mu.Lock()
	address := l.address
	l.mu.Unlock()
	if address == nil {
		return
	}
	ctx, cancel := context.WithTimeout(l.n.ctx, dialTimeout)
	defer cancel()
	net := l.n.host.Network()
	// libp2p would dial whatever the peer says of itself.
	net.Peerstore().ClearAddrs(l.id)
	net.Peerstore().AddAddr(l.id, address, peerstore.TempAddrTTL)
	// And it would remember a refusal for 5 s and more, unless the dial is forced.
	if _, err := net.DialPeer(network.WithForceDirectDial(ctx, "member"), l.id); err != nil && l.n.ctx.Err() == nil {
		l.logLine(slog.LevelDebug, "peer not reached", "address", address, "err", err)
	}
}

// complain says what is wrong with a peer: for the operator, and within the peer's allowance.
func (l *link) complain(what, why string) {
	l.logLine(slog.LevelError, "peer "+what, "why", why)
}

func (l *link) logLine(level slog.Level, msg string, args ...any) {
	ctx := context.Background()
	if !l.n.log.Enabled(ctx, level) || !l.lines.take(time.Now()) {
		return
	}
	l.n.log.Log(ctx, level, msg, append([]any{"peer", l.index, "name", l.name}, args...)...)
}

// watch keeps sessions from falling silent, and ends those that have. TCP takes minutes to notice a
// connection into nowhere, yamux half a minute.
func (n *Network) watch() {
	ticker := time.NewTicker(heartbeatInterval)
	defer ticker.Stop()
	last := time.Now()
	for {
		select {
		case <-ticker.C:
		case <-n.ctx.Done():
			return
		}
		now := time.Now()
		// If this process was stopped for a while, the silence was its own.
		stopped := now.Sub(last) > silenceLimit/2
		last = now
		for _, l := range n.links {
			if l == nil {
				continue
			}
			for _, s := range l.standing() {
				n.watchOver(s, now, stopped)
			}
		}
	}
}

func (n *Network) watchOver(s *session, now time.Time, stopped bool) {
	if stopped || s.busy.Load() > 0 {
		s.heard.Store(now.UnixNano())
	}
	if now.Sub(time.Unix(0, s.heard.Load())) > silenceLimit {
		n.counters.silent.Add(1)
		s.end("nothing heard")
		return
	}
	if !s.wrote.Swap(false) {
		s.votes.heartbeat()
	}
}
