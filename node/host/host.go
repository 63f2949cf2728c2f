// Package host is a replica with its log, its blocks and its machine: the rules by which effects are carried out.
//
// A host has no goroutine and no clock. It says what to sync, send and execute next, and is told when that is done;
// two drivers turn it, one with a real clock, network and disk (package node), one with simulated ones (testnet/sim).
// Its parts belong to three callers, which may be goroutines or one: the Host itself to the core, its Writer to the
// log, its Executor to the machine. What may be called by anybody says so.
package host

import (
	"errors"
	"fmt"
	"slices"

	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/internal/invariant"
	"github.com/quorate/quorate/statemachine"
	"github.com/quorate/quorate/store"
)

// Config is what a host is made of.
type Config struct {
	Self    epoch.ReplicaID
	Genesis *proof.Genesis
	Key     crypto.PrivateKey // the member's
	Scheme  crypto.Scheme
	FS      store.FS
	Dir     string // the log's folder
	Log     store.Options
	State   *statemachine.Replicated
	Notes   bool
}

// Host is one replica with what it rests on.
type Host struct {
	replica  *bft.Replica
	checker  *Checker
	writer   *Writer
	executor *Executor
	blocks   *Blocks
	clients  clients
	recovery store.Recovery

	staged   []bft.Effects // of Steps since the last Group was taken
	inFlight bool          // a Group is being written
	bytes    int           // of what is staged
	writing  int           // of what is being written
}

// Group is what one sync covers: the effects of all Steps while the one before it was under way.
type Group struct {
	effects []bft.Effects
	signed  []Envelope // filled by the Writer
}

// Empty says whether the group has nothing to write, so that no sync is needed.
func (g *Group) Empty() bool {
	for i := range g.effects {
		if len(g.effects[i].Persist) > 0 {
			return false
		}
	}
	return true
}

// Envelope is a signed message on its way.
type Envelope struct {
	Message *message.Signed
	To      []epoch.ReplicaID // nobody in particular: all members but this one
	Way     message.Way
}

// Released is what may be done now that a group is durable, in this order.
type Released struct {
	Send         []Envelope
	Blocks       []proof.Header  // of blocks that are durable now, so that the machine may make what it executed durable
	Execute      []bft.Execution // for the Executor
	Read         []bft.Read      // for Blocks.Read, whose answer is an event
	Epochs       []*epoch.Epoch  // the Checker is another one now, and knows these as well
	Acknowledged *bft.Acknowledgement
	Answers      []Answer
	Halt         *bft.Divergence
	Notes        []bft.Note
}

// Step has the replica take in an event. What it wants done is staged.
func (h *Host) Step(e bft.Event) { h.stage(h.replica.Step(e)) }

// Staged is how many bytes of batches and messages wait for the log, or are being written. A driver that sees it grow
// takes in less from outside.
func (h *Host) Staged() int { return h.bytes + h.writing }

func (h *Host) stage(e bft.Effects) {
	if !e.None() {
		h.staged = append(h.staged, e)
		h.bytes += sizeOf(&e)
	}
}

// sizeOf is about how many bytes some effects hold on to.
func sizeOf(e *bft.Effects) int {
	const small = 512 // a fact, a vote
	n := small * (len(e.Persist) + len(e.Send) + len(e.Notes))
	for _, rec := range e.Persist {
		if b, ok := rec.(*ordering.Bodies); ok {
			n += b.Batch.Size()
		}
	}
	for _, o := range e.Send {
		switch b := o.Body.(type) {
		case *message.PrePrepare:
			n += sizeOfProposal(b)
		case *message.PaxosAccept:
			n += sizeOfProposal(&b.PrePrepare)
		case *message.PaxosLearn:
			n += small * len(b.Accepted)
		case *message.PaxosPromise:
			n += small * (len(b.Attestations) + len(b.Accepted))
		case *message.ViewChange:
			n += small * (len(b.Attestations) + 4*len(b.Prepared))
		case *message.Have:
			for _, block := range b.Blocks {
				n += len(block)
			}
		case *message.Bundle:
			n += bytesOf(b.Requests)
		case *message.Bodies:
			n += bytesOf(b.Requests)
		}
	}
	return n
}

func bytesOf(requests []*message.Request) (n int) {
	for _, q := range requests {
		n += q.Size()
	}
	return n
}

func sizeOfProposal(p *message.PrePrepare) int {
	if p.Batch != nil {
		return p.Batch.Size()
	}
	return p.Count() * crypto.DigestSize
}

// Take is the next group to write, or nil if one is being written or nothing is staged.
func (h *Host) Take() *Group {
	if h.inFlight || len(h.staged) == 0 {
		return nil
	}
	h.inFlight = true
	g := &Group{effects: h.staged}
	h.staged, h.bytes, h.writing = nil, 0, h.bytes
	return g
}

// Done says that a group is durable and signed, and yields what may be done now. This replica's own messages have
// come back to it before Done returns.
func (h *Host) Done(g *Group) Released {
	invariant.Holds(h.inFlight, "a group that is done was taken")
	h.inFlight, h.writing = false, 0
	var out Released
	for i := range g.effects {
		e := &g.effects[i]
		for _, next := range e.Enter {
			h.checker = h.checker.with(next)
			h.clients.parameters = next.Parameters
			out.Epochs = append(out.Epochs, next)
		}
		for _, rec := range e.Persist {
			if d, ok := rec.(*ordering.Decided); ok {
				out.Blocks = append(out.Blocks, d.Header)
			}
		}
		out.Execute = append(out.Execute, e.Execute...)
		out.Read = append(out.Read, e.Read...)
		out.Notes = append(out.Notes, e.Notes...)
		for _, a := range e.Answer {
			out.Answers = append(out.Answers, h.clients.refused(a.Request, a.Refusal)...)
		}
		if e.Acknowledged != nil {
			out.Acknowledged = e.Acknowledged
			out.Answers = append(out.Answers, h.clients.acknowledged(e.Acknowledged.Seq)...)
		}
		if e.Halt != nil {
			out.Halt = e.Halt
		}
	}
	for _, env := range g.signed {
		if env.toSelf(h.checker.self) {
			h.Step(bft.Received{Signed: env.Message})
		}
		if env.To == nil || len(env.To) > 0 {
			out.Send = append(out.Send, env)
		}
	}
	return out
}

// toSelf says whether the author is among those that a message is for; what is gossiped its author knows already.
func (e *Envelope) toSelf(self epoch.ReplicaID) bool {
	return e.Message.Author == self && (e.To == nil && e.Way == message.Direct || slices.Contains(e.To, self))
}

// Idle says whether nothing is staged or being written.
func (h *Host) Idle() bool { return !h.inFlight && len(h.staged) == 0 }

// Ask takes in a change of the epoch that an operator has handed in.
func (h *Host) Ask(c *message.Change) error {
	if err := proof.Asked(h.replica.Epoch(), c, h.checker.scheme); err != nil {
		return err
	}
	h.Step(bft.Asked{Change: c})
	id := c.ID()
	if !slices.ContainsFunc(h.replica.Changes(), func(w bft.Change) bool { return w.ID == id }) {
		return errNotTaken
	}
	return nil
}

// Recover takes in a recovery that an operator has handed in.
func (h *Host) Recover(c *message.Recovery) error {
	if err := proof.Recoverable(h.replica.Epoch(), c, h.checker.scheme); err != nil {
		return err
	}
	h.Step(bft.AskedToRecover{Recovery: c})
	if now := h.replica.Recovery(); now == nil || now.ID != c.ID() {
		return errNotTaken
	}
	return nil
}

// errNotTaken is that what operators have signed holds, and does not wait: others do, or the log is beyond it.
var errNotTaken = errors.New("it holds, and is not taken: others wait that are newer or about to come about, or it begins below what this node has")

// Executed says what came of batches.
func (h *Host) Executed(results []Result) {
	outcomes := make([]bft.Outcome, len(results))
	for i := range results {
		outcomes[i] = results[i].Outcome
		h.clients.executed(&results[i])
	}
	h.Step(bft.Executed{Outcomes: outcomes})
}

// Recovery is what opening the log has found.
func (h *Host) Recovery() store.Recovery { return h.recovery }

// Checker judges messages from the wire; anybody may use it. It is another one once Released says so.
func (h *Host) Checker() *Checker { return h.checker }

// Writer belongs to the log.
func (h *Host) Writer() *Writer { return h.writer }

// Executor belongs to the machine.
func (h *Host) Executor() *Executor { return h.executor }

// Blocks may be read by anybody.
func (h *Host) Blocks() *Blocks { return h.blocks }

// Replica is for looking, not for stepping.
func (h *Host) Replica() *bft.Replica { return h.replica }

// Checker judges what comes from outside, without a host's state: it is a value that nobody changes, and any number of goroutines may
// use one.
type Checker struct {
	self   epoch.ReplicaID
	epochs []*epoch.Epoch // from the first one to the newest, which may be about to begin
	scheme crypto.Scheme
}

// with is a Checker that knows one more epoch.
func (c *Checker) with(e *epoch.Epoch) *Checker {
	if c.Epoch().ID == e.ID {
		return c
	}
	out := *c
	out.epochs = append(slices.Clone(c.epochs), e)
	return &out
}

// Epoch is the newest one: clients' requests are judged by it.
func (c *Checker) Epoch() *epoch.Epoch { return c.epochs[len(c.epochs)-1] }

// Of is the epoch of this identity, or nil.
func (c *Checker) Of(id crypto.Digest) *epoch.Epoch {
	for _, e := range slices.Backward(c.epochs) {
		if e.ID == id {
			return e
		}
	}
	return nil
}

// ErrUnknownEpoch is that a message is of an epoch that nobody here has heard of: it may be the one to come.
var ErrUnknownEpoch = errors.New("is of an epoch that is not known here")

// Gossiped is who has brought a frame that came through the gossip: nobody in particular.
const Gossiped epoch.ReplicaID = 0

var (
	errNotGossip = errors.New("does not come through the gossip")
	errRelayed   = errors.New("counts only from its author's own stream")
)

// Message decodes and checks a frame that a member, or the gossip, has brought. A vote is its author's word whoever brings
// it. What tells of a moment (how far its author is, what it lacks, what was just handed to it) counts from the author
// alone: else anybody could repeat it when the moment is long over.
func (c *Checker) Message(frame []byte, from epoch.ReplicaID) (*message.Signed, error) {
	m, err := message.Decode(frame)
	if err != nil {
		return nil, err
	}
	switch kind := m.Body.Kind(); kind {
	case message.KindBundle:
		if from != Gossiped && from != m.Author {
			return nil, fmt.Errorf("%s: %w", kind, errRelayed)
		}
	case message.KindEvidence: // proves itself, whoever brings it
	case message.KindSuspect, message.KindStatus, message.KindWant, message.KindHave, message.KindFetch, message.KindBodies:
		if from != m.Author {
			return nil, fmt.Errorf("%s: %w", kind, errRelayed)
		}
	default:
		if from == Gossiped {
			return nil, fmt.Errorf("%s: %w", kind, errNotGossip)
		}
	}
	e := c.Of(m.Epoch)
	if e == nil {
		return nil, ErrUnknownEpoch
	}
	return m, bft.Check(m, e, c.scheme)
}

// Requests says of each request why it is not valid; nil where it is.
func (c *Checker) Requests(requests []*message.Request) []error {
	return bft.CheckRequests(requests, c.Epoch(), c.scheme)
}
