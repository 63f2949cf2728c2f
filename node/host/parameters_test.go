package host

import (
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/statemachine"
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
