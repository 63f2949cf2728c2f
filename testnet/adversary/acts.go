package adversary

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
)

// Act is one way to lie.
type Act int

// The ways to lie. A script names them by their strings.
const (
	Silent       Act = iota // says nothing
	Equivocating            // tells every second member something else: other batches, votes, headers, view changes
	Withholding             // keeps transactions and blocks to itself
	Replaying               // says again what was true once, and orders again what was ordered
	Slow                    // holds everything back, just not long enough to be replaced
	Mutating                // changes one field of a vote, to nothing, by one, to the largest, for one member
	Flooding                // says everything several times, and votes for slots far ahead
	Hiding                  // changes views without showing what it has prepared
	Suspecting              // suspects every leader, and asks for view after view
	Forging                 // shows certificates that are none, and begins views that nobody has left for
	Censoring               // is deaf to what half of all clients ask for, and so never proposes it
)

var names = [...]string{
	"silent", "equivocate", "withhold", "replay", "slow", "mutate", "flood", "hide", "suspect", "forge", "censor",
}

// ActOf is the act of this name.
func ActOf(name string) (Act, error) {
	if i := slices.Index(names[:], name); i >= 0 {
		return Act(i), nil
	}
	return 0, fmt.Errorf("no way to lie is called %q: there are %s", name, strings.Join(names[:], ", "))
}

// String is the act's name in scripts and counts.
func (a Act) String() string { return names[a] }

// Acts are all ways to lie.
func Acts() (all []Act) {
	for i := range names {
		all = append(all, Act(i))
	}
	return all
}

// slowMillis is how long Slow holds a word back, at most: below the least timeout of a view.
const slowMillis = 400

// performers say what is sent to a member in place of a word; nil: the act has nothing to do with it.
var performers = [...]func(*Liar, epoch.ReplicaID, Word) []Word{
	Silent:       func(*Liar, epoch.ReplicaID, Word) []Word { return []Word{} },
	Equivocating: (*Liar).equivocate,
	Withholding:  (*Liar).withhold,
	Replaying:    (*Liar).replay,
	Slow:         (*Liar).slow,
	Mutating:     (*Liar).mutate,
	Flooding:     (*Liar).flood,
	Hiding:       (*Liar).hide,
	Suspecting:   (*Liar).suspect,
	Forging:      (*Liar).forge,
	Censoring:    func(*Liar, epoch.ReplicaID, Word) []Word { return nil }, // it lies in what it hears: see Hear
}

// own says whether a message is the liar's: what it passes on of others, it cannot sign.
func (l *Liar) own(w Word) bool { return w.Message.Author == l.cfg.Self }

func (l *Liar) equivocate(to epoch.ReplicaID, w Word) []Word {
	if !l.own(w) || !l.second(to) {
		return nil
	}
	other := func(v message.Vote) message.Vote {
		v.Digest = crypto.Hash("adversary/other", v.Digest[:]) // the same for all that are told something else
		return v
	}
	switch b := w.Message.Body.(type) {
	case *message.PrePrepare:
		if b.Batch == nil {
			return nil
		}
		batch := message.NewBatch(b.Batch.Time+1, b.Batch.Requests)
		return []Word{l.sign(message.NewPrePrepare(message.Vote{View: b.View, Seq: b.Seq, Digest: batch.Digest()}, batch))}
	case *message.Prepare:
		return []Word{l.sign(&message.Prepare{Vote: other(b.Vote)})}
	case *message.Commit:
		return []Word{l.sign(&message.Commit{Vote: other(b.Vote)})}
	case *message.Attestation:
		return []Word{l.sign(&message.Attestation{Seq: b.Seq, Header: crypto.Hash("adversary/other", b.Header[:])})}
	case *message.ViewChange:
		return []Word{l.sign(&message.ViewChange{View: b.View, Start: b.Start, Header: b.Header, Attestations: b.Attestations})}
	default:
		return nil
	}
}

func (l *Liar) withhold(_ epoch.ReplicaID, w Word) []Word {
	switch w.Message.Body.(type) {
	case *message.Bodies, *message.Have, *message.Bundle:
		return []Word{}
	default:
		return nil
	}
}

func (l *Liar) replay(_ epoch.ReplicaID, w Word) []Word {
	if p, ok := w.Message.Body.(*message.PrePrepare); ok && l.own(w) && p.Batch != nil && len(p.Batch.Requests) > 0 {
		return l.orderAgain(p)
	}
	if len(l.said) == 0 || !l.some(4) {
		return nil
	}
	return []Word{w, {Message: l.said[l.cfg.Chance.IntN(len(l.said))]}}
}

// orderAgain proposes, to all alike, a request of an earlier proposal beside the new ones. The liar's own replica stands by its batch,
// and learns what was decided.
func (l *Liar) orderAgain(p *message.PrePrepare) []Word {
	a := &l.again
	if a.view != p.View || a.told == nil {
		a.view, a.told, a.from = p.View, make(map[epoch.Seq][]Word), 0
		if l.cfg.Every > 0 {
			a.from = p.Seq + epoch.Seq(l.cfg.Epoch.Parameters.Burst)
		}
	}
	if told, ok := a.told[p.Seq]; ok {
		return told // to whoever has missed it; another one would be evidence
	}
	var word []Word
	old := a.old
	a.old = p.Batch.Requests[0]
	if p.Seq > a.from && old != nil && !slices.Contains(p.Batch.Requests, old) {
		batch := message.NewBatch(p.Batch.Time, append(slices.Clone(p.Batch.Requests), old))
		word = []Word{l.sign(message.NewPrePrepare(message.Vote{View: p.View, Seq: p.Seq, Digest: batch.Digest()}, batch))}
	}
	a.told[p.Seq] = word
	delete(a.told, p.Seq-remembered*8)
	return word
}

func (l *Liar) slow(_ epoch.ReplicaID, w Word) []Word {
	w.DelayMillis += slowMillis/2 + l.cfg.Chance.Int64N(slowMillis/2)
	return []Word{w}
}

func (l *Liar) mutate(_ epoch.ReplicaID, w Word) []Word {
	if !l.own(w) || !l.some(3) {
		return nil
	}
	number := func(n uint64) uint64 {
		return [...]uint64{0, n - 1, n + 1, math.MaxUint64, l.cfg.Chance.Uint64N(max(n, 1))}[l.cfg.Chance.IntN(5)]
	}
	vote := func(v message.Vote) message.Vote {
		switch l.cfg.Chance.IntN(3) {
		case 0:
			v.View = epoch.View(number(uint64(v.View)))
		case 1:
			v.Seq = epoch.Seq(number(uint64(v.Seq)))
		default:
			v.Digest = l.digest()
		}
		return v
	}
	switch b := w.Message.Body.(type) {
	case *message.Prepare:
		return []Word{l.sign(&message.Prepare{Vote: vote(b.Vote)})}
	case *message.Commit:
		return []Word{l.sign(&message.Commit{Vote: vote(b.Vote)})}
	case *message.PrePrepare:
		if b.Batch == nil {
			return nil
		}
		v := vote(b.Vote)
		v.Digest = b.Digest
		return []Word{l.sign(message.NewPrePrepare(v, b.Batch))}
	case *message.Attestation:
		return []Word{l.sign(&message.Attestation{Seq: epoch.Seq(number(uint64(b.Seq))), Header: b.Header})}
	case *message.Status:
		s := *b
		switch l.cfg.Chance.IntN(4) {
		case 0:
			s.View = epoch.View(number(uint64(s.View)))
		case 1:
			s.Delivered = epoch.Seq(number(uint64(s.Delivered)))
		case 2:
			s.Stable = epoch.Seq(number(uint64(s.Stable)))
		default:
			s.Installed = !s.Installed
		}
		return []Word{l.sign(&s)}
	case *message.Want:
		q := *b
		q.From = epoch.Seq(number(uint64(q.From)))
		return []Word{l.sign(&q)}
	case *message.Suspect:
		return []Word{l.sign(&message.Suspect{View: epoch.View(number(uint64(b.View))), Delivered: epoch.Seq(number(uint64(b.Delivered)))})}
	case *message.ViewChange:
		v := *b
		v.View = epoch.View(number(uint64(v.View)))
		return []Word{l.sign(&v)}
	case *message.NewView:
		v := *b
		v.View = epoch.View(number(uint64(v.View)))
		return []Word{l.sign(&v)}
	default:
		return nil
	}
}

func (l *Liar) flood(_ epoch.ReplicaID, w Word) []Word {
	out := []Word{w, w}
	if b, ok := w.Message.Body.(*message.Prepare); ok && l.own(w) {
		v := b.Vote
		v.Seq += 1 + epoch.Seq(l.cfg.Chance.IntN(2000))
		out = append(out, l.sign(&message.Prepare{Vote: v}), l.sign(&message.Commit{Vote: v}))
	}
	return out
}

func (l *Liar) hide(_ epoch.ReplicaID, w Word) []Word {
	b, ok := w.Message.Body.(*message.ViewChange)
	if !ok || !l.own(w) || len(b.Prepared) == 0 {
		return nil
	}
	v := *b
	v.Prepared = v.Prepared[:l.cfg.Chance.IntN(len(v.Prepared))]
	return []Word{l.sign(&v)}
}

func (l *Liar) suspect(_ epoch.ReplicaID, w Word) []Word {
	b, ok := w.Message.Body.(*message.Status)
	if !ok || !l.own(w) {
		return nil
	}
	view := b.View + epoch.View(l.cfg.Chance.IntN(3))
	return []Word{w, l.sign(&message.Suspect{View: view, Delivered: math.MaxUint64}), l.sign(&message.ViewChange{View: view + 1})}
}

func (l *Liar) forge(_ epoch.ReplicaID, w Word) []Word {
	if !l.own(w) {
		return nil
	}
	switch b := w.Message.Body.(type) {
	case *message.ViewChange:
		v := *b
		if len(v.Prepared) == 0 {
			v.Start++ // a start that nobody has attested
			return []Word{l.sign(&v)}
		}
		v.Prepared = append([]message.Certificate(nil), v.Prepared...)
		c := &v.Prepared[l.cfg.Chance.IntN(len(v.Prepared))]
		c.Digest = l.digest()
		return []Word{l.sign(&v)}
	case *message.Status:
		n := &message.NewView{View: b.View + 1}
		for id := epoch.ReplicaID(1); len(n.ViewChanges) < l.cfg.Epoch.Quorum(); id++ {
			n.ViewChanges = append(n.ViewChanges, message.Named{Author: id, Digest: l.digest()})
		}
		return []Word{w, l.sign(n)}
	default:
		return nil
	}
}
