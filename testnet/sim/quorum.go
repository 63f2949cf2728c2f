package sim

import (
	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// votes counts the distinct members among the authors, and verifies each vote, without the product's help.
func (a *auditor) votes(what string, seq epoch.Seq, in *rules, least int, votes []*message.Signed, agrees func(message.Body) bool) error {
	voted := make([]bool, a.members+1)
	n := 0
	for _, v := range votes {
		switch {
		case v == nil:
			return breaks("quorum", "%s of slot %d: a vote is missing", what, seq)
		case v.Author < 1 || int(v.Author) > a.members:
			return breaks("quorum", "%s of slot %d: a vote by %d, who is no member", what, seq, v.Author)
		case v.Chain != a.chain || v.Epoch != in.ID || v.Mode != in.Mode:
			return breaks("quorum", "%s of slot %d: a vote for another chain or epoch", what, seq)
		case !agrees(v.Body):
			return breaks("quorum", "%s of slot %d: a vote of node%d for something else", what, seq, v.Author)
		case !a.scheme.Verify(crypto.Claim{Key: a.keys[v.Author-1], Message: v.Bytes, Signature: v.Signature}):
			return breaks("quorum", "%s of slot %d: the signature of node%d does not hold", what, seq, v.Author)
		}
		if !voted[v.Author] {
			voted[v.Author] = true
			n++
		}
	}
	if n < least {
		return breaks("quorum", "%s of slot %d: votes of %d members, want %d of %d", what, seq, n, least, a.members)
	}
	return nil
}

// certified says whether a quorum has committed a block's batch to its slot, or in crash mode accepted it there.
func (a *auditor) certified(b *proof.Block) error {
	in := a.governs(b.Header.Seq)
	if b.Header.Epoch != in.ID {
		return breaks("configuration", "block %d is of epoch %s, its slot belongs to %s", b.Header.Seq, b.Header.Epoch.Short(), in.ID.Short())
	}
	return a.votes("certificate", b.Header.Seq, in, in.quorum, b.Certificate, func(body message.Body) bool {
		var vote message.Vote
		switch v := body.(type) {
		case *message.Commit:
			vote = v.Vote
		case *message.PaxosAccepted:
			if in.Mode != epoch.Crash {
				return false
			}
			vote = v.Vote
		}
		return vote == message.Vote{View: b.View, Seq: b.Header.Seq, Digest: b.Header.Batch}
	})
}

// prepared says whether a quorum stands behind what a replica holds prepared: the leader by its proposal, the others by
// their promise.
func (a *auditor) prepared(in *rules, p *ordering.Prepared) error {
	return a.votes("prepared certificate", p.Seq, in, in.quorum, p.Prepares, func(body message.Body) bool {
		switch b := body.(type) {
		case *message.PrePrepare:
			return b.Vote == p.Vote
		case *message.Prepare:
			return b.Vote == p.Vote
		}
		return false
	})
}

// stable says whether a quorum attests a checkpoint exactly.
func (a *auditor) stable(c *proof.Checkpoint) error {
	if c.Header.Seq == 0 {
		return nil
	}
	if err := a.head(&c.Header); err != nil {
		return err
	}
	if a.governs(c.Header.Seq+1).Base == c.Header.Seq && len(c.Attestations) == 0 {
		return nil // where an epoch begins: the hand-over proves it
	}
	in := a.governs(c.Header.Seq)
	return a.votes("checkpoint", c.Header.Seq, in, in.quorum, c.Attestations, func(body message.Body) bool {
		v, ok := body.(*message.Attestation)
		return ok && v.Seq == c.Header.Seq && v.Header == a.slots[v.Seq].header
	})
}

// acknowledged says whether a quorum attests the chain at a slot or above it.
func (a *auditor) acknowledged(host int, k *bft.Acknowledgement) error {
	if k.Seq > a.last() {
		return breaks("quorum", "acknowledges slot %d, which nobody has executed", k.Seq)
	}
	w := a.of(host)
	w.acknowledged = max(w.acknowledged, k.Seq)
	if after := a.governs(k.Seq + 1); len(k.Attestations) == 0 && after.Base == k.Seq && a.recoveries[after.ID] != nil {
		return nil // where operators have ended an epoch: a quorum of the next has attested it, as the hand-over shows
	}
	in := a.governs(k.Seq)
	least := in.quorum
	if in.Mode == epoch.Crash {
		least = 1 // what it has executed is accepted by a majority
	}
	return a.votes("acknowledgement", k.Seq, in, least, k.Attestations, func(body message.Body) bool {
		v, ok := body.(*message.Attestation)
		return ok && v.Seq >= k.Seq && v.Seq <= a.last() && v.Header == a.slots[v.Seq].header
	})
}
