package bft

import (
	"slices"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
)

// What is said again, and how often.

// Links may bear less than what waits. What is told again must leave room for all else, and the more so the longer nothing moves: else what is said again
// keeps the network from ever moving.
//
// case N15; telling of a request again after the same pause each time turns it red: a backup is told 14 times what waits.
func TestWhatIsToldAgainLeavesRoom(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	told := make(map[epoch.ReplicaID]int)
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		if b, ok := m.Body.(*message.Bundle); ok && from == 2 {
			for _, q := range b.Requests {
				told[to] += q.Size()
			}
			return true // the leader never hears of it
		}
		return false
	}
	size := 0
	for _, q := range c.submit(2, 100) {
		size += q.Size()
	}
	c.tick(2000)
	if c.node(1).replica.View() != 0 {
		t.Fatal("another view has begun: its leader is told of all")
	}
	for to, bytes := range told {
		if bytes > 12*size {
			t.Errorf("in 20 s %d bytes wait, and member %d was told %d", size, to, bytes)
		}
	}
	if told[1] < 6*size {
		t.Errorf("in 20 s %d bytes wait, and the leader was told %d", size, told[1])
	}
}

// A peer that lacks a view is sent view changes again, which may be large, by one member after the other, and so that links bear something beside them.
//
// case N15; sending them again after the same pause each time turns it red: 60 times.
func TestViewChangesLeaveRoom(t *testing.T) {
	c := newCluster(t, 4, epoch.DefaultParameters())
	c.tick(1)
	c.load(60) // and no checkpoint: all of it is shown
	told, size := 0, 0
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		if m.Body.Kind() == message.KindViewChange {
			if size = max(size, m.EncodedSize()); to == 4 {
				told += m.EncodedSize()
			}
		}
		return to == 4 || m.Body.Kind() == message.KindPrePrepare && c.node(1).replica.View() == 0
	}
	c.submit(2, 1)
	c.tick(200)
	if c.node(1).replica.View() != 1 || c.node(4).replica.View() != 0 {
		t.Fatalf("views %d and %d, want 1 and 0", c.node(1).replica.View(), c.node(4).replica.View())
	}
	told = 0
	c.tick(2000)
	if sets := told / (3 * size); size < 20_000 || sets < 12 || sets > 45 {
		t.Errorf("in 20 s, view changes of %d bytes were sent %d times", size, sets)
	}
}

// A member that was cut off has its requests ordered as soon as it hears the leader again, and not when the next long pause is over: until then it
// would call itself not ready.
//
// case L1; keeping the pauses when the leader is heard again turns it red.
func TestAMemberThatWasCutOffTellsOfItsRequestsAtOnce(t *testing.T) {
	for _, cut := range []int{510, 1000, 1450, 2750, 4000} {
		c := newCluster(t, 4, small())
		c.tick(10)
		parted := true
		c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool { return parted && (from == 2 || to == 2) }
		c.submit(2, 1)
		c.tick(cut)
		parted = false
		healed := 0
		for waits := 1; waits > 0 && healed < 1000; healed++ {
			c.tick(1)
			waits, _ = c.node(2).replica.Pooled()
		}
		if healed > 110 { // an idle leader says every second that it is there
			t.Errorf("cut off for %d ticks: ordered %d ticks after that", cut, healed)
		}
	}
}

// Links that come and go at an even pace must not be down each time that a request is told of.
//
// case H5; pauses that are multiples of each other turn it red: some phases never get through.
func TestNoPaceOfALinkHidesARequest(t *testing.T) {
	for _, period := range []int{40, 80} {
		for phase := 0; phase < period; phase += 4 {
			c := newCluster(t, 4, small())
			c.tick(100)
			now := 0
			c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
				return (from == 2 || to == 2) && (now+phase)%period < period*3/4
			}
			step := func() {
				if now%10 == 0 {
					c.submit(1, 1)
				}
				c.tick(1)
				now++
			}
			for range 5 {
				step()
			}
			q := c.submit(2, 1)[0]
			ordered := false
			for i := 0; i < 12_000 && !ordered; i++ {
				step()
				for _, b := range c.node(1).blocks {
					ordered = ordered || slices.ContainsFunc(b.Batch.Requests, func(o *message.Request) bool { return o.ID() == q.ID() })
				}
			}
			if !ordered {
				t.Errorf("down for three quarters of every %d ticks, from phase %d: not ordered within 120 s", period, phase)
			}
		}
	}
}
