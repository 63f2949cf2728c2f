package bft

import (
	"bytes"
	"fmt"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// New is a replica that remembers past: the records of its log from the newest Base on, or all of them, and with them the
// Bodies of every Accepted slot that is not yet Decided, also of those that the Base only names. Where damage has taken
// Bodies, they are fetched from others before anything is said of the slot.
//
// What its facts oblige it to have said, it says again: nobody knows which of it ever left, least of all itself. If the
// log was born after the one that the epoch names for this member, the member has forgotten: the replica observes. An
// error says that past is not the log of a replica of this configuration.
func New(cfg Config, past []ordering.Record) (*Replica, Effects, error) {
	r := &Replica{
		self: cfg.Self, notes: cfg.Notes,
		epoch:   cfg.Genesis.Epoch(),
		pending: make(map[epoch.Seq]ordering.Decision),
		chain:   make(map[epoch.Seq]proof.Header),
		gather:  gatherings{wants: make(map[crypto.Digest][]place)},
		head:    cfg.Genesis.Header(),
	}
	r.attest.stable = &proof.Checkpoint{Header: cfg.Genesis.Header()}
	var facts []ordering.Record
	var entered *epoch.Epoch
	var held []*message.Evidence
	var promises []ordering.Record
	view := epoch.View(0)
	batches := make(map[crypto.Digest]*message.Batch)
	for _, rec := range past {
		switch rec := rec.(type) {
		case *ordering.Birth:
			r.birth = *rec
		case *ordering.Entered:
			entered = rec.Epoch
		case *ordering.Base:
			entered = rec.Epoch
			view = rec.View
			r.birth, r.attest.stable = rec.Birth, rec.Stable
			r.head = rec.Stable.Header
			clear(r.chain)
			for _, h := range rec.Headers {
				r.head = h
				r.chain[h.Seq] = h
			}
			facts = append([]ordering.Record(nil), rec.Facts...)
		case *ordering.Bodies:
			batches[rec.Batch.Digest()] = rec.Batch
		case *ordering.Accepted, *ordering.Prepared:
			facts = append(facts, rec)
		case *ordering.Left:
			promises = append(promises, rec)
			view = max(view, rec.ViewChange.View)
		case *ordering.Installed:
			promises = append(promises, rec)
			view = max(view, rec.NewView.View)
		case *ordering.Promised:
			promises = append(promises, rec)
			view = max(view, rec.Promise.View)
		case *ordering.Evidence:
			held = append(held, rec.Evidence)
		case *ordering.Decided:
			r.head = rec.Header
			r.chain[rec.Header.Seq] = rec.Header
		}
	}
	if err := r.checkIdentity(entered); err != nil {
		return nil, Effects{}, err
	}
	r.begin(view, ordering.Start{Restarted: entered != nil, Promises: promises, Facts: facts, Batches: batches})
	if !r.observes {
		r.takeUp(facts, batches)
	}
	r.out.Enter = r.epoch
	if entered == nil {
		r.out.Persist = append(r.out.Persist, &ordering.Entered{Epoch: r.epoch})
	}
	if stable := r.attest.stable; stable.Header.Seq > 0 {
		// Whoever forgot what it was told about these slots is told again: nobody will attest them any more.
		r.out.Acknowledged = &Acknowledgement{Seq: stable.Header.Seq, Attestations: stable.Attestations}
	}
	r.attestFromLog()
	for _, e := range held {
		if r.hold(e) == nil { // the same one may stand behind several Bases
			r.tellEvidence(e)
		}
	}
	r.advance()
	return r, r.take(), nil
}

// takeUp has what this replica has accepted, and does not know to be decided, wait again: whoever handed it in may be gone, and
// nobody else may have it. Others then hear of it, so that it is due to them too.
func (r *Replica) takeUp(facts []ordering.Record, batches map[crypto.Digest]*message.Batch) {
	for _, f := range facts {
		a, ok := f.(*ordering.Accepted)
		if !ok || a.Seq <= r.head.Seq || batches[a.Digest] == nil {
			continue
		}
		for _, q := range batches[a.Digest].Requests {
			if _, err := r.pool.add(q, r.self, r.ticks); err == nil {
				r.pool.adopt(q, r.ticks)
			}
		}
		if r.order.Leader() == r.self && a.View == r.order.View() { // it stands in a proposal of this view
			r.pool.markProposed(batches[a.Digest].Requests)
		}
	}
}

// checkIdentity compares the log with the genesis and the member's entry in it. entered is the epoch that the log says
// this replica has come to take part in; nil if it has said nothing yet.
func (r *Replica) checkIdentity(entered *epoch.Epoch) error {
	if entered != nil && !sameEpoch(entered, r.epoch) {
		return fmt.Errorf("log: it is of chain %s, but the genesis is that of chain %s: put back the genesis that this member was created with",
			entered.Chain, r.epoch.Chain)
	}
	if !r.epoch.Has(r.self) {
		return fmt.Errorf("member %d is not in the genesis", r.self)
	}
	m := r.epoch.Member(r.self)
	if m.Key != r.birth.Key {
		return fmt.Errorf("log: it belongs to key %s, not to member %d's", r.birth.Key, r.self)
	}
	r.observes = m.Incarnation != r.birth.Incarnation
	return nil
}

func sameEpoch(a, b *epoch.Epoch) bool {
	var x, y message.Writer
	proof.EncodeEpoch(&x, a)
	proof.EncodeEpoch(&y, b)
	return bytes.Equal(x.Bytes(), y.Bytes())
}

func (r *Replica) begin(view epoch.View, s ordering.Start) {
	n := r.epoch.N()
	p := r.epoch.Parameters
	r.pool = newPool(n)
	r.catchup.peers = make([]peer, n)
	r.evidence = evidence{broken: make(map[message.Promise]bool), of: make([]int, n)}
	r.attest.voices = make([]voice, n)
	r.attest.checkpoints = make([]checkpointVotes, p.Window/p.Checkpoint+2)
	r.attest.acknowledged = r.attest.stable.Header.Seq
	r.delivered, r.time = r.head.Seq, r.head.Time
	for i := range n {
		if id := epoch.ReplicaID(i + 1); id != r.self {
			r.peers = append(r.peers, id)
		}
	}
	if r.observes {
		r.order = &observer{epoch: r.epoch, view: view, views: make([]epoch.View, n), open: r.delivered}
		return
	}
	s.Self, s.Epoch, s.Stable, s.Delivered = r.self, r.epoch, r.attest.stable, r.head.Seq
	r.order = newProtocol(s)
	if r.entered = r.order.View(); !r.order.Voting() && r.entered > 0 {
		r.entered-- // it is yet to vote there
	}
}

// attestFromLog attests again whatever the log proves to have been executed above the stable checkpoint.
func (r *Replica) attestFromLog() {
	var headers []proof.Header
	for seq := r.attest.stable.Header.Seq + 1; seq <= r.head.Seq; seq++ {
		if h, ok := r.chain[seq]; ok && (r.isCheckpoint(seq) || seq == r.head.Seq) {
			headers = append(headers, h)
		}
	}
	r.sayAttested(headers)
}
