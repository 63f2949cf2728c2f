package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const toy = "testdata/toy"

// The toy has a mutant for every way in which one can end; one that survives fails the command.
// case M1
// Red: let verdict take any red for found, or leave out the run without the patch.
func TestOnlyWhatItsCheckerSeesIsFound(t *testing.T) {
	before := read(t, toy+"/count/count.go")
	var out strings.Builder

	err := command(t.Context(), []string{"-module", toy}, &out)

	if !errors.Is(err, errSurvivors) {
		t.Errorf("ended with %v, want an error, since mutants survived", err)
	}
	want := []struct{ mutant, found, why string }{
		{"01-counts-back", "yes", "TestNextComesAfter"},
		{"02-no-majority", "yes", "agreement"},
		{"03-unseen", "NO", "survived"},
		{"04-other-reason", "NO", "red, but not by TestNextComesAfter: --- FAIL: TestNextCountsByOne"},
		{"05-does-not-compile", "NO", "does not compile: "},
		{"06-does-not-apply", "NO", "does not apply: count/count.go: hunk at line 3 fits nowhere"},
		{"07-red-anyway", "NO", "red without the patch too: sim --seeds 1"},
		{"08-no-such-test", "NO", "without the patch: ran no test"},
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != len(want)+2 {
		t.Fatalf("printed %d lines, want a head, %d mutants, a count:\n%s", len(lines), len(want), out.String())
	}
	for i, w := range want {
		fields := strings.Fields(lines[i+1])
		if fields[0] != w.mutant || fields[1] != w.found || !strings.Contains(lines[i+1], "  "+w.why) {
			t.Errorf("printed %q, want %s %s %s", lines[i+1], w.mutant, w.found, w.why)
		}
	}
	if closing := lines[len(lines)-1]; !strings.HasPrefix(closing, "found 2 / planted 8, median time ") {
		t.Errorf("closed with %q", closing)
	}
	if read(t, toy+"/count/count.go") != before {
		t.Error("the tree was changed")
	}
}

func TestAllFoundIsSuccess(t *testing.T) {
	var out strings.Builder

	err := command(t.Context(), []string{"-module", toy, "01", "02-no-majority"}, &out)

	if err != nil || !strings.Contains(out.String(), "found 2 / planted 2, ") {
		t.Fatalf("ended with %v:\n%s", err, out.String())
	}
}

// A live network can run the same patch: the binary has the bug, the tree has not.
func TestBuildMakesAQuorateWithTheBug(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "quorate")
	var out strings.Builder

	err := command(t.Context(), []string{"-module", toy, "-o", binary, "build", "02"}, &out)

	if err != nil {
		t.Fatal(err)
	}
	output, err := exec.Command(binary, "sim").CombinedOutput()
	if err == nil || !strings.Contains(string(output), "agreement") {
		t.Errorf("the built binary ended with %v and said %q", err, output)
	}
}

func TestARunThatDoesNotEndFindsNothing(t *testing.T) {
	l := &laboratory{root: toy, folder: t.TempDir(), timeout: time.Millisecond}

	got := l.try(t.Context(), toy+"/testnet/mutants/01-counts-back.patch")

	if got.found || !strings.Contains(got.why, "had not ended after 1ms") {
		t.Errorf("got %+v", got)
	}
}

func TestWhatCannotBeRunIsAnError(t *testing.T) {
	cases := map[string][]string{
		"no such mutant":        {"-module", toy, "99"},
		"no patches":            {"-module", toy, "-patches", toy + "/count"},
		"build what":            {"-module", toy, "build"},
		"build two":             {"-module", toy, "build", "01", "02"},
		"build what fits not":   {"-module", toy, "build", "06"},
		"build what is no code": {"-module", toy, "-o", os.DevNull, "build", "05"},
	}
	for name, args := range cases {
		if err := command(t.Context(), args, &strings.Builder{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

// The name of one checker may be part of another's.
func TestCheckerIsNamedByAWholeWord(t *testing.T) {
	cases := []struct {
		checker, output string
		named           bool
	}{
		{"agreement", "seed 7: agreement: node 1 and 2 differ", true},
		{"agreement", "seed 7: disagreement between nodes", false},
		{"exactly-once", "exactly-once", true},
		{"once", "exactly-once", false},
		{"TestTornTail", "--- FAIL: TestTornTail (0.01s)", true},
		{"TestTornTail", "    --- FAIL: TestTornTail/byte_3 (0.01s)", true},
		{"TestTornTail", "--- FAIL: TestTornTailOfTwo (0.01s)", false},
		{"TestTornTail", "--- PASS: TestTornTail (0.01s)\n--- FAIL: TestOther (0.01s)", false},
	}
	for _, c := range cases {
		if got := (&mutant{checker: c.checker}).named(c.output); got != c.named {
			t.Errorf("%s in %q: %v, want %v", c.checker, c.output, got, c.named)
		}
	}
}

func TestMedianIsTheMiddleOne(t *testing.T) {
	if got := median([]time.Duration{9, 1, 5, 7}); got != 5 {
		t.Errorf("median of 9 1 5 7 is %d, want the lower middle, 5", got)
	}
	if got := median(nil); got != 0 {
		t.Errorf("median of nothing is %d", got)
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
