package node

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/node/host"
)

// stages measures how long slots take from one point to the next, as this node sees it. All but door and answered
// belong to the core.
//
//	door      a transaction waits for its signature to be checked
//	prepare   the proposal is in the log, until a quorum stands by it and that is in the log: two messages, two syncs
//	commit    until a quorum has committed and all earlier slots are decided: one message
//	execute   until the machine has applied it
//	block     until the block is in the log: one sync
//	attest    until a quorum has attested it: one message
//	answer    a transaction from the door on, until it is acknowledged
type stages struct {
	observers [len(stageNames)]prometheus.Observer
	slots     [recentSlots]slotTimes // by sequence number modulo their number
	waiting   epoch.Seq              // the oldest slot that is not acknowledged
}

type stage int

const (
	stageDoor stage = iota
	stagePrepare
	stageCommit
	stageExecute
	stageBlock
	stageAttest
	stageAnswer
)

var stageNames = [...]string{
	stageDoor: "door", stagePrepare: "prepare", stageCommit: "commit", stageExecute: "execute",
	stageBlock: "block", stageAttest: "attest", stageAnswer: "answer",
}

// slotTimes is a slot's latest point.
type slotTimes struct {
	seq epoch.Seq
	at  time.Time
}

func newStages(h *prometheus.HistogramVec) *stages {
	s := &stages{}
	for i, name := range stageNames {
		s.observers[i] = h.WithLabelValues(name)
	}
	return s
}

func (s *stages) door(d time.Duration)     { s.observers[stageDoor].Observe(d.Seconds()) }
func (s *stages) answered(d time.Duration) { s.observers[stageAnswer].Observe(d.Seconds()) }

// begin says that a slot's proposal is in the log.
func (s *stages) begin(seq epoch.Seq, now time.Time) {
	s.slots[seq%recentSlots] = slotTimes{seq: seq, at: now}
}

// reach says that a slot has come to the end of a stage. A slot that came as a block has no beginning.
func (s *stages) reach(seq epoch.Seq, end stage, now time.Time) {
	t := &s.slots[seq%recentSlots]
	if t.seq != seq {
		return
	}
	s.observers[end].Observe(now.Sub(t.at).Seconds())
	t.at = now
}

// follow takes in what the host has released.
func (s *stages) follow(r host.Released) {
	now := time.Now()
	for _, note := range r.Notes {
		if b, ok := note.(bft.BoundTo); ok && b.Phase == message.Accepted {
			s.begin(b.Seq, now)
		} else if ok {
			s.reach(b.Seq, stagePrepare, now)
		}
	}
	for _, x := range r.Execute {
		s.reach(x.Seq, stageCommit, now)
	}
	for i := range r.Blocks {
		s.reach(r.Blocks[i].Seq, stageBlock, now)
	}
	if a := r.Acknowledged; a != nil {
		for seq := max(s.waiting, a.Seq-min(a.Seq, recentSlots-1)); seq <= a.Seq; seq++ {
			s.reach(seq, stageAttest, now)
		}
		s.waiting = a.Seq + 1
	}
}

// executed takes in what came of batches.
func (s *stages) executed(results []host.Result) {
	now := time.Now()
	for i := range results {
		s.reach(results[i].Seq, stageExecute, now)
	}
}
