package bft

import (
	"cmp"
	"errors"
	"slices"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/bft/proof"
)

// Every replica tells the others by Status how far it is; whoever sees that a peer lacks something sends it again.
// Votes are sent again while neither has delivered the slot. What a peer has delivered is asked of it by Want, and
// comes as Have: blocks with certificates. A claim of height is a hint; only proven blocks are progress.

const (
	statusDueTicks  = 10  // between two Status while something is due
	statusIdleTicks = 100 // else
	// A replica asks for blocks when nothing was delivered for so long although a peer claims to be ahead: what is
	// merely under way should arrive by itself. From farGap on it does not wait.
	wantAfterTicks = 10
	farGap         = 64
	wantPatience   = 30 // ticks after which an unanswered Want is given up, and another peer asked
	wantBlocks     = 32 // asked for at a time
	// How long nothing is sent again to one peer after a checkpoint or an attestation was.
	againTicks = 20
)

var (
	errOldStatus   = errors.New("status of less than its author has told before")
	errNothingNew  = errors.New("nothing new in it")
	errAskedEnough = errors.New("asked for more while an earlier want is being served")
)

// catchup is what a replica knows of how far others are.
type catchup struct {
	peers     []peer // by member
	lastMoved uint64 // tick of the last delivery
	toldAt    uint64 // tick of the last Status

	foreignTil uint64 // until this tick this replica may have missed the end of its epoch

	asked   epoch.ReplicaID // whom a Want is out to; 0: nobody
	askedAt uint64
	last    epoch.ReplicaID // who was asked last
}

type peer struct {
	status     message.Status
	attested   epoch.Seq // the highest slot it has attested, and so executed
	serving    bool      // a Read for it is under way
	heardAt    uint64    // tick of its last Status
	againAt    uint64    // tick at which attestations or a checkpoint were last sent again to it
	fetched    int       // bytes of transactions sent to it at its wish, less what it was allowed since
	fetchedAt  uint64    // tick as of which
	uselessTil uint64    // it claimed what it could not show: not asked before this tick
	handedAt   uint64    // tick at which it was last told what follows an epoch that is over
}

// height is how far a peer claims to be.
func (p *peer) height() epoch.Seq { return max(p.status.Delivered, p.attested) }

func (c *catchup) progressed(now uint64) { c.lastMoved = now }

// behind is how many slots this replica is behind what so many members claim, one of whom is correct then.
func (c *catchup) behind(delivered epoch.Seq, witnesses int) uint64 {
	claims := make([]epoch.Seq, len(c.peers))
	for i := range c.peers {
		claims[i] = c.peers[i].height()
	}
	slices.SortFunc(claims, func(a, b epoch.Seq) int { return cmp.Compare(b, a) })
	return uint64(max(claims[witnesses-1], delivered) - delivered)
}

// tickCatchup tells the others how far this replica is, and asks for what it lacks.
func (r *Replica) tickCatchup() {
	since := r.ticks - r.catchup.toldAt
	if since >= statusIdleTicks || (since >= statusDueTicks && r.due()) || r.ticks == 1 {
		r.catchup.toldAt = r.ticks
		r.sendTo(r.peers, &message.Status{
			View: r.order.View(), Installed: r.order.Voting(), Delivered: r.head.Seq, Acknowledged: r.attest.acknowledged,
			Stable: r.attest.stable.Header.Seq, Progress: r.progress(),
		})
	}
	r.ask()
}

// progress is that of the slots above the newest executed one; those in execution are decided.
func (r *Replica) progress() []message.Phase {
	var all []message.Phase
	for range r.executing {
		all = append(all, message.Decided)
	}
	all = append(all, r.order.Progress()...)
	return all[:min(len(all), message.MaxProgress)]
}

// due says whether anything waits to happen that a lost message could hold up.
func (r *Replica) due() bool {
	return r.sealed.seq != 0 || r.ticks < r.catchup.foreignTil || !r.order.Voting() || r.pool.waiting > 0 || r.order.Open() > r.head.Seq || r.head.Seq > r.attest.acknowledged ||
		r.Behind() > 0
}

// ask sends a Want if this replica is behind and nothing moves.
func (r *Replica) ask() {
	c := &r.catchup
	if c.asked != 0 && r.ticks-c.askedAt < wantPatience {
		return
	}
	if c.asked != 0 {
		c.peers[c.asked-1].uselessTil = r.ticks + wantPatience
		c.asked = 0
	}
	if len(r.executing) >= maxExecuting/2 {
		return
	}
	waited := r.observes || r.ticks-c.lastMoved >= wantAfterTicks // for an observer nothing else is under way
	n := epoch.ReplicaID(r.epoch.N())
	for i := range n {
		id := (c.last+i)%n + 1
		p := &c.peers[id-1]
		if id == r.self || p.height() <= r.delivered || r.ticks < p.uselessTil {
			continue
		}
		if !waited && p.height()-r.delivered < farGap {
			continue
		}
		c.asked, c.last, c.askedAt = id, id, r.ticks
		to := min(p.height(), r.delivered+wantBlocks)
		r.sendTo([]epoch.ReplicaID{id}, &message.Want{From: r.delivered + 1, To: to})
		return
	}
}

// onStatus sends a peer again what it lacks.
func (r *Replica) onStatus(from epoch.ReplicaID, s *message.Status) error {
	if from == r.self {
		return nil
	}
	p := &r.catchup.peers[from-1]
	var err error
	if s.Delivered < p.status.Delivered || s.Stable < p.status.Stable {
		err = errOldStatus // what somebody repeats hides no height; but a member that has lost its log says so too, and needs help
	} else {
		p.status = *s
	}
	if from == r.order.Leader() && r.ticks-p.heardAt > deafTicks {
		r.pool.hurry()
		r.remind.at = r.ticks - min(r.ticks, maxRemindRound)
	}
	p.heardAt = r.ticks
	r.order.Help(from, s)
	r.attestAgain(from, p, s)
	return err
}

// attestAgain sends a peer the attestations, or the proof of a checkpoint, that it seems to have missed.
func (r *Replica) attestAgain(to epoch.ReplicaID, p *peer, s *message.Status) {
	if r.ticks-p.againAt < againTicks && p.againAt != 0 {
		return
	}
	if s.Stable < r.attest.stable.Header.Seq && r.attest.stable.Header.Seq > r.epoch.Base {
		p.againAt = r.ticks
		r.sendTo([]epoch.ReplicaID{to}, &message.Have{Checkpoint: proof.EncodeCheckpoint(r.attest.stable)})
	}
	if r.ticks-r.attest.spokeAt < statusDueTicks {
		return // what was said a moment ago is still on its way
	}
	for _, seq := range r.openCheckpoints(s.Stable) {
		r.sayAgain(to, p, r.checkpointVotes(seq).tally.Of(r.self))
	}
	if own := &r.attest.voices[r.self-1]; s.Acknowledged < own.seq {
		r.sayAgain(to, p, own.matched)
	}
}

func (r *Replica) sayAgain(to epoch.ReplicaID, p *peer, m *message.Signed) {
	if m != nil {
		p.againAt = r.ticks
		r.out.Send = append(r.out.Send, message.Outgoing{Again: m, To: []epoch.ReplicaID{to}, Epoch: r.epoch.ID})
	}
}

// onWant has blocks read for a peer, one request of each peer at a time.
func (r *Replica) onWant(from epoch.ReplicaID, q *message.Want) error {
	return r.serve(from, q, r.epoch, r.head.Seq)
}

// serve has blocks read of an epoch of which last is the newest slot here.
func (r *Replica) serve(from epoch.ReplicaID, q *message.Want, e *epoch.Epoch, last epoch.Seq) error {
	p := &r.catchup.peers[from-1]
	if p.serving {
		return errAskedEnough
	}
	p.serving = true
	r.out.Read = append(r.out.Read, Read{For: from, Epoch: e.ID, From: max(q.From, e.Base+1), To: min(q.To, last)})
	return nil
}

// onFound sends what was read; nothing as well, so that the peer asks somebody else at once.
func (r *Replica) onFound(f Found) {
	r.catchup.peers[f.For-1].serving = false
	have := &message.Have{}
	for _, b := range f.Blocks {
		have.Blocks = append(have.Blocks, proof.EncodeBlock(b))
	}
	if f.Checkpoint != nil {
		have.Checkpoint = proof.EncodeCheckpoint(f.Checkpoint)
	}
	r.out.Send = append(r.out.Send, message.Outgoing{Body: have, To: []epoch.ReplicaID{f.For}, Epoch: f.Epoch})
}

// onHave takes in blocks and checkpoints, whose certificates Check has found valid.
func (r *Replica) onHave(from epoch.ReplicaID, h *message.Have) error {
	before, missing := r.delivered, len(r.mend.seqs)
	if err := r.mendFrom(from, h); err != nil {
		return err
	}
	mended := missing > len(r.mend.seqs)
	for _, raw := range h.Blocks {
		if !r.lacks(proof.ReadHeader(message.NewReader(raw)).Seq) {
			continue // not worth taking apart
		}
		b, err := proof.DecodeBlock(raw)
		if err != nil {
			return err
		}
		r.learn(b)
	}
	r.deliverInOrder()
	if len(h.HandOver) > 0 {
		o, err := proof.DecodeHandOver(h.HandOver)
		if err != nil {
			return err
		}
		r.onHandOver(o)
		if r.epoch.ID != o.Header.Epoch {
			return nil // the next epoch has begun
		}
	}
	if len(h.Checkpoint) > 0 {
		c, err := proof.DecodeCheckpoint(h.Checkpoint)
		if err != nil {
			return err
		}
		r.onCheckpoint(c)
	}
	if len(h.Blocks) == 0 && len(h.Checkpoint)+len(h.HandOver) > 0 || mended && r.delivered == before {
		return nil // not what catching up has asked for
	}
	c := &r.catchup
	if c.asked == from {
		c.asked = 0
		if r.delivered == before {
			c.peers[from-1].uselessTil = r.ticks + wantPatience
			return errNothingNew
		}
		c.lastMoved = r.ticks - min(r.ticks, wantAfterTicks) // go on at once
		r.ask()
	}
	return nil
}

// lacks says whether a slot's block is of use: not decided here, and not so far ahead that it would only be kept.
func (r *Replica) lacks(seq epoch.Seq) bool {
	_, decided := r.pending[seq]
	return !decided && !r.sealedAt(seq) && seq > r.delivered && seq <= r.delivered+2*message.MaxHaveBlocks
}

// learn takes a block's word for what its slot decided, not for what came of it: that this replica finds out itself.
func (r *Replica) learn(b *proof.Block) {
	seq := b.Header.Seq
	logged := r.order.Learned(seq, b.Header.Batch)
	r.onDecided(ordering.Decision{
		View: b.View, Seq: seq, Batch: b.Batch, Certificate: b.Certificate, Logged: logged,
	}, true)
}
