package bft

import (
	"slices"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
)

// change is one of the epoch that a member is in, as an operator would sign it.
func (c *cluster) change(at epoch.ReplicaID, edit func(*epoch.Configuration)) *message.Change {
	e := c.node(at).replica.Epoch()
	next := e.Configuration
	next.Members = slices.Clone(next.Members)
	edit(&next)
	ch := &message.Change{Chain: e.Chain, Of: e.ID, Next: next, Last: c.node(at).replica.Head().Seq + 1000}
	ch.Approve(scheme, operator)
	return ch
}

func (c *cluster) ask(at epoch.ReplicaID, ch *message.Change) {
	c.t.Helper()
	if err := proof.Asked(c.node(at).replica.Epoch(), ch, scheme); err != nil {
		c.t.Fatal(err)
	}
	c.step(c.node(at), Asked{ch})
	c.run()
}

func toMode(m epoch.Mode) func(*epoch.Configuration) {
	return func(next *epoch.Configuration) { next.Mode = m }
}

func toWindow(slots uint32) func(*epoch.Configuration) {
	return func(next *epoch.Configuration) { next.Parameters.Window = slots }
}

// A member whose log is gone asks for its renewal by itself, and votes again in the epoch that names its new life, whatever the mode.
//
// case F2, case I2; a member that is not named again, or one that votes before, turns it red.
func TestAForgottenMemberIsRenewed(t *testing.T) {
	for _, mode := range []epoch.Mode{epoch.Byzantine, epoch.Crash} {
		c := newClusterOf(t, withOperator(5, mode))
		c.tick(1)
		c.load(10)
		x := c.forget(3, 9)
		c.load(5)
		if !x.replica.Observes() {
			t.Errorf("%s: it votes in the epoch that names the log it has lost", mode)
		}
		c.tick(300)
		c.inEpoch(1, mode, 1, 2, 3, 4, 5)
		if x.replica.Observes() || x.replica.Epoch().Members[2].Incarnation != x.replica.birth.Incarnation {
			t.Errorf("%s: it observes although the epoch names its log", mode)
		}
		c.load(5)
		c.tick(20)
		c.agree(20, 1, 2, 3, 4, 5)
		c.oneEpochPerSlot(1, 2, 3, 4, 5)
	}
}

// A change that no quorum of what it announces is ready for is not ordered, and the chain goes on.
//
// case N7; a judge that asks for no readiness turns it red.
func TestAChangeThatCouldNotRunIsNotOrdered(t *testing.T) {
	c := newClusterOf(t, withOperator(4, epoch.Byzantine))
	c.tick(1)
	c.load(3)
	c.ask(1, c.change(1, func(next *epoch.Configuration) {
		next.Members[0].Incarnation, next.Members[1].Incarnation = epoch.Incarnation{77}, epoch.Incarnation{78}
	}))
	c.load(10)
	c.tick(100)
	c.inEpoch(0, epoch.Byzantine, 1, 2, 3, 4)
	c.agree(13, 1, 2, 3, 4)
	if waits := c.node(1).replica.Changes(); len(waits) != 1 || !slices.Equal(waits[0].Ready, []epoch.ReplicaID{3, 4}) {
		t.Errorf("%+v", waits)
	}
}

// Of two changes that are asked for at once one is ordered; the other one is of an epoch that is over.
//
// case J3, case K4; a change that counts in an epoch that it does not name turns it red.
func TestOfTwoChangesAtOnceOneIsOrdered(t *testing.T) {
	c := newClusterOf(t, withOperator(4, epoch.Byzantine))
	c.tick(1)
	c.load(3)
	window := c.change(2, toWindow(20))
	c.step(c.node(1), Asked{c.change(1, toMode(epoch.Crash))})
	c.step(c.node(2), Asked{window})
	c.run()
	c.load(5)
	c.tick(100)
	e := c.node(1).replica.Epoch()
	c.inEpoch(1, e.Mode, 1, 2, 3, 4)
	if (e.Mode == epoch.Crash) == (e.Parameters.Window == 20) {
		t.Errorf("%s, window %d: want one of the two", e.Mode, e.Parameters.Window)
	}
	if err := proof.Asked(e, window, scheme); err == nil {
		t.Error("a change of an epoch that is over may still be asked for")
	}
	c.agree(5, 1, 2, 3, 4)
}

// A change that is decided where it does not hold seals nothing: all go on in the epoch that is running.
//
// case N10; sealing by the shape of a batch turns it red.
func TestAVoidChangeSealsNothing(t *testing.T) {
	c := newClusterOf(t, withOperator(3, epoch.Crash))
	c.tick(1)
	c.load(4)
	c.tick(20)
	ch := c.change(1, toWindow(20)) // nobody is ready for it
	c.decideChange(ch)
	c.load(4)
	c.tick(60)
	c.inEpoch(0, epoch.Crash, 1, 2, 3)
	c.agree(9, 1, 2, 3)
	if b := c.node(2).blocks[5]; b.Batch.Change == nil || !b.Header.NextEpoch.IsZero() {
		t.Errorf("block 5: %+v", b.Header)
	}
}

// decideChange has a majority of liars decide a change at the next slot, whatever it is worth, and tell the others by blocks.
func (c *cluster) decideChange(ch *message.Change) {
	e := c.node(1).replica.Epoch()
	head := c.node(1).replica.Head()
	batch := message.NewChangeBatch(c.now, ch)
	vote := message.Vote{Seq: head.Seq + 1, Digest: batch.Digest()}
	b := &proof.Block{Decision: proof.Decision{Header: proof.Header{Epoch: e.ID, Seq: vote.Seq, Parent: head.Digest(), Batch: batch.Digest()}}, Batch: batch}
	for _, id := range []epoch.ReplicaID{2, 3} {
		b.Certificate = append(b.Certificate, message.Sign(scheme, keys[id], e, id, &message.PaxosAccepted{Vote: vote}))
	}
	have := &message.Have{Blocks: [][]byte{proof.EncodeBlock(b)}}
	for _, x := range c.nodes {
		m := message.Sign(scheme, keys[3], e, 3, have)
		if err := Check(m, e, scheme); err != nil {
			c.t.Fatal(err)
		}
		c.step(x, Received{m})
	}
	c.run()
}

// Nobody who holds evidence is ready for a mode that bears no liar, and evidence of an epoch that is over stops nobody in a later one.
//
// case J7; readiness that does not look at evidence, or a crash epoch that stops for what was said in another one, turns it red.
func TestEvidenceAndCrashMode(t *testing.T) {
	c := newClusterOf(t, withOperator(4, epoch.Byzantine))
	c.tick(1)
	c.load(3)
	c.tell(1, 2, c.against(4, 2))
	c.ask(1, c.change(1, toMode(epoch.Crash)))
	c.tick(100)
	c.inEpoch(0, epoch.Byzantine, 1, 2, 3, 4)

	c = newClusterOf(t, withOperator(4, epoch.Crash))
	c.tick(1)
	c.load(3)
	c.ask(1, c.change(1, toWindow(20)))
	c.tick(60)
	c.inEpoch(1, epoch.Crash, 1, 2, 3, 4)
	c.tell(1, 2, c.against(4, 2))
	before := c.node(1).replica.Head().Seq
	c.load(3)
	c.tick(30)
	c.agree(before+3, 1, 2, 3, 4)
}

// A member that is far behind is not ready for a change: nobody counts on it.
//
// case N7; readiness of one who lacks blocks turns it red.
func TestAMemberThatIsBehindIsNotReady(t *testing.T) {
	c := newClusterOf(t, withOperator(4, epoch.Byzantine))
	c.tick(1)
	c.load(4)
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool { // it hears of blocks, and gets none
		return to == 4 && m.Body.Kind() != message.KindStatus && m.Body.Kind() != message.KindPropose
	}
	c.load(4)
	c.tick(120)
	c.ask(1, c.change(1, func(next *epoch.Configuration) { next.Members[0].Incarnation = epoch.Incarnation{77} }))
	c.tick(40)
	if waits := c.node(1).replica.Changes(); len(waits) != 1 || !slices.Equal(waits[0].Ready, []epoch.ReplicaID{2, 3}) {
		t.Errorf("%+v", waits)
	}
}
