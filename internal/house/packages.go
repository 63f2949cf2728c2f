// Package house keeps the rules of the house: which package may import which, and what the pure ones may not contain.
//
// The rules are checked by this package's tests. What they look at is an fs.FS, so that a rule can be shown to bite on
// a tree that breaks it on purpose.
package house

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Module is the import path of the repository's root.
const Module = "github.com/quorate/quorate"

// A Finding is one place where a rule is broken.
type Finding struct {
	Where token.Position // file relative to the root of the tree, line, column
	What  string
}

func (f Finding) String() string {
	return fmt.Sprintf("%s:%d: %s", f.Where.Filename, f.Where.Line, f.What)
}

// A Package is one folder's non-test files.
type Package struct {
	Folder string // relative to the root of the tree, with slashes; "." for the root itself
	Files  []*ast.File
}

// Tree is every package of a module, parsed, in order of folder.
type Tree struct {
	Positions *token.FileSet
	Packages  []*Package
}

// Package is the package in folder, or nil.
func (t *Tree) Package(folder string) *Package {
	for _, p := range t.Packages {
		if p.Folder == folder {
			return p
		}
	}
	return nil
}

// Parse reads all non-test Go files below root. Like the go command it passes over testdata, vendor, folders that begin
// with a dot or an underscore, and modules within the module. Build constraints are ignored: a rule holds on every platform.
func Parse(root fs.FS) (*Tree, error) {
	t := &Tree{Positions: token.NewFileSet()}
	err := fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			return t.enter(root, name)
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		return t.add(root, name)
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(t.Packages, func(a, b *Package) int { return strings.Compare(a.Folder, b.Folder) })
	return t, nil
}

// enter says by fs.SkipDir which folders hold no package of ours.
func (t *Tree) enter(root fs.FS, folder string) error {
	if folder == "." {
		return nil
	}
	base := path.Base(folder)
	if base == "testdata" || base == "vendor" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return fs.SkipDir
	}
	if _, err := fs.Stat(root, path.Join(folder, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func (t *Tree) add(root fs.FS, name string) error {
	source, err := fs.ReadFile(root, name)
	if err != nil {
		return err
	}
	file, err := parser.ParseFile(t.Positions, name, source, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	folder := path.Dir(name)
	p := t.Package(folder)
	if p == nil {
		p = &Package{Folder: folder}
		t.Packages = append(t.Packages, p)
	}
	p.Files = append(p.Files, file)
	return nil
}

// importPath is what an import declaration names; the parser has seen to its quotes.
func importPath(spec *ast.ImportSpec) string {
	text, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		return spec.Path.Value
	}
	return text
}

// ours says whether path is in this module, and in which folder of it.
func ours(importPath string) (folder string, ok bool) {
	if importPath == Module {
		return ".", true
	}
	return strings.CutPrefix(importPath, Module+"/")
}

// standard says whether an import path is one of Go's own: only theirs have no dot in the first element.
func standard(importPath string) bool {
	first, _, _ := strings.Cut(importPath, "/")
	return !strings.Contains(first, ".")
}

// under says whether name is root or lies below it.
func under(name, root string) bool {
	return name == root || strings.HasPrefix(name, root+"/")
}
