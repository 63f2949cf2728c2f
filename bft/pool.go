package bft

import (
	"bytes"
	"cmp"
	"errors"
	"maps"
	"slices"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
)

// ErrPoolFull is that there is no room left in the share of the member or the sender a request came through.
var ErrPoolFull = errors.New("pool is full: retry later")

// Bounds of the pool. They are local: how much a replica is willing to hold binds nobody else.
const (
	poolBytes    = 64 << 20
	poolRequests = 32_768
	// A sender's part of the share of each member that its requests come through: one client cannot crowd out the rest.
	senderPart = 8

	// How many executed requests are remembered, so that a late copy is not proposed again. That would do no harm: the
	// second is a duplicate in its block. It would only waste a place.
	doneRequests = 1 << 16
)

// pool holds requests until they are executed: each member through which requests come has an equal share of it, and
// in turn one place in every batch.
type pool struct {
	queues   []queue // by entry member
	turn     int     // whose turn it is in the next batch
	rounds   int     // in which the leader was told of what came in elsewhere
	arrivals uint64
	batches  int                        // accepted in this view
	expected map[crypto.Digest]struct{} // ids in proposals of this view that had not come here yet
	waiting  int                        // requests that are in no proposal yet
	bytes    int                        // of those
	slots    map[slotOfSender][]*pooled
	bodies   map[crypto.Digest]*message.Request // by body digest
	senders  map[sender]usage
	mine     []*pooled // handed in here, though perhaps through another member before; those that are gone are let go in time

	done     map[crypto.Digest]struct{} // ids of executed requests
	doneRing []crypto.Digest
	donePos  int
}

type queue struct {
	fifo  []*pooled // those that are gone are skipped when their turn comes
	usage usage
}

type usage struct{ requests, bytes int }

type sender struct {
	entry epoch.ReplicaID
	key   crypto.PublicKey
}

// slotOfSender is what at most one request can use: several with different ids may wait for it.
type slotOfSender struct {
	key   crypto.PublicKey
	nonce uint64
}

func (s slotOfSender) compare(o slotOfSender) int {
	return cmp.Or(bytes.Compare(s.key[:], o.key[:]), cmp.Compare(s.nonce, o.nonce))
}

type pooled struct {
	request  *message.Request
	entry    epoch.ReplicaID
	arrival  uint64 // its number among all that came
	came     uint64 // tick at which it did
	told     uint64 // the same, or at which the leader was last told of it by this replica
	times    int    // that it was told again, since then or since this began anew
	pause    uint64 // ticks from told on until it is told again
	proposed bool
	gone     bool
	mine     bool // a client has handed it in here: it is in pool.mine

	first   uint64 // tick at which the leader of this view was first told of it by this replica; 0: it was not
	passing int    // batches of this view when it was time that it came to be in one, and 1; 0: it is not yet
}

func newPool(members int) *pool {
	return &pool{
		queues:   make([]queue, members),
		slots:    make(map[slotOfSender][]*pooled),
		bodies:   make(map[crypto.Digest]*message.Request),
		senders:  make(map[sender]usage),
		done:     make(map[crypto.Digest]struct{}),
		expected: make(map[crypto.Digest]struct{}),
		doneRing: make([]crypto.Digest, 0, 64),
	}
}

func (p *pool) share() usage {
	return usage{requests: poolRequests / len(p.queues), bytes: poolBytes / len(p.queues)}
}

func (u usage) add(size int) usage           { return usage{u.requests + 1, u.bytes + size} }
func (u usage) sub(size int) usage           { return usage{u.requests - 1, u.bytes - size} }
func (u usage) over(most usage) bool         { return u.requests > most.requests || u.bytes > most.bytes }
func (u usage) part(n int) usage             { return usage{u.requests / n, u.bytes / n} }
func slotOf(q *message.Request) slotOfSender { return slotOfSender{q.Sender, q.Nonce} }

// holds says whether a request is there.
func (p *pool) holds(q *message.Request) bool {
	return slices.ContainsFunc(p.slots[slotOf(q)], func(e *pooled) bool { return e.request.ID() == q.ID() })
}

// named is the request with this body, or nil.
func (p *pool) named(body crypto.Digest) *message.Request { return p.bodies[body] }

// waits says whether a request is there and, as far as is known here, in no proposal.
func (p *pool) waits(q *message.Request) bool {
	return slices.ContainsFunc(p.slots[slotOf(q)], func(e *pooled) bool { return e.request.ID() == q.ID() && !e.proposed })
}

// add takes in a request that came through entry. It is false if the request is there already, or is known to be executed;
// an error says that there is no room.
func (p *pool) add(q *message.Request, entry epoch.ReplicaID, now uint64) (bool, error) {
	if _, done := p.done[q.ID()]; done {
		return false, nil
	}
	if p.holds(q) {
		return false, nil
	}
	place := slotOf(q)
	shelf := &p.queues[entry-1]
	who := sender{entry, q.Sender}
	all, one := shelf.usage.add(q.Size()), p.senders[who].add(q.Size())
	if all.over(p.share()) || one.over(p.share().part(senderPart)) {
		return false, ErrPoolFull
	}
	shelf.usage, p.senders[who] = all, one
	p.arrivals++
	e := &pooled{request: q, entry: entry, arrival: p.arrivals, came: now, told: now, pause: remindTicks}
	shelf.fifo = append(shelf.fifo, e)
	p.slots[place] = append(p.slots[place], e)
	p.bodies[q.Body()] = q
	if _, e.proposed = p.expected[q.ID()]; e.proposed {
		delete(p.expected, q.ID())
		return true, nil
	}
	p.waiting++
	p.bytes += q.Size()
	return true, nil
}

// size is how many requests wait to be executed, proposed or not, and their bytes.
func (p *pool) size() (requests, bytes int) {
	for i := range p.queues {
		requests += p.queues[i].usage.requests
		bytes += p.queues[i].usage.bytes
	}
	return requests, bytes
}

// requests are all that are there, in an order that is the same each time.
func (p *pool) requests() (all []*message.Request) {
	for _, place := range slices.SortedFunc(maps.Keys(p.slots), slotOfSender.compare) {
		for _, e := range p.slots[place] {
			all = append(all, e.request)
		}
	}
	return all
}

// fills says whether a batch of the given bounds would be full.
func (p *pool) fills(requests, bytes int) bool { return p.waiting >= requests || p.bytes >= bytes }

// take picks the next batch's requests: in turn from each entry member's queue, within both bounds.
func (p *pool) take(requests, bytes int) []*message.Request {
	var batch []*message.Request
	for idle := 0; idle < len(p.queues) && len(batch) < requests; {
		q := &p.queues[p.turn]
		p.turn = (p.turn + 1) % len(p.queues)
		e := q.head()
		if e == nil || e.request.Size() > bytes {
			idle++
			continue
		}
		idle = 0
		q.fifo = q.fifo[1:]
		e.proposed = true
		p.waiting--
		p.bytes -= e.request.Size()
		bytes -= e.request.Size()
		batch = append(batch, e.request)
	}
	return batch
}

// head is the oldest request that waits.
func (q *queue) head() *pooled {
	for len(q.fifo) > 0 && (q.fifo[0].gone || q.fifo[0].proposed) {
		q.fifo[0] = nil
		q.fifo = q.fifo[1:]
	}
	if len(q.fifo) == 0 {
		q.fifo = nil
		return nil
	}
	return q.fifo[0]
}

// markProposed marks what another replica's proposal names, so that it is not told of it again; what comes here later, too.
func (p *pool) markProposed(requests []*message.Request) {
	for _, q := range requests {
		here := false
		for _, e := range p.slots[slotOf(q)] {
			if e.request.ID() != q.ID() {
				continue
			}
			here = true
			if !e.proposed {
				e.proposed = true
				p.waiting--
				p.bytes -= q.Size()
			}
		}
		if _, done := p.done[q.ID()]; !here && !done {
			p.expected[q.ID()] = struct{}{}
		}
	}
}

// passedTicks is how long after the leader was told of a request batches begin to count that pass it over. A leader may be told in vain.
const passedTicks = 100

// tell notes that the leader is told of a request.
func (e *pooled) tell(now uint64, batches int) {
	e.told = now
	e.times++
	e.pause = e.nextPause()
	switch {
	case e.first == 0:
		e.first = now
	case e.passing == 0 && now-e.first >= passedTicks:
		e.passing = batches + 1
	}
}

// nextPause is how long it waits until it is told again: twice as long each time, but for the first two. The longer ones differ from request to
// request, lest what comes and goes at an even pace, as a bad link may, meets one of them each time.
func (e *pooled) nextPause() uint64 {
	pause := min(remindTicks<<min(max(e.times-1, 0), 8), uint64(maxRemindTicks))
	if pause > remindTicks {
		id := e.request.ID()
		pause += pause * uint64(id[e.times%len(id)]) / 512
	}
	return pause
}

// hurry is for when the leader may have heard nothing for a while: what waits is told again as if for the first time.
func (p *pool) hurry() {
	for i := range p.queues {
		for _, e := range p.queues[i].fifo {
			e.times, e.pause = 0, remindTicks
		}
	}
}

// patience is how many ticks the oldest request has waited, and by how many batches one was passed over that the leader knows of. The
// oldest of each entry member is looked at: a request that is left alone becomes that.
func (p *pool) patience(now uint64) (waited uint64, passed int) {
	for i := range p.queues {
		e := p.queues[i].head()
		if e == nil {
			continue
		}
		waited = max(waited, now-e.came)
		if e.passing > 0 {
			passed = max(passed, p.batches+1-e.passing)
		}
	}
	return waited, passed
}

// markWaiting is for requests of a proposal that came to nothing: they go to the end of the line.
func (p *pool) markWaiting(requests []*message.Request) {
	for _, q := range requests {
		delete(p.expected, q.ID())
		for _, e := range p.slots[slotOf(q)] {
			if e.proposed && e.request.ID() == q.ID() {
				e.proposed = false
				p.waiting++
				p.bytes += e.request.Size()
				shelf := &p.queues[e.entry-1]
				shelf.fifo = append(slices.DeleteFunc(shelf.fifo, func(o *pooled) bool { return o == e }), e)
			}
		}
	}
}

// markAllWaiting is for when no proposal counts any more, nor who was passed over: what was in one goes to the end of the line, in the
// order in which it came.
func (p *pool) markAllWaiting() {
	p.batches = 0
	clear(p.expected)
	var all []*pooled
	for _, place := range slices.SortedFunc(maps.Keys(p.slots), slotOfSender.compare) {
		for _, e := range p.slots[place] {
			e.first, e.passing, e.times, e.pause = 0, 0, 0, remindTicks
			if e.proposed {
				all = append(all, e)
			}
		}
	}
	slices.SortFunc(all, func(a, b *pooled) int { return cmp.Compare(a.arrival, b.arrival) })
	for i := range p.queues {
		p.queues[i].fifo = slices.DeleteFunc(p.queues[i].fifo, func(e *pooled) bool { return e.gone || e.proposed })
	}
	for _, e := range all {
		e.proposed = false
		p.waiting++
		p.bytes += e.request.Size()
		shelf := &p.queues[e.entry-1]
		shelf.fifo = append(shelf.fifo, e)
	}
}

// requestWork is what a request counts for beside its bytes.
const requestWork = 512

// work is what is done by ordering a batch: what has come to its end before counts for nothing.
func (p *pool) work(requests []*message.Request) (work uint64) {
	for _, q := range requests {
		if _, over := p.done[q.ID()]; !over {
			work += uint64(q.Size() + requestWork)
		}
	}
	return work
}

// executed forgets a batch's requests, and where a nonce is over, all others that wait for it: they can no longer be the
// first there.
func (p *pool) executed(requests []*message.Request, ends []End) {
	for i, q := range requests {
		delete(p.expected, q.ID())
		place := slotOf(q)
		p.slots[place] = slices.DeleteFunc(p.slots[place], func(e *pooled) bool {
			over := ends[i] == NonceOver || e.request.ID() == q.ID()
			if over {
				p.remove(e)
			}
			return over
		})
		if len(p.slots[place]) == 0 {
			delete(p.slots, place)
		}
		if ends[i] != NothingOver {
			p.remember(q.ID())
		}
	}
}

func (p *pool) remove(e *pooled) {
	size := e.request.Size()
	e.gone = true
	delete(p.bodies, e.request.Body())
	if !e.proposed {
		p.waiting--
		p.bytes -= size
	}
	shelf := &p.queues[e.entry-1]
	shelf.usage = shelf.usage.sub(size)
	who := sender{e.entry, e.request.Sender}
	if left := p.senders[who].sub(size); left.requests > 0 {
		p.senders[who] = left
	} else {
		delete(p.senders, who)
	}
	shelf.letGo()
}

// letGo frees what is gone: at once at the head of the line, and behind a request that never comes to be proposed before
// it takes more room than what is left.
func (q *queue) letGo() {
	q.head()
	if len(q.fifo) > 2*q.usage.requests+64 {
		q.fifo = slices.DeleteFunc(q.fifo, func(e *pooled) bool { return e.gone || e.proposed })
	}
}

func (p *pool) remember(id crypto.Digest) {
	if _, ok := p.done[id]; ok {
		return
	}
	if len(p.doneRing) < doneRequests {
		p.doneRing = append(p.doneRing, id)
	} else {
		delete(p.done, p.doneRing[p.donePos])
		p.doneRing[p.donePos] = id
		p.donePos = (p.donePos + 1) % doneRequests
	}
	p.done[id] = struct{}{}
}

// adopt has this replica remind the leader of a request that is there.
func (p *pool) adopt(q *message.Request, now uint64) {
	for _, e := range p.slots[slotOf(q)] {
		if e.request.ID() == q.ID() && !e.mine {
			e.mine, e.told, e.times, e.pause = true, now, 0, remindTicks
			p.mine = append(p.mine, e)
		}
	}
}

// overdue picks requests that were handed in here of which the leader is to be told again, those at least that have waited for ticks since it was told
// last: as many as fit into bytes, but one whatever its size.
func (p *pool) overdue(now uint64, ticks uint64, bytes int) []*message.Request {
	p.mine = slices.DeleteFunc(p.mine, func(e *pooled) bool { return e.gone })
	var late []*message.Request
	for _, e := range p.mine {
		if e.proposed || now-e.told < min(e.pause, ticks) {
			continue
		}
		if len(late) > 0 && e.request.Size() > bytes {
			break
		}
		bytes -= e.request.Size()
		e.tell(now, p.batches)
		late = append(late, e.request)
	}
	return late
}

// forsaken picks requests that came in elsewhere of which the leader is to be told again: as many as fit into bytes, but one whatever its size. The
// oldest of each entry member comes first: with many that wait, those of one member must not crowd out another's.
func (p *pool) forsaken(now uint64, bytes int) []*message.Request {
	var late []*message.Request
	pick := func(e *pooled) bool {
		if e.gone || e.proposed || now-e.told < e.pause {
			return true
		}
		if len(late) > 0 && e.request.Size() > bytes {
			return false
		}
		bytes -= e.request.Size()
		e.tell(now, p.batches)
		late = append(late, e.request)
		return true
	}
	p.rounds++ // what is small and new at one member must not keep others from ever being told of
	for i := range p.queues {
		if e := p.queues[(p.rounds+i)%len(p.queues)].head(); e != nil {
			pick(e)
		}
	}
	for i := range p.queues {
		for _, e := range p.queues[(p.rounds+i)%len(p.queues)].fifo {
			if !pick(e) {
				break
			}
		}
	}
	return late
}
