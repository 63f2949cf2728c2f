package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"connectrpc.com/connect"

	quoratev1 "github.com/quorate/quorate/api/quorate/v1"
	"github.com/quorate/quorate/api/reason"
	"github.com/quorate/quorate/bft/message"
)

const (
	// A node is asked again after a pause that grows from the least to the most.
	minPause = 100 * time.Millisecond
	maxPause = 2 * time.Second
	// attemptTimeout ends a call that one node leaves hanging.
	attemptTimeout = 10 * time.Second

	// Another node is asked when the first ones have taken longer than usual: patienceFactor times the smoothed
	// latency of a commit, within bounds. At once would double the load of every network that is well.
	patienceFactor   = 3
	firstPatience    = 250 * time.Millisecond
	minPatience      = 50 * time.Millisecond
	maxPatience      = time.Second
	latencySmoothing = 8
)

// Submit hands in a transaction and waits until it is executed and a quorum vouches for it. It hands the same bytes to
// one node, and to others if that one is slow, refuses or is gone, until ctx ends; without a deadline it may never give
// up. Outcome.Status is Applied or Failed.
//
// The error is a *Refused if enough members refuse the transaction, or one of them proves that it has not been
// executed and never will be; an *Unknown otherwise.
func (c *Client) Submit(ctx context.Context, q *message.Request) (Outcome, error) {
	start := time.Now()
	o, err := c.newSubmission(q, quoratev1.Wait_WAIT_COMMITTED).run(ctx)
	if err == nil {
		c.took(time.Since(start))
	}
	return o, err
}

// Accept hands in a transaction until one node has accepted it, which promises nothing. Errors are those of Submit.
func (c *Client) Accept(ctx context.Context, q *message.Request) error {
	_, err := c.newSubmission(q, quoratev1.Wait_WAIT_ACCEPTED).run(ctx)
	return err
}

// took smooths the latency of commits.
func (c *Client) took(d time.Duration) {
	old := c.latency.Load()
	if old == 0 {
		c.latency.Store(int64(d))
		return
	}
	c.latency.Store(old + (int64(d)-old)/latencySmoothing) // lost updates do no harm
}

// patience is how long to wait for the nodes asked before asking another one too.
func (c *Client) patience() time.Duration {
	usual := time.Duration(c.latency.Load())
	if usual == 0 {
		return firstPatience
	}
	return min(max(patienceFactor*usual, minPatience), maxPatience)
}

// submission is one transaction's way to its end.
type submission struct {
	*Client
	request *message.Request
	wait    quoratev1.Wait
	tries   []try
	order   []int // of the nodes, the preferred one first
	calls   chan reply
	out     int   // calls under way
	cause   error // the newest reason why there is no outcome
}

// try is what one node has come to.
type try struct {
	busy    bool
	asked   time.Time
	notTill time.Time     // not to be asked again before
	pause   time.Duration // before it is asked once more
	refused *Refused      // its last word, if that was a refusal that is final
	said    *Outcome      // its last word, if that was an outcome without proof
}

type reply struct {
	node   int
	answer *quoratev1.SubmitResponse
	err    error
}

func (c *Client) newSubmission(q *message.Request, wait quoratev1.Wait) *submission {
	s := &submission{
		Client: c, request: q, wait: wait, tries: make([]try, len(c.nodes)), order: c.order(),
		calls: make(chan reply, len(c.nodes)), // each node has at most one call under way
	}
	return s
}

// order is in which one to ask the nodes: the preferred one, then the others from anywhere on. Now and then it is another one that
// comes first, to learn how fast it is.
func (c *Client) order() []int {
	n, first := len(c.nodes), int(c.preferred.Load())
	order := []int{first}
	if n == 1 {
		return order
	}
	from := rand.IntN(n - 1)
	for i := range n - 1 {
		order = append(order, (first+1+(from+i)%(n-1))%n)
	}
	if c.speeds.explores(first) {
		order[0], order[1] = order[1], order[0]
	}
	return order
}

func (s *submission) run(ctx context.Context) (Outcome, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // calls that nobody waits for any more
	width := 1
	patience := s.patience()
	widen := time.NewTimer(patience)
	defer widen.Stop()
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		if due, ok := s.launch(ctx, width); ok {
			again.Reset(time.Until(due))
		}
		select {
		case r := <-s.calls:
			if o, err := s.take(r); err == nil || errors.As(err, new(*Refused)) {
				return o, err
			}
		case <-widen.C:
			// Nothing is learned by waiting as long again: the next one is asked sooner or later than this.
			width = min(width+1, len(s.nodes))
			patience *= 2
			widen.Reset(patience)
		case <-again.C:
		case <-ctx.Done():
			cause := ctx.Err()
			if s.cause != nil {
				cause = fmt.Errorf("%w; last: %w", cause, s.cause)
			}
			return Outcome{}, &Unknown{ID: s.request.ID(), Cause: cause}
		}
	}
}

// launch asks nodes that may be asked until so many calls are under way. If it runs out of them it says when the next
// one is due.
func (s *submission) launch(ctx context.Context, width int) (due time.Time, ok bool) {
	now := time.Now()
	for _, i := range s.order {
		t := &s.tries[i]
		switch {
		case s.out >= width:
			return time.Time{}, false
		case t.busy:
		case t.notTill.After(now):
			if !ok || t.notTill.Before(due) {
				due, ok = t.notTill, true
			}
		default:
			t.busy, t.asked = true, now
			s.out++
			go s.call(ctx, i)
		}
	}
	return due, ok
}

func (s *submission) call(ctx context.Context, node int) {
	ctx, cancel := context.WithTimeout(ctx, attemptTimeout)
	defer cancel()
	r := reply{node: node}
	got, err := s.nodes[node].rpc.Submit(ctx, connect.NewRequest(&quoratev1.SubmitRequest{
		Transaction: s.request.Bytes(), Wait: s.wait,
	}))
	if err == nil {
		r.answer = got.Msg
		err = s.learnOf(ctx, s.nodes[node], got.Msg.GetReceipt())
	}
	r.err = err
	s.calls <- r
}

var errWithoutOutcome = errors.New("answered without an outcome")

// take judges what a node has answered. The error is a *Refused if that is the end; any other means going on.
func (s *submission) take(r reply) (Outcome, error) {
	t := &s.tries[r.node]
	t.busy = false
	s.out--
	t.refused, t.said = nil, nil
	o, err := s.judgeReply(t, r)
	if err == nil {
		s.prefer(r.node)
		if s.wait == quoratev1.Wait_WAIT_COMMITTED {
			s.compare(r.node)
		}
		return o, nil
	}
	if errors.As(err, new(*Refused)) {
		return Outcome{}, err
	}
	s.cause = fmt.Errorf("%s: %w", s.nodes[r.node].url, err)
	t.pause = min(max(2*t.pause, minPause), maxPause)
	t.notTill = time.Now().Add(t.pause/2 + rand.N(t.pause))
	return Outcome{}, s.cause
}

func (s *submission) judgeReply(t *try, r reply) (Outcome, error) {
	if r.err != nil {
		why, ok := reason.Of(r.err)
		if !ok || !why.Final() {
			return Outcome{}, r.err
		}
		return Outcome{}, s.refusedBy(t, why, text(r.err))
	}
	if s.wait == quoratev1.Wait_WAIT_ACCEPTED {
		return Outcome{ID: s.request.ID()}, nil
	}
	o, proven, err := s.judge(s.request.ID(), r.answer)
	if err != nil {
		return Outcome{}, err
	}
	why, refused := o.Status.refusal()
	switch {
	case o.Status.Executed() && proven:
		return o, nil
	case o.Status.Executed():
		return s.saidBy(t, &o)
	case !refused:
		return Outcome{}, fmt.Errorf("%w: %s", errWithoutOutcome, o.Status)
	case proven && (o.Status == Expired || o.Status == NonceUsed):
		// Of these two a block says the last word. The others were true at its slot: an old proof may hide a later
		// execution, so that one node alone is not believed.
		return Outcome{}, &Refused{ID: o.ID, Reason: why, Text: fmt.Sprintf("%s at %d", o.Status, o.Seq)}
	default:
		return Outcome{}, s.refusedBy(t, why, fmt.Sprintf("%s at %d", o.Status, o.Seq))
	}
}

// refusedBy notes a node's refusal: a *Refused if by now one of those that refuse for the same reason is correct.
func (s *submission) refusedBy(t *try, why reason.Reason, text string) error {
	t.refused = &Refused{ID: s.request.ID(), Reason: why, Text: text}
	n := 0
	for i := range s.tries {
		if other := s.tries[i].refused; other != nil && other.Reason == why {
			n++
		}
	}
	if n >= s.witnesses() {
		return t.refused
	}
	return fmt.Errorf("refused by %d of %d that it takes: %s", n, s.witnesses(), text)
}

// saidBy notes an outcome without proof: believed if by now one of those that say the same is correct.
func (s *submission) saidBy(t *try, o *Outcome) (Outcome, error) {
	t.said = o
	n := 0
	for i := range s.tries {
		if other := s.tries[i].said; other != nil && other.equal(o) {
			n++
		}
	}
	if n >= s.witnesses() {
		return *o, nil
	}
	return Outcome{}, fmt.Errorf("%s, in the words of %d of %d that it takes", o.Status, n, s.witnesses())
}

// prefer asks this node first from now on, if the one preferred so far has failed this time. One that is merely
// slower stays, unless it is much slower: it may be the leader, with whom all transactions end up anyway.
func (s *submission) prefer(node int) {
	first := s.order[0]
	if node != first && s.tries[first].pause > 0 {
		s.preferred.CompareAndSwap(int32(first), int32(node))
	}
}

// compare takes in how long the nodes took: those that have not answered, at least as long as they have had.
func (s *submission) compare(winner int) {
	first, now := int(s.preferred.Load()), time.Now()
	for i := range s.tries {
		if s.tries[i].busy {
			s.speeds.took(len(s.nodes), i, first, now.Sub(s.tries[i].asked))
		}
	}
	if s.speeds.took(len(s.nodes), winner, first, now.Sub(s.tries[winner].asked)) {
		s.preferred.CompareAndSwap(int32(first), int32(winner))
	}
}

// text is an error in its node's words.
func text(err error) string {
	var e *connect.Error
	if errors.As(err, &e) {
		return e.Message()
	}
	return err.Error()
}
