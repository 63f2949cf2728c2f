package node

import (
	"context"

	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/node/host"
	"github.com/quorate/quorate/statemachine"
)

// backend is what the public service asks of a node. Anybody may call it, at any time.
type backend interface {
	// CheckOperation is the application's word on whether an operation could ever run.
	CheckOperation(op []byte) error
	// Submit waits until the transaction is decided and a quorum has attested it. If ctx ends first, the error is
	// ctx's and the outcome unknown.
	Submit(ctx context.Context, q *message.Request) (Decision, error)
	// Accept returns when the transaction is in the pool, or its end is known.
	Accept(ctx context.Context, q *message.Request) error
	// Receipt proves an outcome that a quorum has attested; an error says why that cannot be shown here, or not yet.
	Receipt(seq epoch.Seq, index int) (*proof.Receipt, error)
	// Status is one consistent moment.
	Status() Status
	// Ready says whether the node is caught up and able to commit, or why not.
	Ready() (ok bool, why string)
	// Look is how the node was when it moved last, the newest slot that a quorum has attested, and what tells of the next move.
	Look() (m moment, acknowledged epoch.Seq, next <-chan struct{})
	// Done is closed when the node has ended; Err says why, if by itself.
	Done() <-chan struct{}
	Err() error
	// Epoch is the current one, and Epochs are all that there were.
	Epoch() *epoch.Epoch
	Epochs() epochs
	// Change and Recover hand in what operators have signed; an error says why it does not hold. Waiting is what has not come about.
	Change(ctx context.Context, c *message.Change) error
	Recover(ctx context.Context, c *message.Recovery) error
	Waiting() ([]bft.Change, *bft.Recovery)
	// Blocks are the decided ones.
	Blocks() *host.Blocks
	// State is what the application's keys hold, and what became of transactions.
	State() *statemachine.Replicated
	// Attestations are those that cover a block, by distinct members in order of their numbers, as far as still at hand.
	Attestations(seq epoch.Seq) []*message.Signed
	// Evidence is what the node holds against members.
	Evidence() []*message.Evidence
	// Trace is when each thing happened to a slot here; ok is false if nothing of it is kept.
	Trace(seq epoch.Seq) (points []point, ok bool)
}

// Decision is what became of a transaction, where it was decided first.
type Decision struct {
	ID      crypto.Digest
	Seq     epoch.Seq
	Index   int // in the block, from 0
	Outcome statemachine.Outcome
	Receipt *proof.Receipt // nil if the attestations that prove it are no longer at hand
}

// Role is what a node is in the current epoch.
type Role string

const (
	LeaderRole    Role = "leader"    // proposes what is ordered; in PBFT the primary
	CandidateRole Role = "candidate" // would lead, and has not begun
	FollowerRole  Role = "follower"  // votes for what the leader wants; in PBFT a backup
	ObserverRole  Role = "observer"  // follows and serves, and has no vote
)

// Status is one moment of a node.
type Status struct {
	Chain  crypto.Digest // the genesis digest
	Node   epoch.ReplicaID
	Role   Role
	Mode   epoch.Mode
	Epoch  uint64 // its number
	View   epoch.View
	Leader epoch.ReplicaID
	Seq    epoch.Seq     // the last executed
	Stable epoch.Seq     // the newest stable checkpoint
	Header crypto.Digest // of the header at Seq
	State  crypto.Digest // the state digest at Seq

	Incarnation epoch.Incarnation // the life of the node's own log
	Members     []epoch.Member
	Peers       int // members that this node is connected to, itself not counted
	Ready       bool
	Why         string // why it is not ready; empty if it is
	Version     string // of the program

	Evidence         int // pairs of messages held against members
	PoolTransactions int // that wait to be executed
	PoolBytes        int // of those
}
