package local

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/quorate/quorate/api"
	"github.com/quorate/quorate/testnet/fault"
	"github.com/quorate/quorate/testnet/scenario"
)

// life is a home with its processes, one after the other: a node's, or a twin's. It is looked at all the time, so that nobody who wants
// to know how it is waits for an answer.
type life struct {
	home Home
	url  string

	mu     sync.Mutex
	turn   uint64 // what was seen in another turn is not true any more: the process has been started, ended, paused or resumed
	look   scenario.Look
	asked  time.Time         // when it was asked for that
	silent bool              // it has not answered
	logged int64             // bytes of node.log before this process
	heard  fault.Counts      // of this process, the last time that it was asked
	before map[string]uint64 // counts of those before it
	untold []fault.Request   // for a process that is paused
}

func newLife(h Home, url string) *life {
	return &life{home: h, url: url, look: scenario.Look{State: scenario.Down}, before: make(map[string]uint64)}
}

// state is that of the process.
func (l *life) state() scenario.State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.look.State
}

// become begins another turn.
func (l *life) become(s scenario.State) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.turn++
	l.look, l.asked, l.silent = scenario.Look{State: s}, time.Time{}, false
}

// begin says that a process is there, which answers.
func (l *life) begin() { l.become(scenario.Up) }

// prepare notes where the next process begins to write.
func (l *life) prepare() {
	size := int64(0)
	if info, err := os.Stat(l.home.Log()); err == nil {
		size = info.Size()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.logged = size
}

// end says that there is no process any more. Its counts are those that it has kept, or that were heard last.
func (l *life) end(of int) {
	kept, ok := fault.KeptCounts(string(l.home))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.look.State == scenario.Down {
		return
	}
	if !ok {
		kept = l.heard
	}
	tally(l.before, &kept, of)
	l.heard, l.untold = fault.Counts{}, nil
	l.turn++
	l.look = scenario.Look{State: scenario.Down}
}

const (
	// lookEvery is how often a process is looked at, and lookTime how long it has to answer.
	lookEvery = 50 * time.Millisecond
	lookTime  = 500 * time.Millisecond
	// A look that is older than freshTime is made anew for whoever wants to know, who may just have heard of what it does not show. He waits
	// for quickTime, and for a process that does not answer at all once.
	freshTime = 10 * time.Millisecond
	quickTime = 50 * time.Millisecond
	// countEvery is after how many looks it is asked for its counts, and countTime how long it has to answer: those of a process that
	// ends without a word are not younger.
	countEvery = 20
	countTime  = 300 * time.Millisecond
)

// watch looks at a life until the cluster is closed.
func (c *Cluster) watch(m *member, l *life) {
	c.watching.Go(func() {
		t := time.NewTicker(lookEvery)
		defer t.Stop()
		for n := 1; ; n++ {
			select {
			case <-t.C:
			case <-c.ctx.Done():
				return
			}
			if c.lookAgain(m, l, lookTime); n%countEvery == 0 {
				l.hear()
			}
		}
	})
}

// lookAgain sees how a life is, if nothing happens to it meanwhile.
func (c *Cluster) lookAgain(m *member, l *life, patience time.Duration) {
	l.mu.Lock()
	turn, state, asked := l.turn, l.look.State, time.Now()
	l.mu.Unlock()
	if state != scenario.Up {
		return
	}
	look := scenario.Look{State: scenario.Up}
	if _, runs, err := l.home.running(); err == nil && !runs {
		look.State = scenario.Down
	} else {
		l.ask(c.ctx, patience, &look)
	}
	l.mu.Lock()
	if l.turn != turn || l.asked.After(asked) {
		l.mu.Unlock()
		return
	}
	if look.State == scenario.Up {
		l.look, l.asked, l.silent = look, asked, look.Role == ""
	}
	l.mu.Unlock()
	if look.State == scenario.Down { // by itself
		l.end(m.number)
		c.askWhy(m, l)
	}
}

// ask has a node say how it is. Without an answer it says nothing.
func (l *life) ask(ctx context.Context, patience time.Duration, into *scenario.Look) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	code, body, err := get(ctx, l.url+"/status")
	var s api.Status
	if err != nil || code != http.StatusOK || json.Unmarshal([]byte(body), &s) != nil {
		return
	}
	into.Role, into.Leader, into.View, into.Epoch, into.Mode, into.Seq = s.Role, int(s.Leader), s.View, s.Epoch, s.Mode, s.Seq
}

// diverged is what a node's last words have when it has ended because it is alone with its state: node.errDiverged.
const diverged = "a quorum has executed something else than this node"

// askWhy looks in the log of a process that has ended by itself whether it has diverged. A member that lies may.
func (c *Cluster) askWhy(m *member, l *life) {
	l.mu.Lock()
	from := l.logged
	l.mu.Unlock()
	if words := lastLines(l.home.Log(), from, 50); !m.suspect.Load() && strings.Contains(words, diverged) {
		c.find(&scenario.Violation{Check: scenario.Agreement, Node: m.number, Text: "it has ended: " + diverged})
	}
}

// find has the next Wait tell of a violation.
func (c *Cluster) find(v *scenario.Violation) {
	select {
	case c.found <- v:
	default: // as many wait to be told of
	}
}

// hear asks a process for its counts.
func (l *life) hear() {
	l.mu.Lock()
	turn, state := l.turn, l.look.State
	l.mu.Unlock()
	if state != scenario.Up {
		return
	}
	a, err := fault.Ask(string(l.home), fault.Request{Counts: &fault.CountsRequest{}}, time.Now().Add(countTime))
	if err != nil || a.Counts == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.turn == turn {
		l.heard = *a.Counts
	}
}

// counts adds what has come about in a life so far.
func (l *life) counts(into map[string]uint64, of int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, n := range l.before {
		into[key] += n
	}
	tally(into, &l.heard, of)
}

// tally adds a process's counts by the names of package scenario.
func tally(into map[string]uint64, c *fault.Counts, of int) {
	add := func(key string, n uint64) {
		if n > 0 {
			into[key] += n
		}
	}
	for _, l := range c.Links {
		from := int(l.From)
		add(scenario.OnLink(scenario.CountStopped, from, of), l.Stopped)
		add(scenario.OnLink(scenario.CountDelayed, from, of), l.Delayed)
		add(scenario.OnLink(scenario.CountJittered, from, of), l.Jittered)
		add(scenario.OnLink(scenario.CountHeldUp, from, of), l.HeldUp)
		add(scenario.OnLink(scenario.CountLost, from, of), l.Lost)
		add(scenario.OnLink(scenario.CountTwice, from, of), l.Twice)
		add(scenario.OnLink(scenario.CountReordered, from, of), l.Reordered)
	}
	for act, n := range c.Lies {
		add(scenario.AtNode(scenario.CountLies(act), of), n)
	}
	add(scenario.AtNode(scenario.CountSlowed, of), c.Slowed)
	add(scenario.AtNode(scenario.CountFailed, of), c.Failed)
	add(scenario.AtNode(scenario.CountFull, of), c.Full)
}
