package node

import (
	"errors"
	"fmt"
	"sync"

	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/node/host"
	"github.com/quorate/quorate/statemachine"
)

// recentSlots is of how many slots the results are kept for receipts: what clients wait for is younger.
const recentSlots = 256

var errNoAttestations = errors.New("attestations that cover it are no longer at hand")

// recent is what receipts of the last slots are made of. The executor, the core and callers meet here, so nobody reads
// a disk or hashes while he holds mu: the core would wait for all who want receipts.
type recent struct {
	blocks *host.Blocks
	epochs func() *epochs

	mu      sync.Mutex
	slots   [recentSlots]*recentSlot // by sequence number modulo their number; nil where nothing was executed yet
	headers [recentSlots]proof.Header
	acks    [recentSlots]*bft.Acknowledgement // the newest one at each
	newest  *bft.Acknowledgement
}

// recentSlot is what came of a slot's transactions.
type recentSlot struct {
	seq      epoch.Seq
	outcomes []statemachine.Outcome
	tree     func() *crypto.MerkleTree // over outcomes; built by whoever asks first, the others wait for him
}

func newRecentSlot(seq epoch.Seq, outcomes []statemachine.Outcome) *recentSlot {
	return &recentSlot{seq, outcomes, sync.OnceValue(func() *crypto.MerkleTree {
		return crypto.NewMerkleTree(leaves(outcomes))
	})}
}

func newRecent(b *host.Blocks, epochs func() *epochs) *recent {
	return &recent{blocks: b, epochs: epochs}
}

func (r *recent) executed(results []host.Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range results {
		r.slots[results[i].Seq%recentSlots] = newRecentSlot(results[i].Seq, results[i].Outcomes)
	}
}

func (r *recent) durable(headers []proof.Header) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range headers {
		r.headers[h.Seq%recentSlots] = h
	}
}

func (r *recent) acknowledged(a *bft.Acknowledgement) {
	if len(a.Attestations) == 0 {
		return // where operators have ended an epoch: it survives, and nobody's word in that epoch shows it
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.newest = a
	r.acks[a.Seq%recentSlots] = a
}

// covering is an acknowledgement of a slot, in the epoch that it belongs to: the oldest one at hand.
func (r *recent) covering(seq epoch.Seq) *bft.Acknowledgement {
	if r.newest == nil || r.newest.Seq < seq {
		return nil
	}
	last, otherwise := r.newest.Seq, r.newest
	if end := r.epochs().end(seq); end != nil && last > end.Header.Seq {
		last, otherwise = end.Header.Seq, nil
		if end.Forced == nil {
			otherwise = &bft.Acknowledgement{Seq: last, Attestations: end.Outgoing}
		}
	}
	for s := max(seq, last-min(last, recentSlots-1)); s <= last; s++ {
		if a := r.acks[s%recentSlots]; a != nil && a.Seq == s && a != r.newest {
			return a
		}
	}
	return otherwise
}

// maxReadHeaders bounds how many headers are read from disk for one receipt: as many as there are, by the default
// parameters, from a slot to the checkpoint above it.
const maxReadHeaders = 64

// proves is what is at hand to prove something about a slot: attestations, and the headers from it to the highest one
// attested. Those that are not at hand are left zero, and are few.
func (r *recent) proves(seq epoch.Seq) (attestations []*message.Signed, headers []proof.Header, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ack := r.covering(seq)
	if ack == nil {
		return nil, nil, errNoAttestations
	}
	last := seq
	for _, m := range ack.Attestations {
		last = max(last, m.Body.(*message.Attestation).Seq)
	}
	if last-seq >= recentSlots+maxReadHeaders {
		return nil, nil, errNoAttestations
	}
	headers = make([]proof.Header, last-seq+1)
	missing := 0
	for i := range headers {
		s := seq + epoch.Seq(i)
		if h := &r.headers[s%recentSlots]; h.Seq == s {
			headers[i] = *h
		} else if missing++; missing > maxReadHeaders {
			return nil, nil, errNoAttestations
		}
	}
	return ack.Attestations, headers, nil
}

// kept is what the log keeps to prove something about a slot that is no longer recent: the attestations of a stable
// checkpoint shortly above it, and as many headers, to be read, as lead there.
func (r *recent) kept(seq epoch.Seq) (attestations []*message.Signed, headers []proof.Header, err error) {
	last := seq + maxReadHeaders - 1
	end := r.epochs().end(seq)
	if end != nil {
		last = min(last, end.Header.Seq)
	}
	if end != nil && end.Forced == nil && end.Header.Seq == last {
		return end.Outgoing, make([]proof.Header, end.Header.Seq-seq+1), nil
	}
	c, err := r.blocks.Checkpoint(seq, last)
	if err != nil {
		return nil, nil, err
	}
	if c == nil {
		return nil, nil, errNoAttestations
	}
	return c.Attestations, make([]proof.Header, c.Header.Seq-seq+1), nil
}

// fill reads the headers that are not at hand.
func (r *recent) fill(seq epoch.Seq, headers []proof.Header) error {
	for i := range headers {
		s := seq + epoch.Seq(i)
		if headers[i].Seq == s {
			continue
		}
		d, ok, err := r.blocks.Decision(s)
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("block %d is not there yet", s)
		}
		headers[i] = d.Header
	}
	return nil
}

// slot is what came of a slot, looked up if it is no longer at hand.
func (r *recent) slot(seq epoch.Seq, state *statemachine.Replicated) (*recentSlot, error) {
	r.mu.Lock()
	s := r.slots[seq%recentSlots]
	r.mu.Unlock()
	if s != nil && s.seq == seq {
		return s, nil
	}
	outcomes, ok, err := state.Outcomes(uint64(seq))
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("block %d is not in the state yet", seq)
	}
	return newRecentSlot(seq, outcomes), nil
}

// Receipt proves what came of a transaction, if attestations that cover its slot are at hand, or the log keeps some.
func (n *Node) Receipt(seq epoch.Seq, index int) (*proof.Receipt, error) {
	attestations, headers, err := n.recent.proves(seq)
	if errors.Is(err, errNoAttestations) {
		attestations, headers, err = n.recent.kept(seq)
	}
	if err != nil {
		return nil, err
	}
	if err := n.recent.fill(seq, headers); err != nil {
		return nil, err
	}
	slot, err := n.recent.slot(seq, n.state)
	if err != nil {
		return nil, err
	}
	if index < 0 || index >= len(slot.outcomes) {
		return nil, fmt.Errorf("block %d has %d transactions, none at %d", seq, len(slot.outcomes), index)
	}
	o := &slot.outcomes[index]
	return &proof.Receipt{
		Result: proof.Result{ID: o.ID, Status: uint8(o.Status), Code: uint16(o.Code), Seq: epoch.Seq(o.Seq), Value: o.Result},
		Index:  index, Count: len(slot.outcomes), Path: slot.tree().Path(index), Headers: headers, Attestations: attestations,
	}, nil
}

func leaves(outcomes []statemachine.Outcome) [][]byte {
	l := make([][]byte, len(outcomes))
	for i, o := range outcomes {
		l[i] = statemachine.Leaf(o)
	}
	return l
}

// Attestations are those that cover a slot: to its header, or to one above it, and rather to a near one, so that whoever
// checks needs few headers.
func (n *Node) Attestations(seq epoch.Seq) []*message.Signed {
	recent, newest := n.recent.attestations(seq)
	if recent != nil {
		return recent
	}
	kept, _, err := n.recent.kept(seq)
	switch {
	case err == nil:
		return kept
	case !errors.Is(err, errNoAttestations):
		n.log.Warn("a stable checkpoint could not be read", "above", seq, "error", err)
	}
	return newest
}

// attestations are those at hand that cover a slot, if it is recent, and the newest ones, if they cover it.
func (r *recent) attestations(seq epoch.Seq) (recent, newest []*message.Signed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.covering(seq)
	if a == nil {
		return nil, nil
	}
	if a.Seq-seq < recentSlots {
		recent = a.Attestations
	}
	if end := r.epochs().end(seq); end != nil {
		return recent, end.Outgoing // none if the end was forced
	}
	return recent, r.newest.Attestations
}
