package house

import (
	"go/ast"
	"go/token"
	"go/types"
)

// readVariables finds package variables that are neither errors nor tables that nobody can write.
func (j *judge) readVariables() {
	kept := map[*types.Var]bool{} // errors and tables: allowed as long as they keep what they were given
	for _, file := range j.Files {
		for _, declaration := range file.Decls {
			group, ok := declaration.(*ast.GenDecl)
			if !ok || group.Tok != token.VAR {
				continue
			}
			for _, spec := range group.Specs {
				j.readVariable(spec.(*ast.ValueSpec), kept)
			}
		}
	}
	for _, file := range j.Files {
		j.readUses(file, kept)
	}
}

func (j *judge) readVariable(spec *ast.ValueSpec, kept map[*types.Var]bool) {
	for i, name := range spec.Names {
		variable, ok := j.info.Defs[name].(*types.Var)
		if name.Name == "_" || !ok {
			continue
		}
		var value ast.Expr
		if len(spec.Values) == len(spec.Names) {
			value = ast.Unparen(spec.Values[i])
		}
		switch {
		case j.newError(value):
		case !isTable(variable.Type()):
			j.report(name, "package variable %s is neither an error nor a table", name.Name)
			continue
		case len(spec.Values) != 0 && !isLiteral(value):
			j.report(name, "package variable %s is not a literal table", name.Name)
			continue
		case variable.Exported():
			j.report(name, "table %s is exported: any package could write it", name.Name)
			continue
		}
		kept[variable] = true
	}
}

// newError says whether value is errors.New(…) or fmt.Errorf(…).
func (j *judge) newError(value ast.Expr) bool {
	call, ok := value.(*ast.CallExpr)
	if !ok {
		return false
	}
	f, _ := j.called(call)
	return f != nil && (f.FullName() == "errors.New" || f.FullName() == "fmt.Errorf")
}

func isLiteral(value ast.Expr) bool {
	_, ok := value.(*ast.CompositeLit)
	return ok
}

// isTable says whether a variable of type t can be a table: what lies in it is reached by index or field, and nothing
// that is read out of it leads back into it.
func isTable(t types.Type) bool {
	switch u := t.Underlying().(type) {
	case *types.Array:
		return isFlat(u.Elem())
	case *types.Slice:
		return isFlat(u.Elem())
	case *types.Map:
		return isFlat(u.Elem())
	case *types.Struct:
		return isFlat(u)
	}
	return false
}

// isFlat says whether a copy of a value of type t shares nothing with it that could be written. An error may be
// anything, but is not written by convention.
func isFlat(t types.Type) bool {
	switch u := t.Underlying().(type) {
	case *types.Basic:
		return u.Kind() != types.Invalid && u.Kind() != types.UnsafePointer
	case *types.Array:
		return isFlat(u.Elem())
	case *types.Struct:
		for i := range u.NumFields() {
			if !isFlat(u.Field(i).Type()) {
				return false
			}
		}
		return true
	case *types.Signature:
		return true
	}
	return types.Identical(t, types.Universe.Lookup("error").Type())
}

// readUses reports every use of a kept variable other than reading it.
func (j *judge) readUses(file *ast.File, kept map[*types.Var]bool) {
	var path []ast.Node // from the file down to the node in hand
	ast.Inspect(file, func(n ast.Node) bool {
		if n == nil {
			path = path[:len(path)-1]
			return true
		}
		path = append(path, n)
		if name, ok := n.(*ast.Ident); ok {
			if variable, ok := j.info.Uses[name].(*types.Var); ok && kept[variable] && !j.onlyRead(variable, path) {
				j.report(name, "package variable %s is written, or handed to what could write it", name.Name)
			}
		}
		return true
	})
}

// onlyRead climbs from a use of the variable through its parts (x[i], x.f) to where the value goes.
func (j *judge) onlyRead(variable *types.Var, path []ast.Node) bool {
	part := ast.Expr(path[len(path)-1].(*ast.Ident))
	whole := true // nothing has been read out of the variable yet
	for i := len(path) - 2; i >= 0; i-- {
		switch up := path[i].(type) {
		case *ast.ParenExpr:
			part = up
		case *ast.IndexExpr:
			if up.X != part {
				return true // the part is an index into something else, and so a copy
			}
			part, whole = up, false
		case *ast.SelectorExpr:
			if selection := j.info.Selections[up]; selection != nil && selection.Kind() != types.FieldVal {
				return !throughPointer(selection)
			}
			part, whole = up, false
		case *ast.SliceExpr:
			// A string is sliced without harm; a slice of a table is a way into it.
			return up.X != part || isString(j.info.TypeOf(part))
		case *ast.UnaryExpr:
			return up.Op != token.AND
		case *ast.IncDecStmt:
			return false
		case *ast.AssignStmt:
			for _, left := range up.Lhs {
				if left == part {
					return false
				}
			}
			return !whole || isFlat(variable.Type())
		case *ast.RangeStmt:
			return up.X == part
		case *ast.CallExpr:
			return !whole || isFlat(variable.Type()) || j.onlyReads(up)
		default:
			return !whole || isFlat(variable.Type())
		}
	}
	return true
}

// throughPointer says whether a method works on the value itself and not on a copy of it.
func throughPointer(method *types.Selection) bool {
	f, ok := method.Obj().(*types.Func)
	if !ok {
		return true
	}
	_, pointer := f.Signature().Recv().Type().(*types.Pointer)
	return pointer
}

// onlyReads says whether a call reads the table that it is given and keeps nothing of it.
func (j *judge) onlyReads(call *ast.CallExpr) bool {
	if f, _ := j.called(call); f != nil {
		switch f.FullName() {
		case "slices.Contains", "slices.Index", "slices.BinarySearch", "strings.Join":
			return true
		}
		return false
	}
	name, ok := ast.Unparen(call.Fun).(*ast.Ident)
	if !ok {
		return false
	}
	builtin, ok := j.info.Uses[name].(*types.Builtin)
	return ok && (builtin.Name() == "len" || builtin.Name() == "cap")
}

func isString(t types.Type) bool {
	b, ok := underlying(t).(*types.Basic)
	return ok && b.Info()&types.IsString != 0
}
