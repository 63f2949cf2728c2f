package sim

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/testnet/scenario"
)

// librarySeeds is on how many networks each script of the library is run in the unit tests: make faults has a hundred.
const librarySeeds = 2

// Every script of the library is without a mistake, is named in the guide, and passes on simulated networks.
func TestTheLibraryPassesOnSim(t *testing.T) {
	guide, err := os.ReadFile("../../docs/fault-scripts.md")
	if err != nil {
		t.Fatal(err)
	}
	all := scenario.Library()
	if len(all) < 27 {
		t.Errorf("the library has %d scripts", len(all))
	}
	for _, story := range all {
		t.Run(story.Name, func(t *testing.T) {
			t.Parallel()
			if story.Says == "" {
				t.Error("its first comment does not say what it shows")
			}
			if row := "\n| `" + story.Name + "` | " + story.Says + " |\n"; !strings.Contains(string(guide), row) {
				t.Errorf("docs/fault-scripts.md has no row of this:%s", row)
			}
			s, err := scenario.Parse(story.Name+".star", story.Source)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Check(func(shape scenario.Shape) error { _, err := ParametersOf(shape); return err }); err != nil {
				t.Fatal(err)
			}
			for seed := range uint64(librarySeeds) {
				r, err := scenario.Play(t.Context(), s, NewCluster(nil), scenario.Options{World: "sim", Seed: seed + 1})
				if err != nil {
					t.Fatal(err)
				}
				if r.Verdict != scenario.Passed {
					t.Errorf("%s: %s: quorate faults run %s --seed %d", r.Verdict, r.Why, story.Name, r.Seed)
				}
			}
		})
	}
}

// The guide says rightly how many nodes must be up.
func TestTheGuidesQuorumsAreThoseOfTheProtocols(t *testing.T) {
	guide, err := os.ReadFile("../../docs/fault-scripts.md")
	if err != nil {
		t.Fatal(err)
	}
	row := func(of string, from int, figure func(n int) int) {
		want := "| " + of + " |"
		for n := 1; n <= 10; n++ {
			if want += " |"; n >= from {
				want = fmt.Sprintf("%s %d |", strings.TrimSuffix(want, " |"), figure(n))
			}
		}
		if !strings.Contains(string(guide), "\n"+want+"\n") {
			t.Errorf("the guide has no row\n%s", want)
		}
	}
	row("nodes", 1, func(n int) int { return n })
	row("crash mode: a majority", 1, func(n int) int { return epoch.Quorum(epoch.Crash, n) })
	row("down at most", 1, func(n int) int { return n - epoch.Quorum(epoch.Crash, n) })
	row("Byzantine mode: a quorum", 4, func(n int) int { return epoch.Quorum(epoch.Byzantine, n) })
	row("down at most", 4, func(n int) int { return n - epoch.Quorum(epoch.Byzantine, n) })
	row("of them lying at most", 4, func(n int) int { return epoch.Faulty(epoch.Byzantine, n) })
}

// The scripts in the guide's tutorial end as it says.
func TestTheGuidesScriptsEndAsItSays(t *testing.T) {
	guide, err := os.ReadFile("../../docs/fault-scripts.md")
	if err != nil {
		t.Fatal(err)
	}
	scripts := regexp.MustCompile("(?s)```python\n(.*?)```").FindAllSubmatch(guide, -1)
	verdicts := []scenario.Verdict{scenario.Violated, scenario.Passed}
	if len(scripts) != len(verdicts) {
		t.Fatalf("the guide has %d scripts", len(scripts))
	}
	for i, s := range scripts {
		r := play(t, 1, string(s[1]))
		if r.Verdict != verdicts[i] {
			t.Errorf("script %d: %s: %s", i+1, r.Verdict, r.Why)
		}
		why := strings.ReplaceAll(r.Why, "test.star", "mine.star")
		if !strings.Contains(string(guide), why) {
			t.Errorf("script %d: the guide does not have %q", i+1, why)
		}
	}
}
