package pbft

import (
	"slices"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
)

// plan is what a NewView settles: slots up to start are attested by a quorum, and each of those behind it has its digest.
type plan struct {
	start epoch.Seq
	slots []settledSlot // from start+1 on
}

type settledSlot struct {
	digest crypto.Digest
	view   epoch.View        // of the certificate
	voters []epoch.ReplicaID // who stood by it; nobody: it is the null batch
}

// settle computes what the ViewChanges of a quorum settle (§4.4): for each slot above the highest start the batch that was
// prepared in the highest view, whoever shows it, and the null batch where nobody shows any. It takes slots one by one,
// never one message's whole set: one may know more of one slot, and less of another.
func settle(changes []*message.Signed) (p plan) {
	last := epoch.Seq(0)
	for _, m := range changes {
		v := m.Body.(*message.ViewChange)
		p.start = max(p.start, v.Start)
		if n := len(v.Prepared); n > 0 {
			last = max(last, v.Prepared[n-1].Seq)
		}
	}
	if last <= p.start {
		return p
	}
	null := nullDigest()
	p.slots = make([]settledSlot, last-p.start)
	for i := range p.slots {
		p.slots[i].digest = null
	}
	for _, m := range changes {
		for _, c := range m.Body.(*message.ViewChange).Prepared {
			if c.Seq <= p.start {
				continue
			}
			if s := &p.slots[c.Seq-p.start-1]; s.voters == nil || c.View > s.view {
				*s = settledSlot{digest: c.Digest, view: c.View}
				for _, v := range c.Votes {
					s.voters = append(s.voters, v.Author)
				}
			}
		}
	}
	return p
}

func nullDigest() crypto.Digest { return message.NullBatch().Digest() }

func (p *plan) last() epoch.Seq { return p.start + epoch.Seq(len(p.slots)) }

// at is the digest that is settled for a slot.
func (p *plan) at(seq epoch.Seq) (crypto.Digest, bool) {
	if seq <= p.start || seq > p.last() {
		return crypto.Digest{}, false
	}
	return p.slots[seq-p.start-1].digest, true
}

// voters are those who stood by a settled batch: they have its transactions.
func (p *plan) voters(seq epoch.Seq, digest crypto.Digest) []epoch.ReplicaID {
	if d, ok := p.at(seq); !ok || d != digest {
		return nil
	}
	return slices.Clone(p.slots[seq-p.start-1].voters)
}

// settledVote is the word of this view's leader for a settled slot.
func (in *Instance) settledVote(seq epoch.Seq) (message.Vote, bool) {
	d, ok := in.settled.at(seq)
	return message.Vote{View: in.view, Seq: seq, Digest: d}, ok
}

// proposeSettled has the leader propose again what is settled, as soon as it has the batches.
func (in *Instance) proposeSettled() {
	for seq := in.delivered + 1; seq <= in.settled.last(); seq++ {
		v, ok := in.settledVote(seq)
		if !ok || !in.In(seq) {
			continue
		}
		if s := in.Slot(seq); s.Phase == message.Empty && !s.awaited {
			s.awaited = true
			in.await(v, nil, nil)
		}
	}
}
