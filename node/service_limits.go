package node

import (
	"net"
	"sync"
)

// gate lets in so many at a time, and so many of one address.
type gate struct {
	most, mostPerAddress int

	mu        sync.Mutex
	in        int
	ofAddress map[string]int // those that are in; no zeros
}

func newGate(most, mostPerAddress int) *gate {
	return &gate{most: most, mostPerAddress: mostPerAddress, ofAddress: make(map[string]int)}
}

// enter lets in one from an address, host:port, or refuses; leave must be called once by whoever was let in.
func (g *gate) enter(address string) (leave func(), ok bool) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.in >= g.most || g.ofAddress[host] >= g.mostPerAddress {
		return nil, false
	}
	g.in++
	g.ofAddress[host]++
	return func() { g.left(host) }, true
}

// inside is how many are in.
func (g *gate) inside() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.in
}

func (g *gate) left(host string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.in--
	if g.ofAddress[host]--; g.ofAddress[host] == 0 {
		delete(g.ofAddress, host)
	}
}

// gatedListener closes the connections that its gate does not let in.
type gatedListener struct {
	net.Listener
	gate *gate
}

// Accept waits for a connection that is let in.
func (l *gatedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		leave, ok := l.gate.enter(c.RemoteAddr().String())
		if ok {
			return &gatedConn{Conn: c, leave: leave}, nil
		}
		c.Close() // it has said nothing, and is told nothing
	}
}

type gatedConn struct {
	net.Conn
	leave func()
	once  sync.Once
}

// Close makes room for another.
func (c *gatedConn) Close() error {
	c.once.Do(c.leave)
	return c.Conn.Close()
}
