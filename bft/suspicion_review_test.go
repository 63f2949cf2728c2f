package bft

import (
	"slices"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
)

// What a review has found about suspicion, and what is taken up after a restart.

// The leader proposes everything at once, but holds back one slot in many until just before the timeout: no request waits
// unproposed, and the timeout follows what slots take.
//
// case A4; a backlog only of what is in no proposal turns it red.
func TestALeaderThatHoldsOneSlotBackIsReplaced(t *testing.T) {
	p := epoch.DefaultParameters()
	p.Pipeline, p.Burst = 64, 64 // so that the honest code of member 1 goes on behind the slot that it holds back; a liar needs no such thing
	c := newCluster(t, 4, p)
	c.tick(1)
	open := make([]*message.Request, 8) // a closed loop of 8 clients
	done, direct := 0, false
	clients := func() {
		r := c.node(2).replica
		for i, q := range open {
			if q == nil || !r.Holds(q) {
				if q != nil {
					done++
				}
				direct = true // it comes to all members at the same time, by gossip
				open[i] = c.submit(2, 1)[0]
				direct = false
			}
		}
	}
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		return direct && to == 1 && m.Body.Kind() == message.KindBundle
	}
	for range 2000 { // 20 s of an honest leader
		clients()
		c.tick(1)
	}
	c.inView(0, 1, 2, 3, 4)
	fair := done
	var held []parcel
	var heldSeq epoch.Seq
	own := false
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		if m.Body.Kind() == message.KindBundle && (from == 1 || direct && to == 1) {
			return true // of the request that only fills the slot
		}
		pp, ok := m.Body.(*message.PrePrepare)
		if from != 1 || !ok || pp.View != 0 || to == 1 {
			return false
		}
		if own && heldSeq == 0 {
			heldSeq = pp.Seq
		}
		if pp.Seq == heldSeq {
			held = append(held, parcel{1, to, Received{m}})
			return true
		}
		return false
	}
	done = 0
	hold, last := 40, 0
	half := 0
	for at := 0; at < 12000; { // two minutes
		own = true
		c.submit(1, 1)
		own = false
		clients()
		for i := range hold {
			if i > 0 && i < 20 {
				c.submit(1, 1) // its own, which fill slots behind
			}
			c.tick(1)
			at++
		}
		c.queue = append(c.queue, held...)
		held, heldSeq = nil, 0
		c.run()
		c.tick(1)
		at++
		last = hold
		hold = min(hold+hold/4, 400)
		if c.node(2).replica.View() != 0 {
			break
		}
		if at < 6000 {
			half = done
		}
	}
	t.Logf("an honest leader: %d in 20 s; then %d in two minutes, %d of these in the second; one slot was held for %d0 ms at last; view %d", fair, done, done-half, last, c.node(2).replica.View())
	if c.node(2).replica.View() == 0 {
		t.Error("the leader stays")
	}
}

// leaderHearsAllBut has member 1 not told of requests with these nonces.
func (c *cluster) leaderHearsAllBut() (nonces map[uint64]bool) {
	nonces = make(map[uint64]bool)
	c.drop = func(_, to epoch.ReplicaID, m *message.Signed) bool {
		b, ok := m.Body.(*message.Bundle)
		return ok && to == 1 && slices.ContainsFunc(b.Requests, func(q *message.Request) bool { return nonces[q.Nonce] })
	}
	return nonces
}

// The leader is deaf to all that comes through one member, and orders everything else.
//
// case A5 A6; counting only batches with requests of the same entry member turns it red.
func TestALeaderThatIsDeafToAMemberIsReplaced(t *testing.T) {
	c := newCluster(t, 4, epoch.DefaultParameters())
	c.tick(1)
	unheard := c.leaderHearsAllBut()
	for i := range 6000 { // a minute
		if i%50 == 0 {
			unheard[c.nonce+1] = true
			c.submit(2, 1)
		}
		c.submit(3, 2)
		c.tick(1)
	}
	n, _ := c.node(3).replica.Pooled()
	t.Logf("after a minute and %d slots: view %d, %d requests wait", c.node(3).replica.Head().Seq, c.node(3).replica.View(), n)
	if c.node(3).replica.View() == 0 {
		t.Error("the leader stays, and no client of member 2 is ever served")
	}
}

// One client has 40 requests open, and the leader takes one of them every 55 batches.
//
// case A7; counting from when a request has become the oldest turns it red.
func TestALeaderThatServesOneClientSlowlyIsReplaced(t *testing.T) {
	c := newCluster(t, 4, epoch.DefaultParameters())
	c.tick(1)
	unheard := c.leaderHearsAllBut()
	var victims []*message.Request
	for range 40 {
		unheard[c.nonce+1] = true
		victims = append(victims, c.submit(2, 1)...)
	}
	for range 150 {
		c.submit(2, 1)
		c.tick(1)
	}
	begun := c.node(3).replica.Head().Seq
	c.inView(0, 1, 2, 3, 4)
	var last epoch.Seq
	for i := range 10000 {
		if i%55 == 54 && len(victims) > 0 {
			q := victims[0]
			victims = victims[1:]
			c.step(c.node(1), Submitted{[]*message.Request{q}})
			c.run()
			last = c.node(3).replica.Head().Seq
		}
		c.submit(2, 1)
		c.tick(1)
		if len(victims) == 0 {
			break
		}
	}
	t.Logf("the last of them was overtaken by %d batches; view %d", last-begun, c.node(3).replica.View())
	if last-begun > 200 && c.node(3).replica.View() == 0 {
		t.Error("overtaken far beyond the bound, and the leader stays")
	}
}

// A leader fills its batches with what was executed long ago, and takes one request that waits, the oldest, every 300 ms.
//
// case A4 A9; measuring a leader by the size of its batches turns it red.
func TestWhatIsOrderedAgainIsNoWork(t *testing.T) {
	c := newCluster(t, 4, epoch.DefaultParameters())
	c.tick(1)
	var all []*message.Request
	for i := range 1500 {
		all = append(all, c.submit(epoch.ReplicaID(2+i%2), 10)...)
		c.tick(1)
	}
	c.inView(0, 1, 2, 3, 4)
	honest := len(all)
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		return m.Body.Kind() == message.KindBundle && (to == 1 || from == 1)
	}
	replay := func() {
		c.step(c.node(1), Submitted{all[:10]})
		all = append(all[10:], all[:10]...)
		c.run()
	}
	var waiting []*message.Request
	served := 0
	for i := range 6000 { // a minute
		replay()
		if i%5 == 0 && len(waiting) < 800 {
			waiting = append(waiting, c.submit(2, 1)...)
		}
		if i%30 == 0 && len(waiting) > 0 {
			c.step(c.node(1), Submitted{waiting[:1]})
			c.run()
			waiting = waiting[1:]
			served++
		}
		c.tick(1)
	}
	t.Logf("%d in 15 s; then %d in a minute, %d wait; view %d, slot %d", honest, served, len(waiting), c.node(3).replica.View(), c.node(3).replica.Head().Seq)
	if c.node(3).replica.View() == 0 {
		t.Error("the leader stays")
	}
}

// Overload comes through an honest member, and a liar tells one backup alone of a request: that backup's reminders must reach the
// leader beside those about the overload, else the request is passed over, and with the liar's own hint every leader goes. Nor does
// one lost bundle make anybody go.
//
// case A7 A13 N15; counting from when a request came, whether or not the leader was told of it, turns it red, and so does a bound on
// passing over that ignores bytes.
func TestOneLiarMakesNoLeaderLookUnfair(t *testing.T) {
	for _, how := range []string{"nobody lies", "only hints", "lies", "a lost bundle"} {
		lies, hints := how == "lies", how == "lies" || how == "only hints"
		p := epoch.DefaultParameters()
		p.BatchBytes, p.RequestBytes = 64<<10, 20<<10
		c := newCluster(t, 4, p)
		c.tick(1)
		var held []parcel
		c.after = func(*node) { // a machine executes a batch every 20 ms
			c.queue = slices.DeleteFunc(c.queue, func(p parcel) bool {
				_, ok := p.event.(Executed)
				if ok = ok && p.from != 0; ok {
					p.from = 0
					held = append(held, p)
				}
				return ok
			})
		}
		direct := false
		var lost *message.Request
		lostTil := int64(0)
		c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
			b, ok := m.Body.(*message.Bundle)
			return ok && direct || ok && to == 1 && c.now < lostTil && slices.ContainsFunc(b.Requests, func(q *message.Request) bool { return q.ID() == lost.ID() })
		}
		nonce := uint64(1 << 30)
		request := func(key, size int) *message.Request {
			nonce++
			return message.NewRequest(scheme, keys[key], c.epoch.Chain, nonce, 1<<20, make([]byte, size))
		}
		views := []epoch.View{0}
		var at []int
		secret := make(map[epoch.ReplicaID]*message.Request)
		for i := range 3000 {
			var flood []*message.Request
			for k := range 2 + i%2*2 {
				flood = append(flood, request(10+(i+k)%20, 15<<10))
			}
			if how == "a lost bundle" && i == 1000 {
				lost, lostTil = flood[0], c.now+200
			}
			direct = true
			c.step(c.node(2), Submitted{flood})
			c.step(c.node(4), Submitted{[]*message.Request{request(5, 10)}})
			c.run()
			direct = false
			v := c.node(3).replica.View()
			if hints && i > 300 {
				for _, id := range []epoch.ReplicaID{1, 2, 3} {
					r := c.node(id).replica
					if lies && r.Leader() != id && (secret[id] == nil || !r.Holds(secret[id])) {
						secret[id] = request(6, 10)
						c.tell(4, id, &message.Bundle{Head: r.Head().Seq, Requests: []*message.Request{secret[id]}})
					}
					if i%50 == 0 {
						c.tell(4, id, &message.Suspect{View: v, Delivered: message.Whatever})
					}
				}
			}
			c.tick(1)
			if i%2 == 0 {
				done := make(map[epoch.ReplicaID]bool)
				held = slices.DeleteFunc(held, func(p parcel) bool {
					if done[p.to] {
						return false
					}
					done[p.to] = true
					c.queue = append(c.queue, p)
					return true
				})
				c.run()
			}
			if v := c.node(3).replica.View(); v != views[len(views)-1] {
				views, at = append(views, v), append(at, i)
			}
		}
		n, bytes := c.node(3).replica.Pooled()
		t.Logf("%s: views %v at ticks %v; slot %d, pool %d, %d bytes", how, views, at, c.node(3).replica.Head().Seq, n, bytes)
		if len(views) > 1 {
			t.Error("honest leaders are replaced")
		}
	}
}

// Clients hand everything to the leader, which proposes it before its gossip is out; a slot takes 250 ms until it is executed. Then
// clients ask for a quarter of what they asked for before: nothing waits for the leader, although much has come after its proposal.
//
// case G7; taking what comes here after its proposal for something that waits turns it red.
func TestWhoAsksForLessHasNobodyReplaced(t *testing.T) {
	p := epoch.DefaultParameters()
	p.Pipeline = 16
	c := newCluster(t, 4, p)
	c.tick(1)
	type late struct {
		p  parcel
		at int64
	}
	var held []late
	c.after = func(*node) {
		c.queue = slices.DeleteFunc(c.queue, func(p parcel) bool {
			_, ok := p.event.(Executed)
			if ok = ok && p.from != 0; ok {
				p.from = 0
				held = append(held, late{p, c.now + 250})
			}
			return ok
		})
	}
	worst := uint64(0)
	phase := func(ticks, every int) {
		for i := range ticks {
			if i%every == 0 {
				c.submit(1, 4)
			}
			c.tick(1)
			held = slices.DeleteFunc(held, func(l late) bool {
				if l.at > c.now {
					return false
				}
				c.queue = append(c.queue, l.p)
				return true
			})
			c.run()
			w, _ := c.node(1).replica.pool.patience(c.node(1).replica.ticks)
			worst = max(worst, w)
		}
	}
	phase(1500, 2)
	c.inView(0, 1, 2, 3, 4)
	phase(1500, 8)
	t.Logf("at the leader the oldest request that waits has waited for %d0 ms at most; view %d", worst, c.node(2).replica.View())
	if v := c.node(2).replica.View(); v > 0 {
		t.Errorf("view %d: an honest leader is replaced, since clients ask for less", v)
	}
}

// A leader restarts with batches in its log that it accepted in the view before, and that no view has settled.
//
// case N17; marking them as proposed turns it red.
func TestARestartedLeaderProposesWhatItHadAccepted(t *testing.T) {
	p := small()
	p.Pipeline, p.BatchRequests = 4, 1
	c := newCluster(t, 4, p)
	c.tick(1)
	lost := func(_, _ epoch.ReplicaID, m *message.Signed) bool {
		switch b := m.Body.(type) {
		case *message.Prepare:
			return b.View == 0
		}
		return false
	}
	c.drop = lost
	c.submit(3, 1)
	c.submit(3, 1)
	c.tick(2)
	dead := cut(1)
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool { return dead(from, to, m) || lost(from, to, m) }
	restarted := c.restartsAsLeader(2)
	c.tick(1000)
	if !*restarted {
		t.Fatal("not restarted")
	}
	r := c.node(2).replica
	t.Logf("view %d, slots %d", r.View(), r.Head().Seq)
	c.inView(1, 2, 3, 4)
	c.agree(2, 2, 3, 4)
}

// What was accepted in a view that is over was executed in another slot since. After a restart nobody waits for it.
//
// case N17; taking it up after the newest blocks are remembered turns it red.
func TestWhatIsExecutedDoesNotWaitAgain(t *testing.T) {
	p := small()
	p.Pipeline, p.BatchRequests = 4, 1
	c := newCluster(t, 4, p)
	c.tick(1)
	// Two slots are proposed in view 0, the first of which gets nowhere; the second is accepted by 3.
	c.drop = func(_, to epoch.ReplicaID, m *message.Signed) bool {
		switch b := m.Body.(type) {
		case *message.PrePrepare:
			return b.View == 0 && b.Seq == 1
		case *message.Prepare:
			return b.View == 0
		}
		return false
	}
	first := c.submit(2, 1)[0]
	second := c.submit(2, 1)[0]
	c.tick(2)
	if b := c.node(3).replica.order.Batch(2); b == nil || b.Requests[0].ID() != second.ID() {
		t.Fatal("3 has not accepted slot 2")
	}
	old := c.drop
	dead := cut(1)
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		b, ok := m.Body.(*message.Bundle) // the first is lost with leader 1
		return dead(from, to, m) || old(from, to, m) || ok && slices.ContainsFunc(b.Requests, func(q *message.Request) bool { return q.ID() == first.ID() })
	}
	for _, id := range []epoch.ReplicaID{2, 3, 4} { // nobody but 1 has the first
		r := c.node(id).replica
		r.pool.executed([]*message.Request{first}, []End{NonceOver})
	}
	for _, to := range []epoch.ReplicaID{2, 3, 4} {
		for _, from := range []epoch.ReplicaID{2, 3} {
			c.tell(from, to, &message.Suspect{View: 0, Delivered: 100})
		}
	}
	c.tick(5)
	c.inView(1, 2, 3, 4)
	c.agree(1, 2, 3, 4) // second, in slot 1
	x := c.node(3)
	if x.replica.Holds(second) {
		t.Fatal("3 holds it before its restart")
	}
	c.restart(x)
	var done []*message.Request
	for _, e := range x.done {
		done = append(done, e.Batch.Requests...)
	}
	x.replica.Remember(done)
	suspects := 0
	before := c.drop
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		if from == 3 && m.Body.Kind() == message.KindSuspect {
			suspects++
		}
		return before(from, to, m)
	}
	c.tick(1000)
	if x.replica.Holds(second) || suspects > 0 {
		t.Errorf("10 s after the restart 3 holds what is executed: %v; it has said Suspect %d times; leader %d holds it: %v", x.replica.Holds(second), suspects, x.replica.Leader(), c.node(2).replica.Holds(second))
	}
}
