package epoch

import (
	"fmt"
	"math/bits"
	"testing"
)

// Any two quorums of an epoch share a correct member, whatever f members are faulty, and the correct ones alone are a
// quorum.
//
// case K2; 2f+1 in Quorum, or rounding (n+f+1)/2 down, turns it red at n = 6.
func TestQuorumsShareACorrectMember(t *testing.T) {
	for n := 1; n <= MaxMembers; n++ {
		for _, mode := range []Mode{Byzantine, Crash} {
			f, q, w := Faulty(mode, n), Quorum(mode, n), Witnesses(mode, n)
			lies := f // of those that two quorums share, so many may have told each something else
			if mode == Crash {
				lies = 0
			}
			if shared := 2*q - n; shared < lies+1 {
				t.Errorf("%s n=%d: two quorums of %d may share only %d members, %d of which may lie", mode, n, q, shared, lies)
			}
			if n-f < q {
				t.Errorf("%s n=%d: %d correct members are no quorum of %d", mode, n, n-f, q)
			}
			if shared := 2*(q-1) - n; shared >= lies+1 {
				t.Errorf("%s n=%d: %d would do for a quorum, not %d", mode, n, q-1, q)
			}
			if w != lies+1 {
				t.Errorf("%s n=%d: %d witnesses, want one more than %d who may lie", mode, n, w, lies)
			}
			if q-lies < w {
				t.Errorf("%s n=%d: a quorum of %d may hold fewer than %d correct members", mode, n, q, w)
			}
		}
	}
}

// The same without arithmetic: every pair of quorums, every set of faulty members.
func TestQuorumsShareACorrectMemberBySubsets(t *testing.T) {
	for n := 1; n <= 13; n++ {
		quorums, faulty := subsets(n, Quorum(Byzantine, n)), subsets(n, Faulty(Byzantine, n))
		for i, a := range quorums {
			for _, b := range quorums[i:] {
				for _, liars := range faulty {
					if a&b&^liars == 0 {
						t.Fatalf("n=%d: quorums %b and %b share only liars %b", n, a, b, liars)
					}
				}
			}
		}
		for _, group := range subsets(n, Witnesses(Byzantine, n)) {
			for _, liars := range faulty {
				if group&^liars == 0 {
					t.Fatalf("n=%d: witnesses %b are all liars", n, group)
				}
			}
		}
		all := uint16(1<<n - 1)
		for _, liars := range faulty {
			if correct := all &^ liars; bits.OnesCount16(correct) < Quorum(Byzantine, n) {
				t.Fatalf("n=%d: the correct members %b are no quorum", n, correct)
			}
		}
		majorities := subsets(n, Quorum(Crash, n))
		for i, a := range majorities {
			for _, b := range majorities[i:] {
				if a&b == 0 {
					t.Fatalf("n=%d: majorities %b and %b do not meet", n, a, b)
				}
			}
		}
	}
}

// Of six members two groups of 2f+1 = 3 need not meet: the formula of the paper holds for n = 3f+1 only.
//
// case K2; it is red if Quorum says 2f+1, for then the disjoint groups are quorums.
func TestTwoFPlusOneIsNoQuorumOfSix(t *testing.T) {
	const n = 6
	size := 2*Faulty(Byzantine, n) + 1
	disjoint := 0
	for _, a := range subsets(n, size) {
		for _, b := range subsets(n, size) {
			if a&b == 0 {
				disjoint++
			}
		}
	}
	if disjoint == 0 {
		t.Fatal("groups of 2f+1 always meet; this test shows nothing")
	}
	for _, c := range []struct{ n, f, quorum int }{
		{4, 1, 3}, {5, 1, 4}, {6, 1, 4}, {7, 2, 5}, {8, 2, 6}, {9, 2, 6}, {10, 3, 7},
	} {
		if f, q := Faulty(Byzantine, c.n), Quorum(Byzantine, c.n); f != c.f || q != c.quorum {
			t.Errorf("n=%d: f=%d, quorum %d; want %d, %d", c.n, f, q, c.f, c.quorum)
		}
	}
}

// A quorum of six and one of the seven that they become need not share a correct member, so votes of two epochs must
// never be counted together; the hand-over has a quorum of each (design §6).
func TestQuorumsOfTwoEpochsNeedNotOverlap(t *testing.T) {
	before, after := subsets(6, Quorum(Byzantine, 6)), subsets(7, Quorum(Byzantine, 7))
	least := 7
	for _, a := range before {
		for _, b := range after {
			least = min(least, bits.OnesCount16(a&b))
		}
	}
	if least > Faulty(Byzantine, 7) {
		t.Fatalf("every two quorums share %d members, %d may lie: the hand-over would need one quorum only",
			least, Faulty(Byzantine, 7))
	}
}

func subsets(n, size int) []uint16 {
	var all []uint16
	for s := range 1 << n {
		if bits.OnesCount16(uint16(s)) == size {
			all = append(all, uint16(s))
		}
	}
	return all
}

func ExampleQuorum() {
	for _, n := range []int{4, 6, 7} {
		fmt.Println(n, Quorum(Byzantine, n), Quorum(Crash, n))
	}
	// Output:
	// 4 3 3
	// 6 4 4
	// 7 5 4
}
