package pbft

// How a view ends and the next begins (§4.4, §4.5.2): docs/protocol/pbft.md.

import (
	"bytes"
	"cmp"
	"errors"
	"maps"
	"slices"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/crypto"
)

const (
	// viewPause is how many ticks nothing of a view is sent again to one peer after it was. What is large is sent after pauses that are twice as
	// long each time, up to maxViewPause or what makes viewRate bytes a tick of it: a link may be so narrow that what is said again only holds up
	// what was said before.
	viewPause    = 20
	maxViewPause = 160
	viewRate     = 600
	// helpTicks is after how many ticks in which a peer has lacked nothing it is helped as if for the first time.
	helpTicks = 250
)

// help is how a member is helped into a view.
type help struct {
	first int // tick since which it lacks something
	asked int // tick at which it last did
	at    int // tick from which it may be sent something
	times int // that it was
}

var errAhead = errors.New("new view before its view changes")

// leave promises to vote in no view below w, and in none whose leader is proven to lie.
func (p *Protocol) leave(w epoch.View) {
	for p.shuns(w) {
		w++
	}
	p.suspicion.failed(p.epoch)
	if p.current != nil {
		p.current.left = true
		p.last, p.current = p.current, nil
	}
	p.view, p.own = w, nil
	p.newView, p.named = nil, nil
	p.left = &ordering.Left{ViewChange: p.viewChange()}
	p.out.Persist = append(p.out.Persist, p.left)
	p.out.Send = append(p.out.Send, message.Outgoing{Body: p.left.ViewChange, Epoch: p.epoch.ID})
	p.out.Moved = true
	p.wanted, p.early, p.earlySize = make(map[crypto.Digest]bool), nil, 0
	p.suspicion.begin()
	p.helpLater()
	p.enter()
}

// viewChange is all that this replica can show of what may have been decided.
func (p *Protocol) viewChange() *message.ViewChange {
	start := p.stable.Header.Seq
	v := &message.ViewChange{View: p.view, Start: start}
	if start > p.epoch.Base { // that one proves itself
		v.Header, v.Attestations = p.stable.Header.Digest(), p.stable.Attestations
	}
	for seq := start + 1; seq <= start+p.last.Size(); seq++ {
		f := p.prepared[seq]
		if s := p.last.At(seq); s != nil && s.prepared != nil {
			f = s.prepared
		}
		if f != nil {
			v.Prepared = append(v.Prepared, message.Certificate{Vote: f.Vote, Votes: f.Prepares})
		}
	}
	return v
}

// onViewChange takes in what a member shows as it leaves for a view.
func (p *Protocol) onViewChange(m *message.Signed, v *message.ViewChange) error {
	before := p.changes[m.Author-1]
	if before != nil {
		p.conflict(before, m)
	}
	p.besideCommits(m, v)
	wanted := p.fill(m)
	if m.Author == p.self && p.left != nil && same(v, p.left.ViewChange) {
		p.own = m
	}
	switch {
	case before == nil || viewOf(before) < v.View:
		p.changes[m.Author-1] = m
	case !wanted:
		return ordering.ErrAgain
	}
	p.join()
	p.consider()
	p.enter()
	p.begin()
	return nil
}

// same says whether a ViewChange is the one that this replica has promised to say: somebody with its key may say another.
func same(a, b *message.ViewChange) bool {
	var x, y message.Writer
	a.Encode(&x)
	b.Encode(&y)
	return bytes.Equal(x.Bytes(), y.Bytes())
}

// join follows f+1 members, of whom one is correct, to the least view that so many have left for.
func (p *Protocol) join() {
	views := make([]epoch.View, len(p.changes))
	for i, m := range p.changes {
		if m != nil {
			views[i] = viewOf(m)
		}
	}
	slices.SortFunc(views, func(a, b epoch.View) int { return cmp.Compare(b, a) })
	if v := views[p.epoch.Witnesses()-1]; v > p.view {
		p.leave(v)
	}
}

// enter looks whether a quorum has left for this view, or one above: its clock runs from then on. Whoever leads it begins it, if
// a quorum has left for just this one.
func (p *Protocol) enter() {
	if p.current != nil {
		return
	}
	reached := 0
	var there []*message.Signed // in order of the members' numbers
	for _, m := range p.changes {
		if m == nil || viewOf(m) < p.view {
			continue
		}
		reached++
		if viewOf(m) == p.view && len(there) < p.epoch.Quorum() && (p.Leader() != p.self || p.canPropose(m)) {
			there = append(there, m)
		}
	}
	if reached >= p.epoch.Quorum() {
		p.suspicion.entered = true // a member that is ahead has left this one too, and alone it cannot bring the others on
	}
	if len(there) == p.epoch.Quorum() && p.Leader() == p.self {
		v := &message.NewView{View: p.view}
		for _, m := range there {
			v.ViewChanges = append(v.ViewChanges, message.Named{Author: m.Author, Digest: m.Digest()})
		}
		p.install(v, nil, there)
	}
}

// canPropose says whether the batches of all certificates in a ViewChange are at hand; what is missing is asked for. A leader
// names no other: its author may be the only one that has the batch, and keep it. That of a correct member has all of its own, and
// gives them, so a quorum comes about without liars.
func (p *Protocol) canPropose(m *message.Signed) bool {
	all := true
	for _, c := range m.Body.(*message.ViewChange).Prepared {
		if c.Seq <= p.delivered || c.Digest == nullDigest() || p.batch(c.Seq, c.Digest) != nil {
			continue
		}
		all = false
		if !p.wanted[c.Digest] {
			p.wanted[c.Digest] = true
			p.out.Proposed = append(p.out.Proposed, ordering.Proposal{Vote: message.Vote{View: p.view, Seq: c.Seq, Digest: c.Digest}})
		}
	}
	return all
}

// batch is one of this digest that is at hand, from any view.
func (p *Protocol) batch(seq epoch.Seq, d crypto.Digest) *message.Batch {
	for _, in := range p.instances() {
		if b := in.Batch(seq); b != nil && b.Digest() == d {
			return b
		}
		if b := in.known[d]; b != nil {
			return b
		}
	}
	return nil
}

// shownBy are those who have shown a certificate for a batch, and those who stand in it: they have its transactions.
func (p *Protocol) shownBy(seq epoch.Seq, d crypto.Digest) (ids []epoch.ReplicaID) {
	add := func(id epoch.ReplicaID) {
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	for _, m := range p.changes {
		if m == nil {
			continue
		}
		for _, c := range m.Body.(*message.ViewChange).Prepared {
			if c.Seq != seq || c.Digest != d {
				continue
			}
			add(m.Author)
			for _, v := range c.Votes {
				add(v.Author)
			}
		}
	}
	return ids
}

// onNewView takes the leader of this view at its word for whose ViewChanges it begins with; what follows from them is computed
// here. One of a view to come is no use before this replica has left for it, by f+1 ViewChanges: it comes again behind these.
func (p *Protocol) onNewView(m *message.Signed, v *message.NewView) error {
	if p.newView != nil {
		p.conflict(p.newView, m)
	}
	switch {
	case m.Author != p.epoch.Leader(v.View):
		return errNotLeader
	case v.View == p.view && p.current != nil && m.Author == p.self && p.newView == nil:
		p.newView = m
		return nil
	case v.View < p.view:
		return errOlder
	case v.View > p.view:
		return errAhead
	case p.current != nil, m.Author == p.self, p.newView != nil:
		return ordering.ErrAgain
	}
	p.newView, p.named = m, make([]*message.Signed, len(v.ViewChanges))
	for _, c := range p.changes {
		if c != nil {
			p.fill(c)
		}
	}
	p.begin()
	return nil
}

// fill keeps a ViewChange that the NewView at hand names, and says whether it does.
func (p *Protocol) fill(m *message.Signed) bool {
	if p.newView == nil {
		return false
	}
	for i, name := range p.newView.Body.(*message.NewView).ViewChanges {
		if i < len(p.named) && name.Author == m.Author && p.named[i] == nil && name.Digest == m.Digest() {
			p.named[i] = m
			return true
		}
	}
	return false
}

// begin installs the view whose NewView is at hand, once all that it names is.
func (p *Protocol) begin() {
	if p.newView == nil || len(p.named) == 0 || slices.Contains(p.named, nil) {
		return
	}
	v, changes := p.newView.Body.(*message.NewView), p.named
	for _, m := range changes {
		if viewOf(m) != v.View {
			p.newView, p.named = nil, nil // it never was one
			return
		}
	}
	p.install(v, p.newView, changes)
}

// install votes in a view from now on; signed is nil if this replica leads it.
func (p *Protocol) install(v *message.NewView, signed *message.Signed, changes []*message.Signed) {
	old, settled := p.active(), settle(changes)
	s := ordering.Start{Self: p.self, Epoch: p.epoch, Stable: p.stable, Delivered: p.delivered, Batches: make(map[crypto.Digest]*message.Batch)}
	in := newInstance(&s, v.View, settled)
	for seq := p.stable.Header.Seq + 1; seq <= old.Highest; seq++ {
		was := old.At(seq)
		if was == nil {
			continue
		}
		if was.prepared != nil {
			p.remember(was.prepared)
		}
		if was.Phase == message.Decided {
			in.Slot(seq).Phase = message.Decided
		}
		if was.batch == nil {
			continue
		}
		in.known[was.digest()] = was.batch
	}
	for _, seq := range slices.Sorted(maps.Keys(p.prepared)) { // somebody may show it, and need it, in any view to come
		f := p.prepared[seq]
		if b := old.known[f.Digest]; b != nil {
			in.known[f.Digest] = b
		}
	}
	for seq := settled.start + 1; seq <= settled.last(); seq++ {
		d, _ := settled.at(seq)
		if b := old.known[d]; b != nil {
			in.known[d] = b
		}
		if b := in.known[d]; b != nil {
			p.out.Settled = append(p.out.Settled, b)
		}
	}
	old.left = true
	p.last, p.current, p.view = old, in, v.View
	p.left, p.own, p.named = nil, nil, nil
	p.installed, p.newView = &ordering.Installed{NewView: v, Signed: signed, ViewChanges: changes}, signed
	p.out.Persist = append(p.out.Persist, p.installed)
	p.out.Moved = true
	if signed == nil {
		p.out.Send = append(p.out.Send, message.Outgoing{Body: v, Epoch: p.epoch.ID})
		in.proposeSettled()
	}
	p.suspicion.begin()
	p.suspicion.entered = true
	p.helpLater()
	early := p.early
	p.early, p.earlySize = nil, 0
	for _, m := range early {
		_ = in.Receive(m) // an error says why it was of no use
	}
}

func viewOf(m *message.Signed) epoch.View {
	switch b := m.Body.(type) {
	case *message.ViewChange:
		return b.View
	case *message.NewView:
		return b.View
	default:
		return 0
	}
}

// besideCommits holds a ViewChange beside what its author has committed: it has to show all that.
func (p *Protocol) besideCommits(m *message.Signed, v *message.ViewChange) {
	for _, in := range p.instances() {
		if in.view >= v.View {
			continue
		}
		for seq := max(v.Start, in.Stable) + 1; seq <= in.Highest; seq++ {
			if s := in.At(seq); s != nil {
				if c := s.commits.Of(m.Author); c != nil {
					p.conflict(c, m)
				}
			}
		}
	}
}

// besideViewChange holds a Commit that comes late beside what its author has shown as it left.
func (p *Protocol) besideViewChange(m *message.Signed, c *message.Commit) {
	if v := p.changes[m.Author-1]; v != nil && viewOf(v) > c.View {
		p.conflict(v, m)
	}
}

func (p *Protocol) conflict(before, m *message.Signed) {
	if e, err := message.NewEvidence(before, m); err == nil {
		p.out.Evidence = append(p.out.Evidence, e)
	}
}

// helpLater is for what was said to all a moment ago.
func (p *Protocol) helpLater() {
	for i := range p.helped {
		p.helped[i] = help{first: p.ticks, asked: p.ticks, at: p.ticks + viewPause/2}
	}
}

// turn is after how many ticks it is this replica's turn to help a peer that still lacks a view: the members that could do not do it all at once.
func (p *Protocol) turn(peer epoch.ReplicaID) int {
	n := p.epoch.N()
	return viewPause * ((int(p.self)-int(peer)+n)%n - 1)
}

// Help sends a peer again what it lacks: first of the view, then of its slots.
func (p *Protocol) Help(peer epoch.ReplicaID, s *message.Status) {
	p.suspicion.heard(peer, s.Delivered)
	if s.View < p.view || s.View == p.view && !s.Installed {
		p.helpIntoView(peer, s.View)
		return
	}
	if s.View == p.view && p.current != nil {
		p.current.help(peer, s.Delivered, s.Progress)
	}
}

// helpIntoView sends a peer that does not vote in this view what it lacks. One that has left for it has the ViewChanges, most likely, and is sent the
// NewView alone at first.
func (p *Protocol) helpIntoView(peer epoch.ReplicaID, is epoch.View) {
	h := &p.helped[peer-1]
	if p.ticks-h.asked > helpTicks {
		*h = help{first: p.ticks, at: p.ticks}
	}
	h.asked = p.ticks
	whole := is < p.view || h.times > 0
	if p.ticks < h.at || whole && p.current != nil && p.ticks < h.first+p.turn(peer) {
		return
	}
	if e := p.accused[p.epoch.Leader(is)-1]; e != nil && is < p.view { // perhaps why it was left here
		p.out.Send = append(p.out.Send, message.Outgoing{Body: e, To: []epoch.ReplicaID{peer}, Epoch: p.epoch.ID})
	}
	size := 0
	again := func(m *message.Signed) {
		size += m.EncodedSize()
		p.out.Send = append(p.out.Send, message.Outgoing{Again: m, To: []epoch.ReplicaID{peer}, Epoch: p.epoch.ID})
	}
	switch {
	case p.current == nil && p.own != nil:
		again(p.own)
	case p.current != nil && p.newView != nil && viewOf(p.newView) == p.view:
		if whole {
			for _, m := range p.installed.ViewChanges {
				again(m)
			}
		}
		again(p.newView) // last: by the others its receiver leaves for this view
	}
	h.at = p.ticks + max(viewPause, min(viewPause<<min(h.times, 8), maxViewPause, size/viewRate))
	h.times++
}
