package sim

import (
	"context"
	"testing"

	"github.com/quorate/quorate/testnet/scenario"
)

func play(t *testing.T, seed uint64, text string) *scenario.Run {
	t.Helper()
	s, err := scenario.Parse("test.star", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Check(func(scenario.Shape) error { return nil }); err != nil {
		t.Fatal(err)
	}
	r, err := scenario.Play(context.Background(), s, NewCluster(nil), scenario.Options{World: "sim", Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAScriptRunsOnAWorld(t *testing.T) {
	r := play(t, 7, `
workload()
expect_progress()
n = leader()
crash(n)
expect_progress(within="5s")
expect_view_changes(at_least=1, at_most=2)
restart(n)
sleep("1s")
partition([1, 2], [3, 4])
sleep("200ms")
expect_no_progress("3s")
heal()
expect_progress()
switch_mode("crash")
expect_mode("crash")
expect_progress()
`)
	if r.Verdict != scenario.Passed {
		t.Fatalf("%s: %s", r.Verdict, r.Why)
	}
	t.Logf("%v %s %d ops, %+v", r.Took, r.Digest, len(r.History), r.Faults)
}

// What ails a member's links before it has a twin ails the twin's as well.
func TestATwinIsStruckByWhatAilsItsMember(t *testing.T) {
	for seed := range uint64(3) {
		r := play(t, seed+1, `
workload()
sleep("2s")
crash(1)
isolate(2)
twin(2)
sleep("1s")
expect_no_progress("10s")
`)
		if r.Verdict != scenario.Passed {
			t.Errorf("seed %d: %s: %s", seed+1, r.Verdict, r.Why)
		}
	}
}

// A fault of a disk comes about by its own doing: a node that ends by a failed sync has met no full disk.
func TestEachFaultOfADiskIsCountedByItself(t *testing.T) {
	for text, want := range map[string]scenario.Verdict{
		"fill(2, room=100000000)\nfail_sync(2)": scenario.NotTested,
		"fail_sync(2)":                          scenario.Passed,
		"fill(2)":                               scenario.Passed,
	} {
		r := play(t, 5, "workload()\nsleep('1s')\n"+text+"\nuntil(lambda: state(2) == 'down')\nrestart(2)\nexpect_progress()\n")
		if r.Verdict != want {
			t.Errorf("%s: %s: %s", text, r.Verdict, r.Why)
		}
	}
}

func TestScriptsLeaveAloneWhatTransactionsMayBe(t *testing.T) {
	for _, name := range ofTransactions {
		if _, err := ParametersOf(scenario.Shape{Parameters: map[string]uint32{name: 1024}}); err == nil {
			t.Errorf("%s can be set, and scripts' clients and checkers do not know of it", name)
		}
	}
	if p, err := ParametersOf(scenario.Shape{Parameters: map[string]uint32{"window": 512}}); err != nil || p.Window != 512 {
		t.Error(p, err)
	}
}
