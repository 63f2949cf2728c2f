package node

import (
	"context"
	"errors"

	"github.com/quorate/quorate/api/reason"
	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/node/host"
	"github.com/quorate/quorate/statemachine"
)

func refuse(r reason.Reason, err error) *reason.Error { return &reason.Error{Reason: r, Err: err} }

// refusals says by which name callers know an error of the node. The first that matches counts.
var refusals = []struct {
	err    error
	reason reason.Reason
}{
	{bft.ErrForeignChain, reason.ForeignChain},
	{bft.ErrTooLarge, reason.TooLarge},
	{bft.ErrSignature, reason.BadSignature},
	{host.ErrNonceUsed, reason.NonceUsed},
	{host.ErrDecidedEarlier, reason.DecidedEarlier},
	{host.ErrExpired, reason.Expired},
	{host.ErrNonceDistant, reason.NonceTooDistant},
	{host.ErrLastDistant, reason.LastTooDistant},
	{bft.ErrPoolFull, reason.PoolFull},
	{ErrBusy, reason.PoolFull},
	{ErrStopping, reason.Stopping},
}

// refusal names an error of the node about a transaction.
func refusal(id crypto.Digest, err error) *reason.Error {
	e := &reason.Error{Reason: reason.Internal, Transaction: id.String(), Err: err}
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			e.Reason = r.reason
			return e
		}
	}
	return e
}

// operationError names the application's refusal of an operation that could never run. An application says that it has
// no such operation by an error that is statemachine.UnknownOperation.
func operationError(id crypto.Digest, err error) *reason.Error {
	e := &reason.Error{Reason: reason.InvalidOperation, Transaction: id.String(), Err: err}
	if errors.Is(err, statemachine.UnknownOperation) {
		e.Reason = reason.UnknownOperation
	}
	return e
}

var errOutcomeUnknown = errors.New("the transaction was handed in, and may yet be executed or not: ask for it by its id, or send the same bytes again")

// outcomeError names an error of waiting for a transaction. Whoever stops waiting knows nothing of its outcome.
func outcomeError(id crypto.Digest, err error) *reason.Error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || errors.Is(err, ErrStopping) {
		return &reason.Error{Reason: reason.OutcomeUnknown, Transaction: id.String(), Err: errOutcomeUnknown}
	}
	return refusal(id, err)
}

// readError names an error of a read.
func readError(err error) *reason.Error {
	var unreadable *statemachine.Unreadable
	if errors.As(err, &unreadable) {
		return refuse(reason.Unreadable, err)
	}
	return refuse(reason.InvalidQuery, err)
}
