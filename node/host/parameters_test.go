package host

import (
	"testing"

	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/statemachine"
	"github.com/quorate/quorate/statemachine/kv"
)

// A network must be able to run with any parameters that its genesis may name. // case K10
// Red if a parameter may be larger than what a commit of Badger holds.
func TestAllParametersThatValidateCanRun(t *testing.T) {
	badger, err := statemachine.OpenBadger(t.TempDir(), func(string) {})
	if err != nil {
		t.Fatal(err)
	}
	defer badger.Close()
	all := epoch.DefaultParameters()
	for _, f := range all.Fields() {
		*f.Value = f.Max
		one := epoch.DefaultParameters()
		for _, g := range one.Fields() {
			if g.Name == f.Name {
				*g.Value = g.Max
			}
		}
		if err := Limits(one).Check(badger.Bounds()); err != nil {
			t.Errorf("%s at most: %v", f.Name, err)
		}
	}
	if err := Limits(all).Check(badger.Bounds()); err != nil {
		t.Errorf("all at most: %v", err)
	}
}

// Each slot is executed by the limits of its epoch.
//
// Red if the machine keeps to those that it was opened with.
func TestTheMachineKeepsToTheEpochsLimits(t *testing.T) {
	first := epoch.DefaultParameters()
	second := first
	second.RequestWriteBytes = 1 << 10
	state, err := statemachine.Open(statemachine.NewMemory(), kv.Machine{}, Limits(first))
	if err != nil {
		t.Fatal(err)
	}
	x := &Executor{state: state, checkpoint: 64}
	key := crypto.NewPrivateKey([32]byte{1})
	for i, rules := range []*epoch.Parameters{&first, &second, &first} {
		q := message.NewRequest(crypto.Ed25519(), key, crypto.Digest{}, uint64(i+1), 1000, kv.Put([]byte("k"), make([]byte, 2<<10)))
		r, err := x.Run([]bft.Execution{{Seq: epoch.Seq(i + 1), Time: 1, Batch: message.NewBatch(1, []*message.Request{q}), Rules: rules}})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := r[0].Outcomes[0].Status, []statemachine.Status{statemachine.Applied, statemachine.Failed, statemachine.Applied}[i]; got != want {
			t.Errorf("slot %d: %s, want %s", i+1, got, want)
		}
	}
}
