package node

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"

	"github.com/quorate/quorate/api"
	"github.com/quorate/quorate/api/reason"
	"github.com/quorate/quorate/bft/epoch"
)

// events is GET /events: what happens at this node, as server-sent events (WHATWG HTML, Server-sent events).
func (s *service) events(w http.ResponseWriter, r *http.Request) {
	leave, e := s.listen(r.RemoteAddr)
	if e != nil {
		plainError(w, e)
		return
	}
	defer leave()
	next := s.afterNow()
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		seq, err := strconv.ParseUint(last, 10, 63)
		if err != nil {
			plainError(w, refuse(reason.BadParameters, fmt.Errorf("Last-Event-ID: %q is no sequence number", last)))
			return
		}
		next = epoch.Seq(seq) + 1
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	_ = s.watch(r.Context(), next, &eventStream{out: w, control: http.NewResponseController(w)}) // its end says it all
}

// eventStream is one connection to /events.
type eventStream struct {
	out     http.ResponseWriter
	control *http.ResponseController
	err     error
}

func (l *eventStream) tell(event any) {
	id, kind := "", ""
	switch e := event.(type) {
	case committedEvent:
		id, kind = "id: "+strconv.FormatUint(uint64(e.seq), 10)+"\n", "committed"
		event = api.CommittedEvent{Seq: uint64(e.seq), HeaderDigest: e.header.String(), Time: e.time, Transactions: e.transactions}
	case api.ViewEvent:
		kind = "view"
	case api.EpochEvent:
		kind = "epoch"
	case api.CheckpointEvent:
		kind = "checkpoint"
	case api.EvidenceEvent:
		kind = "evidence"
	case api.ReadyEvent:
		kind = "ready"
	case api.FaultEvent:
		kind = "fault"
	}
	text, err := json.Marshal(event)
	if err != nil {
		l.err = err
		return
	}
	l.write(id + "event: " + kind + "\ndata: " + string(text) + "\n\n")
}

func (l *eventStream) beat() { l.write(": still here\n\n") }

func (l *eventStream) write(text string) {
	if l.err == nil {
		_, l.err = l.out.Write([]byte(text))
	}
}

func (l *eventStream) flush() error {
	if l.err == nil {
		l.err = l.control.Flush()
	}
	return l.err
}
