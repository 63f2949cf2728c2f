package scenario

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.starlark.net/starlark"
)

// function is one that scripts can call.
type function struct {
	name    string
	takes   []parameter
	expects bool // it is an expectation: a script without any is refused
	before  bool // it may be called before there is a network
	sees    bool // it changes nothing, and is not worth telling of
	asks    bool // it is told of as it stands in the script: what it has come to says little
	invents bool // what it yields is made up while a script is only looked at
	does    func(*runner, given) (starlark.Value, error)
}

// functions are all of them, in the order of docs/fault-scripts.md.
var functions = []function{
	// The network.
	{name: "cluster", before: true, does: (*runner).makeCluster, takes: []parameter{
		{name: "nodes", kind: kind{"number from 1 to 16", integer(1, MaxNodes)}, initial: "4"},
		{name: "mode", kind: aMode, initial: `"byzantine"`},
		{name: "params", kind: parameters, initial: "{}"},
		{name: "application", kind: oneOf("kv"), initial: `"kv"`},
	}},
	{name: "workload", does: (*runner).beginWorkload, takes: []parameter{
		{name: "clients", kind: kind{"number from 1 to 64", integer(1, 64)}, initial: "4"},
		{name: "rate", kind: kind{"number from 1 to 2000", integer(1, 2000)}, initial: "40"},
		{name: "put", kind: aWeight, initial: "5"},
		{name: "cas", kind: aWeight, initial: "2"},
		{name: "get", kind: aWeight, initial: "3"},
		{name: "local_get", kind: aWeight, initial: "0"},
		{name: "keys", kind: kind{"number from 1 to 1000", integer(1, 1000)}, initial: "5"},
		{name: "size", kind: kind{"number from 1 to 60000", integer(1, maxSize)}, initial: "16"},
	}},
	{name: "stop_workload", does: (*runner).stopWorkload},
	{name: "put", expects: true, does: (*runner).put, takes: []parameter{
		{name: "key", kind: aKey, need: true}, {name: "value", kind: aValue, need: true}, {name: "within", kind: aDuration, initial: `"10s"`},
	}},
	{name: "get", expects: true, invents: true, does: (*runner).get, takes: []parameter{
		{name: "key", kind: aKey, need: true}, {name: "within", kind: aDuration, initial: `"10s"`},
	}},
	{name: "local_get", expects: true, invents: true, does: (*runner).localGet, takes: []parameter{
		{name: "node", kind: aNode, need: true}, {name: "key", kind: aKey, need: true}, {name: "within", kind: aDuration, initial: `"10s"`},
	}},

	// Time.
	{name: "sleep", does: (*runner).sleep, takes: []parameter{{name: "duration", kind: aDuration, need: true}}},
	{name: "now", sees: true, invents: true, does: (*runner).millis},
	{name: "at", does: (*runner).at, takes: []parameter{
		{name: "time", kind: aDuration, need: true}, {name: "do", kind: aFunction, need: true},
	}},
	{name: "after", does: (*runner).after, takes: []parameter{
		{name: "duration", kind: aDuration, need: true}, {name: "do", kind: aFunction, need: true},
	}},
	{name: "every", does: (*runner).every, takes: []parameter{
		{name: "period", kind: aDuration, need: true}, {name: "do", kind: aFunction, need: true},
		{name: "times", kind: aCount, initial: "to the end"},
	}},
	{name: "until", expects: true, asks: true, does: (*runner).until, takes: []parameter{
		{name: "condition", kind: aFunction, need: true}, {name: "within", kind: aDuration, initial: `"10s"`},
	}},

	// Processes.
	{name: "crash", does: (*runner).crash, takes: someNodes},
	{name: "restart", does: (*runner).restart, takes: someNodes},
	{name: "try_restart", invents: true, does: (*runner).tryRestart, takes: []parameter{{name: "node", kind: aNode, need: true}}},
	{name: "stop", does: (*runner).stop, takes: someNodes},
	{name: "pause", does: (*runner).pause, takes: someNodes},
	{name: "resume", does: (*runner).resume, takes: someNodes},
	{name: "rolling_restart", does: (*runner).rollingRestart, takes: []parameter{
		{name: "pause", kind: aDuration, initial: `"1s"`},
	}},
	{name: "crash_loop", does: (*runner).crashLoop, takes: []parameter{
		{name: "node", kind: aNode, need: true}, {name: "period", kind: aDuration, initial: `"2s"`}, {name: "times", kind: aCount, initial: "5"},
	}},

	// The network between them.
	{name: "partition", does: (*runner).partition, takes: []parameter{{name: "groups", kind: nodeList, need: true, rest: true}}},
	{name: "isolate", does: (*runner).isolate, takes: someNodes},
	{name: "cut", does: (*runner).cut, takes: []parameter{{name: "a", kind: aNode, need: true}, {name: "b", kind: aNode, need: true}}},
	{name: "cut_one_way", does: (*runner).cutOneWay, takes: []parameter{{name: "sender", kind: aNode, need: true}, {name: "receiver", kind: aNode, need: true}}},
	{name: "ring", does: (*runner).ring},
	{name: "star", does: (*runner).star, takes: []parameter{{name: "hub", kind: aNode, need: true}}},
	{name: "chain", does: (*runner).chain},
	{name: "flap", does: (*runner).flap, takes: []parameter{
		{name: "node", kind: aNode, need: true}, {name: "period", kind: aDuration, initial: `"400ms"`}, {name: "times", kind: aCount, initial: "10"},
	}},
	{name: "delay", does: weather(func(l *Link, a given) { l.Delay = of(a, "by", l.Delay) }, CountDelayed),
		takes: []parameter{{name: "by", kind: aDuration, need: true}, links}},
	{name: "jitter", does: weather(func(l *Link, a given) { l.Jitter = of(a, "by", l.Jitter) }, CountJittered),
		takes: []parameter{{name: "by", kind: aDuration, need: true}, links}},
	{name: "loss", does: weather(func(l *Link, a given) { l.Lost = of(a, "share", 0.) }, CountLost),
		takes: []parameter{{name: "share", kind: aShare, need: true}, links}},
	{name: "duplicate", does: weather(func(l *Link, a given) { l.Twice = of(a, "share", 0.) }, CountTwice),
		takes: []parameter{{name: "share", kind: aShare, need: true}, links}},
	{name: "reorder", does: weather(func(l *Link, a given) { l.Reordered = of(a, "share", 0.) }, CountReordered),
		takes: []parameter{{name: "share", kind: aShare, need: true}, links}},
	{name: "bandwidth", does: weather(func(l *Link, a given) { l.Bandwidth = of(a, "bytes_per_second", int64(0)) }, CountHeldUp),
		takes: []parameter{{name: "bytes_per_second", kind: kind{"number from 1000", integer(1000, 1<<40)}, need: true}, links}},
	{name: "heal", does: (*runner).heal},

	// Disks.
	{name: "lose_unsynced", does: atCrashes(LoseUnsynced, CountUnsynced), takes: someNodes},
	{name: "tear", does: atCrashes(Tear, CountTorn), takes: someNodes},
	{name: "flip", does: (*runner).flip, takes: []parameter{{name: "node", kind: aNode, need: true}, {name: "bits", kind: kind{"number from 1 to 100000", integer(1, 100_000)}, initial: "1"}}},
	{name: "fill", does: (*runner).fill, takes: []parameter{{name: "node", kind: aNode, need: true}, {name: "room", kind: aNumber, initial: "0"}}},
	{name: "fail_sync", does: diskFault(FailSync), takes: someNodes},
	{name: "slow", does: (*runner).slow, takes: []parameter{{name: "node", kind: aNode, need: true}, {name: "by", kind: aDuration, need: true}}},
	{name: "wipe", does: diskFault(Wipe), takes: someNodes},
	{name: "backup", does: diskFault(Backup), takes: someNodes},
	{name: "restore", does: diskFault(Restore), takes: someNodes},

	// Clocks.
	{name: "skew", does: (*runner).skew, takes: []parameter{{name: "node", kind: aNode, need: true}, {name: "by", kind: anOffset, need: true}}},
	{name: "jump", does: (*runner).jump, takes: []parameter{{name: "node", kind: aNode, need: true}, {name: "by", kind: anOffset, need: true}}},

	// Liars.
	{name: "byzantine", does: (*runner).byzantine, takes: []parameter{
		{name: "node", kind: aNode, need: true}, {name: "act", kind: anAct, need: true}, {name: "every", kind: aCount, initial: "1"},
	}},
	{name: "twin", does: (*runner).twin, takes: []parameter{{name: "node", kind: aNode, need: true}}},
	{name: "honest", does: (*runner).honest, takes: someNodes},

	// Operators.
	{name: "switch_mode", expects: true, does: (*runner).switchMode, takes: []parameter{
		{name: "mode", kind: aMode, need: true}, {name: "within", kind: aDuration, initial: `"20s"`}, {name: "wait", kind: aBool, initial: "True"},
	}},
	{name: "set_params", expects: true, does: (*runner).setParams, takes: []parameter{
		{name: "params", kind: parameters, need: true}, {name: "within", kind: aDuration, initial: `"20s"`}, {name: "wait", kind: aBool, initial: "True"},
	}},
	{name: "recover", expects: true, does: (*runner).recover, takes: []parameter{
		{name: "within", kind: aDuration, initial: `"30s"`}, {name: "wait", kind: aBool, initial: "True"},
	}},

	// What can be seen.
	{name: "nodes", sees: true, does: (*runner).allNodes},
	{name: "others", sees: true, does: (*runner).others, takes: someNodes},
	{name: "leader", sees: true, invents: true, does: observed(func(l Look) starlark.Value { return starlark.MakeInt(l.Leader) }), takes: oneNode},
	{name: "view", sees: true, invents: true, does: observed(func(l Look) starlark.Value { return starlark.MakeUint64(l.View) }), takes: oneNode},
	{name: "epoch", sees: true, invents: true, does: observed(func(l Look) starlark.Value { return starlark.MakeUint64(l.Epoch) }), takes: oneNode},
	{name: "mode", sees: true, invents: true, does: observed(func(l Look) starlark.Value { return starlark.String(l.Mode) }), takes: oneNode},
	{name: "role", sees: true, invents: true, does: observed(func(l Look) starlark.Value { return starlark.String(l.Role) }), takes: oneNode},
	{name: "height", sees: true, invents: true, does: observed(func(l Look) starlark.Value { return starlark.MakeUint64(l.Seq) }), takes: oneNode},
	{name: "state", sees: true, invents: true, does: (*runner).state, takes: []parameter{{name: "node", kind: aNode, need: true}}},
	{name: "committed", sees: true, invents: true, does: (*runner).committed},
	{name: "metrics", sees: true, invents: true, does: (*runner).metrics, takes: []parameter{{name: "node", kind: aNode, need: true}}},
	{name: "accused", sees: true, invents: true, does: (*runner).accused, takes: []parameter{{name: "node", kind: aNode, need: true}}},
	{name: "randint", before: true, sees: true, does: (*runner).randint, takes: []parameter{
		{name: "least", kind: anInteger, need: true}, {name: "most", kind: anInteger, need: true},
	}},
	{name: "choice", before: true, sees: true, does: (*runner).choice, takes: []parameter{{name: "of", kind: aList, need: true}}},

	// What must hold.
	{name: "expect", expects: true, asks: true, does: (*runner).expect, takes: []parameter{
		{name: "condition", kind: aCondition, need: true}, {name: "text", kind: aText, initial: `""`},
	}},
	{name: "fail", expects: true, does: (*runner).fail, takes: []parameter{{name: "text", kind: aText, need: true}}},
	{name: "expect_progress", expects: true, does: (*runner).expectProgress, takes: []parameter{{name: "within", kind: aDuration, initial: `"5s"`}}},
	{name: "expect_no_progress", expects: true, does: (*runner).expectNoProgress, takes: []parameter{{name: "during", kind: aWhile, need: true}}},
	{name: "expect_view_changes", expects: true, does: (*runner).expectViewChanges, takes: []parameter{
		{name: "at_most", kind: aNumber, initial: "any"}, {name: "at_least", kind: aNumber, initial: "0"},
	}},
	{name: "expect_evidence", expects: true, does: (*runner).expectEvidence, takes: []parameter{
		{name: "against", kind: aNode, need: true}, {name: "within", kind: aDuration, initial: `"10s"`},
	}},
	{name: "expect_mode", expects: true, does: (*runner).expectMode, takes: []parameter{
		{name: "mode", kind: aMode, need: true}, {name: "within", kind: aDuration, initial: `"10s"`},
	}},
	{name: "expect_caught_up", expects: true, does: (*runner).expectCaughtUp, takes: []parameter{
		{name: "node", kind: aNode, need: true}, {name: "within", kind: aDuration, initial: `"20s"`},
	}},
	{name: "check_agreement", expects: true, does: checks(Agreement)},
	{name: "check_durability", expects: true, does: checks(Durability)},
	{name: "check_exactly_once", expects: true, does: checks(ExactlyOnce)},
	{name: "check_linearizable", expects: true, does: (*runner).checkLinearizable},
}

var (
	someNodes = []parameter{{name: "nodes", kind: aNode, need: true, rest: true}}
	oneNode   = []parameter{{name: "node", kind: aNode, initial: "whoever is furthest"}}
	links     = parameter{name: "of", kind: nodeList, initial: "all nodes"}
)

// MaxNodes is how many nodes a script's network may have.
const MaxNodes = 16

// Signatures say how each function is called, in the order of the guide.
func Signatures() (all []string) {
	for i := range functions {
		all = append(all, functions[i].signature())
	}
	return all
}

// functionOf is the one of that name, or nil.
func functionOf(name string) *function {
	for i := range functions {
		if functions[i].name == name {
			return &functions[i]
		}
	}
	return nil
}

// predeclared are the functions as a run's script sees them.
func (r *runner) predeclared() starlark.StringDict {
	all := make(starlark.StringDict, len(functions))
	for i := range functions {
		f := &functions[i]
		all[f.name] = starlark.NewBuiltin(f.name, func(t *starlark.Thread, _ *starlark.Builtin, positional starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
			return r.call(t, f, positional, named)
		})
	}
	all["range"] = starlark.NewBuiltin("range", boundedRange)
	return all
}

// maxRange is how many numbers a range may have: what goes through one is done in a single step, which cannot be interrupted.
const maxRange = 1_000_000

// boundedRange is Starlark's own, but for that.
func boundedRange(t *starlark.Thread, _ *starlark.Builtin, positional starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
	v, err := starlark.Call(t, starlark.Universe["range"], positional, named)
	if err == nil && starlark.Len(v) > maxRange {
		return nil, fmt.Errorf("range: %d numbers, at most %d", starlark.Len(v), maxRange)
	}
	return v, err
}

// call has the script's call happen.
func (r *runner) call(t *starlark.Thread, f *function, positional starlark.Tuple, named []starlark.Tuple) (starlark.Value, error) {
	at := r.calledAt(t)
	place := r.script.begins(at)
	fail := func(err error) error {
		if errors.As(err, new(*mistake)) || errors.As(err, new(*starlark.EvalError)) || errors.Is(err, errOver) {
			return err // it has its place already, being that of a call within this one
		}
		return &mistake{place: place, text: f.name + ": " + err.Error(), cause: err}
	}
	if !f.before && r.shape.Nodes == 0 {
		if _, err := r.makeCluster(nil); err != nil {
			return nil, fail(err)
		}
	}
	a, err := f.read(positional, named, r.shape.Nodes)
	if err != nil {
		if r.madeUp(err) || r.dry && r.invented && nothing(positional, named) {
			return starlark.None, nil
		}
		return nil, fail(err)
	}
	outer := r.here
	r.here = here{line: int(place.Line), what: written(f, positional, named), at: at}
	defer func() { r.here = outer }()
	if c, ok := r.script.calls[placeOf(at)]; ok && f.asks {
		r.here.what = c.text
	}
	if f.invents {
		r.saw, r.invented = r.cluster.Now(), true
	}
	if r.progress != nil && !f.before && !f.sees {
		r.progress(r.cluster.Now(), r.here.line, r.here.what)
	}
	v, err := f.does(r, a)
	if r.madeUp(err) {
		return starlark.None, nil
	}
	if err != nil {
		return nil, fail(err)
	}
	if v == nil {
		v = starlark.None
	}
	return v, nil
}

// madeUp says whether an error may come of what was made up while a script is only looked at.
func (r *runner) madeUp(err error) bool {
	return r.dry && r.invented && errors.As(err, new(*valueError))
}

// nothing says whether an argument is None, or an empty list.
func nothing(positional starlark.Tuple, named []starlark.Tuple) bool {
	empty := func(v starlark.Value) bool { return v == starlark.None || starlark.Len(v) == 0 }
	return slices.ContainsFunc(positional, empty) || slices.ContainsFunc(named, func(pair starlark.Tuple) bool { return empty(pair[1]) })
}

// written is a call as one would write it.
func written(f *function, positional starlark.Tuple, named []starlark.Tuple) string {
	var parts []string
	text := func(v starlark.Value) string {
		if c, ok := v.(starlark.Callable); ok {
			return c.Name()
		}
		return v.String()
	}
	for _, v := range positional {
		parts = append(parts, text(v))
	}
	for _, pair := range named {
		parts = append(parts, fmt.Sprintf("%s=%s", string(pair[0].(starlark.String)), text(pair[1])))
	}
	return f.name + "(" + strings.Join(parts, ", ") + ")"
}

// here is the call that is under way.
type here struct {
	line int
	what string
	at   starlarkPosition // as a run tells it
}

// calledAt is where in the script a function of ours is called. If it is handed to another one, as to at(), that is where that one is called.
func (r *runner) calledAt(t *starlark.Thread) starlarkPosition {
	for i := 1; i < t.CallStackDepth(); i++ {
		if pos := t.CallFrame(i).Pos; pos.Line > 0 {
			return pos
		} else if r.here.line > 0 {
			break
		}
	}
	return r.here.at
}
