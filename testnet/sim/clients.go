package sim

import (
	"errors"
	"fmt"
	"slices"

	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/node/host"
	"github.com/quorate/quorate/statemachine"
)

// client signs transactions, hands them to some node, and insists on an answer: the same bytes to another node, until
// one says what became of them.
type client struct {
	name  string
	key   crypto.PrivateKey
	nonce uint64
	open  []*transaction // that have no answer yet
	done  []*transaction // some that have
	pause int64          // µs, the mean between two transactions
}

// transaction is one as its client knows it.
type transaction struct {
	request  *message.Request
	op       operation
	owner    *client
	tries    int
	answered bool
	counted  bool               // its end is among the counts
	told     func(*host.Answer) // whom else its end is told; nil: nobody
}

func (t *transaction) id() crypto.Digest { return t.request.ID() }

// maxOpen is how many transactions of a client may wait for an answer.
const maxOpen = 24

func (w *World) drawClients(c chance) {
	n := 2 + c.IntN(4)
	pause := c.between(250*milli, 700*milli) // of all clients together
	for i := range n {
		w.clients = append(w.clients, &client{name: string('a' + rune(i)), key: crypto.NewPrivateKey(c.bytes()), pause: pause * int64(n)})
	}
}

// clientWakes has a client ask for something new, or for something old again, now and later.
func (w *World) clientWakes(c *client) {
	w.after(w.ofClients.about(c.pause), nil, clientActs, c.nonce, func() {
		if w.healed {
			return
		}
		burst := 1
		if w.ofClients.permille(60) {
			burst = 2 + w.ofClients.IntN(6)
		}
		for range burst {
			w.submitNew(c)
		}
		if len(c.done) > 0 && w.ofClients.permille(150) {
			w.handTo(c.done[w.ofClients.IntN(len(c.done))], w.someNode())
		}
		w.clientWakes(c)
	})
}

func (w *World) someNode() *node { return w.nodes[w.ofClients.IntN(len(w.nodes))] }

// submitNew signs a transaction and hands it to some node. A few expire soon, and are handed to two; a few share their
// nonce with another.
func (w *World) submitNew(c *client) {
	if len(c.open) >= maxOpen {
		return
	}
	c.nonce++
	w.submitOne(c, c.nonce)
	if w.ofClients.permille(15) {
		w.submitOne(c, c.nonce)
	}
}

func (w *World) submitOne(c *client, nonce uint64) {
	last := uint64(w.audit.last()) + 1<<19
	soon := w.ofClients.permille(80)
	if soon {
		last = uint64(w.audit.last()) + uint64(w.ofClients.IntN(6))
	}
	op := w.drawOperation(fmt.Sprintf("%s/%d", c.name, nonce))
	t := &transaction{
		request: message.NewRequest(w.scheme, c.key, w.epoch.Chain, nonce, last, op.encode()),
		op:      op, owner: c,
	}
	if !w.audit.submitted(t) {
		return // the very same was signed before
	}
	c.open = append(c.open, t)
	w.handTo(t, w.someNode())
	if soon || w.ofClients.permille(100) {
		w.after(w.ofClients.about(40*milli), nil, clientActs, nonce, func() { w.arrive(t, w.someNode()) })
	}
}

// handTo has a transaction arrive at a node, and its client lose patience if that does not answer.
func (w *World) handTo(t *transaction, n *node) {
	if t.tries++; t.tries > 1 && !t.answered {
		w.counts.Retries++
	}
	w.arrive(t, n)
	if t.answered {
		return
	}
	w.after(w.ofClients.between(second, 2500*milli), nil, clientActs, t.request.Nonce, func() {
		if t.answered {
			return
		}
		if n.up() && w.ofClients.permille(500) {
			n.host.Forget(t.request)
		}
		w.handTo(t, w.someNode())
	})
}

// arrive takes a transaction to a node's door.
func (w *World) arrive(t *transaction, n *node) {
	w.queue.push(&event{
		at: w.now + w.ofClients.about(2*milli), node: n, life: anyLife, kind: submits, mark: t.request.Nonce,
		act: func() { n.submit(t) },
	})
}

// submit is a node's door.
func (n *node) submit(t *transaction) {
	w := n.w
	if !n.up() {
		return
	}
	if err := n.host.Checker().Requests([]*message.Request{t.request})[0]; err != nil {
		if t.told != nil { // a script may have made the network refuse what large clients ask for
			t.answered = true
			t.told(&host.Answer{ID: t.id(), Refusal: err})
			return
		}
		w.broken(n, breaks("messages", "transaction %s is refused at the door: %v", t.id().Short(), err))
		return
	}
	if n.liar != nil && !n.liar.Takes(t.request) {
		return
	}
	answers, err := n.host.Submit([]*message.Request{t.request})
	if err != nil {
		w.broken(n, breaks("boot", "submit: %v", err))
		return
	}
	for i := range answers {
		w.answer(n, &answers[i])
	}
	n.pump()
}

// answer brings a node's answer to the client, unless it gets lost on the way.
func (w *World) answer(n *node, a *host.Answer) {
	if errors.Is(a.Refusal, bft.ErrPoolFull) {
		return // later
	}
	t, err := w.audit.answered(n.id, a)
	if err != nil {
		w.broken(n, err)
		return
	}
	if !w.healed && w.ofClients.permille(30) {
		return
	}
	if t.answered {
		w.counts.Duplicates++
		return
	}
	w.settle(t, a)
	w.tell(n, "answers transaction %s: %s", t.id().Short(), describe(a))
}

// settle ends a transaction at its client.
func (w *World) settle(t *transaction, a *host.Answer) {
	c := t.owner
	t.answered = true
	c.open = slices.DeleteFunc(c.open, func(o *transaction) bool { return o == t })
	if len(c.done) < 64 {
		c.done = append(c.done, t)
	} else {
		c.done[w.ofClients.IntN(len(c.done))] = t
	}
	if t.counted {
		w.counts.Duplicates++
		return
	}
	t.counted = true
	if t.told != nil {
		t.told(a)
	}
	switch {
	case errors.Is(a.Refusal, host.ErrExpired), a.Outcome != nil && a.Outcome.Status == statemachine.Expired:
		w.counts.Expired++
	case errors.Is(a.Refusal, host.ErrNonceUsed), a.Outcome != nil && a.Outcome.Status == statemachine.NonceUsed:
		w.counts.Refused++
	default:
		w.counts.Transactions++
	}
}

func describe(a *host.Answer) string {
	switch {
	case a.Refusal != nil:
		return a.Refusal.Error()
	case a.Outcome != nil:
		return fmt.Sprintf("%s at slot %d", a.Outcome.Status, a.Seq)
	default:
		return fmt.Sprintf("decided at slot %d", a.Seq)
	}
}
