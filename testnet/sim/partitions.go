package sim

// Faults of links. Each direction of a link may be cut for several reasons at once, and is whole again when the last of
// them ends.

// cut kills some links for a while; which says whether one is among them.
func (w *World) cut(mean int64, which func(from, to *node) bool) {
	var dead []*link
	for _, from := range w.nodes {
		for _, to := range w.nodes {
			if from != to && which(from, to) {
				dead = append(dead, w.network.link(from, to))
			}
		}
	}
	w.setDead(dead, 1)
	w.after(w.ofFaults.about(mean), nil, faults, 3, func() { w.setDead(dead, -1) })
}

func (w *World) setDead(links []*link, by int) {
	for _, l := range links {
		l.cuts = max(0, l.cuts+by) // 0: the world has healed meanwhile
	}
}

func (w *World) anyNode() *node { return w.nodes[w.ofFaults.IntN(len(w.nodes))] }

// depose cuts the leader off from all others.
func (w *World) depose() {
	w.counts.Depositions++
	w.isolate(w.nodes[w.epoch.Leader(w.view)-1])
}

// isolate cuts a node off from all others.
func (w *World) isolate(n *node) {
	w.counts.Isolations++
	w.tell(n, "is cut off")
	w.cut(1500*milli, func(from, to *node) bool { return from == n || to == n })
}

// cutOneWay kills one direction: of one link, or of all that a node says, or hears.
func (w *World) cutOneWay() {
	a, b := w.anyNode(), w.anyNode()
	w.counts.OneWays++
	switch w.ofFaults.IntN(3) {
	case 0:
		w.tell(a, "is no longer heard by node%d", b.id)
		w.cut(2*second, func(from, to *node) bool { return from == a && to == b })
	case 1:
		w.tell(a, "is no longer heard")
		w.cut(1500*milli, func(from, _ *node) bool { return from == a })
	case 2:
		w.tell(a, "no longer hears")
		w.cut(1500*milli, func(_, to *node) bool { return to == a })
	}
}

// split leaves two groups that do not hear of each other.
func (w *World) split() {
	side := make([]bool, len(w.nodes)+1)
	for _, n := range w.nodes {
		side[n.id] = w.ofFaults.permille(500)
	}
	w.counts.Splits++
	w.tell(nil, "the network splits")
	w.cut(1500*milli, func(from, to *node) bool { return side[from.id] != side[to.id] })
}

// shape leaves a ring, a star, a chain, all but one pair, or whatever links chance leaves.
func (w *World) shape() {
	hub, other, n := w.anyNode(), w.anyNode(), len(w.nodes)
	w.counts.Shapes++
	w.tell(hub, "is the hub of what is left")
	kind := w.ofFaults.IntN(5)
	w.cut(1500*milli, func(from, to *node) bool {
		apart := (from.id - to.id + n) % n
		switch kind {
		case 0: // a star
			return from != hub && to != hub
		case 1: // a ring
			return apart != 1 && apart != n-1
		case 2: // a chain
			return from.id-to.id != 1 && to.id-from.id != 1
		case 3: // a pair
			return from == hub && to == other || from == other && to == hub
		default:
			return w.ofFaults.permille(300)
		}
	})
}

// flap has a node's links go down and up again and again.
func (w *World) flap() {
	n, period, times := w.anyNode(), w.ofFaults.between(30*milli, 400*milli), 4+w.ofFaults.IntN(12)
	w.counts.Flaps++
	w.tell(n, "has flapping links")
	for i := range times {
		w.after(int64(i)*2*period, nil, faults, 4, func() {
			if !w.healed {
				w.cut(period, func(from, to *node) bool { return from == n || to == n })
			}
		})
	}
}

// starve makes all of a node's links slow.
func (w *World) starve() {
	n, by := w.anyNode(), w.ofFaults.between(30*milli, 300*milli)
	w.counts.Starvations++
	w.tell(n, "has slow links")
	set := func(by int64) {
		for _, other := range w.nodes {
			w.network.link(n, other).starved, w.network.link(other, n).starved = by, by
		}
	}
	set(by)
	w.after(w.ofFaults.about(2*second), nil, faults, 5, func() { set(0) })
}

// mend makes all links whole.
func (nw *network) mend() {
	nw.weather, nw.lost = fair, nil
	for i := range nw.links {
		nw.links[i].cuts, nw.links[i].starved = 0, 0
	}
}
