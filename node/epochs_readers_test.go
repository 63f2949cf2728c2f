package node

import (
	"fmt"
	"slices"
	"testing"

	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/client"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/statemachine/kv"
)

// What readers who know only the genesis make of a chain of several epochs.

// changeableNetwork is one whose epochs one key may change; its four nodes run.
func changeableNetwork(t *testing.T) *network {
	w := newNetwork(t)
	w.genesis.Operators, w.genesis.Threshold = []crypto.PublicKey{seedKey('o', 1).Public()}, 1
	w.start(1, 2, 3, 4)
	w.ready(1, 2, 3, 4)
	return w
}

// change asks for the next epoch, and waits until all four nodes are in it.
func (w *network) change(edit func(*epoch.Configuration)) *epoch.Epoch {
	w.t.Helper()
	e := w.nodes[0].Epoch()
	c := &message.Change{Chain: e.Chain, Of: e.ID, Next: e.Configuration, Last: w.nodes[0].Status().Seq + 1000}
	c.Next.Members = slices.Clone(e.Members)
	edit(&c.Next)
	c.Approve(crypto.Ed25519(), seedKey('o', 1))
	w.nodes[0].inbox.put(item{event: bft.Asked{Change: c}})
	w.until(fmt.Sprintf("all are in epoch %d", e.Number+1), func() bool {
		for _, n := range w.nodes {
			if n.Epoch().Number != e.Number+1 {
				return false
			}
		}
		return true
	})
	w.ready(1, 2, 3, 4)
	return w.nodes[0].Epoch()
}

// threeEpochs is a chain that goes from Byzantine mode to crash mode and back, with other parameters, and one transaction of each epoch.
func threeEpochs(t *testing.T) (w *network, asked []*message.Request) {
	w = changeableNetwork(t)
	put := func() {
		q := w.request(kv.Put(fmt.Appendf(nil, "key%d", len(asked)), make([]byte, 2000)))
		w.submit(len(asked)%4+1, q)
		asked = append(asked, q)
	}
	put()
	w.change(func(next *epoch.Configuration) { next.Mode = epoch.Crash })
	put()
	w.change(func(next *epoch.Configuration) {
		next.Mode, next.Parameters.RequestWriteBytes = epoch.Byzantine, 1024
	})
	put()
	w.same(1, 2, 3, 4)
	return w, asked
}

// A client that knows only the genesis believes what was decided in every epoch, and whoever keeps its receipts needs nothing else.
//
// case L1; a client that judges all by the first epoch turns it red.
func TestAClientFollowsTheEpochs(t *testing.T) {
	w, asked := threeEpochs(t)
	for i, q := range asked {
		c, err := client.New(client.Config{Genesis: w.genesis, Scheme: crypto.Ed25519()})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		r, err := c.Receipt(t.Context(), q.ID())
		if err != nil {
			t.Fatal(err)
		}
		kept, err := proof.DecodeReceipt(proof.EncodeReceipt(r))
		if err != nil {
			t.Fatal(err)
		}
		e, err := kept.VerifyFrom(w.genesis.Epoch(), crypto.Ed25519())
		if err != nil || e.Number != uint64(i) || len(kept.HandOvers) != i {
			t.Errorf("transaction %d: %+v, %d hand-overs, %v", i, e, len(kept.HandOvers), err)
		}
		if o, err := c.Transaction(t.Context(), q.ID()); err != nil || o.Seq != r.Headers[0].Seq {
			t.Errorf("transaction %d: %+v, %v", i, o, err)
		}
		again, err := c.Submit(t.Context(), q)
		if err != nil || again.Receipt == nil || len(again.Receipt.HandOvers) != i {
			t.Errorf("transaction %d once more: %+v, %v", i, again, err)
		}
	}
	c, err := client.New(client.Config{Genesis: w.genesis, Scheme: crypto.Ed25519()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var changes []epoch.Mode
	for seq := epoch.Seq(1); seq <= w.nodes[0].Status().Seq; seq++ {
		b, err := c.Block(t.Context(), seq)
		if err != nil {
			t.Fatalf("block %d: %v", seq, err)
		}
		if b.Epoch.ID != b.Header.Epoch {
			t.Errorf("block %d is shown in another epoch", seq)
		}
		if b.Batch.Change != nil {
			changes = append(changes, b.Batch.Change.Next.Mode)
		}
	}
	if !slices.Equal(changes, []epoch.Mode{epoch.Crash, epoch.Byzantine}) {
		t.Errorf("changes to %v", changes)
	}
}
