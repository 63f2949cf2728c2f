package p2p

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// awaitGossip waits until every node's gossip knows of all others.
func awaitGossip(t testing.TB, nodes []*node) {
	t.Helper()
	for _, nd := range nodes {
		await(t, "the others to join the gossip", func() bool { return len(nd.talk.topic.ListPeers()) == len(nodes)-1 })
	}
}

// Breaks without WithMessageIdFn: all but one of the frames vanish.
func TestGossipReachesEveryOtherOnce(t *testing.T) {
	nodes := newCluster(t, 4, nil)
	awaitGossip(t, nodes)
	const each = 50
	for i, nd := range nodes {
		for j := range each {
			if !nd.Gossip(fmt.Appendf(nil, "%d says %d", i, j)) {
				t.Fatal("refused")
			}
		}
	}
	for i, nd := range nodes {
		got := make(map[string]int)
		for range each * (len(nodes) - 1) {
			got[string(take(t, nd.gossip, "gossip"))]++
		}
		if len(got) != each*(len(nodes)-1) {
			t.Errorf("node %d heard %d different frames", i, len(got))
		}
	}
}

// Gossiping again repeats nothing while the frame is remembered: it is no way of sending something again.
func TestGossipingTwiceIsHeardOnce(t *testing.T) {
	nodes := newCluster(t, 2, nil)
	awaitGossip(t, nodes)
	for _, frame := range []string{"again", "again", "last"} {
		nodes[0].Gossip([]byte(frame))
	}
	first, second := take(t, nodes[1].gossip, "gossip"), take(t, nodes[1].gossip, "gossip")
	if string(first)+string(second) != "againlast" && string(first)+string(second) != "lastagain" {
		t.Errorf("heard %q and %q", first, second)
	}
	await(t, "all three to be published", func() bool { return nodes[0].Traffic().Gossip.FramesOut == 3 })
}

func TestGossipOfTheLargestSizeArrivesAndOverItIsRefused(t *testing.T) {
	nodes := newCluster(t, 2, nil)
	awaitGossip(t, nodes)
	frame := bytes.Repeat([]byte{7}, MaxGossipFrame)
	if nodes[0].Gossip(append(frame, 0)) || nodes[0].Gossip(nil) {
		t.Error("too long or empty, and not refused")
	}
	nodes[0].Gossip(frame)
	if got := take(t, nodes[1].gossip, "gossip"); !bytes.Equal(got, frame) {
		t.Error("arrived changed")
	}
}

// case E15, for gossip. Breaks if receive does not recover.
func TestAPanicOverGossipIsRecovered(t *testing.T) {
	nodes := newCluster(t, 2, func(i int, cfg *Config) {
		if i == 0 {
			cfg.ReceiveGossip = func(int, []byte) bool { panic("handler") }
		}
	})
	awaitGossip(t, nodes)
	nodes[1].Gossip([]byte("boom"))
	await(t, "the panic to be counted", func() bool { return nodes[0].Traffic().Panics == 1 })
	await(t, "the peer to be dropped and back", func() bool { return len(nodes[0].news) == 3 })
}

func TestAFrameThatIsRefusedIsNotPassedOn(t *testing.T) {
	// given three members, of which the first and the last are not connected to each other
	var nodes []*node
	for i := range 3 {
		nodes = append(nodes, newNode(t, i, 3, func(cfg *Config) {
			if i == 1 {
				cfg.ReceiveGossip = func(_ int, frame []byte) bool { return string(frame) != "bad" }
			}
		}))
	}
	introduce(t, nodes[0], nodes[1])
	introduce(t, nodes[1], nodes[2])
	for _, nd := range nodes {
		nd.start(t)
	}
	nodes[1].awaitConnected(t, 2)
	warmUp := 0
	await(t, "the mesh to form", func() bool {
		warmUp++
		nodes[0].Gossip(fmt.Appendf(nil, "warm-up %d", warmUp))
		return len(nodes[2].gossip) > 0
	})
	// when
	nodes[0].Gossip([]byte("bad"))
	// then what is gossiped after it comes, and it does not; gossip may lose a frame, so it is several
	good := 0
	await(t, "a frame that is not refused", func() bool {
		good++
		nodes[0].Gossip(fmt.Appendf(nil, "good %d", good))
		for len(nodes[2].gossip) > 0 {
			got := string(<-nodes[2].gossip)
			if got == "bad" {
				t.Fatal("passed on")
			}
			if strings.HasPrefix(got, "good") {
				return true
			}
		}
		return false
	})
}

// Breaks if publish waits for room, or has no bound.
func TestGossipThatIsNotTakenUpIsRefusedAndNotWaitedFor(t *testing.T) {
	nd := newNode(t, 0, 2, nil)
	nd.talk = &gossip{n: nd.Network, queue: newByteQueue(maxQueuedGossipBytes), cancel: func() {}} // nobody publishes
	const fit = maxQueuedGossipBytes / MaxGossipFrame
	frame := make([]byte, MaxGossipFrame)
	for i := range 2 * fit {
		if nd.Gossip(frame) != (i < fit) {
			t.Fatalf("frame %d: taken %v", i, i >= fit)
		}
	}
	if got := nd.Traffic().Gossip.Dropped; got != fit {
		t.Errorf("%d counted as dropped", got)
	}
}
