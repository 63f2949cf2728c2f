package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quorate/quorate/api/reason"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/node/host"
	"github.com/quorate/quorate/statemachine"
)

// What is executed and acknowledged becomes readable a little later, when the state has made it durable. Whoever was
// just told of a commit and asks for it must not hear that there is no such thing.
const (
	settleTimeout = time.Second
	settlePoll    = 2 * time.Millisecond
)

// settle waits until what is executed through seq can be read. It looks again and again: the state has nobody to tell,
// since nobody else waits for it.
func (s *service) settle(ctx context.Context, seq uint64) bool {
	state := s.backend.State()
	if state.Committed().Seq >= seq {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	again := time.NewTicker(settlePoll)
	defer again.Stop()
	for state.Committed().Seq < seq {
		select {
		case <-again.C:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// decision is what became of a transaction, as far as this node knows.
func (s *service) decision(ctx context.Context, id crypto.Digest) (Decision, *reason.Error) {
	state := s.backend.State()
	at, ok, err := state.Lookup(id)
	if err == nil && (!ok || !at.Status.Executed() && at.Status != statemachine.Expired) {
		s.settle(ctx, state.Applied().Seq)
		at, ok, err = state.Lookup(id)
	}
	fail := func(r reason.Reason, err error) (Decision, *reason.Error) {
		return Decision{}, &reason.Error{Reason: r, Transaction: id.String(), Err: err}
	}
	switch {
	case err != nil:
		return fail(reason.Internal, err)
	case !ok:
		return fail(reason.NotFound, fmt.Errorf("no transaction %s in the %d blocks that this node has executed", id, state.Committed().Seq))
	}
	outcomes, ok, err := state.Outcomes(at.Seq)
	switch {
	case err != nil:
		return fail(reason.Internal, err)
	case !ok || at.Index >= len(outcomes):
		return fail(reason.Pruned, fmt.Errorf("block %d, in which it was decided, is pruned", at.Seq))
	}
	d := Decision{ID: id, Seq: epoch.Seq(at.Seq), Index: at.Index, Outcome: outcomes[at.Index]}
	if d.Receipt, err = s.backend.Receipt(d.Seq, d.Index); err != nil {
		s.log.Debug("no receipt", "transaction", id, "reason", err)
		d.Receipt = nil
	}
	return d, nil
}

// executedBlock is a block with what came of it.
type executedBlock struct {
	*proof.Block
	outcomes     []statemachine.Outcome
	attestations []*message.Signed
}

var errDisagrees = errors.New("block and state do not belong together")

// executed reads a block that is executed.
func (s *service) executed(ctx context.Context, seq epoch.Seq) (executedBlock, *reason.Error) {
	fail := func(r reason.Reason, format string, arguments ...any) (executedBlock, *reason.Error) {
		return executedBlock{}, refuse(r, fmt.Errorf("block %d "+format, append([]any{seq}, arguments...)...))
	}
	if last := s.backend.Blocks().Last(); seq == 0 || seq > last {
		return fail(reason.NotFound, "is not there: the newest is %d", last)
	}
	b, ok, err := s.backend.Blocks().Block(seq)
	lost := (*host.LostError)(nil)
	switch {
	case errors.As(err, &lost):
		return executedBlock{}, refuse(reason.NotExecuted, fmt.Errorf("%w, and they are fetched from other members", err))
	case err != nil:
		return executedBlock{}, refuse(reason.Internal, err)
	case !ok:
		return fail(reason.Pruned, "is pruned")
	case !s.settle(ctx, uint64(seq)):
		return fail(reason.NotExecuted, "is decided, but not in the state yet")
	}
	outcomes, ok, err := s.backend.State().Outcomes(uint64(seq))
	switch {
	case err != nil:
		return executedBlock{}, refuse(reason.Internal, err)
	case !ok:
		return fail(reason.Pruned, "is there, but what came of it is pruned")
	case len(outcomes) != len(b.Batch.Requests):
		return executedBlock{}, refuse(reason.Internal, errDisagrees)
	}
	return executedBlock{b, outcomes, s.backend.Attestations(seq)}, nil
}
