// Package ordering is what pbft and paxos share: the interface behind which they stand, the facts that they keep, and
// how votes are counted.
package ordering

import (
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// A Protocol agrees with its peers on one batch for each sequence number of an epoch.
//
// It is driven by one caller, never calls out, and has no clock but Tick. What it wants done it leaves in its Output.
type Protocol interface {
	// Propose offers a batch for the next slot; false if this replica does not lead or the window is full.
	Propose(*message.Batch) bool
	// Receive takes in a checked message of an ordering kind. An error says why it was of no use; it is never fatal.
	Receive(*message.Signed) error
	// Overhear takes in a checked message to a slot whose decision is known: of use only if it contradicts what its author
	// has said before.
	Overhear(*message.Signed)
	// Accept says that the batch of a Proposal is in hand, and may be voted for. One that is of no use any more is ignored.
	Accept(epoch.Seq, *message.Batch)
	// Batch is the one accepted at a slot above the stable checkpoint, or nil.
	Batch(epoch.Seq) *message.Batch
	// Known is a batch of this digest that is left here from an earlier view, or nil.
	Known(crypto.Digest) *message.Batch
	// Voters are the members known to stand by a batch at a slot, its proposer first.
	Voters(epoch.Seq, crypto.Digest) []epoch.ReplicaID
	// Accuse says that a member is proven to lie: a view that it leads is over.
	Accuse(*message.Evidence)
	// Tick says that an interval of 10 ms has passed, and what the leader owes.
	Tick(Owed)
	// Learned says that a slot's decision has come by proof from elsewhere: it needs no more votes. The answer is
	// whether the batch of this digest is in this replica's log already.
	Learned(epoch.Seq, crypto.Digest) (logged bool)
	// Delivered says that every slot up to this one is decided and handed on, and how much is done by the last: bytes, and a constant
	// for each request.
	Delivered(seq epoch.Seq, work uint64)
	// Executed says that the machine has executed this slot.
	Executed(epoch.Seq)
	// Stable says that no member needs to hear of this slot or anything before it again.
	Stable(*proof.Checkpoint)
	// Progress says how far the slots above the last delivered one are, in order, to tell peers by Status.
	Progress() []message.Phase
	// Help sends a peer again what it lacks, going by what it has told of itself.
	Help(peer epoch.ReplicaID, s *message.Status)
	// Open is the highest slot this replica has accepted a proposal for, decided or not.
	Open() epoch.Seq
	// View is the highest view this replica has promised to vote in: it votes in no lower one.
	View() epoch.View
	// Voting says whether it votes in View yet.
	Voting() bool
	// Leader is who may propose in that view.
	Leader() epoch.ReplicaID
	// Role is what this replica is in that view.
	Role() Role
	// Facts are those that a Base record must repeat: all that is live above the stable checkpoint.
	Facts() []Record
	// Promises are those without a sequence number, which stand behind every Base again.
	Promises() []Record
	// Take is all that was asked for since the last Take.
	Take() Output
}

// Start is what a Protocol begins with.
type Start struct {
	Self      epoch.ReplicaID
	Epoch     *epoch.Epoch
	Stable    *proof.Checkpoint
	Delivered epoch.Seq
	Restarted bool                             // this log has been voted from before
	Promises  []Record                         // from the log, in order: the newest of each kind counts
	Facts     []Record                         // from the log: what this replica has bound itself to
	Batches   map[crypto.Digest]*message.Batch // that Facts name, of slots above Delivered; what is missing is asked for
}

// Role is what a replica is in the view that it is at.
type Role uint8

const (
	Follower  Role = iota // it votes for what the leader wants; in PBFT a backup
	Candidate             // it would lead, and has not begun
	Leader                // in PBFT the primary
)

func (r Role) String() string {
	switch r {
	case Candidate:
		return "candidate"
	case Leader:
		return "leader"
	default:
		return "follower"
	}
}

// Owed is what waits for the leader: not while the next decided slot waits for the machine, or others' machines hold up the window.
type Owed struct {
	Something  bool // a request that is in no proposal, or a slot that was proposed and is not delivered
	Backlog    bool // a request that has waited for long
	PassedOver bool // a request that was passed over more often than an honest leader would have done
}

// Output is what a protocol wants done. Persist comes first: see bft.Effects.
type Output struct {
	Persist  []Record
	Send     []message.Outgoing
	Proposed []Proposal
	Decided  []Decision
	Evidence []*message.Evidence
	Moved    bool             // a view was left, or begun: whatever waited in an earlier one waits no more
	Settled  []*message.Batch // by the view that was begun, as far as they are at hand
}

// Proposal is a batch that a slot waits for: proposed by the leader, or accepted before and lost since. The protocol votes
// for it, or goes on with it, once Accept brings it whole.
type Proposal struct {
	message.Vote
	Batch   *message.Batch   // nil: its transactions are not all at hand
	Outline *message.Outline // nil: of the batch only the digest is known, unless Batch is there
}

// Decision is a slot's batch with the proof that it was decided.
type Decision struct {
	View        epoch.View
	Seq         epoch.Seq
	Batch       *message.Batch
	Certificate []*message.Signed // a quorum's commits, in order of the members' numbers
	Logged      bool              // the batch is in this replica's log already
}
