package sim

import (
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/node/host"
	"github.com/quorate/quorate/statemachine"
	"github.com/quorate/quorate/statemachine/kv"
	"github.com/quorate/quorate/testnet/scenario"
)

// patienceOfClients is how long a script's client insists, in virtual µs.
const patienceOfClients = 10 * second

// Do has a client sign a transaction and insist on an answer, or ask one node for what it holds.
func (c *Cluster) Do(call scenario.Call, done func(scenario.Answer)) {
	w := c.w
	answer := scenario.Answer{Call: c.Now(), Outcome: scenario.Unknown}
	over := false
	answered := func() {
		if over {
			return
		}
		over, c.called = true, true
		answer.Return = c.Now()
		done(answer)
	}
	if call.Kind == scenario.LocalGet {
		w.after(w.ofClients.about(2*milli), nil, clientActs, uint64(call.Client), func() {
			c.readAt(call, &answer)
			answered()
		})
		return
	}
	who := c.people[call.Client]
	if who == nil {
		who = &client{name: string('a' + rune(call.Client)), key: crypto.NewPrivateKey(newChance(w.seed+uint64(call.Client)<<32, ofClients).bytes())}
		c.people[call.Client] = who
	}
	who.nonce++
	op := operation{kind: kv.KindGet, key: call.Key, value: call.Value, old: call.Old, held: !call.Absent}
	switch call.Kind {
	case scenario.Put:
		op.kind = kv.KindPut
	case scenario.CAS:
		op.kind = kv.KindCompareAndSet
	}
	t := &transaction{
		request: message.NewRequest(w.scheme, who.key, w.epoch.Chain, who.nonce, uint64(w.audit.last())+1<<19, op.encode()),
		op:      op, owner: who,
	}
	answer.ID = t.id().String()
	t.told = func(a *host.Answer) {
		c.understand(t, a, &answer)
		answered()
	}
	w.audit.submitted(t)
	who.open = append(who.open, t)
	w.handTo(t, w.nodes[w.ofClients.IntN(w.epoch.N())])
	w.after(patienceOfClients, nil, clientActs, who.nonce, func() {
		if !t.answered {
			t.answered = true
			answered()
		}
	})
}

// understand reads what a client was told. Of what was decided before it was handed in where it was answered, the checkers know the outcome.
func (c *Cluster) understand(t *transaction, a *host.Answer, into *scenario.Answer) {
	if a.Refusal != nil {
		into.Outcome = scenario.Refused
		return
	}
	into.Seq = uint64(a.Seq)
	outcome := a.Outcome
	if outcome == nil {
		for i := range c.w.audit.slots[a.Seq].outcomes {
			if o := &c.w.audit.slots[a.Seq].outcomes[i]; o.ID == a.ID {
				outcome = o
			}
		}
	}
	switch {
	case outcome.Status == statemachine.Applied:
		into.Outcome = scenario.Done
	case outcome.Status == statemachine.Failed:
		into.Outcome = scenario.Failed
	default:
		into.Outcome = scenario.Refused
		return
	}
	if t.op.kind == kv.KindGet || into.Outcome == scenario.Failed {
		if value, held, err := kv.DecodeContent(outcome.Result); err == nil {
			into.Value, into.Held = string(value), held
		}
	}
}

// readAt asks one node for what it holds.
func (c *Cluster) readAt(call scenario.Call, into *scenario.Answer) {
	n := c.node(call.Node)
	if !n.up() || n.paused {
		into.Outcome = scenario.Refused
		return
	}
	value, held, seq, err := n.machine.Get(statemachine.Newest, []byte(call.Key))
	if err != nil {
		into.Outcome = scenario.Refused
		return
	}
	into.Outcome, into.Value, into.Held, into.Seq = scenario.Done, string(value), held, seq
}
