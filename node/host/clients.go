package host

import (
	"errors"
	"fmt"

	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/statemachine"
)

// Why a request cannot be ordered, or will have no outcome of its own.
var (
	ErrNonceUsed      = errors.New("nonce is used by another transaction")
	ErrDecidedEarlier = errors.New("nonce is behind the window: decided earlier")
	ErrNonceDistant   = errors.New("nonce is too far ahead")
	ErrExpired        = errors.New("expired, never executed")
	ErrLastDistant    = errors.New("last is too far ahead")
)

// Answer is the end of a request: decided at Seq, which a quorum has attested, or refused.
type Answer struct {
	ID      crypto.Digest
	Seq     epoch.Seq             // where it was decided; 0 if refused
	Index   int                   // in the batch
	Outcome *statemachine.Outcome // nil if it was decided before it was submitted here: then the state knows it
	Refusal error
}

// clients knows which requests somebody waits for at this replica.
type clients struct {
	state      *statemachine.Replicated
	parameters epoch.Parameters
	known      epoch.Seq // acknowledged so far
	waiting    map[place][]crypto.Digest
	decided    []Answer // and not acknowledged, in order of Seq

	// What was executed, and is perhaps not in what the state can be asked yet: it tells of commits only.
	recent  []Result
	places  map[place]spot              // of recent: who has used which nonce
	highest map[crypto.PublicKey]uint64 // of recent: the highest nonce that each sender has used
}

// spot is where a request was executed.
type spot struct {
	id      crypto.Digest
	seq     epoch.Seq
	index   int
	outcome *statemachine.Outcome
}

// place is what at most one request can use.
type place struct {
	sender crypto.PublicKey
	nonce  uint64
}

func newClients(state *statemachine.Replicated, p epoch.Parameters) clients {
	return clients{
		state: state, parameters: p, waiting: make(map[place][]crypto.Digest),
		places: make(map[place]spot), highest: make(map[crypto.PublicKey]uint64),
	}
}

// Submit takes in checked requests, and answers those whose end is known already. The others are answered by a later
// Done; a request submitted again while it waits is answered once. An error is the machine's, and final.
func (h *Host) Submit(requests []*message.Request) ([]Answer, error) {
	var answers []Answer
	var fresh []*message.Request
	for _, q := range requests {
		a, known, err := h.clients.lookUp(q, h.replica.Head().Seq)
		switch {
		case err != nil:
			return nil, err
		case !known:
			h.clients.await(q)
			fresh = append(fresh, q)
		case a.Refusal == nil && a.Seq > h.clients.known:
			if !h.clients.decides(a.ID, a.Seq) {
				h.clients.decide(a)
			}
		default:
			answers = append(answers, a)
		}
	}
	if len(fresh) > 0 {
		h.Step(bft.Submitted{Requests: fresh})
	}
	return answers, nil
}

// Forget says that nobody waits for a request any more.
func (h *Host) Forget(q *message.Request) { h.clients.drop(q) }

// lookUp says whether a request's end is known, and which it is.
func (c *clients) lookUp(q *message.Request, head epoch.Seq) (a Answer, known bool, err error) {
	if a, known := c.lookUpRecent(q); known {
		return a, true, nil
	}
	entry, state, err := c.state.Find(q.Sender, q.Nonce)
	if err != nil {
		return Answer{}, false, err
	}
	if n, ok := c.highest[q.Sender]; ok {
		switch window := uint64(c.parameters.NonceWindow); {
		case state == statemachine.NonceAhead && (q.Nonce <= n || q.Nonce-n <= window):
			state = statemachine.NonceFree
		case state == statemachine.NonceFree && q.Nonce < n && n-q.Nonce >= window:
			state = statemachine.NonceBehind
		}
	}
	a.ID = q.ID()
	switch state {
	case statemachine.NonceTaken:
		if entry.ID == q.ID() {
			a.Seq = epoch.Seq(entry.Seq)
			return a, true, nil
		}
		a.Refusal = fmt.Errorf("%w, %s", ErrNonceUsed, entry.ID)
	case statemachine.NonceBehind:
		a.Refusal = ErrDecidedEarlier
	case statemachine.NonceAhead:
		a.Refusal = ErrNonceDistant
	default:
		switch {
		case q.Last <= uint64(head):
			a.Refusal = fmt.Errorf("%w: its last is %d, and %d is executed", ErrExpired, q.Last, head)
		case q.Last-uint64(head) > uint64(c.parameters.LastAhead):
			a.Refusal = fmt.Errorf("%w: %d, at most %d", ErrLastDistant, q.Last, uint64(head)+uint64(c.parameters.LastAhead))
		default:
			return Answer{}, false, nil
		}
	}
	return a, true, nil
}

// lookUpRecent looks among the batches that are executed and not committed yet. Without it a transaction that was
// executed a moment ago would be called expired, or be waited for although nothing will come of it any more.
func (c *clients) lookUpRecent(q *message.Request) (a Answer, known bool) {
	s, ok := c.places[placeOf(q)]
	switch {
	case !ok:
		return Answer{}, false
	case s.id == q.ID():
		return Answer{ID: q.ID(), Seq: s.seq, Index: s.index, Outcome: s.outcome}, true
	default:
		return Answer{ID: q.ID(), Refusal: fmt.Errorf("%w, %s", ErrNonceUsed, s.id)}, true
	}
}

// remember keeps a batch until the state can be asked about it.
func (c *clients) remember(r *Result) {
	committed := epoch.Seq(c.state.Committed().Seq)
	for len(c.recent) > 0 && c.recent[0].Seq <= committed {
		for _, q := range c.recent[0].Batch.Requests {
			if at := placeOf(q); c.places[at].seq == c.recent[0].Seq {
				delete(c.places, at)
			}
			if c.highest[q.Sender] == q.Nonce {
				delete(c.highest, q.Sender) // the state knows it
			}
		}
		c.recent = c.recent[1:]
	}
	c.recent = append(c.recent, *r)
	for i, q := range r.Batch.Requests {
		if r.Outcomes[i].Status.Executed() {
			c.places[placeOf(q)] = spot{q.ID(), r.Seq, i, &r.Outcomes[i]}
			c.highest[q.Sender] = max(c.highest[q.Sender], q.Nonce)
		}
	}
}

func placeOf(q *message.Request) place { return place{q.Sender, q.Nonce} }

func (c *clients) await(q *message.Request) {
	at := placeOf(q)
	for _, id := range c.waiting[at] {
		if id == q.ID() {
			return
		}
	}
	c.waiting[at] = append(c.waiting[at], q.ID())
}

func (c *clients) drop(q *message.Request) {
	at := placeOf(q)
	var rest []crypto.Digest
	for _, id := range c.waiting[at] {
		if id != q.ID() {
			rest = append(rest, id)
		}
	}
	if len(rest) == 0 {
		delete(c.waiting, at)
		return
	}
	c.waiting[at] = rest
}

// refused answers a request that the pool had no room for.
func (c *clients) refused(q *message.Request, why error) []Answer {
	c.drop(q)
	return []Answer{{ID: q.ID(), Refusal: why}}
}

// executed notes what came of the requests that somebody waits for.
func (c *clients) executed(r *Result) {
	c.remember(r)
	for i, q := range r.Batch.Requests {
		at := placeOf(q)
		waiting, ok := c.waiting[at]
		if !ok {
			continue
		}
		o := &r.Outcomes[i]
		for _, id := range waiting {
			switch {
			case id == q.ID():
				c.decideOutcome(r.Seq, i, o)
				c.drop(q)
			case o.Status.Executed():
				// The place is taken: whoever waits for another id there waits for nothing.
				c.decide(Answer{ID: id, Seq: r.Seq, Refusal: fmt.Errorf("%w, %s", ErrNonceUsed, q.ID())})
				delete(c.waiting, at)
			}
		}
	}
}

// decideOutcome files an outcome under the slot where it was first decided.
func (c *clients) decideOutcome(seq epoch.Seq, index int, o *statemachine.Outcome) {
	if o.Status == statemachine.Duplicate {
		c.decide(Answer{ID: o.ID, Seq: epoch.Seq(o.Seq)})
		return
	}
	c.decide(Answer{ID: o.ID, Seq: seq, Index: index, Outcome: o})
}

// decides says whether an answer waits for this slot already: a client may ask again and again.
func (c *clients) decides(id crypto.Digest, seq epoch.Seq) bool {
	for i := len(c.decided) - 1; i >= 0 && c.decided[i].Seq >= seq; i-- {
		if c.decided[i].ID == id {
			return true
		}
	}
	return false
}

// decide keeps an answer until its slot is acknowledged.
func (c *clients) decide(a Answer) {
	i := len(c.decided)
	for i > 0 && c.decided[i-1].Seq > a.Seq {
		i--
	}
	c.decided = append(c.decided, Answer{})
	copy(c.decided[i+1:], c.decided[i:])
	c.decided[i] = a
}

// acknowledged answers what was decided up to seq.
func (c *clients) acknowledged(seq epoch.Seq) []Answer {
	c.known = max(c.known, seq)
	n := 0
	for n < len(c.decided) && c.decided[n].Seq <= seq {
		n++
	}
	answers := c.decided[:n:n]
	c.decided = c.decided[n:]
	return answers
}
