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
