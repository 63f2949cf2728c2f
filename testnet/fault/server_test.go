package fault

import (
	"bufio"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/store"
)

func serve(t *testing.T, home string) *Faults {
	t.Helper()
	f := New(1, memberKey(1), store.NewMemory())
	s, err := Serve(home, f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.Close()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// soon is a deadline for a test that will never pass.
func soon() time.Time { return time.Now().Add(time.Minute) }

func ask(t *testing.T, home string, r Request) Answer {
	t.Helper()
	a, err := Ask(home, r, soon())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// raw is a connection to the node of a home.
type raw struct {
	t *testing.T
	net.Conn
	in *bufio.Reader
}

func dialRaw(t *testing.T, home string) *raw {
	t.Helper()
	c, err := dial(home, soon())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetDeadline(soon()); err != nil {
		t.Fatal(err)
	}
	return &raw{t, c, bufio.NewReader(c)}
}

func (r *raw) say(line string) { _, _ = r.Write([]byte(line)) } // what goes wrong shows in the answer

func (r *raw) answer() (a Answer) {
	r.t.Helper()
	line, err := r.in.ReadBytes('\n')
	if err != nil {
		r.t.Fatal(err)
	}
	if err := json.Unmarshal(line, &a); err != nil {
		r.t.Fatalf("%q: %v", line, err)
	}
	return a
}

func TestRequestsDoWhatTheySay(t *testing.T) {
	home := t.TempDir()
	f := serve(t, home)
	ask(t, home, Request{Clock: &ClockRequest{Offset: time.Hour}})
	ask(t, home, Request{Link: &LinkRequest{From: 3, Link: Link{Cut: true}}})
	ask(t, home, Request{Behave: &BehaveRequest{Acts: []string{"silent", "forge"}, Every: 2}})
	slow, free := time.Duration(0), int64(5)
	ask(t, home, Request{Disk: &DiskRequest{HoldBack: true, Slow: &slow, Fill: &free}})
	if f.ClockOffset() != time.Hour || !f.links[3].is.Cut || !f.Lies() || !f.disk.holds || f.disk.free != 5 {
		t.Error("a request has done nothing")
	}
	if a := ask(t, home, Request{Strike: &StrikeRequest{}}); a.Struck == nil || a.Struck.Unsynced != 0 {
		t.Errorf("%+v", a)
	}
	if a := ask(t, home, Request{Counts: &CountsRequest{}}); a.Counts == nil {
		t.Errorf("%+v", a)
	}
}

// A bad request has an error for its answer, and the next one on the same connection is served.
func TestBadRequestsEndNothing(t *testing.T) {
	home := t.TempDir()
	f := serve(t, home)
	c := dialRaw(t, home)
	for _, bad := range []string{
		"", "null", "[]", "{}", "{", `"link"`, `{"clock":{"offset":"soon"}}`, `{"clock":{"ofset":1}}`, `{"clock":{"offset":1}} {}`,
		`{"clock":{"offset":1},"counts":{}}`, `{"shutdown":{}}`, `{"link":{"from":0}}`, `{"link":{"from":77}}`, `{"link":{"from":-1}}`,
		`{"link":{"from":2,"lost":1.5}}`, `{"link":{"from":2,"delay":-5}}`, `{"behave":{"acts":["lying"]}}`, `{"behave":{"acts":["silent"],"every":-1}}`,
		`{"disk":{}}`, `{"disk":{"fill":-1}}`, `{"disk":{"slow":-1}}`, `{"strike":{"patience":-1}}`, `{"strike":{"patience":900000000000}}`,
	} {
		c.say(bad + "\n")
		if a := c.answer(); a.Error == "" {
			t.Errorf("%q is taken", bad)
		}
	}
	if f.ClockOffset() != 0 || f.Lies() {
		t.Error("a bad request was carried out")
	}
	c.say(`{"clock":{"offset":7}}` + "\n")
	if a := c.answer(); a.Error != "" || f.ClockOffset() != 7 {
		t.Errorf("after bad requests: %+v", a)
	}
	if _, err := Ask(home, Request{Behave: &BehaveRequest{Acts: []string{"lying"}}}, soon()); err == nil || !strings.Contains(err.Error(), "equivocate") {
		t.Errorf("an unknown act: %v", err)
	}
}

func TestAnOversizedLineIsRefused(t *testing.T) {
	home := t.TempDir()
	serve(t, home)
	c := dialRaw(t, home)
	go c.say(strings.Repeat("x", 2*maxLine))
	if a := c.answer(); !strings.Contains(a.Error, "64 KiB") {
		t.Errorf("%+v", a)
	}
	ask(t, home, Request{Counts: &CountsRequest{}})
}

func TestTwoClientsAreServedAtOnce(t *testing.T) {
	home := t.TempDir()
	serve(t, home)
	one, other := dialRaw(t, home), dialRaw(t, home)
	one.say(`{"counts":`)
	other.say(`{"counts":{}}` + "\n")
	if a := other.answer(); a.Counts == nil {
		t.Errorf("%+v", a)
	}
	one.say("{}}\n")
	if a := one.answer(); a.Counts == nil {
		t.Errorf("%+v", a)
	}
}

func TestTheSocketOfALongHome(t *testing.T) {
	home := filepath.Join(t.TempDir(), strings.Repeat("a-folder-with-a-long-name", 8))
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	serve(t, home)
	ask(t, home, Request{Counts: &CountsRequest{}})
}

// A node that was killed has left its socket behind: the next one takes its place. It is the owner's alone.
func TestAStaleSocketIsReplaced(t *testing.T) {
	home := t.TempDir()
	l, err := listen(home)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := os.Stat(filepath.Join(home, socketName)); err != nil {
		t.Fatal("nothing was left behind")
	}
	serve(t, home)
	ask(t, home, Request{Counts: &CountsRequest{}})
	info, err := os.Stat(filepath.Join(home, socketName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// Whoever looks when the node has ended still finds how often what has come about; the next process begins anew.
func TestCountsOfAFaultThatEndsTheNodeAreKept(t *testing.T) {
	home := t.TempDir()
	f := serve(t, home)
	if _, ok := KeptCounts(home); ok {
		t.Error("there are counts before anything has happened")
	}
	if err := store.Create(f.Disk(), "/log", store.Record{Payload: []byte("birth")}, store.Options{SegmentBytes: 4096}); err != nil {
		t.Fatal(err)
	}
	log, _, err := store.Open(f.Disk(), "/log", store.Options{SegmentBytes: 4096}, func(store.Position, store.Record, bool) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := log.Append([]store.Record{{Kind: 1}}, false); err != nil {
		t.Fatal(err)
	}
	ask(t, home, Request{Disk: &DiskRequest{FailSync: true}})
	if log.Sync() == nil {
		t.Error("no sync has failed")
	}
	if c, ok := KeptCounts(home); !ok || c.Failed != 1 {
		t.Errorf("kept %v %+v", ok, c)
	}
	if err := New(1, memberKey(1), store.NewMemory()).Begin(home); err != nil {
		t.Fatal(err)
	}
	if _, ok := KeptCounts(home); ok {
		t.Error("the next process has the counts of the one before it")
	}
}

func TestANodeBeginsWithWhatWasLeft(t *testing.T) {
	home := t.TempDir()
	f := New(1, memberKey(1), store.NewMemory())
	if err := f.Begin(home); err != nil {
		t.Fatal(err)
	}
	left := []Request{
		{Clock: &ClockRequest{Offset: time.Hour}}, {Disk: &DiskRequest{HoldBack: true}}, {Behave: &BehaveRequest{Acts: []string{"silent"}, Every: 1}},
	}
	for range 2 {
		if err := Leave(home, left); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Begin(home); err != nil || f.ClockOffset() != time.Hour || !f.disk.holds || !f.Lies() {
		t.Errorf("%v: off by %v", err, f.ClockOffset())
	}
	if err := os.WriteFile(firstFile(home), []byte("{\"clock\":{\"offset\":1}}\n{\"clok\":{}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.Begin(home); err == nil || !strings.Contains(err.Error(), "faults.json:2: ") {
		t.Errorf("%v", err)
	}
}
