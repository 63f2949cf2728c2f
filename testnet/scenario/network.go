package scenario

import (
	"slices"
	"time"

	"go.starlark.net/starlark"
)

// linkFaults are all that is wrong between nodes at present. A link may have several reasons to be cut, and slow as well: it is as
// bad as all of them together.
type linkFaults struct {
	cluster Cluster
	nodes   int
	all     []*linkFault
}

// linkFault is one of them.
type linkFault struct {
	pairs []pair
	make  func(*Link)
}

type pair struct{ from, to int }

// pairs are the links that a fault is of, in order.
func (l *linkFaults) pairs(which func(from, to int) bool) (all []pair) {
	for from := 1; from <= l.nodes; from++ {
		for to := 1; to <= l.nodes; to++ {
			if from != to && which(from, to) {
				all = append(all, pair{from, to})
			}
		}
	}
	return all
}

// set has the cluster's links be what they should be, of those named.
func (l *linkFaults) set(pairs []pair) error {
	for _, p := range pairs {
		var link Link
		for _, f := range l.all {
			if slices.Contains(f.pairs, p) {
				f.make(&link)
			}
		}
		if err := l.cluster.Link(p.from, p.to, link); err != nil {
			return err
		}
	}
	return nil
}

func (l *linkFaults) add(f *linkFault) error {
	l.all = append(l.all, f)
	return l.set(f.pairs)
}

func (l *linkFaults) remove(f *linkFault) error {
	l.all = slices.DeleteFunc(l.all, func(other *linkFault) bool { return other == f })
	return l.set(f.pairs)
}

func countsOf(count string, pairs []pair) (keys []string) {
	for _, p := range pairs {
		keys = append(keys, OnLink(count, p.from, p.to))
	}
	return keys
}

// cutsWhich cuts some links until heal.
func (r *runner) cutsWhich(nodes []int, which func(from, to int) bool) error {
	f := &linkFault{r.links.pairs(which), func(l *Link) { l.Cut = true }}
	if len(f.pairs) == 0 {
		return unfit("that cuts no link")
	}
	r.begins(faultOf{nodes: nodes, keys: countsOf(CountStopped, f.pairs), ends: atHeal, why: "it stopped no message"})
	return r.links.add(f)
}

// partition leaves groups that do not hear of each other. Who is in none is alone.
func (r *runner) partition(a given) (starlark.Value, error) {
	side := make([]int, r.shape.Nodes+1)
	for i, g := range of[[]any](a, "groups", nil) {
		group, ok := g.([]int)
		if !ok {
			continue
		}
		for _, n := range group {
			if side[n] != 0 {
				return nil, unfit("node %d is in two groups", n)
			}
			side[n] = i + 1
		}
	}
	for n := range side {
		if side[n] == 0 {
			side[n] = -n
		}
	}
	return nil, r.cutsWhich(nil, func(from, to int) bool { return side[from] != side[to] })
}

// isolate cuts nodes off from all others, each by itself.
func (r *runner) isolate(a given) (starlark.Value, error) {
	for _, v := range of[[]any](a, "nodes", nil) {
		n := v.(int)
		if err := r.cutsWhich([]int{n}, func(from, to int) bool { return from == n || to == n }); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func (r *runner) cut(a given) (starlark.Value, error) {
	x, y := of(a, "a", 0), of(a, "b", 0)
	if x == y {
		return nil, unfit("there is no link from node %d to itself", x)
	}
	return nil, r.cutsWhich([]int{x, y}, func(from, to int) bool { return from == x && to == y || from == y && to == x })
}

func (r *runner) cutOneWay(a given) (starlark.Value, error) {
	sender, receiver := of(a, "sender", 0), of(a, "receiver", 0)
	if sender == receiver {
		return nil, unfit("there is no link from node %d to itself", sender)
	}
	return nil, r.cutsWhich([]int{sender, receiver}, func(from, to int) bool { return from == sender && to == receiver })
}

// ring leaves each node its two neighbours.
func (r *runner) ring(given) (starlark.Value, error) {
	n := r.shape.Nodes
	return nil, r.cutsWhich(nil, func(from, to int) bool { return (from+1-to+n)%n != 0 && (to+1-from+n)%n != 0 })
}

// star leaves each node its link to the hub.
func (r *runner) star(a given) (starlark.Value, error) {
	hub := of(a, "hub", 0)
	return nil, r.cutsWhich(nil, func(from, to int) bool { return from != hub && to != hub })
}

// chain leaves each node those before and behind it.
func (r *runner) chain(given) (starlark.Value, error) {
	return nil, r.cutsWhich(nil, func(from, to int) bool { return from-to != 1 && to-from != 1 })
}

// flap has a node's links go down and up again and again.
func (r *runner) flap(a given) (starlark.Value, error) {
	n, period, times := of(a, "node", 0), of(a, "period", 400*time.Millisecond), int(of(a, "times", int64(10)))
	if period < shortest {
		return nil, errTooOften
	}
	f := &linkFault{r.links.pairs(func(from, to int) bool { return from == n || to == n }), func(l *Link) { l.Cut = true }}
	o := r.begins(faultOf{nodes: []int{n}, keys: countsOf(CountStopped, f.pairs), ends: atHeal, why: "it stopped no message"})
	left := times
	return nil, r.again(period, times, func() error { return r.links.add(f) }, func() error {
		if left--; left == 0 {
			r.faults.close(o, r.cluster.Now(), r.cluster.Happened(), r.run)
		}
		return r.links.remove(f)
	})
}

// weather makes links worse, those of some nodes or all, until heal or until they are told otherwise. What makes no link worse is no fault.
func weather(worsen func(*Link, given), counts string) func(*runner, given) (starlark.Value, error) {
	return func(r *runner, a given) (starlark.Value, error) {
		nodes := of(a, "of", []int(nil))
		f := &linkFault{
			r.links.pairs(func(from, to int) bool {
				return nodes == nil || slices.Contains(nodes, from) || slices.Contains(nodes, to)
			}),
			func(l *Link) { worsen(l, a) },
		}
		keys := countsOf(counts, f.pairs)
		r.overrides(keys)
		var l Link
		if f.make(&l); l != (Link{}) {
			r.begins(faultOf{nodes: nodes, keys: keys, ends: atHeal, why: "no message was " + counts})
		}
		return nil, r.links.add(f)
	}
}

// heal makes all links whole.
func (r *runner) heal(given) (starlark.Value, error) {
	r.over(atHeal, 0)
	r.schedule.dropKind("flap")
	r.links.all = nil
	return nil, r.links.set(r.links.pairs(func(int, int) bool { return true }))
}
