package pbft

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

// Protocol is one replica's part in one epoch, from view to view: docs/protocol/pbft.md.
//
// Each view that it votes in is an Instance of its own. Between leaving one and installing the next it votes in none, and
// the last one still learns.
type Protocol struct {
	self  epoch.ReplicaID
	epoch *epoch.Epoch

	view      epoch.View // it has promised to vote in no lower one
	current   *Instance  // of view; nil before its NewView is installed
	last      *Instance  // the one before it, or before view
	stable    *proof.Checkpoint
	delivered epoch.Seq
	prepared  map[epoch.Seq]*ordering.Prepared // of views before current's, above the stable checkpoint: the highest view each

	left      *ordering.Left         // why it votes in no view below view; nil if installed says so
	installed *ordering.Installed    // why it votes in current; nil in view 0
	own       *message.Signed        // its ViewChange for view, once signed
	newView   *message.Signed        // signed by its leader: of current, or of one that waits for ViewChanges that it names
	changes   []*message.Signed      // by member: the ViewChange of the highest view
	named     []*message.Signed      // by place: the ViewChanges that newView names, as far as they have come
	early     []*message.Signed      // for view, which is not begun here: what overtakes its NewView
	earlySize int                    // bytes attached to them
	wanted    map[crypto.Digest]bool // batches that have been asked for before view is begun
	helped    []help                 // by member: with what it lacks of view
	suspicion suspicion
	accused   []*message.Evidence // by member: the first proof that it lies
	ticks     int

	out ordering.Output
}

// New takes part in an epoch. What the facts oblige this replica to have said, it says again.
func New(s ordering.Start) *Protocol {
	n := s.Epoch.N()
	var left *ordering.Left
	var installed *ordering.Installed
	for _, rec := range s.Promises {
		switch rec := rec.(type) {
		case *ordering.Left:
			left = rec
		case *ordering.Installed:
			installed = rec
		}
	}
	p := &Protocol{
		self: s.Self, epoch: s.Epoch, stable: s.Stable, delivered: s.Delivered,
		prepared: make(map[epoch.Seq]*ordering.Prepared), installed: installed, wanted: make(map[crypto.Digest]bool),
		changes: make([]*message.Signed, n), helped: make([]help, n), suspicion: newSuspicion(n), accused: make([]*message.Evidence, n),
	}
	var settled plan
	if i := installed; i != nil {
		p.view, settled, p.newView = i.NewView.View, settle(i.ViewChanges), i.Signed
		for _, m := range i.ViewChanges {
			p.changes[m.Author-1] = m
		}
	}
	in := newInstance(&s, p.view, settled)
	if left != nil && left.ViewChange.View > p.view {
		in.left = true
		p.view, p.left, p.last, p.newView = left.ViewChange.View, left, in, nil
		p.suspicion.begin()
		p.out.Send = append(p.out.Send, message.Outgoing{Body: left.ViewChange, Epoch: s.Epoch.ID})
	} else {
		p.current = in
		if installed != nil && installed.Signed == nil {
			p.out.Send = append(p.out.Send, message.Outgoing{Body: installed.NewView, Epoch: s.Epoch.ID})
		}
	}
	in.restore(s.Facts, s.Batches)
	for _, f := range s.Facts {
		if f, ok := f.(*ordering.Prepared); ok && f.View < in.view {
			p.remember(f)
		}
	}
	if p.current != nil && p.Leader() == p.self {
		in.proposeSettled()
	}
	return p
}

// remember keeps a certificate of an earlier view.
func (p *Protocol) remember(f *ordering.Prepared) {
	if old := p.prepared[f.Seq]; f.Seq > p.stable.Header.Seq && (old == nil || f.View > old.View) {
		p.prepared[f.Seq] = f
	}
}

// active is the Instance that is voted in, or else the one that still learns.
func (p *Protocol) active() *Instance {
	if p.current != nil {
		return p.current
	}
	return p.last
}

// instances are those that may still decide something.
func (p *Protocol) instances() []*Instance {
	switch {
	case p.current == nil:
		return []*Instance{p.last}
	case p.last == nil:
		return []*Instance{p.current}
	default:
		return []*Instance{p.last, p.current}
	}
}

func (p *Protocol) View() epoch.View        { return p.view }
func (p *Protocol) Voting() bool            { return p.current != nil }
func (p *Protocol) Leader() epoch.ReplicaID { return p.epoch.Leader(p.view) }
func (p *Protocol) Role() ordering.Role {
	switch {
	case p.Leader() != p.self:
		return ordering.Follower
	case p.current == nil:
		return ordering.Candidate
	default:
		return ordering.Leader
	}
}

func (p *Protocol) Open() epoch.Seq                    { return p.active().Open() }
func (p *Protocol) Propose(b *message.Batch) bool      { return p.current != nil && p.current.Propose(b) }
func (p *Protocol) Batch(seq epoch.Seq) *message.Batch { return p.active().Batch(seq) }

func (p *Protocol) Known(d crypto.Digest) *message.Batch {
	for _, in := range p.instances() {
		if b := in.known[d]; b != nil {
			return b
		}
	}
	return nil
}

// Accept says that a batch is in hand. Before a view is begun, it is one that a ViewChange shows.
func (p *Protocol) Accept(seq epoch.Seq, b *message.Batch) {
	if p.current != nil {
		p.current.Accept(seq, b)
		return
	}
	if p.wanted[b.Digest()] {
		p.last.known[b.Digest()] = b
		p.enter()
	}
}

func (p *Protocol) Voters(seq epoch.Seq, d crypto.Digest) []epoch.ReplicaID {
	if p.current == nil {
		return p.shownBy(seq, d)
	}
	return p.current.Voters(seq, d)
}

// Progress is that of the view that is voted in.
func (p *Protocol) Progress() []message.Phase {
	if p.current == nil {
		return nil
	}
	return p.current.Progress()
}

// What is kept of messages that overtake the NewView of their view: view changes are large, and come slowly. The rest is sent again.
const (
	maxEarly      = 256
	maxEarlyBytes = 2 << 20
)

var (
	errLeft  = errors.New("this replica votes in no view at the moment")
	errOlder = errors.New("of a view that is over")
)

// Receive takes in a checked message.
func (p *Protocol) Receive(m *message.Signed) error {
	switch b := m.Body.(type) {
	case *message.PrePrepare:
		return p.toView(b.View, m)
	case *message.Prepare:
		return p.toView(b.View, m)
	case *message.Commit:
		p.besideViewChange(m, b)
		if p.last != nil && b.View == p.last.view {
			return p.last.Receive(m) // leaving stops voting, never learning
		}
		return p.toView(b.View, m)
	case *message.Suspect:
		return p.onSuspect(m.Author, b)
	case *message.ViewChange:
		return p.onViewChange(m, b)
	case *message.NewView:
		return p.onNewView(m, b)
	default:
		return fmt.Errorf("%s is not PBFT's", m.Body.Kind())
	}
}

func (p *Protocol) toView(v epoch.View, m *message.Signed) error {
	switch {
	case p.current == nil && v == p.view && len(p.early) < maxEarly && p.earlySize+len(m.Attached) <= maxEarlyBytes:
		p.early = append(p.early, m)
		p.earlySize += len(m.Attached)
		return nil
	case p.current == nil:
		return errLeft
	case v != p.view:
		return fmt.Errorf("for view %d, in view %d", v, p.view)
	}
	return p.current.Receive(m)
}

// Overhear looks whether a message to a decided slot contradicts its author.
func (p *Protocol) Overhear(m *message.Signed) {
	if c, ok := m.Body.(*message.Commit); ok {
		p.besideViewChange(m, c)
	}
	for _, in := range p.instances() {
		in.Overhear(m)
	}
}

// Learned says that a slot's decision has come by proof from elsewhere.
func (p *Protocol) Learned(seq epoch.Seq, d crypto.Digest) (logged bool) {
	for _, in := range p.instances() {
		logged = in.Learned(seq, d) || logged
	}
	return logged
}

// Delivered says that every slot up to seq is decided and handed on, and how much is done by the last.
func (p *Protocol) Delivered(seq epoch.Seq, work uint64) {
	for _, in := range p.instances() {
		in.Delivered(seq)
	}
	p.delivered = max(p.delivered, seq)
	p.suspicion.progressed(p, work)
}

// Executed says that the machine has executed a slot.
func (p *Protocol) Executed(seq epoch.Seq) {
	in := p.active()
	if at := in.At(seq); at != nil && at.voted {
		p.suspicion.executed(in.ticks - at.acceptedAt)
	}
}

// Stable says that no member needs to hear of this slot or anything before it again.
func (p *Protocol) Stable(c *proof.Checkpoint) {
	p.stable = c
	for _, in := range p.instances() {
		in.trim(c.Header.Seq)
	}
	for _, seq := range slices.Sorted(maps.Keys(p.prepared)) {
		if seq <= c.Header.Seq {
			delete(p.prepared, seq)
		}
	}
	p.forgetKnown()
	if p.current != nil && p.Leader() == p.self {
		p.current.proposeSettled() // what lay beyond the window before
	}
}

// forgetKnown lets go of batches of earlier views that nobody can need any more.
func (p *Protocol) forgetKnown() {
	for _, in := range p.instances() {
		kept := make(map[crypto.Digest]*message.Batch)
		keep := func(d crypto.Digest) {
			if b := in.known[d]; b != nil {
				kept[d] = b
			}
		}
		for _, f := range p.Facts() {
			v, _ := ordering.VoteOf(f)
			keep(v.Digest)
		}
		for seq := max(p.stable.Header.Seq, in.settled.start) + 1; seq <= in.settled.last(); seq++ {
			d, _ := in.settled.at(seq)
			keep(d)
		}
		in.known = kept
	}
}

// Facts are those above the stable checkpoint: of the view that is voted in, of the last one before it, where what was accepted
// may still be decided, and the certificates of those before.
func (p *Protocol) Facts() []ordering.Record {
	var facts []ordering.Record
	for seq := p.stable.Header.Seq + 1; seq <= p.stable.Header.Seq+p.active().Size(); seq++ {
		if f := p.prepared[seq]; f != nil {
			facts = append(facts, f)
		}
	}
	for _, in := range p.instances() {
		facts = append(facts, in.Facts()...)
	}
	return facts
}

// Promises are why this replica votes where it does.
func (p *Protocol) Promises() (records []ordering.Record) {
	if p.installed != nil {
		records = append(records, p.installed)
	}
	if p.left != nil {
		records = append(records, p.left)
	}
	return records
}

// Take is all that was asked for since the last Take.
func (p *Protocol) Take() ordering.Output {
	out := p.out
	p.out = ordering.Output{}
	for _, in := range p.instances() {
		more := in.Take()
		out.Persist = append(out.Persist, more.Persist...)
		out.Send = append(out.Send, more.Send...)
		out.Proposed = append(out.Proposed, more.Proposed...)
		out.Decided = append(out.Decided, more.Decided...)
		out.Evidence = append(out.Evidence, more.Evidence...)
	}
	return out
}

// Tick ages what is open, and tells when it is time to leave.
func (p *Protocol) Tick(owed ordering.Owed) {
	p.ticks++
	p.active().Tick()
	p.tickSuspicion(owed)
}
