package node

import (
	"github.com/quorate/quorate/api"
	quoratev1 "github.com/quorate/quorate/api/quorate/v1"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/statemachine"
)

func wireReceipt(r *proof.Receipt) *quoratev1.Receipt {
	if r == nil {
		return nil
	}
	out := &quoratev1.Receipt{
		Result: &quoratev1.Result{
			Id: r.Result.ID[:], Status: quoratev1.Status(r.Result.Status), Code: uint32(r.Result.Code),
			Seq: uint64(r.Result.Seq), Value: r.Result.Value,
		},
		Index: uint32(r.Index), Count: uint32(r.Count),
		Path:         make([][]byte, len(r.Path)),
		Headers:      make([][]byte, len(r.Headers)),
		Attestations: wireSigned(r.Attestations),
	}
	for i := range r.Path {
		out.Path[i] = r.Path[i][:]
	}
	for i := range r.Headers {
		out.Headers[i] = wireHeader(&r.Headers[i])
	}
	return out
}

func wireHeader(h *proof.Header) []byte {
	var w message.Writer
	h.Encode(&w)
	return w.Bytes()
}

func wireSigned(votes []*message.Signed) []*quoratev1.Signed {
	out := make([]*quoratev1.Signed, len(votes))
	for i, m := range votes {
		out[i] = &quoratev1.Signed{Member: uint32(m.Author), Signed: m.Bytes, Signature: m.Signature[:]}
	}
	return out
}

func wireBlock(b executedBlock) *quoratev1.GetBlockResponse {
	out := &quoratev1.GetBlockResponse{
		Header: wireHeader(&b.Header), View: uint64(b.View), BatchTime: b.Batch.Time,
		Transactions: make([]*quoratev1.BlockTransaction, len(b.Batch.Requests)),
		Certificate:  wireSigned(b.Certificate), Attestations: wireSigned(b.attestations),
	}
	if b.Batch.Change != nil {
		out.Change = message.EncodeChange(b.Batch.Change)
	}
	for i, q := range b.Batch.Requests {
		out.Transactions[i] = &quoratev1.BlockTransaction{Transaction: q.Bytes(), Result: wireResult(&b.outcomes[i])}
	}
	return out
}

func wireResult(o *statemachine.Outcome) *quoratev1.Result {
	return &quoratev1.Result{
		Id: o.ID[:], Status: quoratev1.Status(o.Status), Code: uint32(o.Code), Seq: o.Seq, Value: o.Result,
	}
}

// wireEvent is an event as Watch tells it.
func wireEvent(event any) *quoratev1.WatchResponse {
	var out quoratev1.WatchResponse
	switch e := event.(type) {
	case committedEvent:
		out.Event = &quoratev1.WatchResponse_Committed{Committed: &quoratev1.CommittedEvent{
			Seq: uint64(e.seq), HeaderDigest: e.header[:], Time: e.time, Transactions: uint32(e.transactions),
		}}
	case api.ViewEvent:
		out.Event = &quoratev1.WatchResponse_View{View: &quoratev1.ViewEvent{View: e.View, Leader: e.Leader}}
	case api.EpochEvent:
		out.Event = &quoratev1.WatchResponse_Epoch{Epoch: &quoratev1.EpochEvent{Epoch: e.Epoch}}
	case api.CheckpointEvent:
		out.Event = &quoratev1.WatchResponse_Checkpoint{Checkpoint: &quoratev1.CheckpointEvent{Seq: e.Seq}}
	case api.EvidenceEvent:
		out.Event = &quoratev1.WatchResponse_Evidence{Evidence: &quoratev1.EvidenceEvent{Count: uint32(e.Count)}}
	case api.ReadyEvent:
		out.Event = &quoratev1.WatchResponse_Ready{Ready: &quoratev1.ReadyEvent{Ready: e.Ready, Why: e.Why}}
	case api.FaultEvent:
		out.Event = &quoratev1.WatchResponse_Fault{Fault: &quoratev1.FaultEvent{Why: e.Why}}
	}
	return &out
}
