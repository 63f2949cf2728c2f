// Package scenario runs fault scripts. A script says in Starlark what happens to a network and what must hold; the network is any
// Cluster: a simulated one, or processes. The same file runs on either, and every run ends in a verdict.
//
// The language is in docs/fault-scripts.md.
package scenario

import (
	"context"
	"time"
)

// Cluster is a network under test. Its nodes are numbered from 1 in the order of the genesis. It is for one caller, and calls back
// only from within Wait.
//
// An error of a fault says why it cannot happen as things are: the node is down that was to be crashed. Such a run has not tested
// what its script says.
type Cluster interface {
	// Start makes the network and has all nodes ready.
	Start(context.Context, Shape) error
	// Close ends it, in whatever state it is.
	Close() error

	// Now is the time since Start.
	Now() time.Duration
	// Wait lets that much time pass, or less if it has called back. The error is ctx's, or a *Violation that the cluster has seen meanwhile.
	Wait(ctx context.Context, d time.Duration) error

	// Processes. Crash ends some at one instant, as kill -9 does, or none of them. If it is to take what was not synced, that is when the first
	// node of which this is said has such a thing, within StrikePatience. done is called once, at once or from within Wait. Stop has one end in
	// order; Pause freezes it.
	Crash(nodes []int, done func(error))
	Restart(node int) error
	Stop(node int) error
	Pause(node int) error
	Resume(node int) error
	// Twin starts a second process with the node's key and a copy of its log.
	Twin(node int) error

	// Link sets how messages fare from one node to another; the zero Link is a whole one.
	Link(from, to int, l Link) error

	// Disk has something go wrong with a node's disk.
	Disk(node int, f DiskFault) error
	// Clock sets how far a node's wall clock is off.
	Clock(node int, offset time.Duration) error
	// Behave has a member lie in these ways with every so many-th word it sends, from 1; without any it is honest again.
	Behave(node int, acts []string, every int) error

	// Operate has operators ask for something. done is called once, from within Wait, when it has come about, or with why it was refused or
	// is not there after so long.
	Operate(o Order, within time.Duration, done func(error))

	// Do has a client ask for something. done is called once, from within Wait, when it is answered or its client has given up.
	Do(call Call, done func(Answer))

	// Look is how the node is now, as far as it can be asked.
	Look(node int) Look
	// Metrics are the node's, by the name that GET /metrics has for them: MetricNames, and more if it likes.
	Metrics(node int) (map[string]float64, error)
	// Accused are the members that a node holds evidence against.
	Accused(node int) ([]int, error)
	// Happened is how often faults have come about so far, by kind and place: see the Count functions. What only a crashed process
	// knew is not among it.
	Happened() map[string]uint64

	// Check goes through what the nodes hold. The error is a *Violation, or says why it cannot be looked at.
	Check(ctx context.Context, what Check) error
	// Digest is over all that has happened: equal runs have equal ones. Empty where no run equals another.
	Digest() string
}

// StrikePatience is how long a crash waits for something that is not synced.
const StrikePatience = 500 * time.Millisecond

// Shape is what a network is made as.
type Shape struct {
	Nodes      int
	Mode       string            // byzantine or crash
	Parameters map[string]uint32 // of the genesis, by name; what is not there has its default
	Seed       uint64
}

// Link is how messages fare on the way from one node to another.
type Link struct {
	Cut       bool          // none arrives
	Delay     time.Duration // every message takes longer by this,
	Jitter    time.Duration // and by up to this
	Lost      float64       // share of messages that get lost, 0 to 1
	Twice     float64       // share of messages that arrive twice
	Reordered float64       // share of messages that those behind them may overtake
	Bandwidth int64         // bytes a second; 0: any
}

// DiskKind is what goes wrong with a disk.
type DiskKind string

// The faults of disks. Those that need the node to be down say so.
const (
	LoseUnsynced DiskKind = "lose_unsynced" // from now on a crash takes what was not synced
	Tear         DiskKind = "tear"          // the next crash leaves a part of the last write that was not synced
	Flip         DiskKind = "flip"          // so many bits of the log change; needs the node to be down
	Fill         DiskKind = "fill"          // so many bytes are free, until it is started again
	FailSync     DiskKind = "fail_sync"     // the next sync fails
	Slow         DiskKind = "slow"          // every sync takes longer by so much; 0: no more
	Wipe         DiskKind = "wipe"          // log, blocks and state are gone, keys are not; needs the node to be down
	Backup       DiskKind = "backup"        // log, blocks and state are copied; needs the node to be down
	Restore      DiskKind = "restore"       // the copy takes their place; needs the node to be down
)

// DiskFault is one of them.
type DiskFault struct {
	Kind DiskKind
	N    int64         // bits, or bytes
	By   time.Duration // of Slow
}

// Order is what operators ask for: one of its fields.
type Order struct {
	Mode       string
	Parameters map[string]uint32
	Recover    bool // a forced hand-over, into Byzantine mode, from the newest slot at which enough members stand
}

// Call is what a client asks for.
type Call struct {
	Client int
	Kind   Kind
	Key    string
	Value  string // to put, or to swap in
	Old    string // to be swapped out
	Absent bool   // nothing is to be there to be swapped out
	Node   int    // who is asked, for a local get
}

// Kind is what a call does.
type Kind string

// The kinds of calls. A Get is linearizable; a LocalGet is one node's own answer, true at the slot that it names.
const (
	Put      Kind = "put"
	CAS      Kind = "cas"
	Get      Kind = "get"
	LocalGet Kind = "local_get"
)

// Answer is what became of a call.
type Answer struct {
	Call, Return time.Duration // when it began and ended
	Outcome      Outcome
	Value        string // what a get found, or a failed cas
	Held         bool   // whether it found anything
	Seq          uint64 // where it was decided; of a local get, the slot it is true at
	ID           string // of the transaction
}

// Outcome is how a call ended.
type Outcome string

// An Unknown call may have been executed, or be at any time to come. A Refused one never was and never will be.
const (
	Done    Outcome = "ok"
	Failed  Outcome = "failed" // a cas that found something else
	Refused Outcome = "refused"
	Unknown Outcome = "unknown"
)

// Look is how a node is.
type Look struct {
	State  State
	Role   string // leader, candidate, follower, observer; empty if it does not say, as all that follows
	Leader int
	View   uint64
	Epoch  uint64
	Mode   string
	Seq    uint64 // executed
}

// State is that of a process.
type State string

// The states of processes.
const (
	Up     State = "up"
	Paused State = "paused"
	Down   State = "down"
)

// Check is something that must hold of what all nodes have.
type Check string

// The checks. Linearizability is not among them: it is one of the history of calls.
const (
	Agreement   Check = "agreement"    // one batch, one header and one mode at each slot
	Durability  Check = "durability"   // what was acknowledged is in the chain of every node that has come so far
	ExactlyOnce Check = "exactly_once" // no transaction was executed twice, and no nonce used twice
)

// Running is the name in a Violation of what is no check of a Cluster: no node ends but those that a script brings down, or whose disk fails.
const Running Check = "running"

// Violation is a broken promise of the network.
type Violation struct {
	Check Check // or the name that the cluster has for its own checker
	Node  int   // 0: of the network as a whole
	Text  string
}

func (v *Violation) Error() string { return string(v.Check) + ": " + v.Text }

// MetricNames are those metrics that every cluster has.
var MetricNames = []string{
	"quorate_epoch", "quorate_evidence", "quorate_log_syncs_total", "quorate_pool_bytes", "quorate_pool_transactions", "quorate_seq", "quorate_view",
}

// The keys of Happened. Messages are counted where they should have arrived.
const (
	CountStopped   = "stopped"   // by a cut
	CountDelayed   = "delayed"   // by delay
	CountJittered  = "jittered"  // by jitter
	CountHeldUp    = "held up"   // by bandwidth
	CountLost      = "lost"      // by loss
	CountTwice     = "twice"     // by duplicate
	CountReordered = "reordered" // by reorder
	CountSlowed    = "slowed"    // syncs
	CountFailed    = "failed"    // syncs
	CountFull      = "full"      // writes refused for want of room
	CountUnsynced  = "unsynced"  // crashes that took something un-synced
	CountTorn      = "torn"      // crashes that left a part of a write
)

// CountLies is the name of a count of words of a liar that were not its replica's own, by the act.
func CountLies(act string) string { return "lies " + act }

// OnLink is the key of a count for messages from one node to another.
func OnLink(count string, from, to int) string { return key(count, from, '>', to) }

// AtNode is the key of a count for a node.
func AtNode(count string, node int) string { return key(count, node, 0, 0) }
