package client

import (
	"context"
	"errors"
	"testing"
	"time"

	quoratev1 "github.com/quorate/quorate/api/quorate/v1"
	"github.com/quorate/quorate/api/reason"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
)

func wantApplied(t *testing.T, o Outcome, err error, q *message.Request) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	if o.ID != q.ID() || o.Seq != 7 || o.Status != Applied || string(o.Result) != "result" {
		t.Fatalf("outcome %+v", o)
	}
}

func TestAVerifiedReceiptIsAnOutcome(t *testing.T) {
	c := newChain()
	client, nodes := network(t, c)
	q := c.request(1)
	nodes[0].submit = func(_ context.Context, m *quoratev1.SubmitRequest) (*quoratev1.SubmitResponse, error) {
		if string(m.Transaction) != string(q.Bytes()) {
			t.Error("other bytes than the transaction's")
		}
		return &quoratev1.SubmitResponse{Receipt: c.receipt(Applied, q)}, nil
	}
	o, err := client.Submit(t.Context(), q)
	wantApplied(t, o, err, q)
	if o.Receipt == nil || o.Index != 1 {
		t.Errorf("outcome %+v", o)
	}
	for i, n := range nodes[1:] {
		if n.asked.Load() != 0 {
			t.Errorf("node %d was asked too, although the first one was quick", i+2)
		}
	}
}

// case L2: a lying node. To see it fail, do not verify the receipt, or verify it for e.Witnesses().
func TestAForgedReceiptIsNotBelieved(t *testing.T) {
	c := newChain()
	q := c.request(1)
	lies := map[string]func(*quoratev1.SubmitResponse){
		"another result":    func(a *quoratev1.SubmitResponse) { a.Receipt.Result.Value = []byte("forged") },
		"another status":    func(a *quoratev1.SubmitResponse) { a.Receipt.Result.Status = quoratev1.Status_STATUS_FAILED },
		"another place":     func(a *quoratev1.SubmitResponse) { a.Receipt.Index = 0 },
		"another count":     func(a *quoratev1.SubmitResponse) { a.Receipt.Count = 4 },
		"another path":      func(a *quoratev1.SubmitResponse) { a.Receipt.Path[0][0] ^= 1 },
		"another header":    func(a *quoratev1.SubmitResponse) { a.Receipt.Headers[0][40] ^= 1 },
		"too few vouch":     func(a *quoratev1.SubmitResponse) { a.Receipt.Attestations = a.Receipt.Attestations[:2] },
		"one vouches twice": func(a *quoratev1.SubmitResponse) { a.Receipt.Attestations[2] = a.Receipt.Attestations[1] },
		"a bad signature":   func(a *quoratev1.SubmitResponse) { a.Receipt.Attestations[1].Signature[0] ^= 1 },
		"a stranger vouches": func(a *quoratev1.SubmitResponse) {
			a.Receipt.Attestations[2] = wireVote(c.signed(5, &message.Attestation{Seq: 7, Header: crypto.Digest{1}}))
		},
		"of another transaction": func(a *quoratev1.SubmitResponse) { a.Receipt = c.receipt(Applied, c.request(2)) },
		"no header":              func(a *quoratev1.SubmitResponse) { a.Receipt.Headers = nil },
		"no result":              func(a *quoratev1.SubmitResponse) { a.Receipt.Result = nil },
		"a short digest":         func(a *quoratev1.SubmitResponse) { a.Receipt.Path[0] = a.Receipt.Path[0][:31] },
		"a short header":         func(a *quoratev1.SubmitResponse) { a.Receipt.Headers[0] = a.Receipt.Headers[0][1:] },
		"a short signature":      func(a *quoratev1.SubmitResponse) { a.Receipt.Attestations[0].Signature = nil },
		"a vote that is none":    func(a *quoratev1.SubmitResponse) { a.Receipt.Attestations[0].Signed = []byte("vote") },
		"a code beyond 16 bits":  func(a *quoratev1.SubmitResponse) { a.Receipt.Result.Code = 1 << 16 },
		"nothing at all":         func(a *quoratev1.SubmitResponse) { a.Reset() },
	}
	for name, lie := range lies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, nodes := network(t, c)
			forged := &quoratev1.SubmitResponse{Receipt: c.receipt(Applied, q)}
			lie(forged)
			nodes[0].submit = func(context.Context, *quoratev1.SubmitRequest) (*quoratev1.SubmitResponse, error) { return forged, nil }
			for _, n := range nodes[1:] {
				n.submit = proves(c.receipt(Applied, q))
			}
			o, err := client.Submit(t.Context(), q)
			wantApplied(t, o, err, q)
			if nodes[0].asked.Load() != 1 {
				t.Errorf("the liar was asked %d times", nodes[0].asked.Load())
			}
			if client.preferred.Load() == 0 {
				t.Error("the liar is still asked first")
			}
		})
	}
}

func TestANodeThatIsGoneCostsNothingButATry(t *testing.T) {
	c := newChain()
	q := c.request(1)
	up := serve(t, &fake{submit: proves(c.receipt(Applied, q))})
	client := newClient(t, c, gone(t), up.url)
	o, err := client.Submit(t.Context(), q)
	wantApplied(t, o, err, q)
	if client.preferred.Load() != 1 {
		t.Error("the node that is gone is still asked first")
	}
}

// To see it fail, never widen: the call ends when attemptTimeout has passed.
func TestANodeThatHangsIsNotWaitedFor(t *testing.T) {
	c := newChain()
	client, nodes := network(t, c)
	q := c.request(1)
	for i, n := range nodes {
		n.submit = proves(c.receipt(Applied, q))
		if i == 0 {
			n.submit = hangs
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), attemptTimeout/2)
	defer cancel()
	o, err := client.Submit(ctx, q)
	wantApplied(t, o, err, q)
}

// case L4: To see it fail, return ctx.Err() when it ends.
func TestAtTheDeadlineTheOutcomeIsUnknownAndNamed(t *testing.T) {
	c := newChain()
	client, nodes := network(t, c)
	q := c.request(1)
	nodes[0].submit = hangs
	nodes[1].submit = refuses(reason.OutcomeUnknown)
	nodes[2].submit = refuses(reason.NotReady)
	nodes[3].submit = says(q.ID(), 7, Applied, "in one node's words")
	client.latency.Store(1)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := client.Submit(ctx, q)
	var unknown *Unknown
	if !errors.Is(err, ErrUnknown) || !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &unknown) || unknown.ID != q.ID() {
		t.Errorf("error is %v", err)
	}
}

func TestOneNodesRefusalIsNotBelieved(t *testing.T) {
	c := newChain()
	client, nodes := network(t, c)
	q := c.request(1)
	for _, n := range nodes[1:] {
		n.submit = proves(c.receipt(Failed, q))
	}
	for _, r := range []reason.Reason{reason.NonceUsed, reason.Expired, reason.BadSignature, reason.DecidedEarlier} {
		client.preferred.Store(0)
		nodes[0].submit = refuses(r)
		o, err := client.Submit(t.Context(), q)
		if err != nil || o.Status != Failed {
			t.Errorf("after %s by one: %v, %v", r, o, err)
		}
	}
}

// To see it fail, believe nobody's refusal.
func TestWhatOneCorrectNodeAtLeastRefusesIsRefused(t *testing.T) {
	c := newChain()
	client, nodes := network(t, c)
	q := c.request(1)
	for _, n := range nodes {
		n.submit = refuses(reason.Expired)
	}
	nodes[0].submit = refuses(reason.NonceUsed) // a liar
	_, err := client.Submit(t.Context(), q)
	var refused *Refused
	if !errors.As(err, &refused) || refused.Reason != reason.Expired || refused.ID != q.ID() || errors.Is(err, ErrUnknown) {
		t.Errorf("error is %v", err)
	}
}

// To see it fail, count a refusal for whatever reason as the same.
func TestRefusalsForDifferentReasonsDoNotAddUp(t *testing.T) {
	c := newChain()
	client, nodes := network(t, c)
	q := c.request(1)
	for i, r := range []reason.Reason{reason.Expired, reason.NonceUsed, reason.BadSignature, reason.DecidedEarlier} {
		nodes[i].submit = refuses(r)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := client.Submit(ctx, q); !errors.Is(err, ErrUnknown) {
		t.Errorf("error is %v", err)
	}
}

// A full pool, or a node that is not ready, is not the transaction's end. To see it fail, make them final.
func TestWhatIsOfTheMomentIsTriedAgain(t *testing.T) {
	c := newChain()
	q := c.request(1)
	for _, r := range []reason.Reason{reason.PoolFull, reason.NotReady, reason.TooManyWaiting, reason.Stopping, reason.Internal} {
		t.Run(string(r), func(t *testing.T) {
			t.Parallel()
			f := serve(t, &fake{})
			f.submit = func(ctx context.Context, m *quoratev1.SubmitRequest) (*quoratev1.SubmitResponse, error) {
				if f.asked.Load() == 1 {
					return nil, refusal(r)
				}
				return proves(c.receipt(Applied, q))(ctx, m)
			}
			o, err := newClient(t, c, f.url).Submit(t.Context(), q)
			wantApplied(t, o, err, q)
		})
	}
}

func TestEqualWordsOfEnoughNodesAreBelievedWithoutProof(t *testing.T) {
	c := newChain()
	q := c.request(1)
	client, nodes := network(t, c)
	nodes[0].submit = says(q.ID(), 6, Failed, "a lie")
	for _, n := range nodes[1:] {
		n.submit = says(q.ID(), 7, Applied, "result")
	}
	o, err := client.Submit(t.Context(), q)
	wantApplied(t, o, err, q)
	if o.Receipt != nil {
		t.Error("a receipt from nowhere")
	}
}

// To see it fail, believe any proven status: an old proof of "too distant" would hide that it was executed later.
func TestOnlyAProofThatIsTheLastWordEndsASubmissionAlone(t *testing.T) {
	c := newChain()
	q := c.request(1)
	for status, final := range map[Status]reason.Reason{
		Expired: reason.Expired, NonceUsed: reason.NonceUsed,
		Duplicate: "", DecidedEarlier: "", NonceTooDistant: "", LastTooDistant: "", Invalid: "",
	} {
		t.Run(status.String(), func(t *testing.T) {
			t.Parallel()
			client, nodes := network(t, c)
			nodes[0].submit = proves(c.receipt(status, q))
			for _, n := range nodes[1:] {
				n.submit = proves(c.receipt(Applied, q))
			}
			o, err := client.Submit(t.Context(), q)
			if final == "" {
				wantApplied(t, o, err, q)
				return
			}
			var refused *Refused
			if !errors.As(err, &refused) || refused.Reason != final {
				t.Errorf("error is %v, want %s", err, final)
			}
		})
	}
}

func TestAcceptIsContentWithOneNode(t *testing.T) {
	c := newChain()
	q := c.request(1)
	up := serve(t, &fake{submit: func(_ context.Context, m *quoratev1.SubmitRequest) (*quoratev1.SubmitResponse, error) {
		if m.Wait != quoratev1.Wait_WAIT_ACCEPTED {
			t.Errorf("asked to wait for %s", m.Wait)
		}
		id := q.ID()
		return &quoratev1.SubmitResponse{Id: id[:]}, nil
	}})
	if err := newClient(t, c, gone(t), up.url).Accept(t.Context(), q); err != nil {
		t.Error(err)
	}
}

// Many callers share a client. To see it fail under -race, keep the tries in the Client.
func TestManySubmitAtOnce(t *testing.T) {
	c := newChain()
	client, nodes := network(t, c)
	receipts := map[string]*quoratev1.Receipt{}
	var requests []*message.Request
	for i := range 64 {
		q := c.request(uint64(i + 1))
		requests = append(requests, q)
		receipts[string(q.Bytes())] = c.receipt(Applied, q)
	}
	for _, n := range nodes {
		n.submit = func(ctx context.Context, m *quoratev1.SubmitRequest) (*quoratev1.SubmitResponse, error) {
			return proves(receipts[string(m.Transaction)])(ctx, m)
		}
	}
	failed := make(chan error, len(requests))
	for _, q := range requests {
		go func() {
			_, err := client.Submit(t.Context(), q)
			failed <- err
		}()
	}
	for range requests {
		if err := <-failed; err != nil {
			t.Error(err)
		}
	}
}

// The attestations of a block are verified once for all its transactions.
func TestWhatIsVerifiedIsRemembered(t *testing.T) {
	c := newChain()
	client, nodes := network(t, c)
	q := c.request(1)
	nodes[0].submit = proves(c.receipt(Applied, q))
	for range 3 {
		if _, err := client.Submit(t.Context(), q); err != nil {
			t.Fatal(err)
		}
	}
	if _, verified := client.scheme.Counts(); verified != uint64(epoch.Quorum(epoch.Byzantine, 4)) {
		t.Errorf("%d signatures verified for three receipts of one block", verified)
	}
}
