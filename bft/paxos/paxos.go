// Package paxos orders an epoch in which members only stop: Multi-Paxos (Lamport, The Part-Time Parliament, 1998; Paxos Made
// Simple, 2001, whose sections are quoted). The protocol is told in docs/protocol/paxos.md. Its files have the names of those of pbft.
package paxos

import (
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/internal/invariant"
)

// Instance is one replica's part in one view of one epoch.
type Instance struct {
	self  epoch.ReplicaID
	epoch *epoch.Epoch
	view  epoch.View

	stable    epoch.Seq                        // slots up to here are done with
	delivered epoch.Seq                        // slots up to here are decided and handed on; never below stable
	next      epoch.Seq                        // the slot that a leader proposes next: above every slot it ever proposed for
	highest   epoch.Seq                        // the highest slot that anything is known of
	leads     bool                             // this replica is the leader: a majority has promised
	known     map[crypto.Digest]*message.Batch // of views before
	ticks     int
	slots     []*slot // of the window (stable, stable+L], by sequence number modulo L; nil: nothing known

	out ordering.Output
}

func newInstance(p *Protocol, view epoch.View) *Instance {
	return &Instance{
		self: p.self, epoch: p.epoch, view: view, known: make(map[crypto.Digest]*message.Batch),
		stable: p.stable.Header.Seq, delivered: p.delivered, next: p.delivered + 1, highest: p.delivered,
		slots: make([]*slot, p.epoch.Parameters.Window),
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
	for seq := in.delivered + 1; seq <= in.highest; seq++ {
		if s := in.at(seq); s != nil {
			s.age++
		}
	}
}

// Learned says that a slot's decision has come by proof from elsewhere. From then on nothing is accepted at it, so no
// vote of this replica can stand against a decision that it knows.
func (in *Instance) Learned(seq epoch.Seq, digest crypto.Digest) (logged bool) {
	in.next = max(in.next, seq+1)
	if !in.inWindow(seq) {
		return false
	}
	s := in.open(seq)
	s.phase = message.Decided
	return s.has(digest) != nil // accepted is not enough: a damaged log may have lost the batch since
}

// Delivered says that every slot up to seq is decided and handed on.
func (in *Instance) Delivered(seq epoch.Seq) {
	in.delivered = max(in.delivered, seq)
	in.next = max(in.next, seq+1)
}

// trim says that no member needs to hear of seq or anything before it again.
func (in *Instance) trim(seq epoch.Seq) {
	if seq <= in.stable {
		return
	}
	for s := in.stable + 1; s <= min(seq, in.stable+in.window()); s++ {
		in.slots[in.index(s)] = nil
	}
	in.stable = seq
	in.Delivered(seq)
	in.highest = max(in.highest, seq)
}

func (in *Instance) window() epoch.Seq { return epoch.Seq(in.epoch.Parameters.Window) }

func (in *Instance) index(seq epoch.Seq) int { return int(seq % in.window()) }

func (in *Instance) inWindow(seq epoch.Seq) bool {
	return seq > in.stable && seq-in.stable <= in.window()
}

// at is the slot of seq, if anything is known of it.
func (in *Instance) at(seq epoch.Seq) *slot {
	if !in.inWindow(seq) {
		return nil
	}
	return in.slots[in.index(seq)]
}

// open is the slot of seq, which lies within the window.
func (in *Instance) open(seq epoch.Seq) *slot {
	invariant.Holds(in.inWindow(seq), "slot within the window")
	i := in.index(seq)
	if in.slots[i] == nil {
		in.slots[i] = &slot{seq: seq}
		in.highest = max(in.highest, seq)
	}
	invariant.Holds(in.slots[i].seq == seq, "one slot at each place of the window")
	return in.slots[i]
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
