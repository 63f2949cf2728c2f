package bft

import (
	"slices"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// A forced hand-over: operators end an epoch that cannot end itself, and say at which header. Nobody takes part before it has asked all
// members of that epoch for a while, and nobody does while a quorum of them answers, or once it has come to a later header: then the epoch
// can help itself, and what it has acknowledged would be given up.

const (
	// recoverTicks is how long the members of the old epoch are asked.
	recoverTicks = 300
	askTicks     = 30
	maxRecovers  = 4
)

type recovery struct {
	*message.Recovery
	id    crypto.Digest
	since uint64            // tick at which this replica heard of it
	heard []*message.Signed // by member: what it has last said of where it stands
}

// onRecover takes in a recovery that operators have signed.
func (r *Replica) onRecover(c *message.Recovery) {
	id := c.ID()
	if len(r.recovers) >= maxRecovers || slices.ContainsFunc(r.recovers, func(w *recovery) bool { return w.id == id }) {
		return
	}
	r.recovers = append(r.recovers, &recovery{Recovery: c, id: id, since: r.ticks, heard: make([]*message.Signed, r.epoch.N())})
}

// heardOfRecovery takes in where a member stands, if it says so about a recovery.
func (r *Replica) heardOfRecovery(m *message.Signed, q *message.Ready) bool {
	i := slices.IndexFunc(r.recovers, func(w *recovery) bool { return w.id == q.Change })
	if i < 0 {
		return false
	}
	r.recovers[i].heard[m.Author-1] = m
	p := &r.catchup.peers[m.Author-1]
	p.attested = max(p.attested, q.Seq) // if it is so, this replica comes to it by blocks, and the recovery to nothing
	return true
}

// tickRecovery tells all of what operators have asked for, and where this replica stands, and looks whether it is time.
func (r *Replica) tickRecovery() {
	for _, w := range r.recovers {
		if age := r.ticks - w.since; age%askTicks == 1 {
			r.sendTo(r.peers, &message.Recover{Recovery: w.Recovery})
			r.sendTo(nil, &message.Ready{Change: w.id, Incarnation: r.birth.Incarnation, Seq: r.head.Seq, Header: r.head.Digest()})
		}
		if r.mayForce(w) {
			r.sealByForce(w.Recovery)
			r.attestNext()
			return
		}
	}
}

// mayForce says whether this replica takes part in a forced hand-over now.
func (r *Replica) mayForce(w *recovery) bool {
	if r.ticks-w.since < recoverTicks || r.delivered != w.Seq || r.head.Seq != w.Seq || r.head.Digest() != w.Header {
		return false
	}
	if w.Next.Members[r.self-1].Incarnation != r.birth.Incarnation {
		return false
	}
	whose := r.epoch // it is for these to go on
	if r.sealed.seq != 0 {
		whose = r.sealed.next // the epoch has ended, and waits for those who were ready for this one
	}
	if whose == nil || r.sealed.forced != nil {
		return false // what operators have once decided stands: a second word could begin two epochs
	}
	return w.voters(whose) < whose.Quorum() || r.tainted()
}

// voters is how many members have answered whose logs an epoch names.
func (w *recovery) voters(e *epoch.Epoch) (n int) {
	for _, m := range w.heard {
		if m != nil && m.Body.(*message.Ready).Incarnation == e.Member(m.Author).Incarnation {
			n++
		}
	}
	return n
}

// sealByForce ends the epoch here as a recovery says.
func (r *Replica) sealByForce(c *message.Recovery) {
	next := proof.Recovered(r.epoch, c)
	r.sealed = sealing{seq: c.Seq, config: &next.Configuration, next: next, forced: c, shown: r.sealed.shown}
	r.out.Persist = append(r.out.Persist, &ordering.Sealed{Next: next, Forced: c})
	for _, g := range slices.Clone(r.gather.list) {
		r.forgetGathering(g)
	}
	clear(r.pending)
	r.prepareEntry()
}

// Recovery is one that operators have asked for, as others may see it.
type Recovery struct {
	ID      crypto.Digest
	Heard   []epoch.ReplicaID // members that have said where they stand
	Voters  int               // of these, those that this epoch names: with a quorum, it can help itself
	Further bool              // one of them is beyond where the recovery begins
}

// Recoveries are those that operators have asked for in the epoch that is running.
func (r *Replica) Recoveries() (all []Recovery) {
	for _, w := range r.recovers {
		c := Recovery{ID: w.id, Voters: w.voters(r.epoch)}
		for i, m := range w.heard {
			if m == nil {
				continue
			}
			q, id := m.Body.(*message.Ready), epoch.ReplicaID(i+1)
			c.Heard = append(c.Heard, id)
			c.Further = c.Further || q.Seq > w.Seq
		}
		all = append(all, c)
	}
	return all
}
