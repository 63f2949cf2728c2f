package bft

import (
	"slices"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// What reviews of this package have found: each test was red before its finding was mended.

func (c *cluster) say(by epoch.ReplicaID, b message.Body) Received {
	return Received{message.Sign(scheme, keys[by], c.epoch, by, b)}
}

// One liar's claim of height must not make a replica call itself behind: it would take no more transactions. // case C8
func TestOneClaimMakesNobodyBehind(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	c.load(8)
	c.step(c.node(1), c.say(4, &message.Status{Delivered: 1 << 60}))
	c.tick(300)
	if b := c.node(1).replica.Behind(); b > 4 {
		t.Errorf("one liar makes an idle, caught-up leader say it is %d slots behind", b)
	}
}

// Old Status messages of correct members, repeated by another, must not keep a replica from catching up. // case H8
func TestRepeatedStatusHidesNoHeight(t *testing.T) {
	for _, attack := range []bool{false, true} {
		c := newCluster(t, 4, small())
		c.tick(1)
		var old []*message.Signed
		c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
			if s, ok := m.Body.(*message.Status); ok && s.Delivered == 0 && from != 3 && from != 4 && to == 4 {
				old = append(old, m) // member 4 keeps it
			}
			return to == 3
		}
		c.tick(120)
		c.load(30)
		c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool { return from == 4 } // 4 helps nobody
		c.after = func(x *node) {
			if attack && x.id == 3 { // after anything that 3 does, 4 has put old words in front of it
				for _, m := range old[:2] {
					x.replica.Step(Received{m})
				}
			}
		}
		for range 30 {
			c.tick(100)
			c.load(1) // the network goes on
		}
		if c.node(3).replica.Head().Seq < 30 {
			t.Errorf("3 never catches up: at %d, others at %d", c.node(3).replica.Head().Seq, c.node(1).replica.Head().Seq)
		}
	}
}

// A transaction that was ordered without using its nonce must not throw others with that nonce out of the pool, nor be
// refused in silence itself when it may be ordered again. // case L4
func TestNonceThatWasNotUsedThrowsNothingOut(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	// expired when ordered; then the sender's new version of it, with a later last
	dead := message.NewRequest(scheme, keys[0], c.epoch.Chain, 7, 0, []byte("a"))
	live := message.NewRequest(scheme, keys[0], c.epoch.Chain, 7, 1<<20, []byte("a"))
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool { // hold the slot open
		_, ok := m.Body.(*message.Commit)
		return ok
	}
	c.step(c.node(1), Submitted{[]*message.Request{dead}})
	c.run()
	c.step(c.node(2), Submitted{[]*message.Request{live}})
	c.node(1).replica.Step(c.say(2, &message.Bundle{Requests: []*message.Request{live}}))
	c.queue = nil
	r := c.node(2).replica
	if !r.Holds(live) {
		t.Fatal("setup")
	}
	// the leader has already more slots in flight, or is about to propose it: at node 2 dead executes first
	r.pool.executed([]*message.Request{dead}, []End{NothingOver})
	if !r.Holds(live) {
		t.Error("live is gone from the pool of the node that took it in: nobody reminds the leader, its caller waits for nothing")
	}
	added, err := r.pool.add(dead, 2, r.ticks)
	if !added && err == nil {
		t.Error("a request whose first outcome was not final is dropped without an answer")
	}
}

// Whoever a client hands a transaction to reminds the leader of it, also if it was known through another member before.
func TestLeaderIsRemindedOfWhatWasKnownThroughAnother(t *testing.T) {
	for _, foreign := range []bool{false, true} {
		c := newCluster(t, 4, small())
		c.tick(1)
		q := message.NewRequest(scheme, keys[0], c.epoch.Chain, 1, 1<<20, []byte("op"))
		if foreign { // member 4 tells only member 2
			c.step(c.node(2), c.say(4, &message.Bundle{Requests: []*message.Request{q}}))
		}
		c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool { // one lossy moment; also: the leader restarts
			_, ok := m.Body.(*message.Bundle)
			return ok
		}
		c.step(c.node(2), Submitted{[]*message.Request{q}})
		c.run()
		c.tick(2)
		c.drop = nil
		c.tick(3000) // 30 s
		if got := c.node(2).replica.Head().Seq; got == 0 {
			t.Errorf("foreign=%v: after 30 s without faults the request is not ordered", foreign)
		}
	}
}

// Every bundle must be one that the network carries, 4 MiB direct and 128 KiB in the gossip, and that peers can read.
func TestBundlesFitTheNetwork(t *testing.T) {
	c := newCluster(t, 4, epoch.DefaultParameters())
	c.tick(1)
	var again []*message.Request
	for i := range 80 {
		again = append(again, message.NewRequest(scheme, keys[0], c.epoch.Chain, uint64(i+1), 1<<20, make([]byte, 60<<10)))
	}
	r := c.node(2).replica
	for i := range again {
		r.pool.add(again[i], epoch.ReplicaID(3+i%2), r.ticks)
	}
	out := r.Step(Submitted{again})
	for _, s := range out.Send {
		if b, ok := s.Body.(*message.Bundle); ok {
			m := message.Sign(scheme, keys[2], c.epoch, 2, b)
			if _, err := message.Decode(encode(m)); err != nil {
				t.Errorf("%d requests to the leader, %d bytes: %v", len(b.Requests), m.EncodedSize(), err)
			}
		}
	}
	c = newCluster(t, 4, epoch.DefaultParameters())
	c.tick(1)
	over := message.RequestOverhead
	two := []*message.Request{
		message.NewRequest(scheme, keys[0], c.epoch.Chain, 1, 1<<20, make([]byte, 64<<10-over-1)),
		message.NewRequest(scheme, keys[0], c.epoch.Chain, 2, 1<<20, make([]byte, 64<<10-over)),
	}
	direct := false
	size := 0
	for _, s := range c.node(2).replica.Step(Submitted{two}).Send {
		if b, ok := s.Body.(*message.Bundle); ok {
			if s.Way == message.Gossip {
				size = message.Sign(scheme, keys[2], c.epoch, 2, b).EncodedSize()
			} else {
				direct = true
			}
		}
	}
	if size > 128<<10 && !direct {
		t.Errorf("gossiped bundle of %d bytes is over p2p.MaxGossipFrame, and no direct copy goes to the leader", size)
	}
}

func encode(m *message.Signed) []byte {
	var w message.Writer
	m.Encode(&w)
	return w.Bytes()
}

// A decision that was learned while its slot was beyond the window still stands when the window gets there.
func TestNoVoteAgainstADecisionFromBeyondTheWindow(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	// 3 is cut off while the others go on to 20
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool { return to == 3 || from == 3 }
	c.load(24)
	x := c.node(3)
	have := func(seqs ...epoch.Seq) {
		h := &message.Have{}
		for _, s := range seqs {
			h.Blocks = append(h.Blocks, proof.EncodeBlock(c.node(1).blocks[s]))
		}
		c.step(x, c.say(4, h))
		c.run()
	}
	have(20)                     // by a Byzantine member: only this one
	have(1, 2, 3, 4, 5, 6, 7, 8) // then what it lacks
	// a checkpoint at 8, from the attestations of 1, 2, 4 to exactly that header
	h8 := c.node(1).blocks[8].Header
	var votes []*message.Signed
	for _, id := range []epoch.ReplicaID{1, 2, 4} {
		votes = append(votes, message.Sign(scheme, keys[id], c.epoch, id, &message.Attestation{Seq: 8, Header: h8.Digest()}))
	}
	c.step(x, c.say(4, &message.Have{Checkpoint: proof.EncodeCheckpoint(&proof.Checkpoint{Header: h8, Attestations: votes})}))
	if x.replica.Head().Seq != 8 || x.replica.Stable().Header.Seq != 8 || x.replica.pending[20].Batch == nil {
		t.Fatal("3 is not where this test begins")
	}
	other := message.NewBatch(77, []*message.Request{message.NewRequest(scheme, keys[0], c.epoch.Chain, 999, 1<<20, []byte("other"))})
	out := x.replica.Step(c.say(1, &message.PrePrepare{Vote: message.Vote{Seq: 20, Digest: other.Digest()}, Batch: other}))
	for _, s := range out.Send {
		if p, ok := s.Body.(*message.Prepare); ok {
			t.Errorf("votes for %s at slot %d, of which it knows that %s is decided", p.Digest.Short(), p.Seq, c.node(1).blocks[20].Header.Batch.Short())
		}
	}
}

// A leader and two backups that restart with gaps in their slots, a fourth member away, complete them all. // case N18
func TestAllSlotsCompleteAfterARestartWithGaps(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	c.load(3)
	n := 0
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		if m.Body.Kind() == message.KindPrePrepare {
			n++
			return n%2 == 0
		}
		return m.Body.Kind() == message.KindCommit || m.Body.Kind() == message.KindStatus || to == 4
	}
	for range 6 {
		c.submit(1, 1)
		c.tick(1)
	}
	c.queue = nil
	for _, id := range []epoch.ReplicaID{1, 2, 3} {
		c.node(id).past = c.node(id).surviving()
		c.node(id).trimmed = 0
		c.start(c.node(id))
	}
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool { return to == 4 || from == 4 }
	c.run()
	c.tick(300)
	c.agree(5, 1, 2, 3)
}

// A replica that is far behind gets the checkpoints on its way too, and trims at each: else its log and its memory would
// grow with all that it has missed, until it is at the tip. // case C5
func TestReplicaTrimsWhileItCatchesUp(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool { return from == 4 || to == 4 }
	c.load(200)
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool { // no checkpoint but those that come with blocks
		h, ok := m.Body.(*message.Have)
		return ok && len(h.Blocks) == 0 || m.Body.Kind() == message.KindAttestation
	}
	x := c.node(4)
	most := 0
	for range 2000 {
		c.tick(1)
		most = max(most, len(x.replica.chain))
	}
	if head, stable := x.replica.Head().Seq, x.replica.Stable().Header.Seq; head < 200 || stable < 192 {
		t.Fatalf("at %d, stable at %d", head, stable)
	}
	if most > 2*wantBlocks {
		t.Errorf("it held %d headers at once", most)
	}
}

// case F6 N3; saying of an accepted slot that its batch is logged turns it red: a member attests a block that it does not hold.
func TestLostBatchThatComesWithABlockIsKept(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	c.drop = func(_, _ epoch.ReplicaID, m *message.Signed) bool {
		return m.Body.Kind() == message.KindPrepare || m.Body.Kind() == message.KindStatus
	}
	c.submit(1, 2)
	c.tick(1)
	x := c.node(3)
	var past []ordering.Record
	for _, rec := range x.past {
		if rec.Kind() != ordering.KindBodies {
			past = append(past, rec)
		}
	}
	x.past = past
	clear(x.bodies)
	c.start(x)

	// The others go on without it; then it hears of what they have decided as blocks alone.
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool { return from == 3 || to == 3 }
	c.tick(60)
	c.agree(1, 1, 2, 4)
	c.drop = func(_, _ epoch.ReplicaID, m *message.Signed) bool { return m.Body.Kind() == message.KindBodies }
	c.after = func(x *node) {
		for seq, b := range x.blocks {
			if b.Batch == nil {
				t.Fatalf("%d has block %d in its log without its batch", x.id, seq)
			}
		}
	}
	c.tick(100)

	c.agree(1, 1, 2, 3, 4)
}

// case E6; letting go only where the leader is reminded turns it red: a leader keeps all that was ever handed to it.
func TestLeaderLetsGoOfWhatWasHandedIn(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)

	for range 300 {
		c.submit(1, 1)
		c.submit(2, 1)
		c.tick(1)
	}
	c.tick(60)

	for _, x := range c.nodes {
		if n := len(x.replica.pool.mine); n > 0 {
			t.Errorf("%d holds %d requests that are executed", x.id, n)
		}
	}
}

// case A9 E6; finding out only when nothing is missing any more turns it red.
func TestNamesOfTooMuchAreNotGathered(t *testing.T) {
	p := small()
	p.BatchRequests, p.BatchBytes, p.RequestBytes = 100, 64<<10, 32<<10
	c := newCluster(t, 4, p)
	c.tick(1)
	x := c.node(2)
	requests := c.large(100)
	batch := message.NewBatch(c.now, requests)
	c.propose(2, 1, &message.PrePrepare{Vote: message.Vote{Digest: batch.Digest()}, Outline: batch.Outline()})

	for i := 0; i+3 < 99; i += 3 { // all but the last
		c.step(x, c.say(1, &message.Bodies{Seq: 1, Batch: batch.Digest(), Requests: requests[i : i+3]}))
	}

	held := 0
	for _, g := range x.replica.gather.list {
		for _, q := range g.requests {
			if q != nil {
				held += q.Size()
			}
		}
	}
	if held > int(p.BatchBytes) || len(x.replica.gather.list) != 0 || len(x.replica.gather.wants) != 0 {
		t.Errorf("%d bytes gathered of a batch that can have %d; %d proposals wait for %d transactions",
			held, p.BatchBytes, len(x.replica.gather.list), len(x.replica.gather.wants))
	}
}

// case D9; voting before the first Tick turns it red.
func TestNoVoteBeforeTheFirstLookAtTheClock(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	count := c.heard(nil)
	x := c.node(2)
	c.start(x)
	b := message.NewBatch(1<<50, c.large(1))
	c.propose(2, 1, &message.PrePrepare{Vote: message.Vote{Digest: b.Digest()}, Batch: b})
	if count[message.KindPrepare] != 0 {
		t.Error("votes for a time of a distant age")
	}
	c.tick(100)
	if count[message.KindPrepare] != 0 {
		t.Error("votes for a time of a distant age after looking at its clock")
	}
}

// A member that has lost its log is further back than it was, and is told again what it lacks all the same: also in a network
// where nothing new happens that would carry it along.
//
// case F2; helping only whoever is further than it has ever been turns it red.
func TestForgottenMemberIsHelpedInAnIdleNetwork(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	c.load(26)
	c.tick(200)
	for _, x := range c.nodes {
		x.fits = 20 // large blocks
	}
	x := c.forget(3, 9)
	var slow []Event // what its machine has done, and not said yet
	c.after = func(*node) {
		c.queue = slices.DeleteFunc(c.queue, func(p parcel) bool {
			_, executed := p.event.(Executed)
			if executed && p.to == 3 {
				slow = append(slow, p.event)
				return true
			}
			return false
		})
	}
	c.tick(120)
	for range 60 {
		done := slow
		slow = nil
		for _, e := range done {
			c.step(x, e)
			c.run()
		}
		c.tick(10)
	}

	c.agree(26, 1, 2, 3, 4)
	if got, want := x.replica.Stable().Header.Seq, c.node(1).replica.Stable().Header.Seq; got != want {
		t.Errorf("stable at %d, others at %d", got, want)
	}
}

// What a leader had taken in and forgets as it restarts is known to others, who tell it: else it would take up the leader's share
// of their pools for ever.
//
// case L1 E6; reminding the leader only of what came in here turns it red.
func TestWhatALeaderForgetsIsOrderedAllTheSame(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	c.drop = func(_, _ epoch.ReplicaID, m *message.Signed) bool { return m.Body.Kind() == message.KindPrepare }
	requests := c.submit(1, 40) // more than it may have in flight
	c.tick(2)
	leader := c.node(1)
	leader.past, leader.trimmed = leader.surviving(), 0
	c.start(leader)
	c.drop = nil

	c.tick(100)

	ordered := make(map[crypto.Digest]bool)
	for _, b := range leader.blocks {
		for _, q := range b.Batch.Requests {
			ordered[q.ID()] = true
		}
	}
	if len(ordered) != len(requests) {
		t.Errorf("%d of %d are ordered", len(ordered), len(requests))
	}
	for _, x := range c.nodes {
		if n, _ := x.replica.Pooled(); n != 0 {
			t.Errorf("%d holds %d requests that nobody proposes", x.id, n)
		}
	}
}

// A member that lies may hand a transaction to one backup alone. It is ordered within the second after which a node where
// transactions wait for nothing takes no more: else one liar could keep clients from all backups of an idle network.
//
// case A5 L1; leaving it to whoever took a transaction in to remind the leader turns it red.
func TestWhatALiarTellsOneBackupIsOrderedWithinASecond(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	q := message.NewRequest(scheme, keys[0], c.epoch.Chain, 1, 1<<20, []byte("operation"))
	for at := range 2 * forsakenRounds * remindRound { // whenever it comes
		c.tick(1)
		q = message.NewRequest(scheme, keys[0], c.epoch.Chain, q.Nonce+1, 1<<20, []byte("operation"))
		c.step(c.node(2), c.say(4, &message.Bundle{Head: c.node(2).replica.Head().Seq, Requests: []*message.Request{q}}))
		c.tick(99)
		if n, _ := c.node(2).replica.Pooled(); n != 0 {
			t.Fatalf("at tick %d: still waits", at)
		}
	}
}

// What a lying leader has proposed to one backup, while others got another batch, is in no proposal any more once that one is
// decided: it is ordered after all.
//
// case A1 L1; leaving it marked as proposed turns it red.
func TestWhatWasProposedInVainIsOrderedAfterAll(t *testing.T) {
	c := newCluster(t, 4, small())
	c.tick(1)
	unseen := func(from, _ epoch.ReplicaID, m *message.Signed) bool { // nobody shows anybody what the leader has told it
		return m.Body.Kind() == message.KindPrePrepare && m.Author != from
	}
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		return m.Body.Kind() == message.KindBundle || unseen(from, to, m)
	}
	vain := c.submit(2, 1)[0]
	c.nonce++
	other := message.NewRequest(scheme, keys[0], c.epoch.Chain, c.nonce, 1<<20, []byte("other"))
	to := func(id epoch.ReplicaID, q *message.Request) message.Vote {
		b := message.NewBatch(c.now, []*message.Request{q})
		p := &message.PrePrepare{Vote: message.Vote{Digest: b.Digest()}, Batch: b}
		c.propose(id, 1, p)
		return p.Vote
	}
	to(2, vain)
	to(3, other)
	vote := to(4, other)
	for _, id := range []epoch.ReplicaID{3, 4} {
		c.post(1, id, c.say(1, &message.Commit{Vote: vote}))
	}
	c.run()
	c.drop = unseen
	c.tick(200)

	c.agree(2, 1, 2, 3, 4)
	for _, x := range c.nodes {
		if n, _ := x.replica.Pooled(); n != 0 {
			t.Errorf("%d holds %d requests", x.id, n)
		}
		sound(t, x.replica.pool)
	}
}
