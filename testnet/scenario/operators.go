package scenario

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"go.starlark.net/starlark"
)

func (r *runner) switchMode(a given) (starlark.Value, error) {
	if mode := of(a, "mode", ""); !r.dry && r.furthest().Mode == mode {
		return nil, r.untested(fmt.Errorf("the mode is %s already", mode))
	}
	return nil, r.orders(a, Order{Mode: of(a, "mode", "")})
}

func (r *runner) setParams(a given) (starlark.Value, error) {
	return nil, r.orders(a, Order{Parameters: of(a, "params", map[string]uint32(nil))})
}

func (r *runner) recover(a given) (starlark.Value, error) {
	return nil, r.orders(a, Order{Recover: true})
}

// after is the network that an order makes of this one.
func (s Shape) after(o Order) Shape {
	next := s
	next.Parameters = maps.Clone(s.Parameters)
	if next.Parameters == nil {
		next.Parameters = make(map[string]uint32)
	}
	maps.Copy(next.Parameters, o.Parameters)
	switch {
	case o.Recover:
		next.Mode = "byzantine"
	case o.Mode != "":
		next.Mode = o.Mode
	}
	return next
}

// wrongWith is what is wrong with a network that the script wants.
func (r *runner) wrongWith(s Shape) error {
	if r.fits == nil {
		return nil
	}
	return r.fits(s)
}

// orders has operators ask for something. The script waits until it has come about, which is an expectation, or goes on at once.
func (r *runner) orders(a given, o Order) error {
	next := r.shape.after(o)
	if err := r.wrongWith(next); err != nil {
		return err
	}
	within, begun, epoch := of(a, "within", 20*time.Second), r.cluster.Now(), r.furthest().Epoch
	over, why := false, error(nil)
	f := r.begins(faultOf{ends: atNever, why: "it was not done by the end of the script"})
	r.cluster.Operate(o, within, func(err error) {
		if over, why = true, err; err == nil {
			f.hits, r.shape = 1, next
		} else {
			f.why = err.Error()
		}
	})
	if r.dry {
		return why
	}
	if !of(a, "wait", true) {
		r.given = append(r.given, &givenOrder{f, epoch})
		return nil
	}
	if _, err := r.awaits(within+time.Second, func() (bool, error) { return over, nil }); err != nil {
		return err
	}
	if over && why == nil {
		changed, err := r.awaits(time.Second, func() (bool, error) { return r.furthest().Epoch > epoch, nil })
		if err != nil {
			return err
		}
		if !changed {
			return r.untested(errSo)
		}
	}
	r.faults.close(f, r.cluster.Now(), nil, r.run)
	switch {
	case why != nil:
		return r.decide(begun, false, why.Error())
	case !over:
		return r.decide(begun, false, fmt.Sprintf("not done within %v", within))
	}
	return r.decide(begun, true, "")
}

var errSo = errors.New("it is so already")

// givenOrder is one that the script did not wait for.
type givenOrder struct {
	*openFault
	epoch uint64 // in which it was given
}

// came settles at the end whether orders have changed anything.
func (r *runner) came() {
	newest := uint64(0)
	for _, l := range r.lastUp {
		newest = max(newest, l.Epoch)
	}
	for _, o := range r.given {
		if o.hits > 0 && newest <= o.epoch {
			o.hits, o.why = 0, errSo.Error()
		}
	}
}
