package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"connectrpc.com/connect"

	"github.com/quorate/quorate/api"
	quoratev1 "github.com/quorate/quorate/api/quorate/v1"
	"github.com/quorate/quorate/api/quorate/v1/quoratev1connect"
	"github.com/quorate/quorate/api/reason"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// chain is a network of four whose blocks a test makes as it likes: it has the keys of all members.
type chain struct {
	genesis *proof.Genesis
	epoch   *epoch.Epoch
	scheme  crypto.Scheme
}

func seeded(b byte) crypto.PrivateKey { return crypto.NewPrivateKey([crypto.SeedSize]byte{b}) }

func newChain() *chain {
	g := &proof.Genesis{Chain: "test", Configuration: epoch.Configuration{Mode: epoch.Byzantine, Parameters: epoch.DefaultParameters()}}
	for i := range 4 {
		g.Members = append(g.Members, epoch.Member{
			Name: fmt.Sprintf("node%d", i+1), Key: seeded(byte(i + 1)).Public(), PeerID: fmt.Sprintf("peer%d", i+1),
			Address: fmt.Sprintf("127.0.0.1:%d", 27001+i), API: fmt.Sprintf("127.0.0.1:%d", 28001+i),
			Incarnation: epoch.Incarnation{byte(i + 1)},
		})
	}
	return &chain{genesis: g, epoch: g.Epoch(), scheme: crypto.Modelled([32]byte{1})}
}

func (c *chain) request(nonce uint64) *message.Request {
	return message.NewRequest(c.scheme, seeded(100), c.epoch.Chain, nonce, 1000, []byte("operation"))
}

func (c *chain) signed(member epoch.ReplicaID, b message.Body) *message.Signed {
	return message.Sign(c.scheme, seeded(byte(member)), c.epoch, member, b)
}

// block is block 7, of these transactions, of which each has the status; all four members vouch for it.
func (c *chain) block(status Status, requests ...*message.Request) *quoratev1.GetBlockResponse {
	batch := message.NewBatch(5000, requests)
	h := proof.Header{Epoch: c.epoch.ID, Seq: 7, Batch: batch.Digest(), Time: 5000}
	out := &quoratev1.GetBlockResponse{BatchTime: 5000}
	var leaves [][]byte
	for _, q := range requests {
		r := proof.Result{ID: q.ID(), Status: uint8(status), Seq: 7, Value: []byte("result")}
		leaves = append(leaves, r.Leaf())
		out.Transactions = append(out.Transactions, &quoratev1.BlockTransaction{Transaction: q.Bytes(), Result: wire(&r)})
	}
	h.Results = crypto.MerkleRoot(leaves)
	var w message.Writer
	h.Encode(&w)
	out.Header = w.Bytes()
	for id := epoch.ReplicaID(1); id <= 3; id++ {
		out.Certificate = append(out.Certificate, wireVote(c.signed(id, &message.Commit{Vote: message.Vote{Seq: 7, Digest: h.Batch}})))
		out.Attestations = append(out.Attestations, wireVote(c.signed(id, &message.Attestation{Seq: 7, Header: h.Digest()})))
	}
	return out
}

// receipt proves what the block says of a transaction, which is its second of three.
func (c *chain) receipt(status Status, q *message.Request) *quoratev1.Receipt {
	b := c.block(status, c.request(1000), q, c.request(1001))
	var leaves [][]byte
	for _, t := range b.Transactions {
		r, err := readResult(t.Result)
		if err != nil {
			panic(err)
		}
		leaves = append(leaves, r.Leaf())
	}
	r := &quoratev1.Receipt{
		Result: b.Transactions[1].Result, Index: 1, Count: 3, Headers: [][]byte{b.Header}, Attestations: b.Attestations,
	}
	for _, d := range crypto.MerklePath(leaves, 1) {
		r.Path = append(r.Path, d[:])
	}
	return r
}

func wire(r *proof.Result) *quoratev1.Result {
	return &quoratev1.Result{Id: r.ID[:], Status: quoratev1.Status(r.Status), Code: uint32(r.Code), Seq: uint64(r.Seq), Value: r.Value}
}

func wireVote(m *message.Signed) *quoratev1.Signed {
	return &quoratev1.Signed{Member: uint32(m.Author), Signed: m.Bytes, Signature: m.Signature[:]}
}

// fake is a node that answers as the test says.
type fake struct {
	quoratev1connect.UnimplementedNodeServiceHandler
	mu     sync.Mutex
	submit func(context.Context, *quoratev1.SubmitRequest) (*quoratev1.SubmitResponse, error)
	get    func(*quoratev1.GetTransactionRequest) (*quoratev1.GetTransactionResponse, error)
	block  func(*quoratev1.GetBlockRequest) (*quoratev1.GetBlockResponse, error)
	read   func(*quoratev1.ReadRequest) (*quoratev1.ReadResponse, error)
	epochs func(number uint64) *api.Epoch // nil: there is none
	asked  atomic.Int32                   // how often Submit was called
	url    string
	server *httptest.Server
}

func reply1[Q, A any](f func(*Q) (*A, error), q *connect.Request[Q]) (*connect.Response[A], error) {
	if f == nil {
		return nil, connect.NewError(connect.CodeUnimplemented, errors.New("not asked in this test"))
	}
	a, err := f(q.Msg)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(a), nil
}

func (f *fake) Submit(ctx context.Context, q *connect.Request[quoratev1.SubmitRequest]) (*connect.Response[quoratev1.SubmitResponse], error) {
	f.asked.Add(1)
	f.mu.Lock()
	submit := f.submit
	f.mu.Unlock()
	return reply1(func(m *quoratev1.SubmitRequest) (*quoratev1.SubmitResponse, error) { return submit(ctx, m) }, q)
}

func (f *fake) GetTransaction(_ context.Context, q *connect.Request[quoratev1.GetTransactionRequest]) (*connect.Response[quoratev1.GetTransactionResponse], error) {
	return reply1(f.get, q)
}

func (f *fake) GetBlock(_ context.Context, q *connect.Request[quoratev1.GetBlockRequest]) (*connect.Response[quoratev1.GetBlockResponse], error) {
	return reply1(f.block, q)
}

func (f *fake) Read(_ context.Context, q *connect.Request[quoratev1.ReadRequest]) (*connect.Response[quoratev1.ReadResponse], error) {
	return reply1(f.read, q)
}

// serve starts a fake over HTTP/2 in clear text on loopback.
func serve(t *testing.T, f *fake) *fake {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(quoratev1connect.NewNodeServiceHandler(f))
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"chain":"ab","node":3,"epoch":"0","seq":"18446744073709551615","ready":true}`)
	})
	mux.HandleFunc("GET /epoch/{number}", func(w http.ResponseWriter, r *http.Request) {
		number, err := strconv.ParseUint(r.PathValue("number"), 10, 64)
		var e *api.Epoch
		if err == nil && f.epochs != nil {
			e = f.epochs(number)
		}
		if e == nil {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if err := json.NewEncoder(w).Encode(e); err != nil {
			t.Error(err)
		}
	})
	f.server = httptest.NewUnstartedServer(mux)
	f.server.Config.Protocols = new(http.Protocols)
	f.server.Config.Protocols.SetUnencryptedHTTP2(true)
	f.server.Start()
	f.url = f.server.URL
	t.Cleanup(f.server.CloseClientConnections)
	t.Cleanup(f.server.Close)
	return f
}

// network is four fakes, and a client of them that asks the first one first.
func network(t *testing.T, c *chain) (*Client, []*fake) {
	t.Helper()
	var fakes []*fake
	var urls []string
	for range 4 {
		f := serve(t, &fake{})
		fakes, urls = append(fakes, f), append(urls, f.url)
	}
	return newClient(t, c, urls...), fakes
}

func newClient(t *testing.T, c *chain, urls ...string) *Client {
	t.Helper()
	client, err := New(Config{Genesis: c.genesis, Endpoints: urls, Scheme: c.scheme})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// gone is where nobody listens.
func gone(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}

type submitFunc = func(context.Context, *quoratev1.SubmitRequest) (*quoratev1.SubmitResponse, error)

// proves answers with a receipt.
func proves(r *quoratev1.Receipt) submitFunc {
	return func(context.Context, *quoratev1.SubmitRequest) (*quoratev1.SubmitResponse, error) {
		return &quoratev1.SubmitResponse{Receipt: r}, nil
	}
}

// says answers without a proof.
func says(id crypto.Digest, seq uint64, status Status, result string) submitFunc {
	return func(context.Context, *quoratev1.SubmitRequest) (*quoratev1.SubmitResponse, error) {
		return &quoratev1.SubmitResponse{Id: id[:], Seq: seq, Status: quoratev1.Status(status), Result: []byte(result)}, nil
	}
}

func refuses(r reason.Reason) submitFunc {
	return func(context.Context, *quoratev1.SubmitRequest) (*quoratev1.SubmitResponse, error) {
		return nil, refusal(r)
	}
}

func refusal(r reason.Reason) error {
	return (&reason.Error{Reason: r, Err: errors.New("because")}).Connect()
}

// hangs answers when nobody is waiting any more.
func hangs(ctx context.Context, _ *quoratev1.SubmitRequest) (*quoratev1.SubmitResponse, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}
