package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"regexp"
	"strings"

	"go.starlark.net/resolve"
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// Script is a fault script that has been read and resolved.
type Script struct {
	Name    string // the file's, without its folder
	program *starlark.Program
	calls   map[place]call // by where its arguments begin, which is what a run tells
	loops   []loop         // in the order in which they begin
}

// The sandbox: no file, no clock, no load, no recursion; so many steps, of which a script of ten minutes takes some ten thousand.
const maxSteps = 5_000_000

var dialect = &syntax.FileOptions{TopLevelControl: true, While: true, GlobalReassign: true, Set: true}

// place is one in the script.
type place struct{ line, column int32 }

func placeOf(p syntax.Position) place { return place{p.Line, p.Col} }

type loop struct{ from, to syntax.Position }

// call is one as it stands in the script.
type call struct {
	from syntax.Position
	text string // in one line
}

// mistake is what is wrong with a script, with its place.
type mistake struct {
	place syntax.Position
	text  string
	cause error
}

func (m *mistake) Error() string {
	return fmt.Sprintf("%s:%d:%d: %s", filepath.Base(m.place.Filename()), m.place.Line, m.place.Col, m.text)
}

func (m *mistake) Unwrap() error { return m.cause }

// IsMistake says whether err is about what is wrong with a script.
func IsMistake(err error) bool { return errors.As(err, new(*mistake)) }

// Parse reads a script and looks for what is wrong with it without running it. The error names line and column.
func Parse(name string, source []byte) (*Script, error) {
	name = filepath.Base(name)
	file, program, err := starlark.SourceProgramOptions(dialect, name, source, func(name string) bool { return functionOf(name) != nil || name == "range" })
	if err != nil {
		return nil, placed(err, source)
	}
	if err := checkNames(file); err != nil {
		return nil, err
	}
	if err := checkCalls(file); err != nil {
		return nil, err
	}
	s := &Script{Name: name, program: program, calls: make(map[place]call)}
	s.takePlaces(file, strings.Split(string(source), "\n"))
	return s, nil
}

// takePlaces notes what a run does not tell of the places in its script.
func (s *Script) takePlaces(file *syntax.File, lines []string) {
	syntax.Walk(file, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.CallExpr:
			from, to := n.Span()
			s.calls[placeOf(n.Lparen)] = call{from, textOf(lines, from, to)}
		case *syntax.WhileStmt, *syntax.ForStmt:
			from, to := n.Span()
			s.loops = append(s.loops, loop{from, to})
		}
		return true
	})
}

// begins is where the call begins whose arguments begin at a place.
func (s *Script) begins(at syntax.Position) syntax.Position {
	if c, ok := s.calls[placeOf(at)]; ok {
		return c.from
	}
	return at
}

// textOf is what stands between two places, in one line.
func textOf(lines []string, from, to syntax.Position) string {
	var b strings.Builder
	for i := from.Line; i <= to.Line && int(i) <= len(lines); i++ {
		line := []rune(lines[i-1]) // columns count characters
		first, last := 0, len(line)
		if i == from.Line {
			first = min(int(from.Col)-1, last)
		}
		if i == to.Line {
			last = min(int(to.Col)-1, last)
		}
		b.WriteString(string(line[first:max(first, last)]) + " ")
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// endless is the loop that a run is in which was last seen at a place: the innermost one around it, or the next one.
func (s *Script) endless(at syntax.Position) syntax.Position {
	before := func(a, b syntax.Position) bool { return a.Line < b.Line || a.Line == b.Line && a.Col < b.Col }
	found := at
	for _, l := range s.loops {
		switch {
		case !before(at, l.from) && before(at, l.to):
			found = l.from
		case before(at, l.from) && found == at:
			return l.from
		}
	}
	return found
}

// placed makes one line of what the parser or the resolver says.
func placed(err error, source []byte) error {
	var list resolve.ErrorList
	if errors.As(err, &list) {
		m := &mistake{place: list[0].Pos, text: list[0].Msg}
		if name, ok := strings.CutPrefix(m.text, "undefined: "); ok && !strings.Contains(name, "did you mean") {
			var known []string
			for i := range functions {
				known = append(known, functions[i].name)
			}
			if s := Suggest(name, known); strings.HasPrefix(s, "did") {
				m.text += ", " + s
			} else {
				m.text += ": the functions are in docs/fault-scripts.md, or quorate faults list --functions"
			}
		}
		return m
	}
	var s syntax.Error
	if errors.As(err, &s) {
		return &mistake{place: s.Pos, text: s.Msg + ofPython(source, int(s.Pos.Line))}
	}
	return err
}

// What Python has and Starlark has not, as it stands in a line.
var (
	keyword = regexp.MustCompile(`^\s*(assert|async|class|del|except|finally|from|global|import|nonlocal|raise|try|with|yield)\b`)
	fText   = regexp.MustCompile(`\bf["']`)
)

// ofPython says what of Python somebody has written there, if anything.
func ofPython(source []byte, line int) string {
	lines := bytes.Split(source, []byte("\n"))
	if line < 1 || line > len(lines) {
		return ""
	}
	text := lines[line-1]
	if m := keyword.FindSubmatch(text); m != nil {
		if instead := map[string]string{"assert": "expect(condition, text)", "raise": "fail(text)"}[string(m[1])]; instead != "" {
			return fmt.Sprintf(": Starlark has no %s, use %s", m[1], instead)
		}
		return fmt.Sprintf(": Starlark has no %s", m[1])
	}
	if fText.Match(text) {
		return `: Starlark has no f"…", use "… %s" % value`
	}
	return ""
}

// checkNames looks for calls of our functions whose names the script has given to something else, which they are then in all of it.
func checkNames(file *syntax.File) (wrong error) {
	defined := make(map[string]bool)
	syntax.Walk(file, func(n syntax.Node) bool {
		if d, ok := n.(*syntax.DefStmt); ok {
			defined[d.Name.Name] = true
		}
		return true
	})
	syntax.Walk(file, func(n syntax.Node) bool {
		call, ok := n.(*syntax.CallExpr)
		if !ok || wrong != nil {
			return wrong == nil
		}
		name, ok := call.Fn.(*syntax.Ident)
		if !ok || functionOf(name.Name) == nil || defined[name.Name] {
			return true
		}
		if b, ok := name.Binding.(*resolve.Binding); ok && b.Scope == resolve.Global {
			wrong = &mistake{place: name.NamePos, text: fmt.Sprintf("%s is something else in this script, give that another name: it stands for no function any more", name.Name)}
		}
		return wrong == nil
	})
	return wrong
}

// checkCalls looks at the calls of our functions as they are written: those in a branch that is never taken too.
func checkCalls(file *syntax.File) error {
	expects, nodes := false, writtenNodes(file)
	var wrong error
	syntax.Walk(file, func(n syntax.Node) bool {
		if name, ok := n.(*syntax.Ident); ok { // called here, or by a timer
			f := ours(name)
			expects = expects || f != nil && f.expects
		}
		call, ok := n.(*syntax.CallExpr)
		if !ok || wrong != nil {
			return wrong == nil
		}
		f := called(call)
		if f == nil {
			return true
		}
		wrong = checkCall(f, call, nodes)
		return wrong == nil
	})
	if wrong == nil && !expects {
		end := syntax.MakePosition(&file.Path, 1, 1)
		wrong = &mistake{place: end, text: "the script expects nothing, so it could not fail: add an expectation, such as expect_progress() or check_linearizable()"}
	}
	return wrong
}

// called is the function of ours that an expression calls, or nil.
func called(call *syntax.CallExpr) *function {
	name, ok := call.Fn.(*syntax.Ident)
	if !ok {
		return nil
	}
	return ours(name)
}

// ours is the function of ours that a name stands for, or nil.
func ours(name *syntax.Ident) *function {
	if b, ok := name.Binding.(*resolve.Binding); !ok || b.Scope != resolve.Predeclared {
		return nil
	}
	return functionOf(name.Name)
}

// writtenNodes is how many nodes the script's network has, if it says so in figures and once.
func writtenNodes(file *syntax.File) int {
	nodes, networks := 4, 0
	syntax.Walk(file, func(n syntax.Node) bool {
		call, ok := n.(*syntax.CallExpr)
		if !ok || called(call) == nil || called(call).name != "cluster" {
			return true
		}
		networks++
		for i, arg := range call.Args {
			switch e := arg.(type) {
			case *syntax.BinaryExpr:
				if e.Op != syntax.EQ {
					break
				}
				if e.X.(*syntax.Ident).Name == "nodes" {
					nodes = figure(e.Y)
				}
				continue
			case *syntax.UnaryExpr:
				if e.Op == syntax.STAR || e.Op == syntax.STARSTAR {
					networks++ // only the run can tell
					continue
				}
			}
			if i == 0 {
				nodes = figure(arg)
			}
		}
		return true
	})
	if networks > 1 {
		return 0
	}
	return nodes
}

func figure(e syntax.Expr) int {
	if v, ok := literal(e); ok {
		if i, ok := v.(starlark.Int); ok {
			n, _ := i.Int64()
			return int(n)
		}
	}
	return 0
}

// checkCall looks at one call: how many arguments, which names, and those values that are written out.
func checkCall(f *function, call *syntax.CallExpr, nodes int) error {
	var positional starlark.Tuple
	var named []starlark.Tuple
	for _, arg := range call.Args {
		if u, ok := arg.(*syntax.UnaryExpr); ok && (u.Op == syntax.STAR || u.Op == syntax.STARSTAR) {
			return nil // only the run can tell
		}
		if e, ok := arg.(*syntax.BinaryExpr); ok && e.Op == syntax.EQ {
			named = append(named, starlark.Tuple{starlark.String(e.X.(*syntax.Ident).Name), written1(e.Y)})
			continue
		}
		positional = append(positional, written1(arg))
	}
	start, _ := call.Span()
	if _, err := f.known().read(positional, named, nodes); err != nil {
		return &mistake{place: start, text: f.name + ": " + err.Error()}
	}
	return nil
}

// unwritten stands for a value that only the run can tell.
var unwritten = starlark.NewBuiltin("unwritten", nil)

func written1(e syntax.Expr) starlark.Value {
	if v, ok := literal(e); ok {
		return v
	}
	return unwritten
}

// known is f for arguments that may be unwritten: those are let pass.
func (f *function) known() *function {
	g := *f
	g.takes = nil
	for _, p := range f.takes {
		read := p.kind.read
		p.kind.read = func(v starlark.Value, nodes int) (any, error) {
			if v == starlark.Value(unwritten) {
				return v, nil
			}
			return read(v, nodes)
		}
		g.takes = append(g.takes, p)
	}
	return &g
}

// literal is the value of an expression that is written out.
func literal(e syntax.Expr) (starlark.Value, bool) {
	switch e := e.(type) {
	case *syntax.Literal:
		switch v := e.Value.(type) {
		case string:
			return starlark.String(v), true
		case int64:
			return starlark.MakeInt64(v), true
		case *big.Int:
			return starlark.MakeBigInt(v), true
		case float64:
			return starlark.Float(v), true
		}
	case *syntax.ParenExpr:
		return literal(e.X)
	case *syntax.UnaryExpr:
		v, ok := literal(e.X)
		if i, is := v.(starlark.Int); ok && is && e.Op == syntax.MINUS {
			return starlark.MakeInt(0).Sub(i), true
		}
	case *syntax.ListExpr:
		var all []starlark.Value
		for _, x := range e.List {
			v, ok := literal(x)
			if !ok {
				return nil, false
			}
			all = append(all, v)
		}
		return starlark.NewList(all), true
	}
	return nil, false
}
