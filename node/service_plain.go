package node

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/quorate/quorate/api"
	"github.com/quorate/quorate/api/reason"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// healthz says that the process answers.
func (s *service) healthz(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintln(w, "ok")
}

// readyz is 200 only if the node is caught up and able to commit.
func (s *service) readyz(w http.ResponseWriter, _ *http.Request) {
	if ok, why := s.backend.Ready(); !ok {
		plainError(w, refuse(reason.NotReady, fmt.Errorf("node is not ready: %s", why)))
		return
	}
	fmt.Fprintln(w, "ready")
}

func (s *service) status(w http.ResponseWriter, _ *http.Request) {
	st := s.backend.Status()
	out := api.Status{
		Chain: st.Chain.String(), Node: uint32(st.Node), Role: string(st.Role), Mode: st.Mode.String(), Epoch: st.Epoch, View: uint64(st.View),
		Leader: uint32(st.Leader), Seq: uint64(st.Seq), Stable: uint64(st.Stable), Header: st.Header.String(),
		State: st.State.String(), Incarnation: st.Incarnation.String(), Members: make([]api.Member, len(st.Members)), Peers: st.Peers, Ready: st.Ready,
		Why: st.Why, Version: st.Version, PoolTransactions: st.PoolTransactions, PoolBytes: st.PoolBytes,
	}
	for i, m := range st.Members {
		out.Members[i] = api.Member{ID: uint32(i + 1), Name: m.Name, Key: m.Key.String(), API: m.API}
	}
	plain(w, http.StatusOK, out)
}

func (s *service) block(w http.ResponseWriter, r *http.Request) {
	leave, e := s.read(r.RemoteAddr)
	if e != nil {
		plainError(w, e)
		return
	}
	defer leave()
	seq, err := strconv.ParseUint(r.PathValue("seq"), 10, 64)
	if err != nil {
		plainError(w, refuse(reason.BadParameters, fmt.Errorf("%q is no sequence number", r.PathValue("seq"))))
		return
	}
	b, e := s.executed(r.Context(), epoch.Seq(seq))
	if e != nil {
		plainError(w, e)
		return
	}
	all := s.backend.Epochs()
	of, ok := all.of(b.Header.Epoch)
	if !ok {
		plainError(w, refuse(reason.Internal, fmt.Errorf("block %d is of epoch %s, which this node does not know", seq, b.Header.Epoch)))
		return
	}
	plain(w, http.StatusOK, plainBlock(b, of))
}

func plainBlock(b executedBlock, e *epoch.Epoch) api.Block {
	h := &b.Header
	out := api.Block{
		Header: plainHeader(h), HeaderDigest: h.Digest().String(), Mode: e.Mode.String(), View: uint64(b.View), Leader: uint32(e.Leader(b.View)),
		BatchTime:    b.Batch.Time,
		Transactions: make([]api.Transaction, len(b.Batch.Requests)),
		Certificate:  plainSigned(b.Certificate), Attestations: plainSigned(b.attestations),
	}
	if b.Batch.Change != nil {
		out.Change = hex.EncodeToString(message.EncodeChange(b.Batch.Change))
	}
	for i, q := range b.Batch.Requests {
		o := &b.outcomes[i]
		claim := q.Claim()
		out.Transactions[i] = api.Transaction{
			ID: q.ID().String(), Bytes: hex.EncodeToString(claim.Message), Signature: claim.Signature.String(),
			Status: o.Status.String(), Code: uint16(o.Code), Seq: o.Seq, Result: hex.EncodeToString(o.Result),
		}
	}
	return out
}

func plainHeader(h *proof.Header) api.Header {
	return api.Header{
		Epoch: h.Epoch.String(), Seq: uint64(h.Seq), Parent: h.Parent.String(), Batch: h.Batch.String(),
		Results: h.Results.String(), State: h.State.String(), Time: h.Time, NextEpoch: h.NextEpoch.String(),
	}
}

func plainSigned(votes []*message.Signed) []api.Signed {
	out := make([]api.Signed, len(votes))
	for i, m := range votes {
		out[i] = api.Signed{Member: uint32(m.Author), Signed: hex.EncodeToString(m.Bytes), Signature: m.Signature.String()}
	}
	return out
}

func (s *service) transaction(w http.ResponseWriter, r *http.Request) {
	leave, e := s.read(r.RemoteAddr)
	if e != nil {
		plainError(w, e)
		return
	}
	defer leave()
	var id crypto.Digest
	if err := id.UnmarshalText([]byte(r.PathValue("id"))); err != nil {
		plainError(w, refuse(reason.BadParameters, err))
		return
	}
	d, e := s.decision(r.Context(), id)
	if e != nil {
		plainError(w, e)
		return
	}
	o := &d.Outcome
	plain(w, http.StatusOK, api.Outcome{
		ID: o.ID.String(), Seq: uint64(d.Seq), Index: d.Index, Status: o.Status.String(), Code: uint16(o.Code),
		Result: hex.EncodeToString(o.Result),
	})
}

func plain(w http.ResponseWriter, status int, answer any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(answer)
}

func plainError(w http.ResponseWriter, e *reason.Error) {
	e.SetHeaders(w.Header().Set)
	plain(w, e.Reason.HTTPStatus(), api.Error{Reason: string(e.Reason), Message: e.Error()})
}
