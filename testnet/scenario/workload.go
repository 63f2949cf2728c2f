package scenario

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"go.starlark.net/starlark"
)

// workload is what clients ask for. Each has one call under way at a time, so that its calls are in an order.
type workload struct {
	r       *runner
	chance  *rand.Rand
	weights [4]int64 // of kinds
	keys    int
	size    int
	mean    time.Duration // between two calls of one client
	stopped bool

	open         int           // calls under way
	acknowledged int           // calls that were answered by the network as a whole: local gets are not among them
	answered     time.Duration // when the newest of those began
}

var kinds = [4]Kind{Put, CAS, Get, LocalGet}

// client is one of them.
type client struct {
	number int
	calls  int
	held   map[string]string // what it has seen last
	late   bool              // its next call waits for the answer to the one before
	busy   bool
}

func (r *runner) beginWorkload(a given) (starlark.Value, error) {
	if r.traffic != nil && !r.traffic.stopped {
		return nil, unfit("clients are busy already: stop_workload() comes first")
	}
	clients, rate := int(of(a, "clients", int64(4))), of(a, "rate", int64(40))
	w := &workload{
		r: r, chance: newChance(r.seed, ofWorkload),
		weights: [4]int64{of(a, "put", int64(5)), of(a, "cas", int64(2)), of(a, "get", int64(3)), of(a, "local_get", int64(0))},
		keys:    int(of(a, "keys", int64(5))), size: int(of(a, "size", int64(16))),
		mean: time.Duration(clients) * time.Second / time.Duration(rate),
	}
	if w.weights == [4]int64{} {
		return nil, errors.New("put, cas, get and local_get are all 0: nothing would be asked for")
	}
	if r.traffic != nil {
		w.acknowledged, w.answered, w.open = r.traffic.acknowledged, r.traffic.answered, r.traffic.open
	}
	r.traffic = w
	if r.dry {
		return nil, nil
	}
	for range clients {
		c := &client{number: r.newClient(), held: make(map[string]string)}
		r.schedule.after(r.cluster.Now()+w.pause(), func() error { w.wake(c); return nil })
	}
	return nil, nil
}

// newClient is the number of a client that has asked for nothing yet. Nobody goes on under a number of whom a call may be open.
func (r *runner) newClient() int {
	r.clients++
	return r.clients
}

func (r *runner) stopWorkload(given) (starlark.Value, error) {
	if r.traffic == nil {
		return nil, errIdle
	}
	r.traffic.stopped = true
	return nil, nil
}

func (w *workload) pause() time.Duration {
	return w.mean/2 + time.Duration(w.chance.Int64N(int64(w.mean)+1))
}

// wake has a client ask for something, now and again.
func (w *workload) wake(c *client) {
	if w.stopped {
		return
	}
	if c.busy {
		c.late = true
		return
	}
	w.r.schedule.after(w.r.cluster.Now()+w.pause(), func() error { w.wake(c); return nil })
	w.ask(c)
}

// ask has a client ask for something.
func (w *workload) ask(c *client) {
	call := w.draw(c)
	c.busy = true
	w.submit(call, func(a Answer) {
		c.learns(call, a)
		if c.busy = false; c.late {
			c.late = false
			w.r.schedule.after(w.r.cluster.Now(), func() error { w.wake(c); return nil })
		}
	})
}

// submit hands a call to the network. It yields the call's place in the history, and calls done when it is answered.
func (w *workload) submit(call Call, done func(Answer)) (place int) {
	r := w.r
	w.open++
	place = len(r.run.History)
	r.run.History = append(r.run.History, Operation{Number: place + 1, Call: call, Answer: Answer{Call: r.cluster.Now(), Outcome: Unknown}})
	r.cluster.Do(call, func(a Answer) {
		r.run.History[place].Answer = a
		r.traffic.open--
		if call.Kind != LocalGet && a.answered() {
			r.traffic.acknowledged++
			r.traffic.answered = max(r.traffic.answered, a.Call)
		}
		done(a)
	})
	return place
}

// draw is what a client asks for next.
func (w *workload) draw(c *client) Call {
	c.calls++
	call := Call{
		Client: c.number, Key: fmt.Sprintf("r%d", w.chance.IntN(w.keys)), Node: 1 + w.chance.IntN(w.r.shape.Nodes),
	}
	sum := int64(0)
	for _, weight := range w.weights {
		sum += weight
	}
	at := w.chance.Int64N(sum)
	for i, weight := range w.weights {
		if at -= weight; at < 0 {
			call.Kind = kinds[i]
			break
		}
	}
	value := fmt.Sprintf("c%d.%d", c.number, c.calls)
	value += strings.Repeat(".", max(0, w.size-len(value)))
	switch call.Kind {
	case Put:
		call.Value = value
	case CAS:
		call.Value = value
		old, held := c.held[call.Key]
		call.Old, call.Absent = old, !held
	}
	if call.Kind != LocalGet {
		call.Node = 0
	}
	return call
}

// learns has a client take in an answer.
func (c *client) learns(call Call, a Answer) {
	switch {
	case a.Outcome == Done && call.Kind != Get && call.Kind != LocalGet:
		c.held[call.Key] = call.Value
	case (a.Outcome == Failed || call.Kind == Get) && a.Held:
		c.held[call.Key] = a.Value
	}
}

// sofar is the history in which what has no answer yet ends now: what became of it nobody knows.
func (w *workload) sofar() []Operation {
	history, now := slices.Clone(w.r.run.History), w.r.cluster.Now()
	for i := range history {
		if a := &history[i].Answer; a.Return == 0 {
			a.Return = now
		}
	}
	return history
}
