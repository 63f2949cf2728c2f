package bft

import (
	"slices"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/crypto"
)

// What a review of the view change has found: each of these stood still for ever, or could not be started again.

// Two view changes of one member for one view are evidence, which the log must be able to read again.
//
// case D14; a ViewChange that cannot be read without what it shows turns it red.
func TestEvidenceOfViewChangesIsReadable(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	c.load(6)
	stable := c.node(2).replica.Stable()
	if stable.Header.Seq == 0 {
		t.Fatal("no checkpoint")
	}
	c.tell(4, 2, &message.ViewChange{View: 9})
	c.tell(4, 2, &message.ViewChange{View: 9, Start: stable.Header.Seq, Header: stable.Header.Digest(), Attestations: stable.Attestations})
	twice := c.promise(4, message.KindViewChange, 0)
	twice.View = 9
	c.holds([]message.Promise{c.promise(4, message.KindCommit, 5), c.promise(4, message.KindCommit, 6), twice}, 1, 2, 3, 4)
	for _, rec := range c.node(2).past {
		if _, err := ordering.Decode(rec.Kind(), ordering.Encode(rec)); err != nil {
			t.Errorf("a record of kind %d cannot be read again: %v", rec.Kind(), err)
		}
	}
}

// A liar that begins views far ahead, one after the other, does not keep others from beginning theirs.
//
// case B10; keeping a NewView of a view to come turns it red.
func TestNewViewsFarAheadHoldUpNobody(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	c.submit(2, 1)
	c.tick(5)
	alone := cut(4)
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		p, ok := m.Body.(*message.PrePrepare)
		return alone(from, to, m) || ok && p.View == 0
	}
	c.submit(2, 1)
	far := epoch.View(4*1000 + 3) // led by 4
	for range 100 {
		n := &message.NewView{View: far}
		far += 4
		for i := range 3 {
			n.ViewChanges = append(n.ViewChanges, message.Named{Author: epoch.ReplicaID(i + 1), Digest: crypto.Digest{1}})
		}
		for to := epoch.ReplicaID(1); to <= 3; to++ {
			c.tell(4, to, n)
		}
		c.tick(10)
	}
	c.inView(1, 1, 2, 3)
	c.agree(2, 1, 2, 3)
}

// A leader that has never had the batch that it is to propose again gets it from those who stood by it in an earlier view.
//
// case B5; serving only what was accepted in this view turns it red.
func TestTheNextLeaderGetsASettledBatch(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	lost := func(from, to epoch.ReplicaID, m *message.Signed) bool {
		switch b := m.Body.(type) {
		case *message.PrePrepare:
			return b.View == 0 && to == 2
		case *message.Commit:
			return b.View == 0
		case *message.Bundle:
			return true
		}
		return false
	}
	c.drop = lost
	c.submit(1, 1)
	c.tick(2)
	dead := cut(1)
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool { return dead(from, to, m) || lost(from, to, m) }
	c.tick(150)
	c.inView(1, 2, 3, 4)
	c.agree(1, 2, 3, 4)
}

// Who has left a view counts among those that suspect its leader: it says so no more.
//
// case B11; counting Suspects alone turns it red.
func TestWhoHasLeftSuspects(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	c.submit(1, 1)
	c.tick(5)
	c.drop = func(_, to epoch.ReplicaID, m *message.Signed) bool {
		switch b := m.Body.(type) {
		case *message.PrePrepare:
			return b.Seq == 2 && to == 4
		case *message.Bundle, *message.Commit:
			return true
		}
		return false
	}
	c.submit(1, 1) // 2 and 3 know that something is due, 4 does not
	dead := cut(1)
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		return dead(from, to, m) || from == 2 && m.Body.Kind() == message.KindSuspect
	}
	for i := 0; i < 200 && c.node(2).replica.View() < 1; i++ {
		c.tick(1)
	}
	c.drop = dead
	c.tick(200)
	c.agree(2, 2, 3, 4)
}

// What one member alone knows of, because all copies of it were lost, is done although the leader is gone.
//
// case A3; telling nobody but the leader again turns it red.
func TestARequestThatOneMemberKnowsIsDone(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	c.submit(1, 1)
	c.tick(5)
	dead := cut(1)
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		return dead(from, to, m) || m.Body.Kind() == message.KindBundle
	}
	c.submit(2, 1)
	c.tick(5)
	c.drop = dead
	c.tick(200)
	c.agree(2, 2, 3, 4)
}

// logHasBatches fails the test if a block in a member's log names a batch that the log cannot find: behind a Base it knows of
// those only that a fact there names.
func (c *cluster) logHasBatches(id epoch.ReplicaID) {
	c.t.Helper()
	known := make(map[crypto.Digest]bool)
	for _, rec := range c.node(id).past {
		switch rec := rec.(type) {
		case *ordering.Bodies:
			known[rec.Batch.Digest()] = true
		case *ordering.Decided:
			if !known[rec.Header.Batch] {
				c.t.Errorf("block %d of member %d names a batch which is not there", rec.Header.Seq, id)
			}
		case *ordering.Base:
			kept := make(map[crypto.Digest]bool)
			for _, f := range rec.Facts {
				if v, ok := ordering.VoteOf(f); ok && known[v.Digest] {
					kept[v.Digest] = true
				}
			}
			known = kept
		}
	}
}

// A batch that was logged when it was accepted is logged again with its block, if a checkpoint has come between and no fact
// names it any more: it was accepted in a view that is over, and decided by late commits, as a block, or by a slow machine.
//
// case N2; believing that what was logged once stays named turns it red.
func TestABlockIsLoggedWithItsBatchWhateverCameBetween(t *testing.T) {
	for _, how := range []string{"commits", "block", "slow machine"} {
		t.Run(how, func(t *testing.T) {
			p := small()
			p.Pipeline = 4
			c := newCluster(t, 4, p)
			c.tick(1)
			c.load(3)
			// Slot 4 is executed by all, and 4 hears of its attestations late. Slot 5 is accepted by 4, and prepared by the others.
			slow := how == "slow machine"
			var held []parcel
			first := func(from, to epoch.ReplicaID, m *message.Signed) bool {
				switch b := m.Body.(type) {
				case *message.Attestation:
					return b.Seq >= 4
				case *message.Have:
					return true
				case *message.Prepare:
					return b.View == 0 && b.Seq == 5 && to == 4
				case *message.Commit:
					if slow || b.View != 0 || b.Seq != 5 {
						return false
					}
					if to == 4 {
						held = append(held, parcel{from, to, Received{m}})
					}
					return true
				}
				return false
			}
			c.drop = first
			if slow {
				c.after = func(*node) {
					c.queue = slices.DeleteFunc(c.queue, func(p parcel) bool {
						e, ok := p.event.(Executed)
						if ok = ok && p.to == 4 && e.Outcomes[0].Seq == 5; ok {
							held = append(held, p)
						}
						return ok
					})
				}
			}
			c.submit(1, 1)
			c.submit(1, 1)
			c.tick(1)
			r := c.node(4).replica
			if slow {
				for v := epoch.View(0); v < 2; v++ {
					for to := epoch.ReplicaID(1); to <= 4; to++ {
						for from := epoch.ReplicaID(2); from <= 3; from++ {
							c.tell(from, to, &message.Suspect{View: v, Delivered: 100})
						}
					}
					c.tick(30)
				}
			} else {
				c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
					if first(from, to, m) || from == 1 || to == 1 {
						return true
					}
					switch m.Body.(type) {
					case *message.PrePrepare, *message.Prepare, *message.Commit:
						return to == 4
					case *message.Have, *message.Want:
						return true
					}
					return false
				}
				for i := 0; i < 300 && r.View() == 0 || !r.order.Voting(); i++ {
					c.tick(1)
				}
			}
			h := r.chain[4]
			for from := epoch.ReplicaID(1); from <= 3; from++ {
				c.post(from, 4, Received{message.Sign(scheme, keys[from], c.epoch, from, &message.Attestation{Seq: 4, Header: h.Digest()})})
			}
			c.run()
			if s := r.Stable().Header.Seq; s != 4 || len(held) == 0 {
				t.Fatalf("stable at %d, %d events are held back", s, len(held))
			}
			c.after = nil
			if how == "block" {
				c.drop = func(_, to epoch.ReplicaID, m *message.Signed) bool {
					return m.Body.Kind() == message.KindPrePrepare && to == 4
				}
				c.tick(100)
			} else {
				c.queue = append(c.queue, held...)
				c.run()
			}
			if r.Head().Seq < 5 {
				t.Fatalf("at slot %d", r.Head().Seq)
			}
			c.logHasBatches(4)
		})
	}
}

// Requests of a proposal that was given up are free again, also if its last transaction comes between two views.
//
// case A10; marking what is accepted by nobody turns it red.
func TestRequestsOfAProposalThatIsGivenUpAreFree(t *testing.T) {
	p := small()
	p.BatchBytes = 1 << 20
	c := newCluster(t, 4, p)
	c.tick(1)
	lost := func(_, _ epoch.ReplicaID, m *message.Signed) bool {
		switch m.Body.(type) {
		case *message.Bundle, *message.Bodies, *message.ViewChange, *message.Suspect:
			return true
		}
		return false
	}
	c.drop = lost
	large := message.NewRequest(scheme, keys[0], c.epoch.Chain, 1, 1<<20, make([]byte, message.InlineBytes+1))
	little := message.NewRequest(scheme, keys[0], c.epoch.Chain, 2, 1<<20, []byte("little"))
	c.nonce = 2
	backups := []epoch.ReplicaID{2, 3, 4}
	for _, i := range backups {
		c.step(c.node(i), Submitted{[]*message.Request{little}})
	}
	c.step(c.node(1), Submitted{[]*message.Request{little, large}}) // proposed by name, and only 1 has the large one
	c.run()
	dead := cut(1)
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool { return dead(from, to, m) || lost(from, to, m) }
	for _, to := range backups {
		for _, from := range backups[:2] {
			c.tell(from, to, &message.Suspect{})
		}
	}
	c.tick(1)
	for _, i := range backups {
		if c.node(i).replica.order.Voting() {
			t.Fatalf("%d votes already", i)
		}
		c.step(c.node(i), Submitted{[]*message.Request{large}})
	}
	c.run()
	c.drop = dead
	c.tick(300)
	c.agree(1, 2, 3, 4)
	for _, i := range backups {
		if r := c.node(i).replica; r.Holds(little) || r.Holds(large) {
			t.Errorf("%d still holds a request", i)
		}
	}
}

// Members whose machines are slow do not cost a leader its place: with their window full, the fast ones wait for them.
//
// case N16; a clock that runs while the window is full turns it red.
func TestSlowMachinesDeposeNobody(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	var held []parcel
	c.after = func(*node) {
		c.queue = slices.DeleteFunc(c.queue, func(p parcel) bool {
			_, ok := p.event.(Executed)
			if ok = ok && p.to >= 3 && p.from != 0; ok {
				p.from = 0 // it comes later, and is then let through
				held = append(held, p)
			}
			return ok
		})
	}
	for i := range 3000 {
		if i%5 == 0 {
			c.submit(1, 4)
		}
		c.tick(1)
		if i%30 != 0 {
			continue
		}
		for _, id := range []epoch.ReplicaID{3, 4} {
			if at := slices.IndexFunc(held, func(p parcel) bool { return p.to == id }); at >= 0 {
				c.queue = append(c.queue, held[at])
				held = slices.Delete(held, at, at+1)
			}
		}
		c.run()
	}
	c.inView(0, 1, 2, 3, 4)
	if seq := c.node(1).replica.Head().Seq; seq < 50 {
		t.Errorf("at slot %d: nothing was tested", seq)
	}
}

// restartsAsLeader has a member lose power once it leads view 1, with nothing in its log behind that; true once it has.
func (c *cluster) restartsAsLeader(id epoch.ReplicaID) (restarted *bool) {
	restarted = new(bool)
	c.after = func(x *node) {
		if x.id != id || *restarted || x.replica.View() != 1 || !x.replica.order.Voting() {
			return
		}
		*restarted = true
		at := slices.IndexFunc(x.past, func(rec ordering.Record) bool { return rec.Kind() == ordering.KindInstalled })
		x.past = x.past[:at+1]
		c.queue = slices.DeleteFunc(c.queue, func(p parcel) bool { return p.to == id || p.from == id })
		c.restart(x)
	}
	return restarted
}

// A leader that is restarted as soon as it has installed its view proposes the null batch, which nobody can give to it.
//
// case B17; asking others for the null batch turns it red.
func TestALeaderIsRestartedBeforeItsNullBatches(t *testing.T) {
	p := small()
	p.Pipeline, p.BatchRequests = 4, 1
	c := newCluster(t, 4, p)
	c.tick(1)
	lost := func(_, _ epoch.ReplicaID, m *message.Signed) bool {
		switch b := m.Body.(type) {
		case *message.PrePrepare:
			return b.View == 0 && b.Seq == 1
		case *message.Commit:
			return b.View == 0
		}
		return false
	}
	c.drop = lost
	c.submit(1, 1)
	c.submit(1, 1)
	c.tick(2)
	dead := cut(1)
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool { return dead(from, to, m) || lost(from, to, m) }
	restarted := c.restartsAsLeader(2)
	c.tick(150)
	if !*restarted {
		t.Fatal("it was not restarted")
	}
	c.inView(1, 2, 3, 4)
	c.agree(2, 2, 3, 4)
}

// A batch with a certificate is kept for any view to come, though the views between have not settled it: with one member gone,
// every later view change may show it.
//
// case B5; keeping only what is settled turns it red.
func TestACertifiedBatchIsKeptOverViews(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	lost := func(_, to epoch.ReplicaID, m *message.Signed) bool {
		switch b := m.Body.(type) {
		case *message.Prepare:
			return b.View == 0 && to != 4
		case *message.Commit:
			return b.View == 0
		case *message.ViewChange:
			return m.Author == 4 && b.View < 3
		case *message.PrePrepare:
			return b.View == 1 || b.View == 2
		}
		return false
	}
	c.drop = lost
	c.submit(1, 1) // 4 alone prepares it
	r := c.node(4).replica
	second := false
	c.after = func(*node) { second = second || r.View() == 2 && r.order.Voting() }
	for i := 0; i < 3000 && !second; i++ {
		c.tick(1)
	}
	if !second {
		t.Fatal("4 has not voted in view 2")
	}
	dead := cut(1)
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool { return dead(from, to, m) || lost(from, to, m) }
	for i := 0; i < 3000 && r.View() < 3; i++ {
		c.tick(1)
	}
	c.drop = dead
	c.tick(1000)
	c.agree(1, 2, 3, 4)
}

// A liar that has hidden a certificate over several views, and shows it when nobody has the batch in memory any more, is not
// named by the leaders that come after: they name who gives them what he shows.
//
// case B5; naming whoever comes first turns it red.
func TestACertificateThatIsShownLateHoldsUpNobody(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	b := c.batch(1)
	vote := message.Vote{Seq: 1, Digest: b.Digest()}
	var prepares []*message.Signed
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		p, ok := m.Body.(*message.Prepare)
		if ok && p.View == 0 && to == 1 && from != 1 {
			prepares = append(prepares, m)
		}
		proposal, proposes := m.Body.(*message.PrePrepare)
		return from == 1 || to == 1 || ok && p.View <= 2 || proposes && proposal.View <= 2
	}
	proposal := message.Sign(scheme, keys[1], c.epoch, 1, message.NewPrePrepare(vote, b))
	c.post(1, 2, Received{proposal})
	c.post(1, 3, Received{proposal})
	c.run()
	if len(prepares) != 2 {
		t.Fatalf("%d prepares", len(prepares))
	}
	certificate := message.Certificate{Vote: vote, Votes: []*message.Signed{proposal, prepares[0], prepares[1]}}
	c.submit(2, 1)
	backups := []epoch.ReplicaID{2, 3, 4}
	for i, ready := 0, false; i < 5000 && !ready; i++ {
		c.tick(1)
		ready = true
		for _, id := range backups {
			r := c.node(id).replica
			ready = ready && r.View() >= 2 && r.order.Voting()
		}
	}
	told := make(map[epoch.View]bool)
	for range 1500 {
		for _, id := range backups {
			r := c.node(id).replica
			if v := r.View() + 1; !told[v] && (r.order.Voting() || r.Leader() == 1) {
				told[v] = true
				m := message.Sign(scheme, keys[1], c.epoch, 1, &message.ViewChange{View: v, Prepared: []message.Certificate{certificate}})
				for _, to := range backups {
					c.post(1, to, Received{m})
				}
			}
		}
		c.run()
		c.tick(1)
	}
	c.agree(1, 2, 3, 4)
}
