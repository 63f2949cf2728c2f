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

// recent is what receipts of the last slots are made of. The executor, the core and callers meet here.
type recent struct {
	blocks *host.Blocks

	mu      sync.Mutex
	slots   [recentSlots]recentSlot // by sequence number modulo their number
	headers [recentSlots]proof.Header
	acks    [recentSlots]*bft.Acknowledgement // the newest one at each
	newest  *bft.Acknowledgement
}

type recentSlot struct {
	seq      epoch.Seq
	outcomes []statemachine.Outcome
	tree     *crypto.MerkleTree // built when the first receipt is asked for
}

func newRecent(h *host.Host) *recent { return &recent{blocks: h.Blocks()} }

func (r *recent) executed(results []host.Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range results {
		r.slots[results[i].Seq%recentSlots] = recentSlot{seq: results[i].Seq, outcomes: results[i].Outcomes}
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
	r.mu.Lock()
	defer r.mu.Unlock()
	r.newest = a
	r.acks[a.Seq%recentSlots] = a
}

// covering is an acknowledgement of a slot: the oldest one at hand.
func (r *recent) covering(seq epoch.Seq) *bft.Acknowledgement {
	if r.newest == nil || r.newest.Seq < seq {
		return nil
	}
	for s := max(seq, r.newest.Seq-min(r.newest.Seq, recentSlots-1)); s < r.newest.Seq; s++ {
		if a := r.acks[s%recentSlots]; a != nil && a.Seq == s {
			return a
		}
	}
	return r.newest
}

// header is that of a durable block.
func (r *recent) header(seq epoch.Seq) (proof.Header, error) {
	if h := r.headers[seq%recentSlots]; h.Seq == seq {
		return h, nil
	}
	d, ok, err := r.blocks.Decision(seq)
	if err != nil {
		return proof.Header{}, err
	}
	if !ok {
		return proof.Header{}, fmt.Errorf("block %d is not there yet", seq)
	}
	return d.Header, nil
}

// maxReceiptHeaders bounds how many headers a receipt walks to the nearest attested one.
const maxReceiptHeaders = 1024

// Receipt proves what came of a transaction, as long as attestations that cover its slot are at hand.
func (n *Node) Receipt(seq epoch.Seq, index int) (*proof.Receipt, error) {
	r := n.recent
	r.mu.Lock()
	defer r.mu.Unlock()
	tree, outcomes, err := r.tree(seq, n.state)
	if err != nil {
		return nil, err
	}
	if index < 0 || index >= len(outcomes) {
		return nil, fmt.Errorf("block %d has %d transactions, none at %d", seq, len(outcomes), index)
	}
	ack := r.covering(seq)
	if ack == nil {
		return nil, errNoAttestations
	}
	last := seq
	for _, m := range ack.Attestations {
		last = max(last, m.Body.(*message.Attestation).Seq)
	}
	if last-seq >= maxReceiptHeaders {
		return nil, errNoAttestations
	}
	o := &outcomes[index]
	receipt := &proof.Receipt{
		Result: proof.Result{ID: o.ID, Status: uint8(o.Status), Code: uint16(o.Code), Seq: epoch.Seq(o.Seq), Value: o.Result},
		Index:  index, Count: len(outcomes), Path: tree.Path(index), Attestations: ack.Attestations,
	}
	for s := seq; s <= last; s++ {
		h, err := r.header(s)
		if err != nil {
			return nil, err
		}
		receipt.Headers = append(receipt.Headers, h)
	}
	return receipt, nil
}

// tree is that over a slot's outcomes, which are looked up if they are no longer at hand.
func (r *recent) tree(seq epoch.Seq, state *statemachine.Replicated) (*crypto.MerkleTree, []statemachine.Outcome, error) {
	s := &r.slots[seq%recentSlots]
	if s.seq != seq {
		outcomes, ok, err := state.Outcomes(uint64(seq))
		if err != nil {
			return nil, nil, err
		}
		if !ok {
			return nil, nil, fmt.Errorf("block %d is not in the state yet", seq)
		}
		return crypto.NewMerkleTree(leaves(outcomes)), outcomes, nil
	}
	if s.tree == nil {
		s.tree = crypto.NewMerkleTree(leaves(s.outcomes))
	}
	return s.tree, s.outcomes, nil
}

func leaves(outcomes []statemachine.Outcome) [][]byte {
	l := make([][]byte, len(outcomes))
	for i, o := range outcomes {
		l[i] = statemachine.Leaf(o)
	}
	return l
}

// Attestations are those at hand that cover a slot: to its header, or to one above it.
func (n *Node) Attestations(seq epoch.Seq) []*message.Signed {
	n.recent.mu.Lock()
	defer n.recent.mu.Unlock()
	if a := n.recent.covering(seq); a != nil {
		return a.Attestations
	}
	return nil
}
