package sim

import (
	"os"
	"slices"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/statemachine/kv"
	"github.com/quorate/quorate/store"
)

// withParameters changes those that the world has drawn.
func withParameters(change func(*epoch.Parameters)) func(*World) {
	return func(w *World) {
		change(&w.genesis.Parameters)
		w.epoch = w.genesis.Epoch()
		w.newAudit(w.audit.scheme)
	}
}

// pass turns the world for so many virtual µs.
func (s *script) pass(micros int64) {
	s.t.Helper()
	until := s.now + micros
	s.after(micros, nil, looks, 2, func() {})
	s.until("time passes", micros+second, func() bool { return s.now >= until })
}

// answered has the world go on until all of these are.
func (s *script) answered(all ...*transaction) {
	s.t.Helper()
	s.until("the answers", healTime, func() bool {
		for _, tx := range all {
			if !tx.answered {
				return false
			}
		}
		return true
	})
}

// load has clients ask for something now and then, for so many virtual µs, as far as their earlier requests are answered.
func (s *script) load(micros, pause int64, choose func() *node) {
	s.t.Helper()
	const waiting = 600 // of one client: fewer than nonces that may be used in any order
	for until, i := s.now+micros, 0; s.now < until; i++ {
		if c := s.clients[1+i%(len(s.clients)-1)]; len(c.open) < waiting { // the first is put's
			c.nonce++
			op := operation{kind: kv.KindPut, key: "k", value: "v"}
			tx := &transaction{op: op, owner: c, request: message.NewRequest(s.scheme, c.key, s.epoch.Chain, c.nonce, 1<<19, op.encode())}
			s.audit.submitted(tx)
			c.open = append(c.open, tx)
			choose().submit(tx)
		}
		s.pass(pause)
	}
}

// askAgain has clients insist on what is not answered.
func (s *script) askAgain() {
	for _, c := range s.clients {
		for _, tx := range slices.Clone(c.open) {
			s.insist(tx)
		}
	}
}

// hour is how long the long scripts go on, in virtual time.
func hour(t *testing.T) int64 {
	if os.Getenv("QUORATE_SOAK") != "" {
		return 3600 * second
	}
	t.Log("a minute; an hour with make soak")
	return 60 * second
}

// noViewChange is broken if anybody has left view 0.
func (s *script) noViewChange() {
	s.t.Helper()
	if s.counts.Departures > 0 {
		s.t.Errorf("members left a view %d times, after %s, and no leader was at fault", s.counts.Departures, clock(s.now))
	}
}

// The member that had promised to leave loses its disk while its ViewChange is on the way. It counts in the next view, which is
// right, for it was promised; but whoever has forgotten says nothing after it.
//
// case N4. A wiped member that votes again turns it red.
func TestAPromiseInFlightOutlivesAWipe(t *testing.T) {
	s := newScript(t, 4)
	before := s.put(s.node(2), "before")
	s.answered(before)
	var held []func()
	s.network.lost = func(from, to *node, m *message.Signed) bool {
		if from == s.node(4) && m.Body.Kind() == message.KindViewChange && m.Author == 4 {
			held = append(held, func() { s.network.deliver(to, s.network.link(from, to), &flight{message: m}, milli) })
			return true
		}
		return from == s.node(1) || to == s.node(1)
	}
	tx := s.put(s.node(2), "after")
	s.until("the promise is on its way", healTime, func() bool { return len(held) > 0 })
	s.node(4).replaceDisk(store.NewMemory())
	s.until("the member is back", healTime, func() bool { return s.node(4).up() })
	if !s.node(4).host.Replica().Observes() {
		t.Fatal("it takes part")
	}
	for _, deliver := range held {
		deliver()
	}
	s.network.lost = nil
	s.insist(tx)
	s.converges()
}

// What is decided is read wherever one asks: from a member that was away while it was decided, too.
//
// case N5. A get that a lagging member answers out of its own state turns it red.
func TestAReadAtALaggingMemberIsNotStale(t *testing.T) {
	s := newScript(t, 4)
	for range 5 {
		s.network.lost = func(from, to *node, _ *message.Signed) bool { return from == s.node(4) || to == s.node(4) }
		s.answered(s.put(s.node(2), "new"))
		s.network.lost = nil
		s.answered(s.get(s.node(4)))
	}
	s.converges()
}

// A member that has left, and cannot hear of the new view, follows by blocks over checkpoints and restarts. What it has said as it
// left it says again in the same words, whatever it could show by now.
//
// case N8. A ViewChange that is made anew, from what the log holds by then, turns it red.
func TestAViewChangeStaysAsItWas(t *testing.T) {
	s := newScript(t, 7, withParameters(func(p *epoch.Parameters) { p.Window, p.Checkpoint, p.Pipeline, p.Burst = 32, 8, 2, 4 }))
	s.answered(s.put(s.node(2), "before"))
	deaf, said := s.node(3), map[crypto.Digest]bool{}
	s.network.lost = func(from, to *node, m *message.Signed) bool {
		kind := m.Body.Kind()
		if m.Author == 3 && kind == message.KindViewChange && m.Body.(*message.ViewChange).View == 1 {
			said[m.Digest()] = true
		}
		return from == s.node(1) || to == s.node(1) || to == deaf && kind == message.KindNewView
	}
	for range 3 {
		var all []*transaction
		for range 20 {
			all = append(all, s.put(s.node(2), "v"))
			s.pass(20 * milli)
		}
		s.answered(all...)
		s.until("the deaf member follows by blocks", healTime, func() bool {
			r := deaf.host.Replica()
			return r.View() == 1 && r.Head().Seq == s.audit.last()
		})
		s.cutPower(deaf)
		s.boot(deaf)
		s.pass(2 * second)
	}
	if deaf.host.Replica().Stable().Header.Seq == 0 || len(said) != 1 {
		t.Errorf("after a stable checkpoint at slot %d it has said %d different ViewChanges", deaf.host.Replica().Stable().Header.Seq, len(said))
	}
	s.network.lost = nil
	s.converges()
}

// A request that the new view settles is in the new leader's pool as well. It is not proposed twice, nobody takes that for a
// fault, and it is executed once: the leader dies after each event in turn, and nobody hears that anything was prepared.
//
// case N12. A leader that proposes before it has looked at what is settled turns it red.
func TestASettledRequestIsNotProposedAgain(t *testing.T) {
	settled := 0
	for events := 0; events < 150; events += 3 {
		s := newScript(t, 4)
		s.network.lost = func(_, _ *node, m *message.Signed) bool { // so that nothing is decided in view 0, whatever is prepared
			c, ok := m.Body.(*message.Commit)
			return ok && c.View == 0
		}
		tx := s.put(s.node(2), "v")
		for range events {
			s.turn()
			s.keeps()
		}
		s.cutPower(s.node(1))
		s.insist(tx)
		s.answered(tx)
		s.pass(5 * second)
		if s.view > 1 || s.counts.OrderedTwice > 0 || s.audit.twice > 0 {
			t.Errorf("leader gone after %d events: view %d, %d ordered twice", events, s.view, s.audit.twice)
		}
		b, _, err := s.node(2).host.Blocks().Block(1)
		if err != nil {
			t.Fatal(err)
		}
		if _, prepared := s.audit.of(2).words.said[promise{s.epoch.ID, message.KindCommit, 0, 1}]; prepared && b.View == 1 {
			settled++
		}
		s.boot(s.node(1))
		s.converges()
	}
	if settled == 0 {
		t.Error("nothing was ever settled")
	}
}

// A backup whose links flap holds up nobody and has nobody replaced, and votes again soon after each time.
//
// case N14. A view change that one member alone can bring about turns it red.
func TestAFlappingBackupHasNobodyReplaced(t *testing.T) {
	s := newScript(t, 4, func(w *World) {
		w.auditEvery *= int(hour(t) / (60 * second)) // disks grow with the time, and are read whole
		for _, n := range w.nodes {
			n.diskStalls = 0 // two in a row at one of three are a timeout, and that is another story
		}
	})
	flapping, down := s.node(4), false
	s.network.lost = func(from, to *node, _ *message.Signed) bool { return down && (from == flapping || to == flapping) }
	var flap func()
	flap = func() {
		down = !down
		s.after(s.ofFaults.between(100*milli, 1500*milli), nil, faults, 4, flap)
	}
	flap()
	s.load(hour(t), 100*milli, func() *node { return s.node(1 + s.ofFaults.IntN(4)) })
	s.network.lost = nil
	s.noViewChange()
	s.askAgain()
	s.converges()
}

// Clients that ask for half as much again as the network can do, all the time, of honest members: no leader is replaced.
//
// case N15. A timeout that does not follow the load, or a measure of slowness that takes a full pool for a slow leader, turns
// it red.
func TestOverloadHasNobodyReplaced(t *testing.T) {
	s := newScript(t, 4, withParameters(func(p *epoch.Parameters) {
		p.Window, p.Checkpoint, p.Pipeline, p.Burst, p.BatchRequests = 32, 8, 2, 4, 4
	}), func(w *World) {
		w.auditEvery *= int(hour(t) / (60 * second))
		for _, n := range w.nodes {
			n.machineTime, n.diskTime = 50*milli, 2*milli // 20 batches of 4 a second, at most
		}
	})
	s.load(hour(t), second/120, func() *node { return s.node(1 + s.ofFaults.IntN(4)) })
	waiting := 0
	for _, c := range s.clients {
		waiting += len(c.open)
	}
	if waiting < 500 {
		t.Errorf("%d requests wait: that was no overload", waiting)
	}
	s.noViewChange()
}

// Two of four machines execute twenty times slower than slots are ordered: that is no fault of the leader's.
//
// case N16. A clock that runs while the own machine, or the window, is what holds things up turns it red.
func TestSlowMachinesHaveNobodyReplaced(t *testing.T) {
	s := newScript(t, 4, func(w *World) {
		for i, n := range w.nodes {
			n.machineTime, n.diskTime, n.diskStalls = 2*milli, milli, 0 // two in a row are a timeout, with a member away that is behind
			if i >= 2 {
				n.machineTime = 100 * milli
			}
		}
	})
	s.load(60*second, 10*milli, func() *node { return s.node(1 + s.ofFaults.IntN(4)) })
	s.noViewChange()
	s.askAgain()
	s.until("all is executed", 600*second, func() bool { return s.unsettled() == nil })
}

// A leader that never hears of what one client asks for, and orders everything else, is replaced although it is busy.
//
// case A5 A6 A7. Suspecting a leader only when nothing at all is delivered turns it red.
func TestAnUnfairLeaderIsReplaced(t *testing.T) {
	s := newScript(t, 4, withParameters(func(p *epoch.Parameters) { *p = epoch.DefaultParameters() }))
	victim := s.clients[0].key.Public()
	s.network.lost = func(_, to *node, m *message.Signed) bool {
		b, ok := m.Body.(*message.Bundle)
		return ok && to == s.node(1) && slices.ContainsFunc(b.Requests, func(q *message.Request) bool { return q.Sender == victim })
	}
	tx := s.put(s.node(2), "unheard")
	s.load(15*second, 20*milli, func() *node { return s.node(2) })
	if !tx.answered || s.view != 1 {
		t.Errorf("answered %v, in view %d, after %d batches", tx.answered, s.view, s.audit.last())
	}
	s.askAgain()
	s.converges()
}

// Power fails everywhere while slots are accepted, by all or by one alone; the leader never comes back, and no client asks again. What
// somebody has accepted is delivered all the same.
//
// case N17. A member that keeps to itself what it has accepted turns it red.
func TestWhatWasAcceptedIsDeliveredThoughNobodyAsks(t *testing.T) {
	for events := 1; ; events += 2 {
		s := newScript(t, 4)
		tx := s.put(s.node(2), "v")
		for range events {
			s.turn()
			s.keeps()
		}
		over := tx.answered
		s.cutPower(s.nodes...)
		accepted := false
		for _, n := range s.nodes[1:] {
			m, _, err := readMemory(n.disk.Clone(), n.options)
			if err != nil {
				t.Fatal(err)
			}
			accepted = accepted || len(m.facts) > 0
		}
		s.boot(s.nodes[1:]...)
		if accepted {
			s.until("what was accepted is delivered", healTime, func() bool { return s.audit.last() >= 1 })
		}
		s.boot(s.node(1))
		s.insist(tx)
		s.converges()
		if over {
			return
		}
	}
}

// A member is proven to lie: whoever learns of it leaves a view that it leads at once, without waiting for a timeout or for others'
// suspicion, and passes over those that it would lead.
//
// case B1. Leaving only after a timeout turns it red.
func TestWhoeverIsProvenToLieLeadsNoMore(t *testing.T) {
	s := newScript(t, 4)
	s.answered(s.put(s.node(2), "before"))
	s.audit.of(1).lies = true
	vote := func(d byte) *message.Signed {
		return message.Sign(s.scheme, s.node(1).key, s.epoch, 1, &message.Commit{Vote: message.Vote{Seq: s.audit.last() + 1, Digest: crypto.Digest{d}}})
	}
	begun := s.now
	for _, d := range []byte{1, 2} {
		s.network.deliver(s.node(3), s.network.link(s.node(1), s.node(3)), &flight{message: vote(d)}, milli)
	}
	s.until("all have left", 300*milli, func() bool {
		for _, n := range s.nodes {
			if n.host.Replica().View() != 1 {
				return false
			}
		}
		return true
	})
	t.Logf("left %s after the second word", clock(s.now-begun))
	s.answered(s.put(s.node(3), "after"))
	s.network.lost = func(_, _ *node, m *message.Signed) bool { // no leader of views 1 to 3 gets anything done; view 4 would be the liar's
		b, ok := m.Body.(*message.PrePrepare)
		return ok && b.View < 4
	}
	later := s.put(s.node(3), "later")
	s.answered(later)
	if s.view != 5 {
		t.Errorf("done in view %d, want 5", s.view)
	}
	s.network.lost = nil
	s.converges()
}
