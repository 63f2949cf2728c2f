package sim

import "github.com/quorate/quorate/bft/epoch"

// Twins are two hosts with one key, each of them honest by itself: together they say whatever a liar could, in the order in which
// an honest replica would (Bano et al., Twins: BFT Systems Made Robust, OPODIS 2021).

// drawTwins gives up to f members a twin, in a fifth of the worlds.
func (w *World) drawTwins() {
	c := newChance(w.seed, ofTwins)
	if !c.permille(200) {
		return
	}
	for range 1 + c.IntN(w.epoch.Faulty()) {
		if n := w.nodes[c.IntN(w.epoch.N())]; w.twinOf(n.as) == nil {
			w.addTwin(n.as, c)
		}
	}
}

// addTwin gives a member a second host.
func (w *World) addTwin(of epoch.ReplicaID, c chance) {
	member := w.nodes[of-1]
	twin := newNode(w, len(w.nodes)+1, member.key, c)
	twin.as, twin.incarnation = of, member.incarnation
	w.counts.Twins++
	w.nodes = append(w.nodes, twin)
}

// twins are the hosts that are second ones.
func (w *World) twins() []*node { return w.nodes[w.epoch.N():] }

func (w *World) twinOf(of epoch.ReplicaID) *node {
	for _, twin := range w.twins() {
		if twin.as == of {
			return twin
		}
	}
	return nil
}

// lies says whether a member lies, or two hosts speak for it.
func (w *World) lies(id epoch.ReplicaID) bool { return w.audit.of(int(id)).lies }

func (n *node) lies() bool { return n.w.lies(n.as) }
