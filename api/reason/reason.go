// Package reason names what the public service refuses, in words that stay the same. An error carries its name in the
// metadata (HTTP headers, with plain GET and Connect) beside the code of its protocol, which is coarser.
package reason

import (
	"errors"
	"strconv"
	"time"

	"connectrpc.com/connect"
)

// Reason is why a call had no result.
type Reason string

// Of the transaction: sending the same bytes again will not help.
const (
	Malformed        Reason = "malformed"
	ForeignChain     Reason = "foreign_chain"
	TooLarge         Reason = "too_large"
	BadSignature     Reason = "bad_signature"
	UnknownOperation Reason = "unknown_operation"
	InvalidOperation Reason = "invalid_operation"
	NonceUsed        Reason = "nonce_used"
	DecidedEarlier   Reason = "decided_earlier"
	Expired          Reason = "expired"
	NonceTooDistant  Reason = "nonce_too_distant"
	LastTooDistant   Reason = "last_too_distant"
)

// Of the moment, or of this node.
const (
	PoolFull       Reason = "pool_full"
	TooManyWaiting Reason = "too_many_waiting"
	NotReady       Reason = "not_ready"
	Stopping       Reason = "stopping"
	OutcomeUnknown Reason = "outcome_unknown"
	NotExecuted    Reason = "not_executed"
	Internal       Reason = "internal"
)

// Of what was asked for.
const (
	NotFound      Reason = "unknown"
	Pruned        Reason = "pruned"
	Unproven      Reason = "unproven"
	Unreadable    Reason = "unreadable"
	InvalidQuery  Reason = "invalid_query"
	BadParameters Reason = "bad_parameters"
)

// A row says how a reason shows in the protocols, and what it means for whoever retries.
type row struct {
	code  connect.Code
	http  int  // of plain GET answers
	final bool // the same transaction, sent to whomever, will be refused again
}

func (r Reason) row() row {
	switch r {
	case Malformed, ForeignChain, InvalidOperation, UnknownOperation, TooLarge:
		return row{connect.CodeInvalidArgument, 400, true}
	case BadSignature:
		return row{connect.CodeUnauthenticated, 401, true}
	case NonceUsed, DecidedEarlier:
		return row{connect.CodeAlreadyExists, 409, true}
	case Expired:
		return row{connect.CodeFailedPrecondition, 400, true}
	case NonceTooDistant, LastTooDistant:
		return row{connect.CodeOutOfRange, 400, true}
	case PoolFull, TooManyWaiting:
		return row{connect.CodeResourceExhausted, 429, false}
	case NotReady, Stopping, NotExecuted, Unproven:
		return row{connect.CodeUnavailable, 503, false}
	case OutcomeUnknown:
		return row{connect.CodeDeadlineExceeded, 504, false}
	case NotFound:
		return row{connect.CodeNotFound, 404, false}
	case Pruned:
		return row{connect.CodeNotFound, 410, false}
	case Unreadable:
		return row{connect.CodeOutOfRange, 400, false}
	case InvalidQuery, BadParameters:
		return row{connect.CodeInvalidArgument, 400, false}
	default:
		return row{connect.CodeInternal, 500, false}
	}
}

// All lists the reasons.
func All() []Reason {
	return []Reason{
		Malformed, ForeignChain, TooLarge, BadSignature, UnknownOperation, InvalidOperation, NonceUsed, DecidedEarlier,
		Expired, NonceTooDistant, LastTooDistant, PoolFull, TooManyWaiting, NotReady, Stopping, OutcomeUnknown,
		NotExecuted, Internal, NotFound, Pruned, Unproven, Unreadable, InvalidQuery, BadParameters,
	}
}

// Code is the reason in Connect and gRPC.
func (r Reason) Code() connect.Code { return r.row().code }

// HTTPStatus is the reason in plain GET answers.
func (r Reason) HTTPStatus() int { return r.row().http }

// Final says whether the same transaction will be refused again, whenever and wherever it is sent. A nonce or a last
// that is too distant is final for whoever waits: it becomes admissible only by other transactions.
func (r Reason) Final() bool { return r.row().final }

// RetryAfter is how long to wait before trying the same node again; 0 if that has no point or needs no wait.
func (r Reason) RetryAfter() time.Duration {
	switch r {
	case PoolFull, TooManyWaiting, NotReady, NotExecuted, Stopping, Unproven:
		return time.Second
	default:
		return 0
	}
}

// Metadata of an error.
const (
	Header            = "Quorate-Reason"
	HeaderTransaction = "Quorate-Transaction" // the id of the transaction that it is about, in hexadecimal
	headerRetryAfter  = "Retry-After"         // in seconds: RFC 9110 §10.2.3
)

// Error is an error of the public service with its reason and, if it is about a transaction, that one's id.
type Error struct {
	Reason      Reason
	Transaction string // in hexadecimal; empty if it is about none
	Err         error
}

func (e *Error) Error() string { return e.Err.Error() }

// Unwrap is what went wrong.
func (e *Error) Unwrap() error { return e.Err }

// Connect is the error as handlers return it.
func (e *Error) Connect() *connect.Error {
	out := connect.NewError(e.Reason.Code(), e.Err)
	e.SetHeaders(out.Meta().Set)
	return out
}

// SetHeaders sets the error's metadata.
func (e *Error) SetHeaders(set func(key, value string)) {
	set(Header, string(e.Reason))
	if e.Transaction != "" {
		set(HeaderTransaction, e.Transaction)
	}
	if wait := e.Reason.RetryAfter(); wait > 0 {
		set(headerRetryAfter, strconv.Itoa(int(wait/time.Second)))
	}
}

// Of is the reason that a call failed for, as its node has said; ok is false if it has said none, so that the call may
// not even have arrived. What a node says of itself or of a transaction need not be true.
func Of(err error) (r Reason, ok bool) {
	var e *connect.Error
	if !errors.As(err, &e) {
		return "", false
	}
	r = Reason(e.Meta().Get(Header))
	return r, r != ""
}
