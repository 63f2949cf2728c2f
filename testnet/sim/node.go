package sim

import (
	"errors"

	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/node/host"
	"github.com/quorate/quorate/statemachine"
	"github.com/quorate/quorate/statemachine/kv"
	"github.com/quorate/quorate/store"
	"github.com/quorate/quorate/testnet/adversary"
)

// folder is where a node's log is on its disk.
const folder = "log"

// node is a machine on which a host runs, or has run and will again. It drives its host as the real driver does: what
// is staged is appended, synced, signed and released, each as an event of its own, so that every order of crash, sync
// and send occurs.
type node struct {
	w           *World
	id          int             // its number among the hosts
	as          epoch.ReplicaID // whose key it has: with a twin, another host has it too
	key         crypto.PrivateKey
	incarnation epoch.Incarnation
	options     store.Options

	// What outlives a crash.
	disk  *store.Memory
	state *statemachine.MemoryBacking
	stale *statemachine.MemoryBacking // as it was some commits ago
	since int                         // commits since then

	old      *store.Memory   // a copy of the disk as it was
	liar     *adversary.Liar // nil: it is honest
	forgot   bool            // its first log is gone: it observes
	flipped  bool            // a bit of its log was changed, and it has not started since
	replaced bool            // its disk is not the one that it has last written to
	full     bool            // its disk has hardly any room
	slowBy   int64           // µs that a sync takes longer
	loses    bool            // a crash takes what was not synced,
	tears    bool            // and the next one some of it
	slowed   uint64          // syncs
	failed   uint64          // syncs, that have ended it
	filled   uint64          // writes without room, that have ended it
	synced   uint64          // times, in this life
	writes   func()          // happens when it has written something that is not synced; nil: nothing does
	paused   bool            // what happens to it waits
	waits    []*event
	refused  error // why it did not start

	// What does not.
	host    *host.Host // nil while the node is down
	life    int
	machine *statemachine.Replicated
	writing bool // appended, and not synced yet
	work    []task
	working bool
	durable epoch.Seq // blocks through here are durable
	given   epoch.Seq // the machine was told to commit through here
	waiting bool      // for a pause in which to tell it
	doom    point

	// Its character.
	clockOffset int64     // ms
	diskTime    int64     // µs, the mean of a sync
	diskStalls  int64     // per mille of syncs that take a third of a second more
	machineTime int64     // µs, the mean of a batch's execution
	commitSlots epoch.Seq // the machine is made durable after so many blocks,
	commitPause int64     // or so many µs after one
}

// task is something for the machine, in order.
type task struct {
	execute []bft.Execution
	commit  epoch.Seq
}

func newNode(w *World, id int, key crypto.PrivateKey, c chance) *node {
	n := &node{
		w: w, id: id, as: epoch.ReplicaID(id), key: key,
		options: store.Options{SegmentBytes: 16 << 10 << c.IntN(3)},
		disk:    store.NewMemory(), state: statemachine.NewMemory(),
		clockOffset: c.between(-2000, 2000),
		diskTime:    c.between(200*micro, 4*milli),
		diskStalls:  5,
		machineTime: c.between(50*micro, 2*milli),
		commitSlots: epoch.Seq(c.between(1, 32)),
		commitPause: c.between(milli, 400*milli),
	}
	drawn := c.bytes()
	copy(n.incarnation[:], drawn[:])
	if c.permille(100) {
		n.machineTime = 20 * milli // slower than the network
	}
	if c.permille(100) {
		n.diskTime = 20 * milli
	}
	return n
}

func (n *node) up() bool { return n.host != nil }

// boot starts the host on what the disk and the machine's backing hold.
func (n *node) boot() {
	if err := n.recall(); err != nil {
		n.refuses(err)
		return
	}
	machine, err := statemachine.Open(n.state, kv.Machine{}, host.Limits(n.w.epoch.Parameters))
	if err == nil {
		n.machine = machine
		n.host, err = host.Open(host.Config{
			Self: n.as, Genesis: n.w.genesis, Key: n.key, Scheme: n.w.scheme,
			FS: n.disk, Dir: folder, Log: n.options, State: machine, Notes: true,
		})
	}
	if err != nil {
		n.refuses(err)
		return
	}
	found := n.host.Recovery()
	n.w.counts.Mended += len(found.Mended)
	n.w.counts.LostBatches += len(found.Lost)
	n.flipped = false // the bit was one that does not matter, or was mended
	head := n.host.Replica().Head()
	n.durable, n.given, n.waiting = head.Seq, epoch.Seq(machine.Committed().Seq), false
	n.w.tell(n, "starts at slot %d", head.Seq)
	r := n.host.Replica()
	for _, p := range r.History() {
		n.w.broken(n, n.w.audit.sawEpoch(p.Epoch))
	}
	n.w.broken(n, n.w.audit.sawEpoch(r.Epoch()))
	if next := r.Next(); next != nil {
		n.w.broken(n, n.w.audit.sawEpoch(next))
	}
	if n.w.violation != nil {
		return
	}
	if n.forgot = r.Epoch().Member(n.as).Incarnation != n.incarnation; r.Observes() != n.forgot {
		n.w.broken(n, breaks("promises", "votes although it has forgotten, or observes although it has not"))
		return
	}
	n.w.broken(n, n.w.audit.booted(n.id, &head, n.host.Replica().Stable(), machine.Applied()))
	n.after(n.w.ofDisks.between(0, 10*milli), ticks, 0, n.tick)
	n.pump()
}

func (n *node) after(delay int64, k kind, mark uint64, act func()) { n.w.after(delay, n, k, mark, act) }

const tickMicros = bft.TickMillis * milli

func (n *node) tick() {
	n.after(tickMicros, ticks, 0, n.tick)
	n.step(bft.Tick{Now: birthday + n.w.now/milli + n.clockOffset})
}

func (n *node) step(e bft.Event) {
	n.host.Step(e)
	n.pump()
}

// pump carries on with whatever the host has staged.
func (n *node) pump() {
	for n.up() {
		g := n.host.Take()
		switch {
		case g == nil:
			return
		case g.Empty():
			n.host.Writer().Sign(g)
			n.carryOut(n.host.Done(g))
		default:
			n.after(n.w.ofDisks.about(20*micro), appends, 0, func() { n.append(g) })
			return
		}
	}
}

func (n *node) append(g *host.Group) {
	if err := n.host.Writer().Append(g); err != nil {
		n.diskFailed(err)
		return
	}
	n.writing = true
	if n.meets(beforeSync) {
		return
	}
	if n.writes != nil {
		n.writes()
		return
	}
	delay := n.w.ofDisks.about(n.diskTime) + n.slowBy
	if n.slowBy > 0 {
		n.slowed++
	}
	if n.w.ofDisks.permille(n.diskStalls) {
		delay += 300 * milli
	}
	n.after(delay, syncs, 0, func() { n.sync(g) })
}

func (n *node) sync(g *host.Group) {
	if err := n.host.Writer().Sync(); err != nil {
		n.diskFailed(err)
		return
	}
	n.writing = false
	n.synced++
	if n.meets(afterSync) {
		return
	}
	n.after(n.w.ofDisks.about(20*micro), releases, 0, func() {
		n.host.Writer().Sign(g)
		n.carryOut(n.host.Done(g))
		n.pump()
	})
}

// carryOut does what a host has released, in order.
func (n *node) carryOut(r host.Released) {
	w := n.w
	for _, note := range r.Notes {
		if sealed, ok := note.(bft.SealedEpoch); ok { // what is sent may be of that epoch
			w.broken(n, w.audit.sawEpoch(sealed.Next))
		}
	}
	for i := range r.Send {
		if n.meets(beforeSend) {
			return
		}
		n.send(&r.Send[i])
	}
	if n.meets(afterSend) {
		return
	}
	if len(r.Blocks) > 0 {
		n.durable = r.Blocks[len(r.Blocks)-1].Seq
		w.broken(n, n.auditBlocks(n.durable))
		n.commitSoon()
	}
	if len(r.Execute) > 0 {
		n.give(task{execute: r.Execute})
	}
	for _, q := range r.Read {
		n.after(w.ofDisks.about(n.diskTime), reads, uint64(q.From), func() { n.read(q) })
	}
	if r.Acknowledged != nil {
		w.broken(n, w.audit.acknowledged(n.id, r.Acknowledged))
	}
	for _, note := range r.Notes {
		w.note(n, note)
		if _, stable := note.(bft.StableAt); stable {
			w.broken(n, w.audit.stable(n.host.Replica().Stable()))
		}
	}
	if r.Halt != nil {
		w.broken(n, breaks("agreement", "halts at slot %d: executed %s, a quorum attests %s",
			r.Halt.Seq, r.Halt.Own.Short(), r.Halt.Quorum.Short()))
	}
	for i := range r.Answers {
		w.answer(n, &r.Answers[i])
	}
}

// auditBlocks shows the checkers every block that has become durable.
func (n *node) auditBlocks(through epoch.Seq) error {
	for seq := n.w.audit.durable(n.id) + 1; seq <= through; seq++ {
		b, ok, err := n.host.Blocks().Block(seq)
		if err != nil || !ok {
			return breaks("durability", "block %d cannot be read: %v", seq, err)
		}
		if err := n.w.audit.block(n.id, b); err != nil {
			return err
		}
	}
	return nil
}

// commitSoon has the machine commit, now or later: its commits may lag behind the blocks.
func (n *node) commitSoon() {
	if n.durable >= n.given+n.commitSlots {
		n.commitNow()
		return
	}
	if n.waiting {
		return
	}
	n.waiting = true
	n.after(n.w.ofMachines.about(n.commitPause), machineWorks, 1, func() {
		n.waiting = false
		n.commitNow()
	})
}

func (n *node) commitNow() {
	if n.durable > n.given {
		n.given = n.durable
		n.give(task{commit: n.given})
	}
}

// give hands the machine something to do after all that it was given before.
func (n *node) give(t task) {
	n.work = append(n.work, t)
	if !n.working {
		n.startWork()
	}
}

func (n *node) startWork() {
	n.working = true
	n.after(n.w.ofMachines.about(n.machineTime), machineWorks, 0, n.doWork)
}

func (n *node) doWork() {
	n.working = false
	t := n.work[0]
	n.work = n.work[1:]
	if len(n.work) > 0 {
		n.startWork()
	}
	if t.commit > 0 {
		n.commit(t.commit)
		return
	}
	for _, e := range t.execute {
		if err := n.w.audit.next(n.id, e.Seq); err != nil {
			n.w.broken(n, err)
			return
		}
	}
	results, err := n.host.Executor().Run(t.execute)
	if err != nil {
		n.w.broken(n, breaks("boot", "execute: %v", err))
		return
	}
	for i := range results {
		if err := n.w.audit.outcome(n.id, t.execute[i], &results[i]); err != nil {
			n.w.broken(n, err)
			return
		}
		n.w.tell(n, "executes slot %d", results[i].Seq)
	}
	if n.meets(afterExecute) {
		return
	}
	n.host.Executed(results)
	head := n.host.Replica().Head()
	n.w.broken(n, n.w.audit.head(&head))
	n.pump()
}

// staleAfter is how many commits a machine may lose in a power cut, if its database lags behind.
const staleAfter = 6

func (n *node) commit(seq epoch.Seq) {
	if n.since++; n.stale == nil || n.since >= staleAfter {
		n.stale, n.since = n.state.Clone(), 0
	}
	if err := n.host.Executor().Commit(seq); err != nil {
		n.w.broken(n, breaks("boot", "commit: %v", err))
		return
	}
	n.meets(afterCommit)
}

func (n *node) read(q bft.Read) {
	found, err := n.host.Blocks().Read(q)
	if lost := (*host.LostError)(nil); errors.As(err, &lost) {
		n.step(bft.Lost{Seqs: []epoch.Seq{lost.Seq}})
	} else if err != nil {
		n.w.broken(n, breaks("durability", "%v", err))
		return
	}
	n.step(found)
}

// send shows the checkers what leaves, and hands it to the network.
func (n *node) send(e *host.Envelope) {
	w := n.w
	first, err := w.audit.sent(n.id, e.Message)
	if err != nil {
		w.broken(n, err)
		return
	}
	if first {
		w.countSent(e.Message)
		w.tellSent(n, e.Message)
		if _, _, binds := promiseOf(e.Message); binds && w.ofCrashes.IntN(w.auditEvery) == 0 {
			w.broken(n, n.auditDurable())
		}
	}
	f := &flight{message: e.Message}
	if e.To != nil {
		for _, id := range e.To {
			for _, to := range w.nodes {
				if to.as == id && to.as != n.as {
					n.sendTo(to, f, e.Way)
				}
			}
		}
		return
	}
	for _, to := range w.nodes {
		if to.as != n.as {
			n.sendTo(to, f, e.Way)
		}
	}
}

// sendTo has a message on its way to one node, or what a liar makes of it.
func (n *node) sendTo(to *node, f *flight, way message.Way) {
	if n.liar == nil {
		n.w.network.send(n, to, f, way, 0)
		return
	}
	for _, word := range n.liar.Say(to.as, f.message) {
		lie := f
		if word.Message != f.message {
			lie = &flight{message: word.Message}
		}
		n.w.network.send(n, to, lie, way, word.DelayMillis*milli)
	}
}

// receive takes in a message from the wire.
func (n *node) receive(f *flight) {
	err := f.check(n)
	if err == errUnknown {
		n.step(bft.Foreign{})
		return
	}
	if err != nil {
		if n.w.lies(f.message.Author) {
			return
		}
		// Who does not lie says nothing that does not hold.
		n.w.broken(n, breaks("messages", "%s of node%d: %v", f.message.Body.Kind(), f.message.Author, err))
		return
	}
	m := f.message
	if n.liar != nil {
		if m = n.liar.Hear(m); m == nil {
			return
		}
	}
	n.step(bft.Received{Signed: m})
}

// flight is a message on its way, to one or many. Whether it holds is a function of its bytes alone, so the recipients
// share the verdict.
type flight struct {
	message *message.Signed
	checked bool
	err     error
}

// errUnknown is that a message is of an epoch that the node has not heard of.
var errUnknown = errors.New("of an epoch that is not known here")

// wireEvery is how many messages go as values for each one that goes as bytes.
const wireEvery = 64

func (f *flight) check(n *node) error {
	w := n.w
	in := n.host.Checker().Of(f.message.Epoch)
	if in == nil {
		return errUnknown
	}
	w.network.arrived++
	if w.network.arrived%wireEvery == 0 {
		var b message.Writer
		f.message.Encode(&b)
		m, err := n.host.Checker().Message(b.Bytes(), f.message.Author)
		if err != nil {
			return err
		}
		var again message.Writer
		m.Encode(&again)
		if string(again.Bytes()) != string(b.Bytes()) {
			return breaks("messages", "a message is encoded differently after it was decoded")
		}
		f.message = m
		return nil
	}
	if !f.checked {
		f.checked, f.err = true, bft.Check(f.message, in, w.scheme)
	}
	return f.err
}
