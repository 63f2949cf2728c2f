package bft

import (
	"fmt"
	"slices"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
)

// cut loses whatever goes from or to these members.
func cut(ids ...epoch.ReplicaID) func(from, to epoch.ReplicaID, m *message.Signed) bool {
	return func(from, to epoch.ReplicaID, _ *message.Signed) bool {
		for _, id := range ids {
			if from == id || to == id {
				return true
			}
		}
		return false
	}
}

func others(n int, but epoch.ReplicaID) (ids []epoch.ReplicaID) {
	for i := range n {
		if id := epoch.ReplicaID(i + 1); id != but {
			ids = append(ids, id)
		}
	}
	return ids
}

// inView fails the test unless the members vote in this view.
func (c *cluster) inView(v epoch.View, ids ...epoch.ReplicaID) {
	c.t.Helper()
	for _, id := range ids {
		if r := c.node(id).replica; r.View() != v || !r.order.Voting() {
			c.t.Errorf("%d is at view %d, votes %v, want %d", id, r.View(), r.order.Voting(), v)
		}
	}
}

// A leader that is gone is replaced, whatever the number of members, and the next one too; what clients have asked for is done once
// another leads, and whoever was away follows.
//
// case A3; not leaving, or not telling the next leader what waits, turns it red.
func TestAGoneLeaderIsReplaced(t *testing.T) {
	for _, n := range []int{4, 5, 6, 7, 10} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			c := newCluster(t, n, small())
			c.tick(1)
			c.submit(1, 1)
			c.tick(5)
			c.inView(0, 1)
			c.drop = cut(1)
			rest := others(n, 1)
			c.submit(rest[0], 1)
			c.tick(100)
			c.inView(1, rest...)
			c.agree(2, rest...)
			c.load2(rest[0], 10)
			c.agree(12, rest...)
			c.drop = nil
			c.tick(200)
			c.inView(1, others(n, 0)...)
			c.agree(12, others(n, 0)...)
			if f := epoch.Faulty(epoch.Byzantine, n); f > 1 {
				c.drop = cut(1, 2)
				c.submit(3, 1)
				c.tick(200)
				c.agree(13, others(n, 1)[1:]...)
			}
			for _, x := range c.nodes {
				if got := len(x.replica.Evidence()); got != 0 {
					t.Errorf("%d accuses somebody", x.id)
				}
			}
		})
	}
}

// load2 has the network decide so many more slots, one request each, that come in at one member.
func (c *cluster) load2(at epoch.ReplicaID, slots int) {
	for range slots {
		c.submit(at, 1)
		c.tick(2)
	}
}

// What a quorum has prepared is decided in the next view as it was, and where nobody has prepared anything there is nothing. The
// batch is fetched by whoever has never had it, and the requests of what was given up are ordered again.
//
// case B4 case B5; settling the null batch over a certificate, or waiting for its proposer alone, turns it red.
func TestWhatWasPreparedIsDecidedInTheNextView(t *testing.T) {
	p := small()
	p.Pipeline, p.BatchRequests = 4, 1
	c := newCluster(t, 4, p)
	c.tick(1)
	// Of slot 1 nobody hears anything; slot 2 is prepared by 2 and 3; nobody commits.
	c.drop = func(_, to epoch.ReplicaID, m *message.Signed) bool {
		switch b := m.Body.(type) {
		case *message.PrePrepare:
			return b.View == 0 && (b.Seq == 1 || to == 4)
		case *message.Commit:
			return b.View == 0
		case *message.Bundle:
			return true
		}
		return false
	}
	first := c.submit(1, 1)[0]
	second := c.submit(1, 1)[0]
	c.tick(2)
	for _, id := range []epoch.ReplicaID{2, 3} {
		if got := c.node(id).replica.order.Progress(); len(got) != 2 || got[0] != message.Empty || got[1] != message.Prepared {
			t.Fatalf("%d has %v", id, got)
		}
	}
	before := c.drop
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		return from == 1 || to == 1 || before(from, to, m)
	}
	c.tick(150)
	c.inView(1, 2, 3, 4)
	c.agree(2, 2, 3, 4)
	for _, id := range []epoch.ReplicaID{2, 3, 4} {
		done := c.node(id).done
		if len(done) != 2 || len(done[0].Batch.Requests) != 0 || len(done[1].Batch.Requests) != 1 || done[1].Batch.Requests[0].ID() != second.ID() {
			t.Errorf("%d has executed %+v", id, done)
		}
	}
	c.drop = nil
	c.tick(150)
	c.agree(3, 1, 2, 3, 4)
	if last := c.node(3).done[2].Batch.Requests; len(last) != 1 || last[0].ID() != first.ID() {
		t.Errorf("what was given up is not ordered again: %v", last)
	}
}

// View changes that are lost once are said again, and members that are many views apart come together.
//
// case B11 case B13; not repeating a ViewChange, or a NewView, turns it red.
func TestViewsComeTogetherAfterLosses(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	c.submit(1, 1)
	c.tick(5)
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		k := m.Body.Kind()
		return from == 1 || to == 1 || k == message.KindViewChange || k == message.KindNewView
	}
	c.submit(2, 1)
	c.tick(300)
	for _, id := range []epoch.ReplicaID{2, 3, 4} {
		if v := c.node(id).replica.View(); v != 1 {
			t.Errorf("%d is at view %d", id, v)
		}
	}
	c.drop = nil
	c.tick(100)
	c.agree(2, 1, 2, 3, 4)
	// One is away for several views.
	c.drop = cut(4)
	for range 3 {
		leader := c.node(2).replica.Leader()
		before := c.drop
		c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
			return before(from, to, m) || from == leader && m.Body.Kind() == message.KindPrePrepare
		}
		c.submit(2, 1)
		c.tick(400)
		c.drop = before
		c.tick(50)
	}
	c.drop = nil
	c.submit(2, 1)
	c.tick(400)
	v := c.node(1).replica.View()
	c.inView(v, 1, 2, 3, 4)
	c.agree(6, 1, 2, 3, 4)
}

// A member that is restarted at any moment of a view change, from no more than its log must hold, votes in no view that it has
// left, says the same ViewChange again, and the network goes on.
//
// case B17 case N1; forgetting what it left, or computing its ViewChange anew, turns it red.
func TestRestartsInAViewChange(t *testing.T) {
	for victim := epoch.ReplicaID(1); victim <= 4; victim++ {
		for at := 1; at < 60; at++ {
			c := newCluster(t, 4, small())
			c.tick(1)
			c.submit(1, 1)
			c.tick(3)
			said := make(map[message.Promise]string)
			highest := make(map[epoch.ReplicaID]epoch.View)
			c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
				if p, d, ok := m.Promise(); ok && m.Author == from {
					if old, there := said[p]; there && old != d.String() {
						t.Errorf("victim %d at %d: %d says two things about %v", victim, at, from, p)
					}
					said[p] = d.String()
					switch b := m.Body.(type) {
					case *message.ViewChange:
						highest[from] = max(highest[from], b.View)
					case *message.Prepare:
						if b.View < highest[from] {
							t.Errorf("victim %d at %d: %d prepares in view %d after it left for %d", victim, at, from, b.View, highest[from])
						}
					}
				}
				return from == 1 && m.Body.Kind() == message.KindPrePrepare && m.Body.(*message.PrePrepare).Seq > 1
			}
			steps := 0
			c.after = func(x *node) {
				if x.id == victim {
					steps++
				}
				if x.id == victim && steps == at*3 {
					c.queue = slices.DeleteFunc(c.queue, func(p parcel) bool { return p.to == x.id })
					c.restart(x)
				}
			}
			c.submit(2, 1)
			c.tick(300)
			c.after = nil
			c.submit(3, 1)
			c.tick(200)
			c.agree(3, 1, 2, 3, 4)
			if t.Failed() {
				t.Fatalf("victim %d at %d", victim, at)
			}
		}
	}
}

// The view that a replica votes in outlasts any number of trims.
//
// case N1; a Base without the promises behind it turns it red.
func TestPromisedViewOutlastsTrims(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	c.drop = cut(1)
	c.submit(2, 1)
	c.tick(100)
	c.drop = nil
	c.load2(2, 30)
	for _, x := range c.nodes {
		if x.trimmed == 0 {
			t.Fatalf("%d has trimmed nothing", x.id)
		}
		var kinds []ordering.RecordKind
		for _, rec := range x.surviving() {
			kinds = append(kinds, rec.Kind())
		}
		c.restart(x)
		if x.replica.View() != 1 || x.replica.Leader() != 2 {
			t.Errorf("%d is at view %d, by %v", x.id, x.replica.View(), kinds)
		}
	}
	c.run()
	c.load2(3, 5)
	c.tick(50)
	c.inView(1, 1, 2, 3, 4)
	c.agree(36, 1, 2, 3, 4)
}

// One member alone moves nobody, however many views it asks for.
//
// case B10; joining a single member turns it red.
func TestOneMemberAloneChangesNoView(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	c.submit(1, 1)
	for v := epoch.View(1); v < 50; v++ {
		for _, to := range []epoch.ReplicaID{1, 2, 3} {
			c.tell(4, to, &message.ViewChange{View: v})
			c.tell(4, to, &message.Suspect{View: v - 1})
		}
	}
	c.tell(4, 2, &message.ViewChange{View: 1<<64 - 1})
	c.tell(4, 2, &message.Suspect{View: 1<<64 - 1})
	c.load(5)
	c.tick(100)
	c.inView(0, 1, 2, 3)
	c.agree(6, 1, 2, 3)
}

// What has begun a view begins it once: said again when it is there, or over, it is no use.
//
// case B7; installing a view twice turns it red.
func TestAViewBeginsOnce(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	c.drop = cut(1)
	c.submit(2, 1)
	c.tick(150)
	c.drop = nil
	c.tick(100)
	c.inView(1, 1, 2, 3, 4)
	installed := c.node(2).replica.order.Promises()[0].(*ordering.Installed)
	before := len(c.node(3).past)
	for range 2 {
		for _, m := range installed.ViewChanges {
			c.post(m.Author, 3, Received{m})
		}
		c.tell(2, 3, installed.NewView)
		c.tell(2, 3, &message.Suspect{View: 0})
		c.tell(1, 3, &message.Suspect{View: 0})
	}
	c.run()
	c.inView(1, 1, 2, 3, 4)
	if after := len(c.node(3).past); after != before {
		t.Errorf("%d records, %d before", after, before)
	}
	c.drop = cut(2)
	c.submit(3, 1)
	c.tick(150)
	c.inView(2, 1, 3, 4)
	for _, m := range installed.ViewChanges {
		c.post(m.Author, 3, Received{m})
	}
	c.tell(2, 3, installed.NewView)
	c.inView(2, 1, 3, 4)
	c.agree(2, 1, 3, 4)
}

// A ViewChange is valid whole or not at all, and a NewView names a quorum.
//
// case B3 case B8 case B9; letting any of these pass turns its row red.
func TestViewChangesAreValidWholeOrNotAtAll(t *testing.T) {
	v := newValidity(epoch.Byzantine)
	good := v.viewChange()
	for name, spoil := range map[string]func(c *message.ViewChange, p *message.Certificate){
		"view 0":               func(c *message.ViewChange, _ *message.Certificate) { c.View = 0 },
		"a view not over":      func(_ *message.ViewChange, p *message.Certificate) { p.View = 1 },
		"start without proof":  func(c *message.ViewChange, _ *message.Certificate) { c.Attestations = nil },
		"another start":        func(c *message.ViewChange, _ *message.Certificate) { c.Start = 3 },
		"another header":       func(c *message.ViewChange, _ *message.Certificate) { c.Header[0]++ },
		"proof of the genesis": func(c *message.ViewChange, _ *message.Certificate) { c.Start = 0 },
		"too few votes":        func(_ *message.ViewChange, p *message.Certificate) { p.Votes = p.Votes[:2] },
		"a member twice":       func(_ *message.ViewChange, p *message.Certificate) { p.Votes[2] = p.Votes[1] },
		"no pre-prepare": func(_ *message.ViewChange, p *message.Certificate) {
			p.Votes[0] = v.say(1, &message.Prepare{Vote: p.Vote})
		},
		"another's pre-prepare": func(_ *message.ViewChange, p *message.Certificate) {
			p.Votes[1] = v.say(2, &message.PrePrepare{Vote: p.Vote})
		},
		"commits": func(_ *message.ViewChange, p *message.Certificate) {
			p.Votes[1] = v.say(2, &message.Commit{Vote: p.Vote})
		},
		"mixed digests": func(_ *message.ViewChange, p *message.Certificate) {
			p.Votes[1] = v.say(2, &message.Prepare{Vote: message.Vote{Seq: 5}})
		},
		"another slot's votes": func(_ *message.ViewChange, p *message.Certificate) { p.Seq = 6 },
		"beyond the window":    func(c *message.ViewChange, p *message.Certificate) { p.Seq = c.Start + 17 },
		"below the start":      func(_ *message.ViewChange, p *message.Certificate) { p.Seq = 4 },
		"a slot twice":         func(c *message.ViewChange, p *message.Certificate) { c.Prepared = append(c.Prepared, *p) },
		"one bad signature": func(_ *message.ViewChange, p *message.Certificate) {
			bad := *p.Votes[2]
			bad.Signature[0]++
			p.Votes[2] = &bad
		},
		"a bad signature beyond": func(c *message.ViewChange, _ *message.Certificate) {
			bad := *c.Attestations[2]
			bad.Signature[0]++
			c.Attestations[2] = &bad
		},
	} {
		c := *good
		p := good.Prepared[0]
		p.Votes = slices.Clone(p.Votes)
		c.Attestations = slices.Clone(c.Attestations)
		c.Prepared = nil
		spoil(&c, &p)
		c.Prepared = append([]message.Certificate{p}, c.Prepared...)
		if err := Check(v.say(3, &c), v.epoch, scheme); err == nil {
			t.Errorf("%s: passes", name)
		}
	}
	names := func(authors ...epoch.ReplicaID) *message.NewView {
		n := &message.NewView{View: 1}
		for _, a := range authors {
			n.ViewChanges = append(n.ViewChanges, message.Named{Author: a})
		}
		return n
	}
	for name, n := range map[string]*message.NewView{
		"too few": names(1, 2), "too many": names(1, 2, 3, 4), "no member": names(1, 2, 5), "view 0": {ViewChanges: names(1, 2, 3).ViewChanges},
	} {
		if err := Check(v.say(2, n), v.epoch, scheme); err == nil {
			t.Errorf("a new view by %s passes", name)
		}
	}
}

// A leader that begins two views with one number is found out, at most one of them is taken, and whoever knows it leaves.
//
// case B1; computing what is settled from other view changes than those that are named turns it red.
func TestTwoNewViewsForOneNumber(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	c.drop = cut(1, 2)
	var said []*message.Signed
	for id := epoch.ReplicaID(1); id <= 4; id++ {
		said = append(said, message.Sign(scheme, keys[id], c.epoch, id, &message.ViewChange{View: 1}))
	}
	for _, m := range said {
		for _, to := range []epoch.ReplicaID{3, 4} {
			c.post(m.Author, to, Received{m})
		}
	}
	c.run()
	begin := func(to epoch.ReplicaID, authors ...epoch.ReplicaID) {
		n := &message.NewView{View: 1}
		for _, a := range authors {
			n.ViewChanges = append(n.ViewChanges, message.Named{Author: a, Digest: said[a-1].Digest()})
		}
		c.tell(2, to, n)
	}
	begin(3, 1, 3, 4)
	begin(4, 2, 3, 4)
	c.inView(1, 3, 4)
	begin(3, 2, 3, 4)
	for _, id := range []epoch.ReplicaID{3, 4} {
		if v := c.node(id).replica.View(); v != 2 {
			t.Errorf("%d is at view %d", id, v)
		}
	}
	begin(4, 1, 3, 4)
	want := []message.Promise{c.promise(2, message.KindNewView, 0)}
	want[0].View = 1
	c.holds(want, 3, 4)
}

// What a NewView settles follows from the ViewChanges it names, and not from others that a replica has: one of these shows a
// certificate, in whose slot all others vote for the null batch.
//
// case B1; computing it from what is at hand turns it red.
func TestWhatIsNamedIsWhatCounts(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	c.drop = cut(1, 2)
	b := c.batch(1)
	vote := message.Vote{Seq: 1, Digest: b.Digest()}
	say := func(id epoch.ReplicaID, body message.Body) *message.Signed {
		return message.Sign(scheme, keys[id], c.epoch, id, body)
	}
	shows := &message.ViewChange{View: 1, Prepared: []message.Certificate{{Vote: vote, Votes: []*message.Signed{
		say(1, message.NewPrePrepare(vote, b)), say(2, &message.Prepare{Vote: vote}), say(3, &message.Prepare{Vote: vote}),
	}}}}
	said := []*message.Signed{say(1, shows), say(2, &message.ViewChange{View: 1}), say(3, &message.ViewChange{View: 1}), say(4, &message.ViewChange{View: 1})}
	for _, m := range said {
		c.post(m.Author, 4, Received{m})
	}
	c.run()
	n := &message.NewView{View: 1}
	for _, m := range said[1:] {
		n.ViewChanges = append(n.ViewChanges, message.Named{Author: m.Author, Digest: m.Digest()})
	}
	c.tell(2, 4, n)
	c.inView(1, 4)
	if got := c.node(4).replica.order.Open(); got != 0 {
		t.Errorf("slots up to %d are settled, by view changes that show nothing", got)
	}
}

// What was prepared is shown in every view change after it, also when the view between has failed before it was prepared again.
//
// case N14; showing the certificates of the last view alone turns it red.
func TestCertificatesOutlastAViewThatFails(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	c.drop = func(_, _ epoch.ReplicaID, m *message.Signed) bool {
		switch b := m.Body.(type) {
		case *message.PrePrepare:
			return b.View == 1
		case *message.Commit:
			return b.View == 0
		}
		return false
	}
	c.submit(1, 1)
	c.tick(2)
	first := c.node(3).replica.order.Batch(1).Digest()
	c.tick(400)
	c.inView(2, 1, 2, 3, 4)
	c.agree(1, 1, 2, 3, 4)
	for _, x := range c.nodes {
		if len(x.done) != 1 || x.done[0].Batch.Digest() != first {
			t.Errorf("%d has executed %+v, want the batch that was prepared in view 0", x.id, x.done)
		}
	}
}

// One member that is a view ahead, with one that is gone for good, holds nobody up: it has left for this view too.
//
// case B13; waiting for a quorum in exactly this view turns it red (seed 32 of the simulator found it).
func TestOneAheadAndOneGoneGoOn(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	c.submit(1, 1)
	c.tick(5)
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		v, ok := m.Body.(*message.ViewChange)
		k := m.Body.Kind()
		return from == 4 || to == 4 || k == message.KindNewView || k == message.KindPrePrepare || ok && m.Author == 2 && v.View == 1
	}
	c.submit(2, 1)
	for v := range epoch.View(2) {
		for _, id := range []epoch.ReplicaID{3, 4} {
			c.post(id, 2, Received{message.Sign(scheme, keys[id], c.epoch, id, &message.Suspect{View: v, Delivered: 1})})
		}
	}
	for _, id := range []epoch.ReplicaID{3, 4} {
		c.post(id, 1, Received{message.Sign(scheme, keys[id], c.epoch, id, &message.Suspect{Delivered: 1})})
		c.post(id, 3, Received{message.Sign(scheme, keys[id], c.epoch, id, &message.Suspect{Delivered: 1})})
	}
	c.run()
	for id, want := range map[epoch.ReplicaID]epoch.View{1: 1, 2: 2, 3: 1} {
		if got := c.node(id).replica.View(); got != want {
			t.Fatalf("%d is at view %d, want %d", id, got, want)
		}
	}
	c.drop = cut(4)
	c.tick(400)
	c.agree(2, 1, 2, 3)
}
