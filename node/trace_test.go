package node

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"testing"

	"github.com/quorate/quorate/api"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/statemachine/kv"
)

// Every node tells a slot's life: what members said of it, and when it came to each step, in an order that the protocol
// allows. (A node that is slow may hear a quorum of commits before it has anything to say itself.)
func TestATraceTellsASlotsLife(t *testing.T) {
	w := newNetwork(t)
	w.start(1, 2, 3, 4)
	w.ready(1, 2, 3, 4)
	seq := w.submit(2, w.request(kv.Put([]byte("key"), []byte("value")))).Seq

	everywhere := map[string]bool{}
	for i := 1; i <= 4; i++ {
		var at map[string]int64
		w.until("a node has acknowledged the slot", func() bool {
			at = tracedSteps(t, w.genesis.Members[i-1].API, uint64(seq))
			return at["acknowledged"] > 0
		})
		for step := range at {
			everywhere[step] = true
		}
		for _, order := range [][]string{
			{"proposal 1", "accepted", "prepared", fmt.Sprintf("commit %d", i)}, {"accepted", "decided", "acknowledged"},
			{"executed", "durable", "acknowledged"},
		} {
			for j := 1; j < len(order); j++ {
				if before, after := at[order[j-1]], at[order[j]]; after > 0 && before > after {
					t.Errorf("node %d: %s at %d, %s at %d", i, order[j-1], before, order[j], after)
				}
			}
		}
		if at["executed"] == 0 || at["durable"] == 0 || at["decided"]+at["learned"] == 0 {
			t.Errorf("node %d: tells %v", i, at)
		}
	}
	for _, step := range []string{"proposal 1", "accepted", "prepared", "commit 1", "decided", "attestation 2"} {
		if !everywhere[step] {
			t.Errorf("no node tells of %s", step)
		}
	}
}

// tracedSteps is when a node reached each step; steps of members have their number behind them.
func tracedSteps(t *testing.T, address string, seq uint64) map[string]int64 {
	t.Helper()
	answer, err := http.Get(fmt.Sprintf("http://%s/trace/%d", address, seq))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var trace api.Trace
	if err := json.NewDecoder(answer.Body).Decode(&trace); err != nil {
		t.Fatal(err)
	}
	at := map[string]int64{}
	for _, p := range trace.Points {
		switch p.Step {
		case "proposal", "prepare", "commit", "attestation":
			at[fmt.Sprintf("%s %d", p.Step, p.Member)] = p.UnixNanos
		default:
			at[p.Step] = p.UnixNanos
		}
	}
	return at
}

// What a member says of slots far away pushes out nothing, and takes no time.
// Red if heard does not look at the window's end.
func TestATraceKeepsToTheWindow(t *testing.T) {
	tr := newTrace(1, 4)
	tr.heard(&message.Signed{Author: 2, Body: &message.Prepare{Vote: message.Vote{Seq: 7}}}, 100, 1)

	for _, seq := range []epoch.Seq{7 + traceSlots, math.MaxUint64 - (math.MaxUint64-7)%traceSlots} {
		tr.heard(&message.Signed{Author: 3, Body: &message.Prepare{Vote: message.Vote{Seq: seq}}}, 100, 2)
		tr.heard(&message.Signed{Author: 3, Body: &message.Attestation{Seq: seq}}, 100, 2)
	}

	points, ok := tr.of(7)
	if !ok || len(points) != 2 || points[0].step != stepPrepare || points[1].step != stepAttestation {
		t.Fatalf("slot 7 has %v", points)
	}
	if points, ok := tr.of(7 + traceSlots); ok {
		t.Fatalf("a slot beyond the window has %v", points)
	}
}

// A member that says much about one slot fills its trace only so far.
func TestATraceIsBounded(t *testing.T) {
	tr := newTrace(1, 4)
	for view := range epoch.View(10 * tr.most) {
		tr.heard(&message.Signed{Author: 2, Body: &message.Prepare{Vote: message.Vote{View: view, Seq: 7}}}, 100, 1)
	}
	if points, _ := tr.of(7); len(points) != tr.most {
		t.Fatalf("%d points, want %d", len(points), tr.most)
	}
}
