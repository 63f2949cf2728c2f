package sim

import (
	"errors"
	"math"
	"testing"

	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/node/host"
	"github.com/quorate/quorate/statemachine"
	"github.com/quorate/quorate/statemachine/kv"
)

// history is what a test tells the auditor, as if hosts had done it.
type history struct {
	t *testing.T
	*World
	a *auditor
}

// newHistory has a world of six, who bear one fault: there 2f+1 is not a quorum.
func newHistory(t *testing.T) *history {
	w := newWorld(1, Options{Nodes: 6, Honest: true})
	return &history{t: t, World: w, a: w.audit}
}

// put is a transaction that a client has signed and submitted.
func (h *history) put(nonce uint64, key, value string) *transaction {
	t := h.unsubmitted(nonce, key, value)
	h.a.submitted(t)
	return t
}

func (h *history) unsubmitted(nonce uint64, key, value string) *transaction {
	op := operation{kind: kv.KindPut, key: key, value: value}
	return &transaction{op: op, request: message.NewRequest(h.scheme, h.clients[0].key, h.epoch.Chain, nonce, 100, op.encode())}
}

// slot is a batch in its place with what an honest machine makes of it: statuses as given, applied where none is.
func (h *history) slot(seq epoch.Seq, txs ...*transaction) (bft.Execution, *host.Result) {
	var requests []*message.Request
	r := &host.Result{}
	for _, t := range txs {
		requests = append(requests, t.request)
		r.Outcomes = append(r.Outcomes, statemachine.Outcome{ID: t.id(), Status: statemachine.Applied, Seq: uint64(seq)})
	}
	r.Batch = message.NewBatch(birthday+int64(seq), requests)
	r.Outcome = bft.Outcome{Seq: seq, Results: crypto.Hash("results", []byte{byte(seq)})}
	m := newModel(1024, 1<<20)
	for s := 1; s < len(h.a.slots); s++ {
		if epoch.Seq(s) < seq {
			m.execute(uint64(s), h.a.slots[s].txs)
		}
	}
	_, r.State = m.execute(uint64(seq), txs)
	return bft.Execution{Seq: seq, Time: birthday + int64(seq), Batch: r.Batch}, r
}

// header is that of the newest slots' chain.
func (h *history) header(seq epoch.Seq) proof.Header {
	if seq == 0 {
		return h.genesis.Header()
	}
	s := &h.a.slots[seq]
	parent := h.header(seq - 1)
	return proof.Header{Epoch: h.epoch.ID, Seq: seq, Parent: parent.Digest(), Batch: s.batch, Results: s.results, State: s.state, Time: s.time}
}

// start is the genesis, which needs no attestations.
func (h *history) start() *proof.Checkpoint { return &proof.Checkpoint{Header: h.header(0)} }

func (h *history) say(by int, b message.Body) *message.Signed {
	return message.Sign(h.scheme, h.nodes[by-1].key, h.epoch, epoch.ReplicaID(by), b)
}

// block is a slot's, certified by the given members.
func (h *history) block(seq epoch.Seq, by ...int) *proof.Block {
	header := h.header(seq)
	b := &proof.Block{Decision: proof.Decision{Header: header}}
	for _, m := range by {
		b.Certificate = append(b.Certificate, h.say(m, &message.Commit{Vote: message.Vote{Seq: seq, Digest: header.Batch}}))
	}
	var requests []*message.Request
	for _, t := range h.a.slots[seq].txs {
		requests = append(requests, t.request)
	}
	b.Batch = message.NewBatch(h.a.slots[seq].time, requests)
	return b
}

func (h *history) attestations(seq epoch.Seq, by ...int) (votes []*message.Signed) {
	header := h.header(seq)
	for _, m := range by {
		votes = append(votes, h.say(m, &message.Attestation{Seq: seq, Header: header.Digest()}))
	}
	return votes
}

func (h *history) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatalf("an honest history is called bad: %v", err)
	}
}

// ran has a host execute a slot honestly, and keep its block.
func (h *history) ran(host int, seq epoch.Seq, txs ...*transaction) {
	h.t.Helper()
	e, r := h.slot(seq, txs...)
	h.must(h.a.next(host, seq))
	h.must(h.a.outcome(host, e, r))
	h.must(h.a.block(host, h.block(seq, 1, 2, 3, 4)))
}

// red fails unless the error is of this checker.
func red(t *testing.T, checker string, err error) {
	t.Helper()
	var b *breach
	if !errors.As(err, &b) || b.checker != checker {
		t.Fatalf("got %v, want a breach of %s", err, checker)
	}
}

// case M3. Breaks when: a comparison of the auditor is left out.
func TestEachCheckerSeesItsBadHistory(t *testing.T) {
	for _, c := range []struct {
		name    string
		checker string
		tell    func(h *history) error
	}{
		{"two hosts execute different batches at a slot", "agreement", func(h *history) error {
			h.ran(1, 1, h.put(1, "a", "1"))
			e, r := h.slot(1, h.put(2, "a", "2"))
			return h.a.outcome(2, e, r)
		}},
		{"a host has another header than it had before it crashed", "agreement", func(h *history) error {
			h.ran(1, 1, h.put(1, "a", "1"))
			other := h.header(1)
			other.Time++
			return h.a.booted(1, &other, h.start(), statemachine.Mark{Seq: 1})
		}},
		{"hosts attest different headers", "agreement", func(h *history) error {
			h.ran(1, 1, h.put(1, "a", "1"))
			_, err := h.a.sent(2, h.say(2, &message.Attestation{Seq: 1, Header: crypto.Digest{1}}))
			return err
		}},
		{"a slot is left out", "order", func(h *history) error {
			h.ran(1, 1, h.put(1, "a", "1"))
			return h.a.next(1, 3)
		}},
		{"a slot is executed a second time", "order", func(h *history) error {
			h.ran(1, 1, h.put(1, "a", "1"))
			return h.a.next(1, 1)
		}},
		{"a head goes back over a crash", "order", func(h *history) error {
			h.ran(1, 1, h.put(1, "a", "1"))
			genesis := h.genesis.Header()
			return h.a.booted(1, &genesis, h.start(), statemachine.Mark{})
		}},
		{"a header names another parent", "order", func(h *history) error {
			h.ran(1, 1, h.put(1, "a", "1"))
			e, r := h.slot(2, h.put(2, "a", "2"))
			h.must(h.a.outcome(1, e, r))
			b := h.block(2, 1, 2, 3, 4)
			b.Header.Parent = crypto.Digest{1}
			return h.a.block(1, b)
		}},
		{"a transaction comes from nowhere", "validity", func(h *history) error {
			e, r := h.slot(1, h.unsubmitted(1, "a", "1"))
			return h.a.outcome(1, e, r)
		}},
		{"a client's signature does not hold", "validity", func(h *history) error {
			other := newWorld(2, Options{Honest: true})
			op := operation{kind: kv.KindPut, key: "a", value: "1"}
			forged := &transaction{op: op, request: message.NewRequest(other.scheme, h.clients[0].key, h.epoch.Chain, 1, 100, op.encode())}
			h.a.submitted(forged)
			e, r := h.slot(1, forged)
			return h.a.outcome(1, e, r)
		}},
		{"a transaction is executed at two slots", "exactly-once", func(h *history) error {
			twice := h.put(1, "a", "1")
			h.ran(1, 1, twice)
			e, r := h.slot(2, twice)
			return h.a.outcome(1, e, r)
		}},
		{"two transactions are executed with one nonce", "exactly-once", func(h *history) error {
			h.ran(1, 1, h.put(1, "a", "1"))
			e, r := h.slot(2, h.put(1, "a", "2"))
			return h.a.outcome(1, e, r)
		}},
		{"what was executed is called expired", "exactly-once", func(h *history) error {
			done := h.put(1, "a", "1")
			h.ran(1, 1, done)
			_, err := h.a.answered(2, &host.Answer{ID: done.id(), Refusal: host.ErrExpired})
			return err
		}},
		{"what was executed has expired at a later slot", "exactly-once", func(h *history) error {
			done := h.put(1, "a", "1")
			h.ran(1, 1, done)
			e, r := h.slot(2, done)
			r.Outcomes[0].Status = statemachine.Expired
			return h.a.outcome(1, e, r)
		}},
		{"what was called expired is executed", "exactly-once", func(h *history) error {
			late := h.put(1, "a", "1")
			_, err := h.a.answered(2, &host.Answer{ID: late.id(), Refusal: host.ErrExpired})
			h.must(err)
			e, r := h.slot(1, late)
			return h.a.outcome(1, e, r)
		}},
		{"a read result is stale", "state", func(h *history) error {
			h.ran(1, 1, h.put(1, "a", "1"))
			get := &transaction{op: operation{kind: kv.KindGet, key: "a"}}
			get.request = message.NewRequest(h.scheme, h.clients[0].key, h.epoch.Chain, 2, 100, get.op.encode())
			h.a.submitted(get)
			e, r := h.slot(2, get)
			r.Outcomes[0].Result = []byte{0}
			return h.a.outcome(1, e, r)
		}},
		{"a machine comes to another state", "state", func(h *history) error {
			e, r := h.slot(1, h.put(1, "a", "1"))
			r.State[0]++
			return h.a.outcome(1, e, r)
		}},
		{"a client is told another outcome", "state", func(h *history) error {
			done := h.put(1, "a", "1")
			h.ran(1, 1, done)
			h.must(h.a.acknowledged(1, &bft.Acknowledgement{Seq: 1, Attestations: h.attestations(1, 1, 2, 3, 4)}))
			_, err := h.a.answered(1, &host.Answer{ID: done.id(), Seq: 1, Outcome: &statemachine.Outcome{ID: done.id(), Status: statemachine.Failed, Seq: 1}})
			return err
		}},
		{"a client is told another slot", "state", func(h *history) error {
			done := h.put(1, "a", "1")
			h.ran(1, 1, done)
			h.ran(1, 2, h.put(2, "a", "2"))
			h.must(h.a.acknowledged(1, &bft.Acknowledgement{Seq: 2, Attestations: h.attestations(2, 1, 2, 3, 4)}))
			_, err := h.a.answered(1, &host.Answer{ID: done.id(), Seq: 2})
			return err
		}},
		{"a client is answered before a quorum has attested", "quorum", func(h *history) error {
			done := h.put(1, "a", "1")
			h.ran(1, 1, done)
			_, err := h.a.answered(1, &host.Answer{ID: done.id(), Seq: 1})
			return err
		}},
		{"three of six certify a block", "quorum", func(h *history) error {
			e, r := h.slot(1, h.put(1, "a", "1"))
			h.must(h.a.outcome(1, e, r))
			return h.a.block(1, h.block(1, 1, 2, 3))
		}},
		{"one member certifies a block twice", "quorum", func(h *history) error {
			e, r := h.slot(1, h.put(1, "a", "1"))
			h.must(h.a.outcome(1, e, r))
			return h.a.block(1, h.block(1, 1, 2, 3, 3))
		}},
		{"a vote in a certificate is forged", "quorum", func(h *history) error {
			e, r := h.slot(1, h.put(1, "a", "1"))
			h.must(h.a.outcome(1, e, r))
			b := h.block(1, 1, 2, 3, 4)
			b.Certificate[3].Signature[0]++
			return h.a.block(1, b)
		}},
		{"three of six acknowledge", "quorum", func(h *history) error {
			h.ran(1, 1, h.put(1, "a", "1"))
			return h.a.acknowledged(1, &bft.Acknowledgement{Seq: 1, Attestations: h.attestations(1, 1, 2, 3)})
		}},
		{"attestations to a slot below acknowledge one above", "quorum", func(h *history) error {
			h.ran(1, 1, h.put(1, "a", "1"))
			h.ran(1, 2, h.put(2, "a", "2"))
			return h.a.acknowledged(1, &bft.Acknowledgement{Seq: 2, Attestations: h.attestations(1, 1, 2, 3, 4)})
		}},
		{"a checkpoint rests on attestations above it", "quorum", func(h *history) error {
			h.ran(1, 1, h.put(1, "a", "1"))
			h.ran(1, 2, h.put(2, "a", "2"))
			return h.a.stable(&proof.Checkpoint{Header: h.header(1), Attestations: h.attestations(2, 1, 2, 3, 4)})
		}},
		{"a member prepares two batches at a slot", "promises", func(h *history) error {
			_, err := h.a.sent(2, h.say(2, &message.Prepare{Vote: message.Vote{Seq: 1, Digest: crypto.Digest{1}}}))
			h.must(err)
			_, err = h.a.sent(2, h.say(2, &message.Prepare{Vote: message.Vote{Seq: 1, Digest: crypto.Digest{2}}}))
			return err
		}},
		{"a member commits another batch than it prepared", "promises", func(h *history) error {
			_, err := h.a.sent(2, h.say(2, &message.Prepare{Vote: message.Vote{Seq: 1, Digest: crypto.Digest{1}}}))
			h.must(err)
			_, err = h.a.sent(2, h.say(2, &message.Commit{Vote: message.Vote{Seq: 1, Digest: crypto.Digest{2}}}))
			return err
		}},
		{"a member forgets what it prepared", "promises", func(h *history) error {
			_, err := h.a.sent(2, h.say(2, &message.Prepare{Vote: message.Vote{Seq: 1, Digest: crypto.Digest{1}}}))
			h.must(err)
			return h.a.remembers(2, &memory{born: true, epoch: h.epoch.ID})
		}},
		{"a member remembers its promise and not the transactions", "promises", func(h *history) error {
			_, err := h.a.sent(2, h.say(2, &message.Prepare{Vote: message.Vote{Seq: 1, Digest: crypto.Digest{1}}}))
			h.must(err)
			return h.a.remembers(2, &memory{born: true, epoch: h.epoch.ID, facts: map[promise]crypto.Digest{{h.epoch.ID, message.KindPrepare, 0, 1}: {1}}})
		}},
		{"a member forgets a block it attested", "promises", func(h *history) error {
			h.ran(1, 1, h.put(1, "a", "1"))
			_, err := h.a.sent(2, h.attestations(1, 2)[0])
			h.must(err)
			return h.a.remembers(2, &memory{born: true, epoch: h.epoch.ID})
		}},
		{"a member holds three of six to have prepared", "quorum", func(h *history) error {
			v := message.Vote{Seq: 1, Digest: crypto.Digest{1}}
			votes := []*message.Signed{h.say(2, &message.Prepare{Vote: v}), h.say(3, &message.Prepare{Vote: v}), h.say(4, &message.Prepare{Vote: v})}
			return h.a.remembers(2, &memory{born: true, epoch: h.epoch.ID, prepared: []*ordering.Prepared{{Vote: v, Prepares: votes}}})
		}},
		{"a durable block is gone", "durability", func(h *history) error {
			h.ran(1, 1, h.put(1, "a", "1"))
			return h.a.remembers(1, &memory{born: true, epoch: h.epoch.ID})
		}},
		{"an acknowledged transaction is not in the chain", "durability", func(h *history) error {
			h.a.acks = append(h.a.acks, ack{h.put(1, "a", "1").id(), 1})
			return h.a.holds(map[ack]bool{}, math.MaxUint64)
		}},
	} {
		t.Run(c.name, func(t *testing.T) { red(t, c.checker, c.tell(newHistory(t))) })
	}
}

// Breaks when: the auditor calls something bad that is not.
func TestAnHonestHistoryIsGreen(t *testing.T) {
	h := newHistory(t)
	first, second := h.put(1, "a", "1"), h.put(2, "a", "2")
	for _, one := range []int{1, 2, 3} {
		h.ran(one, 1, first)
		h.ran(one, 2, second)
		h.must(h.a.acknowledged(one, &bft.Acknowledgement{Seq: 2, Attestations: h.attestations(2, 1, 2, 3, 4)}))
		_, err := h.a.answered(one, &host.Answer{ID: first.id(), Seq: 1})
		h.must(err)
	}
	head := h.header(2)
	s := &h.a.slots[2]
	h.must(h.a.booted(1, &head, h.start(), statemachine.Mark{Seq: 2, Batch: s.batch, Results: s.results, State: s.state}))
	h.must(h.a.stable(&proof.Checkpoint{Header: head, Attestations: h.attestations(2, 2, 3, 5, 6)}))
}

// case K2. Breaks when: quorumOf is 2f+1, or one less or more than it must be.
func TestTheCheckersOwnQuorum(t *testing.T) {
	for n, want := range map[int]int{4: 3, 5: 4, 6: 4, 7: 5, 8: 6, 9: 6, 10: 7} {
		if got := quorumOf(epoch.Byzantine, n); got != want {
			t.Errorf("of %d members: %d, want %d", n, got, want)
		}
	}
}
