package sim

import (
	"slices"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/store"
)

// words are all the promises that a member has let out of its hands, ever.
type words struct {
	said map[promise]crypto.Digest
	list []promise                    // in the order in which they were first said
	left map[crypto.Digest]epoch.View // by epoch: it has said that it votes in no view below
}

// promise is what a member may say one thing about. The leader's proposal and a backup's Prepare are one kind: either
// says that the member stands by a batch.
type promise struct {
	epoch crypto.Digest
	kind  message.Kind // KindPrepare, KindCommit, KindViewChange, KindNewView, KindAttestation; KindPaxosAccept, KindPaxosAccepted or KindPaxosPromise
	view  epoch.View
	seq   epoch.Seq
}

// votes says whether it is a word about a slot in a view.
func (p promise) votes() bool {
	switch p.kind {
	case message.KindPrepare, message.KindCommit, message.KindPaxosAccept, message.KindPaxosAccepted:
		return true
	}
	return false
}

func newWords() words {
	return words{said: make(map[promise]crypto.Digest), left: make(map[crypto.Digest]epoch.View)}
}

// promiseOf is what a message binds its author to; ok is false if to nothing.
func promiseOf(m *message.Signed) (p promise, d crypto.Digest, ok bool) {
	if v, ok := message.VoteOf(m.Body); ok {
		kind := m.Body.Kind()
		if kind == message.KindPrePrepare {
			kind = message.KindPrepare
		}
		return promise{m.Epoch, kind, v.View, v.Seq}, v.Digest, true
	}
	switch b := m.Body.(type) {
	case *message.ViewChange:
		return promise{m.Epoch, message.KindViewChange, b.View, 0}, m.Digest(), true
	case *message.NewView:
		return promise{m.Epoch, message.KindNewView, b.View, 0}, m.Digest(), true
	case *message.PaxosPromise:
		return promise{m.Epoch, message.KindPaxosPromise, b.View, 0}, m.Digest(), true
	case *message.Attestation:
		return promise{m.Epoch, message.KindAttestation, 0, b.Seq}, b.Header, true
	default:
		return promise{}, crypto.Digest{}, false
	}
}

// sent takes in a message that leaves a member; first says that it had not said this before.
func (a *auditor) sent(host int, m *message.Signed) (first bool, err error) {
	p, d, ok := promiseOf(m)
	if author := int(m.Author); author != host {
		if a.of(author).lies {
			return false, nil // it says what it likes
		}
		if said, there := a.of(author).words.said[p]; !ok || !there || said != d {
			return false, breaks("promises", "speaks in the name of node%d, which has not said this", m.Author)
		}
		return false, nil // it passes on what another has said
	}
	if !ok {
		return true, nil
	}
	w := a.of(host)
	if w.lies {
		return true, nil // what others have heard of it comes back to its replica, which passes that on in its own name
	}
	if in := a.epochOf(m.Epoch); in == nil || in.Members[m.Author-1].Incarnation != w.incarnation {
		return false, breaks("promises", "says %s of slot %d in view %d, and has forgotten what it promised before", p.kind, p.seq, p.view)
	}
	if before, ok := w.words.said[p]; ok {
		if before != d {
			return false, breaks("promises", "says %s of slot %d in view %d for %s, and said it for %s before", p.kind, p.seq, p.view, d.Short(), before.Short())
		}
		return false, nil
	}
	w.words.said[p] = d
	w.words.list = append(w.words.list, p)
	if p.votes() && p.view < w.words.left[p.epoch] {
		return true, breaks("promises", "says %s of slot %d in view %d, and had left for view %d", p.kind, p.seq, p.view, w.words.left[p.epoch])
	}
	switch p.kind {
	case message.KindViewChange:
		w.words.left[p.epoch] = max(w.words.left[p.epoch], p.view)
	case message.KindPaxosPromise:
		w.words.left[p.epoch] = max(w.words.left[p.epoch], p.view)
		return true, w.words.shows(m.Epoch, m.Body.(*message.PaxosPromise))
	case message.KindCommit:
		if stood, ok := w.words.said[promise{p.epoch, message.KindPrepare, p.view, p.seq}]; ok && stood != d {
			return true, breaks("promises", "commits slot %d in view %d for %s, and stood by %s", p.seq, p.view, d.Short(), stood.Short())
		}
	case message.KindPaxosAccept:
		if stood, ok := w.words.said[promise{p.epoch, message.KindPaxosAccepted, p.view, p.seq}]; ok && stood != d {
			return true, breaks("promises", "asks for %s at slot %d in view %d, and has accepted %s", d.Short(), p.seq, p.view, stood.Short())
		}
	case message.KindAttestation:
		w.attested = max(w.attested, p.seq)
		return true, a.sameHeader(p.seq, d)
	}
	return true, nil
}

// shows says whether a promise has all that its author has accepted in the views below, or at each of these slots something later.
func (w *words) shows(in crypto.Digest, b *message.PaxosPromise) error {
	for _, p := range w.list {
		if p.epoch != in || p.kind != message.KindPaxosAccepted || p.seq <= b.Start || p.view >= b.View {
			continue
		}
		if !slices.ContainsFunc(b.Accepted, func(v message.Vote) bool {
			return v.Seq == p.seq && (v.View > p.view || v.View == p.view && v.Digest == w.said[p])
		}) {
			return breaks("promises", "promises view %d, and does not show that it has accepted slot %d in view %d", b.View, p.seq, p.view)
		}
	}
	return nil
}

// memory is what a member's log would tell it after a crash: the checkers read it themselves.
type memory struct {
	stable   epoch.Seq
	born     bool
	epoch    crypto.Digest             // the one that it takes part in
	next     crypto.Digest             // the one that has been announced to it
	view     epoch.View                // it votes in none below
	facts    map[promise]crypto.Digest // what it accepted and prepared, as the words that rest on it
	prepared []*ordering.Prepared
	accepted map[epoch.Seq]message.Vote // of each slot that of the highest view
	bodies   map[crypto.Digest]bool
	headers  map[epoch.Seq]crypto.Digest
	newest   epoch.Seq
	damaged  bool // bodies may be lost: any member can supply them
}

// readMemory reads a disk, which it may change.
func readMemory(disk *store.Memory, o store.Options) (m *memory, torn bool, err error) {
	m = &memory{bodies: make(map[crypto.Digest]bool), headers: make(map[epoch.Seq]crypto.Digest)}
	m.clear()
	log, found, err := store.Open(disk, folder, o, m.visit)
	if err != nil {
		return nil, false, err
	}
	m.damaged = len(found.Lost) > 0
	return m, found.TornBytes > 0, log.Close()
}

func (m *memory) clear() {
	m.facts = make(map[promise]crypto.Digest)
	m.prepared = nil
	m.accepted = make(map[epoch.Seq]message.Vote)
	m.view = 0
}

func (m *memory) visit(_ store.Position, r store.Record, live bool) error {
	kind := ordering.RecordKind(r.Kind)
	if kind == ordering.KindBodies {
		d, err := ordering.BodiesDigest(r.Payload)
		m.bodies[d] = true
		return err
	}
	if kind == ordering.KindDecided {
		h, err := ordering.DecidedHeader(r.Payload)
		m.headers[h.Seq] = h.Digest()
		m.newest = max(m.newest, h.Seq)
		return err
	}
	if !live {
		return nil
	}
	rec, err := ordering.Decode(kind, r.Payload)
	if err != nil {
		return err
	}
	m.take(rec)
	return nil
}

func (m *memory) take(rec ordering.Record) {
	switch rec := rec.(type) {
	case *ordering.Birth:
		m.born = true
	case *ordering.Entered:
		m.clear()
		m.epoch, m.next = rec.Epoch.ID, crypto.Digest{}
	case *ordering.Sealed:
		m.next = rec.Next.ID
	case *ordering.Accepted:
		m.facts[promise{m.epoch, message.KindPrepare, rec.View, rec.Seq}] = rec.Digest
		if v, ok := m.accepted[rec.Seq]; !ok || rec.View >= v.View {
			m.accepted[rec.Seq] = rec.Vote
		}
	case *ordering.Prepared:
		m.facts[promise{m.epoch, message.KindCommit, rec.View, rec.Seq}] = rec.Digest
		m.prepared = append(m.prepared, rec)
	case *ordering.Promised:
		m.view = max(m.view, rec.Promise.View)
	case *ordering.Left:
		m.view = max(m.view, rec.ViewChange.View)
	case *ordering.Installed:
		m.view = max(m.view, rec.NewView.View)
	case *ordering.Base:
		m.clear() // it repeats all that is still live, with what stands behind it
		m.born, m.stable, m.epoch = true, rec.Stable.Header.Seq, rec.Epoch.ID
		for _, f := range rec.Facts {
			m.take(f)
		}
	}
}

// certified says whether there is a certificate for what a member committed, or of a later view for its slot.
func (m *memory) certified(p promise, d crypto.Digest) bool {
	for _, rec := range m.prepared {
		if rec.Seq == p.seq && (rec.View > p.view || rec.View == p.view && rec.Digest == d) {
			return true
		}
	}
	return false
}

// remembers holds what a member's log would tell it against all that it has said: each word above the stable checkpoint
// must rest on a fact there, and each attestation on blocks.
func (a *auditor) remembers(host int, m *memory) error {
	w := a.of(host)
	if w.lies {
		return nil
	}
	if !m.born {
		return breaks("promises", "does not remember whose log it has")
	}
	if a.epochOf(m.epoch) == nil && len(w.words.list) > 0 {
		return breaks("promises", "has said what it did in an epoch, and forgotten that there is any")
	}
	kept := w.words.list[:0]
	for _, p := range w.words.list {
		d := w.words.said[p]
		if p.kind == message.KindAttestation {
			if m.headers[p.seq] != d {
				return breaks("promises", "has attested header %s of slot %d, and forgotten the block", d.Short(), p.seq)
			}
			kept = append(kept, p)
			in, forced := a.epochOf(m.epoch), a.recoveries[m.next] != nil // what operators sign takes the place of what was announced, or signed before
			if p.epoch != m.epoch && p.epoch != m.next && !forced && a.epochOf(p.epoch).Number > in.Number {
				return breaks("promises", "has attested slot %d in epoch %s, and forgotten that it was announced", p.seq, p.epoch.Short())
			}
			continue
		}
		if in := a.epochOf(m.epoch); p.epoch != m.epoch {
			if a.epochOf(p.epoch).Number > in.Number {
				return breaks("promises", "has said %s of slot %d in view %d of epoch %s, and forgotten that this has begun", p.kind, p.seq, p.view, p.epoch.Short())
			}
			continue // it was about an epoch that is over
		}
		if p.kind == message.KindViewChange || p.kind == message.KindNewView || p.kind == message.KindPaxosPromise {
			kept = append(kept, p)
			if m.view < p.view {
				return breaks("promises", "has said %s of view %d, and remembers no view above %d", p.kind, p.view, m.view)
			}
			continue
		}
		if p.seq <= m.stable {
			continue // settled, and attested by a quorum
		}
		if p.view < m.view && p.kind == message.KindPrepare {
			continue // it was about a view that is over
		}
		kept = append(kept, p)
		if p.kind == message.KindPaxosAccepted || p.kind == message.KindPaxosAccept {
			if v := m.accepted[p.seq]; v.View < p.view || v.View == p.view && v.Digest != d {
				return breaks("promises", "has accepted %s at slot %d in view %d, and forgotten it", d.Short(), p.seq, p.view)
			}
			if v := m.accepted[p.seq]; !m.bodies[v.Digest] && !m.damaged {
				return breaks("promises", "has accepted batch %s at slot %d, and has forgotten its transactions", v.Digest.Short(), p.seq)
			}
			continue
		}
		if p.view < m.view && m.certified(p, d) {
			continue
		}
		if fact, ok := m.facts[p]; !ok || fact != d {
			return breaks("promises", "has said %s of slot %d in view %d for %s, and forgotten it", p.kind, p.seq, p.view, d.Short())
		}
		if !m.bodies[d] && !m.damaged {
			return breaks("promises", "stands by batch %s at slot %d, and has forgotten its transactions", d.Short(), p.seq)
		}
	}
	w.words.list = kept
	if m.newest < w.durable {
		return breaks("durability", "had made block %d durable, and its log ends at block %d", w.durable, m.newest)
	}
	for _, p := range m.prepared {
		if err := a.prepared(a.epochOf(m.epoch), p); err != nil {
			return err
		}
	}
	return nil
}
