package fault

import (
	"maps"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/testnet/adversary"
)

// liar is a member that lies, or has, or will.
type liar struct {
	self  epoch.ReplicaID
	key   crypto.PrivateKey
	lying atomic.Bool

	mu       sync.Mutex
	epochs   map[crypto.Digest]*epoch.Epoch // that it may speak in
	newest   *epoch.Epoch
	speaking *epoch.Epoch // of what is being said: a lie is of the same epoch, or it is refused for that alone
	acts     []adversary.Act
	now      *adversary.Liar   // nil: honest
	before   map[string]uint64 // lies of those that are gone, by act
}

func newLiar(self epoch.ReplicaID, key crypto.PrivateKey) *liar {
	return &liar{self: self, key: key, epochs: make(map[crypto.Digest]*epoch.Epoch), before: make(map[string]uint64)}
}

// Behave has the member lie in these ways from now on; without any it is honest again. Every is as adversary.Config has it.
func (f *Faults) Behave(acts []adversary.Act, every int, seed uint64) {
	l := f.liar
	l.mu.Lock()
	defer l.mu.Unlock()
	l.before = l.told()
	l.now, l.acts = nil, acts
	if len(acts) > 0 {
		l.now = adversary.New(adversary.Config{
			Epoch: l.newest, Self: l.self, Acts: acts, Every: every, Chance: rand.New(rand.NewPCG(seed, uint64(l.self))),
			Sign: func(b message.Body) *message.Signed {
				return message.Sign(crypto.Ed25519(), l.key, l.speaking, l.self, b)
			},
		})
		l.speaking = l.newest
	}
	l.lying.Store(l.now != nil)
}

// Enter tells of an epoch in which the member may speak from now on.
func (f *Faults) Enter(e *epoch.Epoch) {
	l := f.liar
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epochs[e.ID], l.newest = e, e
}

// Lies says whether the member lies now.
func (f *Faults) Lies() bool { return f.liar.lying.Load() }

// Say says what a member is told in place of what the replica says.
func (f *Faults) Say(to epoch.ReplicaID, m *message.Signed, say func(m *message.Signed, after time.Duration)) {
	for _, w := range f.liar.words(to, m) {
		say(w.Message, time.Duration(w.DelayMillis)*time.Millisecond)
	}
}

func (l *liar) words(to epoch.ReplicaID, m *message.Signed) []adversary.Word {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.epochs[m.Epoch]
	if l.now == nil || e == nil {
		return []adversary.Word{{Message: m}}
	}
	if e != l.speaking {
		l.speaking = e
		l.now.Enter(e)
	}
	return l.now.Say(to, m)
}

// Hear is what the replica is told in place of a checked message; nil: nothing.
func (f *Faults) Hear(m *message.Signed) *message.Signed {
	if !f.Lies() {
		return m
	}
	l := f.liar
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now == nil {
		return m
	}
	return l.now.Hear(m)
}

// Takes says whether the replica is told of what a client asks for.
func (f *Faults) Takes(q *message.Request) bool {
	if !f.Lies() {
		return true
	}
	l := f.liar
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now == nil || l.now.Takes(q)
}

// lies counts all of them, by act.
func (l *liar) lies() map[string]uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.told()
}

func (l *liar) told() map[string]uint64 {
	all := maps.Clone(l.before)
	if l.now == nil {
		return all
	}
	for _, a := range l.acts {
		if n := l.now.Done(a); n > 0 {
			all[a.String()] += uint64(n)
		}
	}
	return all
}
