package pbft

import "testing"

// A leader under which a third gets done of what was usual is slow after five seconds, and not before; without a backlog nobody is. When
// all have become slow, it takes one view change to know that, and one slow leader among many is no measure.
//
// case A4 N15. A measure that is one leader's alone turns it red, and so does one that knows no backlog.
func TestASlowLeaderIsSuspected(t *testing.T) {
	const usual = 1 << 20
	var c pace
	// pass lets seconds go by, in each of which so much is done, and says how many passed before the leader was slow; -1: it was not.
	pass := func(seconds int, work uint64, backlog bool) int {
		for s := range seconds {
			c.seconds[paceSeconds-1].work += work
			for range ticksOfPace {
				c.tick(backlog)
			}
			if c.slow {
				return s + 1
			}
		}
		return -1
	}
	if s := pass(60, usual, false); s >= 0 {
		t.Errorf("slow after %d s of doing the same", s)
	}
	if s := pass(60, usual/3, false); s >= 0 {
		t.Errorf("slow after %d s in which nobody asked for more", s)
	}
	if s := pass(10, usual, true); s >= 0 {
		t.Errorf("slow after %d s of doing the same again", s)
	}
	little := pace{usual: minUsual / 10, known: paceSeconds}
	if little.judge(); little.slow {
		t.Error("slow, of a network in which hardly anything is asked for")
	}
	if s := pass(10, usual/3, true); s < 0 || s > 5 {
		t.Errorf("a third of before: slow after %d s, want at most 5", s)
	}
	if s := pass(10, usual/3, true); s != 1 {
		t.Errorf("no longer slow after %d s of the same", s)
	}
	for range 5 {
		pass(1, usual, true)
	}
	if c.slow {
		t.Error("slow, and does what is usual")
	}

	c = pace{leaders: []uint64{5 * usual, 5 * usual, 5 * usual}}
	if s := pass(20, usual/3, true); s != 5 {
		t.Errorf("a third of what three leaders did: slow after %d s, want 5", s)
	}
	c = pace{leaders: []uint64{usual, 5 * usual, 5 * usual}} // one of four was bad
	if s := pass(20, usual/3, true); s != 5 {
		t.Errorf("slow after %d s, want 5: one slow leader is no measure", s)
	}
	c = pace{leaders: []uint64{5 * usual}} // of the network as it was
	changes := 0
	for range 5 {
		if pass(20, usual/3, true) >= 0 {
			changes++
		}
		c.over(4)
	}
	if changes > 1 {
		t.Errorf("%d view changes since all are slow", changes)
	}
	for range 10 {
		pass(5, usual, true)
		c.over(4)
	}
	if len(c.leaders) != 4 {
		t.Errorf("%d leaders are remembered, want 4", len(c.leaders))
	}
}
