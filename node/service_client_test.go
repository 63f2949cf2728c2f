package node

import (
	"errors"
	"testing"

	"github.com/quorate/quorate/api/reason"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/client"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/statemachine/kv"
)

// case L1: what a client hears over the wire is what the nodes have, also when one of them stops and the same bytes are
// sent again. To see it fail, let the service leave out the path of a receipt: no outcome is proven.
func TestAClientAndRealNodesUnderstandEachOther(t *testing.T) {
	w := newNetwork(t)
	w.start(1, 2, 3, 4)
	w.ready(1, 2, 3, 4)
	c, err := client.New(client.Config{Genesis: w.genesis, Scheme: crypto.Ed25519()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()

	put := w.request(kv.Put([]byte("greeting"), []byte("hello")))
	first, err := c.Submit(t.Context(), put)
	if err != nil {
		t.Fatal(err)
	}
	if first.Status != client.Applied || first.Receipt == nil {
		t.Errorf("put: %+v", first)
	}
	got, err := c.Submit(t.Context(), w.request(kv.Get([]byte("greeting"))))
	if err != nil {
		t.Fatal(err)
	}
	if value, held, _ := kv.DecodeContent(got.Result); !held || string(value) != "hello" {
		t.Errorf("get: %q", got.Result)
	}

	w.stop(4)
	again, err := c.Submit(t.Context(), put)
	if err != nil {
		t.Fatal(err)
	}
	if again.Seq != first.Seq || again.Index != first.Index || again.Status != first.Status {
		t.Errorf("the same bytes again: %+v, at first %+v", again, first)
	}
	shown, err := c.Transaction(t.Context(), put.ID())
	if err != nil || shown.Seq != first.Seq || shown.Status != client.Applied {
		t.Errorf("shown: %+v, %v", shown, err)
	}
	b, err := c.Block(t.Context(), first.Seq)
	if err != nil || b.Batch.Requests[first.Index].ID() != put.ID() {
		t.Errorf("block: %+v, %v", b, err)
	}
	local, err := c.Read(t.Context(), kv.GetQuery([]byte("greeting")), nil)
	if err != nil || local.Seq < first.Seq {
		t.Errorf("local read: %+v, %v", local, err)
	}
	if _, err := c.Transaction(t.Context(), crypto.Digest{1}); !errors.Is(err, client.ErrNotFound) {
		t.Errorf("of no transaction: %v", err)
	}

	other := message.NewRequest(crypto.Ed25519(), seedKey('c', 1), crypto.Digest{9}, 77, 1000, kv.Get([]byte("k")))
	used := message.NewRequest(crypto.Ed25519(), seedKey('c', 1), w.genesis.Digest(), put.Nonce, 1000, kv.Get([]byte("k")))
	forged := append([]byte{}, w.request(kv.Get([]byte("k"))).Bytes()...)
	forged[len(forged)-1] ^= 1
	unsigned, err := message.DecodeRequest(forged)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []struct {
		request *message.Request
		want    reason.Reason
	}{
		{other, reason.ForeignChain},
		{used, reason.NonceUsed},
		{unsigned, reason.BadSignature},
		{message.NewRequest(crypto.Ed25519(), seedKey('c', 1), w.genesis.Digest(), 99_999, 1000, kv.Get([]byte("k"))), reason.NonceTooDistant},
		{message.NewRequest(crypto.Ed25519(), seedKey('c', 1), w.genesis.Digest(), 50, 1<<40, kv.Get([]byte("k"))), reason.LastTooDistant},
		{message.NewRequest(crypto.Ed25519(), seedKey('c', 1), w.genesis.Digest(), 51, 1, kv.Get([]byte("k"))), reason.Expired},
		{message.NewRequest(crypto.Ed25519(), seedKey('c', 1), w.genesis.Digest(), 52, 1000, nil), reason.InvalidOperation},
		{message.NewRequest(crypto.Ed25519(), seedKey('c', 1), w.genesis.Digest(), 53, 1000, kv.Put([]byte("k"), make([]byte, 65<<10))), reason.InvalidOperation},
	} {
		_, err := c.Submit(t.Context(), s.request)
		var refused *client.Refused
		if !errors.As(err, &refused) || refused.Reason != s.want {
			t.Errorf("got %v, want %s", err, s.want)
		}
	}
}
