package bft

import (
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
		self: cfg.Self, notes: cfg.Notes, scheme: cfg.Scheme, history: cfg.History,
		epoch:   cfg.Genesis.Epoch(),
		pending: make(map[epoch.Seq]ordering.Decision),
		chain:   make(map[epoch.Seq]proof.Header),
		gather:  gatherings{wants: make(map[crypto.Digest][]place)},
		head:    cfg.Genesis.Header(),
	}
	r.attest.stable = &proof.Checkpoint{Header: cfg.Genesis.Header()}
	r.evidence.broken = make(map[message.Promise]bool)
	l := r.recall(past)
	if err := r.checkIdentity(l.entered); err != nil {
		return nil, Effects{}, err
	}
	n := r.epoch.N()
	for i := range n {
		if id := epoch.ReplicaID(i + 1); id != r.self {
			r.peers = append(r.peers, id)
		}
	}
	r.pool = newPool(n)
	r.evidence.past = make([]int, n)
	r.catchup.peers = make([]peer, n)
	r.begin(l.view, ordering.Start{Restarted: l.entered != nil, Promises: l.promises, Facts: l.facts, Batches: l.batches})
	if !r.observes {
		r.takeUp(l.facts, l.batches)
	}
	r.out.Enter = []*epoch.Epoch{r.epoch}
	if l.entered == nil {
		r.out.Persist = append(r.out.Persist, &ordering.Entered{Epoch: r.epoch})
	}
	r.acknowledgeAgain()
	if l.forced != nil {
		_ = r.onRecover(l.forced) // the first that it hears of
	}
	if l.next != nil {
		r.sealed = sealing{seq: l.next.Base, config: &l.next.Configuration, next: l.next, forced: l.forced}
		r.prepareEntry()
		r.attestNext()
	}
	r.attestFromLog()
	for _, e := range l.evidence {
		if r.hold(e) == nil { // the same one may stand behind several Bases
			r.tellEvidence(e)
		}
	}
	r.advance()
	return r, r.take(), nil
}

// recalled is what a log tells of the epoch that is running.
type recalled struct {
	entered  *epoch.Epoch // nil: the log has said nothing yet
	next     *epoch.Epoch // that follows the newest slot, or nil
	forced   *message.Recovery
	view     epoch.View
	facts    []ordering.Record
	promises []ordering.Record
	batches  map[crypto.Digest]*message.Batch
	evidence []*message.Evidence
}

// recall takes in the records of a log.
func (r *Replica) recall(past []ordering.Record) recalled {
	l := recalled{batches: make(map[crypto.Digest]*message.Batch)}
	for _, rec := range past {
		switch rec := rec.(type) {
		case *ordering.Birth:
			r.birth = *rec
		case *ordering.Entered:
			l.entered, l.next, l.forced = rec.Epoch, nil, nil
			l.view, l.facts, l.promises = 0, nil, nil
		case *ordering.Sealed:
			l.next, l.forced = rec.Next, rec.Forced
		case *ordering.Base:
			l.entered = rec.Epoch
			l.view = rec.View
			r.birth, r.attest.stable = rec.Birth, rec.Stable
			r.head = rec.Stable.Header
			clear(r.chain)
			for _, h := range rec.Headers {
				r.head = h
				r.chain[h.Seq] = h
			}
			l.facts = append([]ordering.Record(nil), rec.Facts...)
		case *ordering.Bodies:
			l.batches[rec.Batch.Digest()] = rec.Batch
		case *ordering.Accepted, *ordering.Prepared:
			l.facts = append(l.facts, rec)
		case *ordering.Left:
			l.promises = append(l.promises, rec)
			l.view = max(l.view, rec.ViewChange.View)
		case *ordering.Installed:
			l.promises = append(l.promises, rec)
			l.view = max(l.view, rec.NewView.View)
		case *ordering.Promised:
			l.promises = append(l.promises, rec)
			l.view = max(l.view, rec.Promise.View)
		case *ordering.Evidence:
			l.evidence = append(l.evidence, rec.Evidence)
		case *ordering.Decided:
			r.head = rec.Header
			r.chain[rec.Header.Seq] = rec.Header
		}
	}
	return l
}

// acknowledgeAgain tells whoever forgot it what survives at the stable checkpoint, or where the epoch began: nobody will attest it any
// more.
func (r *Replica) acknowledgeAgain() {
	stable := r.attest.stable
	attestations := stable.Attestations
	if n := len(r.history); len(attestations) == 0 && n > 0 {
		attestations = r.history[n-1].HandOver.Outgoing
	}
	if stable.Header.Seq > 0 {
		r.out.Acknowledged = &Acknowledgement{Seq: stable.Header.Seq, Attestations: attestations}
	}
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
	genesis := r.epoch
	if entered != nil {
		r.epoch = entered
	}
	if entered != nil && entered.Chain != genesis.Chain {
		return fmt.Errorf("log: it is of chain %s, but the genesis is that of chain %s: put back the genesis that this member was created with",
			entered.Chain, genesis.Chain)
	}
	if !r.epoch.Has(r.self) {
		return fmt.Errorf("member %d is not in the genesis", r.self)
	}
	if m := r.epoch.Member(r.self); m.Key != r.birth.Key {
		return fmt.Errorf("log: it belongs to key %s, not to member %d's", r.birth.Key, r.self)
	}
	if n := len(r.history); n > 0 && r.history[n-1].HandOver.Follows(r.history[n-1].Epoch).ID != r.epoch.ID {
		return fmt.Errorf("log: the hand-over to epoch %d is missing", r.epoch.Number)
	}
	return nil
}

// begin takes part in r.epoch, from the stable checkpoint and the head on.
func (r *Replica) begin(view epoch.View, s ordering.Start) {
	n := r.epoch.N()
	p := r.epoch.Parameters
	r.observes = !r.named(r.epoch)
	r.evidence.of, r.evidence.current = make([]int, n), 0
	r.attest.voices = make([]voice, n)
	r.attest.checkpoints = make([]checkpointVotes, p.Window/p.Checkpoint+2)
	r.attest.target = nil
	r.attest.acknowledged = r.attest.stable.Header.Seq
	r.delivered, r.time = r.head.Seq, r.head.Time
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
