package bft

import (
	"maps"
	"slices"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/internal/invariant"
)

// Config is what a replica is told once.
type Config struct {
	Self    epoch.ReplicaID
	Genesis *proof.Genesis
	Scheme  crypto.Scheme // to judge changes by
	History []Past        // the epochs that the log says are over, from the first one on
	Notes   bool          // fill Effects.Notes
}

// Replica is one member's mind.
type Replica struct {
	self     epoch.ReplicaID
	notes    bool
	birth    ordering.Birth
	scheme   crypto.Scheme
	epoch    *epoch.Epoch
	history  []Past
	peers    []epoch.ReplicaID // all members but this one
	order    ordering.Protocol
	pool     *pool
	ticks    uint64     // since the start
	now      int64      // wall clock in ms, as of the last Tick; 0 before the first
	entered  epoch.View // the last one it has voted in
	halted   bool       // a quorum has executed something else: nothing is said any more
	observes bool       // its log is not the one that the epoch names: it follows, and promises nothing
	bundle   bundle     // requests on their way into the gossip
	remind   reminding  // of the leader
	gather   gatherings
	catchup  catchup
	mend     mending
	sealed   sealing
	changes  []*waitingChange // in the order in which they came
	recovery *recovery

	enteredAt uint64 // tick at which this epoch was entered

	// Slots pass through here in order: decided, delivered to the machine, executed.
	// head.Seq + len(executing) = delivered, and pending holds only slots above delivered.
	pending   map[epoch.Seq]ordering.Decision
	delivered epoch.Seq
	time      int64 // of the newest delivered slot
	executing []ordering.Decision
	head      proof.Header               // newest executed
	chain     map[epoch.Seq]proof.Header // own headers above the stable checkpoint, head included; no other
	attest    attest
	evidence  evidence

	out Effects
}

// Step takes in one event.
func (r *Replica) Step(e Event) Effects {
	if r.halted {
		return Effects{}
	}
	switch e := e.(type) {
	case Tick:
		r.onTick(e.Now)
	case Received:
		if err := r.onReceived(e.Signed); err != nil && r.notes {
			r.out.Notes = append(r.out.Notes, Unused{e.Body.Kind(), e.Author, err})
		}
	case Submitted:
		r.onSubmitted(e.Requests)
	case Executed:
		r.onExecuted(e.Outcomes)
	case Found:
		r.onFound(e)
	case Lost:
		r.onLost(e.Seqs)
	case AskedToRecover:
		_ = r.onRecover(e.Recovery) // an error says that a newer one counts
	case Foreign:
		r.catchup.foreignTil = r.ticks + statusIdleTicks
	case Asked:
		r.onAsked(e.Change)
	}
	r.advance()
	return r.take()
}

// advance follows the consequences of whatever has happened.
func (r *Replica) advance() {
	for {
		out := r.order.Take()
		r.noteBound(out.Persist)
		if v := r.order.View(); v != r.entered && r.order.Voting() && !r.observes {
			r.entered = v
			r.note(EnteredView{v, r.order.Leader()})
		}
		r.out.Persist = append(r.out.Persist, out.Persist...)
		r.out.Send = append(r.out.Send, out.Send...)
		if out.Moved {
			r.movedOn(out.Settled)
		}
		for _, e := range out.Evidence {
			_ = r.onEvidence(e) // an error says that it is known
		}
		for _, p := range out.Proposed {
			r.onProposed(p)
		}
		for _, d := range out.Decided {
			r.onDecided(d, false)
		}
		if len(out.Proposed)+len(out.Decided)+len(out.Evidence) > 0 {
			r.deliverInOrder()
		} else if !r.propose() { // last: what a new view settles is in no other proposal
			return
		}
	}
}

func (r *Replica) noteBound(records []ordering.Record) {
	for _, rec := range records {
		switch rec := rec.(type) {
		case *ordering.Accepted:
			r.note(BoundTo{rec.Vote, message.Accepted})
		case *ordering.Prepared:
			r.note(BoundTo{rec.Vote, message.Prepared})
		case *ordering.Left:
			r.note(LeftView{rec.ViewChange.View})
		case *ordering.Promised:
			r.note(LeftView{rec.Promise.View})
		}
	}
}

func (r *Replica) take() Effects {
	out := r.out
	r.out = Effects{}
	if r.halted {
		return Effects{Halt: out.Halt} // it says nothing more, not even what this step had begun to say
	}
	return out
}

func (r *Replica) onReceived(m *message.Signed) error {
	switch next := r.sealed.next; {
	case m.Epoch == r.epoch.ID:
	case next != nil && m.Epoch == next.ID:
		return r.onIncoming(m)
	default:
		if p := r.past(m.Epoch); p != nil {
			return r.onPast(p, m)
		}
		return ErrForeignEpoch
	}
	if v, ok := message.VoteOf(m.Body); ok {
		return r.onVote(m, v.Seq)
	}
	switch b := m.Body.(type) {
	case *message.PaxosLearn:
		return r.onVote(m, b.Seq)
	case *message.Suspect, *message.ViewChange, *message.NewView, *message.PaxosPrepare, *message.PaxosPromise, *message.Heartbeat:
		return r.order.Receive(m)
	case *message.Attestation:
		return r.onAttestation(m, b)
	case *message.Status:
		return r.onStatus(m.Author, b)
	case *message.Want:
		return r.onWant(m.Author, b)
	case *message.Have:
		return r.onHave(m.Author, b)
	case *message.Bundle:
		return r.onBundle(m.Author, b)
	case *message.Fetch:
		return r.onFetch(m.Author, b)
	case *message.Bodies:
		return r.onBodies(b)
	case *message.Evidence:
		return r.onEvidence(b)
	case *message.Propose:
		return r.onPropose(m.Author, b.Change)
	case *message.Ready:
		return r.onReady(m, b)
	case *message.Recover:
		return r.onRecover(b.Recovery)
	case *message.Standing:
		return r.onStanding(m.Author, b)
	default:
		return errUnknownKind
	}
}

// onVote has the protocol take in a message to a slot.
func (r *Replica) onVote(m *message.Signed, seq epoch.Seq) error {
	if r.knowsDecision(seq) {
		r.order.Overhear(m)
		return errDecidedSlot
	}
	if r.sealedAt(seq) {
		return errSealed
	}
	return r.order.Receive(m)
}

// knowsDecision says whether a slot is decided as far as this replica knows, by votes or by a block. It votes no more at
// such a slot, whatever window its protocol looks at.
func (r *Replica) knowsDecision(seq epoch.Seq) bool {
	_, pending := r.pending[seq]
	return pending || seq <= r.delivered
}

func (r *Replica) onTick(now int64) {
	r.ticks++
	r.now = now
	r.order.Tick(r.leaderOwes())
	r.tickGatherings()
	r.flushBundle()
	r.remindLeader()
	r.tickCatchup()
	r.tickMending()
	r.tickRecovery()
	r.tickSealing()
	r.tickChanges()
}

// backlogTicks is how long a request has waited when there is a backlog: several times as long as one batch takes.
const backlogTicks = 20

// maxPassed is how many batches may pass over a request that the leader knows of: an honest one that hears of it late has a pool full
// of others before it.
func maxPassed(p *epoch.Parameters) int {
	return max(64, 4*poolRequests/int(p.BatchRequests), 4*poolBytes/int(p.BatchBytes))
}

// leaderOwes says what waits for the leader.
func (r *Replica) leaderOwes() (owed ordering.Owed) {
	if _, ok := r.pending[r.delivered+1]; ok || r.sealed.seq != 0 {
		return ordering.Owed{}
	}
	owed.Something = r.order.Open() > r.delivered
	owed.Backlog = owed.Something && r.ticks-r.catchup.lastMoved >= backlogTicks // what is proposed, and then held back
	p := &r.epoch.Parameters
	if r.delivered >= r.attest.stable.Header.Seq+epoch.Seq(p.Window) {
		return owed
	}
	owed.Something = owed.Something || r.ripe(r.order.Open()+1) != nil
	if r.pool.waiting > 0 {
		waited, passed := r.pool.patience(r.ticks)
		owed.Something = true
		owed.Backlog = owed.Backlog || waited >= backlogTicks
		owed.PassedOver = passed > maxPassed(p)
	}
	return owed
}

// movedOn lets go of what waited in a view that is over. Requests are in a proposal only if they are in a batch that is decided, or
// that the new view settles; the new leader is told of the others.
func (r *Replica) movedOn(settled []*message.Batch) {
	for _, g := range slices.Clone(r.gather.list) {
		r.forgetGathering(g)
	}
	r.pool.markAllWaiting()
	for i := range r.executing {
		r.pool.markProposed(r.executing[i].Batch.Requests)
	}
	for _, seq := range slices.Sorted(maps.Keys(r.pending)) {
		r.pool.markProposed(r.pending[seq].Batch.Requests)
	}
	for _, b := range settled {
		r.pool.markProposed(b.Requests)
	}
	r.tell([]epoch.ReplicaID{r.order.Leader()}, r.pool.overdue(r.ticks, 0, bundleBytes))
}

// sendTo says b to these members; to nobody in particular: to all, this replica included.
func (r *Replica) sendTo(to []epoch.ReplicaID, b message.Body) {
	r.out.Send = append(r.out.Send, message.Outgoing{Body: b, To: to, Epoch: r.epoch.ID})
}

func (r *Replica) note(n Note) {
	if r.notes {
		r.out.Notes = append(r.out.Notes, n)
	}
}

// propose keeps the pipeline full while this replica leads. Batching has no clock: while D slots are in flight,
// requests gather, and the next batch takes them all. It says whether it has proposed anything.
func (r *Replica) propose() (did bool) {
	if r.order.Leader() != r.self || !r.order.Voting() || r.observes || r.now == 0 {
		return false
	}
	if r.sealed.seq != 0 {
		return false
	}
	if did, busy := r.proposeChange(); busy {
		return did
	}
	p := &r.epoch.Parameters
	for r.pool.waiting > 0 {
		inFlight := uint64(r.order.Open() - r.head.Seq)
		full := r.pool.fills(int(p.BatchRequests), int(p.BatchBytes))
		if inFlight >= uint64(p.Burst) || (inFlight >= uint64(p.Pipeline) && !full) {
			return did
		}
		if r.order.Open() >= r.attest.stable.Header.Seq+epoch.Seq(p.Window) {
			return did
		}
		requests := r.pool.take(int(p.BatchRequests), int(p.BatchBytes))
		invariant.Holds(len(requests) > 0, "a request that waits fits into a batch")
		batch := message.NewBatch(r.now, requests)
		if batch.Size() > message.InlineBytes {
			r.flushBundle() // others must have by gossip what is only named to them
		}
		invariant.Holds(r.order.Propose(batch), "a leader with room in its window can propose")
		did = true
	}
	return did
}

// Remember is for requests that the newest blocks have brought to an end, in the order of the blocks, before the first Step: late
// copies of them are not held.
func (r *Replica) Remember(over []*message.Request) {
	for _, q := range over {
		r.pool.executed([]*message.Request{q}, []End{RequestOver}) // it may have been accepted at another slot, and wait again
	}
}

// Leader is who may propose now.
func (r *Replica) Leader() epoch.ReplicaID { return r.order.Leader() }

// View is the view this replica votes in.
func (r *Replica) View() epoch.View { return r.order.View() }

// Role is what this replica is in that view.
func (r *Replica) Role() ordering.Role { return r.order.Role() }

// Epoch is the epoch this replica takes part in.
func (r *Replica) Epoch() *epoch.Epoch { return r.epoch }

// Incarnation is the life of this replica's log.
func (r *Replica) Incarnation() epoch.Incarnation { return r.birth.Incarnation }

// Head is the newest header executed.
func (r *Replica) Head() proof.Header { return r.head }

// Stable is the newest stable checkpoint.
func (r *Replica) Stable() *proof.Checkpoint { return r.attest.stable }

// Acknowledged is the newest slot known to survive whatever f members do.
func (r *Replica) Acknowledged() epoch.Seq { return r.attest.acknowledged }

// Behind is how many slots at least one correct peer is ahead.
func (r *Replica) Behind() uint64 { return r.catchup.behind(r.delivered, r.epoch.Witnesses()) }

// Halted says that this replica has stopped, because a quorum has executed something else than it.
func (r *Replica) Halted() bool { return r.halted }

// Observes says that this member has forgotten what it promised: in this epoch it follows, and does not vote.
func (r *Replica) Observes() bool { return r.observes }

// Evidence is what this replica holds against members, in the order in which it came. Nobody changes it.
func (r *Replica) Evidence() []*message.Evidence { return r.evidence.list }

// Pooled is how many requests wait to be executed, and their bytes.
func (r *Replica) Pooled() (requests, bytes int) { return r.pool.size() }

// Holds says whether a request is in the pool.
func (r *Replica) Holds(q *message.Request) bool { return r.pool.holds(q) }
