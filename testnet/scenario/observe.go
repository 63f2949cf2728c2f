package scenario

import (
	"fmt"
	"slices"

	"go.starlark.net/starlark"
)

func (r *runner) allNodes(given) (starlark.Value, error) {
	var all []starlark.Value
	for n := 1; n <= r.shape.Nodes; n++ {
		all = append(all, starlark.MakeInt(n))
	}
	return starlark.NewList(all), nil
}

// others are all nodes but those.
func (r *runner) others(a given) (starlark.Value, error) {
	var all []starlark.Value
	for n := 1; n <= r.shape.Nodes; n++ {
		if !slices.Contains(of[[]any](a, "nodes", nil), any(n)) {
			all = append(all, starlark.MakeInt(n))
		}
	}
	return starlark.NewList(all), nil
}

// observed tells something of a node, or of the one that is furthest: by epoch, view and slot, of those that are up.
func observed(tell func(Look) starlark.Value) func(*runner, given) (starlark.Value, error) {
	return func(r *runner, a given) (starlark.Value, error) {
		if n := of(a, "node", 0); n > 0 {
			return tell(r.cluster.Look(n)), nil
		}
		return tell(r.furthest()), nil
	}
}

// furthest is how the node is that is furthest of those that are up; empty if none is.
func (r *runner) furthest() (furthest Look) {
	for _, l := range r.look() {
		if l.State == Up && (furthest.State == "" || furthest.before(l)) {
			furthest = l
		}
	}
	return furthest
}

func (l Look) before(o Look) bool {
	return slices.Compare([]uint64{l.Epoch, l.View, l.Seq}, []uint64{o.Epoch, o.View, o.Seq}) < 0
}

func (r *runner) state(a given) (starlark.Value, error) {
	return starlark.String(r.cluster.Look(of(a, "node", 0)).State), nil
}

// committed is how many calls of clients were acknowledged so far.
func (r *runner) committed(given) (starlark.Value, error) {
	switch {
	case r.dry:
		return starlark.MakeInt64(int64(r.cluster.Now() / SampleEvery)), nil
	case r.traffic == nil:
		return starlark.MakeInt(0), nil
	}
	return starlark.MakeInt(r.traffic.acknowledged), nil
}

func (r *runner) metrics(a given) (starlark.Value, error) {
	n := of(a, "node", 0)
	all, err := r.cluster.Metrics(n)
	if err != nil {
		return nil, r.untested(fmt.Errorf("node %d: %w", n, err))
	}
	d := starlark.NewDict(len(MetricNames))
	for _, name := range MetricNames { // those that only one world has would make a script run on that one alone
		if err := d.SetKey(starlark.String(name), starlark.Float(all[name])); err != nil {
			return nil, err
		}
	}
	return d, nil
}

func (r *runner) accused(a given) (starlark.Value, error) {
	n := of(a, "node", 0)
	members, err := r.cluster.Accused(n)
	if err != nil {
		return nil, r.untested(fmt.Errorf("node %d: %w", n, err))
	}
	var all []starlark.Value
	for _, m := range members {
		all = append(all, starlark.MakeInt(m))
	}
	return starlark.NewList(all), nil
}

func (r *runner) randint(a given) (starlark.Value, error) {
	least, most := of(a, "least", int64(0)), of(a, "most", int64(0))
	if most < least || most-least < 0 {
		return nil, unfit("most is below least")
	}
	return starlark.MakeInt64(least + int64(r.chance.Uint64N(uint64(most-least)+1))), nil
}

func (r *runner) choice(a given) (starlark.Value, error) {
	list := of[[]starlark.Value](a, "of", nil)
	return list[r.chance.IntN(len(list))], nil
}
