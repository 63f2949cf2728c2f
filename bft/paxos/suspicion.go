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
	electionTicks = 30  // the least election timeout; each replica adds up to as much again
	quorumTicks   = 30  // a leader that has heard no majority for so long steps down
	stallTicks    = 50  // the least time without progress, while something is due
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
	smoothed int // ticks from accepting a slot to having executed it, times 8
	alive    []int
	hints    []hint
	highest  epoch.View // that anybody has claimed to be at
}

// hint is that a member suspects the leader of a view.
type hint struct {
	view epoch.View
	at   int // tick; 0: never
}

func newElection(n int) election {
	return election{alive: make([]int, n), hints: make([]hint, n)}
}

// begin is for a view that begins, or whose leader begins to lead: all clocks begin anew.
func (e *election) begin(p *Protocol) {
	e.quiet, e.stalled, e.since = 0, 0, p.ticks
	e.round++
	e.patience = draw(p.self, p.view, e.round)
	for i := range e.alive {
		e.alive[i] = p.ticks
	}
}

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
func (e *election) lost() { e.quiet = electionTicks }

func (e *election) progressed() { e.stalled = 0 }

// executed takes in how long a slot took. One counts so much at most: a machine that stood still is no measure.
func (e *election) executed(ticks int) {
	ticks = min(max(ticks, 0), max(12, e.smoothed/4))
	e.smoothed += ticks - e.smoothed/8
}

// stall is for how long nothing may be delivered while something is due: eight times what a slot takes.
func (e *election) stall() int { return min(max(stallTicks, e.smoothed), maxStallTicks) }

// heard is that the leader, or at the leader a follower, has said something in this view.
func (e *election) heard(p *Protocol, id epoch.ReplicaID) {
	e.alive[id-1] = p.ticks
	if id == p.Leader() {
		e.quiet = 0
	}
}

// claims takes in what view a member says it is at.
func (e *election) claims(p *Protocol, v epoch.View) {
	if v > e.highest && v-min(v, p.view) <= maxAhead {
		e.highest = v
	}
}

// settledDown says whether a leader has led for long enough to disturb its view for the sake of one member.
func (e *election) settledDown(p *Protocol) bool { return p.ticks-e.since >= electionTicks }

// suspicion is for how many ticks this replica has suspected the leader of its view; below 0: it does not.
func (e *election) suspicion() int { return max(e.quiet-electionTicks, e.stalled-e.stall()) }

// tickElection lets the clocks go on.
func (p *Protocol) tickElection(owed ordering.Owed) {
	e := &p.election
	if p.role == ordering.Leader {
		if p.ticks%beatTicks == 0 {
			p.beat()
		}
		if !p.hearsQuorum() {
			p.role, p.joined, p.current.leads = ordering.Follower, false, false
			e.lost()
		}
		return
	}
	if p.joined && p.ticks%beatTicks == 0 {
		p.sayTo(p.Leader(), &message.Heartbeat{View: p.view})
	}
	e.quiet++
	if owed.Something {
		e.stalled++
	} else {
		e.stalled = 0
	}
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
	for i, at := range p.election.alive {
		if epoch.ReplicaID(i+1) == p.self || p.ticks-at < quorumTicks {
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
	p.election.claims(p, b.View)
	p.election.hints[author-1] = hint{b.View, p.ticks}
	if author == p.Leader() && b.View == p.view && author != p.self && p.election.quiet < electionTicks {
		p.election.lost()
	}
	return nil
}

// suspected says whether a majority would have another leader: of this view, or one above that has none.
func (p *Protocol) suspected() bool {
	n := 0
	for _, h := range p.election.hints {
		if h.at > 0 && p.ticks-h.at < hintTicks && h.view >= p.view {
			n++
		}
	}
	return n >= p.epoch.Quorum()
}
