package p2p

import (
	"fmt"
	"sync"
	"time"
)

const (
	piece   = 16 << 10 // bulk is written and acknowledged in pieces of this many bytes
	ackSize = 4        // an acknowledgement: how many more bytes were read, big-endian

	minWindow = 4 * piece
	maxWindow = 256 * piece

	// delayTarget is how much longer than at its best a piece may be under way before the window shrinks:
	// about how long a vote may then have to stand behind bulk.
	delayTarget = time.Millisecond
	basePeriod  = time.Minute // the best time is forgotten after this long: routes change
)

// pace decides how much bulk may be under way on a connection. Votes and bulk share one TCP connection,
// and what is in its buffers cannot be overtaken; so bulk keeps them short by itself. The reader
// acknowledges what it reads; while that takes hardly longer than at its best the window grows, when
// it takes longer a queue has formed somewhere, and the window shrinks. This is the idea of LEDBAT (RFC
// 6817), with the round trip in place of the one-way delay.
//
// A reader who stops reading thereby stops the writer, with at most a window under way.
type pace struct {
	mu       sync.Mutex
	window   int // bytes that may be under way
	underway int
	sent     uint64 // bytes, since the beginning of the stream
	acked    uint64
	marks    []mark // pieces under way, oldest first
	best     time.Duration
	bestAt   time.Time
	shrunkAt uint64 // sent, when the window was last shrunk: once for each round trip
	wake     chan struct{}
}

type mark struct {
	end uint64 // value of sent behind the piece
	at  time.Time
}

func newPace() *pace { return &pace{window: minWindow, wake: make(chan struct{}, 1)} }

// enter waits until n more bytes may be under way; false if done is closed first. n is at most a piece.
func (p *pace) enter(n int, now func() time.Time, done <-chan struct{}) bool {
	for !p.tryEnter(n, now()) {
		select {
		case <-p.wake:
		case <-done:
			return false
		}
	}
	return true
}

func (p *pace) tryEnter(n int, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.underway+n > p.window {
		return false
	}
	p.underway += n
	p.sent += uint64(n)
	p.marks = append(p.marks, mark{p.sent, now})
	return true
}

// ack is told that the reader has read n more bytes. More than was sent is an error.
func (p *pace) ack(n uint32, now time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if uint64(n) > p.sent-p.acked {
		return fmt.Errorf("%d bytes of bulk acknowledged, with %d under way", n, p.sent-p.acked)
	}
	p.acked += uint64(n)
	p.underway -= int(n)
	var newest mark
	for len(p.marks) > 0 && p.marks[0].end <= p.acked {
		newest, p.marks = p.marks[0], p.marks[1:]
	}
	if newest.end > 0 {
		p.adapt(now.Sub(newest.at), int(n), now)
	}
	poke(p.wake)
	return nil
}

func (p *pace) adapt(took time.Duration, n int, now time.Time) {
	if p.bestAt.IsZero() || took < p.best || now.Sub(p.bestAt) > basePeriod {
		p.best, p.bestAt = took, now
	}
	if took <= p.best+delayTarget {
		p.window = min(maxWindow, p.window+n)
		return
	}
	if p.acked >= p.shrunkAt {
		p.window = max(minWindow, p.window/2)
		p.shrunkAt = p.sent
	}
}
