// Package audit checks from outside what a network promises: it reads the chains of all nodes and believes none of them.
//
// It counts quorums by its own formula and executes the chain again, so that what is wrong with the nodes' own checks does
// not hide itself.
package audit

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// Chain is what one node holds.
type Chain interface {
	Last(context.Context) (epoch.Seq, error)                // the newest block, from 1; 0: none
	Block(context.Context, epoch.Seq) (*proof.Block, error) // may be called by several at once
	// HandOver is with what the epoch of this number began, from 1.
	HandOver(context.Context, uint64) (*proof.HandOver, error)
}

// DamageError says that a node holds something that cannot be what it was: a violation, not a node out of reach.
type DamageError struct{ Err error }

func (e *DamageError) Error() string { return e.Err.Error() }

// Unwrap is what is wrong.
func (e *DamageError) Unwrap() error { return e.Err }

// Report is what an audit has found.
type Report struct {
	Blocks       epoch.Seq // of the longest chain
	Transactions int       // in it
	Executed     int       // of those: applied or failed
	Acks         int       // lines that were looked for
	Nodes        []Node
	Violations   []string              // at most maxViolations
	More         int                   // violations that were only counted
	Broken       map[Promise]Violation // of each broken promise the first violation
}

// Violation is something that a node holds, and must not.
type Violation struct {
	Node int
	Text string
}

// Promise is what a violation breaks.
type Promise string

// The promises: all nodes have one chain, and it holds by itself; what was acknowledged is in it; no transaction is executed twice.
const (
	Agreement   Promise = "agreement"
	Durability  Promise = "durability"
	ExactlyOnce Promise = "exactly once"
)

// Node is what was read of one node.
type Node struct {
	Last    epoch.Seq
	Missing error // why it could not be read to its end; nil if it was
}

// maxViolations bounds how many violations are told; the others are counted.
const maxViolations = 20

// ahead is how many blocks of one node are fetched at once.
const ahead = 32

// Run audits chains, the i-th of which is that of member i+1. acks may be nil. The error is ctx's.
func Run(ctx context.Context, g *proof.Genesis, chains []Chain, acks *Acks) (*Report, error) {
	replay, err := newReplay(g)
	if err != nil {
		return nil, err
	}
	a := &auditor{genesis: g, first: g.Epoch(), scheme: crypto.Ed25519(), acks: acks, replay: replay,
		vouched: make(map[crypto.Digest]struct{})}
	a.report.Broken = make(map[Promise]Violation)
	if acks == nil {
		a.acks = &Acks{}
	}
	nodes := make([]Node, len(chains))
	var wg sync.WaitGroup
	for i, c := range chains {
		wg.Go(func() { nodes[i] = a.walk(ctx, i+1, c) })
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	a.report.Nodes = nodes
	a.acknowledged()
	a.report.Blocks, a.report.Transactions, a.report.Executed = a.replay.last(), a.replay.transactions, len(a.replay.executed)
	a.report.Acks = len(a.acks.lines)
	return &a.report, nil
}

type auditor struct {
	genesis *proof.Genesis
	first   *epoch.Epoch
	scheme  crypto.Scheme
	acks    *Acks

	mu      sync.Mutex
	report  Report
	replay  *replay
	vouched map[crypto.Digest]struct{} // transactions, with their signatures, whose signature holds
}

func (a *auditor) violation(node int, format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.violationLocked(node, Agreement, fmt.Sprintf(format, args...))
}

func (a *auditor) violationLocked(node int, of Promise, text string) {
	if _, told := a.report.Broken[of]; !told {
		a.report.Broken[of] = Violation{node, text}
	}
	if len(a.report.Violations) == maxViolations {
		a.report.More++
		return
	}
	a.report.Violations = append(a.report.Violations, fmt.Sprintf("node%d: %s", node, text))
}

// fetched is a block on its way.
type fetched struct {
	block *proof.Block
	err   error
}

// walk checks one node's chain from its first block to its last.
func (a *auditor) walk(ctx context.Context, node int, c Chain) Node {
	last, err := c.Last(ctx)
	if err != nil {
		return a.unread(node, Node{Missing: err})
	}
	n := Node{Last: last}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	pending := make(chan chan fetched, ahead)
	go func() {
		defer close(pending)
		for seq := epoch.Seq(1); seq <= last; seq++ {
			one := make(chan fetched, 1)
			select {
			case pending <- one:
			case <-ctx.Done():
				return
			}
			go func() {
				b, err := c.Block(ctx, seq)
				one <- fetched{b, err}
			}()
		}
	}()
	w := &walk{auditor: a, node: node, chain: c, epoch: a.first, head: a.genesis.Header()}
	seq := epoch.Seq(0)
	for one := range pending {
		seq++
		got := <-one
		if got.err != nil {
			n.Missing = fmt.Errorf("block %d: %w", seq, got.err)
			return a.unread(node, n)
		}
		if err := w.enter(ctx, seq, got.block.Header.Epoch); err != nil {
			n.Missing = fmt.Errorf("block %d: %w", seq, err)
			return a.unread(node, n)
		}
		w.judge(seq, got.block)
	}
	return n
}

// walk is how far one node's chain has been checked.
type walk struct {
	*auditor
	node  int
	chain Chain
	epoch *epoch.Epoch // that the next block belongs to
	ends  bool         // the head announces another one
	head  proof.Header
}

// enter follows the node's hand-overs from the head to the epoch that the next block is of. If they do not lead there, the block is
// judged by the epoch that they lead to. The error is that a hand-over could not be read.
func (w *walk) enter(ctx context.Context, seq epoch.Seq, id crypto.Digest) error {
	for id != w.epoch.ID {
		h, err := w.chain.HandOver(ctx, w.epoch.Number+1)
		if damage := (*DamageError)(nil); err != nil && !errors.As(err, &damage) {
			return err
		}
		var next *epoch.Epoch
		if err == nil {
			next, err = w.handedOver(h)
		}
		if err != nil {
			w.violation(w.node, "block %d: epoch %d: %v", seq, w.epoch.Number+1, err)
			return nil
		}
		w.epoch, w.ends = next, false
	}
	if w.ends {
		w.violation(w.node, "block %d: is of epoch %s, which block %d has ended", seq, w.epoch.ID.Short(), w.head.Seq)
	}
	return nil
}

// handedOver is what follows the walk's epoch at its head.
func (w *walk) handedOver(h *proof.HandOver) (*epoch.Epoch, error) {
	next, err := h.Verify(w.epoch, w.scheme)
	if err != nil {
		return nil, err
	}
	outgoing, incoming := quorum(w.epoch.Mode, w.epoch.N()), quorum(next.Mode, next.N())
	switch {
	case h.Header != w.head:
		return nil, fmt.Errorf("hand-over: at header %d (%s), but the block before is %d (%s)",
			h.Header.Seq, h.Header.Digest().Short(), w.head.Seq, w.head.Digest().Short())
	case h.Forced == nil && len(h.Outgoing) < outgoing || len(h.Incoming) < incoming:
		return nil, fmt.Errorf("hand-over: %d and %d votes, want %d and %d", len(h.Outgoing), len(h.Incoming), outgoing, incoming)
	}
	return next, nil
}

// announced is what a block must announce: nothing, unless it has a change that may end the epoch there.
func (w *walk) announced(seq epoch.Seq, b *message.Batch) crypto.Digest {
	if b.Change == nil {
		return crypto.Digest{}
	}
	next, err := proof.Next(w.epoch, b.Change, seq, w.scheme)
	if err != nil {
		return crypto.Digest{} // void
	}
	return message.ConfigurationDigest(next)
}

// unread notes a node that could not be read to its end. Damage is a violation; the rest is not known.
func (a *auditor) unread(node int, n Node) Node {
	if damage := (*DamageError)(nil); errors.As(n.Missing, &damage) {
		a.violation(node, "%v", n.Missing)
	}
	return n
}

// judge checks one block behind the head.
func (w *walk) judge(seq epoch.Seq, b *proof.Block) {
	node, h, before, next := w.node, b.Header, w.head, w.announced(seq, b.Batch)
	w.head, w.ends = h, !next.IsZero()
	switch {
	case h.Seq != seq:
		w.violation(node, "block %d: its header says %d", seq, h.Seq)
	case h.Epoch != w.epoch.ID:
		w.violation(node, "block %d: is of epoch %s, want %s", seq, h.Epoch.Short(), w.epoch.ID.Short())
	case h.Parent != before.Digest():
		w.violation(node, "block %d: its parent is %s, but the block before is %s", seq, h.Parent.Short(), before.Digest().Short())
	case h.Time < before.Time:
		w.violation(node, "block %d: its time is before that of the block before", seq)
	case h.Batch != b.Batch.Digest():
		w.violation(node, "block %d: its header names batch %s, but it holds %s", seq, h.Batch.Short(), b.Batch.Digest().Short())
	case h.NextEpoch != next:
		w.violation(node, "block %d: it announces epoch %s, want %s", seq, h.NextEpoch.Short(), next.Short())
	}
	if err := w.certified(b); err != nil {
		w.violation(node, "block %d: certificate: %v", seq, err)
	}
	w.signed(node, b)

	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.replay.take(b, w.epoch); errors.Is(err, errTwice) {
		w.violationLocked(node, ExactlyOnce, err.Error())
	} else if err != nil {
		w.violationLocked(node, Agreement, err.Error())
	}
	w.sight(node, b)
}

// quorum is how many members it takes for any two such groups to share a correct one: more than (n+f)/2 of n members, of
// whom f = ⌊(n-1)/3⌋ may lie; if they only stop, more than half.
func quorum(mode epoch.Mode, n int) int {
	lying := 0
	if mode == epoch.Byzantine {
		lying = (n - 1) / 3
	}
	for q := 1; ; q++ {
		if 2*q > n+lying {
			return q
		}
	}
}

// deciding is what a member's word stands for if it is one that decides: a commit, or in crash mode an acceptance.
func (w *walk) deciding(b message.Body) (v message.Vote, ok bool) {
	switch b := b.(type) {
	case *message.Commit:
		return b.Vote, w.epoch.Mode == epoch.Byzantine
	case *message.PaxosAccepted:
		return b.Vote, w.epoch.Mode == epoch.Crash
	default:
		return v, false
	}
}

// certified says why the certificate is no quorum's word for the block.
func (w *walk) certified(b *proof.Block) error {
	want := message.Vote{View: b.View, Seq: b.Header.Seq, Digest: b.Header.Batch}
	var claims []crypto.Claim
	members := make(map[epoch.ReplicaID]bool)
	for _, v := range b.Certificate {
		vote, ok := w.deciding(v.Body)
		switch {
		case v.Chain != w.epoch.Chain || v.Epoch != w.epoch.ID || v.Mode != w.epoch.Mode:
			return errors.New("a vote of another chain or epoch")
		case !w.epoch.Has(v.Author):
			return fmt.Errorf("a vote of %d, who is no member", v.Author)
		case members[v.Author]:
			return fmt.Errorf("two votes of %d", v.Author)
		case !ok:
			return fmt.Errorf("a %s of %d", v.Body.Kind(), v.Author)
		case vote != want:
			return fmt.Errorf("the vote of %d is for something else", v.Author)
		}
		members[v.Author] = true
		claims = append(claims, v.Claim(w.epoch))
	}
	if least := quorum(w.epoch.Mode, w.epoch.N()); len(members) < least {
		return fmt.Errorf("%d members, want %d", len(members), least)
	}
	for i, holds := range w.scheme.VerifyBatch(claims) {
		if !holds {
			return fmt.Errorf("the signature of %d does not hold", b.Certificate[i].Author)
		}
	}
	return nil
}

// signed checks the signatures of the block's transactions, each once however many nodes hold it.
func (a *auditor) signed(node int, b *proof.Block) {
	var fresh []*message.Request
	var claims []crypto.Claim
	a.mu.Lock()
	for _, q := range b.Batch.Requests {
		if _, known := a.vouched[q.Body()]; !known {
			fresh = append(fresh, q)
			claims = append(claims, q.Claim())
		}
	}
	a.mu.Unlock()
	holds := a.scheme.VerifyBatch(claims)
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, q := range fresh {
		switch {
		case !holds[i]:
			a.violationLocked(node, Agreement, fmt.Sprintf("block %d: the signature of transaction %s does not hold", b.Header.Seq, q.ID()))
		case q.Chain != a.first.Chain:
			a.violationLocked(node, Agreement, fmt.Sprintf("block %d: transaction %s is for chain %s", b.Header.Seq, q.ID(), q.Chain.Short()))
		default:
			a.vouched[q.Body()] = struct{}{}
		}
	}
}
