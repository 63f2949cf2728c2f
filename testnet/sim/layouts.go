package sim

import (
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
)

// The layouts of twins: four members, one of which has a second host, and in each of the first three views two groups of hosts that
// do not hear of each other. All of them are few enough to be tried, so none is left to chance, and none is left out because it
// looks like another one: the leaders of the views are different members.

const (
	layoutMembers = 4
	layoutViews   = 3
	layoutSides   = 1 << layoutMembers // ways to part five hosts in two groups, one of which may be empty

	// Layouts is how many there are.
	Layouts = layoutMembers * layoutSides * layoutSides * layoutSides

	// layoutTime is when a layout ends and all are connected.
	layoutTime = 5 * second
	// layoutView is how long the leader of a view gets something done, if its layout lets it: of three views that go on for ever only
	// the first would be tried. What then waits has it replaced within half of that.
	layoutView = layoutTime / 4
)

type layout struct {
	member epoch.ReplicaID    // who has a twin
	sides  [layoutViews]uint8 // by view: bit i says that host i+2 is not in the group of host 1
}

// layoutOf is one by its number, which is below Layouts.
func layoutOf(number uint64) *layout {
	l := &layout{member: epoch.ReplicaID(1 + number%layoutMembers)}
	number /= layoutMembers
	for v := range l.sides {
		l.sides[v] = uint8(number % layoutSides)
		number /= layoutSides
	}
	return l
}

// apart says whether a host that is in a view is not heard by another. Which of its messages the view is named in does not
// matter: by those that have none it would tell of what it has seen in the view.
func (l *layout) apart(view epoch.View, from, to int) bool {
	if view >= layoutViews {
		return false
	}
	second := func(host int) bool { return host > 1 && l.sides[view]>>(host-2)&1 == 1 }
	return second(from) != second(to)
}

// planLayout has the hosts apart for a while, and clients busy.
func (w *World) planLayout() {
	w.plan.core, w.plan.quiet = false, false
	w.network.lost = func(from, to *node, m *message.Signed) bool {
		if b, ok := m.Body.(*message.PrePrepare); ok && b.View < layoutViews && w.now > int64(b.View+1)*layoutView {
			return true
		}
		return w.layout.apart(from.host.Replica().View(), from.id, to.id)
	}
	for _, c := range w.clients {
		c.pause /= 5
	}
	w.tell(nil, "member %d has a twin, host %d; by view, not in the group of host 1: %04b", w.layout.member, layoutMembers+1, w.layout.sides)
	w.after(layoutTime, nil, faults, 0, w.heal)
}

// untestedLayouts says what layouts promise and did not do.
func (t *Totals) untestedLayouts() (missing []string) {
	for _, k := range []Kind{
		{Name: "commits", N: t.Counts.Commits}, {Name: "view changes", N: t.Counts.ViewChanges}, {Name: "pieces of evidence", N: t.Counts.Evidence},
		{Name: "messages cut off", N: t.Counts.CutOff},
	} {
		if k.N == 0 {
			missing = append(missing, "no "+k.Name)
		}
	}
	return missing
}
