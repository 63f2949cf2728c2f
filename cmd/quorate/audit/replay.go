package audit

import (
	"errors"
	"fmt"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/node/host"
	"github.com/quorate/quorate/statemachine"
	"github.com/quorate/quorate/statemachine/kv"
)

// replay executes the chain once more, on the first node's word that comes, and holds every node's headers against it.
type replay struct {
	state        *statemachine.Replicated
	headers      []proof.Header    // of the blocks from 1, as the first node has them
	epoch        *epoch.Epoch      // of the last of them
	limits       *epoch.Parameters // that the machine keeps within
	transactions int
	executed     map[crypto.Digest]epoch.Seq // where each was applied or failed
	nonces       map[nonce]crypto.Digest
	broken       bool // the chain cannot be executed further
}

type nonce struct {
	sender crypto.PublicKey
	number uint64
}

func newReplay(g *proof.Genesis) (*replay, error) {
	state, err := statemachine.Open(statemachine.NewMemory(), kv.Machine{}, host.Limits(g.Parameters))
	if err != nil {
		return nil, err
	}
	first := g.Epoch()
	return &replay{state: state, epoch: first, limits: &first.Parameters, executed: make(map[crypto.Digest]epoch.Seq), nonces: make(map[nonce]crypto.Digest)}, nil
}

func (r *replay) last() epoch.Seq { return epoch.Seq(len(r.headers)) }

// commitEvery is after how many blocks the machine lets go of what a crash would lose, which here nobody fears.
const commitEvery = 64

// take compares a node's block, which is of the epoch e, with that of the first node to have it, or executes it.
func (r *replay) take(b *proof.Block, e *epoch.Epoch) error {
	seq := b.Header.Seq
	switch {
	case seq >= 1 && seq <= r.last():
		switch other := r.headers[seq-1]; {
		case b.Header.Epoch != other.Epoch:
			return fmt.Errorf("block %d: agreement: it is of epoch %s, another node's is of %s", seq, b.Header.Epoch.Short(), other.Epoch.Short())
		case b.Header != other:
			return fmt.Errorf("block %d: agreement: its header is %s, another node's is %s", seq, b.Header.Digest().Short(), other.Digest().Short())
		}
		return nil
	case r.broken || seq != r.last()+1:
		return nil // has been told
	}
	r.headers, r.epoch = append(r.headers, b.Header), e
	if *r.limits != e.Parameters {
		if err := r.state.SetLimits(host.Limits(e.Parameters)); err != nil {
			r.broken = true
			return fmt.Errorf("block %d: cannot be executed: %w", seq, err)
		}
		r.limits = &e.Parameters
	}
	batch := statemachine.Batch{Seq: uint64(seq), Time: b.Header.Time, Digest: b.Batch.Digest()}
	for _, q := range b.Batch.Requests {
		batch.Transactions = append(batch.Transactions, statemachine.Transaction{
			ID: q.ID(), Sender: q.Sender, Nonce: q.Nonce, Last: q.Last, Operation: q.Operation,
		})
	}
	done, err := r.state.Execute(batch)
	if err == nil && seq%commitEvery == 0 {
		err = r.state.Commit(uint64(seq))
	}
	if err != nil {
		r.broken = true
		return fmt.Errorf("block %d: cannot be executed: %w", seq, err)
	}
	r.transactions += len(done.Outcomes)
	for i, o := range done.Outcomes {
		if err := r.once(seq, batch.Transactions[i], o); err != nil {
			return err
		}
	}
	switch h := b.Header; {
	case done.Mark.Results != h.Results:
		return fmt.Errorf("block %d: its header says results %s, executed again they are %s", seq, h.Results.Short(), done.Mark.Results.Short())
	case done.Mark.State != h.State:
		return fmt.Errorf("block %d: its header says state %s, executed again it is %s", seq, h.State.Short(), done.Mark.State.Short())
	}
	return nil
}

var errTwice = errors.New("exactly once")

// once notes an execution, of which there is one for an id and for a sender's nonce.
func (r *replay) once(seq epoch.Seq, t statemachine.Transaction, o statemachine.Outcome) error {
	if !o.Status.Executed() {
		return nil
	}
	if first, again := r.executed[t.ID]; again {
		return fmt.Errorf("block %d: %w: transaction %s was executed at %d", seq, errTwice, t.ID, first)
	}
	place := nonce{t.Sender, t.Nonce}
	if other, again := r.nonces[place]; again {
		return fmt.Errorf("block %d: %w: transaction %s has nonce %d, as %s", seq, errTwice, t.ID, t.Nonce, other)
	}
	r.executed[t.ID], r.nonces[place] = seq, t.ID
	return nil
}
