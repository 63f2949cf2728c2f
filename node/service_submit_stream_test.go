package node

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"connectrpc.com/connect"

	quoratev1 "github.com/quorate/quorate/api/quorate/v1"
	"github.com/quorate/quorate/api/quorate/v1/quoratev1connect"
	"github.com/quorate/quorate/api/reason"
	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/statemachine/kv"
)

type submitStream = connect.BidiStreamForClient[quoratev1.SubmitStreamRequest, quoratev1.SubmitStreamResponse]

func openStream(t *testing.T, address string) *submitStream {
	t.Helper()
	transport := &http.Transport{Protocols: clearHTTP2()}
	t.Cleanup(transport.CloseIdleConnections)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	return quoratev1connect.NewNodeServiceClient(&http.Client{Transport: transport}, "http://"+address).SubmitStream(ctx)
}

func send(t *testing.T, s *submitStream, tag uint64, raw []byte) {
	t.Helper()
	if err := s.Send(&quoratev1.SubmitStreamRequest{Tag: tag, Request: &quoratev1.SubmitRequest{Transaction: raw}}); err != nil {
		t.Fatal(err)
	}
}

func receive(t *testing.T, s *submitStream) *quoratev1.SubmitStreamResponse {
	t.Helper()
	m, err := s.Receive()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Each transaction of a stream has an answer of its own, also one that is no transaction, and one over which the node stumbles.
// Red if a panic is not recovered: the test ends with it.
func TestAStreamAnswersEachTransaction(t *testing.T) {
	n := &fakeNode{committee: newCommittee(t)}
	n.submitted = n.decided
	s := serve(t, n)
	q := n.put("k", "v")
	stream := openStream(t, s.addr())

	send(t, stream, 7, q.Bytes())
	if m := receive(t, stream); m.GetTag() != 7 || m.GetResponse().GetSeq() != 1 || m.GetResponse().GetReceipt() == nil {
		t.Errorf("got %v", m)
	}
	send(t, stream, 8, []byte("nonsense"))
	if m := receive(t, stream); m.GetTag() != 8 || m.GetRefusal().GetReason() != string(reason.Malformed) {
		t.Errorf("got %v", m)
	}
	n.answers(func(context.Context) error { panic("a defect") })
	send(t, stream, 9, q.Bytes())
	if m := receive(t, stream); m.GetTag() != 9 || m.GetRefusal().GetReason() != string(reason.Internal) {
		t.Errorf("got %v", m)
	}
	if err := stream.CloseRequest(); err != nil {
		t.Fatal(err)
	}
	if m, err := stream.Receive(); !errors.Is(err, io.EOF) {
		t.Errorf("got %v, %v, want the end", m, err)
	}
	if _, body := get(t, s, "/metrics"); !strings.Contains(body, "quorate_service_panics_total 1\n") {
		t.Error("the panic was not counted")
	}
}

// case E10; without places more than maxStreamed wait at once, and it turns red.
func TestAStreamHasSoManyTransactionsInHand(t *testing.T) {
	n := &fakeNode{committee: newCommittee(t)}
	entered, letGo := make(chan struct{}, 2*maxStreamed), make(chan struct{})
	n.answers(func(context.Context) error {
		entered <- struct{}{}
		<-letGo
		return bft.ErrPoolFull
	})
	s := serve(t, n)
	raw := n.request(kv.Put([]byte("k"), nil)).Bytes()
	stream := openStream(t, s.addr())
	for i := range 2 * maxStreamed {
		send(t, stream, uint64(i), raw)
	}

	for range maxStreamed {
		<-entered
	}
	for range maxStreamed {
		// What has been answered makes room for one more, and nothing else does.
		letGo <- struct{}{}
		receive(t, stream)
		<-entered
		if more := len(entered); more != 0 {
			t.Fatalf("%d more than may are in hand", more)
		}
	}
	close(letGo)
	seen := make(map[uint64]bool)
	for range maxStreamed {
		seen[receive(t, stream).GetTag()] = true
	}
	if len(seen) != maxStreamed {
		t.Errorf("of the last %d, %d had an answer", maxStreamed, len(seen))
	}
}

// case E10; a service whose answers are not timed never gives this caller up.
func TestACallerThatReadsNoAnswersOfAStreamIsCutOff(t *testing.T) {
	s := serve(t, &fakeNode{committee: newCommittee(t)})
	impatient := httptest.NewUnstartedServer(s.handler(writeTimeout / 20))
	impatient.Config.Protocols = clearHTTP2()
	impatient.Start()
	defer impatient.Close()
	stream := openStream(t, impatient.Listener.Addr().String())
	long := &quoratev1.SubmitRequest{Transaction: []byte("nonsense")}
	for stream.Send(&quoratev1.SubmitStreamRequest{Request: long}) == nil {
	}
}

// A stream ends with the node, and what was in hand has an unknown outcome.
// Red if the end of the service does not end the reading.
func TestAStreamEndsWithTheNode(t *testing.T) {
	n := &fakeNode{committee: newCommittee(t)}
	entered := make(chan struct{})
	n.answers(func(ctx context.Context) error {
		close(entered)
		<-ctx.Done()
		return ctx.Err()
	})
	s := serve(t, n)
	stream := openStream(t, s.addr())
	send(t, stream, 1, n.request(kv.Put([]byte("k"), nil)).Bytes())
	<-entered

	s.end()
	if m := receive(t, stream); m.GetRefusal().GetReason() != string(reason.OutcomeUnknown) {
		t.Errorf("got %v", m)
	}
	_, err := stream.Receive()
	wantReason(t, err, reason.Stopping)
}
