package main

import (
	"strings"
	"testing"
)

const head = "Breaks: counting\nCase: toy\nChecker: TestCount\nRun: go test ./count\n\n"

const diff = `diff --git a/f.go b/f.go
index 1..2 100644
--- a/f.go
+++ b/f.go
@@ -2,3 +2,4 @@ func f() {
 two
-three
+drei
+vier
 five
`

func TestPatchChangesWhatItSays(t *testing.T) {
	cases := []struct{ name, text, want string }{
		{"at its line", "one\ntwo\nthree\nfive\nsix\n", "one\ntwo\ndrei\nvier\nfive\nsix\n"},
		{"where the lines have moved to", "0\none\ntwo\nthree\nfive\n", "0\none\ntwo\ndrei\nvier\nfive\n"},
		{"at its line, though another place fits", "one\ntwo\nthree\nfive\ntwo\nthree\nfive\n", "one\ntwo\ndrei\nvier\nfive\ntwo\nthree\nfive\n"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, err := parsed(t, head+diff).files[0].apply(c.text)
			if err != nil || got != c.want {
				t.Fatalf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}

// A patch is applied to the letter or not at all: half a mutant is another mutant.
func TestPatchDoesNotGuess(t *testing.T) {
	cases := map[string]string{
		"context differs by a blank":     "one\ntwo \nthree\nfive\n",
		"what it replaces is gone":       "one\ntwo\nfive\n",
		"several places, none its own":   "0\n0\ntwo\nthree\nfive\ntwo\nthree\nfive\n",
		"the file ends before a newline": "one\ntwo\nthree\nfive",
		"an empty file":                  "",
	}
	for name, text := range cases {
		if got, err := parsed(t, head+diff).files[0].apply(text); err == nil {
			t.Errorf("%s: became %q", name, got)
		}
	}
}

func TestHunksOfOneFileAreAppliedInOrder(t *testing.T) {
	m := parsed(t, head+"--- a/f.go\n+++ b/f.go\n@@ -1,2 +1,2 @@\n a\n-b\n+B\n@@ -5,2 +5,2 @@\n-b\n+C\n\n")

	got, err := m.files[0].apply("0\na\nb\nc\nd\nb\n\n")

	if err != nil || got != "0\na\nB\nc\nd\nC\n\n" {
		t.Fatalf("got %q, %v", got, err)
	}
}

func TestMutantIsReadWithItsHead(t *testing.T) {
	m := parsed(t, "A remark: nobody reads it.\n"+head+diff)

	if m.name != "07-count" || m.breaks != "counting" || m.origin != "toy" || m.checker != "TestCount" {
		t.Errorf("read %+v", m)
	}
	if strings.Join(m.run, " ") != "go test ./count" || m.files[0].path != "f.go" {
		t.Errorf("read %+v", m)
	}
}

func TestMutantThatCannotBeReadIsRefused(t *testing.T) {
	cases := map[string]string{
		"no diff":                head,
		"no checker":             strings.Replace(head, "Checker:", "Seen by:", 1) + diff,
		"empty run":              strings.Replace(head, "Run: go test ./count", "Run:", 1) + diff,
		"two checkers":           "Checker: TestOther\n" + head + diff,
		"leaves the module":      head + strings.ReplaceAll(diff, "f.go", "../f.go"),
		"a rename":               head + strings.Replace(diff, "+++ b/f.go", "+++ b/g.go", 1),
		"a new file":             head + strings.Replace(diff, "--- a/f.go", "--- /dev/null", 1),
		"no hunk":                head + "--- a/f.go\n+++ b/f.go\n",
		"cut short":              head + strings.TrimSuffix(diff, " five\n"),
		"counts that do not fit": head + strings.Replace(diff, "-2,3 +2,4", "-2,3 +2,3", 1),
		"hunk without context":   head + "--- a/f.go\n+++ b/f.go\n@@ -0,0 +1 @@\n+x\n",
		"hunk without a file":    head + "diff\x20\n@@ -1 +1 @@\n-a\n+b\n",
		"lines behind the diff":  head + diff + "-- \n2.43.0\n",
	}
	for name, text := range cases {
		if m, err := parseMutant("07-count.patch", text); err == nil {
			t.Errorf("%s: read as %+v", name, m)
		}
	}
}

func parsed(t *testing.T, text string) *mutant {
	t.Helper()
	m, err := parseMutant("some/folder/07-count.patch", text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}
