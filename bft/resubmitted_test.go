package bft_test

import (
	"fmt"
	"testing"

	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// A request that is known through a member which crashed before the leader heard of it must get to the leader through
// the next one that the client hands it to. Found by the simulator (convergence).
//
// case L1. Breaks when: onSubmitted passes over requests that are in the pool already.
func TestARequestKnownThroughAnotherMemberIsStillTakenToTheLeader(t *testing.T) {
	// Given a backup that has heard of a request through the gossip.
	scheme := crypto.Modelled([32]byte{1})
	genesis := &proof.Genesis{Chain: "test", Configuration: epoch.Configuration{Mode: epoch.Byzantine, Parameters: epoch.DefaultParameters()}}
	var keys []crypto.PrivateKey
	for i := range 4 {
		keys = append(keys, crypto.NewPrivateKey([32]byte{byte(i + 1)}))
		genesis.Members = append(genesis.Members, epoch.Member{
			Name: fmt.Sprint("m", i), Key: keys[i].Public(), PeerID: fmt.Sprint("p", i), Address: fmt.Sprint("a", i), API: "b",
			Incarnation: epoch.Incarnation{byte(i + 1)},
		})
	}
	e := genesis.Epoch()
	r, _, err := bft.New(bft.Config{Self: 2, Genesis: genesis}, []ordering.Record{&ordering.Birth{Key: keys[1].Public(), Incarnation: epoch.Incarnation{2}}})
	if err != nil {
		t.Fatal(err)
	}
	q := message.NewRequest(scheme, keys[0], e.Chain, 1, 100, []byte("operation"))
	r.Step(bft.Received{Signed: message.Sign(scheme, keys[2], e, 3, &message.Bundle{Requests: []*message.Request{q}})})

	// When its client hands it to this member too.
	out := r.Step(bft.Submitted{Requests: []*message.Request{q}})

	// Then the leader is told of it.
	for _, s := range out.Send {
		if b, ok := s.Body.(*message.Bundle); ok && s.Way == message.Direct && len(s.To) == 1 && s.To[0] == r.Leader() && b.Requests[0] == q {
			return
		}
	}
	t.Fatalf("nobody tells the leader: %+v", out.Send)
}
