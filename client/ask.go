package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"connectrpc.com/connect"

	"github.com/quorate/quorate/api"
	quoratev1 "github.com/quorate/quorate/api/quorate/v1"
	"github.com/quorate/quorate/api/reason"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// askTimeout ends a question that one node leaves hanging.
const askTimeout = 5 * time.Second

// said is one node's answer to a question.
type said[T any] struct {
	node   int
	answer T
	err    error
}

// askAll asks all nodes at once; the channel yields an answer of each.
func askAll[T any](ctx context.Context, c *Client, ask func(context.Context, node) (T, error)) <-chan said[T] {
	all := make(chan said[T], len(c.nodes))
	for i, n := range c.nodes {
		go func() {
			ctx, cancel := context.WithTimeout(ctx, askTimeout)
			defer cancel()
			answer, err := ask(ctx, n)
			all <- said[T]{i, answer, err}
		}()
	}
	return all
}

// askInTurn asks the preferred node, then the others, until one has an answer.
func askInTurn[T any](ctx context.Context, c *Client, ask func(context.Context, node) (T, error)) (T, error) {
	var none T
	var failures []error
	for _, i := range c.order() {
		attempt, cancel := context.WithTimeout(ctx, askTimeout)
		answer, err := ask(attempt, c.nodes[i])
		cancel()
		if err == nil {
			return answer, nil
		}
		failures = append(failures, fmt.Errorf("%s: %w", c.nodes[i].url, err))
		if ctx.Err() != nil {
			break
		}
	}
	return none, c.noneOf(failures)
}

// noneOf is what it means that no node had an answer. Enough nodes are believed that something is not there.
func (c *Client) noneOf(failures []error) error {
	var missing, pruned int
	for _, err := range failures {
		switch why, _ := reason.Of(err); why {
		case reason.NotFound:
			missing++
		case reason.Pruned:
			pruned++
		}
	}
	// What a node gives as its reason tells more than that another could not be reached.
	slices.SortStableFunc(failures, func(a, b error) int { return silent(a) - silent(b) })
	switch {
	case pruned >= c.witnesses():
		return fmt.Errorf("%w: %w", ErrPruned, errors.Join(failures...))
	case missing >= c.witnesses():
		return fmt.Errorf("%w: %w", ErrNotFound, errors.Join(failures...))
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, errors.Join(failures...))
}

// silent is 0 for a failure that a node gives a reason for, 1 for any other.
func silent(failure error) int {
	if _, ok := reason.Of(failure); ok {
		return 0
	}
	return 1
}

// Transaction says what became of a transaction: as one node proves, or as enough say that one of them is correct. The
// error is an ErrNotFound, an ErrPruned or an ErrUnavailable.
func (c *Client) Transaction(ctx context.Context, id crypto.Digest) (Outcome, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	all := askAll(ctx, c, func(ctx context.Context, n node) (*quoratev1.GetTransactionResponse, error) {
		got, err := n.rpc.GetTransaction(ctx, connect.NewRequest(&quoratev1.GetTransactionRequest{Id: id[:]}))
		if err != nil {
			return nil, err
		}
		return got.Msg, c.learnOf(ctx, n, got.Msg.GetReceipt())
	})
	var failures []error
	var words []Outcome
	for range c.nodes {
		a := <-all
		o, proven, err := Outcome{}, false, a.err
		if err == nil {
			o, proven, err = c.judge(id, a.answer)
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", c.nodes[a.node].url, err))
			continue
		}
		if proven && (o.Status.Executed() || o.Status == Expired) {
			return o, nil
		}
		words = append(words, o)
		n := 0
		for i := range words {
			if words[i].equal(&o) {
				n++
			}
		}
		if n >= c.witnesses() {
			return o, nil
		}
		failures = append(failures, fmt.Errorf("%s: %s, in the words of %d of %d that it takes", c.nodes[a.node].url, o.Status, n, c.witnesses()))
	}
	return Outcome{}, c.noneOf(failures)
}

// Receipt is one that shows what became of a transaction, of whichever node can show it; it is verified. The error is an
// ErrNotFound, an ErrPruned or an ErrUnavailable.
func (c *Client) Receipt(ctx context.Context, id crypto.Digest) (*proof.Receipt, error) {
	return askInTurn(ctx, c, func(ctx context.Context, n node) (*proof.Receipt, error) {
		got, err := n.rpc.GetReceipt(ctx, connect.NewRequest(&quoratev1.GetReceiptRequest{Id: id[:]}))
		if err != nil {
			return nil, err
		}
		if err := c.learnOf(ctx, n, got.Msg.GetReceipt()); err != nil {
			return nil, err
		}
		return c.verifiedReceipt(id, got.Msg.GetReceipt())
	})
}

// Block is a decided block, with what came of its transactions.
type Block struct {
	proof.Block
	Epoch        *epoch.Epoch
	Results      []proof.Result
	Attestations []*message.Signed // that its node has for it, to its header or a later one; not verified
	// Attested says that a quorum has attested exactly this header. Otherwise results and state are its node's word,
	// and only batch and order are proven.
	Attested bool
}

// Block reads a block of whichever node can show it with its certificate, which is verified. The error is an
// ErrNotFound, an ErrPruned or an ErrUnavailable.
func (c *Client) Block(ctx context.Context, seq epoch.Seq) (*Block, error) {
	return askInTurn(ctx, c, func(ctx context.Context, n node) (*Block, error) {
		got, err := n.rpc.GetBlock(ctx, connect.NewRequest(&quoratev1.GetBlockRequest{Seq: uint64(seq)}))
		if err != nil {
			return nil, err
		}
		if err := c.learn(ctx, n, got.Msg.GetHeader()); err != nil {
			return nil, err
		}
		return c.readBlock(seq, got.Msg)
	})
}

var errChange = errors.New("a change beside transactions")

func (c *Client) readBlock(seq epoch.Seq, in *quoratev1.GetBlockResponse) (*Block, error) {
	header, err := readHeader(in.GetHeader())
	if err != nil {
		return nil, err
	}
	if header.Seq != seq {
		return nil, fmt.Errorf("block %d instead of %d", header.Seq, seq)
	}
	if len(in.GetTransactions()) > message.MaxBatchRequests {
		return nil, errRange
	}
	e, _, err := c.epochs.of(&header)
	if err != nil {
		return nil, err
	}
	b := &Block{Epoch: e}
	var requests []*message.Request
	var leaves [][]byte
	for _, t := range in.GetTransactions() {
		q, err := message.DecodeRequest(t.GetTransaction())
		if err != nil {
			return nil, err
		}
		r, err := readResult(t.GetResult())
		if err != nil {
			return nil, err
		}
		if r.ID != q.ID() {
			return nil, errOther
		}
		requests, b.Results, leaves = append(requests, q), append(b.Results, r), append(leaves, r.Leaf())
	}
	if crypto.MerkleRoot(leaves) != header.Results {
		return nil, errors.New("results are not the header's")
	}
	certificate, err := readVotes(in.GetCertificate())
	if err != nil {
		return nil, err
	}
	if b.Attestations, err = readVotes(in.GetAttestations()); err != nil {
		return nil, err
	}
	batch := message.NewBatch(in.GetBatchTime(), requests)
	if raw := in.GetChange(); len(raw) > 0 {
		change, err := message.DecodeChange(raw)
		if err != nil {
			return nil, err
		}
		if len(requests) > 0 {
			return nil, errChange
		}
		batch = message.NewChangeBatch(in.GetBatchTime(), change)
	}
	b.Block = proof.Block{
		Decision: proof.Decision{Header: header, View: epoch.View(in.GetView()), Certificate: certificate},
		Batch:    batch,
	}
	if err := b.Verify(e, c.scheme); err != nil {
		return nil, err
	}
	b.Attested = (&proof.Checkpoint{Header: header, Attestations: b.Attestations}).Verify(e, c.scheme) == nil
	return b, nil
}

// Reading is one node's answer to a query, and its word that this was so at a sequence number: a local read, which may
// be old, and is not verified.
type Reading struct {
	Answer []byte // the application's
	Seq    epoch.Seq
	Node   string // its URL
}

// Read asks the application of one node, at a sequence number or, without one, at the newest. If that node cannot
// answer, another is asked; the error is an ErrUnavailable, of which reason.Of is what the first node that gave a reason said.
func (c *Client) Read(ctx context.Context, query []byte, at *uint64) (Reading, error) {
	return askInTurn(ctx, c, func(ctx context.Context, n node) (Reading, error) {
		got, err := n.rpc.Read(ctx, connect.NewRequest(&quoratev1.ReadRequest{Query: query, At: at}))
		if err != nil {
			return Reading{}, err
		}
		return Reading{got.Msg.GetAnswer(), epoch.Seq(got.Msg.GetSeq()), n.url}, nil
	})
}

// Entry is a key with its value.
type Entry struct{ Key, Value []byte }

// Listing is one node's answer to a scan: a local read, like Reading.
type Listing struct {
	Entries []Entry // in ascending order of keys
	More    bool    // there are further ones
	Seq     epoch.Seq
	Node    string
}

// Scan lists keys of one node with a prefix and not below from, at most limit of them (0: as many as an answer holds).
// Otherwise it is like Read.
func (c *Client) Scan(ctx context.Context, prefix, from []byte, limit uint32, at *uint64) (Listing, error) {
	return askInTurn(ctx, c, func(ctx context.Context, n node) (Listing, error) {
		got, err := n.rpc.Scan(ctx, connect.NewRequest(&quoratev1.ScanRequest{Prefix: prefix, From: from, Limit: limit, At: at}))
		if err != nil {
			return Listing{}, err
		}
		l := Listing{More: got.Msg.GetMore(), Seq: epoch.Seq(got.Msg.GetSeq()), Node: n.url}
		for _, e := range got.Msg.GetEntries() {
			l.Entries = append(l.Entries, Entry{e.GetKey(), e.GetValue()})
		}
		return l, nil
	})
}

// Status is what the node at an endpoint says of itself.
func (c *Client) Status(ctx context.Context, endpointURL string) (api.Status, error) {
	u, err := endpoint(endpointURL)
	if err != nil {
		return api.Status{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var s api.Status
	if err := c.plain(ctx, u+"/status", &s); err != nil {
		return api.Status{}, err
	}
	return s, nil
}
