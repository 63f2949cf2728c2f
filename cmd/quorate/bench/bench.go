// Package bench puts a closed-loop load on a network: so many clients, each with one transaction under way.
package bench

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/statemachine/kv"
)

// ErrRejected is what Config.Submit's error wraps when the transaction is refused for good. Of any other error the outcome
// is unknown.
var ErrRejected = errors.New("rejected")

// Config is a load.
type Config struct {
	Clients  int
	Duration time.Duration // after it no client begins another transaction
	Grace    time.Duration // how long those under way then have
	Size     int           // of a value, in bytes
	Acks     io.Writer     // one Write for each acknowledged transaction; nil: none

	Chain  crypto.Digest
	Seq    uint64 // what the network has executed, or a little less
	Scheme crypto.Scheme
	NewKey func() (crypto.PrivateKey, error)
	// Submit returns where the transaction was applied. It goes on through outages, with the same bytes, until ctx ends.
	Submit func(ctx context.Context, q *message.Request) (seq uint64, err error)
	// CPU is what the nodes have used so far, together; nil if nobody knows.
	CPU func() time.Duration
}

// MaxSize bounds a value, in bytes.
const MaxSize = kv.MaxValueBytes

// lastAhead is how far ahead of what a client knows its transactions may be executed, in slots: hours.
const lastAhead = 500_000

// keysPerClient bounds what a load leaves behind: a client writes its keys again and again.
const keysPerClient = 1000

// Result is what came of a load. Times are those of acknowledged transactions, from the first attempt to the verified
// answer, retries included.
type Result struct {
	Offered      int
	Acknowledged int
	Rejected     int
	Unknown      int
	Elapsed      time.Duration           // while the load was on
	Latency      *hdrhistogram.Histogram // µs
	MaxGap       time.Duration           // the longest time without any acknowledgement
	CPU          time.Duration           // of all nodes, over the load; 0 if nobody knows
	Rejection    error                   // the first one

	inTime int // acknowledged before Elapsed
}

// PerSecond is how many were acknowledged while the load was on.
func (r *Result) PerSecond() float64 { return float64(r.inTime) / r.Elapsed.Seconds() }

// Run offers the load until its time is over or ctx ends. The error is that of writing the acknowledgements, after which
// nothing more is offered, or of making keys.
func Run(ctx context.Context, c Config) (*Result, error) {
	l := &load{Config: c, histogram: newHistogram()}
	l.seq.Store(c.Seq)
	clients := make([]*client, c.Clients)
	for i := range clients {
		key, err := c.NewKey()
		if err != nil {
			return nil, err
		}
		clients[i] = &client{load: l, number: i + 1, key: key}
	}
	var cpu time.Duration
	if c.CPU != nil {
		cpu = c.CPU()
	}
	l.begun = time.Now()
	l.lastAck = l.begun
	offering, stop := context.WithTimeout(ctx, c.Duration)
	defer stop()
	l.stop = stop
	// Whoever is under way when the time is over may still hear how it went.
	answering, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	context.AfterFunc(offering, func() { time.AfterFunc(c.Grace, cut) })
	var wg sync.WaitGroup
	for _, one := range clients {
		wg.Go(func() { one.run(offering, answering) })
	}
	<-offering.Done()
	ended := l.gapUntilNow()
	wg.Wait()

	r := &l.result
	r.Elapsed, r.Latency = ended.Sub(l.begun), l.histogram
	if c.CPU != nil {
		r.CPU = c.CPU() - cpu
	}
	return r, l.err
}

// newHistogram measures up to ten minutes, to three digits.
func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, (10 * time.Minute).Microseconds(), 3)
}

type load struct {
	Config
	begun time.Time
	seq   atomic.Uint64 // highest acknowledged
	stop  func()

	mu        sync.Mutex
	result    Result
	histogram *hdrhistogram.Histogram
	lastAck   time.Time
	over      bool
	err       error
}

type client struct {
	*load
	number int
	key    crypto.PrivateKey
	nonce  uint64
}

func (c *client) run(offering, answering context.Context) {
	for offering.Err() == nil {
		c.nonce++
		key := fmt.Sprintf("bench/%d/%d", c.number, c.nonce%keysPerClient)
		value := printable(c.Size)
		q := message.NewRequest(c.Scheme, c.key, c.Chain, c.nonce, c.seq.Load()+lastAhead, kv.Put([]byte(key), []byte(value)))
		begun := time.Now()
		seq, err := c.Submit(answering, q)
		c.note(q, key, value, seq, time.Since(begun), err)
	}
}

// printable is so many random characters without spaces, which nothing compresses away.
func printable(size int) string {
	b := make([]byte, (size+1)/2)
	_, _ = rand.Read(b) // never fails
	return hex.EncodeToString(b)[:size]
}

// note writes down how a transaction went, before its client goes on.
func (l *load) note(q *message.Request, key, value string, seq uint64, took time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.result.Offered++
	switch {
	case errors.Is(err, ErrRejected):
		l.result.Rejected++
		if l.result.Rejection == nil {
			l.result.Rejection = err
		}
		return
	case err != nil:
		l.result.Unknown++
		return
	}
	l.result.Acknowledged++
	if !l.over {
		l.result.inTime++
	}
	l.seq.Store(max(l.seq.Load(), seq))
	_ = l.histogram.RecordValue(min(max(took.Microseconds(), 1), l.histogram.HighestTrackableValue()))
	l.gapLocked(time.Now())
	if l.Acks != nil && l.err == nil {
		if _, err := fmt.Fprintf(l.Acks, "%s %s %d %d %d %s %s\n", q.ID(), q.Sender, q.Nonce, seq, time.Now().UnixNano(), key, value); err != nil {
			l.err = fmt.Errorf("write an acknowledgement: %w", err)
			l.stop()
		}
	}
}

// gapLocked ends a stretch without acknowledgements; those after the load are nobody's.
func (l *load) gapLocked(now time.Time) {
	if !l.over {
		l.result.MaxGap = max(l.result.MaxGap, now.Sub(l.lastAck))
		l.lastAck = now
	}
}

// gapUntilNow ends the load's time.
func (l *load) gapUntilNow() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.gapLocked(now)
	l.over = true
	return now
}
