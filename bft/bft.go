// Package bft decides what a replica says, remembers and executes.
//
// A Replica is a function from what has happened to what should be done. It has no goroutine, no clock, no source of
// chance and no I/O: the same events give the same effects, byte for byte. Before it stands Check: nothing unverified
// comes in. Behind it stands the log: nothing unremembered goes out. See docs/ARCHITECTURE.md.
package bft

import (
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// Event is one of these, and nothing else.
type Event interface{ event() }

type (
	// Tick says that 10 ms have passed.
	Tick struct{ Now int64 } // wall clock in ms, for batch times only

	// Received is something that a member said, perhaps this replica. Check has passed it.
	Received struct{ *message.Signed }

	// Submitted is what clients have asked for here. CheckRequests has passed it.
	Submitted struct{ Requests []*message.Request }

	// Executed says that the machine has applied these batches.
	Executed struct{ Outcomes []Outcome }

	// Found is what a Read asked of this replica's own store.
	Found struct {
		For        epoch.ReplicaID
		Epoch      crypto.Digest     // the Read's
		Blocks     []*proof.Block    // a run from the first one asked for; as many as are there, and fit
		Checkpoint *proof.Checkpoint // the newest one among them, if there is one
	}

	// Asked is a change of the epoch that somebody has handed in here. proof.Asked has found nothing wrong with it.
	Asked struct{ *message.Change }

	// AskedToRecover is a recovery that somebody has handed in here. proof.Recoverable has found nothing wrong with it.
	AskedToRecover struct{ *message.Recovery }

	// Foreign says that something has come of an epoch that is not known here. Nobody can tell whether it holds; it may be that this
	// replica is behind by an epoch.
	Foreign struct{}

	// Lost says of which blocks this replica's own store can no longer read the batches: the disk has damaged them.
	Lost struct{ Seqs []epoch.Seq }
)

func (Tick) event()           {}
func (Received) event()       {}
func (Submitted) event()      {}
func (Executed) event()       {}
func (Found) event()          {}
func (Asked) event()          {}
func (AskedToRecover) event() {}
func (Foreign) event()        {}
func (Lost) event()           {}

// TickMillis is the interval between two Ticks, in ms.
const TickMillis = 10

// Outcome is what came of executing a slot's batch.
type Outcome struct {
	Seq     epoch.Seq
	Results crypto.Digest // root of the outcomes
	State   crypto.Digest // running digest of the state
	Ends    []End         // of the batch's requests, in order: what the pool may forget
}

// End says what is over with a request's execution.
type End uint8

const (
	// NonceOver is that the sender's nonce is used, or behind the window: no request with it will execute any more.
	NonceOver End = 0
	// RequestOver is that this request will never execute; another with its nonce may.
	RequestOver End = 1
	// NothingOver is that this request was ordered in vain, and may be ordered again.
	NothingOver End = 2
)

// Effects is what a replica asks of its host. The contract has three lines:
//
//  1. Carry out the effects of successive Steps in order; within one: Persist, sync, Enter, Send, Execute, Read, Trim.
//  2. Persist first: nothing else in an Effects happens until its records, and all earlier ones, are durable.
//  3. A message to oneself is signed and comes back as Received, like anyone else's.
type Effects struct {
	Persist      []ordering.Record  // append to the log, and sync
	Enter        []*epoch.Epoch     // from now on also: these peers, keys and rules
	Send         []message.Outgoing // sign, and send: to one, some, all, or into the gossip
	Execute      []Execution        // apply, in this order, without gaps
	Answer       []Answer           // a request was refused, and why
	Acknowledged *Acknowledgement   // everything up to here will survive, whatever f members do
	Read         []Read             // blocks from this replica's own store
	Trim         bool               // what stands before this Persist in the log is no longer needed as a fact
	Halt         *Divergence        // a quorum has executed something else: stop
	Notes        []Note             // what happened and why, if Config.Notes asks for it
}

// None says whether there is nothing to carry out, as after most ticks.
func (e *Effects) None() bool {
	return len(e.Persist) == 0 && len(e.Enter) == 0 && len(e.Send) == 0 && len(e.Execute) == 0 && len(e.Answer) == 0 &&
		e.Acknowledged == nil && len(e.Read) == 0 && !e.Trim && e.Halt == nil && len(e.Notes) == 0
}

// Execution is a decided batch in its place.
type Execution struct {
	Seq   epoch.Seq
	Time  int64 // ms since 1970; never before that of the slot before
	Batch *message.Batch
	Rules *epoch.Parameters // of the epoch that the slot belongs to
}

// Answer refuses a request.
type Answer struct {
	Request *message.Request
	Refusal error // ErrPoolFull, or that the epoch that has begun has no room for it
}

// Acknowledgement is a quorum's word that it has executed everything up to Seq and holds the blocks. Then any quorum
// asked later contains a correct member that has.
type Acknowledgement struct {
	Seq          epoch.Seq
	Attestations []*message.Signed // each to a header at or above Seq on this replica's chain; none where operators have ended an epoch
}

// Read asks for the blocks From to To on behalf of a peer, which is told in the epoch that they belong to.
type Read struct {
	For      epoch.ReplicaID
	Epoch    crypto.Digest
	From, To epoch.Seq
}

// Divergence is that a quorum attests a header at a slot where this replica has another.
type Divergence struct {
	Seq         epoch.Seq
	Own, Quorum crypto.Digest
}

// Note says what happened, in typed values: logs, metrics and traces make words of it.
type Note interface{ note() }

type (
	// Unused is a message that was of no use, and why.
	Unused struct {
		Kind   message.Kind
		Author epoch.ReplicaID
		Reason error
	}
	// BoundTo is that this replica has bound itself at a slot: it has accepted a batch, or holds a prepared certificate.
	BoundTo struct {
		message.Vote
		Phase message.Phase // Accepted or Prepared
	}
	// DecidedSlot is that a slot is decided: by votes, or by a block from elsewhere.
	DecidedSlot struct {
		Seq     epoch.Seq
		Batch   crypto.Digest
		Learned bool
	}
	// LeftView is that this replica votes in no view below this one any more.
	LeftView struct{ View epoch.View }
	// EnteredView is that it votes in this view from now on.
	EnteredView struct {
		View   epoch.View
		Leader epoch.ReplicaID
	}
	// StableAt is that a checkpoint became stable.
	StableAt struct{ Seq epoch.Seq }
	// HoldsEvidence is that this replica has come to hold evidence against a member.
	HoldsEvidence struct{ *message.Evidence }
	// SealedEpoch is that a change has ended the epoch that was running: this one will follow.
	SealedEpoch struct{ Next *epoch.Epoch }
	// EnteredEpoch is that this replica takes part in another epoch from now on.
	EnteredEpoch struct{ *epoch.Epoch }
	// VoidChange is that a change was decided at a slot where it is not valid: it changes nothing.
	VoidChange struct {
		Seq    epoch.Seq
		Reason error
	}
	// MendedBlock is that a peer has supplied the batch of a block that was lost here.
	MendedBlock struct {
		Seq  epoch.Seq
		From epoch.ReplicaID
	}
)

func (Unused) note()        {}
func (BoundTo) note()       {}
func (DecidedSlot) note()   {}
func (LeftView) note()      {}
func (EnteredView) note()   {}
func (StableAt) note()      {}
func (HoldsEvidence) note() {}
func (SealedEpoch) note()   {}
func (EnteredEpoch) note()  {}
func (VoidChange) note()    {}
func (MendedBlock) note()   {}
