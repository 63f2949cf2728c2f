package bft

import (
	"cmp"
	"errors"
	"maps"
	"slices"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// An attestation is a member's word that it has executed everything through a header and holds the blocks; it counts
// for every header at or below it on that chain. A quorum of them acknowledges: any quorum asked later contains a
// correct member that has executed it. A quorum of them on exactly one multiple of K is a stable checkpoint: nobody
// needs the votes below it again.

var (
	errOldAttestation = errors.New("attestation to what is known already")
	errFarAttestation = errors.New("attestation beyond the window")
)

// attest is what a replica knows of attestations.
type attest struct {
	voices       []voice           // by member
	checkpoints  []checkpointVotes // the multiples of K within the window, by (seq/K) modulo their number
	stable       *proof.Checkpoint // the newest one; the genesis has no attestations and needs none
	target       *proof.Checkpoint // proven by others, and above this replica's head: to be compared when reached
	acknowledged epoch.Seq
	spokeAt      uint64 // tick of this replica's last attestation
}

// voice is one member's newest attestation on this replica's own chain, and what it has said of headers that this
// replica has not reached: of those the oldest and the newest, so that one of them is reached in the end, however
// fast the member goes on.
type voice struct {
	matched        *message.Signed
	seq            epoch.Seq // of matched
	oldest, newest *message.Signed
}

type checkpointVotes struct {
	seq   epoch.Seq
	tally ordering.Tally
}

// sayAttested attests headers. Each goes out after the blocks through it are durable: the contract of Effects.
func (r *Replica) sayAttested(headers []proof.Header) {
	if r.observes {
		return
	}
	for i := range headers {
		var to []epoch.ReplicaID
		if seq := headers[i].Seq; r.epoch.Acknowledgers() == 1 && !r.isCheckpoint(seq) && seq != r.sealed.seq {
			to = []epoch.ReplicaID{r.self} // its own word is enough, and nobody else needs it
		}
		r.sendTo(to, &message.Attestation{Seq: headers[i].Seq, Header: headers[i].Digest()})
	}
	r.attest.spokeAt = r.ticks
}

// onAttestation counts a member's word.
func (r *Replica) onAttestation(m *message.Signed, a *message.Attestation) error {
	if a.Seq <= r.attest.stable.Header.Seq {
		return errOldAttestation
	}
	p := &r.catchup.peers[m.Author-1]
	p.attested = max(p.attested, a.Seq)
	r.hear(m, a)
	r.acknowledge()
	defer r.tryEntry()
	if r.isCheckpoint(a.Seq) {
		return r.countCheckpoint(m, a)
	}
	return nil
}

// countCheckpoint counts an attestation to a multiple of K.
func (r *Replica) countCheckpoint(m *message.Signed, a *message.Attestation) error {
	if a.Seq-r.attest.stable.Header.Seq > epoch.Seq(r.epoch.Parameters.Window) {
		return errFarAttestation // a stable checkpoint comes with its proof, when it is time
	}
	c := r.checkpointVotes(a.Seq)
	if err := c.tally.Add(r.epoch.N(), a.Header, m); err != nil {
		r.accuse(c.tally.Of(m.Author), m)
		return err
	}
	r.decideCheckpoint(c, a.Header)
	return nil
}

func (r *Replica) checkpointVotes(seq epoch.Seq) *checkpointVotes {
	k := epoch.Seq(r.epoch.Parameters.Checkpoint)
	c := &r.attest.checkpoints[int(seq/k)%len(r.attest.checkpoints)]
	if c.seq != seq {
		*c = checkpointVotes{seq: seq}
	}
	return c
}

// decideCheckpoint looks whether a quorum attests this header.
func (r *Replica) decideCheckpoint(c *checkpointVotes, header crypto.Digest) {
	own, reached := r.chain[c.seq]
	if !reached || c.tally.Count(header) < r.epoch.Quorum() {
		return
	}
	if own.Digest() != header {
		r.diverged(c.seq, own.Digest(), header)
		return
	}
	r.becameStable(&proof.Checkpoint{Header: own, Attestations: c.tally.For(header, r.epoch.Quorum())})
}

// hear remembers a member's newest word.
func (r *Replica) hear(m *message.Signed, a *message.Attestation) {
	v := &r.attest.voices[m.Author-1]
	for _, before := range []*message.Signed{v.matched, v.oldest, v.newest} {
		if before != nil && attestedSeq(before) == a.Seq {
			r.accuse(before, m)
		}
	}
	switch {
	case a.Seq <= v.seq:
		return // it counts for what is below, and more than that is known
	case a.Seq > r.head.Seq:
		if v.oldest == nil {
			v.oldest = m
		} else if a.Seq > attestedSeq(v.oldest) {
			v.newest = m
		}
		return
	}
	if own, ok := r.chain[a.Seq]; ok && own.Digest() == a.Header {
		v.matched, v.seq = m, a.Seq
	}
}

func attestedSeq(m *message.Signed) epoch.Seq { return m.Body.(*message.Attestation).Seq }

// reachedHead looks again at what was said about headers that this replica had not reached.
func (r *Replica) reachedHead() {
	for i := range r.attest.voices {
		v := &r.attest.voices[i]
		for v.oldest != nil && attestedSeq(v.oldest) <= r.head.Seq {
			m := v.oldest
			v.oldest, v.newest = v.newest, nil
			r.hear(m, m.Body.(*message.Attestation))
		}
	}
	r.acknowledge()
	for _, seq := range r.openCheckpoints(r.attest.stable.Header.Seq) {
		c := r.checkpointVotes(seq)
		for _, id := range r.peers {
			if m := c.tally.Of(id); m != nil && !r.halted && seq > r.attest.stable.Header.Seq {
				r.decideCheckpoint(c, m.Body.(*message.Attestation).Header)
			}
		}
	}
	r.reachTarget()
	r.tryEntry()
}

// openCheckpoints lists the multiples of K above seq that this replica has reached and still counts attestations for.
func (r *Replica) openCheckpoints(seq epoch.Seq) []epoch.Seq {
	k := epoch.Seq(r.epoch.Parameters.Checkpoint)
	stable := r.attest.stable.Header.Seq
	last := min(r.head.Seq, stable+epoch.Seq(r.epoch.Parameters.Window))
	if seq >= last {
		return nil // a peer's claim, perhaps, from the end of all numbers
	}
	var open []epoch.Seq
	for c := (max(seq, stable)/k + 1) * k; c <= last; c += k {
		open = append(open, c)
	}
	return open
}

// acknowledge finds the newest slot that enough members have attested, or something above it.
func (r *Replica) acknowledge() {
	seqs := make([]epoch.Seq, len(r.attest.voices))
	for i := range r.attest.voices {
		seqs[i] = r.attest.voices[i].seq
	}
	if r.tainted() {
		return // one word is enough only while nobody lies
	}
	slices.SortFunc(seqs, func(a, b epoch.Seq) int { return cmp.Compare(b, a) })
	seq := seqs[r.epoch.Acknowledgers()-1]
	var votes []*message.Signed
	for i := range r.attest.voices {
		if v := &r.attest.voices[i]; v.seq >= seq && len(votes) < r.epoch.Acknowledgers() {
			votes = append(votes, v.matched)
		}
	}
	r.acknowledged(seq, votes)
}

func (r *Replica) acknowledged(seq epoch.Seq, votes []*message.Signed) {
	if seq > r.attest.acknowledged {
		r.attest.acknowledged = seq
		r.out.Acknowledged = &Acknowledgement{Seq: seq, Attestations: votes}
	}
}

// onCheckpoint takes in a checkpoint that Check has found valid.
func (r *Replica) onCheckpoint(c *proof.Checkpoint) {
	seq := c.Header.Seq
	if seq <= r.attest.stable.Header.Seq || !r.isCheckpoint(seq) {
		return
	}
	if t := r.attest.target; t == nil || seq < t.Header.Seq {
		// The nearest one counts: a replica that is far behind trims as it goes, and one that moves away for ever would
		// never be reached.
		r.attest.target = c
	}
	r.reachTarget()
}

// reachTarget compares this replica's own header with one that a quorum is known to have attested.
func (r *Replica) reachTarget() {
	t := r.attest.target
	if t == nil || t.Header.Seq > r.head.Seq {
		return
	}
	r.attest.target = nil
	own, ok := r.chain[t.Header.Seq]
	switch {
	case !ok:
		return // stable by now
	case own.Digest() != t.Header.Digest():
		r.diverged(t.Header.Seq, own.Digest(), t.Header.Digest())
	default:
		r.becameStable(t)
	}
}

// becameStable slides the window, and lets go of what is behind it: one Base record repeats all that is still live.
func (r *Replica) becameStable(c *proof.Checkpoint) {
	for seq := r.attest.stable.Header.Seq; seq <= c.Header.Seq; seq++ {
		delete(r.chain, seq)
	}
	r.attest.stable = c
	r.acknowledged(c.Header.Seq, c.Attestations)
	r.order.Stable(c)
	base := r.base()
	r.forgetBodies(base)
	r.out.Persist = append(append(append(r.out.Persist, base), r.order.Promises()...), r.evidenceRecords()...)
	if r.sealed.next != nil {
		r.out.Persist = append(r.out.Persist, &ordering.Sealed{Next: r.sealed.next, Forced: r.sealed.forced})
	}
	r.out.Trim = true
	r.note(StableAt{c.Header.Seq})
}

// forgetBodies is for decisions whose batches the log had, and has no longer: behind a Base, it knows of those only that a fact
// there names, or a block.
func (r *Replica) forgetBodies(base *ordering.Base) {
	named := make(map[crypto.Digest]bool)
	for _, f := range base.Facts {
		if v, ok := ordering.VoteOf(f); ok {
			named[v.Digest] = true
		}
	}
	for i := range r.executing {
		d := &r.executing[i]
		d.Logged = d.Logged && named[d.Batch.Digest()]
	}
	for _, seq := range slices.Sorted(maps.Keys(r.pending)) {
		d := r.pending[seq]
		d.Logged = d.Logged && named[d.Batch.Digest()]
		r.pending[seq] = d
	}
}

// base is everything that has no sequence number, and everything still live.
func (r *Replica) base() *ordering.Base {
	b := &ordering.Base{
		Birth: r.birth, Epoch: r.epoch, View: r.order.View(), Stable: r.attest.stable, Facts: r.order.Facts(),
	}
	for seq := r.attest.stable.Header.Seq + 1; seq <= r.head.Seq; seq++ {
		if r.isCheckpoint(seq) || seq == r.head.Seq {
			b.Headers = append(b.Headers, r.chain[seq])
		}
	}
	return b
}

// diverged stops this replica: what it executed is not what a quorum has. It keeps its files, for whoever looks into it.
func (r *Replica) diverged(seq epoch.Seq, own, quorum crypto.Digest) {
	r.halted = true
	r.out.Halt = &Divergence{Seq: seq, Own: own, Quorum: quorum}
}
