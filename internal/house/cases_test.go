package house

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var rewriteTesting = flag.Bool("rewrite", false, "write docs/testing.md anew")

// docs/testing.md says which tests and planted bugs there are for which case, and is true.
func TestThePageOfCasesIsTrue(t *testing.T) {
	root := filepath.Join("..", "..")
	cases, err := ReadCases(filepath.Join(root, "docs", "cases.txt"))
	if err != nil {
		t.Fatal(err)
	}
	tests, err := FindMentions(root)
	if err != nil {
		t.Fatal(err)
	}
	planted, err := FindPlanted(root, "testnet/mutants")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, "docs", "testing.md")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, err := RenderTesting(string(page), cases, tests, planted)
	if err != nil {
		t.Fatal(err)
	}
	if *rewriteTesting {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(page) {
		t.Error("docs/testing.md is not of these tests and planted bugs: make fix")
	}
}

// Rows are found however a comment lists them, and nothing else is taken for one.
func TestRowsAreFoundInComments(t *testing.T) {
	for text, want := range map[string][]string{
		"case F5":                               {"F5"},
		"Red if it breaks. // case F5, F6":      {"F5", "F6"},
		"case N1; case F1; leaving X out":       {"N1", "F1"},
		"case A9 N13. Breaks when: B12 is left": {"A9", "N13"},
		"in any case F is a letter":             nil,
		"case D1 turns D2 red":                  {"D1"},
		"lower case a5":                         nil,
		"case F1, F11,\n// F12 and more":        {"F1", "F11", "F12"},
	} {
		if got := rowsIn(text); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}

// A row that does not exist, and a patch without one, are errors.
func TestUnknownRowsAreRefused(t *testing.T) {
	cases := []Case{{"A1", "one"}}
	if _, err := RenderTesting("", cases, []Mention{{"TestX", "x_test.go", []string{"A2"}}}, nil); err == nil || !strings.Contains(err.Error(), "TestX") {
		t.Errorf("an unknown row passes: %v", err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "01-x.patch"), []byte("Breaks: it\nCase: issue 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := FindPlanted(dir, "."); err == nil {
		t.Error("a patch without a row passes")
	}
	if err := os.WriteFile(filepath.Join(dir, "cases.txt"), []byte("A1 one\nA1 again\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadCases(filepath.Join(dir, "cases.txt")); err == nil {
		t.Error("a row that stands twice passes")
	}
}
