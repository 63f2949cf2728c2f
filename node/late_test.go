package node

import (
	"testing"

	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/node/host"
	"github.com/quorate/quorate/statemachine/kv"
)

// A member that restarts is told by the gossip of what it has executed before it stopped. It does not hold it: nobody would
// propose it again, and a node that waits for what never comes takes no transactions.
//
// case L1 F14; beginning with no memory of the newest blocks turns it red.
func TestLateGossipAfterARestartIsNotHeld(t *testing.T) {
	w := newNetwork(t)
	w.start(1, 2, 3, 4)
	w.ready(1, 2, 3, 4)
	executed := w.request(kv.Put([]byte("key"), []byte("value")))
	w.submit(1, executed)
	w.same(1, 2, 3, 4)
	w.stop(3)
	w.start(3)
	w.ready(3)
	fresh := w.request(kv.Put([]byte("key"), []byte("another")))

	frame := w.frameOf(1, &message.Bundle{Requests: []*message.Request{executed, fresh}})
	m, err := w.nodes[2].host.Checker().Message(frame, host.Gossiped)
	if err != nil {
		t.Fatal(err)
	}
	held := make(chan [2]bool, 1)
	w.nodes[2].inbox.put(item{call: func(h *host.Host) {
		h.Step(bft.Received{Signed: m})
		held <- [2]bool{h.Replica().Holds(executed), h.Replica().Holds(fresh)}
	}})

	if got := <-held; got != [2]bool{false, true} {
		t.Errorf("holds what is executed: %v; what is not: %v", got[0], got[1])
	}
}

// What is asked for while the leader is gone, and nothing else is under way, is what gets it replaced.
//
// case A3; a node that takes in nothing while it cannot reach its leader turns it red.
func TestARequestAloneGetsAGoneLeaderReplaced(t *testing.T) {
	w := newNetwork(t)
	w.start(1, 2, 3, 4)
	w.ready(1, 2, 3, 4)
	w.submit(2, w.request(kv.Put([]byte("key"), []byte("before"))))
	w.stop(1)
	w.until("the others know that it is gone", func() bool { return w.nodes[1].Status().Peers == 2 && w.nodes[2].Status().Peers == 2 })
	if ok, why := w.nodes[1].Ready(); !ok {
		t.Errorf("it takes in nothing: %s", why)
	}
	w.submit(2, w.request(kv.Put([]byte("key"), []byte("after"))))
	if s := w.nodes[1].Status(); s.View != 1 || s.Leader != 2 {
		t.Errorf("at view %d, led by %d", s.View, s.Leader)
	}
}
