package node

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	quoratev1 "github.com/quorate/quorate/api/quorate/v1"
	"github.com/quorate/quorate/api/quorate/v1/quoratev1connect"
	"github.com/quorate/quorate/api/reason"
	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/node/host"
	"github.com/quorate/quorate/statemachine/kv"
)

var rewrite = flag.Bool("rewrite", false, "write what the service answers into testdata; read it before you commit it")

func dial(s *service) quoratev1connect.NodeServiceClient {
	return quoratev1connect.NewNodeServiceClient(http.DefaultClient, "http://"+s.addr())
}

func submit(t *testing.T, s *service, raw []byte, wait quoratev1.Wait) (*quoratev1.SubmitResponse, error) {
	t.Helper()
	got, err := dial(s).Submit(t.Context(), connect.NewRequest(&quoratev1.SubmitRequest{Transaction: raw, Wait: wait}))
	if err != nil {
		return nil, err
	}
	return got.Msg, nil
}

// wantReason checks an error's name, and that its code is the one that the table gives it.
func wantReason(t *testing.T, err error, want reason.Reason) *connect.Error {
	t.Helper()
	got, ok := reason.Of(err)
	if !ok || got != want {
		t.Fatalf("error %v has the reason %q, want %q", err, got, want)
	}
	if connect.CodeOf(err) != want.Code() {
		t.Fatalf("error %v has the code %s, want %s", err, connect.CodeOf(err), want.Code())
	}
	var e *connect.Error
	errors.As(err, &e)
	return e
}

// waits are the ways to wait for a transaction.
var waits = []quoratev1.Wait{quoratev1.Wait_WAIT_COMMITTED, quoratev1.Wait_WAIT_ACCEPTED}

// answers has every wait end as the function says.
func (n *fakeNode) answers(end func(context.Context) error) {
	n.submitted = func(ctx context.Context, _ *message.Request) (Decision, error) { return Decision{}, end(ctx) }
	n.accepted = func(ctx context.Context, _ *message.Request) error { return end(ctx) }
}

// To see it fail, leave a row out of refusals: it comes back as internal.
func TestEveryRefusalOfTheNodeHasItsName(t *testing.T) {
	n := &fakeNode{committee: newCommittee(t)}
	s := serve(t, n)
	q := n.request(kv.Put([]byte("k"), []byte("v")))
	wrap := func(err error) error { return fmt.Errorf("transaction: %w, and more", err) }
	for _, c := range []struct {
		err  error
		want reason.Reason
	}{
		{bft.ErrForeignChain, reason.ForeignChain},
		{wrap(bft.ErrTooLarge), reason.TooLarge},
		{bft.ErrSignature, reason.BadSignature},
		{wrap(host.ErrNonceUsed), reason.NonceUsed},
		{host.ErrDecidedEarlier, reason.DecidedEarlier},
		{wrap(host.ErrExpired), reason.Expired},
		{host.ErrNonceDistant, reason.NonceTooDistant},
		{wrap(host.ErrLastDistant), reason.LastTooDistant},
		{bft.ErrPoolFull, reason.PoolFull},
		{ErrBusy, reason.PoolFull},
		{errors.New("disk is on fire"), reason.Internal},
	} {
		n.answers(func(context.Context) error { return c.err })
		for _, wait := range waits {
			_, err := submit(t, s, q.Bytes(), wait)
			e := wantReason(t, err, c.want)
			if got := e.Meta().Get(reason.HeaderTransaction); got != q.ID().String() {
				t.Errorf("%s is about %q, want %s", c.want, got, q.ID())
			}
			if again := e.Meta().Get("Retry-After"); (again != "") != (c.want.RetryAfter() != 0) {
				t.Errorf("%s says Retry-After %q", c.want, again)
			}
		}
	}
}

func TestWhatTheDoorRefusesHasItsName(t *testing.T) {
	n := &fakeNode{committee: newCommittee(t)}
	n.submitted = func(context.Context, *message.Request) (Decision, error) {
		t.Error("the node was asked")
		return Decision{}, errors.New("asked")
	}
	s := serve(t, n)
	good := n.request(kv.Put([]byte("k"), []byte("v"))).Bytes()
	for _, c := range []struct {
		name string
		raw  []byte
		want reason.Reason
	}{
		{"nothing", nil, reason.Malformed},
		{"cut short", good[:len(good)-1], reason.Malformed},
		{"a byte too many", append(append([]byte{}, good...), 0), reason.Malformed},
		{"larger than any transaction", make([]byte, message.MaxRequestBytes+1), reason.TooLarge},
		{"larger than any call", make([]byte, maxBodyBytes+1), reason.TooLarge},
		{"no such operation", n.request([]byte{99}).Bytes(), reason.UnknownOperation},
		{"a key that is too long", n.request(kv.Put(make([]byte, kv.MaxKeyBytes+1), nil)).Bytes(), reason.InvalidOperation},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := submit(t, s, c.raw, quoratev1.Wait_WAIT_COMMITTED)
			wantReason(t, err, c.want)
		})
	}
	_, err := submit(t, s, good, 17)
	wantReason(t, err, reason.BadParameters)
}

// A node that catches up, or has diverged, takes in nothing, and reads no more than writes: both are ordered.
//
// case L5; answering a read out of its own state turns it red.
func TestANodeThatIsNotReadySaysSoAndWhy(t *testing.T) {
	n := &fakeNode{committee: newCommittee(t), notReady: "12 slots behind"}
	s := serve(t, n)

	for _, operation := range [][]byte{kv.Put([]byte("k"), nil), kv.Get([]byte("k"))} {
		_, err := submit(t, s, n.request(operation).Bytes(), quoratev1.Wait_WAIT_COMMITTED)
		if wantReason(t, err, reason.NotReady); !strings.Contains(err.Error(), "12 slots behind") {
			t.Errorf("%v does not say why", err)
		}
	}
	if code, body := get(t, s, "/readyz"); code != 503 || !strings.Contains(body, "12 slots behind") {
		t.Errorf("/readyz answers %d %s", code, body)
	}
	if code, _ := get(t, s, "/healthz"); code != 200 {
		t.Errorf("/healthz answers %d although the process answers", code)
	}

	n.mu.Lock()
	n.notReady = ""
	n.mu.Unlock()
	if code, body := get(t, s, "/readyz"); code != 200 {
		t.Errorf("/readyz answers %d %s although it is ready", code, body)
	}
}

func TestACommitComesWithAReceiptThatVerifies(t *testing.T) {
	n := &fakeNode{committee: newCommittee(t)}
	n.submitted = n.decided
	s := serve(t, n)
	n.put("before", "1")
	q := n.put("k", "v")
	n.put("after", "2")

	got, err := submit(t, s, q.Bytes(), quoratev1.Wait_WAIT_UNSPECIFIED)
	if err != nil {
		t.Fatal(err)
	}
	if got.Seq != 2 || got.Index != 0 || got.Status != quoratev1.Status_STATUS_APPLIED || crypto.Digest(got.Id) != q.ID() {
		t.Errorf("got %v", got)
	}
	if err := readReceipt(t, got.Receipt).Verify(n.genesis.Epoch(), n.scheme, n.Epoch().Quorum()); err != nil {
		t.Error(err)
	}

	again, err := dial(s).GetTransaction(t.Context(), connect.NewRequest(&quoratev1.GetTransactionRequest{Id: got.Id}))
	if err != nil {
		t.Fatal(err)
	}
	if again.Msg.Seq != got.Seq || again.Msg.Status != got.Status || again.Msg.Receipt == nil {
		t.Errorf("GetTransaction says %v", again.Msg)
	}
}

func readReceipt(t *testing.T, in *quoratev1.Receipt) *proof.Receipt {
	t.Helper()
	r := &proof.Receipt{
		Result: proof.Result{
			ID: crypto.Digest(in.Result.Id), Status: uint8(in.Result.Status), Code: uint16(in.Result.Code),
			Seq: 2, Value: in.Result.Value,
		},
		Index: int(in.Index), Count: int(in.Count),
	}
	for _, p := range in.Path {
		r.Path = append(r.Path, crypto.Digest(p))
	}
	for _, h := range in.Headers {
		r.Headers = append(r.Headers, proof.ReadHeader(message.NewReader(h)))
	}
	for _, a := range in.Attestations {
		var w message.Writer
		w.String(a.Signed)
		w.Fixed(a.Signature)
		r.Attestations = append(r.Attestations, message.ReadDetached(message.NewReader(w.Bytes())))
	}
	return r
}

func TestAReceiptThatIsNoLongerAtHandDoesNotHideTheOutcome(t *testing.T) {
	n := &fakeNode{committee: newCommittee(t), noReceipt: errors.New("gone")}
	s := serve(t, n)
	id := n.put("k", "v").ID()
	got, err := dial(s).GetTransaction(t.Context(), connect.NewRequest(&quoratev1.GetTransactionRequest{Id: id[:]}))
	if err != nil {
		t.Fatal(err)
	}
	if got.Msg.Receipt != nil || got.Msg.Status != quoratev1.Status_STATUS_APPLIED {
		t.Errorf("got %v", got.Msg)
	}
}

// case L4: whoever stops waiting is told which transaction to ask about, and never that it failed.
//
// To see it fail, map context errors to refusal in outcomeError.
func TestWhoStopsWaitingHearsThatTheOutcomeIsUnknown(t *testing.T) {
	n := &fakeNode{committee: newCommittee(t)}
	waiting := make(chan struct{}, 1)
	n.answers(func(ctx context.Context) error {
		waiting <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	q := n.request(kv.Put([]byte("k"), nil))

	for _, wait := range waits {
		s := serve(t, n)
		t.Run(wait.String()+" when its own time is up", func(t *testing.T) {
			// A deadline in the header only, so that the node's answer ends the call and not the caller's own clock.
			call := connect.NewRequest(&quoratev1.SubmitRequest{Transaction: q.Bytes(), Wait: wait})
			call.Header().Set("Connect-Timeout-Ms", "50")
			_, err := dial(s).Submit(t.Context(), call)
			<-waiting
			e := wantReason(t, err, reason.OutcomeUnknown)
			if e.Meta().Get(reason.HeaderTransaction) != q.ID().String() {
				t.Errorf("does not name the transaction: %v", e.Meta())
			}
		})

		t.Run(wait.String()+" when the node stops", func(t *testing.T) {
			answer := make(chan error, 1)
			go func() {
				_, err := submit(t, s, q.Bytes(), wait)
				answer <- err
			}()
			<-waiting
			if err := s.stop(t.Context()); err != nil {
				t.Error(err)
			}
			e := wantReason(t, <-answer, reason.OutcomeUnknown)
			if e.Meta().Get(reason.HeaderTransaction) != q.ID().String() {
				t.Errorf("does not name the transaction: %v", e.Meta())
			}
		})
	}
}

// Nobody waits for ever, although he says nothing of how long he would.
// To see it fail, take the timeout out of admit.
func TestEveryWaitHasAnEnd(t *testing.T) {
	n := &fakeNode{committee: newCommittee(t)}
	n.answers(func(ctx context.Context) error {
		if end, ok := ctx.Deadline(); !ok || time.Until(end) > maxWait {
			t.Errorf("the wait ends at %v", end)
		}
		return bft.ErrPoolFull
	})
	s := serve(t, n)
	for _, wait := range waits {
		_, err := submit(t, s, n.request(kv.Put([]byte("k"), nil)).Bytes(), wait)
		wantReason(t, err, reason.PoolFull)
	}
}

// To see it fail, do not enter s.waiting.
func TestOneAddressCannotTakeAllThePlacesToWait(t *testing.T) {
	for _, wait := range waits {
		t.Run(wait.String(), func(t *testing.T) {
			n := &fakeNode{committee: newCommittee(t)}
			entered, leave := make(chan struct{}), make(chan struct{})
			n.answers(func(context.Context) error {
				entered <- struct{}{}
				<-leave
				return bft.ErrPoolFull
			})
			s := serve(t, n)
			s.waiting = newGate(10, 1)
			q := n.request(kv.Put([]byte("k"), nil))
			done := make(chan error, 1)
			go func() {
				_, err := submit(t, s, q.Bytes(), wait)
				done <- err
			}()
			<-entered

			for _, other := range waits {
				_, err := submit(t, s, q.Bytes(), other)
				wantReason(t, err, reason.TooManyWaiting)
			}

			close(leave)
			wantReason(t, <-done, reason.PoolFull)
			go func() { <-entered }()
			_, err := submit(t, s, q.Bytes(), wait)
			wantReason(t, err, reason.PoolFull) // there is room again
		})
	}
}

// To see it fail, count no panics, or do not recover.
func TestAPanicCostsOneAnswerAndIsCounted(t *testing.T) {
	n := &fakeNode{committee: newCommittee(t)}
	n.submitted = func(context.Context, *message.Request) (Decision, error) { panic("a defect") }
	s := serve(t, n)
	q := n.request(kv.Put([]byte("k"), nil))
	_, err := submit(t, s, q.Bytes(), quoratev1.Wait_WAIT_COMMITTED)
	wantReason(t, err, reason.Internal)
	if strings.Contains(err.Error(), "a defect") {
		t.Error("the caller sees what is inside")
	}
	if _, body := get(t, s, "/metrics"); !strings.Contains(body, "quorate_service_panics_total 1\n") {
		t.Error("the panic is not counted")
	}
}

func TestReadsStateTheSequenceNumberTheyAreTrueAt(t *testing.T) {
	n := &fakeNode{committee: newCommittee(t)}
	s := serve(t, n)
	n.put("a", "1")
	n.put("b", "2")
	n.put("a", "3")
	client := dial(s)
	one := uint64(1)

	now, err := client.Read(t.Context(), connect.NewRequest(&quoratev1.ReadRequest{Query: kv.GetQuery([]byte("a"))}))
	if err != nil {
		t.Fatal(err)
	}
	if v, _, _ := kv.DecodeContent(now.Msg.Answer); string(v) != "3" || now.Msg.Seq != 3 {
		t.Errorf("a is %q at %d, want 3 at 3", v, now.Msg.Seq)
	}
	then, err := client.Read(t.Context(), connect.NewRequest(&quoratev1.ReadRequest{Query: kv.GetQuery([]byte("a")), At: &one}))
	if err != nil {
		t.Fatal(err)
	}
	if v, _, _ := kv.DecodeContent(then.Msg.Answer); string(v) != "1" || then.Msg.Seq != 1 {
		t.Errorf("a was %q at %d, want 1 at 1", v, then.Msg.Seq)
	}

	all, err := client.Scan(t.Context(), connect.NewRequest(&quoratev1.ScanRequest{}))
	if err != nil {
		t.Fatal(err)
	}
	if len(all.Msg.Entries) != 2 || all.Msg.More || all.Msg.Seq != 3 || string(all.Msg.Entries[1].Value) != "2" {
		t.Errorf("scan: %v", all.Msg)
	}
	some, err := client.Scan(t.Context(), connect.NewRequest(&quoratev1.ScanRequest{Limit: 1}))
	if err != nil {
		t.Fatal(err)
	}
	if len(some.Msg.Entries) != 1 || !some.Msg.More {
		t.Errorf("scan of one: %v", some.Msg)
	}

	far := uint64(99)
	_, err = client.Read(t.Context(), connect.NewRequest(&quoratev1.ReadRequest{Query: kv.GetQuery([]byte("a")), At: &far}))
	wantReason(t, err, reason.Unreadable)
	_, err = client.Read(t.Context(), connect.NewRequest(&quoratev1.ReadRequest{Query: []byte{77}}))
	wantReason(t, err, reason.InvalidQuery)
	_, err = client.Scan(t.Context(), connect.NewRequest(&quoratev1.ScanRequest{Prefix: make([]byte, 1<<16)}))
	wantReason(t, err, reason.InvalidQuery)
}

func TestWhatIsNotThereHasItsName(t *testing.T) {
	n := &fakeNode{committee: newCommittee(t)}
	s := serve(t, n)
	n.put("a", "1")
	_, err := dial(s).GetBlock(t.Context(), connect.NewRequest(&quoratev1.GetBlockRequest{Seq: 2}))
	wantReason(t, err, reason.NotFound)
	_, err = dial(s).GetTransaction(t.Context(), connect.NewRequest(&quoratev1.GetTransactionRequest{Id: make([]byte, 32)}))
	wantReason(t, err, reason.NotFound)
	_, err = dial(s).GetTransaction(t.Context(), connect.NewRequest(&quoratev1.GetTransactionRequest{Id: make([]byte, 31)}))
	wantReason(t, err, reason.BadParameters)
	for path, want := range map[string]reason.Reason{
		"/block/2": reason.NotFound, "/block/0": reason.NotFound, "/block/x": reason.BadParameters,
		"/block/-1":                       reason.BadParameters,
		"/tx/" + strings.Repeat("0", 64):  reason.NotFound,
		"/tx/" + strings.Repeat("A", 64):  reason.BadParameters,
		"/tx/" + strings.Repeat("00", 31): reason.BadParameters,
		"/headers?from=0":                 reason.BadParameters,
		"/headers?from=x":                 reason.BadParameters,
		"/headers?to=-1":                  reason.BadParameters,
		"/headers?from=9":                 reason.NotFound,
		"/epoch/1":                        reason.NotFound,
		"/epoch/x":                        reason.BadParameters,
	} {
		code, body := get(t, s, path)
		if code != want.HTTPStatus() || !strings.Contains(body, fmt.Sprintf("%q", want)) {
			t.Errorf("%s answers %d %s, want %s", path, code, body, want)
		}
	}
	if code, _ := get(t, s, "/nothing"); code != 404 {
		t.Errorf("/nothing answers %d", code)
	}
}

// To see it fail, rename a field in api/plain.go, or write a number without quotes.
func TestPlainAnswersKeepTheirShape(t *testing.T) {
	n := &fakeNode{committee: newCommittee(t)}
	s := serve(t, n)
	q := n.put("k", "v")
	n.submit(n.request(kv.CompareAndSet([]byte("k"), []byte("x"), []byte("y"))))
	for name, path := range map[string]string{
		"status": "/status", "block": "/block/2", "tx": "/tx/" + q.ID().String(), "error": "/block/9",
		"headers": "/headers?from=2", "epoch": "/epoch/0", "evidence": "/evidence",
	} {
		t.Run(name, func(t *testing.T) {
			_, body := get(t, s, path)
			var value any
			if err := json.Unmarshal([]byte(body), &value); err != nil {
				t.Fatal(err)
			}
			got, err := json.MarshalIndent(value, "", "  ")
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, '\n')
			file := filepath.Join("testdata", "plain_"+name+".json")
			if *rewrite {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != string(want) {
				t.Errorf("%s answers\n%s\nwant\n%s", path, got, want)
			}
		})
	}
}

func TestMetricsHaveTheirNames(t *testing.T) {
	n := &fakeNode{committee: newCommittee(t)}
	s := serve(t, n)
	n.put("k", "v")
	s.metrics.received(message.KindPrepare, 100)
	s.metrics.sent(message.KindPrepare, 100, 3)
	s.metrics.syncs.Observe(0.001)
	s.metrics.refused.WithLabelValues("3", refusedRate).Inc()
	_, body := get(t, s, "/metrics")
	for _, want := range []string{
		"quorate_seq 1", "quorate_view 0", "quorate_epoch 0", "quorate_signatures_made_total 7", "quorate_signatures_verified_total 9",
		`quorate_messages_total{direction="in",kind="prepare"} 1`, `quorate_messages_total{direction="out",kind="prepare"} 3`,
		`quorate_bytes_total{direction="in"} 100`, `quorate_bytes_total{direction="out"} 300`,
		"quorate_log_syncs_total 1", "quorate_pool_transactions 5", "quorate_pool_bytes 500", "quorate_ready 1",
		`quorate_refused_total{member="3",reason="rate"} 1`,
	} {
		if !strings.Contains(body, "\n"+want+"\n") {
			t.Errorf("/metrics lacks %q", want)
		}
	}
	for _, want := range []string{"go_goroutines ", "process_resident_memory_bytes "} {
		if !strings.Contains(body, "\n"+want) {
			t.Errorf("/metrics lacks %q", want)
		}
	}
}

func TestOnePortSpeaksJSONOverPostAndGRPC(t *testing.T) {
	n := &fakeNode{committee: newCommittee(t)}
	n.submitted = n.decided
	s := serve(t, n)
	q := n.put("k", "v")

	answer, err := http.Post("http://"+s.addr()+"/quorate.v1.NodeService/GetBlock", "application/json", strings.NewReader(`{"seq":"1"}`))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var block struct {
		BatchTime    string
		Transactions []struct{ Result struct{ Status, Seq string } }
	}
	if err := json.NewDecoder(answer.Body).Decode(&block); err != nil {
		t.Fatal(err)
	}
	if len(block.Transactions) != 1 || block.Transactions[0].Result.Status != "STATUS_APPLIED" || block.Transactions[0].Result.Seq != "1" {
		t.Errorf("got %+v", block)
	}

	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: &protocols}
	defer transport.CloseIdleConnections()
	grpc := quoratev1connect.NewNodeServiceClient(&http.Client{Transport: transport}, "http://"+s.addr(), connect.WithGRPC())
	got, err := grpc.Submit(t.Context(), connect.NewRequest(&quoratev1.SubmitRequest{Transaction: q.Bytes()}))
	if err != nil || got.Msg.Seq != 1 {
		t.Errorf("over gRPC: %v, %v", got, err)
	}
	_, err = grpc.Submit(t.Context(), connect.NewRequest(&quoratev1.SubmitRequest{Transaction: make([]byte, maxBodyBytes+1)}))
	wantReason(t, err, reason.TooLarge)
}

func get(t *testing.T, s *service, path string) (code int, body string) {
	t.Helper()
	answer, err := http.Get("http://" + s.addr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	all, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(all)
}
