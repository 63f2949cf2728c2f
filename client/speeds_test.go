package client

import (
	"testing"
	"time"
)

// A node that is much slower than another is asked first no more; one that is a little slower is, and so is one of which little is
// known.
//
// case A4; a client that stays with whoever answers turns it red.
func TestAMuchFasterNodeIsPreferred(t *testing.T) {
	var s speeds
	const nodes, preferred, other = 4, 0, 2
	for range 100 {
		if s.took(nodes, preferred, preferred, 30*time.Millisecond) || s.took(nodes, other, preferred, 20*time.Millisecond) {
			t.Fatal("one that is a little slower is given up")
		}
	}
	turn := -1
	for i := range 100 {
		if s.took(nodes, preferred, preferred, 400*time.Millisecond) || s.took(nodes, other, preferred, 20*time.Millisecond) {
			turn = i
			break
		}
	}
	if turn < 0 || turn > 3*latencySmoothing {
		t.Errorf("given up after %d slow answers", turn)
	}
	if s.explores(other) {
		t.Error("explores before anything is known of the new one")
	}
	for range tellingSamples - 1 {
		s.took(nodes, other, other, 400*time.Millisecond)
		if s.took(nodes, preferred, other, time.Millisecond) {
			t.Error("given up after a few answers")
		}
	}
	s.took(nodes, other, other, 400*time.Millisecond)
	explored := 0
	for range 16_000 {
		if s.explores(other) {
			explored++
		}
	}
	if explored < 700 || explored > 1300 {
		t.Errorf("of 16,000 transactions %d go elsewhere first, want about 1,000", explored)
	}
}
