package node

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"connectrpc.com/connect"

	quoratev1 "github.com/quorate/quorate/api/quorate/v1"
	"github.com/quorate/quorate/api/reason"
)

// maxStreamed is how many transactions of one stream are in hand. service.proto says so.
const maxStreamed = 256

// SubmitStream hands in transactions as they come, and answers each when there is an answer.
func (s *service) SubmitStream(ctx context.Context, stream *connect.BidiStream[quoratev1.SubmitStreamRequest, quoratev1.SubmitStreamResponse]) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	// A transaction has its place until its answer is sent, so that a caller who does not read is not read either.
	places := make(chan struct{}, maxStreamed)
	answers := make(chan *quoratev1.SubmitStreamResponse, maxStreamed)
	var inHand, sending sync.WaitGroup
	sending.Go(func() {
		var err error
		for a := range answers {
			if err == nil {
				if err = stream.Send(a); err != nil {
					cancel() // nobody waits any more
				}
			}
			<-places
		}
	})
	err := receiveAll(ctx, stream, places, func(m *quoratev1.SubmitStreamRequest) {
		inHand.Go(func() { answers <- s.streamed(ctx, stream.Peer().Addr, m) })
	})
	if !errors.Is(err, io.EOF) && s.ending.Err() == nil {
		cancel() // the caller is gone
	}
	inHand.Wait()
	close(answers)
	sending.Wait()
	switch {
	case s.ending.Err() != nil:
		return refuse(reason.Stopping, ErrStopping).Connect()
	case errors.Is(err, io.EOF):
		return nil
	}
	return err
}

// receiveAll takes in whatever comes, each when there is a place for it, until nothing more comes.
func receiveAll(ctx context.Context, stream *connect.BidiStream[quoratev1.SubmitStreamRequest, quoratev1.SubmitStreamResponse],
	places chan<- struct{}, take func(*quoratev1.SubmitStreamRequest)) error {
	for {
		m, err := stream.Receive()
		if err != nil {
			return err
		}
		select {
		case places <- struct{}{}:
			take(m)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// streamed is the answer to one transaction of a stream.
func (s *service) streamed(ctx context.Context, peer string, m *quoratev1.SubmitStreamRequest) (out *quoratev1.SubmitStreamResponse) {
	defer func() {
		if p := recover(); p != nil { // here nobody else would
			s.panicked("SubmitStream", p)
			out = streamedRefusal(m.GetTag(), refuse(reason.Internal, errInternal))
		}
	}()
	leave, ok := s.hold(peer, len(m.GetRequest().GetTransaction()))
	if !ok {
		return streamedRefusal(m.GetTag(), refuse(reason.TooManyWaiting, errManyBytes))
	}
	defer leave()
	answer, e := s.submit(ctx, peer, m.GetRequest())
	if e != nil {
		return streamedRefusal(m.GetTag(), e)
	}
	return &quoratev1.SubmitStreamResponse{Tag: m.GetTag(), Answer: &quoratev1.SubmitStreamResponse_Response{Response: answer}}
}

// hold takes up the memory of a call with a body of so many bytes.
func (s *service) hold(peer string, body int) (leave func(), ok bool) {
	call, ok := s.calls.take(peer, callBytes)
	if !ok || body <= smallBody {
		return func() { call.leave() }, ok
	}
	large, ok := s.bodies.take(peer, body)
	if !ok {
		call.leave()
		return nil, false
	}
	return func() { large.leave(); call.leave() }, true
}

func streamedRefusal(tag uint64, e *reason.Error) *quoratev1.SubmitStreamResponse {
	return &quoratev1.SubmitStreamResponse{Tag: tag, Answer: &quoratev1.SubmitStreamResponse_Refusal{
		Refusal: &quoratev1.Refusal{Reason: string(e.Reason), Message: e.Error()},
	}}
}

// unbounded is what bounded is not: for calls of which more may come as long as there is something now and then. Each counts as
// one body of the largest size.
func (s *service) unbounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leave, ok := s.hold(r.RemoteAddr, maxBodyBytes)
		if !ok {
			s.refuseCall(w, r, refuse(reason.TooManyWaiting, errManyBytes))
			return
		}
		defer leave()
		c := http.NewResponseController(w)
		// Nothing is read any more once the service ends.
		defer context.AfterFunc(s.ending, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })()
		r.Body = &patientBody{r.Body, c}
		next.ServeHTTP(w, r)
	})
}

// patientBody gives up a caller that is silent for idleTimeout.
type patientBody struct {
	io.ReadCloser
	control *http.ResponseController
}

// Read sets the deadline only while somebody reads: a caller whose transactions are in hand may be silent. On HTTP/2 a deadline that
// has passed is not undone by a later one.
func (b *patientBody) Read(p []byte) (int, error) {
	_ = b.control.SetReadDeadline(time.Now().Add(idleTimeout))
	defer func() { _ = b.control.SetReadDeadline(time.Time{}) }()
	return b.ReadCloser.Read(p)
}
