package node

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/node/host"
)

// Bounds of the door: how many requests wait to be checked, and how many are checked at once.
const (
	doorRequests = 4096
	doorBatch    = 512
)

var (
	// ErrBusy is that more requests come than can be checked.
	ErrBusy = errors.New("too many requests wait to be checked: retry later")
	// ErrStopping is that the node is going down.
	ErrStopping = errors.New("node is stopping")
)

// door is where requests from clients wait to be checked, many at a time.
type door struct {
	queue chan knock
}

type knock struct {
	request *message.Request
	reply   chan error // holds one
}

func newDoor() *door { return &door{queue: make(chan knock, doorRequests)} }

func verifiers() int { return runtime.GOMAXPROCS(0) }

// runVerifier checks the signatures of whatever waits, in batches, and lets in what holds.
func (n *Node) runVerifier() {
	for {
		var batch []knock
		select {
		case k := <-n.door.queue:
			batch = append(batch, k)
		case <-n.ended:
			return
		}
	gather:
		for len(batch) < doorBatch {
			select {
			case k := <-n.door.queue:
				batch = append(batch, k)
			default:
				break gather
			}
		}
		n.admit(batch)
	}
}

func (n *Node) admit(batch []knock) {
	requests := make([]*message.Request, len(batch))
	for i, k := range batch {
		requests[i] = k.request
	}
	errs := n.checker.Load().Requests(requests)
	var good []*message.Request
	size := 0
	for i, err := range errs {
		if err == nil && n.faults.Takes(requests[i]) {
			good = append(good, requests[i])
			size += requests[i].Size()
		}
	}
	if len(good) > 0 {
		n.inbox.put(item{bytes: size, call: func(h *host.Host) { n.submit(h, good) }})
	}
	for i, err := range errs {
		batch[i].reply <- err
	}
}

// submit belongs to the core.
func (n *Node) submit(h *host.Host, requests []*message.Request) {
	answers, err := h.Submit(requests)
	if err != nil {
		n.fail(err)
		return
	}
	for _, a := range answers {
		n.waiters.answer(a)
	}
}

// CheckOperation is the application's word on whether an operation could ever run.
func (n *Node) CheckOperation(op []byte) error { return n.cfg.Machine.Check(op) }

// knock has a request checked, and handed to the core if it holds.
func (n *Node) knock(ctx context.Context, q *message.Request) error {
	k := knock{q, make(chan error, 1)}
	select {
	case n.door.queue <- k:
	case <-n.stopping:
		return ErrStopping
	default:
		return ErrBusy
	}
	select {
	case err := <-k.reply:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-n.ended:
		return ErrStopping
	}
}

// Accept hands a request to the replica, and returns when it is in the pool, or its end is known.
func (n *Node) Accept(ctx context.Context, q *message.Request) error {
	w, err := n.waiters.join(q.ID())
	if err != nil {
		return err
	}
	defer n.depart(q, w)
	if err := n.knock(ctx, q); err != nil {
		return err
	}
	pooled := make(chan bool, 1)
	n.inbox.put(item{call: func(h *host.Host) { pooled <- h.Replica().Holds(q) }})
	for {
		select {
		case in := <-pooled:
			if in {
				return nil
			}
			pooled = nil // decided or refused: the answer is on its way
		case a := <-w:
			return a.Refusal
		case <-ctx.Done():
			return ctx.Err()
		case <-n.stopping:
			return ErrStopping
		case <-n.ended:
			return ErrStopping
		}
	}
}

// Submit hands a request to the replica and waits until its end is known: decided, and attested by a quorum; or
// refused. When ctx ends first, the outcome is unknown.
func (n *Node) Submit(ctx context.Context, q *message.Request) (Decision, error) {
	w, err := n.waiters.join(q.ID())
	if err != nil {
		return Decision{}, err
	}
	defer n.depart(q, w)
	begun := time.Now()
	if err := n.knock(ctx, q); err != nil {
		return Decision{}, err
	}
	n.stages.door(time.Since(begun))
	select {
	case a := <-w:
		n.stages.answered(time.Since(begun))
		if a.Refusal != nil {
			return Decision{}, a.Refusal
		}
		return n.decision(a)
	case <-ctx.Done():
		return Decision{}, ctx.Err()
	case <-n.stopping:
		return Decision{}, ErrStopping
	case <-n.ended:
		return Decision{}, ErrStopping
	}
}

// depart is called by a caller who waits no longer; the last one who goes without an answer has the host forget the
// request. Until the core gets to that, another caller of the same request may have come, whom the host must answer.
func (n *Node) depart(q *message.Request, w chan host.Answer) {
	if !n.waiters.leave(q.ID(), w) {
		return
	}
	n.inbox.put(item{call: func(h *host.Host) {
		if !n.waiters.has(q.ID()) {
			h.Forget(q)
		}
	}})
}

// decision completes an answer with what proves it.
func (n *Node) decision(a host.Answer) (Decision, error) {
	d := Decision{ID: a.ID, Seq: a.Seq, Index: a.Index}
	if a.Outcome != nil {
		d.Outcome = *a.Outcome
	} else {
		at, ok, err := n.state.Lookup(a.ID)
		if err == nil && !ok {
			err = fmt.Errorf("transaction %s was decided at %d, but is not in the state yet", a.ID, a.Seq)
		}
		if err != nil {
			return Decision{}, err
		}
		outcomes, ok, err := n.state.Outcomes(at.Seq)
		if err == nil && (!ok || at.Index >= len(outcomes)) {
			err = fmt.Errorf("block %d is not in the state yet", at.Seq)
		}
		if err != nil {
			return Decision{}, err
		}
		d.Seq, d.Index, d.Outcome = a.Seq, at.Index, outcomes[at.Index]
	}
	receipt, err := n.Receipt(d.Seq, d.Index)
	if err != nil {
		n.log.Debug("no receipt", "transaction", a.ID, "reason", err)
	}
	d.Receipt = receipt
	return d, nil
}

// waiters are callers that wait for the end of a request.
type waiters struct {
	mu   sync.Mutex
	of   map[crypto.Digest][]chan host.Answer
	shut bool
}

func newWaiters() *waiters { return &waiters{of: make(map[crypto.Digest][]chan host.Answer)} }

func (w *waiters) join(id crypto.Digest) (chan host.Answer, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.shut {
		return nil, ErrStopping
	}
	c := make(chan host.Answer, 1)
	w.of[id] = append(w.of[id], c)
	return c, nil
}

// leave takes a caller out; last says that nobody waits for the request any more although it has no answer.
func (w *waiters) leave(id crypto.Digest, c chan host.Answer) (last bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	callers, ok := w.of[id]
	if !ok {
		return false
	}
	var rest []chan host.Answer
	for _, other := range callers {
		if other != c {
			rest = append(rest, other)
		}
	}
	if len(rest) > 0 {
		w.of[id] = rest
		return false
	}
	delete(w.of, id)
	return true
}

// has says whether anybody waits for a request.
func (w *waiters) has(id crypto.Digest) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.of[id]) > 0
}

// answer tells everybody who waits for a request.
func (w *waiters) answer(a host.Answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.of[a.ID] {
		c <- a // holds one, and each is told once
	}
	delete(w.of, a.ID)
}

func (w *waiters) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shut = true
}
