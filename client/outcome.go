package client

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/quorate/quorate/api/reason"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// Status is what became of a transaction; the numbers are those of docs/protocol/transactions.md.
type Status uint8

// Only Applied and Failed transactions were executed.
const (
	Applied         Status = 1
	Failed          Status = 2 // executed, and its writes dropped: see Outcome.Code
	Duplicate       Status = 3
	Expired         Status = 4
	NonceUsed       Status = 5
	DecidedEarlier  Status = 6
	NonceTooDistant Status = 7
	LastTooDistant  Status = 8
	Invalid         Status = 9
)

var statusNames = [...]string{
	Applied: "applied", Failed: "failed", Duplicate: "duplicate", Expired: "expired", NonceUsed: "nonce_used",
	DecidedEarlier: "decided_earlier", NonceTooDistant: "nonce_too_distant", LastTooDistant: "last_too_distant",
	Invalid: "invalid",
}

// String is the status as users see it.
func (s Status) String() string {
	if s < Applied || s > Invalid {
		return fmt.Sprintf("status %d", uint8(s))
	}
	return statusNames[s]
}

// Executed says whether s spent the nonce.
func (s Status) Executed() bool { return s == Applied || s == Failed }

// refusal is the reason that a status which is no execution comes to.
func (s Status) refusal() (reason.Reason, bool) {
	switch s {
	case Expired:
		return reason.Expired, true
	case NonceUsed:
		return reason.NonceUsed, true
	case DecidedEarlier:
		return reason.DecidedEarlier, true
	case NonceTooDistant:
		return reason.NonceTooDistant, true
	case LastTooDistant:
		return reason.LastTooDistant, true
	default:
		return "", false
	}
}

// Outcome is what became of a transaction.
type Outcome struct {
	ID      crypto.Digest
	Seq     epoch.Seq // of the block in which it was decided
	Index   int       // in that block, from 0
	Status  Status
	Code    uint16 // of a failed one: why
	Result  []byte
	Receipt *proof.Receipt // verified; nil if instead enough members said the same
}

func (o *Outcome) equal(other *Outcome) bool {
	return o.ID == other.ID && o.Seq == other.Seq && o.Index == other.Index && o.Status == other.Status &&
		o.Code == other.Code && bytes.Equal(o.Result, other.Result)
}

// How a call can end without what it was for.
var (
	// ErrUnknown is that a transaction may have been executed or not; see Unknown.
	ErrUnknown = errors.New("outcome unknown")
	// ErrNotFound is that enough members do not know what was asked for.
	ErrNotFound = errors.New("not found")
	// ErrPruned is that enough members say that it was there and is not kept any more.
	ErrPruned = errors.New("pruned")
	// ErrUnavailable is that too few nodes gave an answer that can be believed.
	ErrUnavailable = errors.New("unavailable")
)

// Unknown is an ErrUnknown, with the transaction to ask about.
type Unknown struct {
	ID    crypto.Digest
	Cause error // why nothing better is known
}

func (u *Unknown) Error() string {
	return fmt.Sprintf("outcome of transaction %s is unknown: ask for it, or send the same bytes again (%v)", u.ID, u.Cause)
}

// Unwrap makes it an ErrUnknown, and what caused it.
func (u *Unknown) Unwrap() []error { return []error{ErrUnknown, u.Cause} }

// Refused is that a transaction was not executed and will not be, in the words of enough members or as proven.
type Refused struct {
	ID     crypto.Digest
	Reason reason.Reason
	Text   string // in the words of one of them
}

func (r *Refused) Error() string {
	return fmt.Sprintf("transaction %s is refused: %s (%s)", r.ID, r.Text, r.Reason)
}
