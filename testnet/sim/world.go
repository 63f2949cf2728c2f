package sim

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/node/host"
)

// Virtual time, in µs.
const (
	micro  int64 = 1
	milli        = 1000 * micro
	second       = 1000 * milli
)

// birthday is the wall clock at virtual time 0, in ms since 1970.
const birthday = 1_700_000_000_000

// World is n hosts, their disks, the network between them, and whoever uses them.
type World struct {
	seed    uint64
	ed25519 bool
	steps   int

	steered    bool // by a fault script: nothing is left to chance but times
	auditEvery int  // after so many promises of all nodes, the disk of one is looked at while it runs

	now    int64
	queue  queue
	trace  trace
	counts Counts

	scheme   crypto.Scheme
	genesis  *proof.Genesis
	epoch    *epoch.Epoch // the first one; later ones have the same members
	nodes    []*node      // by number; nodes[0] is node 1; behind those of the members come their twins
	network  network
	clients  []*client
	plan     plan
	mixed    bool // operators change epochs,
	switches bool // and the mode as well
	operator crypto.PrivateKey
	lost     *node             // the one that is left of a network whose other disks are gone; nil: they are not
	asked    *message.Recovery // for that
	layout   *layout           // of twins: nothing else goes wrong; nil: whatever chance draws
	audit    *auditor

	ofDisks, ofMachines, ofClients, ofFaults, ofCrashes chance

	struck  int          // faults so far, those left out as well
	leftOut map[int]bool // by number, from 1

	acting    *node      // whom the present event happens to
	number    uint64     // of the newest epoch that anybody has begun
	view      epoch.View // the highest that anybody has voted in there
	healed    bool
	over      bool
	violation *Violation
}

// newWorld draws a world.
func newWorld(seed uint64, o Options) *World {
	c := newChance(seed, ofWorld)
	w := &World{
		seed: seed, steps: o.Steps, leftOut: o.LeftOut, trace: newTrace(o.Trace),
		ed25519: seed%100 == 50 && !o.steered, auditEvery: 100, steered: o.steered,
		ofDisks: newChance(seed, ofDisks), ofMachines: newChance(seed, ofMachines), ofClients: newChance(seed, ofClients),
		ofFaults: newChance(seed, ofFaults), ofCrashes: newChance(seed, ofCrashes),
	}
	if o.Mode == 0 {
		o.Mode = epoch.Byzantine
	}
	if o.Mode == epoch.Crash {
		o.Honest = true
	}
	if w.mixed = o.Mix == MixEpochs; w.mixed {
		w.drawMix(&o)
	}
	n := o.minNodes() + c.IntN(MaxNodes-o.minNodes()+1)
	if o.Nodes != 0 {
		n = o.Nodes
	}
	if o.Twins {
		n, o.Honest = layoutMembers, true
		w.layout = layoutOf(seed)
		o.twins = []epoch.ReplicaID{w.layout.member}
	}
	plain := crypto.Modelled(c.bytes())
	if w.ed25519 {
		plain = crypto.Ed25519()
	}
	w.scheme = plain
	if w.ed25519 {
		w.scheme = crypto.NewVoteCache(plain, 1<<14)
	}
	w.genesis = &proof.Genesis{
		Chain: "sim", Test: true, Configuration: epoch.Configuration{Mode: o.Mode, Parameters: drawParameters(c)}, Time: birthday,
	}
	if o.parameters != nil {
		w.genesis.Parameters = *o.parameters
	}
	if w.mixed || w.steered {
		w.operator = crypto.NewPrivateKey(c.bytes())
		w.genesis.Operators, w.genesis.Threshold = []crypto.PublicKey{w.operator.Public()}, 1
	}
	for i := range n {
		key := crypto.NewPrivateKey(c.bytes())
		w.nodes = append(w.nodes, newNode(w, i+1, key, c))
		w.genesis.Members = append(w.genesis.Members, epoch.Member{
			Name: fmt.Sprintf("node%d", i+1), Key: key.Public(), PeerID: fmt.Sprintf("peer%d", i+1),
			Address: fmt.Sprintf("node%d:1", i+1), API: fmt.Sprintf("node%d:2", i+1), Incarnation: w.nodes[i].incarnation,
		})
	}
	if err := w.genesis.Validate(); err != nil {
		panic("sim: " + err.Error())
	}
	w.epoch = w.genesis.Epoch()
	if !o.Honest {
		w.drawTwins()
	}
	for _, id := range o.twins {
		w.addTwin(id, newChance(seed, ofTwins))
	}
	w.newAudit(plain)
	for _, twin := range w.twins() {
		w.audit.of(int(twin.as)).lies, w.audit.of(twin.id).lies = true, true
	}
	w.network = newNetwork(w, c)
	if w.plan = drawPlan(c); o.Mode == epoch.Crash {
		w.plan.mean /= 3 // elections are soon over: only faults that come thick meet one another's
	}
	if w.mixed {
		w.plan.kinds = append(w.plan.kinds, changeKind.weight)
		if w.switches && c.permille(250) {
			w.after(c.between(5*second, 40*second), nil, faults, 9, w.disaster)
		}
	}
	if !o.Honest {
		w.drawLiars()
	}
	if !w.steered {
		w.drawClients(c)
	}
	return w
}

// newAudit has a new auditor look at all hosts.
func (w *World) newAudit(scheme crypto.Scheme) {
	w.audit = newAuditor(w.genesis, len(w.nodes), scheme)
	for _, n := range w.nodes {
		w.audit.of(n.id).incarnation = n.incarnation
	}
}

// drawParameters chooses the network's parameters: often small ones, so that windows fill and checkpoints come often.
func drawParameters(c chance) epoch.Parameters {
	p := epoch.DefaultParameters()
	switch c.pick(4, 3, 2, 1) {
	case 0:
		p.Window, p.Checkpoint, p.Pipeline, p.Burst = 32, 8, 2, 4
	case 1:
		p.Window, p.Checkpoint, p.Pipeline, p.Burst = 64, 16, 4, 16
		p.BatchRequests = 3
	case 2: // the defaults
	case 3:
		p.Window, p.Checkpoint, p.Pipeline, p.Burst = 12, 4, 1, 2
		p.BatchRequests = 2
	}
	return p
}

// run lives through the world, to its end or to the first broken promise.
func (w *World) run() {
	defer func() {
		if why := recover(); why != nil {
			w.broken(w.acting, breaks("invariant", "%v", why))
			w.tell(w.acting, "%s", debug.Stack())
		}
	}()
	w.start()
	for _, c := range w.clients {
		w.clientWakes(c)
	}
	if w.layout != nil {
		w.planLayout()
	} else {
		w.planFaults()
	}
	for !w.over && w.violation == nil {
		w.turn()
		if w.steps > 0 && w.counts.Events >= w.steps {
			w.heal()
		}
	}
	w.countLies()
	w.counts.Commits, w.counts.OrderedTwice = int(w.audit.last()), w.audit.twice
}

// start gives every node a log and boots it.
func (w *World) start() {
	for _, n := range w.nodes {
		if err := host.Create(n.disk, folder, n.options, n.key.Public(), n.incarnation); err != nil {
			w.broken(n, breaks("boot", "create: %v", err))
			return
		}
		n.boot()
		if !w.steered {
			w.after(n.w.ofDisks.between(second, 10*second), n, faults, 7, n.backUp)
		}
	}
}

// turn has the next event happen.
func (w *World) turn() {
	e := w.queue.pop()
	w.now = e.at
	if e.node != nil && e.node.paused {
		e.node.waits = append(e.node.waits, e)
		return
	}
	if e.node != nil && e.life != anyLife && e.node.life != e.life {
		return
	}
	w.counts.Events++
	w.trace.event(e)
	w.acting = e.node
	e.act()
}

// after plans something that will happen to a node, or with nil to the world.
func (w *World) after(delay int64, n *node, k kind, mark uint64, act func()) {
	e := &event{at: w.now + delay, node: n, kind: k, mark: mark, act: act}
	if n != nil {
		e.life = n.life
	}
	w.queue.push(e)
}

// broken keeps the first broken promise, which ends the world.
func (w *World) broken(n *node, err error) {
	if err == nil || w.violation != nil {
		return
	}
	v := &Violation{Seed: w.seed, Micros: w.now, Checker: "boot", Text: err.Error()}
	if b := (*breach)(nil); errors.As(err, &b) {
		v.Checker, v.Text = b.checker, b.text
	}
	if n != nil {
		v.Node = n.id
	}
	w.violation = v
	w.tell(n, "BREAKS %s: %s", v.Checker, v.Text)
}
