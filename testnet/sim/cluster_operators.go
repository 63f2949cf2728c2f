package sim

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/testnet/scenario"
)

// operateEvery is how often operators look whether what they have asked for has come about, and askEvery how often they ask again.
const (
	operateEvery = 100 * milli
	askEvery     = second
)

// Operate has operators ask for a change or a recovery, again and again until it has come about.
func (c *Cluster) Operate(o scenario.Order, within time.Duration, done func(error)) {
	op := &order{Cluster: c, Order: o, begun: c.w.now, deadline: c.w.now + within.Microseconds(), done: done}
	c.w.after(milli, nil, clientActs, 0, op.look)
}

// order is one that operators have given.
type order struct {
	*Cluster
	scenario.Order
	begun    int64
	deadline int64
	done     func(error)

	of       *epoch.Epoch // that is to end
	change   *message.Change
	recovery *message.Recovery
	asked    int64 // when, of late
	why      error // nobody can be asked
	same     bool  // what is wanted is so already
}

// look sees whether what was asked for has come about.
func (o *order) look() {
	w := o.w
	if o.of != nil {
		for _, n := range w.nodes {
			if !n.up() || n.paused || n.lies() {
				continue
			}
			r := n.host.Replica()
			if e := r.Epoch(); e.Number == o.of.Number+1 && !r.Observes() && o.announced(e) {
				o.ends(nil)
				return
			} else if e.Number > o.of.Number && !o.announced(e) {
				o.ends(fmt.Errorf("epoch %d is another one than was asked for", o.of.Number+1))
				return
			}
		}
	}
	if w.now >= o.deadline {
		if o.why == nil {
			o.why = errors.New("the members have not agreed to it")
		}
		o.ends(o.why)
		return
	}
	if o.of == nil || w.now >= o.asked+askEvery {
		o.asked = w.now
		if o.why = o.ask(); o.of == nil && o.why != nil {
			o.asked -= askEvery
		}
		if o.same {
			o.ends(nil)
			return
		}
	}
	w.after(operateEvery, nil, clientActs, 1, o.look)
}

func (o *order) ends(why error) {
	o.called = true
	o.done(why)
}

// announced says whether an epoch is the one that was asked for.
func (o *order) announced(e *epoch.Epoch) bool {
	if o.recovery != nil {
		return e.ID == o.recovery.ID()
	}
	return message.ConfigurationDigest(&e.Configuration) == message.ConfigurationDigest(&o.change.Next)
}

var errNobody = errors.New("no node can be asked")

// ask hands what is wanted to every node that can be asked.
func (o *order) ask() error {
	var up []*node
	for _, n := range o.w.nodes[:o.w.epoch.N()] {
		if n.up() && !n.paused {
			up = append(up, n)
		}
	}
	if len(up) == 0 {
		return errNobody
	}
	if o.Recover {
		return o.askToRecover(up)
	}
	if o.of == nil {
		if err := o.sign(up); err != nil || o.same {
			return err
		}
	}
	var errs []error
	for _, n := range up {
		err := n.host.Ask(o.change)
		o.w.tell(n, "is asked for %s, window %d: %v", o.change.Next.Mode, o.change.Next.Parameters.Window, err)
		n.pump()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// sign makes the change, of the newest epoch that a node knows.
func (o *order) sign(up []*node) error {
	newest := up[0]
	for _, n := range up {
		if n.host.Replica().Epoch().Number > newest.host.Replica().Epoch().Number {
			newest = n
		}
	}
	r := newest.host.Replica()
	next := r.Epoch().Configuration
	next.Members = slices.Clone(next.Members)
	if o.Mode != "" {
		if err := next.Mode.UnmarshalText([]byte(o.Mode)); err != nil {
			return err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(o.Parameters)) {
		if err := next.Parameters.Set(fmt.Sprintf("%s=%d", name, o.Parameters[name])); err != nil {
			return err
		}
	}
	if message.ConfigurationDigest(&next) == message.ConfigurationDigest(&r.Epoch().Configuration) {
		o.same = true
		return nil
	}
	c := &message.Change{Chain: r.Epoch().Chain, Of: r.Epoch().ID, Next: next, Last: r.Head().Seq + 1<<16}
	c.Approve(o.w.scheme, o.w.operator)
	o.w.audit.changes[c.ID()] = true
	o.of, o.change = r.Epoch(), c
	return nil
}

// gatherTime is how long a node that is further than most is waited for: if it is, it shows the others. Package main's recover does the same.
const gatherTime = 8 * second

// newestLeft is a node that stands where most do, if those are enough for a recovery and nobody is further who shows it.
func (o *order) newestLeft(up []*node) (*node, error) {
	base, furthest := up[0], epoch.Seq(0)
	stand := make(map[crypto.Digest]int)
	for _, n := range up {
		h := n.host.Replica().Head()
		stand[h.Digest()]++
		furthest = max(furthest, h.Seq)
	}
	at := func(n *node) int { h := n.host.Replica().Head(); return stand[h.Digest()] }
	for _, n := range up {
		if at(n) > at(base) {
			base = n
		}
	}
	head, want := base.host.Replica().Head(), epoch.Quorum(epoch.Byzantine, o.w.epoch.N())
	if at(base) < want {
		return nil, fmt.Errorf("%d members stand at slot %d, and %d must stand at one: start the others, also those whose disks are new", at(base), head.Seq, want)
	}
	if furthest > head.Seq && o.w.now < o.begun+gatherTime {
		return nil, fmt.Errorf("%d members stand at slot %d, and a member is at slot %d", at(base), head.Seq, furthest)
	}
	return base, nil
}

// askToRecover asks for an end of the epoch where enough members stand, once they do.
func (o *order) askToRecover(up []*node) error {
	if o.recovery == nil {
		base, err := o.newestLeft(up)
		if err != nil {
			return err
		}
		r := base.host.Replica()
		e, head := r.Epoch(), r.Head()
		next := e.Configuration
		next.Mode, next.Members = epoch.Byzantine, slices.Clone(next.Members)
		for i := range next.Members {
			next.Members[i].Incarnation = o.w.nodes[i].incarnation
		}
		c := &message.Recovery{Chain: e.Chain, Of: e.ID, Next: next, Number: uint64(o.w.now / milli), Seq: head.Seq, Header: head.Digest()}
		for _, piece := range r.Evidence() {
			if piece.A.Epoch == e.ID {
				c.Evidence = append(c.Evidence, piece.ID())
			}
		}
		slices.SortFunc(c.Evidence, func(a, b crypto.Digest) int { return slices.Compare(a[:], b[:]) })
		c.Approve(o.w.scheme, o.w.operator)
		o.of, o.recovery = e, c
		o.w.audit.rewind(max(head.Seq, o.w.audit.of(base.id).ran))
		o.w.number, o.w.audit.begun = e.Number, e.Number
		o.w.audit.recoveries[c.ID()] = c
	}
	var errs []error
	for _, n := range up {
		err := n.host.Recover(o.recovery)
		o.w.tell(n, "is asked to end epoch %d at slot %d by force: %v", o.of.Number, o.recovery.Seq, err)
		n.pump()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
