package node

import (
	"errors"
	"time"

	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/node/host"
)

// stagedBytes is how much may wait for the log, about, before the core takes nothing more from outside. A disk that is
// slow then slows those who send down, instead of filling memory with what they send.
const stagedBytes = 8 << 20

// runCore steps the host. It is the only goroutine that touches it.
//
// What is durable, executed or ticked is taken always, or the others would wait for what waits for them; what comes
// from outside only while not too much is staged for the log.
func (n *Node) runCore() {
	defer close(n.groups)
	defer n.work.close()
	ticker := time.NewTicker(bft.TickMillis * time.Millisecond)
	defer ticker.Stop()
	n.tick(time.Now()) // the replica votes for nothing before it has looked at its clock
	n.handOver()
	for !n.over() {
		select {
		case g := <-n.written:
			n.release(n.host.Done(g))
		case <-n.results.ready:
			results := n.results.take()
			n.stages.executed(results)
			n.trace.executed(results)
			n.host.Executed(results)
		case now := <-ticker.C:
			n.tick(now)
			n.tellLost()
			n.publish()
		case <-n.outside():
			n.takeInbox()
		case <-n.inbox.closed:
			n.drain()
			return
		case <-n.ended:
			return
		}
		n.handOver()
	}
}

func (n *Node) tick(now time.Time) {
	n.host.Step(bft.Tick{Now: now.Add(n.faults.ClockOffset()).UnixMilli()})
}

// over says whether the node has ended: then nothing more is said, whatever else is ready.
func (n *Node) over() bool {
	select {
	case <-n.ended:
		return true
	default:
		return false
	}
}

// outside tells when something has come from outside; never while too much is staged.
func (n *Node) outside() <-chan struct{} {
	if n.host.Staged() >= stagedBytes {
		return nil
	}
	return n.inbox.ready
}

// coreTurn bounds how many events from outside are taken before the core looks at what else has happened.
const coreTurn = 64

// takeInbox takes in a turn's worth of events, if not too much is staged. It says whether there were any.
func (n *Node) takeInbox() bool {
	items := n.inbox.take(coreTurn, stagedBytes-n.host.Staged())
	now := n.trace.now()
	for _, item := range items {
		if item.call != nil {
			item.call(n.host)
			continue
		}
		if m, ok := item.event.(bft.Received); ok {
			n.trace.heard(m.Signed, n.windowEnd(), now)
		}
		n.host.Step(item.event)
	}
	return len(items) > 0
}

// windowEnd is the last slot that anybody may speak of usefully.
func (n *Node) windowEnd() epoch.Seq {
	r := n.host.Replica()
	return r.Stable().Header.Seq + epoch.Seq(r.Epoch().Parameters.Window)
}

// handOver gives the log what is staged, if it is free.
func (n *Node) handOver() {
	if g := n.host.Take(); g != nil {
		n.groups <- g // holds one, and one is out at a time: never blocks
	}
}

// drainTime bounds how long a stopping node waits for its log.
const drainTime = 200 * time.Millisecond

// drain takes what has come before the inbox was closed, and sends what rests on it once that is written.
func (n *Node) drain() {
	deadline := time.NewTimer(drainTime)
	defer deadline.Stop()
	for n.takeInbox() {
	}
	for range 2 { // one group may be out, and one staged behind it
		n.handOver()
		if n.host.Idle() || n.over() {
			return
		}
		select {
		case g := <-n.written:
			n.release(n.host.Done(g))
		case <-deadline.C:
			return
		case <-n.ended:
			return
		}
	}
}

// release carries out what rests on a durable group, in the order of the contract.
func (n *Node) release(r host.Released) {
	now := n.trace.now()
	n.trace.follow(r, now)
	for _, e := range r.Send {
		if err := n.capture.record("out", e.Message); err != nil {
			n.fail(err)
			return
		}
		n.send(e)
		if e.Message.Author == n.cfg.Self {
			n.trace.heard(e.Message, n.windowEnd(), now)
		}
	}
	for _, e := range r.Epochs {
		n.faults.Enter(e)
	}
	if len(r.Epochs) > 0 {
		n.checker.Store(n.host.Checker())
		n.quotas.enter(r.Epochs)
	}
	n.stages.follow(r)
	n.recent.durable(r.Blocks)
	n.work.add(r.Execute, r.Blocks)
	for _, q := range r.Read {
		n.others.Go(func() { n.serve(q) })
	}
	if r.Acknowledged != nil {
		n.recent.acknowledged(r.Acknowledged)
		n.publish()
	}
	for _, a := range r.Answers {
		n.waiters.answer(a)
	}
	n.report(r.Notes)
	if r.Halt != nil {
		n.fail(divergence(r.Halt))
	}
}

// serve reads blocks for a peer, no faster than its share. The core has one such call under way for each peer at most.
func (n *Node) serve(q bft.Read) {
	found, err := n.host.Blocks().Read(q)
	if lost := (*host.LostError)(nil); err != nil && !errors.As(err, &lost) { // if lost, the peer asks somebody else for the rest
		n.fail(err) // a block that was durable cannot be read: the disk is not to be trusted
		return
	}
	size := 0
	for _, b := range found.Blocks {
		size += b.Batch.Size()
	}
	if wait := n.quotas.of(q.For).serve(size, time.Now()); wait > 0 {
		select {
		case <-time.After(wait):
		case <-n.ended:
			return
		}
	}
	n.inbox.put(item{event: found})
}

// runLog appends and syncs all that is staged, then signs what goes out, and hands both back.
func (n *Node) runLog() {
	w := n.host.Writer()
	for g := range n.groups {
		if !g.Empty() {
			begun := time.Now()
			err := w.Append(g)
			if err == nil {
				err = w.Sync()
			}
			if err != nil {
				n.fail(err)
				return
			}
			n.metrics.syncs.Observe(time.Since(begun).Seconds())
		}
		w.Sign(g)
		n.written <- g // holds one, and one is out at a time: never blocks
	}
}
