package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// marked is where a report's picture shows that something does not hold.
var marked = regexp.MustCompile(`<path class="failure" d="M\d[^"]*"><title>[^<]+ does not hold: `)

// A program with a planted bug fails the script that is about it, simulated and on processes, and the report shows where.
//
// issue 6: a script that no bug turns red tests nothing.
func TestEndToEndPlantedBugsFailScriptsInBothWorlds(t *testing.T) {
	if os.Getenv("QUORATE_E2E") == "" {
		t.Skip("takes minutes: run make e2e")
	}
	for _, c := range []struct{ bug, script string }{
		{"01-sync-skipped", "power-cut"},
		{"03-quorum-minus-one", "split-brain"},
		{"124-executed-again", "replaying-leader"},
		{"125-read-without-its-round", "read-during-fail-over"},
	} {
		t.Run(c.bug, func(t *testing.T) {
			number, _, _ := strings.Cut(c.bug, "-")
			binary := filepath.Join(t.TempDir(), "quorate-with-a-bug")
			build := exec.Command("go", "run", "./testnet/mutants", "-o", binary, "build", number)
			build.Dir = filepath.Join("..", "..")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, world := range []string{onSim, onTestnet} {
				report := filepath.Join(t.TempDir(), "report")
				run := exec.Command(binary, "faults", "run", c.script, "--on", world, "--seed", "7", "--quiet", "--out", report)
				var out bytes.Buffer
				run.Stdout, run.Stderr = &out, &out
				err := run.Run()
				t.Logf("%s: %s", world, out.String())
				if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != exitViolation {
					t.Errorf("%s: %v, want exit code %d", world, err, exitViolation)
				}
				page := string(readFile(t, filepath.Join(report, "report.html")))
				if !strings.Contains(page, `<header class="violated">`) || !marked.MatchString(page) {
					t.Errorf("%s: the report does not show what is violated, and where", world)
				}
			}
		})
	}
}
