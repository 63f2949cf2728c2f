package paxos

// Phase 1 (Paxos Made Simple, §2.2), once for all slots of the window: docs/protocol/paxos.md.

import (
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
)

// maxAhead is how far above one's own view another may be.
const maxAhead = 1 << 20

// promise accepts nothing in any view below w any more, and tells w's owner all that was accepted.
func (p *Protocol) promise(w epoch.View) {
	p.view = w
	p.begin()
	start := p.stable.Header.Seq
	b := &message.PaxosPromise{View: w, Start: start}
	if start > p.epoch.Base { // that one proves itself
		b.Header, b.Attestations = p.stable.Header.Digest(), p.stable.Attestations
	}
	for seq := start + 1; seq <= start+p.current.Size(); seq++ {
		if f := p.acceptedAt(seq); f != nil {
			b.Accepted = append(b.Accepted, f.Vote)
		}
	}
	p.promised = &ordering.Promised{Promise: b}
	p.out.Persist = append(p.out.Persist, p.promised)
	p.sayTo(p.Leader(), b)
	p.out.Moved, p.out.Settled = true, nil
	p.election.begin(p)
}

// campaign is phase 1a: with the least view above all heard of that this replica owns. Its own promise is in the log before anybody hears of that
// view, so it never uses one twice.
func (p *Protocol) campaign() {
	w := max(p.view, p.election.highest) + 1
	for p.epoch.Leader(w) != p.self {
		w++
	}
	p.promise(w)
	p.role, p.promises = ordering.Candidate, make([]*message.Signed, p.epoch.N())
	p.say(p.current.others(), &message.PaxosPrepare{View: w})
}

// onPrepare is phase 1b.
func (p *Protocol) onPrepare(m *message.Signed, b *message.PaxosPrepare) error {
	switch {
	case m.Author != p.epoch.Leader(b.View):
		return errNotLeader
	case b.View < p.view:
		return errOlder
	case b.View-p.view > maxAhead:
		return errFar
	case b.View > p.view:
		p.promise(b.View)
		return nil
	}
	p.promiseAgain()
	return ordering.ErrAgain
}

// promiseAgain tells the owner of this view once more what it may not have heard, now and then, until it leads.
func (p *Protocol) promiseAgain() {
	if p.promised != nil && !p.joined && p.Leader() != p.self && p.ticks >= p.promiseAt {
		p.promiseAt = p.ticks + repeatTicks
		p.sayTo(p.Leader(), p.promised.Promise)
	}
}

// onPromise counts who has promised.
func (p *Protocol) onPromise(m *message.Signed, b *message.PaxosPromise) error {
	if p.role != ordering.Candidate || b.View != p.view {
		return errNotLeading
	}
	if before := p.promises[m.Author-1]; before != nil {
		if e, err := message.NewEvidence(before, m); err == nil {
			p.out.Evidence = append(p.out.Evidence, e)
		}
		return ordering.ErrAgain
	}
	p.promises[m.Author-1] = m
	p.election.heard(p, m.Author)
	p.consider()
	return nil
}

// consider leads once a majority has promised, and all that is known to be decided below what they show is delivered here: what it lacks a
// candidate gets as blocks.
func (p *Protocol) consider() {
	if p.role != ordering.Candidate {
		return
	}
	n := 0
	for _, m := range p.promises {
		if m != nil {
			n++
		}
	}
	if n < p.epoch.Quorum() {
		return
	}
	if settled := settle(p.promises); settled.start <= p.delivered {
		p.current.settled = settled
		p.lead()
	}
}

// lead asks for batches from now on, first for those that the promises have settled.
func (p *Protocol) lead() {
	in := p.current
	p.role, p.joined, in.leads = ordering.Leader, true, true
	in.next = max(in.next, in.settled.last()+1)
	for seq := p.delivered + 1; seq <= in.settled.last(); seq++ {
		v, _ := in.settled.vote(p.view, seq)
		if b := in.batch(seq, v.Digest); b != nil {
			p.out.Settled = append(p.out.Settled, b)
		}
	}
	p.out.Moved = true
	p.proposeSettled()
	p.election.anew(p)
	p.beat()
}

// proposeSettled asks for what the promises have settled, as soon as its batches are in hand.
func (p *Protocol) proposeSettled() {
	in := p.current
	if !in.leads {
		return
	}
	for seq := p.delivered + 1; seq <= in.settled.last(); seq++ {
		v, ok := in.settled.vote(p.view, seq)
		if !ok || !in.In(seq) {
			continue
		}
		if s := in.Slot(seq); s.Phase == message.Empty && !s.settled {
			s.settled = true
			in.await(v, nil, nil)
		}
	}
}

// follow takes part in a view whose leader is heard: it has a majority's promises.
func (p *Protocol) follow(m *message.Signed, v epoch.View) error {
	switch {
	case m.Author != p.epoch.Leader(v):
		return errNotLeader
	case v < p.view || v == p.view && p.Leader() == p.self:
		return errOlder
	case v-p.view > maxAhead:
		return errFar
	case v > p.view:
		p.promise(v)
	}
	p.joined = true
	p.election.heard(p, m.Author)
	return nil
}

// Help sends a peer again what it lacks, and takes in one that has promised a view above that nobody leads.
func (p *Protocol) Help(peer epoch.ReplicaID, s *message.Status) {
	if p.stopped {
		return
	}
	p.election.claims(p, peer, s.View)
	switch {
	case p.role == ordering.Candidate && s.View < p.view:
		p.sayTo(peer, &message.PaxosPrepare{View: p.view})
	case s.View == p.view && peer == p.Leader() && !s.Installed:
		p.promiseAgain()
	case p.role == ordering.Leader && s.View > p.view && s.View-p.view <= maxAhead && !s.Installed && p.election.settledDown(p):
		p.campaign()
		return
	}
	p.current.help(peer, s)
}
