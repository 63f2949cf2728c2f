package host

import (
	"errors"
	"fmt"
	"slices"

	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/statemachine"
	"github.com/quorate/quorate/store"
)

// Create begins a member's log: its birth record names the member's key and the incarnation that the genesis must
// name. It is durable when Create returns.
func Create(fs store.FS, dir string, o store.Options, key crypto.PublicKey, incarnation epoch.Incarnation) error {
	birth := &ordering.Birth{Key: key, Incarnation: incarnation}
	return store.Create(fs, dir, store.Record{Kind: uint8(birth.Kind()), Payload: ordering.Encode(birth)}, o)
}

// errStateAhead is that the machine has executed what the log does not hold, which no crash can bring about: the
// machine is made durable after the log.
var errStateAhead = errors.New("the state is ahead of the log: one of the two was replaced")

// ErrCopied is that the log is a copy: what its member has promised since it was made, it does not tell.
var ErrCopied = errors.New("the log is a copy of the one that its member speaks from")

// Forgotten says whether a member that finds its log in dir so has forgotten what it promised, because there is none, or
// only a copy. It then has to begin another one, by Create with an incarnation of its own, and observes.
func Forgotten(fs store.FS, dir string) (bool, error) {
	copied, err := store.Copied(fs, dir)
	if errors.Is(err, store.ErrNoLog) {
		return true, nil
	}
	return copied, err
}

// Open boots a host from its log, its blocks and its machine, of which the machine may be behind: it is brought to the
// newest block first, and must come to the same digests.
func Open(cfg Config) (*Host, error) {
	b := &boot{w: &Writer{
		blocks: &store.Blocks{}, key: cfg.Key, scheme: cfg.Scheme, self: cfg.Self, epochs: make(map[crypto.Digest]*epoch.Epoch),
		bodies: make(map[crypto.Digest]store.Position),
	}, head: cfg.Genesis.Header()}
	log, found, err := store.Open(cfg.FS, cfg.Dir, cfg.Log, b.visit)
	if err != nil {
		return nil, err
	}
	if found.Copied {
		return nil, errors.Join(ErrCopied, log.Close())
	}
	b.w.log = log
	h, err := b.open(cfg, len(found.Lost) > 0)
	if err != nil {
		return nil, errors.Join(err, log.Close())
	}
	h.recovery = found
	return h, nil
}

// boot gathers what the log holds.
type boot struct {
	w    *Writer
	past []ordering.Record // live facts, without batches
	head proof.Header      // of the newest block
	gaps int               // blocks whose batches are not there

	entered []*ordering.Entered // all of them, from the genesis on
}

// visit sees every record once, in order. Batches are looked up later: a few are needed of very many.
func (b *boot) visit(at store.Position, r store.Record, live bool) error {
	switch kind := ordering.RecordKind(r.Kind); kind {
	case ordering.KindBodies:
		d, err := ordering.BodiesDigest(r.Payload)
		if err != nil {
			return err
		}
		b.w.bodies[d] = at
		b.w.blocks.Regain(d, at)
		return nil
	case ordering.KindDecided:
		header, err := ordering.DecidedHeader(r.Payload)
		if err != nil {
			return err
		}
		b.head = header
		if err := b.addBlock(header, at); err != nil {
			return err
		}
	case ordering.KindBase, ordering.KindEntered:
	default:
		if !live {
			return nil
		}
	}
	rec, err := ordering.Decode(ordering.RecordKind(r.Kind), append([]byte(nil), r.Payload...))
	if err != nil {
		return err
	}
	switch rec := rec.(type) {
	case *ordering.Base:
		b.w.addBase(rec, at)
	case *ordering.Entered:
		b.entered = append(b.entered, rec)
		b.w.epochs[rec.Epoch.ID] = rec.Epoch
	}
	if live {
		b.forgetFacts(rec)
		b.past = append(b.past, rec)
	}
	return nil
}

// forgetFacts lets go of facts about slots that stand in one append with a Base, and before it: it repeats those that are still live, and of the
// others the batches may be gone. An epoch begins with a Base that has none.
func (b *boot) forgetFacts(before ordering.Record) {
	switch before.(type) {
	case *ordering.Base, *ordering.Entered:
		b.past = slices.DeleteFunc(b.past, func(rec ordering.Record) bool {
			_, fact := ordering.VoteOf(rec)
			_, base := rec.(*ordering.Base)
			return fact || base
		})
	}
}

// addBlock notes where a block is. Its batch may be damaged: the log tells when all of it is read.
func (b *boot) addBlock(h proof.Header, at store.Position) error {
	if _, ok := b.w.bodies[h.Batch]; ok {
		return b.w.addBlock(h.Seq, h.Batch, at)
	}
	if err := b.w.blocks.Add(uint64(h.Seq), at, store.Position{}); err != nil {
		return err
	}
	b.gaps++
	b.w.blocks.Lose(uint64(h.Seq), h.Batch)
	return nil
}

// open makes a host of what the log holds. If it has lost batches, those of blocks that are executed are fetched later,
// and so are those of slots that are accepted only.
func (b *boot) open(cfg Config, damaged bool) (*Host, error) {
	blocks := &Blocks{log: b.w.log, index: b.w.blocks}
	if b.gaps > 0 && !damaged {
		return nil, fmt.Errorf("log: the batches of %d blocks are missing, the first of block %d, and nothing is damaged", b.gaps, blocks.Lost()[0])
	}
	past, err := b.withBatches(blocks, damaged)
	if err != nil {
		return nil, err
	}
	replica, effects, err := bft.New(bft.Config{
		Self: cfg.Self, Genesis: cfg.Genesis, Scheme: cfg.Scheme, History: b.history(), Notes: cfg.Notes,
	}, past)
	if err != nil {
		return nil, err
	}
	executor := &Executor{state: cfg.State, checkpoint: epoch.Seq(replica.Epoch().Parameters.Checkpoint)}
	if err := executor.catchUp(blocks, b.head, replica); err != nil {
		return nil, err
	}
	h := &Host{
		replica: replica, writer: b.w, executor: executor, blocks: blocks,
		checker: &Checker{self: cfg.Self, epochs: b.epochs(replica), scheme: cfg.Scheme},
		clients: newClients(cfg.State, replica.Epoch().Parameters),
	}
	h.clients.known = replica.Acknowledged() // the stable checkpoint is proven, and nobody will prove it again
	h.stage(effects)
	if err := h.remember(b.head.Seq); err != nil {
		return nil, err
	}
	if lost := blocks.Lost(); len(lost) > 0 {
		h.Step(bft.Lost{Seqs: lost})
	}
	return h, nil
}

// history are the epochs that are over.
func (b *boot) history() (past []bft.Past) {
	for i := 1; i < len(b.entered); i++ {
		past = append(past, bft.Past{Epoch: b.entered[i-1].Epoch, HandOver: b.entered[i].HandOver})
	}
	return past
}

// epochs are all that messages may be of.
func (b *boot) epochs(r *bft.Replica) (all []*epoch.Epoch) {
	for _, p := range r.History() {
		all = append(all, p.Epoch)
	}
	all = append(all, r.Epoch())
	if next := r.Next(); next != nil {
		all = append(all, next)
	}
	return all
}

// rememberedRequests is how many transactions of the newest blocks a replica is told of as it starts.
const rememberedRequests = 1 << 16

// remember tells the replica what the newest blocks have brought to an end: of a window, since a bundle that is older is not
// taken. The gossip brings it all once more to a member that restarts, and nobody would propose it again.
func (h *Host) remember(head epoch.Seq) error {
	var over [][]*message.Request // newest first
	known := 0
	window := epoch.Seq(h.replica.Epoch().Parameters.Window)
	for seq := head; seq > 0 && head-seq <= window && known < rememberedRequests; seq-- {
		block, ok, err := h.blocks.Block(seq)
		if lost := (*LostError)(nil); errors.As(err, &lost) {
			continue
		}
		if err != nil || !ok {
			return fmt.Errorf("boot: block %d: %w", seq, err)
		}
		var ended []*message.Request
		for _, q := range block.Batch.Requests {
			switch a, known, err := h.clients.lookUp(q, head); {
			case err != nil:
				return err
			case known && !errors.Is(a.Refusal, ErrNonceDistant) && !errors.Is(a.Refusal, ErrLastDistant):
				ended = append(ended, q)
			}
		}
		over = append(over, ended)
		known += len(ended)
	}
	for _, requests := range slices.Backward(over) {
		h.replica.Remember(requests)
	}
	return nil
}

// withBatches adds to the live facts the batches of slots that are accepted and in no block yet.
func (b *boot) withBatches(blocks *Blocks, damaged bool) ([]ordering.Record, error) {
	var past []ordering.Record
	need := func(f ordering.Record) error {
		a, ok := ordering.VoteOf(f)
		if !ok || a.Seq <= b.head.Seq {
			return nil
		}
		at, ok := b.w.bodies[a.Digest]
		if !ok && damaged {
			return nil // bft.New waits for it
		}
		if !ok {
			return fmt.Errorf("log: slot %d was accepted, but its batch %s is missing", a.Seq, a.Digest.Short())
		}
		rec, err := blocks.record(at)
		if err != nil {
			return err
		}
		past = append(past, rec)
		return nil
	}
	for _, rec := range b.past {
		past = append(past, rec)
		if err := need(rec); err != nil {
			return nil, err
		}
		if base, ok := rec.(*ordering.Base); ok {
			for _, f := range base.Facts {
				if err := need(f); err != nil {
					return nil, err
				}
			}
		}
	}
	return past, nil
}

// catchUp executes the blocks that the machine lacks, and holds what comes of them against their headers.
func (x *Executor) catchUp(blocks *Blocks, head proof.Header, r *bft.Replica) error {
	mark := x.state.Applied()
	if mark.Seq > uint64(head.Seq) {
		return fmt.Errorf("%w: it stands at %d, the newest block is %d", errStateAhead, mark.Seq, head.Seq)
	}
	time := int64(0)
	if mark.Seq > 0 {
		d, ok, err := blocks.Decision(epoch.Seq(mark.Seq))
		if err != nil || !ok {
			return fmt.Errorf("boot: the block that the state stands at: %w", err)
		}
		if err := sameOutcome(d.Header, mark); err != nil {
			return err
		}
		time = d.Header.Time
	}
	for seq := epoch.Seq(mark.Seq) + 1; seq <= head.Seq; seq++ {
		block, ok, err := blocks.Block(seq)
		if lost := (*LostError)(nil); errors.As(err, &lost) {
			return fmt.Errorf("boot: %w, and the state has to execute them again: bring back the disk, or move the folder data away and start again, to follow without a vote", err)
		}
		if err != nil || !ok {
			return fmt.Errorf("boot: block %d: %w", seq, err)
		}
		time = max(time, block.Header.Time)
		if _, err := x.run(bft.Execution{Seq: seq, Time: time, Batch: block.Batch, Rules: &r.EpochAt(seq).Parameters}); err != nil {
			return err
		}
		if err := sameOutcome(block.Header, x.state.Applied()); err != nil {
			return err
		}
		if seq%catchUpCommit == 0 || seq == head.Seq {
			if err := x.Commit(seq); err != nil {
				return err
			}
		}
	}
	return nil
}

// catchUpCommit is after how many blocks a machine that is catching up is made durable.
const catchUpCommit = 64

func sameOutcome(h proof.Header, m statemachine.Mark) error {
	if h.Batch != m.Batch || h.Results != m.Results || h.State != m.State {
		return fmt.Errorf("boot: block %d says results %s, state %s, but the machine has come to results %s, state %s: the state is damaged, or this program executes differently",
			h.Seq, h.Results.Short(), h.State.Short(), m.Results.Short(), m.State.Short())
	}
	return nil
}
