package fault

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/quorate/quorate/bft/epoch"
)

// Faults of links come about where messages arrive, by the neighbour that brings them. So a cut does not end a connection, and the
// heartbeats of the network below go on: the two nodes go on calling each other connected.
//
// What is gossiped arrives once, from whichever neighbour is first: if that one's link is cut, the frame is not heard from another
// neighbour either. Nothing rests on a frame of the gossip that was told once.

// Link is how messages fare on the way from one member to this node. Durations are in ns.
type Link struct {
	Cut       bool          `json:"cut,omitempty"`
	Delay     time.Duration `json:"delay,omitempty"`
	Jitter    time.Duration `json:"jitter,omitempty"`    // at most, beside Delay; order is kept
	Lost      float64       `json:"lost,omitempty"`      // share, 0 to 1
	Twice     float64       `json:"twice,omitempty"`     // share
	Reordered float64       `json:"reordered,omitempty"` // share: held back longer, and those behind may overtake
	Bandwidth int64         `json:"bandwidth,omitempty"` // bytes a second; 0: any
}

func (l *Link) validate() error {
	for _, share := range []float64{l.Lost, l.Twice, l.Reordered} {
		if !(share >= 0 && share <= 1) {
			return fmt.Errorf("link: a share of %v, want 0 to 1", share)
		}
	}
	if l.Delay < 0 || l.Jitter < 0 || l.Bandwidth < 0 {
		return fmt.Errorf("link: delay %v, jitter %v, bandwidth %d: none may be negative", l.Delay, l.Jitter, l.Bandwidth)
	}
	return nil
}

const (
	// laneBytes is how much one lane holds back. When it is full whoever brings more waits, as behind a full buffer of the network.
	laneBytes = 8 << 20
	// overtaken is how long a message that others may overtake is held back, at most, beside its link's delay.
	overtaken = 50 * time.Millisecond
	// slack is how far the pipe may run ahead of its clock before anybody waits: less than that no timer measures well.
	slack = time.Millisecond
)

// link is what arrives from one member.
type link struct {
	closed chan struct{}

	mu     sync.Mutex
	is     Link
	chance *rand.Rand
	free   time.Time     // when the pipe has let through all that has come
	set    chan struct{} // closed when the link becomes another
	lanes  []*lane
	counts LinkCounts
}

func newLink(closed chan struct{}) *link {
	return &link{closed: closed, chance: rand.New(rand.NewPCG(0, 0)), set: make(chan struct{})}
}

// SetLink has messages of a member fare so from now on, those under way too: a cut takes them, and none is later than one that comes
// now. Chance is from the seed.
func (f *Faults) SetLink(from epoch.ReplicaID, l Link, seed uint64) error {
	if from < 1 || int(from) >= len(f.links) {
		return fmt.Errorf("link: from member %d, want 1 to %d", from, epoch.MaxMembers)
	}
	if err := l.validate(); err != nil {
		return err
	}
	f.links[from].become(l, rand.New(rand.NewPCG(seed, uint64(from))))
	return nil
}

func (k *link) become(l Link, chance *rand.Rand) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	k.is, k.chance, k.free = l, chance, now
	close(k.set)
	k.set = make(chan struct{})
	for _, lane := range k.lanes {
		if l.Cut {
			k.counts.Stopped += uint64(len(lane.waiting))
			lane.clear()
		}
		lane.hurry(now.Add(l.Delay + l.Jitter))
	}
}

func (k *link) count() LinkCounts {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.counts
}

func (k *link) happens(share float64) bool { return share > 0 && k.chance.Float64() < share }

// lane is what arrives from one member in one class: it keeps its order, and is in nobody else's way.
type lane struct {
	*link
	waiting  held
	bytes    int
	put      int64         // frames so far
	last     time.Time     // when the last one that keeps its order is due
	running  bool          // a goroutine hands on
	room     chan struct{} // closed when there is more of it
	sooner   chan struct{} // holds one: something is due before what the goroutine waits for
	patience bool          // whoever brings a message may be made to wait
}

// heldFrame is a frame that is held back.
type heldFrame struct {
	due    time.Time
	number int64 // in its lane: of two that are due at once, the first to come goes first
	size   int
	handOn func()
}

// held are frames, as a heap: what is due first is on top.
type held []heldFrame

func (h held) Len() int      { return len(h) }
func (h held) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h held) Less(i, j int) bool {
	if !h[i].due.Equal(h[j].due) {
		return h[i].due.Before(h[j].due)
	}
	return h[i].number < h[j].number
}
func (h *held) Push(f any) { *h = append(*h, f.(heldFrame)) }
func (h *held) Pop() any {
	last := len(*h) - 1
	f := (*h)[last]
	(*h)[last] = heldFrame{}
	*h = (*h)[:last]
	return f
}

// newLanes are lanes for all members.
func (f *Faults) newLanes(patience bool) []*lane {
	lanes := make([]*lane, len(f.links))
	for i, k := range f.links {
		lanes[i] = &lane{link: k, room: make(chan struct{}), sooner: make(chan struct{}, 1), patience: patience}
		k.mu.Lock()
		k.lanes = append(k.lanes, lanes[i])
		k.mu.Unlock()
	}
	return lanes
}

// Direct stands before what takes the frames of a class from members' own streams. The caller waits as take would have it wait, and
// where a link has no more room.
func (f *Faults) Direct(take func(frame []byte, from epoch.ReplicaID)) func(frame []byte, from epoch.ReplicaID) {
	lanes := f.newLanes(true)
	return func(frame []byte, from epoch.ReplicaID) {
		for range lanes[from].arrive(len(frame), func() { take(frame, from) }) {
			take(frame, from)
		}
	}
}

// Gossip stands before what takes gossiped frames, whose answer is whether they are passed on to others. One that is held back is
// passed on meanwhile; one for which there is no room is lost.
func (f *Faults) Gossip(take func(frame []byte, from epoch.ReplicaID) bool) func(frame []byte, from epoch.ReplicaID) bool {
	lanes := f.newLanes(false)
	return func(frame []byte, from epoch.ReplicaID) (pass bool) {
		now := lanes[from].arrive(len(frame), func() { take(frame, from) })
		for range now {
			pass = take(frame, from)
		}
		return pass || now < 0
	}
}

// later is arrive's word for a frame that is handed on later.
const later = -1

// arrive settles how a frame fares. It says how often the caller is to hand it on, now; or later.
func (l *lane) arrive(size int, handOn func()) (now int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.is == (Link{}) && !l.running {
		return 1
	}
	waited := false
	if l.is.Bandwidth > 0 && !l.is.Cut {
		waited = l.squeeze(size)
	}
	for l.patience && !l.is.Cut && l.bytes > 0 && l.bytes+size > laneBytes {
		if !l.wait(l.room) {
			return 0
		}
	}
	is := l.is
	copies := 1
	switch {
	case is.Cut:
		l.counts.Stopped++
		return 0
	case l.happens(is.Lost), l.bytes > 0 && l.bytes+size > laneBytes:
		l.counts.Lost++
		return 0
	case l.happens(is.Twice):
		l.counts.Twice++
		copies = 2
	}
	due := time.Now().Add(is.Delay)
	if is.Delay > 0 {
		l.counts.Delayed++
	}
	if is.Jitter > 0 {
		l.counts.Jittered++
		due = due.Add(time.Duration(l.chance.Int64N(int64(is.Jitter))))
	}
	if ahead := time.Until(l.free); !l.patience && ahead >= slack {
		waited = true
		due = due.Add(ahead)
	}
	if waited {
		l.counts.HeldUp++
	}
	overtakes := l.happens(is.Reordered)
	if overtakes {
		l.counts.Reordered++
		due = due.Add(overtaken/2 + time.Duration(l.chance.Int64N(int64(overtaken/2))))
	} else if due.Before(l.last) {
		due = l.last
	}
	if !l.running && !due.After(time.Now()) {
		return copies
	}
	if !overtakes {
		l.last = due
	}
	for range copies {
		l.hold(heldFrame{due: due, size: size, handOn: handOn})
	}
	return later
}

// squeeze has a frame take its time in the pipe, which all lanes share: a caller who has patience waits there, so that lanes take
// turns. It says whether the frame was slowed down.
func (l *lane) squeeze(size int) bool {
	now := time.Now()
	begin := l.free
	if begin.Before(now) {
		begin = now
	}
	l.free = begin.Add(time.Duration(float64(size) / float64(l.is.Bandwidth) * float64(time.Second)))
	ahead := l.free.Sub(now)
	if !l.patience || ahead < slack {
		return false
	}
	through := time.NewTimer(ahead)
	defer through.Stop()
	set := l.set
	l.mu.Unlock()
	defer l.mu.Lock()
	select {
	case <-through.C:
	case <-set:
	case <-l.closed:
	}
	return true
}

// wait lets go of the link until something happens. It is false when all is over.
func (l *lane) wait(happens chan struct{}) bool {
	set := l.set
	l.mu.Unlock()
	defer l.mu.Lock()
	select {
	case <-happens:
		return true
	case <-set:
		return true
	case <-l.closed:
		return false
	}
}

// hold has a frame wait for its time.
func (l *lane) hold(f heldFrame) {
	l.put++
	f.number = l.put
	heap.Push(&l.waiting, f)
	l.bytes += f.size
	if !l.running {
		l.running = true
		go l.run()
	} else if l.waiting[0].number == f.number {
		l.wake()
	}
}

// wake tells the goroutine that hands on to look again at what is due first.
func (l *lane) wake() {
	select {
	case l.sooner <- struct{}{}:
	default:
	}
}

// run hands on what is held back, each frame when it is due, until none is left.
func (l *lane) run() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.waiting) > 0 {
		if wait := time.Until(l.waiting[0].due); wait > 0 {
			if !l.sleep(wait) {
				return
			}
			continue
		}
		f := heap.Pop(&l.waiting).(heldFrame)
		l.mu.Unlock()
		f.handOn()
		l.mu.Lock()
		l.lessen(f.size)
	}
	l.running = false
}

// sleep lets go of the link for so long, or until something is due sooner. It is false when all is over.
func (l *lane) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	l.mu.Unlock()
	defer l.mu.Lock()
	select {
	case <-t.C:
		return true
	case <-l.sooner:
		return true
	case <-l.closed:
		return false
	}
}

func (l *lane) lessen(bytes int) {
	l.bytes -= bytes
	close(l.room)
	l.room = make(chan struct{})
}

// clear loses all that is held back.
func (l *lane) clear() {
	bytes := 0
	for _, f := range l.waiting {
		bytes += f.size
	}
	l.waiting = nil
	l.lessen(bytes)
}

// hurry has nothing be due after a time.
func (l *lane) hurry(latest time.Time) {
	for i := range l.waiting {
		if l.waiting[i].due.After(latest) {
			l.waiting[i].due = latest
		}
	}
	heap.Init(&l.waiting)
	if l.last.After(latest) {
		l.last = latest
	}
	l.wake()
}
