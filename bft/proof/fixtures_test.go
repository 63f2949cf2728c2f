package proof_test

import (
	"fmt"
	"slices"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

var (
	scheme = crypto.Modelled([32]byte{1})
	keys   = func() (keys [40]crypto.PrivateKey) {
		for i := range keys {
			keys[i] = crypto.NewPrivateKey([32]byte{byte(i)})
		}
		return keys
	}()
)

// genesis is that of n members; member i signs with keys[i], and clients with keys[0].
func genesis(n int) *proof.Genesis {
	g := &proof.Genesis{
		Chain: "vectors", Test: true, Time: 1_700_000_000_000,
		Configuration: epoch.Configuration{
			Mode: epoch.Byzantine, Parameters: epoch.DefaultParameters(),
			Operators: []crypto.PublicKey{keys[39].Public()}, Threshold: 1,
		},
	}
	for i := 1; i <= n; i++ {
		g.Members = append(g.Members, epoch.Member{
			Name: fmt.Sprintf("node%d", i), Key: keys[i].Public(), PeerID: fmt.Sprintf("peer%d", i),
			Address: fmt.Sprintf("127.0.0.1:%d", 27000+i), API: fmt.Sprintf("127.0.0.1:%d", 28000+i),
			Incarnation: epoch.Incarnation{byte(i)},
		})
	}
	return g
}

func say(e *epoch.Epoch, author epoch.ReplicaID, b message.Body) *message.Signed {
	return message.Sign(scheme, keys[author], e, author, b)
}

func all(e *epoch.Epoch, b message.Body, authors ...epoch.ReplicaID) []*message.Signed {
	votes := make([]*message.Signed, len(authors))
	for i, id := range authors {
		votes[i] = say(e, id, b)
	}
	return votes
}

func requests(e *epoch.Epoch, n int) []*message.Request {
	qs := make([]*message.Request, n)
	for i := range qs {
		qs[i] = message.NewRequest(scheme, keys[0], e.Chain, uint64(i+1), 1000, fmt.Appendf(nil, "operation %d", i))
	}
	return qs
}

// chain is headers 1 to n above the genesis.
func chain(g *proof.Genesis, n int) []proof.Header {
	headers := make([]proof.Header, n)
	parent := g.Header()
	for i := range headers {
		headers[i] = proof.Header{
			Epoch: g.Digest(), Seq: parent.Seq + 1, Parent: parent.Digest(), Batch: crypto.Hash("test/batch", []byte{byte(i)}),
			Results: crypto.Hash("test/results", []byte{byte(i)}), State: crypto.Hash("test/state", []byte{byte(i)}),
			Time: parent.Time + 10,
		}
		parent = headers[i]
	}
	return headers
}

func attestation(h proof.Header) *message.Attestation {
	return &message.Attestation{Seq: h.Seq, Header: h.Digest()}
}

// handOver ends the epoch current at a slot; a quorum of both has attested it.
func handOver(current *epoch.Epoch, at epoch.Seq, edit func(*epoch.Configuration)) (*proof.HandOver, *epoch.Epoch) {
	h := &proof.HandOver{Next: current.Configuration}
	h.Next.Members = slices.Clone(current.Members)
	edit(&h.Next)
	h.Header = proof.Header{Epoch: current.ID, Seq: at, Parent: crypto.Hash("test/parent", []byte{byte(at)}),
		NextEpoch: message.ConfigurationDigest(&h.Next)}
	next := proof.Announced(current, &h.Header, &h.Next)
	h.Outgoing = all(current, attestation(h.Header), everybody[:current.Quorum()]...)
	h.Incoming = all(next, attestation(h.Header), everybody[:next.Quorum()]...)
	return h, next
}

var everybody = []epoch.ReplicaID{1, 2, 3, 4, 5, 6, 7}

func toMode(m epoch.Mode) func(*epoch.Configuration) {
	return func(next *epoch.Configuration) { next.Mode = m }
}
