package client

import (
	"errors"
	"math"
	"testing"

	quoratev1 "github.com/quorate/quorate/api/quorate/v1"
	"github.com/quorate/quorate/api/reason"
	"github.com/quorate/quorate/crypto"
)

type getFunc = func(*quoratev1.GetTransactionRequest) (*quoratev1.GetTransactionResponse, error)

func missing(*quoratev1.GetTransactionRequest) (*quoratev1.GetTransactionResponse, error) {
	return nil, refusal(reason.NotFound)
}

func pruned(*quoratev1.GetTransactionRequest) (*quoratev1.GetTransactionResponse, error) {
	return nil, refusal(reason.Pruned)
}

func down(*quoratev1.GetTransactionRequest) (*quoratev1.GetTransactionResponse, error) {
	return nil, refusal(reason.Internal)
}

// case L2: To see it fail, believe the first answer.
func TestATransactionIsWhatIsProvenOrWhatEnoughNodesSay(t *testing.T) {
	c := newChain()
	q := c.request(1)
	id := q.ID()
	word := func(status Status, result string) getFunc {
		return func(*quoratev1.GetTransactionRequest) (*quoratev1.GetTransactionResponse, error) {
			return &quoratev1.GetTransactionResponse{Id: id[:], Seq: 7, Status: quoratev1.Status(status), Result: []byte(result)}, nil
		}
	}
	proof := func(r *quoratev1.Receipt) getFunc {
		return func(*quoratev1.GetTransactionRequest) (*quoratev1.GetTransactionResponse, error) {
			return &quoratev1.GetTransactionResponse{Receipt: r}, nil
		}
	}
	forged := c.receipt(Applied, q)
	forged.Result.Status = quoratev1.Status_STATUS_FAILED
	for _, s := range []struct {
		name  string
		nodes [4]getFunc
		want  Status
		err   error
	}{
		{"one proves it", [4]getFunc{missing, missing, missing, proof(c.receipt(Applied, q))}, Applied, nil},
		{"one proves that it expired", [4]getFunc{missing, missing, missing, proof(c.receipt(Expired, q))}, Expired, nil},
		{"two say the same", [4]getFunc{word(Applied, "r"), down, down, word(Applied, "r")}, Applied, nil},
		{"two say different things", [4]getFunc{word(Applied, "r"), down, down, word(Applied, "s")}, 0, ErrUnavailable},
		{"one says something, the others nothing", [4]getFunc{word(Applied, "r"), missing, missing, missing}, 0, ErrNotFound},
		{"one forges", [4]getFunc{proof(forged), down, down, down}, 0, ErrUnavailable},
		{"nobody knows it", [4]getFunc{missing, missing, missing, missing}, 0, ErrNotFound},
		{"one does not know it, the others are down", [4]getFunc{missing, down, down, down}, 0, ErrUnavailable},
		{"two have pruned it", [4]getFunc{pruned, missing, pruned, missing}, 0, ErrPruned},
	} {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			client, nodes := network(t, c)
			for i := range nodes {
				nodes[i].get = s.nodes[i]
			}
			o, err := client.Transaction(t.Context(), id)
			if !errors.Is(err, s.err) || o.Status != s.want {
				t.Errorf("got %+v, %v", o, err)
			}
		})
	}
}

// With one endpoint, whoever names it takes its word.
func TestTheOnlyNodeNamedIsBelieved(t *testing.T) {
	c := newChain()
	id := c.request(1).ID()
	f := serve(t, &fake{get: missing})
	if _, err := newClient(t, c, f.url).Transaction(t.Context(), id); !errors.Is(err, ErrNotFound) {
		t.Errorf("error is %v", err)
	}
}

type blockFunc = func(*quoratev1.GetBlockRequest) (*quoratev1.GetBlockResponse, error)

func TestABlockComesFromWhoeverCanProveIt(t *testing.T) {
	c := newChain()
	q := c.request(1)
	honest := func(*quoratev1.GetBlockRequest) (*quoratev1.GetBlockResponse, error) { return c.block(Applied, q), nil }
	for name, lie := range map[string]func(*quoratev1.GetBlockResponse){
		"a transaction left out": func(b *quoratev1.GetBlockResponse) { b.Transactions = nil },
		"another transaction":    func(b *quoratev1.GetBlockResponse) { b.Transactions[0].Transaction = c.request(2).Bytes() },
		"a result of another":    func(b *quoratev1.GetBlockResponse) { b.Transactions[0].Result.Id[0] ^= 1 },
		"a result of another, under another root": func(b *quoratev1.GetBlockResponse) {
			const results = 32 + 8 + 32 + 32 // where a header has its results root
			b.Transactions[0].Result.Id[0] ^= 1
			r, err := readResult(b.Transactions[0].Result)
			root := crypto.MerkleRoot([][]byte{r.Leaf()})
			if copy(b.Header[results:], root[:]); err != nil {
				t.Error(err)
			}
		},
		"another result":           func(b *quoratev1.GetBlockResponse) { b.Transactions[0].Result.Value = nil },
		"another time":             func(b *quoratev1.GetBlockResponse) { b.BatchTime++ },
		"another view":             func(b *quoratev1.GetBlockResponse) { b.View++ },
		"a certificate of two":     func(b *quoratev1.GetBlockResponse) { b.Certificate = b.Certificate[:2] },
		"a header that is shorter": func(b *quoratev1.GetBlockResponse) { b.Header = b.Header[1:] },
		"another block":            func(b *quoratev1.GetBlockResponse) { b.Header[39]++ },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, nodes := network(t, c)
			for _, n := range nodes {
				n.block = honest
			}
			forged := c.block(Applied, q)
			lie(forged)
			asked := false
			nodes[0].block = func(*quoratev1.GetBlockRequest) (*quoratev1.GetBlockResponse, error) {
				asked = true
				return forged, nil
			}
			b, err := client.Block(t.Context(), 7)
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Verify(c.epoch, c.scheme); err != nil {
				t.Errorf("the liar's block was taken: %v", err)
			}
			if !asked || b.Header.Seq != 7 || b.Results[0].ID != q.ID() || b.Batch.Requests[0].ID() != q.ID() || string(b.Results[0].Value) != "result" || !b.Attested {
				t.Errorf("asked %v, got %+v", asked, b)
			}
		})
	}
}

func TestABlockThatAQuorumHasNotAttestedSaysSo(t *testing.T) {
	c := newChain()
	client, nodes := network(t, c)
	b := c.block(Applied, c.request(1))
	b.Attestations = b.Attestations[:2]
	nodes[0].block = func(*quoratev1.GetBlockRequest) (*quoratev1.GetBlockResponse, error) { return b, nil }
	got, err := client.Block(t.Context(), 7)
	if err != nil || got.Attested {
		t.Errorf("got %+v, %v", got, err)
	}
	for _, n := range nodes {
		n.block = blockFunc(func(*quoratev1.GetBlockRequest) (*quoratev1.GetBlockResponse, error) {
			return nil, refusal(reason.NotFound)
		})
	}
	if _, err := client.Block(t.Context(), 8); !errors.Is(err, ErrNotFound) {
		t.Errorf("error is %v", err)
	}
}

func TestALocalReadSaysWhoseAndWhen(t *testing.T) {
	c := newChain()
	up := serve(t, &fake{read: func(q *quoratev1.ReadRequest) (*quoratev1.ReadResponse, error) {
		if string(q.Query) != "query" || q.GetAt() != 5 {
			t.Errorf("asked %v", q)
		}
		return &quoratev1.ReadResponse{Answer: []byte("answer"), Seq: 5}, nil
	}})
	client := newClient(t, c, gone(t), up.url)
	at := uint64(5)
	got, err := client.Read(t.Context(), []byte("query"), &at)
	if err != nil || string(got.Answer) != "answer" || got.Seq != 5 || got.Node != up.url {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestAReadThatNobodyCanAnswerSaysWhy(t *testing.T) {
	c := newChain()
	f := serve(t, &fake{read: func(*quoratev1.ReadRequest) (*quoratev1.ReadResponse, error) { return nil, refusal(reason.Unreadable) }})
	_, err := newClient(t, c, f.url).Read(t.Context(), nil, nil)
	if why, ok := reason.Of(err); !ok || why != reason.Unreadable || !errors.Is(err, ErrUnavailable) {
		t.Errorf("error is %v", err)
	}
}

func TestStatusIsTheNodesOwn(t *testing.T) {
	c := newChain()
	f := serve(t, &fake{})
	s, err := newClient(t, c, gone(t)).Status(t.Context(), f.url)
	if err != nil || s.Node != 3 || s.Seq != math.MaxUint64 || !s.Ready {
		t.Errorf("got %+v, %v", s, err)
	}
	if _, err := newClient(t, c, f.url).Status(t.Context(), gone(t)); !errors.Is(err, ErrUnavailable) {
		t.Errorf("error is %v", err)
	}
}

func TestEndpointsAreURLsOfDistinctNodes(t *testing.T) {
	c := newChain()
	for _, urls := range [][]string{
		{"http://a:1", "http://a:1"}, {"http://a:1", "a:1"}, {"http://a:1", "http://a:1/"}, {"ftp://a:1"}, {"http://"}, {"http://a:1/path"}, {"http://user@a:1"},
	} {
		if _, err := New(Config{Genesis: c.genesis, Endpoints: urls, Scheme: crypto.Ed25519()}); err == nil {
			t.Errorf("%q are taken", urls)
		}
	}
	client, err := New(Config{Genesis: c.genesis, Scheme: crypto.Ed25519()})
	if err != nil {
		t.Fatal(err)
	}
	if got := client.Endpoints(); len(got) != 4 || got[3] != "http://127.0.0.1:28004" {
		t.Errorf("the genesis' own: %q", got)
	}
}
