package bft

import (
	"errors"
	"fmt"
	"math"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
)

// ask is a request of a client; big ones have 64 KiB.
func ask(client int, nonce uint64, operation string) *message.Request {
	return message.NewRequest(scheme, keys[client], crypto.Hash("test/chain"), nonce, 1<<20, []byte(operation))
}

func askBig(client int, nonce uint64) *message.Request {
	return ask(client, nonce, string(make([]byte, 64<<10-message.RequestOverhead)))
}

func mustAdd(t *testing.T, p *pool, entry epoch.ReplicaID, qs ...*message.Request) {
	t.Helper()
	for _, q := range qs {
		if added, err := p.add(q, entry, 1); !added || err != nil {
			t.Fatalf("nonce %d through %d: %v, %v", q.Nonce, entry, added, err)
		}
	}
}

// sound fails the test unless the pool's sums are those of what it holds.
func sound(t *testing.T, p *pool) {
	t.Helper()
	waiting, bytes := 0, 0
	use := make([]usage, len(p.queues))
	senders := make(map[sender]usage)
	for _, place := range p.slots {
		for _, e := range place {
			if e.gone {
				t.Error("what is gone is still found")
			}
			if !e.proposed {
				waiting++
				bytes += e.request.Size()
			}
			use[e.entry-1] = use[e.entry-1].add(e.request.Size())
			who := sender{e.entry, e.request.Sender}
			senders[who] = senders[who].add(e.request.Size())
		}
	}
	if p.waiting != waiting || p.bytes != bytes {
		t.Errorf("%d wait with %d bytes, said to be %d, %d", waiting, bytes, p.waiting, p.bytes)
	}
	for i := range use {
		if p.queues[i].usage != use[i] {
			t.Errorf("member %d has %+v, said to be %+v", i+1, use[i], p.queues[i].usage)
		}
	}
	if len(senders) != len(p.senders) {
		t.Errorf("%d senders, said to be %d", len(senders), len(p.senders))
	}
	for who, u := range senders {
		if p.senders[who] != u {
			t.Errorf("a sender has %+v, said to be %+v", u, p.senders[who])
		}
	}
}

// A client that floods gets an eighth of one member's share, a member that floods an equal part of the whole; the rest
// keep theirs.
//
// case E6; a bound that looks at all senders or all members together turns it red.
func TestPoolIsSharedOut(t *testing.T) {
	p := newPool(4)
	perSender := poolBytes / 4 / senderPart / (64 << 10)
	nonce := uint64(0)
	fill := func(client int, entry epoch.ReplicaID) (n int) {
		for {
			nonce++
			if _, err := p.add(askBig(client, nonce), entry, 1); err != nil {
				if !errors.Is(err, ErrPoolFull) {
					t.Fatal(err)
				}
				return n
			}
			n++
		}
	}
	if n := fill(0, 1); n != perSender {
		t.Errorf("one client through one member: %d requests of 64 KiB, want %d", n, perSender)
	}
	if n := fill(0, 2); n != perSender {
		t.Errorf("the same client through another member: %d, want %d", n, perSender)
	}
	for client := 1; client < senderPart; client++ {
		if n := fill(client, 1); n != perSender {
			t.Errorf("client %d: %d, want %d", client, n, perSender)
		}
	}
	if n := fill(20, 1); n != 0 {
		t.Errorf("%d more fit into a full share", n)
	}
	if n := fill(20, 3); n != perSender {
		t.Errorf("through a member with room: %d, want %d", n, perSender)
	}
	sound(t, p)
	requests, bytes := p.size()
	if requests != 10*perSender || bytes != requests*(64<<10) {
		t.Errorf("%d requests, %d bytes", requests, bytes)
	}
}

func TestPoolBoundsTheNumberOfRequests(t *testing.T) {
	p := newPool(4)
	n := 0
	for ; n <= poolRequests; n++ {
		if _, err := p.add(ask(0, uint64(n+1), ""), 1, 1); err != nil {
			break
		}
	}
	if want := poolRequests / 4 / senderPart; n != want {
		t.Errorf("%d small requests of one client, want %d", n, want)
	}
}

// A full pool is told to whoever asked, by request, and nothing of it is kept or passed on.
func TestFullPoolAnswers(t *testing.T) {
	c := newCluster(t, 4, epoch.DefaultParameters())
	p := c.node(2).replica.pool
	for i := uint64(1); ; i++ {
		if _, err := p.add(askBig(0, 1_000_000+i), 2, 1); err != nil {
			break
		}
	}
	q := message.NewRequest(scheme, keys[0], c.epoch.Chain, 1, 1<<20, make([]byte, 60<<10))
	out := c.node(2).replica.Step(Submitted{[]*message.Request{q}})
	if len(out.Answer) != 1 || out.Answer[0].Request != q || !errors.Is(out.Answer[0].Refusal, ErrPoolFull) || len(out.Send) != 0 {
		t.Errorf("got %+v", out)
	}
}

// A request is held once, however it comes; several of a sender for one nonce may wait, and when one of them is
// executed the others can no longer be the first: they go.
//
// case N11; purging by id turns it red.
func TestOneNonceIsUsedOnce(t *testing.T) {
	p := newPool(4)
	a, b := ask(0, 1, "a"), ask(0, 1, "b")
	other := ask(0, 2, "c")
	mustAdd(t, p, 1, a)
	mustAdd(t, p, 2, b)
	mustAdd(t, p, 3, other)
	for entry := epoch.ReplicaID(1); entry <= 4; entry++ {
		if added, err := p.add(a, entry, 1); added || err != nil {
			t.Errorf("again through %d: %v, %v", entry, added, err)
		}
	}
	p.markProposed([]*message.Request{b})
	p.markProposed([]*message.Request{b})
	sound(t, p)
	p.executed([]*message.Request{a}, []End{NonceOver})
	sound(t, p)
	if n, _ := p.size(); n != 1 || p.holds(a) || p.holds(b) || !p.holds(other) {
		t.Errorf("%d are left", n)
	}
	// A late copy is not proposed again; one that was never executed may come.
	if added, _ := p.add(a, 4, 1_000_000); added {
		t.Error("executed, and taken in again")
	}
	if added, _ := p.add(b, 4, 11); !added {
		t.Error("b was never executed, and is refused")
	}
	// Executing what was never here harms nothing.
	p.executed([]*message.Request{ask(5, 9, "x"), other}, []End{NonceOver, NonceOver})
	sound(t, p)
}

// Members take turns in every batch, and each one's requests go in the order in which they came: who floods waits in
// his own line.
//
// case A7; taking from one queue until it is empty turns it red.
func TestBatchesTakeTurnsAmongMembers(t *testing.T) {
	p := newPool(3)
	for i := range uint64(10) {
		mustAdd(t, p, 1, ask(1, i+1, ""))
	}
	mustAdd(t, p, 2, ask(2, 1, ""), ask(2, 2, ""))
	mustAdd(t, p, 3, ask(3, 1, ""))
	story := func(batch []*message.Request) (s string) {
		for _, q := range batch {
			for client := 1; client <= 3; client++ {
				if q.Sender == keys[client].Public() {
					s += fmt.Sprintf("%d.%d ", client, q.Nonce)
				}
			}
		}
		return s
	}
	for _, want := range []string{"1.1 2.1 3.1 1.2 2.2 ", "1.3 1.4 1.5 1.6 1.7 ", "1.8 1.9 1.10 ", ""} {
		if got := story(p.take(5, 1<<20)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		sound(t, p)
	}
	// By bytes: what does not fit waits for the next batch, and is not overtaken in its own line.
	q := newPool(2)
	mustAdd(t, q, 1, askBig(1, 1), ask(1, 2, ""))
	mustAdd(t, q, 2, ask(2, 1, ""), ask(2, 2, ""))
	for _, want := range []string{"1.1 ", "2.1 1.2 2.2 ", ""} {
		if got := story(q.take(100, 64<<10)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// A request that nobody proposes must not keep the memory of those behind it: a member can show one replica a request
// that it shows no leader.
//
// Letting go only at the head of the line turns it red.
func TestStuckRequestKeepsNothingBehindIt(t *testing.T) {
	p := newPool(4)
	mustAdd(t, p, 1, ask(0, 1, "stuck"))
	for i := range uint64(10_000) {
		q := ask(1, i+1, "")
		mustAdd(t, p, 1, q)
		p.executed([]*message.Request{q}, []End{NonceOver})
	}
	if n := len(p.queues[0].fifo); n > 100 {
		t.Errorf("%d in a line of one", n)
	}
	if len(p.doneRing) != 10_000 || len(p.done) != 10_000 {
		t.Errorf("%d and %d executed ids", len(p.doneRing), len(p.done))
	}
	for i := range uint64(2 * doneRequests) {
		p.remember(crypto.Hash("test/id", fmt.Append(nil, i)))
	}
	if len(p.doneRing) != doneRequests || len(p.done) != doneRequests {
		t.Errorf("%d and %d executed ids, at most %d", len(p.doneRing), len(p.done), doneRequests)
	}
	sound(t, p)
}

// Whoever took a request in tells the leader again, until it is in a proposal, in bundles of a bounded size; but one
// request always fits, as large as it may be. The pauses get longer until the leader is another, or may have heard nothing for a while.
func TestOverdueRequestsAreToldAgain(t *testing.T) {
	p := newPool(4)
	huge := ask(0, 1, string(make([]byte, 200<<10)))
	here := []*message.Request{huge, askBig(1, 1), ask(2, 1, ""), ask(3, 1, "")}
	mustAdd(t, p, 2, here...)
	for _, q := range here {
		p.adopt(q, 1)
	}
	mustAdd(t, p, 1, ask(4, 1, "")) // handed in elsewhere: somebody else's to tell
	count := func(now uint64, want int) {
		t.Helper()
		if got := p.overdue(now, math.MaxUint64, bundleBytes); len(got) != want {
			t.Errorf("at %d: %d requests, want %d", now, len(got), want)
		}
	}
	count(remindTicks, 0)
	count(remindTicks+1, 1) // the huge one alone
	count(remindTicks+2, 1) // the big one
	count(remindTicks+3, 2)
	count(remindTicks+4, 0)
	p.markProposed([]*message.Request{huge})
	p.executed([]*message.Request{ask(2, 1, "")}, []End{NonceOver})
	count(2*remindTicks+1, 0)
	count(2*remindTicks+2, 1) // the big one
	count(2*remindTicks+3, 1)
	count(4*remindTicks+1, 0)
	count(5*remindTicks+4, 1) // that pause is twice as long, or up to half as long again
	count(5*remindTicks+5, 1)
	count(9*remindTicks+4, 0)
	p.markAllWaiting()        // for another leader
	count(9*remindTicks+4, 1) // the huge one waits again
	count(9*remindTicks+5, 1)
	count(9*remindTicks+6, 1)
	p.hurry()
	count(10*remindTicks+4, 1)
	count(10*remindTicks+5, 1)
	count(10*remindTicks+6, 1)
}

// Small requests that keep coming in at one member, and a large one at another, keep nobody's from being told to the leader.
//
// Always beginning with the same member turns it red.
func TestNobodyIsForsakenForOthers(t *testing.T) {
	p := newPool(4)
	now, nonce := uint64(100), uint64(1000)
	small := func() *message.Request {
		nonce++
		return ask(1, nonce, "x")
	}
	for range 5 {
		mustAdd(t, p, 1, small())
	}
	large, victim := askBig(2, 1), ask(3, 1, "victim")
	mustAdd(t, p, 2, large)
	mustAdd(t, p, 3, victim)
	told := make(map[crypto.Digest]int)
	for range 100 {
		now += remindTicks
		for _, q := range p.forsaken(now, forsakenBytes) {
			if told[q.ID()]++; q != large && q != victim {
				p.executed([]*message.Request{q}, []End{NonceOver})
				mustAdd(t, p, 1, small())
			}
		}
	}
	if told[large.ID()] == 0 || told[victim.ID()] == 0 {
		t.Errorf("the large one was told %d times, the one behind it %d times", told[large.ID()], told[victim.ID()])
	}
}
