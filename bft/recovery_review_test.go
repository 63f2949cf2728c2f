package bft

import (
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
)

// splitHandOver has 4 alone enter the epoch that a change announces, and 1 to 3 take up a recovery, each alone.
func splitHandOver(t *testing.T) *cluster {
	c := rested(t, epoch.Byzantine)
	cut := false
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		if _, ok := m.Body.(*message.Attestation); ok && m.Epoch != c.epoch.ID && to != 4 {
			return true // what is said of the next epoch reaches 4 alone
		}
		return cut && to != 4
	}
	c.after = func(x *node) { cut = cut || c.node(4).replica.Epoch().Number == 1 }
	c.ask(1, c.change(1, toWindow(20)))
	c.tick(20)
	rec := c.recovery(1)
	for _, x := range c.nodes[:3] {
		c.step(x, AskedToRecover{rec})
	}
	c.run()
	c.tick(recoverTicks + 10)
	c.after = nil
	return c
}

// halves are 1 and 2 on one side, and 3 and 4 on the other, that do not hear each other.
func halves(from, to epoch.ReplicaID, _ *message.Signed) bool { return (from <= 2) != (to <= 2) }

// halfRecover has 1 and 2 alone asked for a recovery, for longer than that takes; then all hear each other again.
func halfRecover(t *testing.T) (*cluster, *message.Recovery) {
	c := rested(t, epoch.Byzantine)
	rec := c.recovery(1)
	c.drop = halves
	c.recover(1, rec)
	c.tick(recoverTicks + 20)
	c.drop = nil
	return c, rec
}

// Members have given their word to a recovery, and one of those that it names loses its disk before the next epoch begins: operators
// sign another one, and that comes about.
//
// case K12; a word that stands for ever turns it red.
func TestANewerRecoveryTakesThePlaceOfOneThatCannotComeAbout(t *testing.T) {
	c := rested(t, epoch.Byzantine)
	c.lose(2, 3)
	c.drop = cut(1) // 1 is away
	c.tick(120)
	rec := c.recovery(4)
	c.recover(4, rec)
	c.tick(recoverTicks - 10)
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		return from == 1 || to == 1 || m.Epoch == rec.ID()
	} // the first attestations are lost
	c.tick(60)
	c.forget(3, 63)
	c.drop = nil
	c.forget(1, 61) // it is gone for good as well, and comes with a new disk
	c.tick(300)
	again := c.recovery(4)
	c.recover(4, again)
	c.tick(10 * recoverTicks)
	c.inEpoch(1, epoch.Byzantine, 1, 2, 3, 4)
}

// A recovery that misnames one honest member, because a liar told the operators so, has not enough who are willing: nobody gives up
// its vote for it, and the next one comes about.
//
// case J7; sealing before a quorum is willing turns it red.
func TestNobodyGivesItsWordToARecoveryThatCannotRun(t *testing.T) {
	c := rested(t, epoch.Crash)
	c.tell(3, 2, c.against(1, 3))
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool { return from == 1 } // 1 lies, and says nothing any more
	bad := c.recovery(2)
	bad.Next.Members[1].Incarnation = epoch.Incarnation{99}
	c.recover(3, signed(bad))
	c.tick(recoverTicks + 100)
	good := c.recovery(2)
	c.recoverAll(good)
	c.tick(10 * recoverTicks)
	c.inEpoch(1, epoch.Byzantine, 2, 3, 4)
}

// A member that is cut off, and has operators ask it for a recovery, gives up nothing alone: when it is back it goes on with the
// others.
//
// case K12; sealing alone turns it red.
func TestOneAloneGivesNothingUp(t *testing.T) {
	c := rested(t, epoch.Byzantine)
	rec := c.recovery(1)
	c.drop = cut(1)
	c.recover(1, rec)
	c.tick(recoverTicks + 20)
	c.drop = nil
	c.submit(2, 4)
	c.tick(2000)
	c.ask(2, c.change(2, toWindow(20)))
	c.tick(2000)
	c.inEpoch(1, epoch.Byzantine, 1, 2, 3, 4)
}

// What was executed and not acknowledged when operators ended the epoch survives, and clients are told.
//
// case K12; an acknowledgement that waits for something new turns it red.
func TestWhereARecoveryBeginsIsAcknowledged(t *testing.T) {
	c := newClusterOf(t, withOperator(4, epoch.Byzantine))
	c.tick(1)
	c.load(3)
	c.tick(30)
	c.drop = func(_, _ epoch.ReplicaID, m *message.Signed) bool {
		return m.Body.Kind() == message.KindAttestation || m.Body.Kind() == message.KindHave
	}
	c.submit(1, 1)
	c.tick(5)
	c.lose(2, 3)
	c.drop = func(_, _ epoch.ReplicaID, m *message.Signed) bool {
		return m.Body.Kind() == message.KindAttestation && m.Epoch == c.epoch.ID
	}
	c.tick(120)
	c.recover(4, c.recovery(4))
	c.tick(recoverTicks + 200)
	c.drop = nil
	c.inEpoch(1, epoch.Byzantine, 1, 2, 3, 4)
	c.tick(2000)
	x := c.node(1)
	told := epoch.Seq(0)
	for _, a := range x.acked {
		told = max(told, a.Seq)
	}
	if told != x.replica.Head().Seq {
		t.Errorf("clients are told up to %d; executed %d, known to survive %d", told, x.replica.Head().Seq, x.replica.Acknowledged())
	}
}

// What members claimed before they lost their disks counts no more after the recovery.
//
// case K12; claims that are kept turn it red.
func TestClaimsDoNotOutliveARecovery(t *testing.T) {
	c := newClusterOf(t, withOperator(4, epoch.Byzantine))
	c.tick(1)
	c.load(4)
	c.tick(20)
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool { // 4 hears how far the others are, and gets no block
		k := m.Body.Kind()
		return from == 4 || to == 4 && k != message.KindStatus && k != message.KindAttestation
	}
	c.load(20)
	c.tick(130)
	c.lose(1, 2, 3)
	c.drop = nil
	c.tick(300)
	c.recover(4, c.recovery(4))
	c.tick(recoverTicks + 1000)
	c.inEpoch(1, epoch.Byzantine, 1, 2, 3, 4)
	r := c.node(4).replica
	if r.Behind() > 0 {
		t.Errorf("all members stand at %d, and 4 says that it is %d behind: with more than K=%d it is not ready, and is ready for no change", r.Head().Seq, r.Behind(), r.Epoch().Parameters.Checkpoint)
	}
}

// Two recoveries, each known to half of the members while these are apart: the newer one comes about when they are together.
//
// case K12; sealing by half turns it red.
func TestOfTwoRecoveriesTheNewerComesAbout(t *testing.T) {
	c := rested(t, epoch.Crash)
	c.tell(1, 2, c.against(4, 3))
	first := c.recovery(1)
	c.drop = halves
	c.recover(1, first)
	c.tick(50)
	c.tell(1, 3, c.against(4, 5))
	second := c.recovery(3) // it names one piece more
	c.recover(3, second)
	c.tick(recoverTicks + 20)
	c.drop = nil
	c.tick(6000)
	c.inEpoch(1, epoch.Byzantine, 1, 2, 3, 4)
}

// One member has begun the next epoch, the others do not hear each other and are asked for a recovery: when all are connected they
// begin the epoch that was announced.
//
// case K12; taking equal headers for a divergence turns it red.
func TestWhoWouldRecoverJoinsTheEpochThatHasBegun(t *testing.T) {
	c := splitHandOver(t)
	c.drop = nil
	c.tick(300)
	for _, x := range c.nodes {
		if h := x.halt; h != nil {
			t.Errorf("%d ends: at slot %d own %s, quorum %s", x.id, h.Seq, h.Own.Short(), h.Quorum.Short())
		}
	}
}

// The same, and the one that has begun the next epoch comes a little later: no other epoch has begun meanwhile.
//
// case N6; a recovery without a quorum that is willing turns it red.
func TestOneProvenEpochFollows(t *testing.T) {
	c := splitHandOver(t)
	c.drop = cut(4)
	c.tick(100)
	c.drop = nil
	c.submit(1, 3)
	c.submit(4, 1)
	c.tick(6000)
	if len(c.node(1).replica.History()) == 0 || len(c.node(4).replica.History()) == 0 {
		t.Fatal("they have not come so far")
	}
	a, errA := c.node(4).replica.History()[0].HandOver.Verify(c.genesis.Epoch(), scheme)
	b, errB := c.node(1).replica.History()[0].HandOver.Verify(c.genesis.Epoch(), scheme)
	if errA == nil && errB == nil && a.ID != b.ID {
		t.Errorf("two epochs follow the genesis, and both are proven: %s and %s; 4 stays in the first for ever", a.ID.Short(), b.ID.Short())
	}
}

// In crash mode one living member has acknowledged a slot that nobody else knows, and says that it is further: nobody begins below
// that.
//
// case K12; not listening turns it red.
func TestWhatALivingMemberHasAcknowledgedIsNotGivenUp(t *testing.T) {
	c := rested(t, epoch.Crash)
	c.forget(3, 53)
	c.tick(120)
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		k := m.Body.Kind()
		return from == 1 && (k == message.KindPaxosLearn || k == message.KindHave)
	}
	c.submit(1, 1)
	c.tick(1)
	leader := c.node(1)
	if leader.replica.Acknowledged() != 7 {
		t.Fatalf("acknowledged %d", leader.replica.Acknowledged())
	}
	acked := leader.replica.Head()
	c.forget(4, 54) // the third that has accepted it
	c.tick(60)
	c.recover(2, c.recovery(2))
	c.tick(recoverTicks + 100)
	c.drop = nil
	c.tick(300)
	r := c.node(2).replica
	if b := c.node(2).blocks[7]; b != nil && b.Header != acked && r.Acknowledged() >= 7 {
		t.Errorf("slot 7 was acknowledged by 1 with header %s (batch %s), and by 2 with %s (batch %s)", acked.Digest().Short(), acked.Batch.Short(), b.Header.Digest().Short(), b.Header.Batch.Short())
	}
}

// The same after a restart of all.
//
// case K12; a word that outlives its use turns it red.
func TestHalvesComeTogetherAfterARestart(t *testing.T) {
	c, rec := halfRecover(t)
	for _, x := range c.nodes {
		c.restart(x)
	}
	c.submit(3, 1)
	c.tick(3000)
	c.recoverAll(rec)
	c.tick(3000)
	if c.node(3).replica.Head().Seq == 6 {
		t.Error("nothing is ever ordered again")
	}
}

// Two halves do not hear each other, and one is asked for a recovery: nobody gives up its vote, and together they go on.
//
// case K12; sealing before a quorum is willing turns it red.
func TestHalfOfTheMembersRecoverNothing(t *testing.T) {
	c, rec := halfRecover(t)
	c.submit(3, 1)
	c.tick(6000)
	c.recover(4, rec)
	c.tick(6000)
	if c.node(3).replica.Head().Seq == 6 {
		t.Error("all four are correct, connected and up for two minutes, and nothing is ever ordered again")
	}
}

// Recoveries that were refused are in nobody’s way: the one that is needed later comes about.
//
// case K12; a list that fills turns it red.
func TestRefusedRecoveriesShutNoneOut(t *testing.T) {
	c := newClusterOf(t, withOperator(4, epoch.Byzantine))
	c.tick(1)
	for range 4 {
		c.load(2)
		c.recover(1, c.recovery(1)) // refused: a quorum answers
		c.tick(10)
	}
	c.tick(50)
	c.lose(1, 2)
	c.tick(300)
	rec := c.recovery(4)
	c.recoverAll(rec)
	c.tick(3 * recoverTicks)
	c.inEpoch(1, epoch.Byzantine, 1, 2, 3, 4)
}

// Some have given their word to a recovery, too few for it to come about, when operators sign another one: whoever has heard of that gives the first
// no word any more, so all are willing for the second.
//
// case K12; waiting for those that the first names, because they answer, turns it red.
func TestAWordThatIsNotEnoughStandsInNobodysWay(t *testing.T) {
	c := rested(t, epoch.Byzantine)
	c.lose(2, 3)
	c.drop = func(from, to epoch.ReplicaID, m *message.Signed) bool {
		s, ok := m.Body.(*message.Standing)
		return from == 4 || to == 4 || to == 3 && ok && s.Willing && from != 3 // 4 is away, and 3 does not hear that others are willing
	}
	c.tick(120)
	first := c.recovery(1)
	c.recover(1, first)
	c.tick(recoverTicks + 60)
	for id, given := range map[epoch.ReplicaID]bool{1: true, 2: true, 3: false} {
		if c.node(id).replica.Sealed() != given {
			t.Fatalf("%d has given its word: %v", id, !given)
		}
	}
	c.drop = nil
	second := c.recovery(1)
	second.Next.Members[3].Incarnation = c.forget(4, 54).replica.birth.Incarnation
	c.recoverAll(signed(second))
	c.tick(recoverTicks + 200)
	c.inEpoch(1, epoch.Byzantine, 1, 2, 3, 4)
	if e := c.node(1).replica.Epoch(); e.ID != second.ID() {
		t.Errorf("epoch 1 is %s, want that of the second recovery", e.ID.Short())
	}
}

// A quorum has given its word to a recovery, and the attestations are on their way when operators sign another one: the first comes about.
//
// case N6; two epochs that follow one, or a word that is taken back although enough have given it, turn it red.
func TestARecoveryThatComesAboutIsNotReplaced(t *testing.T) {
	c := rested(t, epoch.Byzantine)
	c.lose(2, 3)
	c.drop = cut(4)
	c.tick(120)
	first := c.recovery(1)
	late := func(from, to epoch.ReplicaID, m *message.Signed) bool {
		_, ok := m.Body.(*message.Attestation)
		return from == 4 || to == 4 || ok && m.Epoch == first.ID()
	}
	c.drop = late
	c.recover(1, first)
	c.tick(recoverTicks + 60)
	second := c.recovery(1)
	second.Number++
	c.recoverAll(signed(second))
	c.tick(2 * recoverTicks)
	for _, id := range []epoch.ReplicaID{1, 2, 3} {
		if f := c.node(id).replica.sealed.forced; f == nil || f.ID() != first.ID() {
			t.Errorf("%d has taken its word back", id)
		}
	}
	c.drop = nil
	c.tick(200)
	c.inEpoch(1, epoch.Byzantine, 1, 2, 3, 4)
	if e := c.node(1).replica.Epoch(); e.ID != first.ID() {
		t.Errorf("epoch 1 is %s, want that of the first recovery", e.ID.Short())
	}
}
