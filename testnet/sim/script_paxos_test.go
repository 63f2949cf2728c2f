package sim

import (
	"fmt"
	"testing"

	"github.com/quorate/quorate/store"
)

// Whatever shape the links of five members leave, as long as somebody reaches a majority: what any member is asked for is answered (Ng, Haridi & Carbone, Omni-Paxos, EuroSys 2023, §2, has such shapes, and who livelocks in them).
//
// case H3 N20 I1. A leader that needs not hear a majority, or a member that unseats it although others hear it, turns it red.
func TestPaxosOnNetworksOfEveryShape(t *testing.T) {
	for _, shape := range []struct {
		name string
		dead func(from, to int) bool
	}{
		{"a star whose hub does not lead", func(from, to int) bool { return from != 3 && to != 3 }},
		{"a ring", func(from, to int) bool { d := (from - to + 5) % 5; return d != 1 && d != 4 }},
		{"a chain", func(from, to int) bool { return from-to != 1 && to-from != 1 }},
		{"the leader and one other do not hear each other", func(from, to int) bool { return from+to == 3 }},
		{"the leader is not heard by two", func(from, to int) bool { return from == 1 && to > 3 }},
		{"the leader does not hear two", func(from, to int) bool { return to == 1 && from > 3 }},
		{"the leader hears nobody", func(_, to int) bool { return to == 1 }},
		{"the leader is heard by nobody", func(from, _ int) bool { return from == 1 }},
		{"only the leader's links are left", func(from, to int) bool { return from != 1 && to != 1 }},
	} {
		t.Run(shape.name, func(t *testing.T) {
			s := newCrashScript(t, 5, func(w *World) {
				for _, n := range w.nodes {
					n.diskStalls = 0 // a third of a second at one of a bare majority is an election, whatever the shape
				}
			})
			s.answered(s.put(s.node(2), "before"))
			s.links(shape.dead)
			members := []int{2, 3, 4}
			for range 10 {
				s.goesOn("what members are asked for is answered", 10*second, members...)
			}
			before := s.counts.ViewChanges
			s.load(60*second, 250*milli, func() *node { return s.node(members[s.ofFaults.IntN(len(members))]) })
			if changes := s.counts.ViewChanges - before; changes > 2 {
				t.Errorf("%d leaders in a minute", changes)
			}
			s.network.lost = nil
			s.askAgain()
			s.converges()
		})
	}
}

// A follower is told that something is chosen, and answers its client, before the leader's clients hear of it; it is then read at the one that was
// away: it is not stale.
//
// case N5 I7. A get that is answered out of a member's own state turns it red.
func TestPaxosReadsAreNotStale(t *testing.T) {
	s := newCrashScript(t, 3)
	for i := range 6 {
		lagging := s.node(1 + i%3)
		s.links(func(from, to int) bool { return from == lagging.id || to == lagging.id })
		s.answered(s.put(s.node(1+(i+1)%3), fmt.Sprint("new", i)))
		s.network.lost = nil
		s.answered(s.get(lagging))
	}
	s.converges()
}

// A leader that is alone acknowledges nothing of what it goes on to accept; its client asks elsewhere, and all is executed once when it is back.
//
// case I8 I5. Acknowledging what only the leader has accepted turns it red.
func TestPaxosALeaderAloneAcknowledgesNothing(t *testing.T) {
	s := newCrashScript(t, 3)
	s.answered(s.put(s.node(1), "before"))
	s.links(func(from, to int) bool { return from == 1 || to == 1 })
	stuck := s.put(s.node(1), "stuck")
	s.pass(2 * second)
	if stuck.answered {
		t.Fatal("a leader alone has acknowledged something")
	}
	s.arrive(stuck, s.node(3)) // its client goes elsewhere
	s.until("the others answer it", 5*second, func() bool { return stuck.answered })
	s.network.lost = nil
	s.converges()
}

// A member that was wiped, and promised something the day before, is asked for a promise: it gives none, though without it there is no majority.
//
// case F2 I2 N4. An observer that promises turns it red.
func TestPaxosWhoHasForgottenPromisesNothing(t *testing.T) {
	s := newCrashScript(t, 3)
	s.answered(s.put(s.node(2), "before"))
	n := s.node(3)
	n.replaceDisk(store.NewMemory())
	s.until("it is up again", 30*second, n.up)
	if n.host == nil || !n.host.Replica().Observes() {
		t.Fatal("a wiped member does not observe")
	}
	s.pass(second)
	s.links(func(from, to int) bool { return from == 1 || to == 1 })
	tx := s.put(s.node(2), "alone with who has forgotten")
	s.pass(5 * second)
	if tx.answered {
		t.Fatal("two of three decide, one of whom has forgotten")
	}
	s.network.lost = nil
	s.insist(tx)
	s.answered(tx)
}
