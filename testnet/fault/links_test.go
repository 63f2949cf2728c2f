package fault

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/store"
)

// arrivals is what a node has taken, and when.
type arrivals struct {
	t      *testing.T
	faults *Faults
	direct func([]byte, epoch.ReplicaID)
	gossip func([]byte, epoch.ReplicaID) bool
	begun  time.Time

	mu    sync.Mutex
	heard []string
	at    []time.Duration
}

func newArrivals(t *testing.T) *arrivals {
	a := &arrivals{t: t, faults: New(1, crypto.NewPrivateKey([32]byte{1}), store.NewMemory()), begun: time.Now()}
	take := func(frame []byte, from epoch.ReplicaID) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.heard = append(a.heard, fmt.Sprintf("%d:%.8s", from, frame))
		a.at = append(a.at, time.Since(a.begun))
	}
	a.direct = a.faults.Direct(take)
	a.gossip = a.faults.Gossip(func(frame []byte, from epoch.ReplicaID) bool {
		take(frame, from)
		return true
	})
	t.Cleanup(a.faults.Close)
	return a
}

func (a *arrivals) link(from epoch.ReplicaID, l Link) {
	a.t.Helper()
	if err := a.faults.SetLink(from, l, 7); err != nil {
		a.t.Fatal(err)
	}
}

func (a *arrivals) want(heard ...string) {
	a.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	if !slices.Equal(a.heard, heard) {
		a.t.Errorf("heard %v, want %v", a.heard, heard)
	}
}

func (a *arrivals) counts(from epoch.ReplicaID) LinkCounts {
	for _, c := range a.faults.Counts().Links {
		if c.From == from {
			return c
		}
	}
	return LinkCounts{}
}

func TestACutStopsOneNeighbourUntilItIsHealed(t *testing.T) {
	a := newArrivals(t)
	a.link(2, Link{Cut: true})
	a.direct([]byte("a"), 2)
	a.direct([]byte("b"), 3)
	if a.gossip([]byte("c"), 2) {
		t.Error("what a cut has stopped is passed on")
	}
	if !a.gossip([]byte("d"), 3) {
		t.Error("what has come is not passed on")
	}
	a.link(2, Link{})
	a.direct([]byte("e"), 2)
	a.want("3:b", "3:d", "2:e")
	if c := a.counts(2); c != (LinkCounts{From: 2, Stopped: 2}) {
		t.Errorf("%+v", c)
	}
	if c := a.counts(3); c != (LinkCounts{}) {
		t.Errorf("of a whole link %+v", c)
	}
}

func TestDelayAndJitterKeepOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArrivals(t)
		a.link(2, Link{Delay: time.Second, Jitter: 500 * time.Millisecond})
		var want []string
		for i := range 20 {
			a.direct([]byte(fmt.Sprint(i)), 2)
			want = append(want, fmt.Sprintf("2:%d", i))
		}
		if !a.gossip([]byte("g"), 3) {
			t.Error("another neighbour waits")
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		a.want(append([]string{"3:g"}, want...)...)
		for _, at := range a.at[1:] {
			if at < time.Second || at > 1500*time.Millisecond {
				t.Errorf("arrived after %v", at)
			}
		}
		if c := a.counts(2); c != (LinkCounts{From: 2, Delayed: 20, Jittered: 20}) {
			t.Errorf("%+v", c)
		}
	})
}

// What is under way when a link is healed is there at once, before what comes then; what is under way when it is cut is gone.
func TestAnotherLinkIsOneForWhatIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArrivals(t)
		a.link(2, Link{Delay: time.Hour})
		a.direct([]byte("a"), 2)
		if !a.gossip([]byte("g"), 2) {
			t.Error("what is under way is not passed on")
		}
		a.link(2, Link{})
		synctest.Wait()
		a.direct([]byte("b"), 2)
		if len(a.heard) != 3 || a.heard[2] != "2:b" || a.at[2] != 0 {
			t.Errorf("heard %v at %v", a.heard, a.at)
		}
		a.link(2, Link{Delay: time.Hour})
		a.direct([]byte("c"), 2)
		a.link(2, Link{Cut: true})
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if len(a.heard) != 3 || a.counts(2).Stopped != 1 {
			t.Errorf("heard %v, %+v", a.heard, a.counts(2))
		}
	})
}

func TestSharesOfMessagesAreLostAndComeTwice(t *testing.T) {
	run := func() ([]string, LinkCounts) {
		a := newArrivals(t)
		a.link(2, Link{Lost: 0.3, Twice: 0.2})
		for i := range 1000 {
			a.direct([]byte(fmt.Sprint(i)), 2)
		}
		return a.heard, a.counts(2)
	}
	heard, c := run()
	if c.Lost < 200 || c.Lost > 400 || c.Twice < 80 || c.Twice > 220 {
		t.Errorf("of 1000: %+v", c)
	}
	if len(heard) != 1000-int(c.Lost)+int(c.Twice) {
		t.Errorf("heard %d, and counts %+v", len(heard), c)
	}
	if again, _ := run(); !slices.Equal(heard, again) {
		t.Error("one seed, and two runs")
	}
}

func TestMessagesAreOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArrivals(t)
		a.link(2, Link{Reordered: 0.2})
		var sent []string
		for i := range 200 {
			a.direct([]byte(fmt.Sprintf("%03d", i)), 2)
			sent = append(sent, fmt.Sprintf("2:%03d", i))
			time.Sleep(time.Millisecond)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		c := a.counts(2)
		if c.Reordered < 20 || c.Reordered > 70 {
			t.Errorf("of 200: %+v", c)
		}
		if slices.Equal(a.heard, sent) {
			t.Error("all came in order")
		}
		slices.Sort(a.heard)
		a.want(sent...)
	})
}

// A slow link takes its time for what comes, lane by lane in turns, and whoever brings more waits.
func TestBandwidthSlowsWhoeverSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArrivals(t)
		bulk := a.faults.Direct(func([]byte, epoch.ReplicaID) {})
		a.link(2, Link{Bandwidth: 1000})
		var both sync.WaitGroup
		both.Go(func() {
			for range 10 {
				bulk(make([]byte, 1000), 2)
			}
		})
		both.Go(func() {
			for range 5 {
				a.direct(make([]byte, 1000), 2)
			}
		})
		both.Wait()
		if took := time.Since(a.begun); took != 15*time.Second {
			t.Errorf("15 kB took %v", took)
		}
		if last := a.at[len(a.at)-1]; last > 11*time.Second {
			t.Errorf("votes waited for bulk until %v", last)
		}
		if c := a.counts(2); c.HeldUp != 15 {
			t.Errorf("%+v", c)
		}
	})
}

// What one link holds back is bounded: then its reader waits, and gossip is lost.
func TestWhatIsHeldBackIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArrivals(t)
		a.link(2, Link{Delay: time.Minute})
		sent := 0
		go func() {
			for range 12 {
				a.direct(make([]byte, 1<<20), 2)
				sent++
			}
		}()
		synctest.Wait()
		if sent != laneBytes>>20 {
			t.Errorf("%d MiB are held back", sent)
		}
		for range 9 {
			a.gossip(make([]byte, 1<<20), 2)
		}
		if c := a.counts(2); c.Lost != 1 {
			t.Errorf("of 9 MiB of gossip %d are lost", c.Lost)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if sent != 12 || len(a.heard) != 20 {
			t.Errorf("sent %d, heard %d", sent, len(a.heard))
		}
	})
}

func TestNobodyWaitsWhenAllIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newArrivals(t)
		a.link(2, Link{Delay: time.Hour})
		a.link(3, Link{Bandwidth: 1})
		var readers sync.WaitGroup
		for _, from := range []epoch.ReplicaID{2, 3} {
			readers.Go(func() {
				for range 10 {
					a.direct(make([]byte, 1<<20), from)
				}
			})
		}
		synctest.Wait()
		a.faults.Close()
		readers.Wait()
		if took := time.Since(a.begun); took != 0 {
			t.Errorf("waited %v", took)
		}
	})
}

func TestLinksThatMakeNoSenseAreRefused(t *testing.T) {
	a := newArrivals(t)
	for _, l := range []Link{{Lost: -0.1}, {Twice: 1.5}, {Reordered: 2}, {Delay: -1}, {Jitter: -1}, {Bandwidth: -1}} {
		if a.faults.SetLink(2, l, 0) == nil {
			t.Errorf("%+v is taken", l)
		}
	}
	for _, from := range []epoch.ReplicaID{0, epoch.MaxMembers + 1} {
		if a.faults.SetLink(from, Link{}, 0) == nil {
			t.Errorf("from %d is taken", from)
		}
	}
}
