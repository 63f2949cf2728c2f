package node

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/quorate/quorate/api"
	"github.com/quorate/quorate/api/reason"
	"github.com/quorate/quorate/bft/epoch"
)

// traced says when each thing happened to a slot here.
func (s *service) traced(w http.ResponseWriter, r *http.Request) {
	seq, err := strconv.ParseUint(r.PathValue("seq"), 10, 64)
	if err != nil {
		plainError(w, refuse(reason.BadParameters, fmt.Errorf("%q is no sequence number", r.PathValue("seq"))))
		return
	}
	points, ok := s.backend.Trace(epoch.Seq(seq))
	if !ok {
		plainError(w, refuse(reason.NotFound, fmt.Errorf("no trace of slot %d: a node keeps that of the newest %d slots, since it started", seq, traceSlots)))
		return
	}
	out := api.Trace{Node: uint32(s.backend.Status().Node), Seq: seq, Points: make([]api.Point, len(points))}
	for i, p := range points {
		out.Points[i] = api.Point{Step: string(p.step), Member: uint32(p.member), View: uint64(p.view), UnixNanos: p.at}
	}
	plain(w, http.StatusOK, out)
}

// Trace is when each thing happened to a slot here; ok is false if nothing of it is kept.
func (n *Node) Trace(seq epoch.Seq) (points []point, ok bool) { return n.trace.of(seq) }
