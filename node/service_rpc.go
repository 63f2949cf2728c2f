package node

import (
	"context"
	"errors"
	"fmt"

	"connectrpc.com/connect"

	quoratev1 "github.com/quorate/quorate/api/quorate/v1"
	"github.com/quorate/quorate/api/reason"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/statemachine"
)

// Submit hands in a transaction, and by default waits until a quorum vouches for what became of it.
func (s *service) Submit(ctx context.Context, call *connect.Request[quoratev1.SubmitRequest]) (*connect.Response[quoratev1.SubmitResponse], error) {
	answer, e := s.submit(ctx, call.Peer().Addr, call.Msg)
	if e != nil {
		return nil, e.Connect()
	}
	return connect.NewResponse(answer), nil
}

func (s *service) submit(ctx context.Context, peer string, m *quoratev1.SubmitRequest) (*quoratev1.SubmitResponse, *reason.Error) {
	switch wait := m.GetWait(); wait {
	case quoratev1.Wait_WAIT_UNSPECIFIED, quoratev1.Wait_WAIT_COMMITTED:
		return s.commit(ctx, peer, m.GetTransaction())
	case quoratev1.Wait_WAIT_ACCEPTED:
		return s.accept(ctx, peer, m.GetTransaction())
	default:
		return nil, refuse(reason.BadParameters, fmt.Errorf("wait: %d is none", wait))
	}
}

var errManyWaiting = errors.New("too many calls wait for a transaction here: retry later, or elsewhere")

// admit reads a transaction, if this node takes any, and lets the call wait for it: until the context ends that it
// yields. leave must be called when the call waits no longer.
func (s *service) admit(ctx context.Context, peer string, raw []byte) (q *message.Request, waits context.Context, leave func(), e *reason.Error) {
	if q, e = s.judge(raw); e != nil {
		return nil, nil, nil, e
	}
	left, ok := s.waiting.enter(peer)
	if !ok {
		return nil, nil, nil, &reason.Error{Reason: reason.TooManyWaiting, Transaction: q.ID().String(), Err: errManyWaiting}
	}
	waits, cancel := context.WithTimeout(ctx, maxWait)
	stay := context.AfterFunc(s.ending, cancel)
	return q, waits, func() { stay(); cancel(); left() }, nil
}

// judge reads a transaction, if this node takes any.
func (s *service) judge(raw []byte) (*message.Request, *reason.Error) {
	if len(raw) > message.MaxRequestBytes {
		return nil, refuse(reason.TooLarge, fmt.Errorf("transaction of %d bytes, at most %d", len(raw), message.MaxRequestBytes))
	}
	q, err := message.DecodeRequest(raw)
	if err != nil {
		return nil, refuse(reason.Malformed, err)
	}
	if err := s.backend.CheckOperation(q.Operation); err != nil {
		return nil, operationError(q.ID(), err)
	}
	if ok, why := s.backend.Ready(); !ok {
		return nil, &reason.Error{Reason: reason.NotReady, Transaction: q.ID().String(), Err: fmt.Errorf("node is not ready: %s", why)}
	}
	return q, nil
}

func (s *service) accept(ctx context.Context, peer string, raw []byte) (*quoratev1.SubmitResponse, *reason.Error) {
	q, ctx, leave, e := s.admit(ctx, peer, raw)
	if e != nil {
		return nil, e
	}
	defer leave()
	id := q.ID()
	switch err := s.backend.Accept(ctx, q); {
	case errors.Is(err, ErrStopping):
		return nil, refusal(id, err) // whoever does not wait for the outcome is not told that it is unknown
	case err != nil:
		return nil, outcomeError(id, err)
	}
	return &quoratev1.SubmitResponse{Id: id[:]}, nil
}

func (s *service) commit(ctx context.Context, peer string, raw []byte) (*quoratev1.SubmitResponse, *reason.Error) {
	q, ctx, leave, e := s.admit(ctx, peer, raw)
	if e != nil {
		return nil, e
	}
	defer leave()
	d, err := s.backend.Submit(ctx, q)
	if err != nil {
		return nil, outcomeError(q.ID(), err)
	}
	o := &d.Outcome
	return &quoratev1.SubmitResponse{
		Id: o.ID[:], Seq: uint64(d.Seq), Index: uint32(d.Index), Status: quoratev1.Status(o.Status), Code: uint32(o.Code),
		Result: o.Result, Receipt: wireReceipt(d.Receipt),
	}, nil
}

// GetTransaction says what became of a transaction, as far as this node knows.
func (s *service) GetTransaction(ctx context.Context, call *connect.Request[quoratev1.GetTransactionRequest]) (*connect.Response[quoratev1.GetTransactionResponse], error) {
	id, e := readID(call.Msg.GetId())
	if e != nil {
		return nil, e.Connect()
	}
	d, e := s.decision(ctx, id)
	if e != nil {
		return nil, e.Connect()
	}
	o := &d.Outcome
	return connect.NewResponse(&quoratev1.GetTransactionResponse{
		Id: o.ID[:], Seq: uint64(d.Seq), Index: uint32(d.Index), Status: quoratev1.Status(o.Status), Code: uint32(o.Code),
		Result: o.Result, Receipt: wireReceipt(d.Receipt),
	}), nil
}

// GetReceipt proves what became of a transaction.
func (s *service) GetReceipt(ctx context.Context, call *connect.Request[quoratev1.GetReceiptRequest]) (*connect.Response[quoratev1.GetReceiptResponse], error) {
	id, e := readID(call.Msg.GetId())
	if e != nil {
		return nil, e.Connect()
	}
	d, e := s.decision(ctx, id)
	if e != nil {
		return nil, e.Connect()
	}
	if d.Receipt == nil {
		return nil, (&reason.Error{Reason: reason.Unproven, Transaction: id.String(), Err: errUnproven}).Connect()
	}
	return connect.NewResponse(&quoratev1.GetReceiptResponse{Receipt: wireReceipt(d.Receipt)}), nil
}

var errUnproven = errors.New("this node cannot show what became of the transaction: ask again soon, or elsewhere")

func readID(raw []byte) (crypto.Digest, *reason.Error) {
	if len(raw) != crypto.DigestSize {
		return crypto.Digest{}, refuse(reason.BadParameters, fmt.Errorf("id of %d bytes, want %d", len(raw), crypto.DigestSize))
	}
	return crypto.Digest(raw), nil
}

// GetBlock is a decided block with its certificate, and what came of its transactions.
func (s *service) GetBlock(ctx context.Context, call *connect.Request[quoratev1.GetBlockRequest]) (*connect.Response[quoratev1.GetBlockResponse], error) {
	b, e := s.executed(ctx, epoch.Seq(call.Msg.GetSeq()))
	if e != nil {
		return nil, e.Connect()
	}
	return connect.NewResponse(wireBlock(b)), nil
}

// Read asks the application of this node alone.
func (s *service) Read(ctx context.Context, call *connect.Request[quoratev1.ReadRequest]) (*connect.Response[quoratev1.ReadResponse], error) {
	at := s.version(ctx, call.Msg.At)
	answer, seq, err := s.backend.State().Query(at, call.Msg.GetQuery())
	if err != nil {
		return nil, readError(err).Connect()
	}
	return connect.NewResponse(&quoratev1.ReadResponse{Answer: answer, Seq: seq}), nil
}

// Bounds of the answer to one Scan. maxScanBytes, of keys and values, may be exceeded by the last entry.
const (
	maxScanEntries = 10_000
	maxScanBytes   = 1 << 20
)

// Scan lists the application's keys at this node alone.
func (s *service) Scan(ctx context.Context, call *connect.Request[quoratev1.ScanRequest]) (*connect.Response[quoratev1.ScanResponse], error) {
	prefix, from := call.Msg.GetPrefix(), call.Msg.GetFrom()
	if len(prefix) > statemachine.MaxKeyBytes || len(from) > statemachine.MaxKeyBytes+1 {
		return nil, refuse(reason.InvalidQuery, fmt.Errorf("no key has more than %d bytes", statemachine.MaxKeyBytes)).Connect()
	}
	limit := int(min(call.Msg.GetLimit(), maxScanEntries))
	if limit == 0 {
		limit = maxScanEntries
	}
	answer := &quoratev1.ScanResponse{}
	size := 0
	seq, err := s.backend.State().Scan(s.version(ctx, call.Msg.At), prefix, from, func(key, value []byte) bool {
		if len(answer.Entries) >= limit || size >= maxScanBytes || ctx.Err() != nil {
			answer.More = true
			return false
		}
		size += len(key) + len(value)
		answer.Entries = append(answer.Entries, &quoratev1.Entry{Key: key, Value: value})
		return true
	})
	if err != nil {
		return nil, readError(err).Connect()
	}
	answer.Seq = seq
	return connect.NewResponse(answer), nil
}

// version is the version of the state to read: the newest, or what was asked for as soon as it can be read.
func (s *service) version(ctx context.Context, at *uint64) uint64 {
	if at == nil {
		return statemachine.Newest
	}
	if *at <= s.backend.State().Applied().Seq {
		s.settle(ctx, *at)
	}
	return *at
}

var errManyReading = errors.New("too many reads at once: retry later, or elsewhere")

// read lets in a call that reads blocks or state.
func (s *service) read(peer string) (leave func(), e *reason.Error) {
	leave, ok := s.reading.enter(peer)
	if !ok {
		return nil, refuse(reason.TooManyWaiting, errManyReading)
	}
	return leave, nil
}

// ListEvidence lists the pairs of messages by which members broke their own word.
func (s *service) ListEvidence(context.Context, *connect.Request[quoratev1.ListEvidenceRequest]) (*connect.Response[quoratev1.ListEvidenceResponse], error) {
	out := &quoratev1.ListEvidenceResponse{}
	for _, e := range s.backend.Evidence() {
		id, of := e.ID(), e.Broken()
		key := s.backend.Epoch().Member(of.Author).Key
		words := wireSigned([]*message.Signed{e.A, e.B})
		out.Evidence = append(out.Evidence, &quoratev1.Evidence{
			Id: id[:], Kind: of.Kind.String(), Member: uint32(of.Author), Key: key[:], Epoch: of.Epoch[:], A: words[0], B: words[1],
		})
	}
	return connect.NewResponse(out), nil
}
