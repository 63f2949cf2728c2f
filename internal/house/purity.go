package house

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
)

// Impurities finds what a pure package may not contain, since the same events would no longer give the same effects:
// goroutines, channels, floats, package variables that could change, and iteration over a map whose order could show.
// What it cannot judge it reports. There is no comment that silences it: sort the keys.
func Impurities(tree *Tree, folders ...string) ([]Finding, error) {
	l := newLoader(tree)
	var found []Finding
	for _, folder := range folders {
		p, err := l.load(folder)
		if err != nil {
			return nil, err
		}
		j := judge{typed: p, positions: tree.Positions, found: slices.Clone(p.wrong)}
		j.readSyntax()
		j.readMapOrder()
		j.readVariables()
		slices.SortStableFunc(j.found, func(a, b Finding) int {
			return cmp.Or(cmp.Compare(a.Where.Filename, b.Where.Filename), cmp.Compare(a.Where.Line, b.Where.Line), cmp.Compare(a.What, b.What))
		})
		found = append(found, slices.CompactFunc(j.found, func(a, b Finding) bool { return a.String() == b.String() })...)
	}
	return found, nil
}

// GoStatements finds every start of a goroutine in a package, by syntax alone.
func GoStatements(tree *Tree, folder string) []Finding {
	p := tree.Package(folder)
	if p == nil {
		return nil
	}
	j := judge{typed: &typed{Package: p}, positions: tree.Positions}
	j.each(func(n ast.Node) {
		if _, ok := n.(*ast.GoStmt); ok {
			j.report(n, "starts a goroutine")
		}
	})
	return j.found
}

// A judge reads one package and keeps what it finds.
type judge struct {
	*typed
	positions *token.FileSet
	found     []Finding
}

func (j *judge) report(n ast.Node, format string, args ...any) {
	j.found = append(j.found, Finding{Where: j.positions.Position(n.Pos()), What: fmt.Sprintf(format, args...)})
}

func (j *judge) each(visit func(ast.Node)) {
	for _, file := range j.Files {
		ast.Inspect(file, func(n ast.Node) bool {
			if n != nil {
				visit(n)
			}
			return true
		})
	}
}

// readSyntax finds goroutines, channels and floats.
func (j *judge) readSyntax() {
	j.each(func(n ast.Node) {
		switch n := n.(type) {
		case *ast.GoStmt:
			j.report(n, "starts a goroutine")
		case *ast.ChanType:
			j.report(n, "names a channel type")
		case *ast.SendStmt:
			j.report(n, "sends on a channel")
		case *ast.SelectStmt:
			j.report(n, "selects among channels")
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				j.report(n, "receives from a channel")
			}
		case *ast.BasicLit:
			if n.Kind == token.FLOAT || n.Kind == token.IMAG {
				j.report(n, "writes a float")
			}
		case *ast.Ident:
			j.readFloat(n)
		case *ast.RangeStmt:
			if _, ok := underlying(j.info.TypeOf(n.X)).(*types.Chan); ok {
				j.report(n, "receives from a channel")
			}
		}
	})
}

// readFloat judges what a name stands for: a float type, or a value of one, also where another package declares it.
func (j *judge) readFloat(name *ast.Ident) {
	object := j.info.Uses[name]
	if object == nil {
		object = j.info.Defs[name]
	}
	if object == nil || object.Type() == nil {
		return
	}
	t := object.Type()
	if f, ok := object.(*types.Func); ok {
		results := f.Signature().Results()
		for i := range results.Len() {
			if isFloat(results.At(i).Type()) {
				j.report(name, "computes with floats")
				return
			}
		}
		return
	}
	if isFloat(t) {
		j.report(name, "computes with floats")
	}
}

func isFloat(t types.Type) bool {
	b, ok := t.Underlying().(*types.Basic)
	return ok && b.Info()&(types.IsFloat|types.IsComplex) != 0
}

// readMapOrder finds iteration in the order that a map happens to have.
func (j *judge) readMapOrder() {
	sorted := j.sortedIterators()
	j.each(func(n ast.Node) {
		switch n := n.(type) {
		case *ast.RangeStmt:
			t := j.info.TypeOf(n.X)
			switch {
			case t == nil || t.Underlying() == types.Typ[types.Invalid]:
				j.report(n, "ranges over what has no type here, perhaps a map")
			case mayBeMap(t):
				j.report(n, "ranges over a map; range over its keys, sorted")
			}
		case *ast.Ident:
			f, ok := j.info.Uses[n].(*types.Func)
			if !ok || f.Pkg() == nil || f.Pkg().Path() != "maps" || sorted[n] {
				return
			}
			switch f.Name() {
			case "Keys", "Values", "All":
				j.report(n, "maps.%s outside slices.Sorted shows the order of a map", f.Name())
			case "DeleteFunc", "EqualFunc":
				j.report(n, "maps.%s calls its function in the order of a map", f.Name())
			}
		}
	})
}

// sortedIterators are the uses of maps.Keys and maps.Values that are sorted on the spot. Distinct keys can be ordered by
// any comparison, equal values only by one that tells all apart, as slices.Sorted does.
func (j *judge) sortedIterators() map[*ast.Ident]bool {
	sorted := map[*ast.Ident]bool{}
	j.each(func(n ast.Node) {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) == 0 {
			return
		}
		outer, _ := j.called(call)
		inner, ok := ast.Unparen(call.Args[0]).(*ast.CallExpr)
		if outer == nil || !ok {
			return
		}
		iterator, name := j.called(inner)
		if iterator == nil || iterator.Pkg() == nil || iterator.Pkg().Path() != "maps" {
			return
		}
		switch outer.FullName() {
		case "slices.Sorted":
			sorted[name] = iterator.Name() == "Keys" || iterator.Name() == "Values"
		case "slices.SortedFunc":
			sorted[name] = iterator.Name() == "Keys"
		}
	})
	return sorted
}

// called is the function that a call names, and the name.
func (j *judge) called(call *ast.CallExpr) (*types.Func, *ast.Ident) {
	fun := ast.Unparen(call.Fun)
	switch index := fun.(type) {
	case *ast.IndexExpr:
		fun = index.X
	case *ast.IndexListExpr:
		fun = index.X
	}
	var name *ast.Ident
	switch fun := fun.(type) {
	case *ast.Ident:
		name = fun
	case *ast.SelectorExpr:
		name = fun.Sel
	default:
		return nil, nil
	}
	f, _ := j.info.Uses[name].(*types.Func)
	return f, name
}

// mayBeMap also looks into the constraint of a type parameter.
func mayBeMap(t types.Type) bool {
	switch u := t.Underlying().(type) {
	case *types.Map:
		return true
	case *types.Interface:
		for i := range u.NumEmbeddeds() {
			if mayBeMap(u.EmbeddedType(i)) {
				return true
			}
		}
	case *types.Union:
		for i := range u.Len() {
			if mayBeMap(u.Term(i).Type()) {
				return true
			}
		}
	}
	return false
}

// underlying is a type's underlying type, or nil where there is no type.
func underlying(t types.Type) types.Type {
	if t == nil {
		return nil
	}
	return t.Underlying()
}
