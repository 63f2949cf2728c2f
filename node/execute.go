package node

import (
	"sync"

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

// runExecutor applies batches and makes them durable. What waits to be applied comes first: a replica that is behind
// merges the commits of several batches into one.
func (n *Node) runExecutor() {
	x := n.host.Executor()
	committed := epoch.Seq(n.state.Committed().Seq)
	for {
		select {
		case <-n.work.ready:
		case <-n.ended:
			return
		}
		for {
			batches, durable, shut := n.work.take()
			if len(batches) > 0 {
				results, err := x.Run(batches)
				if err != nil {
					n.fail(err)
					return
				}
				n.recent.executed(results)
				n.results.add(results)
				continue
			}
			if durable > committed {
				if err := x.Commit(durable); err != nil {
					n.fail(err)
					return
				}
				committed = durable
				continue
			}
			if shut {
				return
			}
			break
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
