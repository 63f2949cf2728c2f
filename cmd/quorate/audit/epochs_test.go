package audit

import (
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/node/host"
)

func toMode(m epoch.Mode) func(*epoch.Configuration) {
	return func(next *epoch.Configuration) { next.Mode = m }
}

// threeEpochs is a chain that goes from Byzantine mode to crash mode and back, with other limits.
func threeEpochs(t *testing.T) *world {
	w := newWorld(t, 4)
	w.block(w.put("a", "1"))
	w.end(toMode(epoch.Crash))
	w.block(w.put("b", "2"))
	w.end(func(next *epoch.Configuration) {
		next.Mode, next.Parameters.RequestWriteBytes = epoch.Byzantine, 1024
	})
	if err := w.state.SetLimits(host.Limits(w.epoch.Parameters)); err != nil {
		t.Fatal(err)
	}
	w.block(w.put("c", strings.Repeat("x", 2000))) // fails by the limits of this epoch
	return w
}

// Each slot is judged by its own epoch, which the hand-overs lead to.
func TestAChainOfSeveralEpochsPasses(t *testing.T) {
	w := threeEpochs(t)
	r := w.run(nil, w.chain(), w.chain(), w.chain(), w.chain())
	if len(r.Violations) > 0 || r.Blocks != 5 || r.Transactions != 3 || r.Executed != 3 {
		t.Errorf("%+v", r)
	}
	if r := w.run(w.acks, w.chain(), w.chain(), w.chain(), node{w.blocks[:2], nil}); len(r.Violations) > 0 || r.Nodes[3].Missing == nil {
		t.Errorf("a node that stands at the end of the first epoch, of which it has no hand-over yet: %+v", r)
	}
}

// What a void change leaves is a block like any other.
func TestAVoidChangeAnnouncesNothing(t *testing.T) {
	w := newWorld(t, 4)
	c := w.change(toMode(epoch.Crash))
	c.Readiness = c.Readiness[:1]
	w.append(message.NewChangeBatch(0, c), crypto.Digest{})
	w.block(w.put("a", "1"))
	if r := w.run(nil, w.chain()); len(r.Violations) > 0 {
		t.Errorf("%q", r.Violations)
	}
}

// case M3, case J8: a checker that has not been seen red is none. Each of these is wrong in one place, at node 2.
func TestWhatIsWrongBetweenEpochsIsFound(t *testing.T) {
	for want, wrong := range map[string]func(w *world, n *node){
		"block 3: epoch 1: epoch 1 is not there":                 func(_ *world, n *node) { n.overs = nil },
		"block 5: epoch 2: epoch 2 is not there":                 func(_ *world, n *node) { n.overs = n.overs[:1] },
		"block 3: epoch 1: hand-over: of the old epoch":          func(_ *world, n *node) { n.edit(0, func(h *proof.HandOver) { h.Outgoing = h.Outgoing[:2] }) },
		"block 3: epoch 1: hand-over: of the new epoch":          func(_ *world, n *node) { n.edit(0, func(h *proof.HandOver) { h.Incoming = h.Outgoing }) },
		"block 5: epoch 2: hand-over: the header announces":      func(_ *world, n *node) { n.edit(1, func(h *proof.HandOver) { h.Next.Threshold = 0 }) },
		"block 3: certificate: a vote of another chain or epoch": func(_ *world, n *node) { n.vote(2, 1) },
		"block 3: is of epoch": func(w *world, n *node) {
			b := *n.held[2]
			b.Header.Epoch = w.genesis.Digest()
			n.held[2] = &b
		},
		"block 2: it announces epoch 00000000": func(_ *world, n *node) {
			b := *n.held[1]
			b.Header.NextEpoch = crypto.Digest{}
			n.held[1] = &b
		},
		"block 1: it announces epoch 07000000": func(_ *world, n *node) {
			b := *n.held[0]
			b.Header.NextEpoch = crypto.Digest{7}
			n.held[0] = &b
		},
	} {
		t.Run(want, func(t *testing.T) {
			w := threeEpochs(t)
			bad := w.chain()
			wrong(w, &bad)
			found := w.run(nil, w.chain(), bad, w.chain(), w.chain())
			if !slices.ContainsFunc(found.Violations, func(v string) bool { return strings.HasPrefix(v, "node2: "+want) }) {
				t.Errorf("found %q", found.Violations)
			}
		})
	}
}

// edit changes the node's i-th hand-over.
func (n *node) edit(i int, f func(*proof.HandOver)) {
	h := *n.overs[i]
	f(&h)
	n.overs[i] = &h
}

// vote puts a vote of one block among those of another.
func (n *node) vote(of, from int) {
	b := *n.held[of]
	b.Certificate = append(slices.Clone(b.Certificate[:2]), n.held[from].Certificate[2])
	n.held[of] = &b
}

// A change that was not to be ordered, and that all nodes take for one that was, is found by judging it again.
func TestAChangeThatMayNotEndTheEpochIsFound(t *testing.T) {
	w := newWorld(t, 4)
	c := w.change(toMode(epoch.Crash))
	c.Authority = nil
	w.append(message.NewChangeBatch(0, c), message.ConfigurationDigest(&c.Next))
	w.handOver(proof.Announced(w.epoch, &w.head, &c.Next), &proof.HandOver{Outgoing: w.attest(w.epoch)})
	w.block(w.put("a", "1"))
	r := w.run(nil, w.chain(), w.chain())
	if len(r.Violations) != 2 || !strings.Contains(r.Violations[0], "block 1: it announces epoch") {
		t.Errorf("%q", r.Violations)
	}
}

// A slot of an epoch that the block below has ended is void, whoever has decided it.
func TestASlotBehindTheEndOfItsEpochIsFound(t *testing.T) {
	w := newWorld(t, 4)
	first := w.epoch
	w.end(toMode(epoch.Crash))
	w.epoch = first
	w.block(w.put("a", "1"))
	r := w.run(nil, w.chain())
	if len(r.Violations) != 1 || !strings.Contains(r.Violations[0], "which block 1 has ended") {
		t.Errorf("%q", r.Violations)
	}
}

// Two nodes that were led into different epochs, each by hand-overs that hold, disagree about every slot of these.
//
// case N6; a checker that asks only whether each chain holds turns it red.
func TestTwoEpochsForOneSlotAreFound(t *testing.T) {
	w := threeBlocks(t)
	other := threeBlocks(t)
	for i, x := range []*world{w, other} {
		c := &message.Recovery{Chain: x.epoch.Chain, Of: x.epoch.ID, Next: x.epoch.Configuration, Seq: x.head.Seq, Header: x.head.Digest()}
		c.Next.Parameters.BatchRequests -= uint32(i)
		c.Approve(x.scheme, operator)
		x.handOver(proof.Recovered(x.epoch, c), &proof.HandOver{Forced: c})
		x.block(x.put("d", "1"))
	}
	if r := w.run(nil, w.chain(), w.chain()); len(r.Violations) > 0 {
		t.Errorf("a forced hand-over holds as well: %q", r.Violations)
	}
	r := w.run(nil, w.chain(), other.chain())
	if len(r.Violations) != 1 || !strings.Contains(r.Violations[0], "block 4: agreement: it is of epoch") {
		t.Errorf("%q", r.Violations)
	}
}

// A recovery names where it begins, and blocks above that are of no use to it.
func TestARecoveryThatBeginsElsewhereIsFound(t *testing.T) {
	w := threeBlocks(t)
	below := w.blocks[1].Header
	c := &message.Recovery{Chain: w.epoch.Chain, Of: w.epoch.ID, Next: w.epoch.Configuration, Seq: below.Seq, Header: below.Digest()}
	c.Approve(w.scheme, operator)
	head := w.head
	w.head = below
	w.handOver(proof.Recovered(w.epoch, c), &proof.HandOver{Forced: c})
	w.head = head
	w.block(w.put("d", "1"))
	r := w.run(nil, w.chain())
	if len(r.Violations) < 1 || !strings.Contains(r.Violations[0], "block 4: epoch 1: hand-over: at header 2") {
		t.Errorf("%q", r.Violations)
	}
}
