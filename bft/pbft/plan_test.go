package pbft

import (
	"math/bits"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
)

// shows is a ViewChange with a certificate of these views and digests for each of the slots above start; view -1: none.
func shows(author epoch.ReplicaID, start epoch.Seq, certificates ...[2]int) *message.Signed {
	v := &message.ViewChange{View: 9, Start: start}
	for i, c := range certificates {
		if c[0] >= 0 {
			vote := message.Vote{View: epoch.View(c[0]), Seq: start + 1 + epoch.Seq(i), Digest: crypto.Digest{byte(c[1])}}
			v.Prepared = append(v.Prepared, message.Certificate{Vote: vote, Votes: []*message.Signed{{Author: author}}})
		}
	}
	return &message.Signed{Author: author, Body: v}
}

// What was committed by a quorum is settled by any quorum's ViewChanges, whoever of the f faulty hides what it knows: all
// quorums, all committers and all liars of 4 to 7 members.
//
// case B2; a settle that looks at all but the last of them turns it red.
func TestACommittedBatchIsSettledByEveryQuorum(t *testing.T) {
	for n := 4; n <= 7; n++ {
		f, q := epoch.Faulty(epoch.Byzantine, n), epoch.Quorum(epoch.Byzantine, n)
		sets := func(size int) (all []uint) {
			for s := range uint(1) << n {
				if bits.OnesCount(s) == size {
					all = append(all, s)
				}
			}
			return all
		}
		tried := 0
		for _, committed := range sets(q) {
			for _, liars := range sets(f) {
				for _, asked := range sets(q) {
					var changes []*message.Signed
					for i := range n {
						if asked>>i&1 == 0 {
							continue
						}
						knows := [2]int{-1, 0}
						if committed>>i&1 == 1 && liars>>i&1 == 0 {
							knows = [2]int{3, 7}
						}
						changes = append(changes, shows(epoch.ReplicaID(i+1), 0, knows))
					}
					p := settle(changes)
					if d, ok := p.at(1); !ok || d != (crypto.Digest{7}) {
						t.Fatalf("n=%d: committed by %b, %b lie, %b are asked: settled %v, %v", n, committed, liars, asked, d, ok)
					}
					tried++
				}
			}
		}
		if tried == 0 {
			t.Errorf("n=%d: nothing was tried", n)
		}
	}
}

// Slots are settled one by one: by the certificate of the highest view, whichever member shows it and whatever it shows of
// other slots; by the null batch where there is none; and not at all up to the highest start.
//
// case B4 case B6; taking one member's whole set, or the first certificate, turns it red.
func TestEachSlotIsSettledByItsHighestView(t *testing.T) {
	p := settle([]*message.Signed{
		shows(1, 4, [2]int{1, 1}, [2]int{5, 2}, [2]int{-1, 0}, [2]int{-1, 0}, [2]int{1, 5}), // slots 5, 6, 9
		shows(2, 4, [2]int{2, 3}, [2]int{4, 9}),                                             // slots 5, 6
		shows(3, 5, [2]int{6, 8}, [2]int{0, 4}),                                             // slots 6, 7
	})
	want := map[epoch.Seq]crypto.Digest{6: {8}, 7: {4}, 8: nullDigest(), 9: {5}}
	for seq := epoch.Seq(1); seq < 12; seq++ {
		got, ok := p.at(seq)
		if w, settled := want[seq]; ok != settled || got != w {
			t.Errorf("slot %d: %s, settled %v; want %s", seq, got.Short(), ok, w.Short())
		}
	}
	if p.last() != 9 || p.start != 5 {
		t.Errorf("from %d to %d", p.start, p.last())
	}
	if p := settle([]*message.Signed{shows(1, 8), shows(2, 4, [2]int{1, 1})}); p.last() != 8 || len(p.slots) != 0 {
		t.Errorf("a start above all certificates settles %d slots, up to %d", len(p.slots), p.last())
	}
}

// The timeout doubles with each failure up to its bound, goes beyond only after every leader has failed once more, and is never below
// half a second, nor below what slots take.
//
// case B12 case G2; a bound that is not there, or failures that are not forgotten, turns it red.
func TestTheTimeoutIsBounded(t *testing.T) {
	for n, most := range map[int]int{4: 400, 7: 260, 10: 185} {
		e := &epoch.Epoch{Configuration: epoch.Configuration{Mode: epoch.Byzantine, Parameters: epoch.DefaultParameters(), Members: make([]epoch.Member, n)}}
		s := newSuspicion(n)
		last := 0
		for failures := range 3 * n {
			got := s.timeout(e)
			if got < last || got < minTimeout || failures <= n && got > most || got > 2*most {
				t.Errorf("n=%d: after %d failures %d ticks", n, failures, got)
			}
			last = got
			s.begin()
			s.entered = true
			s.failed(e)
		}
		s.begin()
		s.failed(e) // no quorum came to it
		if s.timeout(e) != last && s.failures > 2*n {
			t.Errorf("n=%d: a view that nobody came to counts as failed", n)
		}
		s = newSuspicion(n)
		s.commit = 8 * 20
		if got := s.timeout(e); got != 160 {
			t.Errorf("n=%d: %d ticks where slots take 20", n, got)
		}
	}
}
