package house

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"
)

const (
	root         = "../.."
	architecture = root + "/docs/ARCHITECTURE.md"
)

// Every import in the tree is one that docs/ARCHITECTURE.md allows, and every package has a row there.
// Red: add an import of "time" to bft/epoch, or a folder without a row.
func TestImportsFollowTheArrows(t *testing.T) {
	tree := parsedTree(t)
	for _, finding := range arrowsOf(t, readPage(t)).Check(tree) {
		t.Error(finding)
	}
	if tree.Package("bft/epoch") == nil {
		t.Error("the walk did not come upon bft/epoch: it looks at the wrong place")
	}
}

// The table is only worth something if it refuses: each of these imports must be reported, and nothing beside it.
func TestArrowsReportWhatTheTableForbids(t *testing.T) {
	const us = Module + "/"
	cases := []struct {
		folder, imports string
		allowed         bool
	}{
		{"bft/epoch", "time", false},
		{"bft/epoch", "math/rand", false},
		{"bft/epoch", "math/bits", true},
		{"bft/epoch", us + "crypto", true},
		{"bft/epoch", us + "crypto/keystore", false},
		{"bft/epoch", us + "bft/message", false},
		{"bft/message", us + "internal/invariant", true},
		{"bft/ordering", us + "bft/epoch", true},
		{"bft/pbft", us + "bft/proof", true},
		{"bft/pbft", us + "bft/paxos", false},
		{"bft/paxos", us + "bft/pbft", false},
		{"bft", us + "bft/pbft", true},
		{"bft", us + "store", false},
		{"crypto", "crypto/ed25519", true},
		{"crypto", "net/netip", false},
		{"crypto", "os", false},
		{"crypto", "github.com/oasisprotocol/curve25519-voi/primitives/ed25519", true},
		{"crypto", "github.com/oasisprotocol/curve25519-voi-fork", false},
		{"store", "os", true},
		{"store", us + "crypto", false},
		{"node/host", "io", true},
		{"node/host", "io/fs", false},
		{"node/host", us + "p2p", false},
		{"node/host", us + "statemachine/kv", false},
		{"node", us + "bft/pbft", true},
		{"node", us + "client", false},
		{"p2p", us + "bft/message", false},
		{"client", us + "api/quorate/v1", true},
		{"client", us + "bft/ordering", false},
		{"client", us + "bft/epoch", true},
		{"testnet/sim", "net", false},
		{"testnet/sim", "os", true},
		{"testnet/sim", "os/exec", false},
		{"testnet/mutants", us + "bft", false},
		{"cmd/quorate", us + "bft/pbft", false},
		{"cmd/quorate", us + "node", true},
		{"cmd/quorate", "github.com/spf13/cobra", true},
	}
	arrows := arrowsOf(t, readPage(t))
	for _, c := range cases {
		t.Run(c.folder+" imports "+strings.TrimPrefix(c.imports, us), func(t *testing.T) {
			tree := treeOf(t, fstest.MapFS{c.folder + "/file.go": source("package p\nimport _ \"" + c.imports + "\"\n")})

			found := arrows.Check(tree)

			if c.allowed && len(found) != 0 {
				t.Fatalf("reported what is allowed: %v", found)
			}
			if !c.allowed && (len(found) != 1 || !strings.Contains(found[0].What, c.imports)) {
				t.Fatalf("found %v, want one finding that names %s", found, c.imports)
			}
		})
	}
}

func TestArrowsReportAPackageWithoutARow(t *testing.T) {
	tree := treeOf(t, fstest.MapFS{
		"util/file.go":          source("package util\n"),
		"store/file_test.go":    source("package store\nimport _ \"github.com/stretchr/testify\"\n"),
		"store/testdata/bad.go": source("package bad\nimport _ \"unsafe\"\n"),
	})

	found := arrowsOf(t, readPage(t)).Check(tree)

	if len(found) != 1 || !strings.Contains(found[0].String(), "util/file.go:1: package util has no row") {
		t.Fatalf("found %v, want only that util has no row", found)
	}
}

// A page that cannot be read must not pass for one that allows.
func TestArrowsRefuseAPageTheyCannotRead(t *testing.T) {
	page := readPage(t)
	breakages := map[string]string{
		"no table":               strings.ReplaceAll(page, tableHead, ""),
		"no list of pure std":    strings.ReplaceAll(page, pureHead, "pure:"),
		"unknown word":           strings.ReplaceAll(page, "| pure std |", "| mostly std |"),
		"bare folder":            strings.ReplaceAll(page, "| `crypto`, `internal/invariant` |", "| crypto and so on |"),
		"leans on a missing row": strings.ReplaceAll(page, "`bft/message` and its imports", "`bft/massage` and its imports"),
		"a cell too few":         strings.ReplaceAll(page, "| `store` | `internal/invariant` | std, `golang.org/x/sys` |", "| `store` | std |"),
	}
	for name, broken := range breakages {
		if broken == page {
			t.Errorf("%s: the page has changed, so this case breaks nothing", name)
		} else if _, err := ParseArrows(broken); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// A row that names a folder holds for it whatever pattern comes first.
func TestAnExactRowGoesBeforeAPattern(t *testing.T) {
	arrows := arrowsOf(t, pureHead+" `errors`\n\n"+tableHead+"\n|---|---|---|\n| `a/…` | — | any |\n| `a/b` | — | pure std |\n")
	tree := treeOf(t, fstest.MapFS{
		"a/b/file.go": source("package b\nimport _ \"os\"\n"),
		"a/c/file.go": source("package c\nimport _ \"os\"\n"),
	})

	found := arrows.Check(tree)

	if len(found) != 1 || found[0].Where.Filename != "a/b/file.go" {
		t.Fatalf("found %v, want one, in a/b", found)
	}
}

func parsedTree(t *testing.T) *Tree {
	t.Helper()
	tree, err := Parse(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func treeOf(t *testing.T, files fstest.MapFS) *Tree {
	t.Helper()
	tree, err := Parse(files)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func source(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

func readPage(t *testing.T) string {
	t.Helper()
	page, err := os.ReadFile(architecture)
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}

func arrowsOf(t *testing.T, page string) *Arrows {
	t.Helper()
	arrows, err := ParseArrows(page)
	if err != nil {
		t.Fatal(err)
	}
	return arrows
}
