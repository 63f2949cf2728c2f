package house

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/token"
	"go/types"
)

// A typed package knows the type of every expression in it.
type typed struct {
	*Package
	types *types.Package
	info  *types.Info
	wrong []Finding // what the type checker could not make sense of
}

// loader type-checks packages of a tree from source, and the standard packages they import.
//
// It knows nothing of other people's modules: an import of one is an empty package, and what is named through it has no
// type. A pure package has no such import, so whatever the checker cannot make sense of there is a finding; in what a
// pure package imports (the machine on Badger, say) only the part that the pure package sees has to make sense.
type loader struct {
	tree     *Tree
	standard types.Importer
	done     map[string]*typed
}

func newLoader(tree *Tree) *loader {
	return &loader{
		tree:     tree,
		standard: importer.ForCompiler(tree.Positions, "source", nil),
		done:     map[string]*typed{},
	}
}

func (l *loader) load(folder string) (*typed, error) {
	if p, ok := l.done[folder]; ok {
		if p == nil {
			return nil, fmt.Errorf("package %s imports itself", folder)
		}
		return p, nil
	}
	parsed := l.tree.Package(folder)
	if parsed == nil {
		return nil, fmt.Errorf("no package %s", folder)
	}
	l.done[folder] = nil
	p := &typed{Package: parsed, info: &types.Info{
		Types: map[ast.Expr]types.TypeAndValue{},
		Defs:  map[*ast.Ident]types.Object{},
		Uses:  map[*ast.Ident]types.Object{},

		Selections: map[*ast.SelectorExpr]*types.Selection{},
	}}
	config := types.Config{
		Importer: importerFunc(l.importPath),
		Error: func(err error) {
			p.wrong = append(p.wrong, wrongType(l.tree.Positions, err))
		},
	}
	// What is wrong has been collected one by one; the error that Check returns is only the first of it again.
	p.types, _ = config.Check(Module+"/"+folder, l.tree.Positions, parsed.Files, p.info)
	l.done[folder] = p
	return p, nil
}

func (l *loader) importPath(path string) (*types.Package, error) {
	if folder, ok := ours(path); ok {
		p, err := l.load(folder)
		if err != nil {
			return nil, err
		}
		return p.types, nil
	}
	if standard(path) {
		return l.standard.Import(path)
	}
	unknown := types.NewPackage(path, "unknown")
	unknown.MarkComplete()
	return unknown, nil
}

type importerFunc func(path string) (*types.Package, error)

func (f importerFunc) Import(path string) (*types.Package, error) { return f(path) }

func wrongType(positions *token.FileSet, err error) Finding {
	if e, ok := err.(types.Error); ok {
		return Finding{Where: positions.Position(e.Pos), What: "cannot be judged: " + e.Msg}
	}
	return Finding{What: "cannot be judged: " + err.Error()}
}
