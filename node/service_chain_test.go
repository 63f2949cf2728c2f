package node

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"testing"

	"connectrpc.com/connect"

	"github.com/quorate/quorate/api"
	quoratev1 "github.com/quorate/quorate/api/quorate/v1"
	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
)

// All headers come in pages that join, each naming the one before it.
//
// case L6; a page that repeats or leaves out a header turns it red.
func TestHeadersComeInPagesThatJoin(t *testing.T) {
	n := &fakeNode{committee: newCommittee(t)}
	s := serve(t, n)
	const blocks = maxHeaders + 3
	for i := range blocks {
		n.put("k", fmt.Sprint(i))
	}
	var all []api.NumberedHeader
	for from := uint64(1); from != 0; {
		_, body := get(t, s, fmt.Sprintf("/headers?from=%d", from))
		var page api.Headers
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Headers...)
		from = page.Next
	}
	if len(all) != blocks {
		t.Fatalf("%d headers of %d blocks", len(all), blocks)
	}
	genesis := n.genesis.Header()
	parent := genesis.Digest().String()
	for i, h := range all {
		if h.Header.Seq != uint64(i+1) || h.Header.Parent != parent {
			t.Fatalf("header %d: seq %d, parent %s, want %s", i+1, h.Header.Seq, h.Header.Parent, parent)
		}
		parent = h.HeaderDigest
	}
	_, body := get(t, s, "/headers?from=3&to=4")
	var page api.Headers
	if err := json.Unmarshal([]byte(body), &page); err != nil || len(page.Headers) != 2 || page.Next != 0 {
		t.Errorf("two were asked for: %s, %v", body, err)
	}
}

// Whoever asks gets both messages of a broken promise as they were signed, from both services alike: their bytes and signatures are
// all that is needed to see it.
//
// case D14; leaving out either service, or naming the key of another member, turns it red.
func TestEvidenceIsServedAsItWasSigned(t *testing.T) {
	n := &fakeNode{committee: newCommittee(t)}
	s := serve(t, n)
	e := n.genesis.Epoch()
	var said []*message.Signed
	for d := range byte(2) {
		m := message.Sign(n.scheme, seeded(3), e, 3, &message.Commit{Vote: message.Vote{View: 0, Seq: 9, Digest: crypto.Digest{d}}})
		said = append(said, m)
		n.hosts[0].Step(bft.Received{Signed: m})
	}
	n.run()
	_, body := get(t, s, "/evidence")
	var list api.EvidenceList
	if err := json.Unmarshal([]byte(body), &list); err != nil || len(list.Evidence) != 1 {
		t.Fatalf("want one piece: %s, %v", body, err)
	}
	got := list.Evidence[0]
	words := func(m *message.Signed) api.Word {
		return api.Word{Signed: hex.EncodeToString(m.Bytes), Signature: m.Signature.String()}
	}
	want := api.Evidence{
		ID: n.Evidence()[0].ID().String(), Kind: "commit", Member: 3, Key: e.Member(3).Key.String(), Epoch: e.ID.String(),
		A: words(said[0]), B: words(said[1]),
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	answer, err := s.ListEvidence(context.Background(), connect.NewRequest(&quoratev1.ListEvidenceRequest{}))
	if err != nil || len(answer.Msg.Evidence) != 1 {
		t.Fatalf("want one piece: %v, %v", answer, err)
	}
	wire := answer.Msg.Evidence[0]
	if hex.EncodeToString(wire.Id) != want.ID || wire.Kind != want.Kind || wire.Member != 3 || hex.EncodeToString(wire.Key) != want.Key ||
		hex.EncodeToString(wire.Epoch) != want.Epoch || hex.EncodeToString(wire.A.Signed) != want.A.Signed ||
		hex.EncodeToString(wire.B.Signature) != want.B.Signature {
		t.Errorf("got %v, want %+v", wire, want)
	}
}
