package node

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/quorate/quorate/api"
	"github.com/quorate/quorate/api/reason"
	"github.com/quorate/quorate/bft/epoch"
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
	e := s.backend.Epoch()
	if number != e.Number {
		plainError(w, refuse(reason.NotFound, fmt.Errorf("there is no epoch %d: the current one is %d", number, e.Number)))
		return
	}
	plain(w, http.StatusOK, plainEpoch(e))
}

func plainEpoch(e *epoch.Epoch) api.Epoch {
	out := api.Epoch{
		Number: e.Number, Identity: e.ID.String(), Chain: e.Chain.String(), Base: uint64(e.Base), Mode: e.Mode.String(), Quorum: e.Quorum(),
		Parameters: make(map[string]uint32), HandOver: []api.Signed{},
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
	return out
}

// evidence lists what members have signed against each other's and their own word. Nothing gathers any yet: in the normal
// case of one view, what conflicts is refused where it comes in.
func (s *service) evidence(w http.ResponseWriter, _ *http.Request) {
	plain(w, http.StatusOK, api.EvidenceList{Evidence: []api.Evidence{}})
}
