package host

import (
	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/statemachine"
)

// Executor applies decided batches to the machine. It belongs to the machine's goroutine, if there is one.
type Executor struct {
	state      *statemachine.Replicated
	rules      *epoch.Parameters // of the epoch that the last batch belonged to
	checkpoint epoch.Seq         // K, of the epoch that the last commit belonged to
}

// Result is what came of a batch.
type Result struct {
	bft.Outcome
	Batch    *message.Batch
	Outcomes []statemachine.Outcome // of the batch's requests, in order
}

// Run applies batches in order. Their digests are known when it returns; nothing of it is durable. An error is final.
func (x *Executor) Run(batches []bft.Execution) ([]Result, error) {
	results := make([]Result, len(batches))
	for i, b := range batches {
		r, err := x.run(b)
		if err != nil {
			return nil, err
		}
		results[i] = r
	}
	return results, nil
}

func (x *Executor) run(b bft.Execution) (Result, error) {
	if x.rules != b.Rules {
		if err := x.state.SetLimits(Limits(*b.Rules)); err != nil {
			return Result{}, err
		}
		x.rules, x.checkpoint = b.Rules, epoch.Seq(b.Rules.Checkpoint)
	}
	transactions := make([]statemachine.Transaction, len(b.Batch.Requests))
	for i, q := range b.Batch.Requests {
		transactions[i] = statemachine.Transaction{
			ID: q.ID(), Sender: q.Sender, Nonce: q.Nonce, Last: q.Last, Operation: q.Operation,
		}
	}
	done, err := x.state.Execute(statemachine.Batch{
		Seq: uint64(b.Seq), Time: b.Time, Digest: b.Batch.Digest(), Transactions: transactions,
	})
	if err != nil {
		return Result{}, err
	}
	ends := make([]bft.End, len(done.Outcomes))
	for i := range done.Outcomes {
		ends[i] = endOf(done.Outcomes[i].Status)
	}
	return Result{
		Outcome:  bft.Outcome{Seq: b.Seq, Results: done.Mark.Results, State: done.Mark.State, Ends: ends},
		Batch:    b.Batch,
		Outcomes: done.Outcomes,
	}, nil
}

// endOf is what is over with an outcome.
func endOf(s statemachine.Status) bft.End {
	switch s {
	case statemachine.Expired, statemachine.Invalid:
		return bft.RequestOver
	case statemachine.NonceTooDistant, statemachine.LastTooDistant:
		return bft.NothingOver
	default:
		return bft.NonceOver
	}
}

// Commit makes what was executed through seq durable. Several batches may share one commit, and only the state at its end
// can be read later, so a commit ends at every checkpoint. An error is final.
func (x *Executor) Commit(seq epoch.Seq) error {
	for c := epoch.Seq(x.state.Committed().Seq)/x.checkpoint*x.checkpoint + x.checkpoint; c < seq; c += x.checkpoint {
		if err := x.state.Commit(uint64(c)); err != nil {
			return err
		}
	}
	return x.state.Commit(uint64(seq))
}

// Limits are the bounds on execution that an epoch's parameters set.
func Limits(p epoch.Parameters) statemachine.Limits {
	return statemachine.Limits{
		Transactions:     int(p.BatchRequests),
		TransactionKeys:  int(p.RequestWriteKeys),
		TransactionBytes: int(p.RequestWriteBytes),
		WriteSetBytes:    int(p.WriteSetBytes),
		NonceWindow:      uint64(p.NonceWindow),
		LastAhead:        uint64(p.LastAhead),
	}
}
