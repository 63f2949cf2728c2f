package fault

import (
	"testing"
	"time"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/store"
	"github.com/quorate/quorate/testnet/adversary"
)

func memberKey(i epoch.ReplicaID) crypto.PrivateKey { return crypto.NewPrivateKey([32]byte{byte(i)}) }

func epochOf(name string) *epoch.Epoch {
	e := &epoch.Epoch{Chain: crypto.Hash("test/chain"), ID: crypto.Hash("test/" + name), Configuration: epoch.Configuration{Mode: epoch.Byzantine, Parameters: epoch.DefaultParameters()}}
	for i := range epoch.ReplicaID(4) {
		e.Members = append(e.Members, epoch.Member{Key: memberKey(i + 1).Public()})
	}
	return e
}

func prepare(e *epoch.Epoch) *message.Signed {
	return message.Sign(crypto.Ed25519(), memberKey(3), e, 3, &message.Prepare{Vote: message.Vote{View: 1, Seq: 2, Digest: crypto.Hash("test/batch")}})
}

// said is what member 2 is told in place of a message.
func said(f *Faults, m *message.Signed) (all []*message.Signed) {
	f.Say(2, m, func(w *message.Signed, _ time.Duration) { all = append(all, w) })
	return all
}

// A liar lies in the epoch of the word that it replaces, whichever it is in; red if it goes on lying in the first one, whose words nobody
// listens to any more.
func TestALiarFollowsEpochs(t *testing.T) {
	first, second := epochOf("first"), epochOf("second")
	f := New(3, memberKey(3), store.NewMemory())
	f.Behave([]adversary.Act{adversary.Equivocating}, 1, 0) // before it is told of any epoch
	f.Enter(first)
	f.Enter(second)
	for _, e := range []*epoch.Epoch{first, second, first} {
		m := prepare(e)
		lie := said(f, m)
		if len(lie) != 1 || lie[0] == m || lie[0].Epoch != e.ID || !crypto.Ed25519().Verify(lie[0].Claim(e)) {
			t.Fatalf("in epoch %s it says %v", e.ID.Short(), lie)
		}
		if _, err := message.NewEvidence(m, lie[0]); err != nil {
			t.Errorf("no lie: %v", err)
		}
	}
	if m := prepare(epochOf("third")); said(f, m)[0] != m {
		t.Error("it lies in an epoch that it does not know")
	}
	if n := f.Counts().Lies["equivocate"]; n != 3 {
		t.Errorf("%d lies counted, want 3", n)
	}
}

func TestALiarBecomesHonest(t *testing.T) {
	e := epochOf("first")
	f := New(3, memberKey(3), store.NewMemory())
	f.Enter(e)
	m := prepare(e)
	if f.Lies() || said(f, m)[0] != m || f.Hear(m) != m {
		t.Error("it lies from the beginning")
	}
	f.Behave([]adversary.Act{adversary.Silent}, 1, 0)
	if !f.Lies() || len(said(f, m)) != 0 {
		t.Error("it is not silent")
	}
	f.Behave(nil, 0, 0)
	if f.Lies() || said(f, m)[0] != m {
		t.Error("it is not honest again")
	}
	if n := f.Counts().Lies["silent"]; n != 1 {
		t.Errorf("%d lies counted, want 1: what it did is not forgotten", n)
	}
}

func TestAClockIsOff(t *testing.T) {
	f := New(3, memberKey(3), store.NewMemory())
	f.SetClock(-time.Hour)
	if f.ClockOffset() != -time.Hour {
		t.Errorf("off by %v", f.ClockOffset())
	}
}
