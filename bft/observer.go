package bft

import (
	"errors"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
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
	view  epoch.View
	open  epoch.Seq // the highest slot known to be decided
}

func (o *observer) Propose(*message.Batch) bool                       { return false }
func (o *observer) Receive(*message.Signed) error                     { return errObserver }
func (o *observer) Overhear(*message.Signed)                          {}
func (o *observer) Accept(epoch.Seq, *message.Batch)                  {}
func (o *observer) Batch(epoch.Seq) *message.Batch                    { return nil }
func (o *observer) Voters(epoch.Seq, crypto.Digest) []epoch.ReplicaID { return nil }
func (o *observer) Tick()                                             {}

func (o *observer) Learned(seq epoch.Seq, _ crypto.Digest) (logged bool) {
	o.open = max(o.open, seq)
	return false
}

func (o *observer) Delivered(seq epoch.Seq) { o.open = max(o.open, seq) }
func (o *observer) Stable(seq epoch.Seq)    { o.open = max(o.open, seq) }

func (o *observer) Progress() []message.Phase                        { return nil }
func (o *observer) Help(epoch.ReplicaID, epoch.Seq, []message.Phase) {}
func (o *observer) Open() epoch.Seq                                  { return o.open }
func (o *observer) View() epoch.View                                 { return o.view }
func (o *observer) Leader() epoch.ReplicaID                          { return o.epoch.Leader(o.view) }
func (o *observer) Facts() []ordering.Record                         { return nil }
func (o *observer) Take() ordering.Output                            { return ordering.Output{} }
