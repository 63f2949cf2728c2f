package node

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/api"
	"github.com/quorate/quorate/statemachine/kv"
)

// event is one that came.
type event struct{ id, kind, data string }

// listen reads a node's events until the test ends, or the node does.
func (w *network) listen(i int, last string) (events <-chan event, stop func()) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w.t.Cleanup(cancel)
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url(w, i)+"/events", nil)
	if err != nil {
		w.t.Fatal(err)
	}
	if last != "" {
		q.Header.Set("Last-Event-ID", last)
	}
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		w.t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "text/event-stream" {
		w.t.Fatalf("answer: %s, %s", answer.Status, answer.Header.Get("Content-Type"))
	}
	out := make(chan event, 10_000)
	go func() {
		defer close(out)
		defer answer.Body.Close()
		var e event
		for s := bufio.NewScanner(answer.Body); s.Scan(); {
			switch name, value, _ := strings.Cut(s.Text(), ": "); name {
			case "id":
				e.id = value
			case "event":
				e.kind = value
			case "data":
				e.data = value
			case "":
				if e.kind != "" {
					out <- e
				}
				e = event{}
			}
		}
	}()
	return out, cancel
}

// committed waits for the next committed slot.
func (w *network) committed(events <-chan event) api.CommittedEvent {
	w.t.Helper()
	for {
		select {
		case e, ok := <-events:
			if !ok {
				w.t.Fatal("the stream has ended")
			}
			if e.kind != "committed" {
				continue
			}
			var c api.CommittedEvent
			if err := json.Unmarshal([]byte(e.data), &c); err != nil || e.id != strconv.FormatUint(c.Seq, 10) {
				w.t.Fatalf("%+v: %v", e, err)
			}
			return c
		case <-time.After(30 * time.Second):
			w.t.Fatal("no event in 30 s")
		}
	}
}

// Whoever listens is told of every slot that is committed, once and in order, over a restart of the node and at another
// node; and first of all how things stand.
//
// Ids that begin anew with the process, or a place in a buffer as id, turn it red.
func TestEventsGoOnWhereTheyWere(t *testing.T) {
	w := newNetwork(t)
	w.start(1, 2, 3, 4)
	w.ready(1, 2, 3, 4)
	events, _ := w.listen(2, "")
	for _, kind := range []string{"epoch", "view", "checkpoint", "ready"} {
		if e := <-events; e.kind != kind || e.id != "" {
			t.Fatalf("%+v, want %s first", e, kind)
		}
	}
	last := uint64(0)
	for range 20 {
		w.submit(1, w.request(kv.Put([]byte("key"), []byte("value"))))
	}
	for last < 10 {
		if c := w.committed(events); c.Seq != last+1 || c.Transactions == 0 {
			t.Fatalf("slot %d with %d transactions after slot %d", c.Seq, c.Transactions, last)
		}
		last++
	}

	w.stop(2)
	for range events { // what was on its way; then it ends
	}
	w.submit(1, w.request(kv.Put([]byte("key"), []byte("meanwhile"))))
	w.start(2)
	w.ready(2)
	tip := uint64(w.same(1, 2, 3, 4).Seq)
	for _, node := range []int{2, 3} {
		events, stop := w.listen(node, strconv.FormatUint(last, 10))
		for at := last + 1; at <= tip; at++ {
			if c := w.committed(events); c.Seq != at {
				t.Fatalf("node %d: slot %d, want %d", node, c.Seq, at)
			}
		}
		stop()
	}
}

// A listener who was told of a state is told when it changes: this one loses its peers.
func TestEventsTellOfReadiness(t *testing.T) {
	w := newNetwork(t)
	w.start(1, 2, 3, 4)
	w.ready(1, 2, 3, 4)
	events, _ := w.listen(4, "")
	w.stop(2)
	w.stop(3)
	deadline := time.After(60 * time.Second)
	for {
		select {
		case e := <-events:
			var r api.ReadyEvent
			if e.kind == "ready" && json.Unmarshal([]byte(e.data), &r) == nil && !r.Ready {
				if r.Why == "" {
					t.Error("and nobody says why")
				}
				return
			}
		case <-deadline:
			t.Fatal("a node without a quorum says nothing")
		}
	}
}

// A place that is no place is refused, not taken for the beginning.
func TestEventsRefuseANonsensicalPlace(t *testing.T) {
	n := &fakeNode{committee: newCommittee(t)}
	s := serve(t, n)
	for _, last := range []string{"x", "-1", "1.5", "99999999999999999999"} {
		q, err := http.NewRequest(http.MethodGet, "http://"+s.addr()+"/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		q.Header.Set("Last-Event-ID", last)
		answer, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s", last, answer.Status)
		}
	}
}

// Listeners have places of their own: those of one address are bounded, and take none from those who read.
//
// Listeners that go through the gate of reads turn it red.
func TestListenersAreBoundedAndTakeNoReadersPlace(t *testing.T) {
	w := newNetwork(t)
	w.start(1, 2, 3, 4)
	w.ready(1, 2, 3, 4)
	w.submit(1, w.request(kv.Put([]byte("key"), []byte("value"))))
	n := w.nodes[0]
	n.service.listening, n.service.reading = newGate(1, 1), newGate(1, 1)
	events, stop := w.listen(1, "")
	defer stop()
	<-events // it is listening

	second, err := http.Get("http://" + w.genesis.Members[0].API + "/events")
	if err != nil {
		t.Fatal(err)
	}
	defer second.Body.Close()
	read, err := http.Get("http://" + w.genesis.Members[0].API + "/block/1")
	if err != nil {
		t.Fatal(err)
	}
	defer read.Body.Close()

	if second.StatusCode != http.StatusTooManyRequests || read.StatusCode != http.StatusOK {
		t.Fatalf("a second listener: %s; a reader: %s", second.Status, read.Status)
	}
}
