package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	"github.com/quorate/quorate/api"
	quoratev1 "github.com/quorate/quorate/api/quorate/v1"
	"github.com/quorate/quorate/api/reason"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/crypto"
)

// What happens at this node, for whoever listens: see docs/protocol/events.md. Only committed slots have a place to come back to,
// their sequence number: it is a place in the chain, and means the same at every node and after every restart. All other kinds
// tell of a state, which is told anew to every listener.

const eventHeartbeat = 15 * time.Second

// committedEvent is that a quorum has attested a slot.
type committedEvent struct {
	seq          epoch.Seq
	header       crypto.Digest
	time         int64 // ms since 1970
	transactions int
}

// listener is told of events: committedEvent, and of package api those that tell of a state. One that could not be told is told
// no more.
type listener interface {
	tell(event any)
	// beat shows that the node is still there.
	beat()
	// flush has what was told on its way, and yields why it could not be told, if so.
	flush() error
}

// watch tells a listener of all slots from next on, and of everything else that changes, until it does not listen any more or the
// node ends. The error is the listener's, ctx's, or ErrStopping.
func (s *service) watch(ctx context.Context, next epoch.Seq, l listener) error {
	was, _, _ := s.backend.Look()
	tellAll(l, was)
	beat := time.NewTicker(eventHeartbeat)
	defer beat.Stop()
	for {
		now, acknowledged, moved := s.backend.Look()
		var err error
		if next, err = s.tellCommitted(l, next, acknowledged); err != nil {
			return err
		}
		tellChanges(l, was, now)
		was = now
		if err := l.flush(); err != nil {
			return err
		}
		var soon <-chan time.Time // a block that is acknowledged, and not readable yet, tells of nothing when it is
		if next <= acknowledged {
			soon = time.After(settlePoll)
		}
		select {
		case <-moved:
		case <-soon:
		case <-beat.C:
			l.beat()
		case <-ctx.Done():
			return ctx.Err()
		case <-s.ending.Done():
			return ErrStopping
		case <-s.backend.Done():
			l.tell(api.FaultEvent{Why: fmt.Sprint(s.backend.Err())})
			return errors.Join(ErrStopping, l.flush())
		}
	}
}

var errTooManyListeners = errors.New("too many listen to this node's events, in all or from this address: close some")

// listen lets in a listener.
func (s *service) listen(peer string) (leave func(), e *reason.Error) {
	leave, ok := s.listening.enter(peer)
	if !ok {
		return nil, refuse(reason.TooManyWaiting, errTooManyListeners)
	}
	return leave, nil
}

// afterNow is the first slot that is not committed yet.
func (s *service) afterNow() epoch.Seq {
	_, acknowledged, _ := s.backend.Look()
	return acknowledged + 1
}

// flushEvery is after how many slots of those that wait the listener must have kept up.
const flushEvery = 64

// tellCommitted tells of all slots from next on that a quorum has attested, and yields the one after them.
func (s *service) tellCommitted(l listener, next, acknowledged epoch.Seq) (epoch.Seq, error) {
	for told := 1; next <= acknowledged; told++ {
		b, ok, err := s.backend.Blocks().Block(next)
		if err != nil || !ok {
			return next, nil // acknowledged a moment ago, and not in the index yet; or damaged, and fetched again
		}
		l.tell(committedEvent{next, b.Header.Digest(), b.Header.Time, len(b.Batch.Requests)})
		next++
		if told%flushEvery == 0 {
			if err := l.flush(); err != nil {
				return next, err
			}
		}
	}
	return next, nil
}

// tellAll tells a new listener how everything is.
func tellAll(l listener, m moment) {
	l.tell(api.EpochEvent{Epoch: m.epoch})
	l.tell(api.ViewEvent{View: uint64(m.view), Leader: uint32(m.leader)})
	l.tell(api.CheckpointEvent{Seq: uint64(m.checkpoint)})
	l.tell(api.ReadyEvent{Ready: m.ready, Why: m.why})
}

func tellChanges(l listener, was, now moment) {
	if was.epoch != now.epoch {
		l.tell(api.EpochEvent{Epoch: now.epoch})
	}
	if was.view != now.view || was.leader != now.leader {
		l.tell(api.ViewEvent{View: uint64(now.view), Leader: uint32(now.leader)})
	}
	if was.checkpoint != now.checkpoint {
		l.tell(api.CheckpointEvent{Seq: uint64(now.checkpoint)})
	}
	if was.evidence != now.evidence {
		l.tell(api.EvidenceEvent{Count: now.evidence})
	}
	if was.ready != now.ready || was.why != now.why {
		l.tell(api.ReadyEvent{Ready: now.ready, Why: now.why})
	}
}

// Watch tells what happens at this node, as GET /events does.
func (s *service) Watch(ctx context.Context, call *connect.Request[quoratev1.WatchRequest], stream *connect.ServerStream[quoratev1.WatchResponse]) error {
	leave, e := s.listen(call.Peer().Addr)
	if e != nil {
		return e.Connect()
	}
	defer leave()
	next := s.afterNow()
	if call.Msg.After != nil {
		if call.Msg.GetAfter() > maxPlace {
			return refuse(reason.BadParameters, fmt.Errorf("after: %d is no sequence number", call.Msg.GetAfter())).Connect()
		}
		next = epoch.Seq(call.Msg.GetAfter()) + 1
	}
	err := s.watch(ctx, next, &watcher{stream: stream})
	if errors.Is(err, ErrStopping) {
		return refuse(reason.Stopping, ErrStopping).Connect()
	}
	return err
}

// maxPlace is the last sequence number that anybody may know.
const maxPlace = 1<<63 - 1

// watcher is a caller of Watch.
type watcher struct {
	stream *connect.ServerStream[quoratev1.WatchResponse]
	err    error
}

func (w *watcher) tell(event any) { w.send(wireEvent(event)) }
func (w *watcher) beat()          { w.send(&quoratev1.WatchResponse{}) }
func (w *watcher) flush() error   { return w.err } // each is sent at once

func (w *watcher) send(m *quoratev1.WatchResponse) {
	if w.err == nil {
		w.err = w.stream.Send(m)
	}
}
