package bft

import (
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/internal/invariant"
)

// Slots are decided in any order, delivered to the machine without gaps, and their headers built when the machine
// says what came of them. A block goes into the log once its header is known, and before it is attested.

// maxExecuting bounds how far delivery runs ahead of execution while blocks come from elsewhere; votes are bounded by
// the window.
const maxExecuting = 64

// onDecided keeps a decision until its turn comes.
func (r *Replica) onDecided(d ordering.Decision, learned bool) {
	if d.Seq <= r.delivered || r.sealedAt(d.Seq) {
		return
	}
	if _, ok := r.pending[d.Seq]; ok {
		return
	}
	r.pending[d.Seq] = d
	r.note(DecidedSlot{d.Seq, d.Batch.Digest(), learned})
}

func (r *Replica) deliverInOrder() {
	for r.sealed.seq == 0 && len(r.executing) < maxExecuting+int(r.epoch.Parameters.Burst) {
		d, ok := r.pending[r.delivered+1]
		if !ok {
			return
		}
		delete(r.pending, d.Seq)
		r.delivered = d.Seq
		r.time = max(r.time, d.Batch.Time)
		r.executing = append(r.executing, d)
		r.out.Execute = append(r.out.Execute, Execution{Seq: d.Seq, Time: r.time, Batch: d.Batch, Rules: &r.epoch.Parameters})
		r.order.Delivered(d.Seq, r.pool.work(d.Batch.Requests))
		r.catchup.progressed(r.ticks)
		if d.Batch.Change != nil {
			r.seal(&d)
		}
	}
}

// onExecuted builds the headers of what the machine has applied, keeps the blocks, and attests the newest header and
// every multiple of K exactly.
func (r *Replica) onExecuted(outcomes []Outcome) {
	var attested []proof.Header
	for _, o := range outcomes {
		if o.Seq <= r.head.Seq {
			continue // of an execution that something else has overtaken
		}
		invariant.Holds(len(r.executing) > 0 && r.executing[0].Seq == o.Seq, "the machine executes in order")
		d := r.executing[0]
		r.executing = r.executing[1:]
		h := proof.Header{
			Epoch: r.epoch.ID, Seq: d.Seq, Parent: r.head.Digest(), Batch: d.Batch.Digest(),
			Results: o.Results, State: o.State, Time: max(r.head.Time, d.Batch.Time),
		}
		ends := r.sealed.seq == d.Seq
		if ends {
			h.NextEpoch = message.ConfigurationDigest(r.sealed.config)
		}
		if !d.Logged {
			r.out.Persist = append(r.out.Persist, &ordering.Bodies{Batch: d.Batch})
		}
		r.out.Persist = append(r.out.Persist, &ordering.Decided{Decision: proof.Decision{
			Header: h, View: d.View, Certificate: d.Certificate,
		}})
		r.head = h
		r.chain[h.Seq] = h
		if ends {
			r.announced(&h)
		}
		if own := r.order.Batch(h.Seq); own != nil && own.Digest() != h.Batch {
			r.pool.markWaiting(own.Requests) // the leader has proposed one batch here, and another to others
		}
		invariant.Holds(len(o.Ends) == len(d.Batch.Requests), "the machine says of every request how it ended")
		r.order.Executed(h.Seq)
		r.pool.executed(d.Batch.Requests, o.Ends)
		if r.isCheckpoint(h.Seq) {
			attested = append(attested, h)
		}
	}
	if len(outcomes) == 0 {
		return
	}
	if !r.isCheckpoint(r.head.Seq) {
		attested = append(attested, r.head)
	}
	r.sayAttested(attested)
	if r.sealed.next != nil {
		r.attestNext()
	}
	r.deliverInOrder()
	r.reachedHead()
	r.compareHandOver()
}

func (r *Replica) isCheckpoint(seq epoch.Seq) bool {
	return seq%epoch.Seq(r.epoch.Parameters.Checkpoint) == 0
}
