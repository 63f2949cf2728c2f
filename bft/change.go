package bft

import (
	"errors"
	"slices"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// How a change comes to be ordered: it is told to all, those who would take part in what it announces say that they are ready, and
// the leader proposes it with a quorum's word, alone.

const (
	// maxChanges is how many changes of operators may wait at a time; a member's renewal has a place of its own.
	maxChanges = 4
	// readyTicks is how often a member says again that it is ready, and tellTicks how often everybody is told of a change that waits.
	readyTicks = 30
	tellTicks  = 50
	// renewalsSeen is over how many epochs a member's renewals are counted: each of them doubles how long the next one waits.
	renewalsSeen = 8
	// renewAfterTicks is how long an epoch lasts at least before a correct member is ready for another's renewal: whoever forgets
	// again and again does not keep the network from its work.
	renewAfterTicks = 200
)

var (
	errKnownChange = errors.New("a change that is known")
	errManyChanges = errors.New("more changes than may wait at a time")
	errNotAsked    = errors.New("is about a change that nobody here knows")
	errOldReady    = errors.New("says no more than before")
)

// waitingChange is one that waits to be ordered in this epoch.
type waitingChange struct {
	*message.Change
	id      crypto.Digest
	renewal epoch.ReplicaID   // whose, or 0
	ready   []*message.Signed // by member: its newest word
	saidAt  uint64            // tick at which this replica last said that it is ready; 0: never
	toldAt  uint64            // tick at which it last told everybody of the change
}

// onAsked takes in a change that somebody has handed in here. proof.Asked has found nothing wrong with it.
func (r *Replica) onAsked(c *message.Change) {
	if w, err := r.await(c, 0); err == nil {
		r.tellChange(w)
	}
}

// onPropose takes in a change that another member tells of.
func (r *Replica) onPropose(from epoch.ReplicaID, c *message.Change) error {
	renewal := epoch.ReplicaID(0)
	if len(c.Authority) == 0 {
		renewal = from
	}
	_, err := r.await(c, renewal)
	return err
}

// await keeps a change until it is ordered, or can be no more.
func (r *Replica) await(c *message.Change, renewal epoch.ReplicaID) (*waitingChange, error) {
	id, others := c.ID(), 0
	for _, w := range r.changes {
		switch {
		case w.id == id:
			return w, errKnownChange
		case w.renewal == 0:
			others++
		}
	}
	if c.Of != r.epoch.ID || c.Last <= r.delivered {
		return nil, proof.ErrTooLate
	}
	saidAt := uint64(0)
	switch i := r.replaceable(renewal, others); {
	case i >= 0:
		saidAt = r.changes[i].saidAt
		r.changes = slices.Delete(r.changes, i, i+1)
	case renewal == 0 && others >= maxChanges:
		return nil, errManyChanges
	}
	w := &waitingChange{Change: c.With(nil), id: id, renewal: renewal, ready: make([]*message.Signed, len(c.Next.Members)), saidAt: saidAt}
	r.changes = append(r.changes, w)
	if saidAt == 0 || r.ticks-saidAt >= readyTicks { // whoever asks again and again has nobody say more than others hear
		r.sayReady(w)
	}
	return w, nil
}

// replaceable is the place of a change that a new one takes the place of: a member's renewal before, or, if operators have asked for as many as
// may wait, the oldest that has not enough members ready. -1: of none.
func (r *Replica) replaceable(renewal epoch.ReplicaID, others int) int {
	at := r.order.Open() + 1
	return slices.IndexFunc(r.changes, func(w *waitingChange) bool {
		if renewal != 0 || w.renewal != 0 {
			return w.renewal == renewal
		}
		return others >= maxChanges && !w.ripe(r.epoch, at)
	})
}

// isReady says whether this replica would take part in what a change announces.
func (r *Replica) isReady(w *waitingChange) bool {
	switch {
	case r.sealed.seq != 0 || w.Next.Members[r.self-1].Incarnation != r.birth.Incarnation:
		return false
	case w.Next.Mode == epoch.Crash && len(r.evidence.list) > 0:
		return false // who has lied once is not to be trusted with a mode that bears no liar
	case w.renewal != 0:
		return r.maybeRenewed(w.renewal) && r.Behind() <= uint64(r.epoch.Parameters.Checkpoint) // on a busy network some slots are always under way
	}
	return r.Behind() == 0
}

// maybeRenewed says whether it is time for a member's renewal: the sooner it was renewed before, the longer it waits, and whoever has lied is not
// renewed at all.
func (r *Replica) maybeRenewed(id epoch.ReplicaID) bool {
	if slices.ContainsFunc(r.evidence.list, func(e *message.Evidence) bool { return e.Broken().Author == id }) {
		return false
	}
	if id == r.self {
		return true
	}
	before, later := 0, r.epoch
	for i := len(r.history) - 1; i >= 0 && len(r.history)-i <= renewalsSeen; i-- {
		e := r.history[i].Epoch
		if e.Member(id).Incarnation != later.Member(id).Incarnation {
			before++
		}
		later = e
	}
	return r.ticks-r.enteredAt >= renewAfterTicks<<before
}

func (r *Replica) sayReady(w *waitingChange) {
	if !r.isReady(w) {
		return
	}
	w.saidAt = r.ticks
	r.sendTo(nil, &message.Ready{Change: w.id, Incarnation: r.birth.Incarnation, Seq: r.head.Seq, Header: r.head.Digest()})
}

func (r *Replica) tellChange(w *waitingChange) {
	w.toldAt = r.ticks
	r.sendTo(r.peers, &message.Propose{Change: w.Change})
}

// onReady takes in a member's word that it is ready. Check has found its signature to hold.
func (r *Replica) onReady(m *message.Signed, q *message.Ready) error {
	i := slices.IndexFunc(r.changes, func(w *waitingChange) bool { return w.id == q.Change })
	if i < 0 {
		return errNotAsked
	}
	w := r.changes[i]
	if q.Incarnation != w.Next.Members[m.Author-1].Incarnation {
		return proof.ErrReadiness
	}
	if old := w.ready[m.Author-1]; old != nil && old.Body.(*message.Ready).Seq >= q.Seq {
		return errOldReady
	}
	w.ready[m.Author-1] = m
	return nil
}

// readiness is the word of those members that were ready in time for a slot.
func (w *waitingChange) readiness(e *epoch.Epoch, at epoch.Seq) (ready []*message.Signed) {
	for _, m := range w.ready {
		if m != nil && proof.ReadyInTime(e, m.Body.(*message.Ready).Seq, at) {
			ready = append(ready, m)
		}
	}
	return ready
}

// ripe says whether a change may be ordered at a slot: as proof.Next will find, which has the member's own word among those for its renewal.
func (w *waitingChange) ripe(e *epoch.Epoch, at epoch.Seq) bool {
	ready := w.readiness(e, at)
	own := w.renewal == 0 || slices.ContainsFunc(ready, func(m *message.Signed) bool { return m.Author == w.renewal })
	return own && at <= w.Last && len(ready) >= epoch.Quorum(w.Next.Mode, len(w.Next.Members))
}

// ripe is a change that may be ordered at a slot, with the word of all that are ready; nil if there is none.
func (r *Replica) ripe(at epoch.Seq) *message.Change {
	for _, w := range r.changes {
		if w.ripe(r.epoch, at) {
			return w.With(w.readiness(r.epoch, at))
		}
	}
	return nil
}

// tickChanges lets go of changes that are too late, says again what is due, and has a member that has forgotten ask for its renewal.
func (r *Replica) tickChanges() {
	r.changes = slices.DeleteFunc(r.changes, func(w *waitingChange) bool { return w.Last <= r.delivered })
	for _, w := range r.changes {
		if r.ticks-w.saidAt >= readyTicks {
			r.sayReady(w)
		}
		if r.ticks-w.toldAt >= tellTicks && (w.renewal == 0 || w.renewal == r.self) && w.toldAt != 0 {
			r.tellChange(w)
		}
	}
	r.askRenewal()
}

// askRenewal has the next epoch name the life that this member's log was begun in. Nobody else has to sign that: a member may always
// begin anew, with nothing promised.
func (r *Replica) askRenewal() {
	if !r.observes || r.sealed.seq != 0 || r.Behind() > uint64(r.epoch.Parameters.Checkpoint) || r.ticks-r.enteredAt < renewAfterTicks {
		return
	}
	if slices.ContainsFunc(r.changes, func(w *waitingChange) bool { return w.renewal == r.self }) {
		return
	}
	c := &message.Change{
		Chain: r.epoch.Chain, Of: r.epoch.ID, Next: r.epoch.Configuration,
		Last: r.delivered + 4*epoch.Seq(r.epoch.Parameters.Window),
	}
	c.Next.Members = slices.Clone(c.Next.Members)
	c.Next.Members[r.self-1].Incarnation = r.birth.Incarnation
	if w, err := r.await(c, r.self); err == nil {
		r.tellChange(w)
	}
}

// proposeChange orders a change that is ready, alone: nothing of this leader's is undecided before it, and nothing is proposed behind
// it. busy says that it waits for its turn, or is under way: nothing else may be proposed meanwhile.
func (r *Replica) proposeChange() (did, busy bool) {
	open := r.order.Open()
	if b := r.order.Batch(open); open > r.delivered && b != nil && b.Change != nil {
		return false, true
	}
	c := r.ripe(open + 1)
	if c == nil {
		return false, false
	}
	if open > r.delivered {
		return false, true
	}
	if _, err := proof.Next(r.epoch, c, open+1, r.scheme); err != nil {
		r.changes = slices.DeleteFunc(r.changes, func(w *waitingChange) bool { return w.id == c.ID() })
		return false, false
	}
	return r.order.Propose(message.NewChangeBatch(r.now, c)), true
}

// Change is one that waits to be ordered, as others may see it.
type Change struct {
	ID    crypto.Digest
	Next  *epoch.Configuration
	Last  epoch.Seq
	Ready []epoch.ReplicaID // those that have said so of late
}

// Changes are those that wait to be ordered in the epoch that is running.
func (r *Replica) Changes() (all []Change) {
	for _, w := range r.changes {
		c := Change{ID: w.id, Next: &w.Next, Last: w.Last}
		for _, m := range w.readiness(r.epoch, r.order.Open()+1) {
			c.Ready = append(c.Ready, m.Author)
		}
		all = append(all, c)
	}
	return all
}
