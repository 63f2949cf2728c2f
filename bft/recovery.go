package bft

import (
	"bytes"
	"errors"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// A forced hand-over: operators end an epoch that cannot end itself, and say at which header. Its members ask each other where they stand, for a
// while. Nobody is willing while a quorum answers, or one is known to be further: then the epoch can help itself, and what it has acknowledged
// would be given up. And nobody gives up its vote before a quorum of what follows is willing: else the network could have neither.

const (
	// recoverTicks is how long the members of the old epoch are asked before anybody is willing.
	recoverTicks = 300
	// askTicks is how often they are, and freshTicks how long an answer counts.
	askTicks   = 30
	freshTicks = 3*askTicks + 10
)

var errOldRecovery = errors.New("a recovery that another one has taken the place of")

// recovery is the one that operators have signed last.
type recovery struct {
	*message.Recovery
	id     crypto.Digest
	since  uint64           // tick at which this replica heard of it
	said   uint64           // tick at which it last said where it stands
	stands []memberStanding // by member
}

type memberStanding struct {
	*message.Standing        // nil: it has said nothing
	at                uint64 // tick at which that came
}

// onRecover takes in a recovery that operators have signed; a newer one takes the place of those before.
func (r *Replica) onRecover(c *message.Recovery) error {
	id := c.ID()
	if w := r.recovery; w != nil {
		if w.id == id {
			return nil
		}
		if c.Number < w.Number || c.Number == w.Number && bytes.Compare(id[:], w.id[:]) > 0 {
			return errOldRecovery
		}
	}
	r.recovery = &recovery{Recovery: c, id: id, since: r.ticks, stands: make([]memberStanding, r.epoch.N())}
	return nil
}

// onStanding takes in where a member stands, if it says so about the recovery that counts.
func (r *Replica) onStanding(from epoch.ReplicaID, s *message.Standing) error {
	w := r.recovery
	if w == nil || s.Recovery != w.id {
		return errNotAsked
	}
	w.stands[from-1] = memberStanding{s, r.ticks}
	p := &r.catchup.peers[from-1]
	p.attested = max(p.attested, s.Seq) // if it is so, this replica comes to it by blocks, and the recovery to nothing
	return nil
}

// tickRecovery tells all of what operators have asked for, and where this replica stands, and looks whether it is time.
func (r *Replica) tickRecovery() {
	w := r.recovery
	if w == nil {
		return
	}
	var given crypto.Digest
	if r.sealed.forced != nil {
		given = r.sealed.forced.ID()
	}
	willing := given == w.id || r.willing(w)
	if w.said == 0 || r.ticks-w.said >= askTicks || willing && !w.saysWilling(r.self) {
		w.said = r.ticks
		r.sendTo(r.peers, &message.Recover{Recovery: w.Recovery})
		r.sendTo(nil, &message.Standing{
			Recovery: w.id, Incarnation: r.birth.Incarnation, Seq: r.head.Seq, Willing: willing, Given: given,
		})
	}
	if !willing || given == w.id {
		return
	}
	agreed := 0
	for i := range w.stands {
		id := epoch.ReplicaID(i + 1)
		if s := w.fresh(id, r.ticks); s != nil && s.Willing && s.Incarnation == w.Next.Members[i].Incarnation && s.Seq == w.Seq {
			agreed++
		}
	}
	if agreed >= epoch.Quorum(w.Next.Mode, len(w.Next.Members)) {
		r.sealByForce(w.Recovery)
		r.attestNext()
	}
}

// fresh is what a member has said of late; nil if nothing.
func (w *recovery) fresh(id epoch.ReplicaID, now uint64) *message.Standing {
	if s := w.stands[id-1]; s.Standing != nil && now-s.at <= freshTicks {
		return s.Standing
	}
	return nil
}

func (w *recovery) saysWilling(id epoch.ReplicaID) bool {
	s := w.stands[id-1].Standing
	return s != nil && s.Willing
}

// willing says whether this replica would take part in a forced hand-over.
func (r *Replica) willing(w *recovery) bool {
	if r.ticks-w.since < recoverTicks || r.delivered != w.Seq || r.head.Seq != w.Seq || r.head.Digest() != w.Header {
		return false
	}
	if w.Next.Members[r.self-1].Incarnation != r.birth.Incarnation {
		return false
	}
	if w.givenElsewhere(r.ticks) >= epoch.Quorum(w.Next.Mode, len(w.Next.Members)) {
		return false // another one comes about
	}
	if r.tainted() {
		return true // all may be there: the epoch does not bear its liar
	}
	whose := r.epoch // it is for these to go on
	if r.sealed.seq != 0 {
		whose = r.sealed.next // the epoch has ended, and waits for those who were ready for this one, or whom operators named before
	}
	if whose == nil {
		return false
	}
	voters, further := w.voters(whose, r.ticks)
	return voters < whose.Quorum() && further < whose.Witnesses()
}

// givenElsewhere is how many members answer that they have given their word to one other recovery, the one that most have.
func (w *recovery) givenElsewhere(now uint64) (most int) {
	for i := range w.stands {
		one := w.fresh(epoch.ReplicaID(i+1), now)
		if one == nil || one.Given.IsZero() || one.Given == w.id {
			continue
		}
		same := 0
		for j := range w.stands {
			if s := w.fresh(epoch.ReplicaID(j+1), now); s != nil && s.Given == one.Given {
				same++
			}
		}
		most = max(most, same)
	}
	return most
}

// voters is how many members answer whose logs an epoch names and who have not given their word to what follows it, and how many of them say to
// be beyond where the recovery begins.
func (w *recovery) voters(e *epoch.Epoch, now uint64) (voters, further int) {
	for i := range w.stands {
		id := epoch.ReplicaID(i + 1)
		s := w.fresh(id, now)
		if s == nil || !s.Given.IsZero() || s.Incarnation != e.Member(id).Incarnation {
			continue
		}
		voters++
		if s.Seq > w.Seq {
			further++
		}
	}
	return voters, further
}

// sealByForce ends the epoch here as a recovery says.
func (r *Replica) sealByForce(c *message.Recovery) {
	next := proof.Recovered(r.epoch, c)
	r.sealed = sealing{seq: c.Seq, config: &next.Configuration, next: next, forced: c, shown: r.sealed.shown}
	r.out.Persist = append(r.out.Persist, &ordering.Sealed{Next: next, Forced: c})
	r.dropAbove(c.Seq)
	r.prepareEntry()
}

// Recovery is the one that counts, as others may see it.
type Recovery struct {
	ID      crypto.Digest
	Heard   []epoch.ReplicaID // members that have said of late where they stand
	Willing []epoch.ReplicaID // of these, those that would take part
	Voters  int               // of these, those that this epoch names: with a quorum, it can help itself
	Further int               // of these, those that say to be beyond where the recovery begins
}

// Recovery is what operators have asked for last in the epoch that is running; nil if nothing.
func (r *Replica) Recovery() *Recovery {
	w := r.recovery
	if w == nil {
		return nil
	}
	c := &Recovery{ID: w.id}
	c.Voters, c.Further = w.voters(r.epoch, r.ticks)
	for i := range w.stands {
		id := epoch.ReplicaID(i + 1)
		if s := w.fresh(id, r.ticks); s != nil {
			c.Heard = append(c.Heard, id)
			if s.Willing {
				c.Willing = append(c.Willing, id)
			}
		}
	}
	return c
}
