package statemachine

import (
	"encoding/binary"
	"fmt"

	"github.com/quorate/quorate/crypto"
)

// Transaction is what execution needs of a signed transaction. Its signature has been checked before it was ordered.
type Transaction struct {
	ID        crypto.Digest    // names it; no two in one batch are the same
	Sender    crypto.PublicKey //
	Nonce     uint64           // from 1
	Last      uint64           // the last sequence number at which it may execute, from 1
	Operation []byte           // for the Machine
}

// Batch is what was decided for one sequence number.
type Batch struct {
	Seq          uint64 // from 1, without gaps
	Time         int64  // in ms since 1970
	Digest       crypto.Digest
	Transactions []Transaction
}

// Status is what became of an ordered transaction.
type Status uint8

// Applied and Failed spend the nonce, and each id gets one of them at most once in a chain. All others change nothing.
const (
	Applied         Status = iota + 1 // executed
	Failed                            // executed, and its writes dropped: see Code
	Duplicate                         // the same id was applied or failed before, at Outcome.Seq
	Expired                           // ordered after its last: it was never executed and never will be
	NonceUsed                         // another id has used this nonce
	DecidedEarlier                    // its nonce is behind the window: what became of it stands in an earlier block
	NonceTooDistant                   // its nonce is more than a window above the highest used
	LastTooDistant                    // its last is too far ahead
	Invalid                           // its nonce or last is 0: such a transaction should not have been ordered
)

var statusNames = [...]string{
	Applied:         "applied",
	Failed:          "failed",
	Duplicate:       "duplicate",
	Expired:         "expired",
	NonceUsed:       "nonce_used",
	DecidedEarlier:  "decided_earlier",
	NonceTooDistant: "nonce_too_distant",
	LastTooDistant:  "last_too_distant",
	Invalid:         "invalid",
}

// Known says whether s is one of the statuses.
func (s Status) Known() bool { return Applied <= s && s <= Invalid }

// String is the status as users see it.
func (s Status) String() string {
	if !s.Known() {
		return fmt.Sprintf("status %d", uint8(s))
	}
	return statusNames[s]
}

// Executed says whether s spent the nonce.
func (s Status) Executed() bool { return s == Applied || s == Failed }

// final says whether nothing that is ordered later can give the same id another first outcome.
func (s Status) final() bool { return s.Executed() || s == Expired }

// Outcome is what became of one transaction of a batch.
type Outcome struct {
	ID     crypto.Digest
	Status Status
	Code   Failure // of a failed one, else 0
	Seq    uint64  // of this batch; of a duplicate: where it was first decided
	Result []byte  // of an applied or failed one, may be empty; else nil
}

// Mark says how far execution has come, and to what.
type Mark struct {
	Seq     uint64
	Batch   crypto.Digest
	Results crypto.Digest // root over the outcomes
	State   crypto.Digest // running hash over the write sets
}

// Executed is what a batch came to.
type Executed struct {
	Mark     Mark
	Outcomes []Outcome // one for each transaction, in order
}

// Write is one entry of a write set.
type Write struct {
	Key    []byte
	Value  []byte // nil if Delete
	Delete bool
}

// Leaf is an outcome as the results root covers it:
//
//	id [32] ‖ status u8 ‖ code u16 ‖ seq u64 ‖ length u32 ‖ result
//
// all big-endian.
func Leaf(o Outcome) []byte {
	return appendLeaf(make([]byte, 0, leafBytes+len(o.Result)), o)
}

const leafBytes = crypto.DigestSize + 1 + 2 + 8 + 4

func appendLeaf(b []byte, o Outcome) []byte {
	b = append(b, o.ID[:]...)
	b = append(b, byte(o.Status))
	b = binary.BigEndian.AppendUint16(b, uint16(o.Code))
	b = binary.BigEndian.AppendUint64(b, o.Seq)
	b = binary.BigEndian.AppendUint32(b, uint32(len(o.Result)))
	return append(b, o.Result...)
}

// ResultsRoot is the Merkle root over the leaves of the outcomes, in order.
func ResultsRoot(outcomes []Outcome) crypto.Digest {
	leaves := make([][]byte, len(outcomes))
	for i, o := range outcomes {
		leaves[i] = Leaf(o)
	}
	return crypto.MerkleRoot(leaves)
}

const domainState = "quorate/state/1"

// NextState chains a batch's write set to the state digest before it. Before the first batch it is the zero Digest.
//
//	Hash("quorate/state/1", state [32] ‖ seq u64 ‖ count u32 ‖ entries)
//	entry: 1 u8 ‖ length u32 ‖ key ‖ length u32 ‖ value, or for a delete: 2 u8 ‖ length u32 ‖ key
//
// all big-endian. The writes must be those that the batch's applied transactions made to the application's keys, one
// for each key, the last one, in ascending order of keys. A batch without writes is chained too.
func NextState(state crypto.Digest, seq uint64, writes []Write) crypto.Digest {
	size := 8 + 4
	for _, w := range writes {
		size += 1 + 4 + len(w.Key) + 4 + len(w.Value)
	}
	b := make([]byte, 0, size)
	b = binary.BigEndian.AppendUint64(b, seq)
	b = binary.BigEndian.AppendUint32(b, uint32(len(writes)))
	for _, w := range writes {
		if w.Delete {
			b = append(b, 2)
			b = appendBytes(b, w.Key)
			continue
		}
		b = append(b, 1)
		b = appendBytes(b, w.Key)
		b = appendBytes(b, w.Value)
	}
	return crypto.Hash(domainState, state[:], b)
}

func appendBytes(b, field []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(field)))
	return append(b, field...)
}
