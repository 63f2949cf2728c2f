package scenario

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.starlark.net/starlark"
)

// kind is what an argument must be.
type kind struct {
	name string // as the guide has it
	// read makes a Go value of it. It is asked with the network's size, which is 0 as long as that is not known.
	read func(v starlark.Value, nodes int) (any, error)
}

// parameter is one argument that a function takes. Those without need may be left out; the last may take all that follow.
type parameter struct {
	name    string
	kind    kind
	need    bool
	rest    bool
	initial string // what it is if it is left out, for the guide
}

// given are the arguments of one call, by the name of the parameter, as Go values.
type given map[string]any

func (a given) has(name string) bool { _, ok := a[name]; return ok }

func of[T any](a given, name string, otherwise T) T {
	if v, ok := a[name].(T); ok {
		return v
	}
	return otherwise
}

// read takes the arguments of a call apart.
func (f *function) read(positional starlark.Tuple, named []starlark.Tuple, nodes int) (given, error) {
	values := make(map[string]starlark.Value)
	a := make(given)
	for i, v := range positional {
		switch rest := f.rest(); {
		case rest != nil && i >= len(f.takes)-1:
			got, err := rest.kind.read(v, nodes)
			if err != nil {
				return nil, err
			}
			list, _ := a[rest.name].([]any)
			a[rest.name] = append(list, got)
		case i >= len(f.takes):
			return nil, fmt.Errorf("takes %s, not %d: %s", count(len(f.takes), "argument"), len(positional), f.signature())
		default:
			values[f.takes[i].name] = v
		}
	}
	for _, pair := range named {
		name := string(pair[0].(starlark.String))
		if err := f.knows(name); err != nil {
			return nil, err
		}
		if _, twice := values[name]; twice {
			return nil, fmt.Errorf("%s is given twice", name)
		}
		values[name] = pair[1]
	}
	for _, p := range f.takes {
		v, given := values[p.name]
		if given && (p.need || v != starlark.None) {
			got, err := p.kind.read(v, nodes)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p.name, err)
			}
			a[p.name] = got
		}
		if p.need && !a.has(p.name) {
			return nil, unfit("%s: missing, call it as %s", p.name, f.signature())
		}
	}
	return a, nil
}

// rest is the parameter that takes all that follow, if there is one.
func (f *function) rest() *parameter {
	if n := len(f.takes); n > 0 && f.takes[n-1].rest {
		return &f.takes[n-1]
	}
	return nil
}

// knows says what to do instead about a named argument that there is not.
func (f *function) knows(name string) error {
	var names []string
	for _, p := range f.takes {
		if p.name == name && !p.rest {
			return nil
		}
		names = append(names, p.name)
	}
	if len(names) == 0 {
		return fmt.Errorf("takes no arguments")
	}
	return fmt.Errorf("takes no %s: %s", name, Suggest(name, names))
}

// valueError is what is wrong with a value of the right kind. Where there is a network it may be another.
type valueError struct{ text string }

func (e *valueError) Error() string { return e.text }

func unfit(format string, args ...any) error { return &valueError{fmt.Sprintf(format, args...)} }

// signature is how to call it.
func (f *function) signature() string {
	var parts []string
	for _, p := range f.takes {
		switch {
		case p.rest:
			parts = append(parts, p.name+"…")
		case p.need:
			parts = append(parts, p.name)
		default:
			parts = append(parts, p.name+"="+p.initial)
		}
	}
	return f.name + "(" + strings.Join(parts, ", ") + ")"
}

// integer is a whole number in a range.
func integer(least, most int64) func(starlark.Value, int) (any, error) {
	return func(v starlark.Value, _ int) (any, error) {
		i, ok := v.(starlark.Int)
		n, fits := i.Int64()
		switch {
		case !ok:
			return nil, fmt.Errorf("%s is no whole number, want one from %d%s", v, least, upTo(most))
		case !fits || n < least || n > most:
			return nil, unfit("%s, want %d%s", v, least, upTo(most))
		}
		return n, nil
	}
}

func upTo(most int64) string {
	if most >= math.MaxInt32 {
		return " or more"
	}
	return fmt.Sprintf(" to %d", most)
}

// readDuration takes "1.5s" or "200ms", of which nothing is negative.
func readDuration(v starlark.Value, _ int) (any, error) {
	s, ok := starlark.AsString(v)
	d, err := time.ParseDuration(s)
	switch {
	case !ok || err != nil:
		return nil, fmt.Errorf(`%s is no duration, want one like "200ms", "1.5s" or "2m"`, v)
	case d < 0:
		return nil, unfit("%s is negative", v)
	case d > longest:
		return nil, unfit("%s, want at most %v", v, longest)
	}
	return d, nil
}

// readWhile is a duration in which something can happen.
func readWhile(v starlark.Value, nodes int) (any, error) {
	d, err := readDuration(v, nodes)
	if err == nil && d.(time.Duration) == 0 {
		err = unfit("%s, want more", v)
	}
	return d, err
}

// readOffset is a duration that may be negative, and long.
func readOffset(v starlark.Value, _ int) (any, error) {
	s, ok := starlark.AsString(v)
	d, err := time.ParseDuration(s)
	if !ok || err != nil {
		return nil, fmt.Errorf(`%s is no duration, want one like "-3s" or "24h"`, v)
	}
	return d, nil
}

func readNode(v starlark.Value, nodes int) (any, error) {
	if f, ok := v.(starlark.Callable); ok {
		return nil, fmt.Errorf("%s is a function, want a node: call it, %s()", f.Name(), f.Name())
	}
	i, ok := v.(starlark.Int)
	n, fits := i.Int64()
	_, list := v.(starlark.Iterable)
	switch {
	case list:
		return nil, fmt.Errorf("%s is a list, want nodes one by one: put * before it", v)
	case !ok || !fits:
		return nil, fmt.Errorf("%s is no node, want a number from 1", v)
	case n < 1 || nodes > 0 && n > int64(nodes):
		if nodes == 0 {
			return nil, unfit("there is no node %d: they are numbered from 1", n)
		}
		return nil, unfit("there is no node %d: the network has nodes 1 to %d", n, nodes)
	}
	return int(n), nil
}

// readNodes takes a list of nodes, or a single one.
func readNodes(v starlark.Value, nodes int) (any, error) {
	if n, err := readNode(v, nodes); err == nil {
		return []int{n.(int)}, nil
	}
	list, ok := v.(starlark.Iterable)
	if !ok {
		return nil, fmt.Errorf("%s is no list of nodes, want one like [1, 2]", v)
	}
	var all []int
	for e := range starlark.Elements(list) {
		n, err := readNode(e, nodes)
		if err != nil {
			return nil, err
		}
		if slices.Contains(all, n.(int)) {
			return nil, unfit("node %d is named twice", n)
		}
		all = append(all, n.(int))
	}
	if len(all) == 0 {
		return nil, unfit("names no node")
	}
	return all, nil
}

// readShare takes 0.1, or "10%".
func readShare(v starlark.Value, _ int) (any, error) {
	share, ok := starlark.AsFloat(v)
	if s, is := starlark.AsString(v); is {
		percent, err := strconv.ParseFloat(strings.TrimSuffix(s, "%"), 64)
		share, ok = percent/100, err == nil && strings.HasSuffix(s, "%")
	}
	if !ok || !(share >= 0 && share <= 1) {
		return nil, unfit(`%s, want a share from 0 to 1, or "0%%" to "100%%"`, v)
	}
	return share, nil
}

func readText(v starlark.Value, _ int) (any, error) {
	s, ok := starlark.AsString(v)
	if !ok {
		return nil, fmt.Errorf("%s is no text, want it in quotes: %q", v, v.String())
	}
	return s, nil
}

// readCondition is anything that is true or not, but for a function, which always is.
func readCondition(v starlark.Value, _ int) (any, error) {
	if f, ok := v.(starlark.Callable); ok {
		return nil, fmt.Errorf("%s is a function, want what it yields: call it", f.Name())
	}
	return v, nil
}

// sized is text of so many bytes.
func sized(least, most int) func(starlark.Value, int) (any, error) {
	return func(v starlark.Value, nodes int) (any, error) {
		s, err := readText(v, nodes)
		if err != nil {
			return nil, err
		}
		if n := len(s.(string)); n < least || n > most {
			return nil, unfit("it has %d bytes, want %d to %d", n, least, most)
		}
		return s, nil
	}
}

// oneOf is one of some words.
func oneOf(words ...string) kind {
	return kind{strings.Join(quoted(words), " or "), func(v starlark.Value, _ int) (any, error) {
		s, ok := starlark.AsString(v)
		if !ok || !slices.Contains(words, s) {
			return nil, fmt.Errorf("%s: %s", v, Suggest(s, words))
		}
		return s, nil
	}}
}

func quoted(words []string) (all []string) {
	for _, w := range words {
		all = append(all, strconv.Quote(w))
	}
	return all
}

func readFunction(v starlark.Value, _ int) (any, error) {
	f, ok := v.(starlark.Callable)
	if !ok {
		return nil, fmt.Errorf("%s is no function: give the name of one without (), or write lambda: before what is to be done", v)
	}
	return f, nil
}

func readParameters(v starlark.Value, _ int) (any, error) {
	d, ok := v.(*starlark.Dict)
	if !ok {
		return nil, fmt.Errorf(`%s is no dictionary, want one like {"window": 64}`, v)
	}
	all := make(map[string]uint32)
	for _, item := range d.Items() {
		name, ok := starlark.AsString(item[0])
		i, is := item[1].(starlark.Int)
		n, fits := i.Uint64()
		if !ok || !is || !fits || n > math.MaxUint32 {
			return nil, fmt.Errorf("%s: %s, want a name and a whole number", item[0], item[1])
		}
		all[name] = uint32(n)
	}
	return all, nil
}

func readList(v starlark.Value, _ int) (any, error) {
	list, ok := v.(starlark.Iterable)
	if !ok {
		return nil, fmt.Errorf("%s is no list", v)
	}
	var all []starlark.Value
	for e := range starlark.Elements(list) {
		all = append(all, e)
	}
	if len(all) == 0 {
		return nil, unfit("is empty")
	}
	return all, nil
}

func readBool(v starlark.Value, _ int) (any, error) {
	b, ok := v.(starlark.Bool)
	if !ok {
		return nil, fmt.Errorf("%s, want True or False", v)
	}
	return bool(b), nil
}

// maxSize is how many bytes a value may have.
const maxSize = 60_000

// The kinds of arguments.
var (
	aNode      = kind{"node", readNode}
	nodeList   = kind{"list of nodes", readNodes}
	aDuration  = kind{"duration", readDuration}
	aWhile     = kind{"duration above 0", readWhile}
	anOffset   = kind{"duration, perhaps negative", readOffset}
	aShare     = kind{"share", readShare}
	aText      = kind{"text", readText}
	aCondition = kind{"what is true or not", readCondition}
	aKey       = kind{"text of 1 to 1024 bytes", sized(1, 1024)}
	aValue     = kind{"text of at most 60000 bytes", sized(0, maxSize)}
	aMode      = oneOf("byzantine", "crash")
	anAct      = oneOf(Acts...)
	aFunction  = kind{"function", readFunction}
	aNumber    = kind{"number from 0", integer(0, math.MaxInt64)}
	aWeight    = kind{"number from 0 to 1000000", integer(0, 1_000_000)}
	aCount     = kind{"number from 1", integer(1, math.MaxInt32)}
	anInteger  = kind{"whole number", integer(math.MinInt64, math.MaxInt64)}
	parameters = kind{"parameters", readParameters}
	aList      = kind{"list", readList}
	aBool      = kind{"True or False", readBool}
)

// Acts are the ways in which a member can lie.
var Acts = []string{"silent", "equivocate", "withhold", "replay", "slow", "mutate", "flood", "hide", "suspect", "forge", "censor"}
