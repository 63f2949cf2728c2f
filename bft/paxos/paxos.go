// Package paxos orders an epoch in which members only stop: Multi-Paxos (Lamport, The Part-Time Parliament, 1998; Paxos Made
// Simple, 2001, whose sections are quoted). The protocol is told in docs/protocol/paxos.md. Its files have the names of those of pbft.
package paxos

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

	ordering.Window[slot, *slot]

	delivered epoch.Seq                        // slots up to here are decided and handed on; never below stable
	next      epoch.Seq                        // the slot that a leader proposes next: above every slot it ever proposed for
	settled   plan                             // by the promises, of a leader
	leads     bool                             // this replica is the leader: a majority has promised
	known     map[crypto.Digest]*message.Batch // of views before
	ticks     int

	out ordering.Output
}

func newInstance(p *Protocol, view epoch.View) *Instance {
	return &Instance{
		self: p.self, epoch: p.epoch, view: view, known: make(map[crypto.Digest]*message.Batch),
		Window:    ordering.NewWindow[slot](p.epoch.Parameters.Window, p.stable.Header.Seq, p.delivered),
		delivered: p.delivered, next: p.delivered + 1,
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

// Learned says that a slot's decision has come by proof from elsewhere. From then on nothing is accepted at it, so no
// vote of this replica can stand against a decision that it knows.
func (in *Instance) Learned(seq epoch.Seq, digest crypto.Digest) (logged bool) {
	in.next = max(in.next, seq+1)
	if !in.In(seq) {
		return false
	}
	s := in.Slot(seq)
	s.Phase = message.Decided
	return s.has(digest) != nil // accepted is not enough: a damaged log may have lost the batch since
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

// others are all members but this one.
func (in *Instance) others() []epoch.ReplicaID { return others(in.epoch, in.self) }

func (in *Instance) send(to []epoch.ReplicaID, b message.Body) {
	in.out.Send = append(in.out.Send, message.Outgoing{Body: b, To: to, Epoch: in.epoch.ID})
}

func others(e *epoch.Epoch, self epoch.ReplicaID) []epoch.ReplicaID {
	ids := make([]epoch.ReplicaID, 0, e.N())
	for i := range e.N() {
		if id := epoch.ReplicaID(i + 1); id != self {
			ids = append(ids, id)
		}
	}
	return ids
}
