package pbft

import (
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
)

// A replica suspects the leader when something is due and nothing was delivered for a timeout. That is a hint, repeated while
// it holds; only when f+1 members hint at the same does anybody leave, because one of them is correct then.
const (
	// minTimeout and maxTimeout bound the timeout, in ticks. The latter is shared by the times that f bad leaders may take, each one
	// until its NewView and one after it, and that by which the first of them is found out.
	minTimeout = 50
	maxTimeout = 1300
	// maxSample bounds what one slot counts for, in ticks, and so the timeout before any failure to twice the least: a member that
	// has come back and is told of old votes has slots that took seconds, and would then bear a dead leader for as long. Networks
	// that are as slow as that find their timeout by failures.
	maxSample = 2 * minTimeout / 8
	// suspectPause is how many ticks pass between two Suspects.
	suspectPause = 10
)

type suspicion struct {
	quiet    int  // ticks in which something was due and nothing was delivered
	entered  bool // a quorum has come to this view
	moved    bool // and something was delivered in it
	failures int  // views in a row that a quorum entered, and in which nothing was delivered
	commit   int  // smoothed time from accepting a proposal to its decision by votes, in eighths of ticks
	moves    int  // since failures last changed

	by []*message.Suspect // by member: the newest, until it has delivered more
}

func newSuspicion(members int) suspicion {
	return suspicion{entered: true, by: make([]*message.Suspect, members)}
}

// begin starts the clock of a view.
func (s *suspicion) begin() { s.quiet, s.entered, s.moved = 0, false, false }

// failed counts a view that is left.
func (s *suspicion) failed(e *epoch.Epoch) {
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
func (s *suspicion) progressed(p *Protocol) {
	if !s.moved {
		s.failures = min(s.failures, 2) // they are no longer in a row
	}
	s.quiet, s.moved = 0, true
	if s.moves++; s.moves >= int(p.epoch.Parameters.Checkpoint) {
		s.moves, s.failures = 0, s.failures/2
	}
	if at := p.active().at(p.delivered); at != nil && at.voted {
		s.commit += min(at.took, maxSample) - s.commit/8
	}
}

// heard withdraws a peer's suspicion once it has delivered more than it had then.
func (s *suspicion) heard(peer epoch.ReplicaID, delivered epoch.Seq) {
	if by := s.by[peer-1]; by != nil && delivered > by.Delivered {
		s.by[peer-1] = nil
	}
}

// tickSuspicion hints that it is time to leave, when it is.
func (p *Protocol) tickSuspicion(due bool) {
	s := &p.suspicion
	if !s.entered || p.current != nil && !due {
		s.quiet = 0
		return
	}
	s.quiet++
	if over := s.quiet - s.timeout(p.epoch); over >= 0 && over%suspectPause == 0 {
		p.out.Send = append(p.out.Send, message.Outgoing{Body: &message.Suspect{View: p.view, Delivered: p.delivered}, Epoch: p.epoch.ID})
	}
}

// onSuspect counts who hints that it is time to leave this view.
func (p *Protocol) onSuspect(author epoch.ReplicaID, b *message.Suspect) error {
	s := &p.suspicion
	if b.View < p.view {
		return errOlder
	}
	if by := s.by[author-1]; by != nil && (b.View < by.View || b.View == by.View && b.Delivered < by.Delivered) {
		return ordering.ErrAgain
	}
	s.by[author-1] = b
	p.consider()
	return nil
}

// consider leaves this view if f+1 members suspect its leader, or have left it.
func (p *Protocol) consider() {
	count := 0
	for i, by := range p.suspicion.by {
		if by != nil && by.View == p.view || p.changes[i] != nil && viewOf(p.changes[i]) > p.view {
			count++
		}
	}
	if count >= p.epoch.Witnesses() {
		p.leave(p.view + 1)
	}
}
