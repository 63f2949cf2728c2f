package node

import (
	"encoding/json"
	"net/http"
	neturl "net/url"
	"testing"

	"connectrpc.com/connect"

	quoratev1 "github.com/quorate/quorate/api/quorate/v1"
	"github.com/quorate/quorate/api/quorate/v1/quoratev1connect"
	"github.com/quorate/quorate/api/reason"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/statemachine/kv"
)

// Whoever watches over Connect or gRPC is told of every slot from where he was on, once and in order, and first of all how things
// stand; and why it ends.
// Red if Watch begins with what is committed now, whatever its caller knows.
func TestWatchGoesOnWhereItWas(t *testing.T) {
	w := newNetwork(t)
	w.start(1, 2, 3, 4)
	w.ready(1, 2, 3, 4)
	for range 5 {
		w.submit(1, w.request(kv.Put([]byte("key"), []byte("value"))))
	}
	tip := uint64(w.same(1, 2, 3, 4).Seq)
	after := tip - 2
	transport := &http.Transport{Protocols: clearHTTP2()}
	defer transport.CloseIdleConnections()
	for name, caller := range map[string]quoratev1connect.NodeServiceClient{
		"Connect": quoratev1connect.NewNodeServiceClient(http.DefaultClient, url(w, 2)),
		"gRPC":    quoratev1connect.NewNodeServiceClient(&http.Client{Transport: transport}, url(w, 2), connect.WithGRPC()),
	} {
		stream, err := caller.Watch(t.Context(), connect.NewRequest(&quoratev1.WatchRequest{After: &after}))
		if err != nil {
			t.Fatal(err)
		}
		defer stream.Close()
		var states []string
		for next := after + 1; next <= tip; {
			if !stream.Receive() {
				t.Fatalf("%s: ended before slot %d: %v", name, next, stream.Err())
			}
			switch e := stream.Msg().GetEvent().(type) {
			case *quoratev1.WatchResponse_Epoch:
				states = append(states, "epoch")
			case *quoratev1.WatchResponse_View:
				states = append(states, "view")
			case *quoratev1.WatchResponse_Checkpoint:
				states = append(states, "checkpoint")
			case *quoratev1.WatchResponse_Ready:
				states = append(states, "ready")
			case *quoratev1.WatchResponse_Committed:
				if c := e.Committed; c.GetSeq() != next || c.GetTransactions() == 0 || len(c.GetHeaderDigest()) != crypto.DigestSize {
					t.Fatalf("%s: %v, want slot %d", name, c, next)
				}
				next++
			}
		}
		if len(states) < 4 || states[0] != "epoch" || states[1] != "view" || states[2] != "checkpoint" || states[3] != "ready" {
			t.Errorf("%s: told first of %v", name, states)
		}
	}

	stream, err := quoratev1connect.NewNodeServiceClient(http.DefaultClient, url(w, 2)).Watch(t.Context(), connect.NewRequest(&quoratev1.WatchRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	stream.Receive()
	w.stop(2)
	for stream.Receive() {
		if c := stream.Msg().GetCommitted(); c != nil && c.GetSeq() <= tip {
			t.Errorf("told of slot %d, which was committed before", c.GetSeq())
		}
	}
	wantReason(t, stream.Err(), reason.Stopping)
}

func TestWatchRefusesANonsensicalPlace(t *testing.T) {
	s := serve(t, &fakeNode{committee: newCommittee(t)})
	after := uint64(1 << 63)
	stream, err := dial(s).Watch(t.Context(), connect.NewRequest(&quoratev1.WatchRequest{After: &after}))
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if stream.Receive() {
		t.Errorf("got %v", stream.Msg())
	}
	wantReason(t, stream.Err(), reason.BadParameters)
}

// Red if GetReceipt answers without a receipt where it has none.
func TestGetReceiptProvesAnOutcomeOrSaysThatItCannot(t *testing.T) {
	n := &fakeNode{committee: newCommittee(t)}
	s := serve(t, n)
	id := n.put("k", "v").ID()
	ask := func(id []byte) (*quoratev1.Receipt, error) {
		got, err := dial(s).GetReceipt(t.Context(), connect.NewRequest(&quoratev1.GetReceiptRequest{Id: id}))
		if err != nil {
			return nil, err
		}
		return got.Msg.GetReceipt(), nil
	}

	got, err := ask(id[:])
	if err != nil || crypto.Digest(got.GetResult().GetId()) != id || len(got.GetHeaders()) == 0 || len(got.GetAttestations()) < 3 {
		t.Errorf("%v, %v", got, err)
	}
	_, err = ask(make([]byte, crypto.DigestSize))
	wantReason(t, err, reason.NotFound)
	_, err = ask(id[1:])
	wantReason(t, err, reason.BadParameters)
	n.noReceipt = errUnproven
	_, err = ask(id[:])
	wantReason(t, err, reason.Unproven)
}

// What has no side effects is asked for with GET as well, so that caches and browsers may.
// Red if a call loses its idempotency_level in the .proto.
func TestReadsAreAlsoGETs(t *testing.T) {
	n := &fakeNode{committee: newCommittee(t)}
	s := serve(t, n)
	id := n.put("k", "v").ID()
	text, err := json.Marshal(id[:])
	if err != nil {
		t.Fatal(err)
	}
	query, err := json.Marshal(kv.GetQuery([]byte("k")))
	if err != nil {
		t.Fatal(err)
	}
	for call, question := range map[string]string{
		"GetTransaction": `{"id":` + string(text) + `}`, "GetReceipt": `{"id":` + string(text) + `}`, "GetBlock": `{"seq":"1"}`,
		"Read": `{"query":` + string(query) + `}`, "Scan": `{}`, "ListEvidence": `{}`,
	} {
		code, body := get(t, s, "/quorate.v1.NodeService/"+call+"?connect=v1&encoding=json&message="+neturl.QueryEscape(question))
		if code != http.StatusOK {
			t.Errorf("%s: %d %s", call, code, body)
		}
	}
	if code, _ := get(t, s, "/quorate.v1.NodeService/Submit?connect=v1&encoding=json&message=%7B%7D"); code != http.StatusMethodNotAllowed {
		t.Errorf("Submit by GET: %d", code)
	}
}
