package paxos

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// Protocol is one replica's part in one epoch, from view to view: docs/protocol/paxos.md. Each view that it has promised is an Instance of
// its own.
type Protocol struct {
	self  epoch.ReplicaID
	epoch *epoch.Epoch

	view      epoch.View // it accepts nothing in any lower one
	role      ordering.Role
	joined    bool      // it has heard that its view's leader leads
	current   *Instance // of view
	stable    *proof.Checkpoint
	delivered epoch.Seq
	accepted  map[epoch.Seq]*ordering.Accepted // of views before current's, above the stable checkpoint: the highest view each

	promised  *ordering.Promised // why it accepts in no view below view; nil in view 0
	promiseAt int                // tick from which that may be said again
	promises  []*message.Signed  // of a candidate, by member
	learning  map[epoch.Seq]*message.PaxosLearn
	election  election
	stopped   bool // a member is proven to lie, which this mode does not bear: nothing is accepted any more
	ticks     int

	out ordering.Output
}

// New takes part in an epoch. What the facts oblige this replica to have said, it says again; what it has led, it leads no more.
func New(s ordering.Start) *Protocol {
	p := &Protocol{
		self: s.Self, epoch: s.Epoch, stable: s.Stable, delivered: s.Delivered,
		accepted: make(map[epoch.Seq]*ordering.Accepted), learning: make(map[epoch.Seq]*message.PaxosLearn),
		election: newElection(s.Epoch.N()),
	}
	for _, rec := range s.Promises {
		if rec, ok := rec.(*ordering.Promised); ok && rec.Promise.View >= p.view {
			p.promised, p.view = rec, rec.Promise.View
		}
	}
	p.begin()
	for _, f := range s.Facts {
		if f, ok := f.(*ordering.Accepted); ok {
			p.restore(f, s.Batches)
		}
	}
	p.election.begin(p)
	switch {
	case p.Leader() != p.self:
		if p.promised != nil {
			p.sayTo(p.Leader(), p.promised.Promise)
		}
	case p.view == 0 && !s.Restarted:
		p.lead()
	default:
		p.election.lost()
	}
	return p
}

// begin takes part in the view that this replica has promised.
func (p *Protocol) begin() {
	in, old := newInstance(p, p.view), p.current
	p.current, p.role, p.joined, p.promises = in, ordering.Follower, false, nil
	clear(p.learning)
	if old == nil {
		return
	}
	for seq := p.stable.Header.Seq + 1; seq <= old.Highest; seq++ {
		s := old.At(seq)
		if s == nil {
			continue
		}
		if s.accepted != nil {
			p.accepted[seq] = s.accepted
			in.keep(s.batch)
		}
		if s.Phase == message.Decided {
			at := in.Slot(seq)
			at.Phase, at.decided, at.proof = message.Decided, s.decided, s.proof
			in.next = max(in.next, seq+1)
		}
	}
	for _, seq := range slices.Sorted(maps.Keys(p.accepted)) {
		in.keep(old.known[p.accepted[seq].Digest])
	}
}

func (in *Instance) keep(b *message.Batch) {
	if b != nil {
		in.known[b.Digest()] = b
	}
}

// restore takes up a fact from the log.
func (p *Protocol) restore(f *ordering.Accepted, batches map[crypto.Digest]*message.Batch) {
	if f.Seq <= p.stable.Header.Seq || !p.current.In(f.Seq) {
		return
	}
	b := batches[f.Digest]
	if f.View < p.view {
		if old := p.accepted[f.Seq]; old == nil || f.View > old.View {
			p.accepted[f.Seq] = f
			p.current.keep(b)
		}
		return
	}
	s := p.current.Slot(f.Seq)
	s.accepted, s.batch, s.Phase = f, b, message.Accepted
	p.current.next = max(p.current.next, f.Seq+1)
	switch {
	case f.Seq <= p.delivered:
		s.Phase = message.Decided
	case b == nil:
		p.current.out.Proposed = append(p.current.out.Proposed, ordering.Proposal{Vote: f.Vote})
	case p.Leader() != p.self:
		p.sayTo(p.Leader(), &message.PaxosAccepted{Vote: f.Vote})
	}
}

func (p *Protocol) View() epoch.View        { return p.view }
func (p *Protocol) Role() ordering.Role     { return p.role }
func (p *Protocol) Leader() epoch.ReplicaID { return p.epoch.Leader(p.view) }
func (p *Protocol) Open() epoch.Seq         { return p.current.Open() }

// Voting says whether this replica leads, or knows who does.
func (p *Protocol) Voting() bool {
	return !p.stopped && (p.role == ordering.Leader || p.role == ordering.Follower && p.joined)
}

func (p *Protocol) Propose(b *message.Batch) bool {
	return p.role == ordering.Leader && !p.stopped && p.current.Propose(b)
}

func (p *Protocol) Batch(seq epoch.Seq) *message.Batch {
	if s := p.current.At(seq); s != nil {
		return s.batch
	}
	return nil
}

func (p *Protocol) Known(d crypto.Digest) *message.Batch { return p.current.known[d] }

// Accept says that the batch of a proposal is in hand, or that of something that is learned.
func (p *Protocol) Accept(seq epoch.Seq, b *message.Batch) {
	if l := p.learning[seq]; l != nil && l.Digest == b.Digest() {
		p.chosen(l, b)
		return
	}
	if !p.stopped {
		p.current.Accept(seq, b)
	}
}

// Voters are those who have a batch: the leader that asks for it, who has shown it in a promise, and who stands in its proof.
func (p *Protocol) Voters(seq epoch.Seq, d crypto.Digest) (ids []epoch.ReplicaID) {
	add := func(more ...epoch.ReplicaID) {
		for _, id := range more {
			if !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	if s := p.current.At(seq); s != nil {
		if v, ok := s.proposed(); ok && v.Digest == d {
			add(p.epoch.Leader(v.View))
		}
	}
	add(p.current.settled.shownBy(seq, d)...)
	if l := p.learning[seq]; l != nil && l.Digest == d {
		for _, m := range l.Accepted {
			add(m.Author)
		}
	}
	return ids
}

// Accuse says that a member is proven to lie. This mode does not bear that: who goes on might acknowledge what is lost.
func (p *Protocol) Accuse(*message.Evidence) { p.stopped = true }

var (
	errOlder   = errors.New("of a view that is over")
	errFar     = errors.New("of a view that is too far ahead")
	errStopped = errors.New("a member is proven to lie, and this mode bears none that do: nothing is accepted")
)

// Receive takes in a checked message.
func (p *Protocol) Receive(m *message.Signed) error {
	if p.stopped {
		p.current.overhear(m)
		return errStopped
	}
	switch b := m.Body.(type) {
	case *message.PaxosPrepare:
		return p.onPrepare(m, b)
	case *message.PaxosPromise:
		return p.onPromise(m, b)
	case *message.PaxosAccept:
		if err := p.follow(m, b.View); err != nil {
			return err
		}
		return p.current.onAccept(m, b)
	case *message.PaxosAccepted:
		if b.View == p.view {
			p.election.heard(p, m.Author)
		}
		return p.current.onAccepted(m, b.Vote)
	case *message.PaxosLearn:
		return p.onLearn(b)
	case *message.Heartbeat:
		return p.onHeartbeat(m, b)
	case *message.Suspect:
		return p.onSuspect(m.Author, b)
	default:
		return fmt.Errorf("%s is not Paxos's", m.Body.Kind())
	}
}

// onLearn takes a proof at its word, whoever brings it: it decides as soon as the batch is in hand.
func (p *Protocol) onLearn(l *message.PaxosLearn) error {
	in := p.current
	switch {
	case !in.In(l.Seq) || l.Seq <= p.delivered:
		return errDecided
	case in.Slot(l.Seq).Phase == message.Decided:
		return errDecided
	}
	if b := in.batch(l.Seq, l.Digest); b != nil {
		p.chosen(l, b)
		return nil
	}
	if p.learning[l.Seq] == nil {
		p.learning[l.Seq] = l
		in.out.Proposed = append(in.out.Proposed, ordering.Proposal{Vote: l.Vote})
	}
	return nil
}

// chosen decides what a proof says.
func (p *Protocol) chosen(l *message.PaxosLearn, b *message.Batch) {
	delete(p.learning, l.Seq)
	s := p.current.Slot(l.Seq)
	p.current.decide(s, l.Vote, b, l.Accepted, p.logged(l.Seq, l.Digest))
}

// logged says whether a batch is in this replica's log, by the fact that it has accepted it, in whatever view.
func (p *Protocol) logged(seq epoch.Seq, d crypto.Digest) bool {
	if s := p.current.At(seq); s != nil && s.has(d) != nil {
		return true
	}
	f := p.accepted[seq]
	return f != nil && f.Digest == d && p.current.known[d] != nil
}

// Overhear looks whether a message to a decided slot contradicts its author.
func (p *Protocol) Overhear(m *message.Signed) { p.current.overhear(m) }

// Learned says that a slot's decision has come by proof from elsewhere.
func (p *Protocol) Learned(seq epoch.Seq, d crypto.Digest) (logged bool) {
	delete(p.learning, seq)
	return p.current.Learned(seq, d) || p.logged(seq, d)
}

// Delivered says that every slot up to seq is decided and handed on.
func (p *Protocol) Delivered(seq epoch.Seq, _ uint64) {
	p.current.Delivered(seq)
	p.delivered = max(p.delivered, seq)
	p.election.progressed()
	p.consider()
}

// Executed says that the machine has executed a slot.
func (p *Protocol) Executed(seq epoch.Seq) {
	if s := p.current.At(seq); s != nil && s.voted {
		p.election.executed(p.current.ticks - s.acceptedAt)
	}
}

// Stable says that no member needs to hear of this slot or anything before it again.
func (p *Protocol) Stable(c *proof.Checkpoint) {
	p.stable = c
	p.current.trim(c.Header.Seq)
	p.delivered = max(p.delivered, c.Header.Seq)
	for _, seq := range slices.Sorted(maps.Keys(p.accepted)) {
		if seq <= c.Header.Seq {
			delete(p.accepted, seq)
		}
	}
	known := make(map[crypto.Digest]*message.Batch)
	keep := func(d crypto.Digest) {
		if b := p.current.known[d]; b != nil {
			known[d] = b
		}
	}
	for _, seq := range slices.Sorted(maps.Keys(p.accepted)) {
		keep(p.accepted[seq].Digest)
	}
	for i := range p.current.settled.slots {
		keep(p.current.settled.slots[i].digest)
	}
	p.current.known = known
	p.consider()
	p.proposeSettled() // what lay beyond the window before
}

func (p *Protocol) Progress() []message.Phase { return p.current.Progress() }

// Facts are what this replica has accepted above the stable checkpoint: of each slot the vote of the highest view.
func (p *Protocol) Facts() (facts []ordering.Record) {
	for seq := p.stable.Header.Seq + 1; seq <= p.stable.Header.Seq+p.current.Size(); seq++ {
		if f := p.acceptedAt(seq); f != nil {
			facts = append(facts, f)
		}
	}
	return facts
}

// acceptedAt is the vote of the highest view that this replica has accepted at a slot.
func (p *Protocol) acceptedAt(seq epoch.Seq) *ordering.Accepted {
	if s := p.current.At(seq); s != nil && s.accepted != nil {
		return s.accepted
	}
	return p.accepted[seq]
}

// Promises is why this replica accepts in no lower view.
func (p *Protocol) Promises() (records []ordering.Record) {
	if p.promised != nil {
		records = append(records, p.promised)
	}
	return records
}

// Take is all that was asked for since the last Take.
func (p *Protocol) Take() ordering.Output {
	out := p.out
	p.out = ordering.Output{}
	more := p.current.Take()
	out.Persist = append(out.Persist, more.Persist...)
	out.Send = append(out.Send, more.Send...)
	out.Proposed = append(out.Proposed, more.Proposed...)
	out.Decided = append(out.Decided, more.Decided...)
	out.Evidence = append(out.Evidence, more.Evidence...)
	return out
}

// Tick ages what is open, and tells when it is time for another leader.
func (p *Protocol) Tick(owed ordering.Owed) {
	p.ticks++
	p.current.Tick()
	if !p.stopped {
		p.tickElection(owed)
	}
}

func (p *Protocol) sayTo(id epoch.ReplicaID, b message.Body) { p.say([]epoch.ReplicaID{id}, b) }

func (p *Protocol) say(to []epoch.ReplicaID, b message.Body) {
	p.out.Send = append(p.out.Send, message.Outgoing{Body: b, To: to, Epoch: p.epoch.ID})
}
