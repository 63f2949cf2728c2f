package paxos

import (
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
)

// plan is what a majority's promises settle: slots up to start are decided, and each of those behind it has its digest.
type plan struct {
	start epoch.Seq
	slots []settledSlot // from start+1 on
}

type settledSlot struct {
	digest  crypto.Digest
	view    epoch.View
	shownBy []epoch.ReplicaID // who has accepted it; nobody: it is the null batch
}

// settle takes, for each slot above the highest start, the vote of the highest view that anybody has accepted (§2.2, phase 2a), and the null batch
// where nobody has accepted any (§3, the no-op). It takes slots one by one: a member may know more of one, and less of another.
func settle(promises []*message.Signed) (p plan) {
	last := epoch.Seq(0)
	for _, m := range promises {
		if m == nil {
			continue
		}
		b := m.Body.(*message.PaxosPromise)
		p.start = max(p.start, b.Start)
		if n := len(b.Accepted); n > 0 {
			last = max(last, b.Accepted[n-1].Seq)
		}
	}
	if last <= p.start {
		return p
	}
	p.slots = make([]settledSlot, last-p.start)
	for i := range p.slots {
		p.slots[i].digest = nullDigest()
	}
	for _, m := range promises {
		if m == nil {
			continue
		}
		for _, v := range m.Body.(*message.PaxosPromise).Accepted {
			if v.Seq <= p.start {
				continue
			}
			switch s := &p.slots[v.Seq-p.start-1]; {
			case s.shownBy == nil || v.View > s.view:
				*s = settledSlot{v.Digest, v.View, []epoch.ReplicaID{m.Author}}
			case v.View == s.view:
				s.shownBy = append(s.shownBy, m.Author)
			}
		}
	}
	return p
}

func nullDigest() crypto.Digest { return message.NullBatch().Digest() }

func (p *plan) last() epoch.Seq { return p.start + epoch.Seq(len(p.slots)) }

// vote is the word of the leader of a view for a settled slot.
func (p *plan) vote(view epoch.View, seq epoch.Seq) (v message.Vote, ok bool) {
	if seq <= p.start || seq > p.last() {
		return v, false
	}
	return message.Vote{View: view, Seq: seq, Digest: p.slots[seq-p.start-1].digest}, true
}

// shownBy are those who have shown a settled batch: they have its transactions.
func (p *plan) shownBy(seq epoch.Seq, d crypto.Digest) []epoch.ReplicaID {
	if v, ok := p.vote(0, seq); !ok || v.Digest != d {
		return nil
	}
	return p.slots[seq-p.start-1].shownBy
}
