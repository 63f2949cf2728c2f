package sim

import (
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/statemachine/kv"
)

// script is a world that a test steers by hand: nothing goes wrong but what it breaks, and nobody asks for anything but
// what it submits. All checkers look on.
type script struct {
	t *testing.T
	*World
	nonce uint64
}

func newScript(t *testing.T, nodes int, change ...func(*World)) *script {
	t.Helper()
	return newScriptOf(t, Options{Nodes: nodes, Honest: true}, change...)
}

// newCrashScript is one whose members only stop.
func newCrashScript(t *testing.T, nodes int, change ...func(*World)) *script {
	t.Helper()
	return newScriptOf(t, Options{Nodes: nodes, Mode: epoch.Crash}, change...)
}

func newScriptOf(t *testing.T, o Options, change ...func(*World)) *script {
	t.Helper()
	s := &script{t: t, World: newWorld(1, o)}
	for _, c := range change {
		c(s.World)
	}
	s.healed = true // no answer gets lost, no node restarts by itself
	s.start()
	s.until("the leader has seen its clock", second, func() bool { return s.now > 50*milli })
	return s
}

// node is one by its number; 1 leads view 0.
func (s *script) node(id int) *node { return s.nodes[id-1] }

// put has a client sign that key becomes value, and hand it to a node, once.
func (s *script) put(n *node, value string) *transaction {
	s.t.Helper()
	s.nonce++
	return s.putAt(n, s.nonce, value)
}

func (s *script) putAt(n *node, nonce uint64, value string) *transaction {
	s.t.Helper()
	op := operation{kind: kv.KindPut, key: "k", value: value}
	t := &transaction{
		op: op, owner: s.clients[0],
		request: message.NewRequest(s.scheme, s.clients[0].key, s.epoch.Chain, nonce, 1<<19, op.encode()),
	}
	s.audit.submitted(t)
	t.owner.open = append(t.owner.open, t)
	n.submit(t)
	s.keeps()
	return t
}

// get has a client ask a node for what the key holds, by an ordered read. The checkers compare the result with the model's.
func (s *script) get(n *node) *transaction {
	s.t.Helper()
	s.nonce++
	op := operation{kind: kv.KindGet, key: "k"}
	t := &transaction{op: op, owner: s.clients[0], request: message.NewRequest(s.scheme, s.clients[0].key, s.epoch.Chain, s.nonce, 1<<19, op.encode())}
	s.audit.submitted(t)
	t.owner.open = append(t.owner.open, t)
	n.submit(t)
	return t
}

// insist has a transaction's client ask one node after the other until it is answered, as clients do.
func (s *script) insist(t *transaction) { s.handTo(t, s.someNode()) }

// until turns the world until something holds, which must happen within so many virtual µs.
func (s *script) until(what string, micros int64, holds func() bool) {
	s.t.Helper()
	for deadline := s.now + micros; !holds(); {
		if s.turn(); s.now > deadline {
			s.t.Fatalf("not within %s: %s", clock(micros), what)
		}
		s.keeps()
	}
}

func (s *script) keeps() {
	s.t.Helper()
	if s.violation != nil {
		s.t.Fatal(s.violation)
	}
}

// cutLink kills both directions between two nodes.
func (s *script) cutLink(a, b *node) {
	s.network.link(a, b).cuts++
	s.network.link(b, a).cuts++
}

// cutPower ends nodes at this instant and takes all that was not synced. They stay down.
func (s *script) cutPower(nodes ...*node) {
	s.t.Helper()
	for _, n := range nodes {
		n.end()
		n.disk.Crash(lose)
		s.broken(n, n.auditMemory())
	}
	s.keeps()
}

func (s *script) boot(nodes ...*node) {
	s.t.Helper()
	for _, n := range nodes {
		n.boot()
	}
	s.keeps()
}

// converges has all nodes come to one chain with everything answered, and looks at their disks after a last power cut.
func (s *script) converges() {
	s.t.Helper()
	s.until("convergence", healTime, func() bool { return s.unsettled() == nil })
	s.finish()
	s.keeps()
}

// A power cut of all, after each single event between the proposal and the client's answer: what was answered is there,
// what was not is answered when its client asks again.
//
// case N2 N3 N18 F11 F12. Attesting before the block is synced, sending a vote before its sync, or not repeating one's
// votes after a restart turns it red.
func TestAPowerCutOfAllAfterAnyEventLosesNothing(t *testing.T) {
	byName := string(make([]byte, message.InlineBytes))
	for _, form := range []struct {
		name, value string
		begin       func(*testing.T, int, ...func(*World)) *script
		nodes       int
	}{
		{"transactions inside the proposal", "v", newScript, 4},
		{"transactions by name", byName, newScript, 4},
		{"transactions inside the proposal, in crash mode", "v", newCrashScript, 3},
		{"transactions by name, in crash mode", byName, newCrashScript, 3},
	} {
		t.Run(form.name, func(t *testing.T) {
			for events, answered := 0, false; !answered; events++ {
				s := form.begin(t, form.nodes)
				tx := s.put(s.node(1+events%form.nodes), form.value)
				for range events {
					s.turn()
					s.keeps()
				}
				answered = tx.answered
				s.cutPower(s.nodes...)
				s.boot(s.nodes...)
				if !answered {
					s.insist(tx)
				}
				s.converges()
				if events > 5000 {
					t.Fatal("the transaction is not answered")
				}
			}
		})
	}
}

// All members lose power right after the sync that covers their vote, before any of them has sent it, or heard it itself.
// Nobody asks again: the votes are said again from what the logs hold.
//
// case N18. A restart that does not say its votes again turns it red.
func TestVotesThatNobodyHasSentAreSaidAfterARestart(t *testing.T) {
	for syncs := 1; syncs <= 3; syncs++ {
		s := newScript(t, 4)
		s.put(s.node(1), "v")
		left := []int{0, syncs, syncs, syncs} // the leader, whom the others must have heard, goes last
		for deadline := s.now + second; s.now < deadline; {
			writing := make([]bool, len(s.nodes))
			for i, n := range s.nodes {
				writing[i] = n.writing
			}
			s.turn()
			s.keeps()
			for i, n := range s.nodes {
				if writing[i] && !n.writing && n.up() {
					if left[i]--; left[i] == 0 {
						s.cutPower(n)
					}
				}
			}
		}
		for _, n := range s.nodes {
			if n.up() {
				s.cutPower(n)
			}
		}
		s.boot(s.nodes...)
		s.until("all have the slot acknowledged", healTime, func() bool {
			for _, n := range s.nodes {
				if n.host.Replica().Acknowledged() != 1 {
					return false
				}
			}
			return true
		})
		s.insist(s.clients[0].open[0])
		s.converges()
	}
}

// The leader is cut from its clients and from one backup: what is asked of the others is committed, and the backup follows
// through them.
//
// case H4. Asking the leader alone for blocks turns it red.
func TestALeaderWhomABackupAndTheClientsDoNotReachStillLeads(t *testing.T) {
	s := newScript(t, 4)
	s.cutLink(s.node(1), s.node(4))
	var all []*transaction
	for i := range 20 {
		all = append(all, s.put(s.node(2+i%2), "v"))
	}
	s.until("all are answered, and the backup has followed", healTime, func() bool {
		for _, tx := range all {
			if !tx.answered {
				return false
			}
		}
		return s.node(4).host.Replica().Head().Seq == s.audit.last()
	})
	s.network.mend()
	s.converges()
}

// One slow disk costs nothing: the others are a quorum.
//
// case F16. Waiting for all members instead of a quorum turns it red.
func TestABackupWithASlowDiskSlowsNobody(t *testing.T) {
	takes := func(slowBy int64) int64 {
		s := newScript(t, 4)
		s.node(4).slowBy = slowBy
		from := s.now
		for range 20 {
			tx := s.put(s.node(2), "v")
			s.until("the answer", healTime, func() bool { return tx.answered })
		}
		took := s.now - from
		s.node(4).slowBy = 0
		s.converges()
		return took
	}
	fair, slow := takes(0), takes(500*milli)
	if slow > 2*fair {
		t.Fatalf("20 transactions take %s with a slow disk at one backup, and %s without", clock(slow), clock(fair))
	}
}

// Machines that execute at different speeds end their runs at different heights, so attestations are hardly ever equal: they
// count from below, so acknowledgements and checkpoints keep up under load.
//
// case N9. Counting only attestations of one and the same slot turns it red.
func TestExecutorsThatEndAtDifferentHeightsStillAcknowledge(t *testing.T) {
	s := newScript(t, 7, func(w *World) {
		for i, n := range w.nodes {
			n.machineTime = int64(2+5*i) * milli
		}
	})
	var all []*transaction
	for range 300 {
		all = append(all, s.put(s.node(1+int(s.nonce)%7), "v"))
		pause := s.now + 5*milli
		s.until("the next", second, func() bool { return s.now >= pause })
	}
	leader := s.node(1).host.Replica()
	k := epoch.Seq(s.epoch.Parameters.Checkpoint)
	behind := 2*k + epoch.Seq(s.epoch.Parameters.Burst)
	if last := s.audit.last(); last < 3*k || leader.Acknowledged()+behind < last {
		t.Errorf("under load: slot %d is acknowledged, %d executed, a checkpoint every %d", leader.Acknowledged(), last, k)
	}
	s.until("all are answered", healTime, func() bool {
		for _, tx := range all {
			if !tx.answered {
				return false
			}
		}
		return true
	})
	s.converges()
}

// Two transactions with one nonce go to two nodes at once, again and again: one of each pair is executed, and the other's
// client is told of it, and never the first one's result.
//
// case N11. A pool or a session that keeps nonces without ids turns it red.
func TestOfTwoTransactionsWithOneNonceOneIsExecuted(t *testing.T) {
	s := newScript(t, 4)
	const pairs = 500
	for i := range pairs {
		s.nonce++
		s.insist(s.putAt(s.node(1+i%4), s.nonce, "a"))
		s.insist(s.putAt(s.node(1+(i+1)%4), s.nonce, "b"))
		pause := s.now + 10*milli
		s.until("the next", second, func() bool { return s.now >= pause })
	}
	s.converges()
	if s.counts.Transactions != pairs || s.counts.Refused != pairs {
		t.Fatalf("of %d pairs, %d are executed and %d refused", pairs, s.counts.Transactions, s.counts.Refused)
	}
}

// A clock that jumps by an hour or by ten years, to either side, at a backup, stops no commit, although
// another member is down and its vote is needed.
//
// case G1 D9 N21. Withholding a vote for good because one's own clock disagrees turns it red.
func TestABackupsClockMayJump(t *testing.T) {
	const hour = int64(3_600_000)
	for _, jump := range []int64{hour, -hour, 24 * 3652 * hour, -24 * 3652 * hour} {
		s := newScript(t, 4)
		before := s.put(s.node(2), "before")
		s.until("the answer", healTime, func() bool { return before.answered })
		s.node(3).clockOffset += jump
		s.cutPower(s.node(4))
		for range 5 {
			tx := s.put(s.node(2), "after")
			s.until("the answer after the jump", healTime, func() bool { return tx.answered })
		}
		s.boot(s.node(4))
		s.converges()
	}
}
