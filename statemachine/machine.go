// Package statemachine executes ordered transactions exactly once on an application's Machine and keeps what results:
// the application's keys, the senders' sessions, the outcomes, and the mark that says how far execution has come.
//
// An application implements Machine and never sees the rest. Replicated takes batches in order, runs them on an overlay
// over a Backing, knows the digests of each batch at once, and makes runs of batches durable when told to. Everything
// that replicas must agree on is a function of the batches alone: no clock, no randomness, no texts, no map order.
package statemachine

import (
	"fmt"

	"github.com/quorate/quorate/crypto"
)

// Machine is what an application implements.
//
// It must be deterministic: the same view and the same operation give the same writes, result and Failure on every
// replica, whatever the machine, the day or the load. It must not start goroutines that use a view, and it may not keep
// a view beyond the call. Slices it is given are its own to alter; slices it returns are copied.
type Machine interface {
	// Check says whether this operation could ever run. It looks at nothing but op, and is asked at the door: an
	// operation that it refuses can be ordered all the same, and then Apply must fail it. An error that is
	// UnknownOperation tells the client that there is no such operation, rather than that it is malformed.
	Check(op []byte) error
	// Apply executes op. An error makes the transaction failed: its writes are dropped, its nonce is spent, its result
	// is kept. The error should be (or wrap) a Failure; of any other only Unspecified remains, never its text.
	Apply(view View, c Context, op []byte) (result []byte, err error)
	// Query reads at one version. Nothing it answers is agreed upon.
	Query(view Reader, query []byte) ([]byte, error)
}

// Context is what an operation may know beside the state.
type Context struct {
	Seq    uint64           // sequence number of the batch
	Time   int64            // agreed time of the batch, in ms since 1970; never goes back
	Sender crypto.PublicKey // who signed the transaction
}

// Reader reads the application's keys at one version. Slices it hands out are copies.
type Reader interface {
	// Get is the value of key, and whether there is one. A value may be empty.
	Get(key []byte) (value []byte, ok bool)
	// Scan calls f for each key with the prefix that is not below from (nil: each), in ascending order of bytes, until
	// f returns false. It sees the keys as they are when it begins, whatever f writes.
	Scan(prefix, from []byte, f func(key, value []byte) bool)
}

// View reads and writes the application's keys within one transaction, which sees its own writes.
//
// A write that would exceed the Limits is not made and fails the transaction, whatever Apply returns.
type View interface {
	Reader
	// Set gives key a value. A key has at most MaxKeyBytes.
	Set(key, value []byte)
	// Delete removes key. It counts as a write even if there is no such key.
	Delete(key []byte)
}

// MaxKeyBytes is the longest key of an application, in bytes: the longest that every Backing can hold, with room to
// spare (Badger refuses keys above 65,000 bytes, at commit, when it is too late to fail the transaction).
const MaxKeyBytes = 4096

// Failure is why a transaction failed: a code that all replicas agree on. Applications use 1 to 0xFEFF, and those of
// the reserved ones below that fit.
type Failure uint16

// Reserved codes.
const (
	Panicked            Failure = 0xFF01 // the operation panicked
	TooManyKeys         Failure = 0xFF02 // it wrote more than Limits.TransactionKeys keys
	TransactionTooLarge Failure = 0xFF03 // its writes and result exceed Limits.TransactionBytes
	BatchFull           Failure = 0xFF04 // its writes and result exceed what earlier ones left of Limits.WriteSetBytes
	KeyTooLong          Failure = 0xFF05 // it wrote a key of more than MaxKeyBytes
	Malformed           Failure = 0xFF06 // for applications: the operation cannot be read
	UnknownOperation    Failure = 0xFF07 // for applications: no such operation
	Unspecified         Failure = 0xFF08 // Apply returned an error without a Failure, or Failure(0)
)

var failureNames = map[Failure]string{
	Panicked:            "panicked",
	TooManyKeys:         "too_many_keys",
	TransactionTooLarge: "transaction_too_large",
	BatchFull:           "batch_full",
	KeyTooLong:          "key_too_long",
	Malformed:           "malformed",
	UnknownOperation:    "unknown_operation",
	Unspecified:         "unspecified",
}

// String is the name of a reserved code, or `code N`.
func (f Failure) String() string {
	if name, ok := failureNames[f]; ok {
		return name
	}
	return fmt.Sprintf("code %d", uint16(f))
}

// Error makes a Failure what Apply returns.
func (f Failure) Error() string { return "operation failed: " + f.String() }
