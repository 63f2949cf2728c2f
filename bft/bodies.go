package bft

import (
	"errors"
	"slices"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/crypto"
)

// A proposal may name its transactions only. Before it is voted for they must be in hand: from the pool, from a bundle on
// its way, or fetched from the proposer and then from those who voted. Whatever a proposal names belongs to its slot: the
// pool's bounds do not apply to it. Here a proposal also waits if its time is too far ahead of this replica's clock.

const (
	// Transactions that are named are mostly under way by gossip already. After so many ticks they are asked for.
	fetchAfterTicks = 2
	// How long a Fetch may go unanswered before somebody else is asked; doubling, up to the second.
	fetchPause    = 10
	maxFetchPause = 50
	// A proposal further ahead of this replica's clock is held until witnesses stand by it, in ms: one leader cannot push the
	// chain's time away, and a few wrong clocks do not keep it from going on.
	maxAheadMillis = 10_000
	// What is sent to one peer of transactions it fetches: bytes for each tick, and at once.
	fetchTickBytes  = 256 << 10
	fetchBurstBytes = 2*message.MaxBatchBytes + fetchTickBytes
)

var (
	errNotFetched   = errors.New("transactions that nobody here waits for")
	errUnknownBatch = errors.New("asks for a batch that is not at hand")
	errFetchedMuch  = errors.New("asks for more transactions than is its share")
)

// gathering is a proposal that waits for its transactions, or its time.
type gathering struct {
	ordering.Proposal
	requests []*message.Request // by place, nil where they are missing; of a batch that is known by its digest alone: none
	lacking  int
	bytes    int // of those that are not missing

	age   int // ticks
	askAt int // age from which somebody is asked
	pause int
	turn  int // how many were asked
}

// gatherings are those of all slots, in the order in which they came. There are no more than the window has slots.
type gatherings struct {
	list  []*gathering
	wants map[crypto.Digest][]place // body digest of a missing transaction: who waits for it, and where
}

type place struct {
	g *gathering
	i int
}

// onProposed has a proposal accepted, now or when nothing is missing any more.
func (r *Replica) onProposed(p ordering.Proposal) {
	g := &gathering{Proposal: p, askAt: fetchAfterTicks, pause: fetchPause}
	if p.Batch == nil && p.Outline != nil {
		g.requests = make([]*message.Request, len(p.Outline.Bodies))
		for i, body := range p.Outline.Bodies {
			if q := r.pool.named(body); q != nil {
				g.requests[i] = q
				g.bytes += q.Size()
				continue
			}
			g.lacking++
			r.gather.wants[body] = append(r.gather.wants[body], place{g, i})
		}
	}
	r.gather.list = append(r.gather.list, g)
	r.settle(g)
}

// settle accepts a proposal if nothing is missing. One that turns out to be no valid batch is let go: nobody votes for it.
func (r *Replica) settle(g *gathering) {
	if g.Batch == nil {
		if g.Outline == nil {
			return
		}
		batch, err := g.fill(r.epoch)
		if err != nil {
			r.forgetGathering(g)
			r.note(Unused{message.KindPrePrepare, r.epoch.Leader(g.View), err})
			return
		}
		if batch == nil {
			return
		}
		g.Batch, g.requests = batch, nil
	}
	if r.isEarly(g) {
		return
	}
	r.forgetGathering(g)
	if r.knowsDecision(g.Seq) {
		return
	}
	r.pool.markProposed(g.Batch.Requests)
	r.pool.batches++
	r.order.Accept(g.Seq, g.Batch)
}

// fill is the batch, once nothing is missing. That it has too many bytes is found out before: what a leader only names must not
// fill the memory of those who gather it.
func (g *gathering) fill(e *epoch.Epoch) (*message.Batch, error) {
	if err := checkBytes(g.bytes, e); err != nil || g.lacking > 0 {
		return nil, err
	}
	return g.Outline.Fill(g.requests)
}

// isEarly says whether a proposal's time is too far ahead for a vote, as any is while this replica has not looked at its clock.
// It is held, never refused: this clock may be wrong.
func (r *Replica) isEarly(g *gathering) bool {
	ahead := g.Batch.Time > r.now && g.Batch.Time-r.now > maxAheadMillis
	return (ahead || r.now == 0) && len(r.order.Voters(g.Seq, g.Digest)) < r.epoch.Witnesses()
}

// offer gives a checked transaction to whatever proposal waits for it.
func (r *Replica) offer(q *message.Request) {
	places, ok := r.gather.wants[q.Body()]
	if !ok {
		return
	}
	delete(r.gather.wants, q.Body())
	for _, at := range places {
		at.g.requests[at.i] = q
		at.g.lacking--
		at.g.bytes += q.Size()
		r.settle(at.g)
	}
}

// forgetGathering is for a proposal that waits no more.
func (r *Replica) forgetGathering(g *gathering) {
	r.gather.list = slices.DeleteFunc(r.gather.list, func(o *gathering) bool { return o == g })
	for i, q := range g.requests {
		if q != nil {
			continue
		}
		body := g.Outline.Bodies[i]
		rest := slices.DeleteFunc(r.gather.wants[body], func(p place) bool { return p.g == g })
		if len(rest) == 0 {
			delete(r.gather.wants, body)
		} else {
			r.gather.wants[body] = rest
		}
	}
}

// tickGatherings asks for what is missing, and looks again at what is early.
func (r *Replica) tickGatherings() {
	for _, g := range slices.Clone(r.gather.list) {
		switch g.age++; {
		case r.knowsDecision(g.Seq):
			r.forgetGathering(g)
		case g.Batch != nil:
			r.settle(g)
		case g.age >= g.askAt:
			r.fetch(g)
		}
	}
}

// fetch asks the next one in turn: the proposer, those who voted, and if these are not known, all others.
func (r *Replica) fetch(g *gathering) {
	whom := slices.DeleteFunc(r.order.Voters(g.Seq, g.Digest), func(id epoch.ReplicaID) bool { return id == r.self })
	if len(whom) == 0 {
		whom = r.peers
	}
	f := &message.Fetch{Seq: g.Seq, Batch: g.Digest}
	if g.lacking <= message.MaxFetch {
		for i, q := range g.requests {
			if q == nil {
				f.Missing = append(f.Missing, uint16(i))
			}
		}
	}
	r.sendTo([]epoch.ReplicaID{whom[g.turn%len(whom)]}, f)
	g.turn++
	g.askAt = g.age + g.pause
	g.pause = min(2*g.pause, maxFetchPause)
}

// onFetch sends a peer transactions of a batch, within its share: a member that asks again and again gets no more.
func (r *Replica) onFetch(from epoch.ReplicaID, f *message.Fetch) error {
	b := r.batchAt(f.Seq, f.Batch)
	if b == nil {
		return errUnknownBatch
	}
	requests := b.Requests
	if len(f.Missing) > 0 {
		requests = make([]*message.Request, 0, len(f.Missing))
		for _, i := range f.Missing {
			if int(i) >= len(b.Requests) {
				return errUnknownBatch
			}
			requests = append(requests, b.Requests[i])
		}
	}
	size := 0
	for _, q := range requests {
		size += q.Size()
	}
	p := &r.catchup.peers[from-1]
	p.fetched = max(0, p.fetched-fetchTickBytes*int(min(r.ticks-p.fetchedAt, fetchBurstBytes/fetchTickBytes+1)))
	p.fetchedAt = r.ticks
	if p.fetched+size > fetchBurstBytes {
		return errFetchedMuch
	}
	p.fetched += size
	r.sendTo([]epoch.ReplicaID{from}, &message.Bodies{Seq: f.Seq, Batch: f.Batch, Time: b.Time, Requests: requests, Change: b.Change})
	return nil
}

// batchAt is a slot's batch of this digest, if it is still in memory: what is older, peers get as blocks.
func (r *Replica) batchAt(seq epoch.Seq, digest crypto.Digest) *message.Batch {
	if b := r.order.Batch(seq); b != nil && b.Digest() == digest {
		return b
	}
	if b := r.order.Known(digest); b != nil {
		return b
	}
	if d, ok := r.pending[seq]; ok && d.Batch.Digest() == digest {
		return d.Batch
	}
	for i := range r.executing {
		if d := &r.executing[i]; d.Seq == seq && d.Batch.Digest() == digest {
			return d.Batch
		}
	}
	return nil
}

// onBodies takes in transactions that were fetched; Check has found their signatures to hold.
func (r *Replica) onBodies(b *message.Bodies) error {
	i := slices.IndexFunc(r.gather.list, func(g *gathering) bool { return g.Seq == b.Seq && g.Digest == b.Batch })
	if i < 0 {
		return errNotFetched
	}
	g := r.gather.list[i]
	if b.Change != nil {
		batch := message.NewChangeBatch(b.Time, b.Change)
		if g.Batch != nil || g.Outline != nil || batch.Digest() != g.Digest {
			return errNotFetched
		}
		g.Batch = batch
		r.settle(g)
		return nil
	}
	if g.Batch == nil && g.Outline == nil {
		o := message.NewBatch(b.Time, b.Requests).Outline()
		if o.Digest() != g.Digest {
			return errNotFetched // some of it, or another
		}
		g.Outline, g.requests = o, b.Requests
		r.settle(g)
		return nil
	}
	for _, q := range b.Requests {
		r.offer(q)
	}
	return nil
}
