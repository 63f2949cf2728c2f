package p2p

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func framed(frames ...[]byte) (b []byte) {
	for _, f := range frames {
		b = append(appendHeader(b, f), f...)
	}
	return b
}

func TestFramesAreReadHoweverTheyAreCut(t *testing.T) {
	frames := [][]byte{{1}, nil, bytes.Repeat([]byte{2}, 3*readPiece+5), nil, bytes.Repeat([]byte{3}, readPiece), {4}}
	for name, cut := range map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r }, "in halves": iotest.HalfReader, "byte by byte": iotest.OneByteReader,
	} {
		r := bufio.NewReader(cut(bytes.NewReader(framed(frames...))))
		for i, want := range frames {
			got, err := readFrame(r, MaxBulkFrame, func() error { return nil })
			if err != nil || !bytes.Equal(got, want) {
				t.Fatalf("%s: frame %d: %d bytes, %v", name, i, len(got), err)
			}
		}
		if _, err := readFrame(r, MaxBulkFrame, nil); err != io.EOF {
			t.Errorf("%s: at the end: %v", name, err)
		}
	}
}

func TestAFrameOverTheLimitIsRefusedByItsHeader(t *testing.T) {
	r := bufio.NewReader(bytes.NewReader([]byte{0, 0, 0, 11}))
	if _, err := readFrame(r, 10, nil); err == nil || !strings.Contains(err.Error(), "11 bytes, over the limit of 10") {
		t.Errorf("error %v", err)
	}
}

// A frame whose body stalls is waited for with a deadline. Breaks if readFrame does not say that it waits.
func TestAFrameThatStallsIsTimed(t *testing.T) {
	late := errors.New("late")
	r := bufio.NewReader(bytes.NewReader([]byte{0, 0, 0, 11, 1}))
	r.Peek(5)
	if _, err := readFrame(r, 20, func() error { return late }); err != late {
		t.Errorf("error %v", err)
	}
}

// case E1: what is announced and does not come costs no more than a piece. Breaks if readFrame makes
// its buffer of the announced size.
func TestAnAnnouncedFrameIsNotAllocatedBeforeItComes(t *testing.T) {
	announced := append([]byte{0, MaxBulkFrame >> 16, 0, 0}, make([]byte, readPiece)...)
	r := bufio.NewReaderSize(bytes.NewReader(announced), 64)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := readFrame(r, MaxBulkFrame, func() error { return nil })
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; err == nil || grown > MaxBulkFrame/4 {
		t.Errorf("%d bytes allocated, error %v", grown, err)
	}
}

// What is read as a frame is what a writer would have written, and no input reads beyond itself.
func FuzzReadFrame(f *testing.F) {
	f.Add(framed([]byte("a"), nil, bytes.Repeat([]byte{7}, 300)))
	f.Add([]byte{255, 255, 255, 255, 1})
	f.Add([]byte{0, 0, 1, 0, 1, 2, 3})
	f.Fuzz(func(t *testing.T, in []byte) {
		const limit = 256
		r := bufio.NewReader(bytes.NewReader(in))
		var again []byte
		for {
			frame, err := readFrame(r, limit, func() error { return nil })
			if err != nil {
				break
			}
			if len(frame) > limit {
				t.Fatalf("frame of %d bytes", len(frame))
			}
			again = append(again, framed(frame)...)
		}
		if !bytes.HasPrefix(in, again) {
			t.Fatalf("read %x from %x", again, in)
		}
	})
}

func FuzzReadHello(f *testing.F) {
	f.Add(hello(Votes, testChain))
	f.Add(hello(Bulk, testChain))
	f.Fuzz(func(t *testing.T, in []byte) {
		err := readHello(bytes.NewReader(in), Votes, testChain)
		if (err == nil) != bytes.HasPrefix(in, hello(Votes, testChain)) {
			t.Fatalf("%x: %v", in, err)
		}
	})
}

func TestAFullVoteQueueDropsItsOldest(t *testing.T) {
	cases := map[string]struct{ size, pushed, kept int }{
		"by count": {1, maxQueuedVotes + 3, maxQueuedVotes},
		"by bytes": {MaxVoteFrame, maxQueuedVoteBytes/MaxVoteFrame + 3, maxQueuedVoteBytes / MaxVoteFrame},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			q := newVoteQueue()
			dropped := 0
			var all [][]byte
			for range c.pushed {
				frame := make([]byte, c.size)
				all = append(all, frame)
				n, _ := q.push(frame)
				dropped += n
			}
			frames, _, _ := q.take(nil)
			if len(frames) != c.kept || dropped != c.pushed-c.kept || &frames[0][0] != &all[dropped][0] {
				t.Errorf("kept %d, dropped %d", len(frames), dropped)
			}
			if frames, _, _ = q.take(nil); len(frames) != 0 || q.bytes != 0 {
				t.Errorf("left %d frames of %d bytes", len(frames), q.bytes)
			}
		})
	}
}

func TestAClosedVoteQueueGivesWhatItHasAndTakesNoMore(t *testing.T) {
	q := newVoteQueue()
	q.push([]byte{1})
	q.close()
	if _, ok := q.push([]byte{2}); ok {
		t.Error("took more")
	}
	if frames, _, closed := q.take(nil); len(frames) != 1 || !closed {
		t.Errorf("%d frames, closed %v", len(frames), closed)
	}
}

func TestAFullByteQueueRefusesTheNewest(t *testing.T) {
	q := newByteQueue(10)
	for size, want := range map[int]bool{11: false, 6: true} {
		if q.push(make([]byte, size)) != want {
			t.Errorf("%d bytes into an empty queue of 10: %v", size, !want)
		}
	}
	if q.push(make([]byte, 5)) || !q.push(make([]byte, 4)) {
		t.Error("5 bytes fit beside 6, or 4 do not")
	}
	if a, b, c := q.pop(), q.pop(), q.pop(); len(a) != 6 || len(b) != 4 || c != nil || q.bytes != 0 {
		t.Errorf("popped %d, %d, %d, left %d bytes", len(a), len(b), len(c), q.bytes)
	}
}

// drive sends pieces over a line that takes rtt, plus queue for each piece beyond free that is under way,
// until the window has been used a few hundred times.
func drive(p *pace, rtt, queue time.Duration, free int) {
	now := time.Unix(0, 0)
	for range 300 {
		pieces := 0
		for p.tryEnter(piece, now) {
			pieces++
		}
		now = now.Add(rtt + queue*time.Duration(max(0, pieces-free)))
		for range pieces {
			p.ack(piece, now)
		}
	}
}

func TestTheWindowGrowsUntilItCostsDelay(t *testing.T) {
	// given a line on which nothing queues, and one that holds 20 pieces
	wide, narrow := newPace(), newPace()
	drive(wide, 50*time.Millisecond, 0, 0)
	drive(narrow, 50*time.Millisecond, time.Millisecond, 20)
	// then the first is filled to the bound, the second to about what it holds
	if wide.window != maxWindow {
		t.Errorf("wide: window of %d pieces", wide.window/piece)
	}
	if got := narrow.window / piece; got < 10 || got > 44 {
		t.Errorf("narrow: window of %d pieces", got)
	}
}

func TestTheWindowNeverShrinksBelowItsLeast(t *testing.T) {
	p := newPace()
	now := time.Unix(0, 0)
	for i := range 50 {
		p.tryEnter(piece, now)
		now = now.Add(time.Duration(i) * time.Second / 10)
		p.ack(piece, now)
	}
	if p.window < minWindow {
		t.Errorf("window of %d bytes", p.window)
	}
}

// A reader that stops stops the writer, with a window under way. Breaks if tryEnter always agrees.
func TestWithoutAcknowledgementsNoMoreThanAWindowIsUnderWay(t *testing.T) {
	p := newPace()
	sent := 0
	for p.tryEnter(piece, time.Unix(0, 0)) {
		if sent += piece; sent > minWindow {
			t.Fatalf("%d bytes under way", sent)
		}
	}
	done := make(chan struct{})
	close(done)
	if p.enter(piece, time.Now, done) {
		t.Error("entered")
	}
	if err := p.ack(uint32(sent+1), time.Unix(1, 0)); err == nil {
		t.Error("an acknowledgement of more than was sent is accepted")
	}
}

// case E12: what a peer can cause to be logged is bounded.
func TestLogLinesCausedByOthersAreBounded(t *testing.T) {
	var a allowance
	now := time.Unix(1000, 0)
	count := func() (n int) {
		for range 1000 {
			if a.take(now) {
				n++
			}
		}
		return n
	}
	if n := count(); n != allowanceBurst {
		t.Errorf("%d lines at once", n)
	}
	now = now.Add(3 * allowanceRefill)
	if n := count(); n != 3 {
		t.Errorf("%d lines after three refills", n)
	}
	var out bytes.Buffer
	log := slog.New(quiet(slog.New(slog.NewTextHandler(&out, nil)))).With("a", 1).WithGroup("g")
	for range 1000 {
		log.Warn("w")
		log.Error("e")
	}
	if lines := strings.Count(out.String(), "\n"); lines != allowanceBurst || strings.Contains(out.String(), "WARN") {
		t.Errorf("%d lines: %s", lines, out.String())
	}
}

// The most crowded address gives way first. Breaks if the listener always evicts the oldest.
func TestAFloodFromOneAddressDoesNotEvictAnother(t *testing.T) {
	l := &handshakeListener{}
	member := &handshake{listener: l, from: "10.0.0.1"}
	l.enter(member)
	for i := range 10 * maxHandshakes {
		if loser := l.enter(&handshake{listener: l, from: "10.0.0.2"}); loser == member || (loser != nil) != (i >= maxHandshakes-1) {
			t.Fatalf("connection %d: evicted %v", i, loser)
		}
	}
	member.leave()
	if len(l.pending) != maxHandshakes-1 {
		t.Errorf("%d pending", len(l.pending))
	}
}

// A connection that has come has time for its handshake: as many as there are places come after it before
// its turn to give way. Breaks if the newest is evicted.
func TestTheOldestHandshakeGivesWayFirst(t *testing.T) {
	l := &handshakeListener{}
	first := &handshake{listener: l, from: "10.0.0.1"}
	l.enter(first)
	for i := range maxHandshakes {
		if loser := l.enter(&handshake{listener: l, from: "10.0.0.1"}); (loser == first) != (i == maxHandshakes-1) {
			t.Fatalf("connection %d evicts the first: %v", i, loser == first)
		}
	}
}

func TestAddressesOfBothNotationsAreUnderstood(t *testing.T) {
	for in, want := range map[string]string{
		"127.0.0.1:27001":          "/ip4/127.0.0.1/tcp/27001",
		"[::1]:27001":              "/ip6/::1/tcp/27001",
		"node1.example:27001":      "/dns/node1.example/tcp/27001",
		"/ip4/127.0.0.1/tcp/27001": "/ip4/127.0.0.1/tcp/27001",
		"/ip4/127.0.0.1/udp/27001": "",
		"27001":                    "",
		"127.0.0.1:x":              "",
	} {
		got, err := multiaddr(in)
		if (err == nil) != (want != "") || (err == nil && got.String() != want) {
			t.Errorf("%s: %v, %v", in, got, err)
		}
	}
}
