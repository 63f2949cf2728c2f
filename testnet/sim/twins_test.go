package sim

import (
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
)

// One pair of twins breaks nothing, however the hosts are parted in the first three views: every so many of the layouts; all of
// them are tried by quorate sim --twins.
//
// case A12 B1; two pairs of four members do break it: see below.
func TestLayoutsOfTwins(t *testing.T) {
	totals := &Totals{}
	const stride = 131 // odd, so that all members and sides come up
	for number := uint64(0); number < Layouts; number += stride {
		totals.Add(Run(number, Options{Twins: true}), Options{Twins: true})
	}
	for _, v := range totals.Failures {
		t.Error(v)
	}
	for _, missing := range totals.Untested() {
		t.Error(missing)
	}
}

// Two of four members with twins, f+1, are more than the protocol bears, and the checkers see it: each half of the network has
// a quorum of keys.
func TestMoreTwinsThanFBreakAgreement(t *testing.T) {
	w := newWorld(1, Options{Nodes: 4, Honest: true, twins: []epoch.ReplicaID{1, 2}})
	w.healed = true // nothing else goes wrong
	half := map[int]bool{5: true, 6: true, 4: true}
	w.network.lost = func(from, to *node, _ *message.Signed) bool { return half[from.id] != half[to.id] }
	w.start()
	s := &script{t: t, World: w}
	s.until("the leaders have seen their clocks", second, func() bool { return w.now > 50*milli })
	s.put(w.nodes[0], "of one half")
	s.put(w.nodes[4], "of the other")
	for w.violation == nil && w.now < 5*second {
		w.turn()
	}
	if w.violation == nil || w.violation.Checker != "agreement" {
		t.Errorf("two halves have a quorum each, and the checkers say: %v", w.violation)
	}
}
