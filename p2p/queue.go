package p2p

import "sync"

// What may wait for one connection.
const (
	maxQueuedVotes     = 4096    // frames
	maxQueuedVoteBytes = 4 << 20 // and bytes
	maxQueuedBulkBytes = 16 << 20
)

// voteQueue is what waits to be written as votes. When it is full the oldest is dropped: votes are
// repeated, and the newest say most. Close lets the writer finish what is queued.
type voteQueue struct {
	mu     sync.Mutex
	frames [][]byte
	bytes  int
	beat   bool // a heartbeat is due
	closed bool
	wake   chan struct{} // holds one token when there may be something to do
}

func newVoteQueue() *voteQueue { return &voteQueue{wake: make(chan struct{}, 1)} }

// push returns how many older frames it dropped, and false if the queue is closed.
func (q *voteQueue) push(frame []byte) (dropped int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return 0, false
	}
	for len(q.frames)-dropped > 0 && (len(q.frames)-dropped >= maxQueuedVotes || q.bytes+len(frame) > maxQueuedVoteBytes) {
		q.bytes -= len(q.frames[dropped])
		q.frames[dropped] = nil
		dropped++
	}
	q.frames = append(q.frames[dropped:], frame)
	q.bytes += len(frame)
	poke(q.wake)
	return dropped, true
}

func (q *voteQueue) heartbeat() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.beat = true
	poke(q.wake)
}

func (q *voteQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	poke(q.wake)
}

// take moves everything queued to the end of into.
func (q *voteQueue) take(into [][]byte) (frames [][]byte, beat, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	frames, beat = append(into, q.frames...), q.beat
	clear(q.frames)
	q.frames, q.bytes, q.beat = q.frames[:0], 0, false
	return frames, beat, q.closed
}

// byteQueue is bounded by bytes and drops the newest: what was begun is finished.
type byteQueue struct {
	mu     sync.Mutex
	frames [][]byte
	bytes  int
	limit  int
	wake   chan struct{} // holds one token when there may be something to do
}

func newByteQueue(limit int) *byteQueue {
	return &byteQueue{limit: limit, wake: make(chan struct{}, 1)}
}

func (q *byteQueue) push(frame []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.bytes+len(frame) > q.limit {
		return false
	}
	q.frames = append(q.frames, frame)
	q.bytes += len(frame)
	poke(q.wake)
	return true
}

// pop returns the oldest frame, or nil. The frame counts as queued until it is popped.
func (q *byteQueue) pop() []byte {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.frames) == 0 {
		return nil
	}
	frame := q.frames[0]
	q.frames[0] = nil
	q.frames = q.frames[1:]
	q.bytes -= len(frame)
	return frame
}

// poke leaves a token, if there is none.
func poke(wake chan struct{}) {
	select {
	case wake <- struct{}{}:
	default:
	}
}
