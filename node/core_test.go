package node

import (
	"errors"
	"testing"
	"time"

	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/node/host"
	"github.com/quorate/quorate/statemachine/kv"
)

// While a sync takes its time, what has come from outside is taken in up to a bound; then it waits where it is, and so do
// those who send. What is written makes room.
// To see it fail, have outside look at nothing, or take a turn's worth of events whatever their size.
func TestASlowDiskBoundsWhatIsTakenIn(t *testing.T) {
	c := newCommittee(t)
	h := c.hosts[1]
	h.Step(bft.Tick{Now: 2_010})
	n := &Node{host: h, inbox: newInbox(), groups: make(chan *host.Group, 1), trace: newTrace(1, 4)}
	propose := func(seq epoch.Seq) {
		var requests []*message.Request
		for range 15 {
			requests = append(requests, c.request(kv.Put([]byte("key"), make([]byte, 60<<10))))
		}
		batch := message.NewBatch(2_000, requests)
		m := message.Sign(c.scheme, seeded(1), c.genesis.Epoch(), 1, &message.PrePrepare{
			Vote: message.Vote{Seq: seq, Digest: batch.Digest()}, Batch: batch,
		})
		n.inbox.put(item{event: bft.Received{Signed: m}, bytes: batch.Size()})
	}
	seq := epoch.Seq(0)
	for n.outside() != nil {
		if seq > 64 {
			t.Fatalf("%d proposals were taken in, and more would be", seq)
		}
		for range 4 {
			seq++
			propose(seq)
		}
		n.takeInbox()
		n.handOver()
	}

	if got := h.Staged(); got > stagedBytes+message.MaxBatchBytes {
		t.Errorf("%d bytes are staged, at most %d and one proposal are to be", got, stagedBytes)
	}
	if n.takeInbox() {
		t.Error("more was taken in although too much is staged")
	}
	for n.outside() == nil {
		select {
		case g := <-n.groups:
			if err := errors.Join(h.Writer().Append(g), h.Writer().Sync()); err != nil {
				t.Fatal(err)
			}
			h.Writer().Sign(g)
			h.Done(g)
			n.handOver()
		case <-time.After(10 * time.Second):
			t.Fatal("what was written has made no room")
		}
	}
	if !n.takeInbox() {
		t.Error("what had to wait is gone")
	}
}
