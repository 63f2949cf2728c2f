package sim

import (
	"errors"
	"math"

	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/node/host"
	"github.com/quorate/quorate/statemachine"
)

// auditor is all checkers with what they have seen. It stands outside of the replicas and takes their word for nothing:
// it counts its own quorums, verifies signatures itself, and executes the chain a second time. What a replica said
// before a crash binds it after.
//
//	agreement     at each slot all hosts, at all times, have one batch, one state and one header
//	order         slots are executed without gaps, headers name their parents, and no head ever goes back
//	validity      what is executed was signed and submitted by a client of this chain
//	exactly-once  an id is executed at most once, and so is a sender's nonce
//	state         outcomes, state and answers are those of the model
//	quorum        certificates and acknowledgements have a quorum of valid votes by distinct members
//	promises      no two words of a member conflict, and it remembers each of them
//	configuration each slot belongs to one epoch, by the chain; an epoch follows another by a change that was asked for, and a hand-over
//	durability    what was acknowledged is at its slot in every host's chain
type auditor struct {
	members int
	keys    []crypto.PublicKey
	chain   crypto.Digest
	scheme  crypto.Scheme

	txs      map[crypto.Digest]*transaction
	model    *model
	slots    []slot // by sequence number; the first is the genesis
	executed map[crypto.Digest]epoch.Seq
	nonces   map[nonce]crypto.Digest
	expired  map[crypto.Digest]bool // the clients were told that these will never be executed
	acks     []ack
	epochs   []rules                // by number
	replaced []rules                // announced, and never begun: operators have begun another one in the place of each
	begun    uint64                 // the newest that somebody has begun
	changes  map[crypto.Digest]bool // that operators have asked for

	recoveries map[crypto.Digest]*message.Recovery // the same, by the epoch that each begins
	hosts      []witness                           // by number: those of the members, and after them their twins
	twice      int                                 // transactions that were ordered again after they had been executed
}

// slot is what is known of one.
type slot struct {
	batch    crypto.Digest
	results  crypto.Digest
	state    crypto.Digest
	header   crypto.Digest // zero: nobody has shown one yet
	time     int64
	txs      []*transaction
	change   *message.Change
	outcomes []statemachine.Outcome
}

type nonce struct {
	sender crypto.PublicKey
	number uint64
}

type ack struct {
	id  crypto.Digest
	seq epoch.Seq
}

// witness is what one host has shown.
type witness struct {
	ran          epoch.Seq // the last slot its machine executed, in this life
	durable      epoch.Seq // the newest block it has made durable
	attested     epoch.Seq
	acknowledged epoch.Seq // the newest slot it has shown a quorum for, in this life
	words        words
	lies         bool              // to others: it is held to no promise, but to what it executes and answers
	incarnation  epoch.Incarnation // the life of its log: it promises in the epochs that name this one, and in no other
}

// forgets takes in that a member's log is gone. It begins again from nothing, and what it has said binds it still.
func (a *auditor) forgets(host int, incarnation epoch.Incarnation) {
	w := a.of(host)
	w.incarnation = incarnation
	w.durable, w.attested, w.acknowledged = 0, 0, 0
	w.words.list = nil
}

// quorumOf is how many of n members it takes for any two such groups to share one that is correct, if at most f of them
// are not, and n ≥ 3f+1: two groups of q share at least 2q-n, which must be more than f. In crash mode nobody lies, and one shared member is enough.
func quorumOf(mode epoch.Mode, n int) int {
	f := (n - 1) / 3
	if mode == epoch.Crash {
		f = 0
	}
	q := 1
	for 2*q-n <= f {
		q++
	}
	return q
}

func newAuditor(g *proof.Genesis, hosts int, scheme crypto.Scheme) *auditor {
	h := g.Header()
	a := &auditor{
		members: len(g.Members), chain: g.Digest(), scheme: scheme,
		epochs: []rules{{g.Epoch(), quorumOf(g.Mode, len(g.Members))}}, changes: make(map[crypto.Digest]bool), recoveries: make(map[crypto.Digest]*message.Recovery),
		txs:      make(map[crypto.Digest]*transaction),
		model:    newModel(uint64(g.Parameters.NonceWindow), uint64(g.Parameters.LastAhead)),
		slots:    []slot{{header: h.Digest(), time: h.Time}},
		executed: make(map[crypto.Digest]epoch.Seq),
		nonces:   make(map[nonce]crypto.Digest),
		expired:  make(map[crypto.Digest]bool),
		hosts:    make([]witness, hosts),
	}
	for i := range g.Members {
		a.keys = append(a.keys, g.Members[i].Key)
	}
	for i := range a.hosts {
		a.hosts[i].words = newWords()
	}
	return a
}

// of is what a host has shown. Those of the members come first, in order.
func (a *auditor) of(host int) *witness { return &a.hosts[host-1] }

// last is the newest slot that anybody has executed.
func (a *auditor) last() epoch.Seq { return epoch.Seq(len(a.slots) - 1) }

// newest is the header of that slot.
func (a *auditor) newest() crypto.Digest { return a.slots[a.last()].header }

// durable is the newest block that a member has shown to be durable.
func (a *auditor) durable(host int) epoch.Seq { return a.of(host).durable }

// submitted notes what a client has signed; false if it had signed exactly that before.
func (a *auditor) submitted(t *transaction) bool {
	if a.txs[t.id()] != nil {
		return false
	}
	a.txs[t.id()] = t
	return true
}

// booted holds what a host begins with against what it had shown before.
func (a *auditor) booted(host int, head *proof.Header, stable *proof.Checkpoint, m statemachine.Mark) error {
	w := a.of(host)
	w.ran, w.acknowledged = head.Seq, stable.Header.Seq
	if err := a.stable(stable); err != nil {
		return err
	}
	if head.Seq < w.durable || head.Seq < w.attested {
		return breaks("order", "starts at slot %d, after it had made slot %d durable and attested slot %d", head.Seq, w.durable, w.attested)
	}
	if err := a.head(head); err != nil {
		return err
	}
	s := &a.slots[head.Seq]
	if head.Seq > 0 && (m.Seq != uint64(head.Seq) || m.Batch != s.batch || m.Results != s.results || m.State != s.state) {
		return breaks("agreement", "boots its machine to slot %d, state %s, where others have state %s", m.Seq, m.State.Short(), s.state.Short())
	}
	return nil
}

// head compares a header with what is known of its slot.
func (a *auditor) head(h *proof.Header) error {
	if h.Seq > a.last() {
		return breaks("order", "stands at slot %d, which nobody has executed", h.Seq)
	}
	if h.Seq == 0 {
		return a.sameHeader(h.Seq, h.Digest())
	}
	s := &a.slots[h.Seq]
	if h.Batch != s.batch || h.Results != s.results || h.State != s.state {
		return breaks("agreement", "header of slot %d has batch %s, state %s, others have batch %s, state %s",
			h.Seq, h.Batch.Short(), h.State.Short(), s.batch.Short(), s.state.Short())
	}
	if h.Time != s.time {
		return breaks("agreement", "header of slot %d has time %d, others have %d", h.Seq, h.Time, s.time)
	}
	return a.sameHeader(h.Seq, h.Digest())
}

func (a *auditor) sameHeader(seq epoch.Seq, d crypto.Digest) error {
	if seq > a.last() {
		return breaks("order", "speaks of a header of slot %d, which nobody has executed", seq)
	}
	s := &a.slots[seq]
	if s.header.IsZero() {
		s.header = d
	}
	if s.header != d {
		return breaks("agreement", "header of slot %d is %s, elsewhere %s", seq, d.Short(), s.header.Short())
	}
	return nil
}

// next says whether a slot is the one that a host's machine has to execute now.
func (a *auditor) next(host int, seq epoch.Seq) error {
	w := a.of(host)
	if seq != w.ran+1 {
		return breaks("order", "is to execute slot %d after slot %d", seq, w.ran)
	}
	w.ran = seq
	return nil
}

// outcome takes in what a host's machine made of a slot.
func (a *auditor) outcome(host int, e bft.Execution, r *host.Result) error {
	if e.Seq == a.last()+1 {
		if err := a.open(e); err != nil {
			return err
		}
	}
	if err := a.once(e, r.Outcomes); err != nil {
		return err
	}
	s := &a.slots[e.Seq]
	if s.batch != e.Batch.Digest() || s.time != e.Time {
		return breaks("agreement", "executes batch %s at slot %d, time %d, elsewhere it was batch %s, time %d",
			e.Batch.Digest().Short(), e.Seq, e.Time, s.batch.Short(), s.time)
	}
	for i := range r.Outcomes {
		if got, want := &r.Outcomes[i], &s.outcomes[i]; !sameOutcome(got, want) {
			return breaks("state", "slot %d, transaction %s: %s (%s) of slot %d with result %x, want %s (%s) of slot %d with %x", e.Seq, got.ID.Short(),
				got.Status, got.Code, got.Seq, got.Result, want.Status, want.Code, want.Seq, want.Result)
		}
	}
	if r.State != s.state {
		return breaks("state", "slot %d: state %s, want %s", e.Seq, r.State.Short(), s.state.Short())
	}
	if s.results.IsZero() {
		s.results = r.Results
	}
	if r.Results != s.results {
		return breaks("agreement", "slot %d: results %s, elsewhere %s", e.Seq, r.Results.Short(), s.results.Short())
	}
	return nil
}

// open takes in a slot that nobody has executed before.
func (a *auditor) open(e bft.Execution) error {
	s := slot{batch: e.Batch.Digest(), time: e.Time, change: e.Batch.Change}
	if before := a.slots[e.Seq-1].time; e.Time != max(before, e.Batch.Time) {
		return breaks("order", "slot %d has time %d: the slot before it has %d, its batch %d", e.Seq, e.Time, before, e.Batch.Time)
	}
	for _, q := range e.Batch.Requests {
		t := a.txs[q.ID()]
		switch {
		case t == nil || t.request.Body() != q.Body():
			return breaks("validity", "slot %d: nobody submitted transaction %s", e.Seq, q.ID().Short())
		case q.Chain != a.chain:
			return breaks("validity", "slot %d: transaction %s is for another chain", e.Seq, q.ID().Short())
		case !a.scheme.Verify(q.Claim()):
			return breaks("validity", "slot %d: the signature of transaction %s does not hold", e.Seq, q.ID().Short())
		}
		s.txs = append(s.txs, t)
	}
	s.outcomes, s.state = a.model.execute(uint64(e.Seq), s.txs)
	for i := range s.outcomes {
		if s.outcomes[i].Status == statemachine.Duplicate {
			a.twice++
		}
	}
	a.slots = append(a.slots, s)
	return nil
}

// once looks at what a host says to have executed.
func (a *auditor) once(e bft.Execution, outcomes []statemachine.Outcome) error {
	if len(outcomes) != len(e.Batch.Requests) {
		return breaks("state", "slot %d: %d outcomes of %d transactions", e.Seq, len(outcomes), len(e.Batch.Requests))
	}
	for i, q := range e.Batch.Requests {
		at, done := a.executed[q.ID()]
		s := outcomes[i].Status
		if s == statemachine.Expired && done {
			return breaks("exactly-once", "slot %d: transaction %s is said to have expired, and slot %d has executed it", e.Seq, q.ID().Short(), at)
		}
		if s != statemachine.Applied && s != statemachine.Failed {
			continue
		}
		if done && at != e.Seq {
			return breaks("exactly-once", "transaction %s is executed at slot %d and at slot %d", q.ID().Short(), at, e.Seq)
		}
		place := nonce{q.Sender, q.Nonce}
		if other, ok := a.nonces[place]; ok && other != q.ID() {
			return breaks("exactly-once", "slot %d: transactions %s and %s are executed with one nonce, %d", e.Seq, other.Short(), q.ID().Short(), q.Nonce)
		}
		if a.expired[q.ID()] {
			return breaks("exactly-once", "slot %d: transaction %s is executed, and was said to have expired", e.Seq, q.ID().Short())
		}
		a.executed[q.ID()], a.nonces[place] = e.Seq, q.ID()
	}
	return nil
}

// block takes in a block that has become durable at a host, the one after its last.
func (a *auditor) block(host int, b *proof.Block) error {
	w := a.of(host)
	h := &b.Header
	if h.Seq != w.durable+1 {
		return breaks("order", "block %d is stored after block %d", h.Seq, w.durable)
	}
	w.durable = h.Seq
	return a.verifyBlock(b)
}

func (a *auditor) verifyBlock(b *proof.Block) error {
	h := &b.Header
	if err := a.head(h); err != nil {
		return err
	}
	if parent := a.slots[h.Seq-1].header; h.Parent != parent {
		return breaks("order", "block %d names %s as its parent, which is %s", h.Seq, h.Parent.Short(), parent.Short())
	}
	if b.Batch.Digest() != h.Batch {
		return breaks("agreement", "block %d holds batch %s, its header names %s", h.Seq, b.Batch.Digest().Short(), h.Batch.Short())
	}
	return a.certified(b)
}

// answered takes in what a client is told.
func (a *auditor) answered(host int, n *host.Answer) (*transaction, error) {
	t := a.txs[n.ID]
	if t == nil {
		return nil, breaks("validity", "answers transaction %s, which nobody submitted", n.ID.Short())
	}
	if n.Refusal != nil {
		return t, a.refused(t, n.Refusal)
	}
	if n.Seq == 0 || n.Seq > a.last() {
		return nil, breaks("state", "transaction %s is said to be decided at slot %d; the newest is %d", n.ID.Short(), n.Seq, a.last())
	}
	if n.Seq > a.of(host).acknowledged {
		return nil, breaks("quorum", "answers transaction %s at slot %d; it has shown a quorum only up to slot %d", n.ID.Short(), n.Seq, a.of(host).acknowledged)
	}
	s := &a.slots[n.Seq]
	for i := range s.outcomes {
		want := &s.outcomes[i]
		switch {
		case want.ID != n.ID:
			continue
		case n.Outcome != nil && (n.Index != i || !sameOutcome(n.Outcome, want)):
			return nil, breaks("state", "answers transaction %s with %s, at slot %d it is %s", n.ID.Short(), n.Outcome.Status, n.Seq, want.Status)
		case n.Outcome == nil && !want.Status.Executed():
			return nil, breaks("state", "says that transaction %s was decided at slot %d, where it is %s", n.ID.Short(), n.Seq, want.Status)
		}
		if want.Status.Executed() {
			a.acks = append(a.acks, ack{n.ID, n.Seq})
		}
		return t, nil
	}
	return nil, breaks("state", "says that transaction %s was decided at slot %d, which does not hold it", n.ID.Short(), n.Seq)
}

// refused takes in that a client is told: this will never be executed.
func (a *auditor) refused(t *transaction, why error) error {
	id := t.id()
	switch at, done := a.executed[id]; {
	case done:
		return breaks("exactly-once", "refuses transaction %s, which slot %d has executed: %v", id.Short(), at, why)
	case errors.Is(why, host.ErrExpired):
		a.expired[id] = true
		return nil
	case errors.Is(why, host.ErrNonceUsed):
		if other, ok := a.nonces[nonce{t.request.Sender, t.request.Nonce}]; ok && other != id {
			return nil
		}
		return breaks("state", "says that another transaction has used the nonce of %s, and none has", id.Short())
	}
	return breaks("state", "refuses transaction %s: %v", id.Short(), why)
}

// final goes through a host's chain as it is on its disk at the end.
func (a *auditor) final(host int, blocks *host.Blocks) error {
	if blocks.Last() != a.last() {
		return breaks("durability", "its chain ends at slot %d, the newest is %d", blocks.Last(), a.last())
	}
	return a.holdsIn(blocks, math.MaxUint64)
}

// holdsIn goes through a host's chain: what was acknowledged up to a slot is in it.
func (a *auditor) holdsIn(blocks *host.Blocks, through epoch.Seq) error {
	held := make(map[ack]bool)
	for seq := epoch.Seq(1); seq <= blocks.Last(); seq++ {
		b, ok, err := blocks.Block(seq)
		if err != nil || !ok {
			return breaks("durability", "block %d cannot be read: %v", seq, err)
		}
		if err := a.verifyBlock(b); err != nil {
			return err
		}
		for _, q := range b.Batch.Requests {
			held[ack{q.ID(), seq}] = true
		}
	}
	return a.holds(held, through)
}

// holds says whether every transaction that was acknowledged up to a slot is where it was.
func (a *auditor) holds(held map[ack]bool, through epoch.Seq) error {
	for _, k := range a.acks {
		if k.seq <= through && !held[k] {
			return breaks("durability", "transaction %s was acknowledged at slot %d, which does not hold it", k.id.Short(), k.seq)
		}
	}
	return nil
}
