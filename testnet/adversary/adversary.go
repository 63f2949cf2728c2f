// Package adversary has members that lie. A Liar stands between an honest replica and the network: what the replica says is left
// out, changed, told differently to different members, held back or said again, and of what it is asked it hears a part. It is at some
// of its ways to lie for a while, then at others, or at none; or it lies in all of them with every so many-th message. All of it is
// signed with the member's own key, so nothing but the protocol defends against it. It has no clock and no source of chance but the one it is given.
package adversary

import (
	"math/rand/v2"
	"slices"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
)

// Word is what a liar sends to one member.
type Word struct {
	Message     *message.Signed
	DelayMillis int64 // how long it holds it back
}

// Config is what a Liar needs.
type Config struct {
	Epoch  *epoch.Epoch
	Self   epoch.ReplicaID
	Sign   func(message.Body) *message.Signed // in the member's name
	Chance *rand.Rand
	Acts   []Act // what it does
	// Every is which messages it acts on, with all its acts: of each kind every so many-th, the same for all whom that is for. 0: it is at
	// each act for a spell, now and then.
	Every int
}

// Liar is a member that lies. It is for one caller.
type Liar struct {
	cfg  Config
	deaf byte              // to clients whose keys begin with an odd byte, or an even one
	said []*message.Signed // of late, to be said again
	at   int

	again struct { // what Replaying orders again
		view epoch.View
		from epoch.Seq            // slots up to here may have been proposed in the view before it began, if it began when a script said so
		told map[epoch.Seq][]Word // what it has proposed in the view, of late; nil: what its replica has
		old  *message.Request
	}

	on   []bool // which acts it is at, by place in Acts
	left int    // messages until it thinks again
	done map[Act]int

	count struct { // if it lies with every so many-th
		word     *message.Signed      // that it is saying
		words    map[message.Kind]int // so far
		requests int                  // that it might have been deaf to
	}
}

// remembered is how many words a liar keeps to say again.
const remembered = 64

// spell is how many messages a liar goes on as it is, at most.
const spell = 400

// New is a liar.
func New(cfg Config) *Liar {
	l := &Liar{cfg: cfg, deaf: byte(cfg.Chance.IntN(2)), on: make([]bool, len(cfg.Acts)), done: make(map[Act]int)}
	l.count.words = make(map[message.Kind]int)
	return l
}

// Enter has it lie as a member of another epoch from now on.
func (l *Liar) Enter(e *epoch.Epoch) { l.cfg.Epoch = e }

// Done is how often it did what.
func (l *Liar) Done(a Act) int { return l.done[a] }

// Say is what the liar sends to a member, in order, in place of what its replica says.
func (l *Liar) Say(to epoch.ReplicaID, m *message.Signed) []Word {
	l.think(m)
	words := []Word{{Message: m}}
	for i, act := range l.cfg.Acts {
		if l.on[i] {
			words = l.perform(act, to, words)
		}
	}
	if len(l.said) < remembered {
		l.said = append(l.said, m)
	} else {
		l.said[l.at%remembered] = m
		l.at++
	}
	return words
}

// think settles what it is at, now that it is about to say something.
func (l *Liar) think(m *message.Signed) {
	if l.cfg.Every > 0 {
		if m != l.count.word {
			l.count.word = m
			l.count.words[m.Body.Kind()]++
		}
		for i := range l.on {
			l.on[i] = l.count.words[m.Body.Kind()]%l.cfg.Every == 0
		}
		return
	}
	if l.left--; l.left < 0 {
		l.left = l.cfg.Chance.IntN(spell)
		for i := range l.on {
			l.on[i] = l.cfg.Chance.IntN(3) == 0
		}
	}
}

// Hear is what the liar's own replica is told in place of a checked message that has come for it; nil: nothing.
func (l *Liar) Hear(m *message.Signed) *message.Signed {
	b, ok := m.Body.(*message.Bundle)
	if !ok {
		return m
	}
	var heard []*message.Request
	for _, q := range b.Requests {
		if l.Takes(q) {
			heard = append(heard, q)
		}
	}
	switch len(heard) {
	case len(b.Requests):
		return m
	case 0:
		return nil
	}
	less := *m
	less.Body = &message.Bundle{Head: b.Head, Requests: heard}
	return &less
}

// Takes says whether the liar's own replica is told of what a client asks for.
func (l *Liar) Takes(q *message.Request) bool {
	i := slices.Index(l.cfg.Acts, Censoring)
	if i < 0 || q.Sender[0]%2 != l.deaf || l.cfg.Every == 0 && !l.on[i] {
		return true
	}
	if l.count.requests++; l.cfg.Every > 0 && l.count.requests%l.cfg.Every != 0 {
		return true
	}
	l.done[Censoring]++
	return false
}

func (l *Liar) perform(act Act, to epoch.ReplicaID, words []Word) (out []Word) {
	for _, w := range words {
		did := performers[act](l, to, w)
		if did == nil {
			out = append(out, w)
			continue
		}
		l.done[act]++
		out = append(out, did...)
	}
	return out
}

// sign says b in the member's name. A body of its own is never shared with the replica.
func (l *Liar) sign(b message.Body) Word { return Word{Message: l.cfg.Sign(b)} }

// second says whether a member is of the half that is told something else.
func (l *Liar) second(to epoch.ReplicaID) bool { return to%2 == 0 }

// some is true about once in n times; if which messages it acts on is settled, always.
func (l *Liar) some(n int) bool { return l.cfg.Every > 0 || l.cfg.Chance.IntN(n) == 0 }

func (l *Liar) digest() (d crypto.Digest) {
	for i := range d {
		d[i] = byte(l.cfg.Chance.Uint32())
	}
	return d
}
