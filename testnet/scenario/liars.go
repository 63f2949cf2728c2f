package scenario

import (
	"fmt"
	"slices"

	"go.starlark.net/starlark"
)

// byzantine has a member lie, in this way beside those in which it lies already.
func (r *runner) byzantine(a given) (starlark.Value, error) {
	n, act, every := of(a, "node", 0), of(a, "act", ""), int(of(a, "every", int64(1)))
	r.lies(n)
	if !slices.Contains(r.acts[n], act) {
		r.acts[n] = append(r.acts[n], act)
	}
	if err := r.cluster.Behave(n, r.acts[n], every); err != nil {
		return nil, r.untested(fmt.Errorf("node %d: %w", n, err))
	}
	r.begins(faultOf{nodes: []int{n}, keys: []string{AtNode(CountLies(act), n)}, ends: atHonest, why: "it has not lied: it had nothing to say that this act is about"})
	return nil, nil
}

// lies takes in that a member is not believed from now on, and may be accused.
func (r *runner) lies(n int) {
	if !slices.Contains(r.lying, n) {
		r.lying = append(r.lying, n)
	}
}

// twin gives a member a second process.
func (r *runner) twin(a given) (starlark.Value, error) {
	n := of(a, "node", 0)
	r.lies(n)
	if err := r.cluster.Twin(n); err != nil {
		return nil, r.untested(fmt.Errorf("node %d: %w", n, err))
	}
	r.begins(faultOf{nodes: []int{n}, ends: atNever})
	return nil, nil
}

// honest has members that lied say what their replicas say. What they have said before is still theirs, and may accuse them.
func (r *runner) honest(a given) (starlark.Value, error) {
	return nil, r.each(a, "nodes", func(n int) error {
		if err := r.cluster.Behave(n, nil, 0); err != nil {
			return err
		}
		r.acts[n] = nil
		r.over(atHonest, n)
		return nil
	}, nil)
}
