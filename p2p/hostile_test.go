package p2p

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peerstore"
)

// liar is a member that follows none of the rules above libp2p's: its host is real, its streams are
// the test's own.
type liar struct {
	*node
	victim  network.Conn
	streams [classes]network.Stream // opened and greeted
}

// newLiar connects to a victim, greets on both streams and answers the victim's greetings.
func newLiar(t *testing.T, i int, victim *node, greeting func(Class) []byte) *liar {
	t.Helper()
	l := &liar{node: newNode(t, i, 2, nil)}
	l.gate.open.Store(true)
	for class := range classes {
		l.host.SetStreamHandler(class.protocol(), func(s network.Stream) {
			io.CopyN(io.Discard, s, int64(helloSize))
			s.Write(greeting(class))
			io.Copy(io.Discard, s)
		})
	}
	l.connect(t, victim, greeting)
	return l
}

func (l *liar) connect(t *testing.T, victim *node, greeting func(Class) []byte) {
	t.Helper()
	address, err := multiaddr(victim.Addr())
	if err != nil {
		t.Fatal(err)
	}
	l.host.Peerstore().AddAddr(victim.self, address, peerstore.PermanentAddrTTL)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if l.victim, err = l.host.Network().DialPeer(ctx, victim.self); err != nil {
		t.Fatal(err)
	}
	for class := range classes {
		if l.streams[class], err = l.host.NewStream(ctx, victim.self, class.protocol()); err != nil {
			return // the victim has had enough of the other greetings
		}
		l.streams[class].Write(greeting(class))
		io.CopyN(io.Discard, l.streams[class], int64(helloSize))
	}
}

func honest(class Class) []byte { return hello(class, testChain) }

// newVictim is a started member that dials nobody.
func newVictim(t *testing.T) *node {
	victim := newNode(t, 0, 2, nil)
	victim.start(t)
	return victim
}

// Each thing that no correct member does ends the session, and is no harm beyond it.
func TestWhatNoMemberMayDoEndsItsSession(t *testing.T) {
	cases := map[string]func(l *liar){
		// case E1. Breaks if readFrame does not look at its limit.
		"a vote over the limit": func(l *liar) {
			l.streams[Votes].Write(binary.BigEndian.AppendUint32(nil, MaxVoteFrame+1))
		},
		"bulk of 4 GiB":               func(l *liar) { l.streams[Bulk].Write([]byte{255, 255, 255, 255}) },
		"the end in mid-frame":        func(l *liar) { l.streams[Bulk].Write([]byte{0, 0, 0, 9, 1}); l.streams[Bulk].CloseWrite() },
		"a stream of votes that ends": func(l *liar) { l.streams[Votes].CloseWrite() },
		"a stream of votes reset":     func(l *liar) { l.streams[Votes].Reset() },
	}
	for name, offend := range cases {
		t.Run(name, func(t *testing.T) {
			victim := newVictim(t)
			l := newLiar(t, 1, victim, honest)
			if got := take(t, victim.news, "the connect"); got != "+1" {
				t.Fatalf("told %s", got)
			}
			offend(l)
			if got := take(t, victim.news, "the disconnect"); got != "-1" {
				t.Errorf("told %s", got)
			}
			// and the same member, now honest, is welcome
			await(t, "the connection to close", func() bool { return l.victim.IsClosed() })
			l.connect(t, victim, honest)
			if got := take(t, victim.news, "the second connect"); got != "+1" {
				t.Errorf("told %s", got)
			}
			if len(victim.arrivals) != 0 {
				t.Error("a frame arrived")
			}
		})
	}
}

func TestAWrongGreetingIsNoConnection(t *testing.T) {
	cases := map[string]struct {
		greeting func(Class) []byte
		log      string
	}{
		// case D16
		"another chain": {func(c Class) []byte { return hello(c, [32]byte{2}) }, "is of another chain"},
		"another version": {func(c Class) []byte {
			h := honest(c)
			h[len(helloMagic)] = 9
			return h
		}, "speaks version 9, this node version 1"},
		"the other class": {func(c Class) []byte { return honest(1 - c) }, ""},
		"noise":           {func(c Class) []byte { return make([]byte, helloSize) }, ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			victim := newVictim(t)
			l := newLiar(t, 1, victim, c.greeting)
			await(t, "the end", func() bool { return l.victim.IsClosed() })
			if len(victim.news) != 0 || !strings.Contains(victim.book.String(), c.log) {
				t.Errorf("news %d, log %s", len(victim.news), victim.book)
			}
		})
	}
}

// case H9. A member that is connected and says nothing, be it only that its packets go nowhere, is given
// up after silenceLimit. Breaks if watchOver does not end sessions.
func TestASilentPeerIsGivenUp(t *testing.T) {
	t.Parallel()
	victim := newVictim(t)
	newLiar(t, 1, victim, honest)
	began := time.Now()
	take(t, victim.news, "the connect")
	take(t, victim.news, "the disconnect")
	if took := time.Since(began); took < silenceLimit-time.Second || took > silenceLimit+2*time.Second {
		t.Errorf("given up after %v", took)
	}
	if got := victim.Traffic().Silent; got != 1 {
		t.Errorf("%d sessions counted as silent", got)
	}
}

// Silence that is this node's own, because it was stopped, is not held against its peers.
func TestAPauseOfThisProcessIsNotItsPeersSilence(t *testing.T) {
	nodes := newCluster(t, 2, nil)
	s := nodes[0].links[1].standing()[0]
	s.heard.Store(time.Now().Add(-time.Minute).UnixNano())
	nodes[0].watchOver(s, time.Now(), true)
	if !nodes[0].Alive(1) {
		t.Error("the peer was given up")
	}
	s.heard.Store(time.Now().Add(-time.Minute).UnixNano())
	nodes[0].watchOver(s, time.Now(), false)
	await(t, "the peer to be given up", func() bool { return nodes[0].Traffic().Silent == 1 })
}

// A member that has nothing to say is not silent. Breaks without heartbeats.
func TestMembersThatHaveNothingToSayStayConnected(t *testing.T) {
	t.Parallel()
	nodes := newCluster(t, 2, nil)
	take(t, nodes[0].news, "the connect")
	select {
	case got := <-nodes[0].news:
		t.Errorf("told %s", got)
	case <-time.After(silenceLimit + 2*heartbeatInterval):
	}
}

// case E4: a member's second stream of a class, and its thousandth, is refused. Breaks without the
// CompareAndSwap in accept.
func TestAPeerHasOneStreamOfEachClass(t *testing.T) {
	victim := newVictim(t)
	l := newLiar(t, 1, victim, honest)
	take(t, victim.news, "the connect")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for range 100 {
		s, err := l.host.NewStream(ctx, victim.self, Votes.protocol())
		if err != nil {
			t.Fatal(err)
		}
		s.SetDeadline(time.Now().Add(patience))
		if _, err := s.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "deadline") {
			t.Fatalf("second stream: %v", err)
		}
		s.Reset()
	}
	l.streams[Votes].Write([]byte{0, 0, 0, 1, 42})
	if a := take(t, victim.arrivals, "a vote on the first"); a.frame[0] != 42 {
		t.Errorf("got %x", a.frame)
	}
}

// case E5, case E4: many connections that say nothing do not keep a member out. Breaks if
// handshakeListener evicts nobody.
func TestAFloodOfSilentConnectionsDoesNotKeepAMemberOut(t *testing.T) {
	low, high := lowHigh(0, 1)
	nodes := []*node{nil, nil}
	nodes[high] = newNode(t, high, 2, nil)
	nodes[high].start(t)
	var flood []net.Conn
	defer func() {
		for _, c := range flood {
			c.Close()
		}
	}()
	for range 4 * maxHandshakes {
		c, err := net.Dial("tcp", nodes[high].Addr())
		if err != nil {
			t.Fatal(err)
		}
		flood = append(flood, c)
	}
	nodes[low] = newNode(t, low, 2, nil)
	introduce(t, nodes...)
	began := time.Now()
	nodes[low].start(t)
	nodes[high].awaitConnected(t, 1)
	if took := time.Since(began); took > handshakeTimeout/2 {
		t.Errorf("connected after %v", took)
	}
	// and the flood's oldest are gone: three of four at least
	gone := 0
	for _, c := range flood[:3*maxHandshakes] {
		c.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.Copy(io.Discard, c); err == nil || !strings.Contains(err.Error(), "timeout") {
			gone++
		}
	}
	if gone < 3*maxHandshakes {
		t.Errorf("%d of %d silent connections closed", gone, 3*maxHandshakes)
	}
}

// case D11: two processes with one key. Both are heard, one at a time, and both hear. Breaks with one
// session per peer, or if deliver does not take turns.
func TestTwinsAreBothHeardAndSpokenTo(t *testing.T) {
	low, high := lowHigh(0, 1)
	var inside, together atomic.Int32
	common := newNode(t, high, 2, func(cfg *Config) {
		receive := cfg.Receive
		cfg.Receive = func(from int, class Class, frame []byte) {
			together.Add(inside.Add(1) - 1)
			runtime.Gosched()
			receive(from, class, frame)
			inside.Add(-1)
		}
	})
	common.start(t)
	var twins []*node
	for range 2 {
		twin := newNode(t, low, 2, nil)
		introduce(t, twin, common)
		twin.start(t)
		twin.awaitConnected(t, 1)
		twins = append(twins, twin)
	}
	for i, twin := range twins {
		twin.Send(high, Votes, []byte{byte(i)})
		if a := take(t, common.arrivals, "a twin's vote"); a.from != low || a.frame[0] != byte(i) {
			t.Errorf("got %x from %d", a.frame, a.from)
		}
	}
	common.Send(low, Votes, []byte("both"))
	for _, twin := range twins {
		if a := take(t, twin.arrivals, "a vote"); string(a.frame) != "both" {
			t.Errorf("got %q", a.frame)
		}
	}
	const many = 2000
	for range many {
		for _, twin := range twins {
			twin.Send(high, Votes, []byte{1})
		}
	}
	for range many {
		take(t, common.arrivals, "many votes")
	}
	if together.Load() > 0 {
		t.Error("two frames of one peer were handed over at once")
	}
}

// A peer that is barred is not let in, nor dialled, before its time is over; then it is welcome again. Others are not
// affected.
//
// case E8. Breaks if the gate lets it in, or the link goes on dialling.
func TestABarredPeerComesBackWhenItsTimeIsOver(t *testing.T) {
	nodes := newCluster(t, 3, nil)
	for _, n := range nodes {
		n.awaitConnected(t, len(nodes)-1)
	}
	low, high := lowHigh(0, 1)
	for _, i := range []int{low, high} { // who dials, and who is dialled
		judge, barred := nodes[i], 1-i
		began := time.Now()
		const pause = 600 * time.Millisecond
		judge.Bar(barred, pause, "a test")
		if judge.Alive(barred) {
			t.Error("a barred peer is connected")
		}
		await(t, "the peer to be back", func() bool { return judge.Alive(barred) })
		if took := time.Since(began); took < pause {
			t.Errorf("back after %v", took)
		}
		if !judge.Alive(2) {
			t.Error("another peer is gone")
		}
		nodes[barred].awaitConnected(t, len(nodes)-1)
	}
}
