package sim

// plan is what goes wrong, and until when. Which kinds of faults a world has is drawn first: one that has them all never
// gets far with any (Groce et al., Swarm Testing, ISSTA 2012).
type plan struct {
	until int64 // virtual time at which the world heals
	mean  int64 // between two faults
	crash bool  // crashes come so thick that nodes crash again while they recover
	quiet bool  // it ends with a power cut of all, and clients ask for nothing new after it
	core  bool  // before all heal, a quorum must go on by itself
	kinds []int // weights of faultKinds; 0: this world has none of them
}

// faultKind is one way in which things go wrong.
type faultKind struct {
	name   string
	weight int
	strike func(*World)
}

var faultKinds = []faultKind{
	{"crash", 45, func(w *World) { w.crashSome(1) }},
	{"crash-some", 15, func(w *World) { w.crashSome(1 + w.ofFaults.IntN(len(w.nodes))) }},
	{"crash-all", 10, (*World).crashAll},
	{"isolate", 20, func(w *World) { w.isolate(w.anyNode()) }},
	{"depose", 60, (*World).depose},
	{"one-way", 15, (*World).cutOneWay},
	{"split", 10, (*World).split},
	{"shape", 8, (*World).shape},
	{"flap", 10, (*World).flap},
	{"starve", 8, (*World).starve},
	{"slow-disk", 10, (*World).slowDisk},
	{"fail-sync", 8, (*World).failSync},
	{"fill-disk", 6, (*World).fillDisk},
	{"wipe", 4, (*World).wipe},
	{"restore", 4, (*World).restore},
	{"flip", 6, (*World).flipBit},
	{"clock", 5, (*World).jumpClock},
}

// healTime is how long the network may take to converge after it has healed.
const healTime = 15 * second

func drawPlan(c chance) plan {
	p := plan{
		until: c.between(60*second, 66*second),
		mean:  c.between(2*second, 6*second),
		crash: c.permille(150),
		quiet: c.permille(400),
		core:  c.permille(500),
	}
	for i := range faultKinds {
		weight := 0
		if i == 0 || c.permille(600) { // every world has some crashes
			weight = faultKinds[i].weight
		}
		p.kinds = append(p.kinds, weight)
	}
	return p
}

func (w *World) planFaults() {
	w.after(w.plan.until, nil, faults, 0, w.heal)
	w.after(w.ofFaults.about(w.plan.mean), nil, faults, 1, w.fault)
	w.after(w.ofFaults.about(4*second), nil, faults, 2, w.changeWeather)
}

func (w *World) changeWeather() {
	if w.healed {
		return
	}
	w.network.change(w.ofFaults)
	w.after(w.ofFaults.about(4*second), nil, faults, 2, w.changeWeather)
}

// fault has something go wrong, now and again. A fault that is left out is drawn all the same, so that those after it stay
// what they are.
func (w *World) fault() {
	if w.healed {
		return
	}
	w.after(w.ofFaults.about(w.plan.mean), nil, faults, 1, w.fault)
	kind := &changeKind
	if i := w.ofFaults.pick(w.plan.kinds...); i < len(faultKinds) {
		kind = &faultKinds[i]
	}
	w.struck++
	if w.leftOut[w.struck] {
		w.ofFaults = newChance(w.seed+uint64(w.struck)<<32, ofFaults)
		return
	}
	kind.strike(w)
	w.ofFaults = newChance(w.seed+uint64(w.struck)<<32, ofFaults) // whatever the strike has drawn
}

// jumpClock has a node's clock jump by up to an hour, or ten years. No more than f clocks are far off at a time: those that are
// behind hold back their votes for the others' proposals until some of these are voted for, and nobody votes for those of one that is ahead.
func (w *World) jumpClock() {
	n := w.anyNode()
	by := w.ofFaults.between(-3_600_000, 3_600_000)
	if w.ofFaults.permille(200) {
		by *= 10 * 24 * 365
	}
	far := func(n *node) bool { return n.clockOffset < -5000 || n.clockOffset > 5000 }
	off := 0
	for _, other := range w.nodes {
		if other != n && far(other) {
			off++
		}
	}
	if off >= w.epoch.N()-w.needed() {
		by = w.ofFaults.between(-2000, 2000)
	}
	w.counts.ClockJumps++
	w.tell(n, "has a clock that is %d ms off", by)
	n.clockOffset = by
}

func (w *World) crashSome(most int) {
	for range most {
		w.nodes[w.ofFaults.IntN(len(w.nodes))].doomed(w.drawPoint())
	}
}

// crashAll is a power cut: at one instant, or each node at the next moment of some kind.
func (w *World) crashAll() {
	w.counts.AllCrashes++
	at := w.drawPoint()
	w.tell(nil, "all crash")
	for _, n := range w.nodes {
		n.doomed(at)
	}
}

// point is a moment at which a node crashes.
type point int

const (
	atOnce     point = iota
	beforeSync       // what was appended is not synced
	afterSync        // it is, and nothing was sent
	beforeSend       // to some of the recipients it was
	afterSend        // to all of them, and nothing else was done
	afterExecute
	afterCommit
)

func (w *World) drawPoint() point { return point(w.ofFaults.pick(2, 5, 2, 2, 2, 2, 1)) }

// patience is how long a doomed node waits for its moment.
const patience = 300 * milli

func (n *node) doomed(at point) {
	if !n.up() || n.doom != atOnce {
		return
	}
	if at == atOnce {
		n.crash()
		return
	}
	n.doom = at
	n.after(patience, crashes, uint64(at), func() {
		if n.doom == at {
			n.crash()
		}
	})
}

// meets crashes the node if this is its moment.
func (n *node) meets(at point) bool {
	if n.doom != at {
		return false
	}
	if at == beforeSend && !n.w.ofCrashes.permille(400) {
		return false // a few more are sent
	}
	n.crash()
	return true
}

// crash ends the host. A power cut takes what was not synced, or some of it; the end of a process alone takes nothing.
func (n *node) crash() {
	w := n.w
	c := w.ofCrashes
	w.counts.Crashes++
	lost := !n.host.Idle() // what was staged, if nothing else
	unsynced := n.writing
	n.end()
	how := c.pick(15, 40, 5, 40)
	if how == 0 {
		n.disk.Kill()
		w.tell(n, "is killed")
	} else {
		loss := n.disk.Crash(func(choices int) int {
			switch how {
			case 1:
				return lose(choices)
			case 2:
				return 0
			default:
				return c.IntN(choices)
			}
		})
		if loss.Lost+loss.Torn+loss.Names > 0 {
			lost = true
			w.counts.LostCrashes++
		}
		groups := 0
		if unsynced {
			groups = 1
		}
		w.tell(n, "crashes: %d groups un-synced, %d sectors lost, %d torn", groups, loss.Lost, loss.Torn)
		if n.stale != nil && c.permille(150) {
			w.counts.StaleStates++
			n.state, n.stale = n.stale, nil
			w.tell(n, "loses the last %d commits of its machine", n.since+1)
		}
	}
	if lost {
		w.broken(n, n.auditMemory())
	}
	if !w.healed {
		w.after(n.downtime(), n, restarts, 0, n.restart)
	}
}

// end is that the process is gone, and what it had in memory.
func (n *node) end() {
	n.life++
	n.host, n.machine, n.doom, n.synced = nil, nil, atOnce, 0
	n.work, n.working, n.writing = nil, false, false
}

// downtime is how long a node is gone.
func (n *node) downtime() int64 {
	c := n.w.ofCrashes
	if c.permille(300) {
		return c.about(4 * second)
	}
	return c.about(400 * milli)
}

func (n *node) restart() {
	n.w.counts.Restarts++
	n.boot()
	if n.up() && n.w.plan.crash && !n.w.healed && n.w.ofCrashes.permille(300) {
		n.after(n.w.ofCrashes.about(100*milli), crashes, 0, func() {
			if !n.w.healed {
				n.crash()
			}
		})
	}
}

// auditMemory holds what the node would remember now against what it has said.
func (n *node) auditMemory() error {
	m, torn, err := readMemory(n.disk.Clone(), n.options)
	if err != nil {
		return breaks("boot", "%v", err)
	}
	if torn {
		n.w.counts.TornTails++
	}
	return n.w.audit.remembers(n.id, m)
}

// auditDurable looks whether the node would remember all that it has said if power failed now and took all that it can.
func (n *node) auditDurable() error {
	disk := n.disk.Clone()
	disk.Crash(lose)
	m, _, err := readMemory(disk, n.options)
	if err != nil {
		return breaks("boot", "%v", err)
	}
	return n.w.audit.remembers(n.id, m)
}

// lose is a power cut that takes all that it can.
func lose(choices int) int { return min(1, choices-1) }
