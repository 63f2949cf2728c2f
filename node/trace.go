package node

import (
	"slices"
	"sync"
	"time"

	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/node/host"
)

// traceSlots is of how many slots a node keeps when each thing happened.
const traceSlots = 512

// trace keeps when each thing happened to the last slots, as this node saw it. The core writes, anybody reads.
//
// Its clock is the wall clock at the start of the node, moved on by the monotonic one: times of one node can be
// subtracted whatever is done to its clock; those of two nodes as far as their clocks agreed when they started.
type trace struct {
	self  epoch.ReplicaID
	began time.Time

	mu           sync.Mutex
	slots        [traceSlots]slotTrace // by sequence number modulo their number
	attested     []epoch.Seq           // by member: the newest slot that its word covers
	acknowledged epoch.Seq             // the newest slot that is
	most         int                   // points of one slot: a few views' worth
}

// slotTrace is a slot's points, in the order in which they were reached.
type slotTrace struct {
	seq    epoch.Seq
	points []point
}

// point is that a slot came to a step, the first time. What a member did is by that member; the rest is this node's own.
type point struct {
	step   step
	member epoch.ReplicaID
	view   epoch.View
	at     int64 // unix nanoseconds of the trace's clock
}

// step is one of a slot's life.
type step string

const (
	stepProposal     step = "proposal"     // by the leader: heard, or sent
	stepAccepted     step = "accepted"     // the proposal is in the log
	stepPrepare      step = "prepare"      // by a member: heard, or sent
	stepPrepared     step = "prepared"     // a quorum stands by it, and that is in the log
	stepCommit       step = "commit"       // by a member: heard, or sent
	stepDecided      step = "decided"      // a quorum has committed
	stepLearned      step = "learned"      // decided: it came as a block
	stepExecuted     step = "executed"     // the machine has applied it
	stepDurable      step = "durable"      // the block is in the log
	stepAttestation  step = "attestation"  // by a member, to it or above it: heard, or sent
	stepAcknowledged step = "acknowledged" // a quorum has attested it
)

func newTrace(self epoch.ReplicaID, members int) *trace {
	return &trace{self: self, began: time.Now(), attested: make([]epoch.Seq, members), most: 32 + 12*members}
}

// now is a moment of the trace's clock.
func (t *trace) now() int64 { return t.began.UnixNano() + int64(time.Since(t.began)) }

// heard takes in what a member has said about a slot, or this node itself. Only slots up to last are kept: what a member
// says of slots that are far away must not push out those that are near.
func (t *trace) heard(m *message.Signed, last epoch.Seq, now int64) {
	switch b := m.Body.(type) {
	case *message.PrePrepare:
		t.voted(stepProposal, m.Author, b.Vote, last, now)
	case *message.Prepare:
		t.voted(stepPrepare, m.Author, b.Vote, last, now)
	case *message.Commit:
		t.voted(stepCommit, m.Author, b.Vote, last, now)
	case *message.PaxosAccept:
		t.voted(stepProposal, m.Author, b.Vote, last, now)
	case *message.PaxosAccepted:
		t.voted(stepCommit, m.Author, b.Vote, last, now) // the votes that decide
	case *message.Attestation:
		t.mu.Lock()
		defer t.mu.Unlock()
		covered := &t.attested[m.Author-1]
		t.reachThrough(covered, min(b.Seq, last), point{stepAttestation, m.Author, 0, now})
	}
}

func (t *trace) voted(s step, author epoch.ReplicaID, v message.Vote, last epoch.Seq, now int64) {
	if v.Seq > last {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reach(v.Seq, point{s, author, v.View, now})
}

// follow takes in what the host has released.
func (t *trace) follow(r host.Released, now int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, note := range r.Notes {
		switch note := note.(type) {
		case bft.BoundTo:
			s := stepAccepted
			if note.Phase == message.Prepared {
				s = stepPrepared
			}
			t.reach(note.Seq, point{s, t.self, note.View, now})
		case bft.DecidedSlot:
			s := stepDecided
			if note.Learned {
				s = stepLearned
			}
			t.reach(note.Seq, point{s, t.self, 0, now})
		}
	}
	for i := range r.Blocks {
		t.reach(r.Blocks[i].Seq, point{stepDurable, t.self, 0, now})
	}
	if r.Acknowledged != nil {
		t.reachThrough(&t.acknowledged, r.Acknowledged.Seq, point{stepAcknowledged, t.self, 0, now})
	}
}

// executed takes in what came of batches.
func (t *trace) executed(results []host.Result) {
	now := t.now()
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range results {
		t.reach(results[i].Seq, point{stepExecuted, t.self, 0, now})
	}
}

// reachThrough says the same of all slots above covered through seq, of those that are kept, and moves covered there.
func (t *trace) reachThrough(covered *epoch.Seq, seq epoch.Seq, p point) {
	for s := max(*covered+1, seq-min(seq, traceSlots-1)); s <= seq; s++ {
		t.reach(s, p)
	}
	*covered = max(*covered, seq)
}

// reach says that a slot has come to a step. It counts once; and a slot that is older than what stands in its place is
// no longer kept.
func (t *trace) reach(seq epoch.Seq, p point) {
	s := &t.slots[seq%traceSlots]
	if s.seq > seq {
		return
	}
	if s.seq < seq {
		s.seq, s.points = seq, s.points[:0]
	}
	for i := range s.points {
		if q := &s.points[i]; q.step == p.step && q.member == p.member && q.view == p.view {
			return
		}
	}
	if len(s.points) < t.most {
		s.points = append(s.points, p)
	}
}

// of is what is kept of a slot; ok is false if nothing is.
func (t *trace) of(seq epoch.Seq) (points []point, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &t.slots[seq%traceSlots]
	if s.seq != seq || len(s.points) == 0 {
		return nil, false
	}
	return slices.Clone(s.points), true
}
