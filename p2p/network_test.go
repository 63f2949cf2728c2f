package p2p

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

func TestFramesOfEachClassArriveOnceAndInOrder(t *testing.T) {
	nodes := newCluster(t, 2, nil)
	const votes, bulk = 2000, 40
	for i := range votes {
		if !nodes[0].Send(1, Votes, binary.BigEndian.AppendUint32(nil, uint32(i))) {
			t.Fatalf("vote %d was refused", i)
		}
		if i%(votes/bulk) == 0 {
			frame := bytes.Repeat([]byte{byte(i)}, 50_000+i)
			binary.BigEndian.PutUint32(frame, uint32(i/(votes/bulk)))
			if !nodes[0].Send(1, Bulk, frame) {
				t.Fatalf("bulk %d was refused", i)
			}
		}
	}
	var next [classes]uint32
	for range votes + bulk {
		a := take(t, nodes[1].arrivals, "a frame")
		if got := binary.BigEndian.Uint32(a.frame); a.from != 0 || got != next[a.class] {
			t.Fatalf("%s frame %d from %d, want %d from 0", a.class, got, a.from, next[a.class])
		}
		if i := int(next[Bulk]) * (votes / bulk); a.class == Bulk && (len(a.frame) != 50_000+i || a.frame[len(a.frame)-1] != byte(i)) {
			t.Fatalf("bulk frame %d arrived changed", next[Bulk])
		}
		next[a.class]++
	}
	in := nodes[1].Traffic()
	if in.Votes.FramesIn != votes || in.Bulk.FramesIn != bulk || in.Votes.BytesIn != 4*votes {
		t.Errorf("traffic %+v", in)
	}
}

func TestTheLargestFrameOfEachClassArrives(t *testing.T) {
	nodes := newCluster(t, 2, nil)
	for class := range classes {
		frame := make([]byte, class.maxFrame())
		frame[len(frame)-1] = 7
		if !nodes[1].Send(0, class, frame) {
			t.Fatalf("%s: refused", class)
		}
		if a := take(t, nodes[0].arrivals, "the frame"); !bytes.Equal(a.frame, frame) {
			t.Errorf("%s: arrived changed", class)
		}
		if nodes[1].Send(0, class, append(frame, 0)) || nodes[1].Send(0, class, nil) || nodes[1].Send(1, class, frame) || nodes[1].Send(9, class, frame) {
			t.Errorf("%s: a frame that is too long, empty, to oneself or to nobody was queued", class)
		}
	}
}

func TestConnectIsToldBeforeFramesAndAlternates(t *testing.T) {
	// given a node that notes the order of what it is told
	var told []string
	record := make(chan string, 100)
	low, high := lowHigh(0, 1)
	sent := make(chan struct{})
	nodes := newCluster(t, 2, func(i int, cfg *Config) {
		if i == high {
			cfg.OnConnect = func(int) {
				<-sent // by then the frame would be here, were it not held back
				record <- "up"
			}
			cfg.OnDisconnect = func(int) { record <- "down" }
			cfg.Receive = func(_ int, _ Class, frame []byte) { record <- string(frame) }
		}
	})
	// when its peer speaks, goes and comes back
	nodes[low].Send(high, Votes, []byte("hi"))
	await(t, "the frame to be written", func() bool { return nodes[low].Traffic().Votes.FramesOut == 1 })
	time.AfterFunc(50*time.Millisecond, func() { close(sent) })
	told = append(told, take(t, record, "up"), take(t, record, "hi"))
	nodes[low].stop(t)
	told = append(told, take(t, record, "down"))
	nodes[low].listen(t)
	introduce(t, nodes...)
	nodes[low].start(t)
	told = append(told, take(t, record, "up"))
	// then
	if got := strings.Join(told, " "); got != "up hi down up" {
		t.Errorf("told: %s", got)
	}
}

// Whichever of two members is restarted, the other has it back soon: in spite of libp2p's dial back-off.
// Breaks if dial is not forced, or keepDialled's bound is raised.
func TestARestartedPeerIsBackWithinTwoSeconds(t *testing.T) {
	nodes := newCluster(t, 2, nil)
	low, high := lowHigh(0, 1)
	for _, i := range []int{high, low} {
		other := nodes[1-i]
		nodes[i].cfg.Listen = nodes[i].Addr()
		nodes[i].stop(t)
		other.awaitConnected(t, 0)
		if i == high {
			// Let the dialler be refused a few times: that is what a back-off would be counted from.
			time.Sleep(700 * time.Millisecond)
		}
		nodes[i].listen(t)
		introduce(t, nodes...)
		began := time.Now()
		nodes[i].start(t)
		other.awaitConnected(t, 1)
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("restart of the one with the %s id: connected after %v", map[bool]string{true: "lower", false: "higher"}[i == low], took)
		}
	}
}

// case H11. Breaks if dial uses the address it was born with.
func TestAPeerIsFoundAtItsNewAddress(t *testing.T) {
	nodes := newCluster(t, 2, nil)
	low, high := lowHigh(0, 1)
	nodes[high].stop(t)
	nodes[high].listen(t) // on another free port
	nodes[high].start(t)
	if err := nodes[low].SetPeerAddress(high, nodes[high].Addr()); err != nil {
		t.Fatal(err)
	}
	nodes[low].awaitConnected(t, 1)
}

// case H12. Breaks if gate.InterceptSecured lets everybody in.
func TestAStrangerIsRefusedAndMembersAreUnaffected(t *testing.T) {
	nodes := newCluster(t, 2, nil)
	// given strangers who know the members, and dial them: one id below and one above would do, so take many
	for i := range 4 {
		stranger := newNode(t, 100+i, 2, nil)
		introduce(t, append(nodes[:2:2], stranger)...)
		stranger.start(t)
	}
	// when they have tried
	await(t, "a refusal", func() bool { return nodes[0].Traffic().Refused+nodes[1].Traffic().Refused > 4 })
	// then nobody is connected who should not be, and the members still are
	for i, nd := range nodes {
		if got := nd.host.Network().Peers(); len(got) != 1 {
			t.Errorf("node %d is connected to %d peers", i, len(got))
		}
	}
	nodes[0].Send(1, Votes, []byte("still here"))
	if a := take(t, nodes[1].arrivals, "a vote"); string(a.frame) != "still here" {
		t.Errorf("got %q", a.frame)
	}
}

// case D16. Breaks if readHello does not compare the chain.
func TestAPeerOfAnotherChainIsRefusedWithAReasonOnBothSides(t *testing.T) {
	low, high := lowHigh(0, 1)
	nodes := []*node{nil, nil}
	for _, i := range []int{low, high} {
		nodes[i] = newNode(t, i, 2, func(cfg *Config) { cfg.Chain[31] = byte(i) })
	}
	introduce(t, nodes...)
	for _, nd := range nodes {
		nd.start(t)
	}
	for i, nd := range nodes {
		await(t, "the reason in the log", func() bool { return strings.Contains(nd.book.String(), "is of another chain") })
		if want := fmt.Sprintf("peer=%d name=node%d", 1-i, 2-i); !strings.Contains(nd.book.String(), want) {
			t.Errorf("log does not name the peer: %s", nd.book)
		}
		if len(nd.Connected()) != 0 || nd.Traffic().Foreign == 0 {
			t.Errorf("node %d: connected %v, %d foreign", i, nd.Connected(), nd.Traffic().Foreign)
		}
	}
}

// case H10. Breaks if Send waits for room, or one queue serves all peers.
func TestAPeerThatDoesNotReadDelaysNobodyElse(t *testing.T) {
	// given a member who stops reading at its first frame
	release := make(chan struct{})
	nodes := newCluster(t, 3, func(i int, cfg *Config) {
		if i == 2 {
			cfg.Receive = func(int, Class, []byte) { <-release }
		}
	})
	defer close(release)
	// when far more is sent to it than queues and windows hold
	began := time.Now()
	vote, bulk := make([]byte, 16<<10), make([]byte, 1<<20)
	const rounds = 4000
	refused := 0
	for i := range rounds {
		nodes[0].Send(2, Votes, vote)
		if i%50 == 0 && !nodes[0].Send(2, Bulk, bulk) {
			refused++
		}
	}
	// then sending did not wait, something was dropped, the oldest votes and the newest bulk
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("sending took %v", took)
	}
	if got := nodes[0].Traffic(); got.Votes.Dropped == 0 || refused == 0 || got.Bulk.Dropped != uint64(refused) {
		t.Errorf("dropped %d votes and %d bulk, %d refused", got.Votes.Dropped, got.Bulk.Dropped, refused)
	}
	// and the third member hears as ever, also from the one that does not read
	for from, to := range map[int]int{0: 1, 2: 1} {
		nodes[from].Send(to, Votes, []byte("quick"))
		if a := take(t, nodes[to].arrivals, "a vote"); string(a.frame) != "quick" || a.from != from {
			t.Errorf("got %q from %d", a.frame, a.from)
		}
	}
}

// case E15. Breaks if session.read does not recover.
func TestAPanicInAHandlerCostsThePeerItsSessionOnly(t *testing.T) {
	nodes := newCluster(t, 3, func(i int, cfg *Config) {
		if i == 0 {
			receive := cfg.Receive
			cfg.Receive = func(from int, class Class, frame []byte) {
				if string(frame) == "boom" {
					panic("handler")
				}
				receive(from, class, frame)
			}
		}
	})
	await(t, "two connects", func() bool { return len(nodes[0].news) == 2 })
	<-nodes[0].news
	<-nodes[0].news
	nodes[1].Send(0, Votes, []byte("boom"))
	if got := take(t, nodes[0].news, "a disconnect"); got != "-1" {
		t.Errorf("told %s", got)
	}
	if got := take(t, nodes[0].news, "a connect"); got != "+1" {
		t.Errorf("told %s", got)
	}
	if got := nodes[0].Traffic().Panics; got != 1 {
		t.Errorf("%d panics counted", got)
	}
	nodes[1].awaitConnected(t, 2)
	nodes[1].Send(0, Votes, []byte("fine"))
	if a := take(t, nodes[0].arrivals, "a vote"); string(a.frame) != "fine" {
		t.Errorf("got %q", a.frame)
	}
}

// The last votes before a stop are not lost. Breaks if Close does not drain.
func TestCloseSendsTheVotesThatAreQueued(t *testing.T) {
	nodes := newCluster(t, 2, nil)
	const votes = 500
	for range votes {
		nodes[0].Send(1, Votes, make([]byte, 1000))
	}
	nodes[0].stop(t)
	for i := range votes {
		take(t, nodes[1].arrivals, fmt.Sprintf("vote %d", i))
	}
}

func TestNewNamesWhatIsWrong(t *testing.T) {
	good := newNode(t, 0, 2, nil).cfg
	rsa := "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N"
	cases := map[string]struct {
		change func(*Config)
		want   string
	}{
		"an address without a port":   {func(c *Config) { c.Listen = "127.0.0.1" }, "listen address"},
		"a peer's id is not an id":    {func(c *Config) { c.Peers[1].ID = "node2" }, `peer 1 (node2): libp2p id "node2"`},
		"a peer's key is not ed25519": {func(c *Config) { c.Peers[1].ID = rsa }, "not of an ed25519 key"},
		"an id twice":                 {func(c *Config) { c.Peers[0].ID = c.Peers[1].ID }, "peers 0 and 1 have the same libp2p id"},
		"a peer's address":            {func(c *Config) { c.Peers[1].Address = "node2" }, "peer 1 (node2): address node2"},
		"no receiver":                 {func(c *Config) { c.Receive = nil }, "Receive"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			cfg := good
			cfg.Peers = append([]Peer(nil), good.Peers...)
			c.change(&cfg)
			if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
	t.Run("a port in use", func(t *testing.T) {
		taken, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer taken.Close()
		cfg := good
		cfg.Listen = taken.Addr().String()
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), cfg.Listen) {
			t.Errorf("error %v", err)
		}
	})
}

func TestCloseGivesUpWithItsContextAndMayBeCalledTwice(t *testing.T) {
	release := make(chan struct{})
	nodes := newCluster(t, 2, func(i int, cfg *Config) {
		if i == 0 {
			cfg.Receive = func(int, Class, []byte) { <-release }
		}
	})
	nodes[1].Send(0, Votes, []byte("stuck"))
	await(t, "the handler to be stuck", func() bool { return nodes[0].Traffic().Votes.FramesIn == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := nodes[0].Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("close: %v", err)
	}
	close(release)
	if err := nodes[0].Close(context.Background()); err != nil {
		t.Errorf("second close: %v", err)
	}
}
