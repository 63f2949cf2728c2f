// Package pbft orders an epoch in which members may lie (Castro & Liskov, Practical Byzantine Fault Tolerance,
// OSDI 1999; section numbers are of that paper). The protocol is told in docs/protocol/pbft.md.
package pbft

import (
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/crypto"
)

// Instance is one replica's part in one view of one epoch.
type Instance struct {
	self  epoch.ReplicaID
	epoch *epoch.Epoch
	view  epoch.View

	ordering.Window[slot, *slot] // Stable is the low watermark h of §4.3

	delivered epoch.Seq                        // slots up to here are decided and handed on; never below stable
	next      epoch.Seq                        // the slot that a leader proposes next: above every slot it ever proposed for
	settled   plan                             // by the NewView of this view
	left      bool                             // this replica votes in this view no more, and still learns what was decided in it
	known     map[crypto.Digest]*message.Batch // of views before
	ticks     int

	out ordering.Output
}

// newInstance takes part in a view.
func newInstance(s *ordering.Start, view epoch.View, settled plan) *Instance {
	if s.Batches == nil {
		s.Batches = make(map[crypto.Digest]*message.Batch)
	}
	return &Instance{
		self: s.Self, epoch: s.Epoch, view: view, settled: settled, known: s.Batches,
		Window:    ordering.NewWindow[slot](s.Epoch.Parameters.Window, s.Stable.Header.Seq, s.Delivered),
		delivered: s.Delivered, next: max(s.Delivered, settled.last()) + 1,
	}
}

// restore takes up the facts of this view. What they oblige this replica to have said, it says again, unless it has left.
func (in *Instance) restore(facts []ordering.Record, batches map[crypto.Digest]*message.Batch) {
	for _, f := range facts {
		switch f := f.(type) {
		case *ordering.Accepted:
			in.restoreAccepted(f, batches[f.Digest])
		case *ordering.Prepared:
			in.restorePrepared(f)
		}
	}
}

// Leader is who may propose.
func (in *Instance) Leader() epoch.ReplicaID { return in.epoch.Leader(in.view) }

// Open is the highest slot this replica has accepted a proposal for, or knows to be decided.
func (in *Instance) Open() epoch.Seq { return in.next - 1 }

// Take is all that was asked for since the last Take.
func (in *Instance) Take() ordering.Output {
	out := in.out
	in.out = ordering.Output{}
	return out
}

// Tick ages the open slots.
func (in *Instance) Tick() {
	in.ticks++
	in.Age(in.delivered)
}

// Learned says that a slot's decision has come by proof from elsewhere. From then on nothing is voted at it, so no
// vote of this replica can stand against a decision that it knows.
func (in *Instance) Learned(seq epoch.Seq, digest crypto.Digest) (logged bool) {
	if in.next <= seq {
		in.next = seq + 1
	}
	if !in.In(seq) {
		return false
	}
	s := in.Slot(seq)
	s.Phase = message.Decided
	return s.batch != nil && s.digest() == digest // accepted is not enough: a damaged log may have lost the batch since
}

// Delivered says that every slot up to seq is decided and handed on.
func (in *Instance) Delivered(seq epoch.Seq) {
	in.delivered = max(in.delivered, seq)
	in.next = max(in.next, seq+1)
}

// trim says that no member needs to hear of seq or anything before it again.
func (in *Instance) trim(seq epoch.Seq) {
	if seq <= in.Stable {
		return
	}
	in.Trim(seq)
	in.Delivered(seq)
}

// Facts are those above the stable checkpoint.
func (in *Instance) Facts() []ordering.Record {
	var facts []ordering.Record
	for seq := in.Stable + 1; seq <= in.Highest; seq++ {
		s := in.At(seq)
		if s == nil {
			continue
		}
		if s.accepted != nil {
			facts = append(facts, s.accepted)
		}
		if s.prepared != nil {
			facts = append(facts, s.prepared)
		}
	}
	return facts
}

func (in *Instance) send(b message.Body) {
	in.out.Send = append(in.out.Send, message.Outgoing{Body: b, Epoch: in.epoch.ID})
}

func (in *Instance) sendAgain(to epoch.ReplicaID, m *message.Signed) {
	in.out.Send = append(in.out.Send, message.Outgoing{Again: m, To: []epoch.ReplicaID{to}, Epoch: in.epoch.ID})
}
