package client

import (
	"context"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/api"
	quoratev1 "github.com/quorate/quorate/api/quorate/v1"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// follow is the chain in the epoch that ends its own at a slot, and what a node tells of that epoch.
func (c *chain) follow(at epoch.Seq, edit func(*epoch.Configuration)) (*chain, *api.Epoch) {
	h := &proof.HandOver{Next: c.epoch.Configuration}
	h.Next.Members = slices.Clone(c.epoch.Members)
	edit(&h.Next)
	h.Header = proof.Header{Epoch: c.epoch.ID, Seq: at, NextEpoch: message.ConfigurationDigest(&h.Next)}
	next := &chain{genesis: c.genesis, epoch: proof.Announced(c.epoch, &h.Header, &h.Next), scheme: c.scheme}
	for id := epoch.ReplicaID(1); id <= 3; id++ {
		said := &message.Attestation{Seq: at, Header: h.Header.Digest()}
		h.Outgoing, h.Incoming = append(h.Outgoing, c.signed(id, said)), append(h.Incoming, next.signed(id, said))
	}
	return next, plainEpoch(next.epoch, h)
}

// plainEpoch is what a node answers to GET /epoch/N.
func plainEpoch(e *epoch.Epoch, h *proof.HandOver) *api.Epoch {
	out := &api.Epoch{Number: e.Number, Identity: e.ID.String(), Mode: e.Mode.String(), Parameters: make(map[string]uint32), Threshold: e.Threshold}
	for _, m := range e.Members {
		out.Members = append(out.Members, api.EpochMember{
			Name: m.Name, Key: m.Key.String(), PeerID: m.PeerID, Address: m.Address, API: m.API, Incarnation: m.Incarnation.String(),
		})
	}
	p := e.Parameters
	for _, f := range p.Fields() {
		out.Parameters[f.Name] = *f.Value
	}
	x := &h.Header
	out.Header = &api.Header{Epoch: x.Epoch.String(), Seq: uint64(x.Seq), Parent: x.Parent.String(), Batch: x.Batch.String(),
		Results: x.Results.String(), State: x.State.String(), NextEpoch: x.NextEpoch.String()}
	for _, v := range append(slices.Clone(h.Outgoing), h.Incoming...) {
		out.HandOver = append(out.HandOver, api.Signed{Member: uint32(v.Author), Signed: hex.EncodeToString(v.Bytes), Signature: v.Signature.String()})
	}
	return out
}

func toMode(m epoch.Mode) func(*epoch.Configuration) {
	return func(next *epoch.Configuration) { next.Mode = m }
}

// tells answers for these epochs, from the second one on.
func tells(all ...*api.Epoch) func(uint64) *api.Epoch {
	return func(number uint64) *api.Epoch {
		if number < 1 || number > uint64(len(all)) {
			return nil
		}
		return all[number-1]
	}
}

// A client that knows the genesis learns of each epoch once, from whoever shows it something of that epoch.
//
// A client that asks each time, or judges by the first epoch, turns it red.
func TestALaterEpochIsLearntOnceAndBelieved(t *testing.T) {
	first := newChain()
	crash, one := first.follow(5, toMode(epoch.Crash))
	last, two := crash.follow(6, toMode(epoch.Byzantine))
	client, nodes := network(t, first)
	asked := 0
	nodes[0].epochs = func(number uint64) *api.Epoch { asked++; return tells(one, two)(number) }
	for nonce := range uint64(3) {
		q := last.request(nonce + 1)
		nodes[0].submit = proves(last.receipt(Applied, q))
		o, err := client.Submit(t.Context(), q)
		wantApplied(t, o, err, q)
		if o.Receipt == nil {
			t.Fatal("without a receipt")
		}
		if _, err := o.Receipt.VerifyFrom(first.genesis.Epoch(), first.scheme); err != nil || len(o.Receipt.HandOvers) != 2 {
			t.Errorf("the receipt does not lead from the genesis to its epoch: %d hand-overs, %v", len(o.Receipt.HandOvers), err)
		}
	}
	if asked != 2 {
		t.Errorf("asked for epochs %d times, want 2", asked)
	}
	q := last.request(9)
	nodes[0].block = func(*quoratev1.GetBlockRequest) (*quoratev1.GetBlockResponse, error) {
		return last.block(Applied, q), nil
	}
	if b, err := client.Block(t.Context(), 7); err != nil || b.Epoch.ID != last.epoch.ID || !b.Attested {
		t.Errorf("block: %+v, %v", b, err)
	}
}

// A node that cannot show how its epoch follows is not believed, and others are asked.
//
// case L2; a client that takes an epoch by a node's word turns it red.
func TestAnEpochThatDoesNotFollowIsNotBelieved(t *testing.T) {
	first := newChain()
	next, honest := first.follow(5, toMode(epoch.Crash))
	_, foreign := next.follow(6, toMode(epoch.Byzantine))
	q := first.request(1)
	for name, lie := range map[string]func() *api.Epoch{
		"nothing":                       func() *api.Epoch { return nil },
		"an epoch that follows another": func() *api.Epoch { return foreign },
		"without a header":              func() *api.Epoch { e := *honest; e.Header = nil; return &e },
		"another mode":                  func() *api.Epoch { e := *honest; e.Mode = "byzantine"; return &e },
		"another number of votes":       func() *api.Epoch { e := *honest; e.HandOver = e.HandOver[:5]; return &e },
		"none of the old epoch":         func() *api.Epoch { e := *honest; e.HandOver = e.HandOver[3:]; return &e },
		"a signature of another": func() *api.Epoch {
			e := *honest
			e.HandOver = slices.Clone(e.HandOver)
			e.HandOver[0].Signature = e.HandOver[1].Signature
			return &e
		},
		"no parameters": func() *api.Epoch { e := *honest; e.Parameters = nil; return &e },
		"a key that is none": func() *api.Epoch {
			e := *honest
			e.Members = slices.Clone(e.Members)
			e.Members[0].Key = "key"
			return &e
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, nodes := network(t, first)
			nodes[0].epochs = func(uint64) *api.Epoch { return lie() }
			nodes[0].submit = proves(next.receipt(Failed, q))
			for _, n := range nodes[1:] {
				n.submit = proves(first.receipt(Applied, q))
			}
			o, err := client.Submit(t.Context(), q)
			wantApplied(t, o, err, q)
			if nodes[0].asked.Load() == 0 {
				t.Error("the liar was not asked")
			}
		})
	}
}

// What lies behind the end of an epoch, or before its beginning, is not for its members to vouch for, once that end is known.
//
// case N19; a client that does not compare a block's place with its epoch's turns it red.
func TestABlockOutsideOfItsEpochIsNotBelieved(t *testing.T) {
	first := newChain()
	crash, one := first.follow(5, toMode(epoch.Crash))
	_, two := crash.follow(6, toMode(epoch.Byzantine)) // block 7 is no longer of the crash epoch,
	late, far := first.follow(8, toMode(epoch.Crash))  // and not yet of this one
	for name, c := range map[string]struct {
		liar *chain
		told []*api.Epoch
	}{"behind the end": {crash, []*api.Epoch{one, two}}, "before the beginning": {late, []*api.Epoch{far}}} {
		client, nodes := network(t, first)
		for i, e := range c.told {
			h, err := ReadHandOver(e)
			if err == nil {
				err = client.epochs.follow(client.epochs.known[i], h, client.scheme)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		q := first.request(1)
		for _, n := range nodes {
			n.get = missing
			n.block = func(*quoratev1.GetBlockRequest) (*quoratev1.GetBlockResponse, error) { return nil, errors.New("none") }
		}
		receipt := c.liar.receipt(Applied, q)
		receipt.Attestations = receipt.Attestations[:1]
		nodes[0].get = func(*quoratev1.GetTransactionRequest) (*quoratev1.GetTransactionResponse, error) {
			return &quoratev1.GetTransactionResponse{Receipt: receipt}, nil
		}
		if o, err := client.Transaction(t.Context(), q.ID()); !errors.Is(err, ErrNotFound) {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
		nodes[0].block = func(*quoratev1.GetBlockRequest) (*quoratev1.GetBlockResponse, error) {
			return c.liar.block(Applied, q), nil
		}
		if _, err := client.Block(t.Context(), 7); err == nil || !strings.Contains(err.Error(), errForeignSlot.Error()) {
			t.Errorf("%s: block: %v", name, err)
		}
	}
}

// One word is enough in crash mode, if it is a receipt; what comes without is believed of as many as in Byzantine mode, for the
// network may be in that.
//
// case N19; believing one node's word by the mode of the genesis turns it red.
func TestTheModeOfTheGenesisMakesNoBareWordTrue(t *testing.T) {
	c := newChain()
	c.genesis.Mode = epoch.Crash
	c.epoch = c.genesis.Epoch()
	q := c.request(1)
	client, nodes := network(t, c)
	id := q.ID()
	word := func(*quoratev1.GetTransactionRequest) (*quoratev1.GetTransactionResponse, error) {
		return &quoratev1.GetTransactionResponse{Id: id[:], Seq: 7, Status: quoratev1.Status_STATUS_APPLIED}, nil
	}
	for _, n := range nodes {
		n.get = down
	}
	nodes[0].get = word
	if o, err := client.Transaction(t.Context(), id); !errors.Is(err, ErrUnavailable) {
		t.Errorf("one word: %+v, %v", o, err)
	}
	nodes[1].get = word
	if o, err := client.Transaction(t.Context(), id); err != nil || o.Status != Applied {
		t.Errorf("two words: %+v, %v", o, err)
	}
	receipt := c.receipt(Applied, q)
	receipt.Attestations = receipt.Attestations[:1]
	nodes[0].submit = func(context.Context, *quoratev1.SubmitRequest) (*quoratev1.SubmitResponse, error) {
		return &quoratev1.SubmitResponse{Receipt: receipt}, nil
	}
	o, err := client.Submit(t.Context(), q)
	wantApplied(t, o, err, q)
}

// A block with a change is proven as it is, and a change beside transactions is no block.
//
// A block whose change is not read turns it red.
func TestABlockWithAChangeIsProven(t *testing.T) {
	c := newChain()
	next := c.epoch.Configuration
	next.Mode = epoch.Crash
	change := &message.Change{Chain: c.epoch.Chain, Of: c.epoch.ID, Next: next, Last: 99}
	answer := func() *quoratev1.GetBlockResponse {
		batch := message.NewChangeBatch(5000, change)
		h := proof.Header{Epoch: c.epoch.ID, Seq: 7, Batch: batch.Digest(), Results: crypto.MerkleRoot(nil), NextEpoch: message.ConfigurationDigest(&next)}
		var w message.Writer
		h.Encode(&w)
		out := &quoratev1.GetBlockResponse{Header: w.Bytes(), BatchTime: 5000, Change: message.EncodeChange(change)}
		for id := epoch.ReplicaID(1); id <= 3; id++ {
			out.Certificate = append(out.Certificate, wireVote(c.signed(id, &message.Commit{Vote: message.Vote{Seq: 7, Digest: h.Batch}})))
		}
		return out
	}
	for name, s := range map[string]struct {
		edit  func(*quoratev1.GetBlockResponse)
		holds bool
	}{
		"as it is":          {func(*quoratev1.GetBlockResponse) {}, true},
		"left out":          {func(b *quoratev1.GetBlockResponse) { b.Change = nil }, false},
		"cut short":         {func(b *quoratev1.GetBlockResponse) { b.Change = b.Change[1:] }, false},
		"with another last": {func(b *quoratev1.GetBlockResponse) { b.Change[len(b.Change)-9] ^= 1 }, false},
		"beside transactions, with their results root": {func(b *quoratev1.GetBlockResponse) {
			const results = 32 + 8 + 32 + 32 // where a header has its results root
			with := c.block(Applied, c.request(1))
			b.Transactions = with.Transactions
			copy(b.Header[results:results+32], with.Header[results:])
		}, false},
	} {
		client, nodes := network(t, c)
		for _, n := range nodes {
			n.block = func(*quoratev1.GetBlockRequest) (*quoratev1.GetBlockResponse, error) {
				b := answer()
				s.edit(b)
				return b, nil
			}
		}
		b, err := client.Block(t.Context(), 7)
		if (err == nil) != s.holds || err == nil && b.Batch.Change.Next.Mode != epoch.Crash {
			t.Errorf("%s: %+v, %v", name, b, err)
		}
	}
}
