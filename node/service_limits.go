package node

import (
	"context"
	"net"
	"sync"
	"time"
)

// gate lets in so much at a time, and so much of one address.
type gate struct {
	most, mostPerAddress int

	mu        sync.Mutex
	in        int
	ofAddress map[string]int // what is in of each; no zeros
}

func newGate(most, mostPerAddress int) *gate {
	return &gate{most: most, mostPerAddress: mostPerAddress, ofAddress: make(map[string]int)}
}

// enter lets in one from an address, host:port, or refuses; leave must be called once by whoever was let in.
func (g *gate) enter(address string) (leave func(), ok bool) {
	p, ok := g.take(address, 1)
	if !ok {
		return nil, false
	}
	return p.leave, true
}

// take lets in as many as size from an address, or refuses; leave must be called once by whoever was let in.
func (g *gate) take(address string, size int) (*place, bool) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.in+size > g.most || g.ofAddress[host]+size > g.mostPerAddress {
		return nil, false
	}
	g.in += size
	g.ofAddress[host] += size
	return &place{g, host, size}, true
}

// inside is how many are in.
func (g *gate) inside() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.in
}

// place is what somebody takes up who was let in.
type place struct {
	gate *gate
	host string
	size int
}

// shrink gives back what is above size.
func (p *place) shrink(size int) {
	p.gate.mu.Lock()
	defer p.gate.mu.Unlock()
	back := p.size - min(p.size, size)
	p.size -= back
	p.gate.in -= back
	if p.gate.ofAddress[p.host] -= back; p.gate.ofAddress[p.host] == 0 {
		delete(p.gate.ofAddress, p.host)
	}
}

func (p *place) leave() { p.shrink(0) }

// gatedListener closes the connections that its gate does not let in. A flood of them must cost little.
type gatedListener struct {
	net.Listener
	gate    *gate
	refused int // since it last rested
}

// Of connections that it refuses a listener rests: without it, a burst of some thousands takes the processor from those who
// are served. Those who are let in wait behind it, which is the lesser evil.
const (
	refusalsAtOnce = 20
	refusalRest    = 10 * time.Millisecond
)

// listenGated listens on host:port.
func listenGated(address string, g *gate) (*gatedListener, error) {
	// Keeping a connection alive takes four system calls, and is for those that are let in.
	config := net.ListenConfig{KeepAlive: -1}
	l, err := config.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, err
	}
	return &gatedListener{Listener: l, gate: g}, nil
}

// Accept waits for a connection that is let in.
func (l *gatedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		leave, ok := l.gate.enter(c.RemoteAddr().String())
		if tcp, isTCP := c.(*net.TCPConn); isTCP { // what fails here fails again at the next use
			if ok {
				_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true})
			} else {
				_ = tcp.SetLinger(0) // it has said nothing, and is told nothing: nobody waits for its end
			}
		}
		if ok {
			return &gatedConn{Conn: c, leave: leave}, nil
		}
		c.Close()
		if l.refused++; l.refused == refusalsAtOnce {
			l.refused = 0
			time.Sleep(refusalRest)
		}
	}
}

type gatedConn struct {
	net.Conn
	leave func()
	once  sync.Once
}

// writePiece is how much a caller must at least read within writeTimeout.
const writePiece = 64 << 10

// Write gives up a caller who does not read: his answer would stay in memory, and take up a place, for as long as he likes.
// The deadline is of each piece, so that a large answer over a slow line has the time that it needs.
func (c *gatedConn) Write(p []byte) (written int, err error) {
	for len(p) > 0 && err == nil {
		var n int
		_ = c.Conn.SetWriteDeadline(time.Now().Add(writeTimeout)) // fails only if the connection is closed, as Write then does
		n, err = c.Conn.Write(p[:min(len(p), writePiece)])
		p, written = p[n:], written+n
	}
	return written, err
}

// Close makes room for another.
func (c *gatedConn) Close() error {
	c.once.Do(c.leave)
	return c.Conn.Close()
}
