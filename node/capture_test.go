package node

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/statemachine/kv"
)

// captured reads a whole capture.
func captured(t *testing.T, path string) (lines []Captured) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		var c Captured
		if err := json.Unmarshal(s.Bytes(), &c); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		lines = append(lines, c)
	}
	return lines
}

// binding are the kinds of which a member says at most one thing for each view and slot.
var binding = map[string]bool{
	message.KindPrePrepare.String(): true, message.KindPrepare.String(): true,
	message.KindCommit.String(): true, message.KindAttestation.String(): true,
}

// Over crashes and restarts no member signs two things that conflict: told by all that was ever captured. And what others
// have received of a member is in its own capture, where it stands before it was sent.
//
// case F1; a vote that is built anew after a restart, or a line that is written after sending, turns it red.
func TestNobodySignsTwoThingsForOneSlot(t *testing.T) {
	w := newNetwork(t)
	path := func(i int) string { return filepath.Join(w.dir, fmt.Sprintf("capture%d", i)) }
	start := func(i int) {
		c := w.config(i)
		c.Capture = path(i)
		n, err := Start(c)
		if err != nil {
			t.Fatal(err)
		}
		w.nodes[i-1] = n
	}
	for i := 1; i <= 4; i++ {
		start(i)
	}
	w.ready(1, 2, 3, 4)
	for round := 1; round <= 4; round++ {
		for range 10 {
			w.submit(1, w.request(kv.Put([]byte("key"), []byte("value"))))
		}
		w.stop(round)
		start(round)
		w.ready(1, 2, 3, 4)
	}
	w.submit(1, w.request(kv.Put([]byte("key"), []byte("last"))))
	w.same(1, 2, 3, 4)
	for i := 1; i <= 4; i++ {
		w.stop(i)
	}

	type slot struct {
		member    uint32
		kind      string
		view, seq uint64
	}
	signed := make(map[slot]string)
	sent := make(map[string]bool)
	votes := 0
	for i := 1; i <= 4; i++ {
		for _, c := range captured(t, path(i)) {
			if c.Direction == "out" && int(c.Member) != i {
				continue // another's word, passed on
			}
			sent[c.Signed] = sent[c.Signed] || c.Direction == "out"
			if !binding[c.Kind] {
				continue
			}
			votes++
			at := slot{uint32(c.Member), c.Kind, c.View, c.Seq}
			if before, ok := signed[at]; ok && before != c.Signed {
				t.Errorf("member %d has signed two %ss for slot %d in view %d", c.Member, c.Kind, c.Seq, c.View)
			}
			signed[at] = c.Signed
		}
	}
	if votes < 4*40 {
		t.Fatalf("%d votes captured", votes)
	}
	for i := 1; i <= 4; i++ {
		for _, c := range captured(t, path(i)) {
			if c.Direction == "in" && !sent[c.Signed] {
				t.Fatalf("node %d has received a %s of member %d that is not in its author's capture", i, c.Kind, c.Member)
			}
		}
	}
}

// What is for test networks is refused on others.
func TestCaptureTwinsAndFaultsAreForTestNetworks(t *testing.T) {
	w := newNetwork(t)
	g := *w.genesis
	g.Test = false
	for _, change := range []func(*Config){
		func(c *Config) { c.Capture = filepath.Join(w.dir, "capture") },
		func(c *Config) { c.Twin = true },
		func(c *Config) { c.Faults = clockOff{} },
	} {
		c := w.config(1)
		c.Genesis = &g
		change(&c)
		if _, err := Start(c); !errors.Is(err, errTestOnly) {
			t.Errorf("not refused: %v", err)
		}
	}
}

// clockOff is a clock that shows another time, and no other fault.
type clockOff struct {
	noFaults
	offset time.Duration
}

func (c clockOff) ClockOffset() time.Duration { return c.offset }

// Clocks that are hours and years off at backups neither stop the network nor get into the chain's time.
//
// case G1; timers by the wall clock, or a vote withheld for a clock of one's own, turn it red.
func TestClocksFarOffStopNothing(t *testing.T) {
	w := newNetwork(t)
	for i, offset := range []time.Duration{0, time.Hour, -10 * 365 * 24 * time.Hour, 10 * 365 * 24 * time.Hour} {
		c := w.config(i + 1)
		c.Faults = clockOff{offset: offset}
		n, err := Start(c)
		if err != nil {
			t.Fatal(err)
		}
		w.nodes[i] = n
	}
	w.ready(1, 2, 3, 4)
	begun := time.Now().UnixMilli()
	for i := range 8 {
		w.submit(i%4+1, w.request(kv.Put([]byte("key"), fmt.Append(nil, i))))
	}
	s := w.same(1, 2, 3, 4)
	d, ok, err := w.nodes[1].Blocks().Decision(s.Seq)
	if err != nil || !ok {
		t.Fatal(err)
	}
	if at := d.Header.Time; at < begun || at > time.Now().UnixMilli() {
		t.Errorf("the chain's time is %d, it is between %d and %d", at, begun, time.Now().UnixMilli())
	}
}
