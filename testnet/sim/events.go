package sim

// event is something that will happen.
type event struct {
	at   int64 // virtual µs
	n    uint64
	node *node // whom it happens to; nil: the world
	life int   // of the node, or anyLife: what was to happen to an earlier life of it does not
	kind kind
	mark uint64 // what tells it from others of its kind, for the trace's digest
	act  func()
}

// anyLife is for what happens to a node whether it has crashed meanwhile or not.
const anyLife = -1

// kind is what an event is, for the trace's digest.
type kind uint8

const (
	ticks kind = iota + 1
	appends
	syncs
	releases
	machineWorks
	reads
	delivers
	submits
	crashes
	restarts
	clientActs
	faults
	looks
)

// queue holds events in the order of their time, and of two at the same time the one that was planned first.
type queue struct {
	heap []*event
	next uint64
}

func (e *event) before(o *event) bool { return e.at < o.at || e.at == o.at && e.n < o.n }

func (q *queue) push(e *event) {
	q.next++
	e.n = q.next
	q.heap = append(q.heap, e)
	i := len(q.heap) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !e.before(q.heap[up]) {
			break
		}
		q.heap[i] = q.heap[up]
		i = up
	}
	q.heap[i] = e
}

func (q *queue) pop() *event {
	top := q.heap[0]
	last := q.heap[len(q.heap)-1]
	q.heap[len(q.heap)-1] = nil
	q.heap = q.heap[:len(q.heap)-1]
	if len(q.heap) == 0 {
		return top
	}
	i := 0
	for {
		down := 2*i + 1
		if down >= len(q.heap) {
			break
		}
		if down+1 < len(q.heap) && q.heap[down+1].before(q.heap[down]) {
			down++
		}
		if !q.heap[down].before(last) {
			break
		}
		q.heap[i] = q.heap[down]
		i = down
	}
	q.heap[i] = last
	return top
}
