package bft

import (
	"bytes"
	"slices"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// A word of readiness that does not hold at the slot is left out, and the change is ordered without it.
//
// case N7; throwing the whole change away turns it red.
func TestALiarsReadinessSpoilsNoChange(t *testing.T) {
	c := newClusterOf(t, withOperator(4, epoch.Byzantine))
	c.tick(1)
	c.load(5)
	c.ask(1, c.change(1, toWindow(20)))
	c.tick(60)
	c.inEpoch(1, epoch.Byzantine, 1, 2, 3, 4)
	e := c.node(1).replica.Epoch()
	ch := c.change(2, toWindow(24))
	c.drop = func(from, _ epoch.ReplicaID, m *message.Signed) bool {
		return from == 4 && (m.Body.Kind() == message.KindReady || m.Body.Kind() == message.KindPrePrepare)
	}
	lie := message.Sign(scheme, keys[4], e, 4, &message.Ready{Change: ch.ID(), Incarnation: epoch.Incarnation{4}, Seq: e.Base - 1, Header: crypto.Digest{1}})
	if err := Check(lie, e, scheme); err != nil {
		t.Fatal(err)
	}
	lies := 0
	c.after = func(x *node) { // it reaches each as soon as that one knows of the change
		for _, w := range x.replica.changes {
			if w.id == ch.ID() && w.ready[3] == nil && x.id != 4 {
				w.ready[3] = lie
				lies++
			}
		}
	}
	for _, x := range c.nodes {
		c.step(x, Asked{ch})
	}
	c.run()
	c.tick(6000)
	c.inEpoch(2, epoch.Byzantine, 1, 2, 3)
}

// However often liars ask for renewals, an honest member says no more about them than its peers let in.
//
// case E12; answering each at once turns it red.
func TestRenewalsHaveNobodySayTooMuch(t *testing.T) {
	c := newClusterOf(t, withOperator(7, epoch.Byzantine))
	c.tick(1)
	c.load(3)
	c.tick(250)
	e := c.genesis.Epoch()
	said := 0
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		if from == 1 && to == 2 && m.Body.Kind() == message.KindReady {
			said++
		}
		return m.Body.Kind() == message.KindReady && (from >= 6 || to >= 6) // the liars need none of it
	}
	for i := range 100 {
		if i%5 != 4 { // 80 in a second, of two liars: 40 each, as their share is
			liar := epoch.ReplicaID(6 + i%2)
			ch := &message.Change{Chain: e.Chain, Of: e.ID, Next: e.Configuration, Last: 1000 + epoch.Seq(i)}
			ch.Next.Members = append([]epoch.Member(nil), e.Members...)
			ch.Next.Members[liar-1].Incarnation = epoch.Incarnation{200, byte(i)}
			m := message.Sign(scheme, keys[liar], e, liar, &message.Propose{Change: ch})
			if err := Check(m, e, scheme); err != nil {
				t.Fatal(err)
			}
			for _, id := range []epoch.ReplicaID{1, 2, 3, 4, 5} {
				c.post(liar, id, Received{m})
			}
		}
		c.tick(1)
	}
	if said > 40 {
		t.Errorf("an honest member has said Ready %d times in a second, of which its peers take 40 (node/quota.go changeRate)", said)
	}
}

// A request that comes a moment after an epoch with smaller ones has begun is refused: a leader that proposed it would be heard by
// nobody.
//
// case K10; taking it in turns it red.
func TestARequestThatIsTooLargeForTheEpochIsRefused(t *testing.T) {
	c := newClusterOf(t, withOperator(4, epoch.Byzantine))
	c.tick(1)
	c.load(3)
	c.nonce++
	q := message.NewRequest(scheme, keys[0], c.epoch.Chain, c.nonce, 1<<20, bytes.Repeat([]byte{1}, 600))
	c.ask(1, c.change(1, func(next *epoch.Configuration) { next.Parameters.RequestBytes, next.Parameters.BatchBytes = 512, 1024 }))
	c.tick(60)
	c.inEpoch(1, epoch.Byzantine, 1, 2, 3, 4)
	refused := 0
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		if e := c.node(to).epochs[m.Epoch]; e != nil && Check(m, e, scheme) != nil {
			refused++
			return true
		}
		return false
	}
	c.step(c.node(1), Submitted{[]*message.Request{q}})
	c.run()
	for range 3000 {
		c.tick(1)
	}
	c.submit(2, 1)
	c.tick(3000)
	if n, _ := c.node(1).replica.Pooled(); n > 0 || refused > 0 {
		t.Errorf("%d requests wait at 1 for ever; an honest member has said %d things that its peers refuse", n, refused)
	}
}

// A member that says nothing where it leads, and has itself renewed as often as it may, to lead again: each renewal waits twice as
// long as the one before.
//
// case H13; renewals at an even pace turn it red.
func TestALiarIsRenewedEverMoreSlowly(t *testing.T) {
	run := func(renews bool) (done int, epochs uint64) {
		c := newClusterOf(t, withOperator(4, epoch.Byzantine))
		c.tick(1)
		c.drop = cut(1)
		last := epoch.Seq(0)
		for i := range 6000 {
			if i%5 == 0 {
				c.submit(2, 1)
			}
			c.tick(1)
			r := c.node(2).replica
			last = r.Head().Seq
			if !renews || i%25 != 0 || r.Sealed() {
				continue
			}
			e := r.Epoch()
			ch := &message.Change{Chain: e.Chain, Of: e.ID, Next: e.Configuration, Last: 1 << 30}
			ch.Next.Members = slices.Clone(e.Members)
			ch.Next.Members[0].Incarnation = epoch.Incarnation{byte(100 + e.Number%100), byte(e.Number / 100)}
			head := r.Head()
			for _, b := range []message.Body{&message.Propose{Change: ch}, &message.Ready{Change: ch.ID(), Incarnation: ch.Next.Members[0].Incarnation, Seq: head.Seq, Header: head.Digest()}} {
				m := message.Sign(scheme, keys[1], e, 1, b)
				if err := Check(m, e, scheme); err != nil {
					t.Fatal(err)
				}
				for _, id := range []epoch.ReplicaID{2, 3, 4} {
					if c.node(id).replica.Epoch().ID == e.ID {
						c.post(1, id, Received{m})
					}
				}
			}
			c.run()
		}
		return int(last), c.node(2).replica.Epoch().Number
	}
	calm, _ := run(false)
	done, epochs := run(true)
	if epochs > 10 {
		t.Errorf("a liar has had the network enter %d epochs in a minute, each with itself in the lead, and %d of %d slots done", epochs, done, calm)
	}
}

// Changes for which nobody is ready are in nobody’s way: a newer one takes the place of the oldest.
//
// case K4; a list that fills turns it red.
func TestChangesThatWaitShutNoneOut(t *testing.T) {
	c := newClusterOf(t, withOperator(4, epoch.Byzantine))
	c.tick(1)
	c.load(3)
	c.tell(1, 2, c.against(4, 2))
	for range maxChanges { // quorate mode crash, four times: nobody is ready
		c.load(1)
		c.ask(1, c.change(1, toMode(epoch.Crash)))
		c.tick(20)
	}
	c.load(30)
	ch := c.change(1, toWindow(20))
	for _, x := range c.nodes {
		c.step(x, Asked{ch}) // accepted, as the operator is told
	}
	c.run()
	c.load(100)
	c.tick(3000)
	c.inEpoch(1, epoch.Byzantine, 1, 2, 3, 4)
}

// On a network that is never idle some slots are always under way, and an observer is renewed all the same.
//
// case F2; a renewal that waits for the very tip turns it red.
func TestAnObserverIsRenewedUnderLoad(t *testing.T) {
	for _, every := range []int{1, 2, 5} {
		c := newClusterOf(t, withOperator(4, epoch.Byzantine))
		c.tick(1)
		c.load(10)
		x := c.forget(3, 9)
		for i := range 6000 {
			if i%every == 0 {
				c.submit(epoch.ReplicaID(i%2+1), 1)
			}
			c.tick(1)
		}
		r := x.replica
		if r.Observes() {
			t.Errorf("a request every %d ticks: after a minute member 3 observes still; it is %d behind of %d; epoch %d", every, r.Behind(), c.node(1).replica.Head().Seq, r.Epoch().Number)
		}
	}
}

// A liar may prove against itself, in an epoch that is over, what it likes: a few pieces are kept.
//
// case D14; a bound for the running epoch alone turns it red.
func TestEvidenceOfThePastIsBounded(t *testing.T) {
	c := newClusterOf(t, withOperator(4, epoch.Byzantine))
	c.tick(1)
	c.load(5)
	c.ask(1, c.change(1, toWindow(20)))
	c.tick(60)
	c.inEpoch(1, epoch.Byzantine, 1, 2, 3, 4)
	e := c.genesis.Epoch()
	x := c.node(1)
	for i := range 5000 {
		m := message.Sign(scheme, keys[4], e, 4, c.against(4, epoch.Seq(i+1)))
		if err := Check(m, e, scheme); err != nil {
			t.Fatal(err)
		}
		c.step(x, Received{m})
	}
	c.run()
	before := len(x.past)
	c.load(8)
	c.tick(30)
	if n := len(x.replica.Evidence()); n > 16*4*2 {
		t.Errorf("one member is known to lie by %d pieces; %d records were written for 8 slots", n, len(x.past)-before)
	}
}

// A certificate of what was decided in vain brings the transactions of no block that stands in its place.
//
// case F7; taking it by its slot turns it red.
func TestAVoidTailMendsNoBlock(t *testing.T) {
	c := newClusterOf(t, withOperator(4, epoch.Byzantine))
	c.tick(1)
	c.load(2)
	c.tick(5)
	leader := c.node(1)
	leader.replica.now = 0
	ch := c.change(1, toWindow(20))
	c.ask(1, ch)
	tail := c.submit(1, 1)
	order := leader.replica.order
	at := order.Open() + 1
	ripe := leader.replica.ripe(at)
	void := message.NewBatch(c.now, tail)
	var commits []*message.Signed
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		if b, ok := m.Body.(*message.Commit); ok && b.Seq == at+1 && m.Epoch == c.epoch.ID && !slices.ContainsFunc(commits, func(o *message.Signed) bool { return o.Author == m.Author }) {
			commits = append(commits, m)
		}
		return false
	}
	if ripe == nil || !order.Propose(message.NewChangeBatch(c.now, ripe)) || !order.Propose(void) {
		t.Fatal("the leader cannot propose")
	}
	leader.replica.pool.markProposed(tail)
	c.tick(60)
	c.inEpoch(1, epoch.Byzantine, 1, 2, 3, 4)
	c.load(4)
	slices.SortFunc(commits, func(a, b *message.Signed) int { return int(a.Author) - int(b.Author) })
	b := &proof.Block{Decision: proof.Decision{Header: proof.Header{Epoch: c.epoch.ID, Seq: at + 1, Batch: void.Digest()}, Certificate: commits}, Batch: void}
	m := message.Sign(scheme, keys[4], c.epoch, 4, &message.Have{Blocks: [][]byte{proof.EncodeBlock(b)}})
	if err := Check(m, c.epoch, scheme); err != nil {
		t.Fatalf("no certificate for the void tail: %v (%d commits)", err, len(commits))
	}
	x := c.node(3)
	d := x.blocks[at+1].Header.Batch
	if d == void.Digest() {
		t.Fatal("the same batch")
	}
	delete(x.bodies, d)
	c.step(x, Lost{[]epoch.Seq{at + 1}})
	c.step(x, Received{m})
	c.tick(200)
	if x.bodies[d] == nil {
		t.Errorf("block %d stays damaged", at+1)
	}
}

// The same with one that no batch of the epoch has room for.
//
// case K10; an invariant that a client can break turns it red.
func TestALateRequestEndsNobody(t *testing.T) {
	for _, size := range []int{1500, 600} {
		func() {
			c := newClusterOf(t, withOperator(4, epoch.Byzantine))
			c.tick(1)
			c.load(3)
			old := c.node(1).replica.Epoch()
			c.nonce++
			q := message.NewRequest(scheme, keys[0], c.epoch.Chain, c.nonce, 1<<20, bytes.Repeat([]byte{1}, size))
			if err := CheckRequests([]*message.Request{q}, old, scheme)[0]; err != nil {
				t.Fatal(err)
			}
			c.ask(1, c.change(1, func(next *epoch.Configuration) { next.Parameters.RequestBytes, next.Parameters.BatchBytes = 512, 1024 }))
			c.tick(60)
			c.inEpoch(1, epoch.Byzantine, 1, 2, 3, 4)
			defer func() {
				if err := recover(); err != nil {
					t.Errorf("%d bytes: the leader ends: %v", size, err)
				}
			}()
			c.step(c.node(1), Submitted{[]*message.Request{q}})
			for range 200 {
				for len(c.queue) > 0 {
					p := c.queue[0]
					c.queue = c.queue[1:]
					c.step(c.node(p.to), p.event)
				}
				c.tick(1)
			}
		}()
	}
}

// A leader that hears the words of all others before that of the member which asks for its renewal waits for that one, and keeps what it has.
//
// case F2; a renewal that is thrown away because one word is not there yet turns it red.
func TestARenewalWaitsForTheMembersOwnWord(t *testing.T) {
	c := newClusterOf(t, withOperator(4, epoch.Crash))
	c.tick(1)
	c.load(5)
	c.forget(3, 9)
	late := true
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		_, ok := m.Body.(*message.Ready)
		return late && from == 3 && to == 1 && ok
	}
	most := 0
	c.after = func(x *node) {
		ready := 0
		for _, w := range x.replica.Changes() {
			ready = len(w.Ready)
		}
		if x.id != 1 || x.replica.Epoch().Number > 0 || x.replica.Sealed() {
			return
		}
		if ready < most {
			t.Fatalf("%d were ready for the renewal, and now %d are", most, ready)
		}
		most = ready
	}
	c.tick(320)
	if most != 3 {
		t.Errorf("%d are ready, want all but the one that is renewed", most)
	}
	late = false
	c.tick(60)
	c.inEpoch(1, epoch.Crash, 1, 2, 3, 4)
}
