package paxos

import (
	"encoding/binary"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/crypto"
)

// Clocks, in ticks of 10 ms: docs/protocol/paxos.md.
const (
	beatTicks     = 5   // between two heartbeats
	electionTicks = 30  // the least election timeout, and check-quorum; each replica adds up to as much again before it is a candidate
	maxDoublings  = 3   // of these, while views begin and nothing is decided
	stallTicks    = 100 // the least time without progress, while something is due
	maxStallTicks = 400 // and the most
	hintTicks     = 20  // for how long a suspicion counts; it is said again every 10
	repeatTicks   = 10
)

// election is what a replica knows of whether its view has a leader that works.
type election struct {
	quiet    int // ticks since the leader was heard
	stalled  int // ticks since anything was delivered, while something is due
	patience int // ticks of suspicion before this replica is a candidate
	since    int // tick of the protocol at which the view began, or its leader began to lead
	round    int // how many views have begun: draws another patience each time
	failed   int // how many in a row, in which nothing was delivered
	smoothed int // ticks from accepting a slot to having executed it, times 8
	members  []claim
	highest  epoch.View // that anybody has claimed to be at
}

// claim is what was last heard of a member.
type claim struct {
	view      epoch.View // the highest that it has claimed to be at
	alive     int        // tick at which it was heard in this view
	suspected int        // tick at which it has suspected the leader of that one; 0: never
}

func newElection(n int) election { return election{members: make([]claim, n)} }

// begin is for a view that begins.
func (e *election) begin(p *Protocol) {
	e.round++
	e.failed++
	e.anew(p)
}

// anew has all clocks begin anew.
func (e *election) anew(p *Protocol) {
	e.quiet, e.stalled, e.since = 0, 0, p.ticks
	e.patience = draw(p.self, p.view, e.round) << e.doublings()
	for i := range e.members {
		e.members[i].alive = p.ticks
	}
}

// timeout is the least election timeout. It doubles with each view that comes to nothing: perhaps messages take so long.
func (e *election) timeout() int { return electionTicks << e.doublings() }

func (e *election) doublings() int { return min(max(e.failed-1, 0), maxDoublings) }

// draw is a replica's own share of an election timeout: a hash, so that two seldom have the same and a seed repeats it.
func draw(self epoch.ReplicaID, v epoch.View, round int) int {
	var b []byte
	b = binary.BigEndian.AppendUint32(b, uint32(self))
	b = binary.BigEndian.AppendUint64(b, uint64(v))
	b = binary.BigEndian.AppendUint64(b, uint64(round))
	d := crypto.Hash("quorate/election/1", b)
	return int(binary.BigEndian.Uint32(d[:4]) % (electionTicks + 1))
}

// lost is that the leader is known to be gone.
func (e *election) lost() { e.quiet = e.timeout() }

// progressed is that something was delivered: somebody leads, whether or not this replica hears it.
func (e *election) progressed() { e.quiet, e.stalled, e.failed = 0, 0, 0 }

// executed takes in how long a slot took. One counts so much at most: a machine that stood still is no measure.
func (e *election) executed(ticks int) {
	ticks = min(max(ticks, 0), max(12, e.smoothed/4))
	e.smoothed += ticks - e.smoothed/8
}

// stall is for how long nothing may be delivered while something is due: eight times what a slot takes.
func (e *election) stall() int { return min(max(stallTicks, e.smoothed), maxStallTicks) }

// heard is that the leader, or at the leader a follower, has said something in this view.
func (e *election) heard(p *Protocol, id epoch.ReplicaID) {
	e.members[id-1].alive = p.ticks
	if id == p.Leader() {
		e.quiet = 0
	}
}

// claims takes in what view a member says it is at, and says whether it is not one that it has left.
func (e *election) claims(p *Protocol, id epoch.ReplicaID, v epoch.View) bool {
	c := &e.members[id-1]
	switch {
	case v > p.view && v-p.view > maxAhead || v < c.view:
		return false
	case v > c.view:
		c.view, c.suspected = v, 0
	}
	e.highest = max(e.highest, v)
	return true
}

// settledDown says whether a leader has led for long enough to disturb its view for the sake of one member.
func (e *election) settledDown(p *Protocol) bool { return p.ticks-e.since >= electionTicks }

// suspicion is for how many ticks this replica has suspected the leader of its view; below 0: it does not.
func (e *election) suspicion() int { return max(e.quiet-e.timeout(), e.stalled-e.stall()) }

// tickElection lets the clocks go on.
func (p *Protocol) tickElection(owed ordering.Owed) {
	e := &p.election
	if owed.Something {
		e.stalled++
	} else {
		e.stalled = 0
	}
	if p.role == ordering.Leader {
		if p.ticks%beatTicks == 0 {
			p.beat()
		}
		if !p.hearsQuorum() || e.stalled >= e.stall() { // what it waits for may be with one that is gone: another majority does without
			p.role, p.joined, p.current.leads = ordering.Follower, false, false
			e.lost()
		}
		return
	}
	if p.joined && p.ticks%beatTicks == 0 {
		p.sayTo(p.Leader(), &message.Heartbeat{View: p.view})
	}
	e.quiet++
	waited := e.suspicion()
	if waited < 0 {
		return
	}
	if p.ticks%repeatTicks == 0 || waited == 0 {
		p.say(nil, &message.Suspect{View: p.view, Delivered: message.Whatever})
	}
	if waited >= e.patience && p.suspected() {
		p.campaign()
	}
}

// beat tells the members that this replica leads.
func (p *Protocol) beat() { p.say(p.current.others(), &message.Heartbeat{View: p.view}) }

// hearsQuorum says whether this leader has heard a majority of late, itself included.
func (p *Protocol) hearsQuorum() bool {
	n := 0
	for i, c := range p.election.members {
		if epoch.ReplicaID(i+1) == p.self || p.ticks-c.alive < p.election.timeout() {
			n++
		}
	}
	return n >= p.epoch.Quorum()
}

// onHeartbeat takes in that the leader leads, or at the leader that a member follows.
func (p *Protocol) onHeartbeat(m *message.Signed, b *message.Heartbeat) error {
	if p.role == ordering.Leader && b.View == p.view {
		p.election.heard(p, m.Author)
		return nil
	}
	return p.follow(m, b.View)
}

// onSuspect takes in that a member would have another leader, which is its vote before the election (pre-vote). The owner of a view that
// suspects it has been restarted, or has stepped down: nobody need wait for it.
func (p *Protocol) onSuspect(author epoch.ReplicaID, b *message.Suspect) error {
	if !p.election.claims(p, author, b.View) {
		return errOlder
	}
	p.election.members[author-1].suspected = p.ticks
	if author == p.Leader() && b.View == p.view && author != p.self && p.election.suspicion() < 0 {
		p.election.lost()
	}
	return nil
}

// suspected says whether a majority would have another leader, each of the view that it is at: then those who would not are no majority,
// and no leader has one, whichever views that are.
func (p *Protocol) suspected() bool {
	n := 0
	for _, c := range p.election.members {
		if c.suspected > 0 && p.ticks-c.suspected < hintTicks {
			n++
		}
	}
	return n >= p.epoch.Quorum()
}
