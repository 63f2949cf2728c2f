package node

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"

	"github.com/quorate/quorate/api"
	"github.com/quorate/quorate/api/reason"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
)

// What lets somebody outside follow the chain without its transactions: headers, epochs, and what was signed against it.

// maxHeaders bounds one answer to GET /headers.
const maxHeaders = 512

// headers lists headers of executed blocks, from 1 and to the newest unless it is asked for less.
func (s *service) headers(w http.ResponseWriter, r *http.Request) {
	leave, e := s.read(r.RemoteAddr)
	if e != nil {
		plainError(w, e)
		return
	}
	defer leave()
	last := uint64(s.backend.Status().Seq)
	from, e := sequence(r, "from", 1)
	if e == nil && from == 0 {
		e = refuse(reason.BadParameters, fmt.Errorf("from: headers begin at 1; that of 0 follows from the genesis"))
	}
	to := last
	if e == nil {
		to, e = sequence(r, "to", last)
	}
	if e == nil && from > last {
		e = refuse(reason.NotFound, fmt.Errorf("header %d is not there: the newest is %d", from, last))
	}
	if e != nil {
		plainError(w, e)
		return
	}
	out := api.Headers{Headers: []api.NumberedHeader{}}
	to = min(to, last)
	for seq := from; seq <= to; seq++ {
		if len(out.Headers) == maxHeaders {
			out.Next = seq
			break
		}
		d, ok, err := s.backend.Blocks().Decision(epoch.Seq(seq))
		switch {
		case err != nil:
			plainError(w, refuse(reason.Internal, err))
			return
		case !ok:
			plainError(w, refuse(reason.Pruned, fmt.Errorf("header %d is pruned", seq)))
			return
		}
		out.Headers = append(out.Headers, api.NumberedHeader{Header: plainHeader(&d.Header), HeaderDigest: d.Header.Digest().String()})
	}
	plain(w, http.StatusOK, out)
}

// sequence is a sequence number among a call's parameters.
func sequence(r *http.Request, name string, otherwise uint64) (uint64, *reason.Error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return otherwise, nil
	}
	seq, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, refuse(reason.BadParameters, fmt.Errorf("%s: %q is no sequence number", name, text))
	}
	return seq, nil
}

// epoch tells who takes part in an epoch, and by which rules.
func (s *service) epoch(w http.ResponseWriter, r *http.Request) {
	number, err := strconv.ParseUint(r.PathValue("number"), 10, 64)
	if err != nil {
		plainError(w, refuse(reason.BadParameters, fmt.Errorf("%q is no epoch's number", r.PathValue("number"))))
		return
	}
	all := s.backend.Epochs()
	e, proven, ok := all.numbered(number)
	if !ok {
		plainError(w, refuse(reason.NotFound, fmt.Errorf("there is no epoch %d: the current one is %d", number, all.current.Number)))
		return
	}
	plain(w, http.StatusOK, plainEpoch(e, proven))
}

// plainEpoch is an epoch with what proves that it followed the one before, unless it is the first.
func plainEpoch(e *epoch.Epoch, proven *proof.HandOver) api.Epoch {
	out := api.Epoch{
		Number: e.Number, Identity: e.ID.String(), Chain: e.Chain.String(), Base: uint64(e.Base), Mode: e.Mode.String(), Quorum: e.Quorum(),
		Parameters: make(map[string]uint32), Operators: []string{}, Threshold: e.Threshold, HandOver: []api.Signed{},
	}
	for _, key := range e.Operators {
		out.Operators = append(out.Operators, key.String())
	}
	for i := range e.Members {
		m := &e.Members[i]
		out.Members = append(out.Members, api.EpochMember{
			ID: uint32(i + 1), Name: m.Name, Key: m.Key.String(), PeerID: m.PeerID, Address: m.Address, API: m.API,
			Incarnation: m.Incarnation.String(),
		})
	}
	p := e.Parameters
	for _, f := range p.Fields() {
		out.Parameters[f.Name] = *f.Value
	}
	if proven == nil {
		return out
	}
	h := plainHeader(&proven.Header)
	out.Header = &h
	out.HandOver = append(plainSigned(proven.Outgoing), plainSigned(proven.Incoming)...)
	if proven.Forced != nil {
		out.Recovery = hex.EncodeToString(message.EncodeRecovery(proven.Forced))
	}
	return out
}

// evidence lists the pairs of messages by which members broke their own word.
func (s *service) evidence(w http.ResponseWriter, _ *http.Request) {
	out := api.EvidenceList{Evidence: []api.Evidence{}}
	all, last := s.backend.Epochs(), uint64(0)
	for _, e := range s.backend.Evidence() {
		of := e.Broken()
		if x, ok := all.of(of.Epoch); ok {
			last = max(last, x.Number)
		}
		out.Evidence = append(out.Evidence, api.Evidence{
			ID: e.ID().String(), Kind: of.Kind.String(), Member: uint32(of.Author),
			Key: s.backend.Epoch().Member(of.Author).Key.String(), Epoch: of.Epoch.String(), A: plainWord(e.A), B: plainWord(e.B),
		})
	}
	for number := uint64(1); number <= last; number++ {
		if e, proven, ok := all.numbered(number); ok {
			out.Epochs = append(out.Epochs, plainEpoch(e, proven))
		}
	}
	plain(w, http.StatusOK, out)
}

func plainWord(m *message.Signed) api.Word {
	return api.Word{Signed: hex.EncodeToString(m.Bytes), Signature: m.Signature.String()}
}
