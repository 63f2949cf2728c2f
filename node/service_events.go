package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/quorate/quorate/api"
	"github.com/quorate/quorate/api/reason"
	"github.com/quorate/quorate/bft/epoch"
)

// GET /events tells what happens at this node as server-sent events (WHATWG HTML, Server-sent events): see
// docs/protocol/events.md. Only committed slots have an id, their sequence number: it is a place in the chain, and means the
// same at every node and after every restart. All other kinds tell of a state, which is told anew on every connection.

const (
	eventHeartbeat = 15 * time.Second
)

var errTooManyListeners = errors.New("too many listen to this node's events, in all or from this address: close some")

// listener is one connection to /events.
type listener struct {
	out     http.ResponseWriter
	control *http.ResponseController
	err     error
}

func (s *service) events(w http.ResponseWriter, r *http.Request) {
	leave, ok := s.listening.enter(r.RemoteAddr)
	if !ok {
		plainError(w, refuse(reason.TooManyWaiting, errTooManyListeners))
		return
	}
	defer leave()
	was, next, _ := s.backend.Look()
	next++ // unless it says where it was
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
	l := &listener{out: w, control: http.NewResponseController(w)}
	l.tellAll(was)
	beat := time.NewTicker(eventHeartbeat)
	defer beat.Stop()
	for l.err == nil {
		now, acknowledged, moved := s.backend.Look()
		next = s.tellCommitted(l, next, acknowledged)
		l.tellChanges(was, now)
		was = now
		l.flush()
		var soon <-chan time.Time // a block that is acknowledged, and not readable yet, tells of nothing when it is
		if next <= acknowledged {
			soon = time.After(settlePoll)
		}
		select {
		case <-moved:
		case <-soon:
		case <-beat.C:
			l.write(": still here\n\n")
		case <-r.Context().Done():
			return
		case <-s.ending.Done():
			return
		case <-s.backend.Done():
			l.tell("", "fault", api.FaultEvent{Why: fmt.Sprint(s.backend.Err())})
			l.flush()
			return
		}
	}
}

// tellCommitted tells of all slots from next on that a quorum has attested, and yields the one after them.
func (s *service) tellCommitted(l *listener, next, acknowledged epoch.Seq) epoch.Seq {
	for ; next <= acknowledged && l.err == nil; next++ {
		b, ok, err := s.backend.Blocks().Block(next)
		if err != nil || !ok {
			return next // acknowledged a moment ago, and not in the index yet; or damaged, and fetched again
		}
		l.tell(strconv.FormatUint(uint64(next), 10), "committed", api.CommittedEvent{
			Seq: uint64(next), HeaderDigest: b.Header.Digest().String(), Time: b.Header.Time, Transactions: len(b.Batch.Requests),
		})
	}
	return next
}

// tellAll tells a new listener how everything is.
func (l *listener) tellAll(m moment) {
	l.tell("", "epoch", api.EpochEvent{Epoch: m.epoch})
	l.tell("", "view", api.ViewEvent{View: uint64(m.view), Leader: uint32(m.leader)})
	l.tell("", "checkpoint", api.CheckpointEvent{Seq: uint64(m.checkpoint)})
	l.tell("", "ready", api.ReadyEvent{Ready: m.ready, Why: m.why})
}

func (l *listener) tellChanges(was, now moment) {
	if was.epoch != now.epoch {
		l.tell("", "epoch", api.EpochEvent{Epoch: now.epoch})
	}
	if was.view != now.view || was.leader != now.leader {
		l.tell("", "view", api.ViewEvent{View: uint64(now.view), Leader: uint32(now.leader)})
	}
	if was.checkpoint != now.checkpoint {
		l.tell("", "checkpoint", api.CheckpointEvent{Seq: uint64(now.checkpoint)})
	}
	if was.evidence != now.evidence {
		l.tell("", "evidence", api.EvidenceEvent{Count: now.evidence})
	}
	if was.ready != now.ready || was.why != now.why {
		l.tell("", "ready", api.ReadyEvent{Ready: now.ready, Why: now.why})
	}
}

func (l *listener) tell(id, kind string, data any) {
	text, err := json.Marshal(data)
	if err != nil {
		l.err = err
		return
	}
	if id != "" {
		id = "id: " + id + "\n"
	}
	l.write(id + "event: " + kind + "\ndata: " + string(text) + "\n\n")
}

func (l *listener) write(text string) {
	if l.err != nil {
		return
	}
	_ = l.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	_, l.err = l.out.Write([]byte(text))
}

func (l *listener) flush() {
	if l.err == nil {
		l.err = l.control.Flush()
	}
}
