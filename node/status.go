package node

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/store"
)

// snapshot is one consistent moment of the core, for everybody else to look at.
type snapshot struct {
	Status
	moved      epoch.Seq // newest slot executed when movedAt was set
	stuckTicks int       // ticks since anything was executed, while requests wait
	staged     int       // bytes that wait for the log, or are being written
	evidence   []*message.Evidence
	epochs     epochs
	changes    []bft.Change
	recovery   *bft.Recovery
	said       bool      // the readiness that the log has been told of
	saidAt     time.Time // when
}

type snapshotHolder struct{ p atomic.Pointer[snapshot] }

// stuckTicks is after how many ticks without progress, while requests wait, a node calls itself not ready: twice the
// least view timeout.
const stuckTicks = 100

// publish takes a snapshot. It belongs to the core, but for the first, which is taken before the core runs.
func (n *Node) publish() {
	r := n.host.Replica()
	e := r.Epoch()
	head := r.Head()
	s := &snapshot{
		moved: head.Seq,
		Status: Status{
			Chain: e.Chain, Node: n.cfg.Self, Role: Role(r.Role().String()), Mode: e.Mode, Epoch: e.Number, View: r.View(), Leader: r.Leader(),
			Seq: head.Seq, Stable: r.Stable().Header.Seq, Header: head.Digest(), State: head.State,
			Incarnation: r.Incarnation(), Members: e.Members, Version: n.cfg.Version,
		},
	}
	if r.Observes() {
		s.Role = ObserverRole
	}
	s.PoolTransactions, s.PoolBytes = r.Pooled()
	if old := n.snapshot.p.Load(); old != nil {
		if old.moved == s.moved && s.PoolTransactions > 0 {
			s.stuckTicks = old.stuckTicks + 1
		}
		if old.View != s.View && old.Epoch == s.Epoch {
			n.metrics.views.Inc()
		}
	}
	s.epochs, s.changes, s.recovery = epochsOf(r), r.Changes(), r.Recovery()
	s.evidence = r.Evidence()
	s.Evidence = len(s.evidence)
	s.Peers = len(n.network.Connected())
	s.Ready, s.Why = n.ready(r, s)
	s.staged = n.host.Staged()
	n.sayReady(s)
	n.snapshot.p.Store(s)
	n.pulse.moved(s.Status, r.Acknowledged())
}

// sayReadyPause is how long the log stays with what it has said of a node's readiness: one that flaps fills no log.
const sayReadyPause = time.Second

// sayReady puts into the log that the node has become ready, or is not any more, and why.
func (n *Node) sayReady(s *snapshot) {
	now := time.Now()
	if old := n.snapshot.p.Load(); old != nil {
		if s.said, s.saidAt = old.said, old.saidAt; s.said == s.Ready || now.Sub(s.saidAt) < sayReadyPause {
			return
		}
	}
	s.said, s.saidAt = s.Ready, now
	if s.Ready {
		n.log.Info("ready", "seq", s.Seq, "view", s.View, "leader", s.Leader, "peers", s.Peers)
	} else {
		n.log.Info("not ready", "seq", s.Seq, "why", s.Why)
	}
}

// Look is how the node was when it moved last.
func (n *Node) Look() (moment, epoch.Seq, <-chan struct{}) { return n.pulse.look() }

// ready says whether the node is caught up and able to commit, and if not, why. A leader that is away is no reason: it is replaced
// once something is due, so whatever clients ask for meanwhile must be taken in.
func (n *Node) ready(r *bft.Replica, s *snapshot) (bool, string) {
	e := r.Epoch()
	behind := r.Behind()
	switch {
	case r.Halted():
		return false, errDiverged.Error()
	case r.Observes():
		return false, "this member's log is not the one that this epoch names, so it has forgotten what it promised: it follows as an observer, and asks to be renewed"
	case s.Peers+1 < e.Quorum():
		why := fmt.Sprintf("connected to %d of %d members, %d are needed with this one", s.Peers, e.N()-1, e.Quorum())
		if foreign := n.network.Traffic().Foreign; foreign > 0 {
			why += fmt.Sprintf("; %d greetings by nodes of another chain or version were refused: compare the genesis files", foreign)
		}
		return false, why
	case behind > uint64(e.Parameters.Checkpoint):
		return false, fmt.Sprintf("%d slots behind", behind)
	case s.stuckTicks > stuckTicks:
		return false, fmt.Sprintf("%d requests wait, and nothing was executed for %d ms", s.PoolTransactions, s.stuckTicks*bft.TickMillis)
	}
	return true, ""
}

// Evidence is what this node holds against members.
func (n *Node) Evidence() []*message.Evidence { return n.snapshot.p.Load().evidence }

// Status is one consistent moment.
func (n *Node) Status() Status {
	s := n.snapshot.p.Load().Status
	select {
	case <-n.stopping:
		s.Ready, s.Why = false, ErrStopping.Error()
	default:
	}
	return s
}

// Ready says whether the node is caught up and able to commit, and if not, why.
func (n *Node) Ready() (bool, string) {
	s := n.Status()
	return s.Ready, s.Why
}

// reportRecovery tells the operator what the disk has done to the log, and what was done about it.
func (n *Node) reportRecovery(r store.Recovery) {
	for _, at := range r.Mended {
		n.log.Warn("the disk had damaged one of the two copies of a fact: it was written anew from the other", "file", at.File, "offset", at.Offset)
	}
	for _, at := range r.Lost {
		n.log.Warn("the disk has damaged transactions in the log: they are fetched from other members", "file", at.File, "offset", at.Offset)
	}
	if r.TornBytes > 0 {
		n.log.Info("the end of the log was cut: it was being written when the process ended", "at", r.TornAt, "bytes", r.TornBytes)
	}
}

// report puts what happened into the log.
func (n *Node) report(notes []bft.Note) {
	for _, note := range notes {
		switch note := note.(type) {
		case bft.Unused:
			n.log.Debug("message of no use", "kind", note.Kind, "member", note.Author, "reason", note.Reason)
		case bft.LeftView:
			n.log.Info("leaves for another view", "view", note.View)
		case bft.EnteredView:
			n.log.Info("votes in another view", "view", note.View, "leader", note.Leader)
		case bft.StableAt:
			n.log.Debug("checkpoint is stable", "seq", note.Seq)
		case bft.HoldsEvidence:
			of := note.Broken()
			n.log.Warn("a member has signed two things of which a correct one signs one", "member", of.Author, "kind", of.Kind, "view", of.View, "seq", of.Seq)
		case bft.SealedEpoch:
			n.log.Info("this epoch has ended", "at", note.Next.Base, "next", note.Next.Number, "mode", note.Next.Mode)
		case bft.EnteredEpoch:
			n.publish() // before anybody asks for a block of it
			n.log.Info("another epoch has begun", "epoch", note.Number, "mode", note.Mode, "base", note.Base)
		case bft.VoidChange:
			n.log.Warn("a change was decided where it does not hold: it changes nothing", "seq", note.Seq, "reason", note.Reason)
		case bft.MendedBlock:
			n.log.Info("a block that the disk had damaged is whole again", "seq", note.Seq, "from", note.From)
		case bft.DecidedSlot:
			n.log.Debug("decided", "seq", note.Seq, "batch", note.Batch.Short(), "learned", note.Learned)
		}
	}
}
