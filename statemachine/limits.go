package statemachine

import "fmt"

// MaxNonceWindow is the widest window of nonces: the sessions keep as many slots per sender, so that a narrower window
// can be widened again without forgetting a nonce that was used.
const MaxNonceWindow = 1024

// WriteCost is what a write costs beside its key and value, in bytes: what the database needs for each entry. It
// bounds the number of keys in a batch together with their size.
const WriteCost = 100

// Limits are the epoch's bounds on execution. What would exceed them fails, on every replica alike.
//
// A write costs WriteCost plus its key and value; a key written twice in a transaction costs what its last write does.
// A transaction costs its writes, plus its result.
type Limits struct {
	Transactions     int    // most transactions in a batch; more is refused before ordering
	TransactionKeys  int    // most keys a transaction writes
	TransactionBytes int    // most that a transaction costs, in bytes
	WriteSetBytes    int    // most that the applied transactions of a batch cost together, in bytes
	NonceWindow      uint64 // how far a nonce may be from the highest used, 1 to MaxNonceWindow
	LastAhead        uint64 // how far `last` may be ahead of the batch, in sequence numbers
}

// DefaultLimits are those of design.md §6.
func DefaultLimits() Limits {
	return Limits{
		Transactions:     2000,
		TransactionKeys:  64,
		TransactionBytes: 64 << 10,
		WriteSetBytes:    4 << 20,
		NonceWindow:      1024,
		LastAhead:        1 << 20,
	}
}

// maxTransactionBytes keeps every value below the size at which Badger would move it to its value log, whose sync
// errors are only logged.
const maxTransactionBytes = 512 << 10

// Check says whether a replica could execute under these limits on a backing with these bounds.
func (l Limits) Check(b Bounds) error {
	switch {
	case l.Transactions < 1:
		return fmt.Errorf("limits: %d transactions in a batch, want at least 1", l.Transactions)
	case l.TransactionKeys < 1:
		return fmt.Errorf("limits: %d keys in a transaction, want at least 1", l.TransactionKeys)
	case l.TransactionBytes < WriteCost || l.TransactionBytes > maxTransactionBytes:
		return fmt.Errorf("limits: %d bytes in a transaction, want %d to %d", l.TransactionBytes, WriteCost, maxTransactionBytes)
	case l.WriteSetBytes < l.TransactionBytes:
		return fmt.Errorf("limits: %d bytes in a batch are fewer than %d in a transaction", l.WriteSetBytes, l.TransactionBytes)
	case l.NonceWindow < 1 || l.NonceWindow > MaxNonceWindow:
		return fmt.Errorf("limits: nonce window of %d, want 1 to %d", l.NonceWindow, MaxNonceWindow)
	case l.LastAhead < 1:
		return fmt.Errorf("limits: last at most %d ahead, want at least 1", l.LastAhead)
	}
	// Divided rather than multiplied: the parameters come from a genesis file and may be anything.
	if (b.Bytes-fixedBytes-l.WriteSetBytes)/transactionOverheadBytes < l.Transactions ||
		(b.Entries-fixedEntries-l.WriteSetBytes/WriteCost)/transactionEntries < l.Transactions {
		return fmt.Errorf("limits: a batch of %d transactions that writes %d bytes does not fit one commit of %d bytes and %d entries",
			l.Transactions, l.WriteSetBytes, b.Bytes, b.Entries)
	}
	return nil
}
