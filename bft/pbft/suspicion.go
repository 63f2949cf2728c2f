package pbft

import (
	"slices"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
)

// A replica suspects the leader when something is due and nothing was delivered for a timeout, or when it has passed over somebody's
// requests, or is far slower than others were. That is a hint, repeated while it holds; only when f+1 members hint at the same
// time does anybody leave, because one of them is correct then.
const (
	// minTimeout and maxTimeout bound the timeout, in ticks. The latter is shared by the times that f bad leaders may take, each one
	// until its NewView and one after it, and that by which the first of them is found out.
	minTimeout = 50
	maxTimeout = 1300
	// maxSample bounds what one slot counts for, in ticks, or else twice the smoothed time does: a member that has come back and is told
	// of old votes has slots that took seconds, and would then bear a dead leader for as long. A network that is slow has many such slots.
	maxSample = 2 * minTimeout / 8
	// suspectPause is how many ticks pass between two Suspects.
	suspectPause = 10
	// hintTicks is how long a hint counts for those who hear it.
	hintTicks = 100
)

type suspicion struct {
	quiet    int  // ticks in which something was due and nothing was delivered
	entered  bool // a quorum has come to this view
	moved    bool // and something was delivered in it
	failures int  // views in a row that a quorum entered, and in which nothing was delivered
	commit   int  // smoothed time from accepting a proposal to having executed it, in eighths of ticks
	moves    int  // since failures last changed

	by   []*message.Suspect // by member: the newest, until it has delivered more
	at   []int              // by member: the tick at which that came
	pace pace
}

func newSuspicion(members int) suspicion {
	return suspicion{entered: true, by: make([]*message.Suspect, members), at: make([]int, members)}
}

// begin starts the clock of a view.
func (s *suspicion) begin() { s.quiet, s.entered, s.moved = 0, false, false }

// failed counts a view that is left, if it has failed.
func (s *suspicion) failed(e *epoch.Epoch) {
	s.pace.over(e.N())
	if s.entered && !s.moved {
		s.failures = min(s.failures+1, 2*e.N())
		s.moves = 0
	}
}

// timeout is after how many ticks without anything delivered this replica suspects the leader. It doubles with each failure,
// up to a bound; beyond it only after as many failures as there are leaders.
func (s *suspicion) timeout(e *epoch.Epoch) int {
	share := maxTimeout / (2*epoch.Faulty(e.Mode, e.N()) + 1)
	base := min(max(minTimeout, s.commit), share)
	most := min(8*base, share)
	if s.failures > e.N() {
		return 2 * most
	}
	return min(base<<min(s.failures, 4), most)
}

// progressed says that slots were delivered.
func (s *suspicion) progressed(p *Protocol, work uint64) {
	if !s.moved {
		s.failures = min(s.failures, 2) // they are no longer in a row
	}
	s.quiet, s.moved = 0, true
	if s.moves++; s.moves >= int(p.epoch.Parameters.Checkpoint) {
		s.moves, s.failures = 0, s.failures/2
	}
	if at := p.active().At(p.delivered); at != nil && at.voted { // not what has come as blocks
		s.pace.seconds[paceSeconds-1].work += work
	}
}

// executed takes in how long a slot took that was decided by votes, until its machine was done with it: a leader proposes no more than
// its own machine can follow, so one whose machine is busy is as late as one whose network is.
func (s *suspicion) executed(ticks int) {
	s.commit += min(ticks, max(maxSample, s.commit/4)) - s.commit/8
}

// heard withdraws a peer's suspicion once it has delivered more than it had then.
func (s *suspicion) heard(peer epoch.ReplicaID, delivered epoch.Seq) {
	if by := s.by[peer-1]; by != nil && delivered > by.Delivered {
		s.by[peer-1] = nil
	}
}

// tickSuspicion hints that it is time to leave, when it is.
func (p *Protocol) tickSuspicion(owed ordering.Owed) {
	s := &p.suspicion
	if p.current != nil {
		s.pace.tick(owed.Backlog)
		if (owed.PassedOver || s.pace.slow) && p.ticks%suspectPause == 0 {
			p.suspect(message.Whatever)
		}
	}
	if !s.entered || p.current != nil && !owed.Something {
		s.quiet = 0
		return
	}
	s.quiet++
	if over := s.quiet - s.timeout(p.epoch); over >= 0 && over%suspectPause == 0 {
		p.suspect(p.delivered)
	}
}

func (p *Protocol) suspect(delivered epoch.Seq) {
	p.out.Send = append(p.out.Send, message.Outgoing{Body: &message.Suspect{View: p.view, Delivered: delivered}, Epoch: p.epoch.ID})
}

// Accuse takes in proof that a member lies. No hint is needed then: a view that it leads is left at once, and none that it would
// lead is waited for.
func (p *Protocol) Accuse(e *message.Evidence) {
	author := e.Broken().Author
	if p.accused[author-1] != nil {
		return
	}
	p.accused[author-1] = e
	if p.shuns(p.view) {
		p.leave(p.view + 1)
	}
}

// shuns says whether a view is left, or passed over, because of what is proven against its leader. If that is more members than may
// lie, nothing can be relied on, and whoever is left had better go on.
func (p *Protocol) shuns(v epoch.View) bool {
	proven := 0
	for _, e := range p.accused {
		if e != nil {
			proven++
		}
	}
	return p.accused[p.epoch.Leader(v)-1] != nil && proven <= p.epoch.Faulty()
}

// onSuspect counts who hints that it is time to leave this view.
func (p *Protocol) onSuspect(author epoch.ReplicaID, b *message.Suspect) error {
	s := &p.suspicion
	if b.View < p.view {
		return errOlder
	}
	if by := s.by[author-1]; by != nil && (b.View < by.View || b.View == by.View && b.Delivered < by.Delivered) && p.hints(author) {
		return ordering.ErrAgain
	}
	s.by[author-1], s.at[author-1] = b, p.ticks
	p.consider()
	return nil
}

// hints says whether what a member has hinted at last still counts.
func (p *Protocol) hints(id epoch.ReplicaID) bool {
	return p.suspicion.by[id-1] != nil && p.ticks-p.suspicion.at[id-1] < hintTicks
}

// consider leaves this view if f+1 members suspect its leader, or have left it.
func (p *Protocol) consider() {
	count := 0
	for i, by := range p.suspicion.by {
		if p.hints(epoch.ReplicaID(i+1)) && by.View == p.view || p.changes[i] != nil && viewOf(p.changes[i]) > p.view {
			count++
		}
	}
	if count >= p.epoch.Witnesses() {
		p.leave(p.view + 1)
	}
}

// pace is how fast leaders have had things done while there was more to do. A leader that
// does far less than others did makes everybody slow, and is never silent for a timeout.
type pace struct {
	seconds [paceSeconds]paceSecond // of this view, the newest last
	known   int                     // how many have passed since it began
	ticks   int                     // of the newest
	usual   uint64                  // what is done in a stretch of this view: smoothed, of those with a backlog; or more in one without
	last    uint64                  // what was done in the newest stretch with a backlog, or more in one since then
	leaders []uint64                // by view that is over: last, at its end; of as many as there are members
	slow    bool                    // the newest stretch is far below
}

type paceSecond struct {
	work    uint64
	backlog int // ticks
}

const (
	// paceSeconds is how long a stretch is that is compared with others.
	paceSeconds = 5
	ticksOfPace = 100
	// minBacklog is for how many ticks of a stretch there must have been a backlog: else clients have asked for less. (Not all: a
	// leader that stops again and again has none just after it has gone on.)
	minBacklog = paceSeconds * ticksOfPace * 3 / 10
	// paceSmoothing is in how many stretches, of which one begins each second, what is usual follows what is done.
	paceSmoothing = 16
	// minUsual is what must usually be done in a stretch for anybody to be slow: of a few dozen requests chance makes half as many.
	minUsual = 64 << 10
)

func (c *pace) tick(backlog bool) {
	if backlog {
		c.seconds[paceSeconds-1].backlog++
	}
	if c.ticks++; c.ticks < ticksOfPace {
		return
	}
	c.known++
	c.judge()
	copy(c.seconds[:], c.seconds[1:])
	c.seconds[paceSeconds-1], c.ticks = paceSecond{}, 0
}

// judge compares the newest stretch with what is usual in this view and what was done at the end of those before: it is slow if it is
// below half of their median, so that neither liars nor one lucky stretch set the measure.
func (c *pace) judge() {
	c.slow = false
	var work uint64
	backlog := 0
	for _, s := range c.seconds {
		work += s.work
		backlog += s.backlog
	}
	if c.known < paceSeconds {
		return
	}
	if backlog < minBacklog {
		c.usual, c.last = max(c.usual, work), max(c.last, work) // it could have done more, for all that is known
		return
	}
	all := append(slices.Clone(c.leaders), max(c.usual, work))
	slices.Sort(all)
	usual := all[len(all)/2]
	c.slow = usual >= minUsual && 2*work < usual
	c.last = work
	if c.usual == 0 {
		c.usual = work
	}
	c.usual += work/paceSmoothing - c.usual/paceSmoothing
}

// over ends a view.
func (c *pace) over(members int) {
	if c.last > 0 {
		c.leaders = append(c.leaders, c.last)
		c.leaders = c.leaders[max(0, len(c.leaders)-members):]
	}
	*c = pace{leaders: c.leaders}
}
