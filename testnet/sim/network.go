package sim

import (
	"encoding/binary"

	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/testnet/scenario"
)

// network carries messages between nodes. It loses, delays, duplicates and reorders them, more or less as the weather
// is, and links may be cut or starved, each way by itself.
type network struct {
	w *World
	chance
	links   []link // by sender and recipient
	weather weather
	lost    func(from, to *node, m *message.Signed) bool // what else does not arrive; nil: nothing
	arrived uint64
}

type link struct {
	delay   int64 // µs, when the weather is fair
	cuts    int   // reasons why it is dead
	starved int64 // µs that every message takes longer
	scenario.Link
	met       map[string]uint64 // how often a script's faults have met a message, by what they are
	last      int64             // when the newest message of those that keep their order arrives
	free      int64             // when what was sent before is through, if the link's bandwidth is bounded
	sent      uint64
	delivered uint64 // the highest number of what was sent
}

// weather is how bad things are for a while.
type weather struct {
	lost, twice int64 // per mille
	jitter      int64 // µs, the mean of what is added to a link's delay
	late        int64 // per mille of messages that are seconds late
}

var fair = weather{jitter: 200 * micro}

func newNetwork(w *World, c chance) network {
	nw := network{w: w, chance: newChance(w.seed, ofNetwork), weather: fair}
	base := c.between(100*micro, 8*milli)
	for range len(w.nodes) * len(w.nodes) {
		nw.links = append(nw.links, link{delay: c.between(base/2, base*2)})
	}
	return nw
}

// change draws other weather.
func (nw *network) change(c chance) {
	switch c.pick(3, 4, 2) {
	case 0:
		nw.weather = fair
	case 1:
		nw.weather = weather{lost: c.between(0, 60), twice: c.between(0, 60), jitter: c.between(milli, 10*milli), late: c.between(0, 5)}
	case 2:
		nw.weather = weather{lost: c.between(50, 250), twice: c.between(20, 150), jitter: c.between(milli, 40*milli), late: c.between(0, 20)}
	}
}

func (nw *network) link(from, to *node) *link { return &nw.links[(from.id-1)*len(nw.w.nodes)+to.id-1] }

// send takes a message on its way to one node; held is how long its sender holds it back, in µs.
func (nw *network) send(from, to *node, f *flight, way message.Way, held int64) {
	if to == from {
		return
	}
	l := nw.link(from, to)
	l.sent++
	if l.cuts > 0 || nw.lost != nil && nw.lost(from, to, f.message) {
		nw.w.counts.CutOff++
		return
	}
	if what := l.stops(nw); what != "" {
		l.meets(what)
		nw.w.counts.CutOff++
		return
	}
	if nw.permille(nw.weather.lost) {
		nw.w.counts.Lost++
		return
	}
	delay := held + l.delay + l.starved + nw.about(nw.weather.jitter)
	if way == message.Gossip {
		delay += nw.about(2 * l.delay)
	}
	if l.Link != (scenario.Link{}) {
		delay = nw.hinder(to, l, f, delay)
	}
	if nw.permille(nw.weather.late) {
		delay += nw.between(second/2, 7*second)
		if nw.permille(100) { // long after everybody has forgotten it
			delay += nw.between(10*second, 40*second)
			nw.w.counts.VeryLate++
		}
	}
	nw.deliver(to, l, f, delay)
	if nw.permille(nw.weather.twice) {
		nw.w.counts.Duplicated++
		nw.deliver(to, l, f, delay+nw.about(20*milli))
	}
}

// stops says what of a script's keeps a message from arriving, if anything does.
func (l *link) stops(nw *network) string {
	switch {
	case l.Cut:
		return scenario.CountStopped
	case l.Lost > 0 && nw.Float64() < l.Lost:
		return scenario.CountLost
	}
	return ""
}

func (l *link) meets(what string) {
	if l.met == nil {
		l.met = make(map[string]uint64)
	}
	l.met[what]++
}

// hinder is the delay of a message on a link that a script has made worse. Those that it does not want reordered stay in their order.
func (nw *network) hinder(to *node, l *link, f *flight, delay int64) int64 {
	longer := int64(0)
	later := func(by int64, counts string) {
		if longer += by; by > 0 {
			l.meets(counts)
		}
	}
	later(l.Delay.Microseconds(), scenario.CountDelayed)
	if l.Jitter > 0 {
		later(nw.Int64N(l.Jitter.Microseconds()+1), scenario.CountJittered)
	}
	if l.Bandwidth > 0 {
		l.free = max(l.free, nw.w.now) + f.size()*second/l.Bandwidth
		later(l.free-nw.w.now, scenario.CountHeldUp)
	}
	switch {
	case l.Reordered > 0 && nw.Float64() < l.Reordered:
		l.meets(scenario.CountReordered)
		longer += nw.between(milli, 50*milli)
	case l.last > nw.w.now+delay+longer:
		longer = l.last - nw.w.now - delay
	default:
		l.last = nw.w.now + delay + longer
	}
	if l.Twice > 0 && nw.Float64() < l.Twice {
		l.meets(scenario.CountTwice)
		nw.deliver(to, l, f, delay+longer+nw.about(20*milli))
	}
	return delay + longer
}

// size is how many bytes a message has on the wire.
func (f *flight) size() int64 {
	var b message.Writer
	f.message.Encode(&b)
	return int64(len(b.Bytes()))
}

// grow makes room for the links of a host more.
func (nw *network) grow(before int) {
	old := nw.links
	nw.links = make([]link, (before+1)*(before+1))
	for from := range before + 1 {
		for to := range before + 1 {
			l := &nw.links[from*(before+1)+to]
			if from < before && to < before {
				*l = old[from*before+to]
				continue
			}
			l.delay = old[0].delay
		}
	}
}

func (nw *network) deliver(to *node, l *link, f *flight, delay int64) {
	number := l.sent
	mark := binary.BigEndian.Uint64(f.message.Signature[:8])
	// To the node, not to a life of it: a message may outlive the process it was sent to.
	nw.w.queue.push(&event{at: nw.w.now + delay, node: to, life: anyLife, kind: delivers, mark: mark, act: func() {
		if !to.up() {
			nw.w.counts.Lost++
			return
		}
		if number < l.delivered {
			nw.w.counts.Reordered++
		}
		l.delivered = max(l.delivered, number)
		to.receive(f)
	}})
}
