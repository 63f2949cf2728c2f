package node

import (
	"context"
	"net/http"
	"testing"

	"connectrpc.com/connect"

	quoratev1 "github.com/quorate/quorate/api/quorate/v1"
	"github.com/quorate/quorate/api/quorate/v1/quoratev1connect"
	"github.com/quorate/quorate/api/reason"
	"github.com/quorate/quorate/statemachine/kv"
)

// case E10; not counting the memory of calls turns it red: more of them wait.
func TestOfTenThousandCallsThatWaitOnlySoManyAreLetIn(t *testing.T) {
	const calls, connections = 10_000, 100
	const most = min(maxWaitingPerAddress, maxCallBytesPerAddress/callBytes)
	n := &fakeNode{committee: newCommittee(t)}
	entered, left := make(chan struct{}, calls), make(chan struct{}, calls)
	n.answers(func(ctx context.Context) error {
		entered <- struct{}{}
		<-ctx.Done()
		left <- struct{}{}
		return ctx.Err()
	})
	s := serve(t, n)
	raw := n.request(kv.Put([]byte("k"), nil)).Bytes()
	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	refused := make(chan error, calls)
	waiting := 0
	for range connections {
		transport := &http.Transport{Protocols: clearHTTP2(), MaxConnsPerHost: 1}
		defer transport.CloseIdleConnections()
		client := quoratev1connect.NewNodeServiceClient(&http.Client{Transport: transport}, "http://"+s.addr())
		for range calls / connections {
			go func() {
				_, err := client.Submit(ctx, connect.NewRequest(&quoratev1.SubmitRequest{Transaction: raw}))
				refused <- err
			}()
		}
		for range calls / connections { // each has come to one or the other before more come
			select {
			case <-entered:
				waiting++
			case err := <-refused:
				wantReason(t, err, reason.TooManyWaiting)
			}
		}
	}
	if waiting != most {
		t.Errorf("%d wait, want %d", waiting, most)
	}

	hangUp()
	for range most {
		<-left
	}
}
