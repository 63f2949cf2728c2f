package sim

import (
	"fmt"
	"testing"

	"github.com/quorate/quorate/bft/message"
)

// links says which links are dead, from now on.
func (s *script) links(dead func(from, to int) bool) {
	s.network.lost = func(from, to *node, _ *message.Signed) bool { return dead(from.id, to.id) }
}

// goesOn has a transaction answered that some member of these takes in.
func (s *script) goesOn(what string, within int64, members ...int) {
	s.t.Helper()
	tx := s.put(s.node(members[s.ofFaults.IntN(len(members))]), "v")
	var ask func()
	ask = func() { // its client asks these members alone
		if !tx.answered {
			s.arrive(tx, s.node(members[s.ofFaults.IntN(len(members))]))
			s.after(second, nil, clientActs, 0, ask)
		}
	}
	ask()
	s.until(what, within, func() bool { return tx.answered })
}

// Splits without a quorum on either side commit nothing, and one with a quorum goes on; healed, all do. // case H1
// Red if Q−1 members are enough.
func TestOnlyASideWithAQuorumGoesOn(t *testing.T) {
	for _, split := range []struct {
		n    int
		side []int // the others are a side too
		live []int // of these who go on
	}{
		{4, []int{1, 2}, nil}, {4, []int{1, 3}, nil}, {4, []int{1}, []int{2, 3, 4}}, {4, []int{4}, []int{1, 2, 3}},
		{7, []int{1, 2, 3}, nil}, {7, []int{1, 2}, []int{3, 4, 5, 6, 7}}, {7, []int{6, 7}, []int{1, 2, 3, 4, 5}},
	} {
		t.Run(fmt.Sprintf("%d of %d", len(split.side), split.n), func(t *testing.T) {
			s := newScript(t, split.n)
			s.answered(s.put(s.node(2), "before"))
			is := make(map[int]bool)
			for _, id := range split.side {
				is[id] = true
			}
			s.links(func(from, to int) bool { return is[from] != is[to] })
			last := s.audit.last()
			if split.live != nil {
				s.goesOn("the side with a quorum goes on", 10*second, split.live...)
				s.pass(50 * second)
			} else {
				s.put(s.node(1), "v")
				s.put(s.node(split.n), "w")
				s.pass(60 * second)
				if s.audit.last() != last {
					t.Errorf("slot %d is decided by no quorum", s.audit.last())
				}
			}
			s.network.lost = nil
			s.goesOn("all go on", healTime, 1, 2, 3, 4)
			s.askAgain()
			s.converges()
		})
	}
}

// A leader that is not heard, or does not hear, by one or by all, is led around; a pair that is cut, a ring, a star and a chain go on
// too, and nobody changes views for ever.
//
// case H2 H3. Messages that only their author passes on, or a timer that runs without a quorum, turn it red.
func TestNetworksOfEveryShapeGoOn(t *testing.T) {
	for _, shape := range []struct {
		name string
		dead func(from, to int) bool
		all  bool // everything that anybody takes in is to be answered there
	}{
		{"the leader is not heard", func(from, _ int) bool { return from == 1 }, false},
		{"the leader does not hear", func(_, to int) bool { return to == 1 }, false},
		{"a backup is not heard", func(from, _ int) bool { return from == 4 }, false},
		{"one link is dead, one way", func(from, to int) bool { return from == 1 && to == 2 }, true},
		{"one pair is cut", func(from, to int) bool { return from+to == 3 }, true},
		{"another pair is cut", func(from, to int) bool { return from+to == 7 }, true},
	} {
		t.Run(shape.name, func(t *testing.T) {
			s := newScript(t, 4)
			s.answered(s.put(s.node(2), "before"))
			s.links(shape.dead)
			members := []int{2, 3}
			if shape.all {
				members = []int{1, 2, 3, 4}
			}
			for range 10 {
				s.goesOn("what members hear is answered", 10*second, members...)
			}
			before := s.view
			s.load(60*second, 250*milli, func() *node { return s.node(members[s.ofFaults.IntN(len(members))]) })
			if changes := s.view - before; changes > 2 {
				t.Errorf("%d view changes in a minute", changes)
			}
			s.network.lost = nil
			s.askAgain()
			s.converges()
		})
	}
	for _, shape := range []struct {
		name string
		dead func(from, to int) bool
	}{
		{"a star", func(from, to int) bool { return from != 2 && to != 2 }},
		{"a ring", func(from, to int) bool { return (from-to+4)%2 == 0 }},
		{"a chain", func(from, to int) bool { return from-to != 1 && to-from != 1 }},
	} {
		t.Run(shape.name, func(t *testing.T) { // in which no member hears a quorum, or only some do: nothing is promised but that it heals
			s := newScript(t, 4)
			s.answered(s.put(s.node(2), "before"))
			s.links(shape.dead)
			s.put(s.node(3), "v")
			s.pass(60 * second)
			s.network.lost = nil
			s.goesOn("all go on", healTime, 1, 2, 3, 4)
			s.askAgain()
			s.converges()
		})
	}
}

// Every five seconds another member is cut off, the leader too when it is its turn: the others go on each time.
//
// case H6. A timeout that grows with each view change, whatever was delivered, turns it red.
func TestAWanderingPartitionStopsNobody(t *testing.T) {
	s := newScript(t, 4)
	for round := range 24 {
		away := 1 + round%4
		s.links(func(from, to int) bool { return from == away || to == away })
		until := s.now + 5*second
		var others []int
		for id := 1; id <= 4; id++ {
			if id != away {
				others = append(others, id)
			}
		}
		s.goesOn(fmt.Sprintf("node%d is away", away), 3*second, others...)
		s.pass(until - s.now)
	}
	s.network.lost = nil
	s.askAgain()
	s.converges()
}

// The first leader's links, or all links, are up for a second and down for a second, for two minutes: in every ten seconds something is
// decided, and views change no more often than links do.
//
// case H5. A timeout that grows although something was delivered, or a view change that does not end within a second, turns it red.
func TestFlappingLinksStopNobody(t *testing.T) {
	for _, all := range []bool{false, true} {
		t.Run(map[bool]string{false: "the first leader's", true: "all"}[all], func(t *testing.T) {
			s := newScript(t, 4)
			leader := s.node(1)
			s.network.lost = func(from, to *node, _ *message.Signed) bool {
				return s.now/second%2 == 1 && (all || from == leader || to == leader)
			}
			const seconds = 120
			least := s.audit.last()
			for range seconds / 10 {
				s.load(10*second, 50*milli, func() *node { return s.node(1 + s.ofFaults.IntN(4)) })
				if now := s.audit.last(); now == least {
					t.Errorf("nothing was decided in the ten seconds before %s", clock(s.now))
				} else {
					least = now
				}
			}
			if s.counts.ViewChanges > seconds/2 {
				t.Errorf("%d view changes in %d seconds", s.counts.ViewChanges, seconds)
			}
			t.Logf("%d slots, %d view changes", s.audit.last(), s.counts.ViewChanges)
			s.network.lost = nil
			s.askAgain()
			s.converges()
		})
	}
}

// Far apart, over a network that loses a fifth: slow, and no reason to replace anybody.
//
// case G7. A timeout that does not follow what commits take turns it red.
func TestABadNetworkHasAStableLeader(t *testing.T) {
	s := newScript(t, 4)
	for i := range s.network.links {
		s.network.links[i].delay = 150 * milli
	}
	s.network.weather = weather{lost: 200, jitter: 100 * milli}
	someNode := func() *node { return s.node(1 + s.ofFaults.IntN(4)) }
	s.load(30*second, 500*milli, someNode) // to find out how slow it is
	before := s.counts.ViewChanges
	const minutes = 5
	s.load(minutes*60*second, 500*milli, someNode)
	if changes := s.counts.ViewChanges - before; changes > 0 {
		t.Errorf("%d view changes in %d minutes, after %d in the first half", changes, minutes, before)
	}
	t.Logf("%d view changes in the first half minute", before)
	s.network.mend()
	s.askAgain()
	s.converges()
}
