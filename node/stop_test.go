package node

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/node/host"
	"github.com/quorate/quorate/statemachine/kv"
	"github.com/quorate/quorate/store"
)

// proposal is what the first leader proposes for a slot.
func (w *network) proposal(seq epoch.Seq, requests ...*message.Request) *message.Signed {
	batch := message.NewBatch(2, requests)
	return message.Sign(crypto.Ed25519(), seedKey('m', 1), w.genesis.Epoch(), 1, &message.PrePrepare{
		Vote: message.Vote{Seq: seq, Digest: batch.Digest()}, Batch: batch,
	})
}

// inLog counts the records of a kind in the log of a node that does not run.
func (w *network) inLog(i int, kind ordering.RecordKind) (n int) {
	w.t.Helper()
	log, _, err := store.Open(store.System(), logDir(w.home(i)), store.Options{}, func(_ store.Position, r store.Record, _ bool) error {
		if r.Kind == uint8(kind) {
			n++
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	if err := log.Close(); err != nil {
		w.t.Fatal(err)
	}
	return n
}

// hold stops a node's core until goOn is closed, and returns when it stands.
func hold(n *Node, goOn <-chan struct{}) {
	stands := make(chan struct{})
	n.inbox.put(item{call: func(*host.Host) { close(stands); <-goOn }})
	<-stands
}

// The core takes what has come before Stop, and the log has it: stopping in order loses nothing that was there to be lost.
// To see it fail, close ended in Stop before the replica has come to its end, or do not empty the inbox in drain.
func TestStopTakesInWhatHasCome(t *testing.T) {
	const nodes = 4
	w := newNetwork(t)
	var proposals []*message.Signed
	for seq := range epoch.Seq(3 * coreTurn) {
		proposals = append(proposals, w.proposal(seq+1, w.request(kv.Put([]byte("key"), []byte("value")))))
	}
	for i := 2; i <= nodes; i++ { // each a try: a core that looks at several things at once takes any of them
		w.start(i)
		n := w.nodes[i-1]
		hold(n, n.inbox.closed)
		for _, m := range proposals {
			n.inbox.put(item{event: bft.Received{Signed: m}})
		}

		w.stop(i)

		if got := w.inLog(i, ordering.KindBodies); got != len(proposals) {
			t.Errorf("node %d: %d of %d proposals are in its log", i, got, len(proposals))
		}
	}
}

// A node that has ended by itself takes nothing out of its inbox any more. Whoever waits for room there must not wait, nor
// must Stop, which waits for them.
// To see it hang, do not close the inbox in fail.
func TestAnEndedNodeHoldsNobodyUp(t *testing.T) {
	w := newNetwork(t)
	w.start(1)
	n := w.nodes[0]
	goOn := make(chan struct{})
	hold(n, goOn)
	for range inboxItems {
		n.inbox.put(item{call: func(*host.Host) {}})
	}
	taken := make(chan bool)
	go func() { taken <- n.inbox.put(item{call: func(*host.Host) {}}) }()
	reason := errors.New("disk is on fire")

	n.fail(reason)

	if <-taken {
		t.Error("an ended node has taken something in")
	}
	close(goOn)
	<-n.Done()
	if !errors.Is(n.Err(), reason) {
		t.Errorf("it ended because of %v", n.Err())
	}
	w.stop(1)
}

// A start that fails at the last step leaves nothing behind: no lock, no port, no goroutine on a closed log.
func TestAStartThatFailsLeavesNothingBehind(t *testing.T) {
	w := newNetwork(t)
	taken, err := net.Listen("tcp", w.genesis.Members[0].API)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := Start(w.config(1)); err == nil {
		_ = n.Stop(context.Background())
		t.Fatal("it has started on a port that was taken")
	}
	if err := taken.Close(); err != nil {
		t.Fatal(err)
	}

	w.start(1)
	w.stop(1)
}
