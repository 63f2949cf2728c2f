package bft

import (
	"errors"
	"slices"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// errObserver is that a vote means nothing to a replica that takes no part in ordering.
var errObserver = errors.New("this member has forgotten what it promised: it follows by blocks alone")

// observer is the protocol of a member whose log is not the one that the epoch names for it: whatever it promised
// before, it no longer knows, and a checkpoint behind which it stays silent would not be enough, since promises of
// views have no slot. So there is nothing in here that could vote: it is told of decisions, and counts them. The
// replica learns them as blocks, and serves what it has learned (design: memory loss).
type observer struct {
	epoch *epoch.Epoch
	view  epoch.View   // the least that f+1 members claim
	views []epoch.View // by member: the highest it has claimed
	open  epoch.Seq    // the highest slot known to be decided
}

func (o *observer) Propose(*message.Batch) bool                       { return false }
func (o *observer) Receive(*message.Signed) error                     { return errObserver }
func (o *observer) Overhear(*message.Signed)                          {}
func (o *observer) Accept(epoch.Seq, *message.Batch)                  {}
func (o *observer) Batch(epoch.Seq) *message.Batch                    { return nil }
func (o *observer) Known(crypto.Digest) *message.Batch                { return nil }
func (o *observer) Voters(epoch.Seq, crypto.Digest) []epoch.ReplicaID { return nil }
func (o *observer) Accuse(*message.Evidence)                          {}
func (o *observer) Tick(ordering.Owed)                                {}

func (o *observer) Learned(seq epoch.Seq, _ crypto.Digest) (logged bool) {
	o.open = max(o.open, seq)
	return false
}

func (o *observer) Executed(epoch.Seq)                {}
func (o *observer) Delivered(seq epoch.Seq, _ uint64) { o.open = max(o.open, seq) }
func (o *observer) Stable(c *proof.Checkpoint)        { o.open = max(o.open, c.Header.Seq) }

func (o *observer) Progress() []message.Phase { return nil }

// Help learns which view others are in: one of f+1 that claim a view is correct.
func (o *observer) Help(peer epoch.ReplicaID, s *message.Status) {
	o.views[peer-1] = max(o.views[peer-1], s.View)
	views := slices.Clone(o.views)
	slices.Sort(views)
	o.view = max(o.view, views[len(views)-o.epoch.Witnesses()])
}

func (o *observer) Open() epoch.Seq             { return o.open }
func (o *observer) View() epoch.View            { return o.view }
func (o *observer) Voting() bool                { return true } // no NewView is owed to it
func (o *observer) Leader() epoch.ReplicaID     { return o.epoch.Leader(o.view) }
func (o *observer) Role() ordering.Role         { return ordering.Follower }
func (o *observer) Facts() []ordering.Record    { return nil }
func (o *observer) Promises() []ordering.Record { return nil }
func (o *observer) Take() ordering.Output       { return ordering.Output{} }
