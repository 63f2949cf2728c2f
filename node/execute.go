package node

import (
	"sync"
	"time"

	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/node/host"
)

// executorWork is what the executor has still to do. It is bounded by rule: nothing is decided more than a window
// beyond what is executed.
type executorWork struct {
	mu      sync.Mutex
	batches []bft.Execution
	commit  epoch.Seq // blocks through here are durable
	shut    bool
	ready   chan struct{} // holds one
}

func newExecutorWork() *executorWork { return &executorWork{ready: make(chan struct{}, 1)} }

func (w *executorWork) add(batches []bft.Execution, durable []proof.Header) {
	if len(batches) == 0 && len(durable) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.batches = append(w.batches, batches...)
	if len(durable) > 0 {
		w.commit = durable[len(durable)-1].Seq
	}
	w.signal()
}

func (w *executorWork) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.shut = true
	w.signal()
}

func (w *executorWork) signal() {
	select {
	case w.ready <- struct{}{}:
	default:
	}
}

func (w *executorWork) take() (batches []bft.Execution, commit epoch.Seq, shut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	batches, w.batches = w.batches, nil
	return batches, w.commit, w.shut
}

// When the executor makes its work durable: after so many slots, or when nothing came to be executed for so long. Nobody
// waits for it: what is acknowledged is in the log. A commit for each slot would have four nodes on one disk sync twice
// as often.
const (
	commitSlots = 32
	commitPause = 5 * time.Millisecond
)

// runExecutor applies batches and, a little later, makes them durable.
func (n *Node) runExecutor() {
	x := n.host.Executor()
	committed := epoch.Seq(n.state.Committed().Seq)
	pause := time.NewTimer(commitPause)
	defer pause.Stop()
	waiting := true // for pause
	for {
		idle := false
		select {
		case <-n.work.ready:
		case <-pause.C:
			idle, waiting = true, false
		case <-n.ended:
			return
		}
		batches, durable, shut := n.work.take()
		if len(batches) > 0 {
			results, err := x.Run(batches)
			if err != nil {
				n.fail(err)
				return
			}
			n.recent.executed(results)
			n.results.add(results)
			pause.Reset(commitPause)
			waiting = true
		}
		if durable >= committed+commitSlots || (durable > committed && (idle || shut)) {
			if err := x.Commit(durable); err != nil {
				n.fail(err)
				return
			}
			committed = durable
		}
		if shut {
			return
		}
		if durable > committed && !waiting {
			pause.Reset(commitPause)
			waiting = true
		}
	}
}

// resultQueue is what the executor has for the core, which takes it before anything from outside.
type resultQueue struct {
	mu      sync.Mutex
	results []host.Result
	ready   chan struct{} // holds one
}

func newResultQueue() *resultQueue { return &resultQueue{ready: make(chan struct{}, 1)} }

func (q *resultQueue) add(results []host.Result) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.results = append(q.results, results...)
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

func (q *resultQueue) take() []host.Result {
	q.mu.Lock()
	defer q.mu.Unlock()
	results := q.results
	q.results = nil
	return results
}
