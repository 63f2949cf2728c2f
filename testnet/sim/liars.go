package sim

import (
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/testnet/adversary"
)

// drawLiars makes liars of up to f members, with those that have a twin, in half of the worlds. Each has some ways to lie, and is at some of them at a time; it
// goes on when all else has healed. Its own replica is an honest one, and held to what others are in what it executes and answers.
func (w *World) drawLiars() {
	c := newChance(w.seed, ofLiars)
	if c.permille(500) {
		return
	}
	for range 1 + c.IntN(w.epoch.Faulty()) - len(w.twins()) {
		n := w.nodes[c.IntN(w.epoch.N())]
		if n.lies() {
			continue
		}
		var acts []adversary.Act
		for _, a := range adversary.Acts() {
			if c.permille(400) {
				acts = append(acts, a)
			}
		}
		n.liar = adversary.New(adversary.Config{
			Epoch: w.epoch, Self: n.as, Chance: c.Rand, Acts: acts,
			Sign: func(b message.Body) *message.Signed {
				return message.Sign(w.scheme, n.key, n.host.Replica().Epoch(), n.as, b)
			},
		})
		w.audit.of(n.id).lies = true
	}
}

// countLies adds up what the liars have done.
func (w *World) countLies() {
	for _, n := range w.nodes {
		if n.liar != nil {
			for i, a := range adversary.Acts() {
				w.counts.Lies[i] += n.liar.Done(a)
			}
		}
	}
}
