package host

import (
	"errors"
	"testing"

	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
)

// What a member has signed is its word whoever brings it, and nobody speaks for another by bringing things over its own stream. What
// tells of a moment counts from its author's own stream alone.
//
// case D8; believing the stream instead of the signature turns it red, and so does taking another's Status from whoever brings it.
func TestWhoSpeaksIsWhoHasSigned(t *testing.T) {
	scheme := crypto.Modelled([32]byte{1})
	e := &epoch.Epoch{Chain: crypto.Digest{1}, ID: crypto.Digest{2}, Configuration: epoch.Configuration{Mode: epoch.Byzantine, Parameters: epoch.DefaultParameters()}}
	var keys []crypto.PrivateKey
	for i := range byte(4) {
		keys = append(keys, crypto.NewPrivateKey([32]byte{i + 1}))
		e.Members = append(e.Members, epoch.Member{Key: keys[i].Public()})
	}
	say := func(author epoch.ReplicaID, b message.Body) *message.Signed {
		return message.Sign(scheme, keys[author-1], e, author, b)
	}
	vote := message.Vote{View: 1, Seq: 2, Digest: crypto.Digest{3}}
	evidence, err := message.NewEvidence(say(2, &message.Prepare{Vote: vote}), say(2, &message.Prepare{Vote: message.Vote{View: 1, Seq: 2}}))
	if err != nil {
		t.Fatal(err)
	}
	c := &Checker{self: 1, epochs: []*epoch.Epoch{e}, scheme: scheme}
	for _, b := range []struct {
		body            message.Body
		relayed, gossip error // what becomes of it when another member brings it, or the gossip
	}{
		{&message.PrePrepare{Vote: vote}, nil, errNotGossip},
		{&message.Prepare{Vote: vote}, nil, errNotGossip},
		{&message.Commit{Vote: vote}, nil, errNotGossip},
		{&message.ViewChange{View: 3}, nil, errNotGossip},
		{&message.NewView{View: 3, ViewChanges: []message.Named{{Author: 1}, {Author: 2}, {Author: 3}}}, nil, errNotGossip},
		{&message.Attestation{Seq: 2}, nil, errNotGossip},
		{evidence, nil, nil},
		{&message.Bundle{Head: 1}, errRelayed, nil},
		{&message.Suspect{View: 1}, errRelayed, errRelayed},
		{&message.Status{}, errRelayed, errRelayed},
		{&message.Want{From: 1, To: 1}, errRelayed, errRelayed},
		{&message.Have{}, errRelayed, errRelayed},
		{&message.Fetch{Seq: 2}, errRelayed, errRelayed},
		{&message.Bodies{Seq: 2}, errRelayed, errRelayed},
	} {
		const author = 2
		var frame, forged message.Writer
		say(author, b.body).Encode(&frame)
		in := message.Sign(scheme, keys[2], e, author, b.body) // 3 in the name of 2
		in.Encode(&forged)
		for from, want := range map[epoch.ReplicaID]error{author: nil, 3: b.relayed, Gossiped: b.gossip} {
			m, err := c.Message(frame.Bytes(), from)
			if !errors.Is(err, want) {
				t.Errorf("%s of 2, brought by %d: %v, want %v", b.body.Kind(), from, err, want)
			}
			if err == nil && m.Author != author {
				t.Errorf("%s of 2, brought by %d, counts as the word of %d", b.body.Kind(), from, m.Author)
			}
			if _, err := c.Message(forged.Bytes(), from); want == nil && !errors.Is(err, bft.ErrSignature) {
				t.Errorf("%s of 3 in the name of 2, brought by %d: %v", b.body.Kind(), from, err)
			}
		}
	}
}
