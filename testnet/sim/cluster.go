package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime/debug"
	"slices"
	"time"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/store"
	"github.com/quorate/quorate/testnet/scenario"
)

// Cluster is a world that a fault script steers: nothing goes wrong but what the script breaks, and nobody asks for anything but its clients.
// All checkers look on.
type Cluster struct {
	w      *World
	begun  int64 // virtual time at which the script's begins
	out    io.Writer
	called bool // somebody was called back since Wait began
	people map[int]*client
	before map[string]uint64 // what has come about of faults that are over, by its key in Happened
}

var _ scenario.Cluster = (*Cluster)(nil)

// NewCluster is one that has not begun. Its story is told to out, if there is one.
func NewCluster(out io.Writer) *Cluster {
	return &Cluster{out: out, people: make(map[int]*client), before: make(map[string]uint64)}
}

// Start makes the network and has it run until the leader has seen its clock.
func (c *Cluster) Start(ctx context.Context, s scenario.Shape) error {
	o := Options{Nodes: s.Nodes, Honest: true, Trace: c.out, steered: true}
	if err := o.Mode.UnmarshalText([]byte(s.Mode)); err != nil {
		return err
	}
	p, err := ParametersOf(s)
	if err != nil {
		return err
	}
	o.parameters = &p
	c.w = newWorld(s.Seed, o)
	c.w.healed = true // no answer gets lost, no node restarts by itself
	c.w.start()
	if err := c.Wait(ctx, 100*time.Millisecond); err != nil {
		return err
	}
	c.begun = c.w.now
	return nil
}

// ParametersOf are those of a shape's genesis, or what is wrong with them.
func ParametersOf(s scenario.Shape) (epoch.Parameters, error) {
	p := epoch.DefaultParameters()
	for _, name := range ofTransactions {
		if _, ok := s.Parameters[name]; ok {
			return p, fmt.Errorf("%s stays as it is in scripts: their clients do not go by what it says of transactions", name)
		}
	}
	return p, set(&p, s.Parameters)
}

// ofTransactions are the parameters that say what one transaction may be.
var ofTransactions = []string{"write_set_bytes", "request_write_keys", "request_write_bytes", "nonce_window", "last_ahead"}

func set(p *epoch.Parameters, values map[string]uint32) error {
	var known []string
	for _, f := range p.Fields() {
		known = append(known, f.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if !slices.Contains(known, name) {
			return fmt.Errorf("no parameter is called %s: %s", name, scenario.Suggest(name, known))
		}
		if err := p.Set(fmt.Sprintf("%s=%d", name, values[name])); err != nil {
			return err
		}
	}
	return p.Validate()
}

// Close has nothing to do: a world holds nothing but memory.
func (c *Cluster) Close() error { return nil }

// Now is the virtual time since Start.
func (c *Cluster) Now() time.Duration { return time.Duration(c.w.now-c.begun) * time.Microsecond }

// ctxEvery is after how many events a run looks whether it is to go on.
const ctxEvery = 1 << 12

// Wait turns the world.
func (c *Cluster) Wait(ctx context.Context, d time.Duration) error {
	w := c.w
	c.called = false
	for until := w.now + int64((d+time.Microsecond-1)/time.Microsecond); w.violation == nil; { // never less than was asked for
		if len(w.queue.heap) == 0 || w.queue.heap[0].at > until {
			w.now = until
			break
		}
		c.turn()
		if c.called {
			break
		}
		if w.counts.Events%ctxEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if v := w.violation; v != nil {
		return &scenario.Violation{Check: scenario.Check(v.Checker), Node: v.Node, Text: v.Text}
	}
	return nil
}

// turn has the next event happen. What the core itself calls impossible is a violation like any other.
func (c *Cluster) turn() {
	w := c.w
	defer func() {
		if why := recover(); why != nil {
			w.broken(w.acting, breaks("invariant", "%v", why))
			w.tell(w.acting, "%s", debug.Stack())
		}
	}()
	w.turn()
}

func (c *Cluster) node(n int) *node { return c.w.nodes[n-1] }

var (
	errDown   = errors.New("it is down")
	errUp     = errors.New("it is up")
	errPaused = errors.New("it is paused")
	errRuns   = errors.New("it is not paused")
)

// running is the node if it is up and not paused.
func (c *Cluster) running(n int) (*node, error) {
	switch node := c.node(n); {
	case !node.up():
		return nil, errDown
	case node.paused:
		return nil, errPaused
	default:
		return node, nil
	}
}

// down is the node if it is down.
func (c *Cluster) down(n int) (*node, error) {
	if node := c.node(n); !node.up() {
		return node, nil
	}
	return nil, errUp
}

// Crash ends nodes as kill -9 does, or as a power cut those whose disks are to lose what was not synced.
func (c *Cluster) Crash(ids []int, done func(error)) {
	over := false
	all := func() {
		if !over {
			over, c.called = true, true
			done(c.crashAll(ids))
		}
	}
	for _, id := range ids {
		if n := c.node(id); n.up() && !n.paused && (n.loses || n.tears) {
			n.writes = all
			c.w.after(scenario.StrikePatience.Microseconds(), nil, crashes, uint64(id), func() {
				n.writes = nil
				all()
			})
			return
		}
	}
	all()
}

func (c *Cluster) crashAll(ids []int) error {
	for _, id := range ids {
		if !c.node(id).up() {
			return fmt.Errorf("node %d: %w", id, errDown)
		}
	}
	for _, id := range ids {
		c.crash(c.node(id))
	}
	return nil
}

func (c *Cluster) crash(n *node) {
	n.thaw()
	n.writes = nil
	n.end()
	var loss store.Loss
	switch {
	case n.tears:
		loss = n.disk.Crash(c.tear)
		n.tears = false
	case n.loses:
		loss = n.disk.Crash(lose)
	default:
		n.disk.Kill()
	}
	if loss.Lost+loss.Names > 0 {
		c.before[scenario.AtNode(scenario.CountUnsynced, n.id)]++
	}
	if loss.Torn > 0 {
		c.before[scenario.AtNode(scenario.CountTorn, n.id)]++
	}
	c.w.counts.Crashes++
	c.w.tell(n, "crashes: %d sectors lost, %d torn", loss.Lost, loss.Torn)
	c.w.broken(n, n.auditMemory())
}

// tear is a power cut in the middle of every write that was not synced.
func (c *Cluster) tear(choices int) int {
	switch choices {
	case 2: // names and sizes are kept, and what is new of a sector is its beginning
		return 0
	case 3:
		return 2
	default:
		return c.w.ofCrashes.IntN(choices)
	}
}

// Restart boots a node. One that refuses to start from a damaged disk says why, and stays down.
func (c *Cluster) Restart(n int) error {
	node, err := c.down(n)
	if err != nil {
		return err
	}
	c.w.counts.Restarts++
	node.disk.Fill(-1)
	node.boot()
	if why := node.refused; why != nil {
		node.refused = nil
		return fmt.Errorf("it refuses to start: %w", why)
	}
	return nil
}

// Stop ends a node in order.
func (c *Cluster) Stop(n int) error {
	node, err := c.running(n)
	if err != nil {
		return err
	}
	node.end()
	node.disk.Kill()
	c.w.tell(node, "stops")
	return nil
}

// Pause has nothing happen at a node until it is resumed.
func (c *Cluster) Pause(n int) error {
	node, err := c.running(n)
	if err == nil {
		node.paused = true
		c.w.tell(node, "is paused")
	}
	return err
}

// Resume has all happen at once that would have happened meanwhile.
func (c *Cluster) Resume(n int) error {
	node := c.node(n)
	if !node.paused {
		return errRuns
	}
	node.thaw()
	c.w.tell(node, "goes on")
	return nil
}

// thaw gives a paused node what has waited for it.
func (n *node) thaw() {
	n.paused = false
	for _, e := range n.waits {
		e.at = n.w.now
		n.w.queue.push(e)
	}
	n.waits = nil
}

// Twin boots a second host with a member's key and a copy of its disk.
func (c *Cluster) Twin(n int) error {
	w, member := c.w, c.node(n)
	switch {
	case w.twinOf(member.as) != nil:
		return errors.New("it has a twin already")
	case member.replaced:
		return errors.New("it has no log of its own that its twin could speak from: start it first")
	}
	w.addTwin(member.as, newChance(w.seed, ofTwins))
	twin := w.twinOf(member.as)
	twin.disk, twin.state = member.disk.Clone(), member.state.Clone()
	twin.disk.Kill()
	w.network.grow(len(w.nodes) - 1)
	for _, other := range w.nodes { // what ails a member's links ails its twin's
		if other != twin && other != member {
			w.network.link(twin, other).Link = w.network.link(member, other).Link
			w.network.link(other, twin).Link = w.network.link(other, member).Link
		}
	}
	w.audit.hosts = append(w.audit.hosts, witness{incarnation: twin.incarnation})
	w.audit.of(n).lies, w.audit.of(twin.id).lies = true, true
	twin.boot()
	return nil
}

// Link sets how messages fare from one member to another, whichever of their hosts.
func (c *Cluster) Link(from, to int, l scenario.Link) error {
	for _, a := range c.w.nodes {
		for _, b := range c.w.nodes {
			if int(a.as) == from && int(b.as) == to {
				c.w.network.link(a, b).Link = l
			}
		}
	}
	return nil
}

// Clock sets how far a node's wall clock is off.
func (c *Cluster) Clock(n int, offset time.Duration) error {
	c.node(n).clockOffset = offset.Milliseconds()
	return nil
}

// Look is how a node is.
func (c *Cluster) Look(n int) scenario.Look {
	node := c.node(n)
	switch {
	case !node.up():
		return scenario.Look{State: scenario.Down}
	case node.paused:
		return scenario.Look{State: scenario.Paused}
	}
	r := node.host.Replica()
	l := scenario.Look{
		State: scenario.Up, Role: r.Role().String(), Leader: int(r.Leader()), View: uint64(r.View()),
		Epoch: r.Epoch().Number, Mode: r.Epoch().Mode.String(), Seq: uint64(r.Head().Seq),
	}
	if r.Observes() {
		l.Role = "observer"
	}
	return l
}

// Metrics are some of those that a node has.
func (c *Cluster) Metrics(n int) (map[string]float64, error) {
	node, err := c.running(n)
	if err != nil {
		return nil, err
	}
	r := node.host.Replica()
	pool, bytes := r.Pooled()
	return map[string]float64{
		"quorate_seq": float64(r.Head().Seq), "quorate_view": float64(r.View()), "quorate_epoch": float64(r.Epoch().Number),
		"quorate_evidence": float64(len(r.Evidence())), "quorate_pool_transactions": float64(pool), "quorate_pool_bytes": float64(bytes),
		"quorate_log_syncs_total": float64(node.synced),
	}, nil
}

// Accused are the members that a node holds evidence against.
func (c *Cluster) Accused(n int) ([]int, error) {
	node, err := c.running(n)
	if err != nil {
		return nil, err
	}
	var all []int
	for _, e := range node.host.Replica().Evidence() {
		if id := int(e.A.Author); !slices.Contains(all, id) {
			all = append(all, id)
		}
	}
	slices.Sort(all)
	return all, nil
}

// Happened is how often faults have come about.
func (c *Cluster) Happened() map[string]uint64 {
	all := maps.Clone(c.before)
	for _, from := range c.w.nodes {
		for _, to := range c.w.nodes {
			if from.as == to.as {
				continue
			}
			for count, n := range c.w.network.link(from, to).met {
				all[scenario.OnLink(count, int(from.as), int(to.as))] += n
			}
		}
		all[scenario.AtNode(scenario.CountSlowed, int(from.as))] += from.slowed
		all[scenario.AtNode(scenario.CountFailed, int(from.as))] += from.failed
		all[scenario.AtNode(scenario.CountFull, int(from.as))] += from.filled
		from.tellLies(all)
	}
	return all
}

// Digest is that of the world's trace.
func (c *Cluster) Digest() string {
	c.w.trace.fact(c.w.audit.newest())
	return c.w.trace.digest().String()
}

// Check goes through what the nodes hold. The checkers look on all the time; this reads the chains that are there once more.
func (c *Cluster) Check(_ context.Context, what scenario.Check) error {
	for _, n := range c.w.nodes {
		if !n.up() || n.lies() {
			continue
		}
		var err error
		switch what {
		case scenario.Agreement:
			head := n.host.Replica().Head()
			err = c.w.audit.head(&head)
		case scenario.Durability:
			err = c.w.audit.holdsIn(n.host.Blocks(), n.host.Blocks().Last()) // it may be behind
		case scenario.ExactlyOnce:
			err = c.w.audit.onceOnly()
		}
		if c.w.broken(n, err); c.w.violation != nil {
			return c.Wait(context.Background(), 0)
		}
	}
	return nil
}

// onceOnly counts executions over the whole chain, by the outcomes that were seen.
func (a *auditor) onceOnly() error {
	executed := make(map[crypto.Digest]epoch.Seq)
	for seq := range a.slots {
		for i := range a.slots[seq].outcomes {
			o := &a.slots[seq].outcomes[i]
			if !o.Status.Executed() {
				continue
			}
			if at, twice := executed[o.ID]; twice {
				return breaks("exactly-once", "transaction %s is executed at slot %d and at slot %d", o.ID.Short(), at, seq)
			}
			executed[o.ID] = epoch.Seq(seq)
		}
	}
	return nil
}
