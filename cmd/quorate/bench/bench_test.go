package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/statemachine/kv"
)

// lines keeps what each Write was.
type lines struct {
	mu  sync.Mutex
	all []string
	err error
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return 0, l.err
	}
	l.all = append(l.all, string(b))
	return len(b), nil
}

func config(acks *lines, submit func(context.Context, *message.Request) (uint64, error)) Config {
	return Config{
		Clients: 3, Duration: 9950 * time.Millisecond, Grace: 2 * time.Second, Size: 7, Acks: acks,
		Scheme: crypto.Ed25519(), Submit: submit,
		NewKey: func() (crypto.PrivateKey, error) {
			var seed [32]byte
			_, err := rand.Read(seed[:])
			return crypto.NewPrivateKey(seed), err
		},
	}
}

// network answers after a tenth of a second, but in the outage not before its end.
func network(t *testing.T, outage, end time.Duration) func(context.Context, *message.Request) (uint64, error) {
	begun := time.Now()
	seen := make(map[string]bool)
	var mu sync.Mutex
	return func(ctx context.Context, q *message.Request) (uint64, error) {
		mu.Lock()
		place := fmt.Sprint(q.Sender, q.Nonce)
		if seen[place] {
			t.Errorf("nonce %d twice", q.Nonce)
		}
		seen[place] = true
		mu.Unlock()
		wait := 100 * time.Millisecond
		if since := time.Since(begun); since >= outage && since < end {
			wait = end - since
		}
		select {
		case <-time.After(wait):
			return q.Nonce, nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func TestAClosedLoopHasOneTransactionForEachClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		acks := &lines{}
		r, err := Run(t.Context(), config(acks, network(t, time.Hour, time.Hour)))
		if err != nil {
			t.Fatal(err)
		}
		// Ten a second each.
		if r.Offered != 300 || r.Acknowledged != 300 || r.Rejected+r.Unknown != 0 || r.Elapsed != 9950*time.Millisecond || r.MaxGap != 100*time.Millisecond {
			t.Errorf("%+v", r)
		}
		if p50 := r.Latency.ValueAtQuantile(50); p50 < 99_000 || p50 > 101_000 || int(r.PerSecond()) != 29 {
			t.Errorf("p50 %d µs, %v a second", p50, r.PerSecond())
		}
		if len(acks.all) != 300 {
			t.Fatalf("%d acknowledgements written", len(acks.all))
		}
		for _, line := range acks.all {
			f := strings.Split(strings.TrimSuffix(line, "\n"), " ")
			if len(f) != 7 || len(f[0]) != 64 || f[2] != f[3] || len(f[6]) != 7 || strings.Count(line, "\n") != 1 {
				t.Fatalf("line %q", line)
			}
		}
	})
}

func TestAnOutageShowsAsOneGapAndLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, err := Run(t.Context(), config(&lines{}, network(t, 3*time.Second, 5*time.Second)))
		if err != nil || r.Unknown != 0 || r.MaxGap < 1900*time.Millisecond || r.MaxGap > 2100*time.Millisecond || r.Latency.Max() < 1_900_000 {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

func TestWhatIsUnderWayAtTheEndHasItsGraceAndIsThenUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		r, err := Run(t.Context(), config(&lines{}, network(t, 9*time.Second, time.Hour)))
		if err != nil || r.Unknown != 3 || r.Acknowledged != 270 || r.MaxGap != 950*time.Millisecond || time.Since(begun) != 11950*time.Millisecond {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

func TestARejectedTransactionIsCountedAndTheClientGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		good := network(t, time.Hour, time.Hour)
		acks := &lines{}
		r, err := Run(t.Context(), config(acks, func(ctx context.Context, q *message.Request) (uint64, error) {
			if o, err := kv.Decode(q.Operation); err != nil || o.Kind != kv.KindPut {
				t.Errorf("%v, %v", o, err)
			}
			seq, err := good(ctx, q)
			if q.Nonce%10 == 0 {
				return 0, fmt.Errorf("%w: no", ErrRejected)
			}
			return seq, err
		}))
		if err != nil || r.Rejected != 30 || r.Acknowledged != 270 || len(acks.all) != 270 || r.Rejection == nil {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// Red if the load goes on: what it says was acknowledged would be missing from the file.
func TestALoadWhoseAcknowledgementsCannotBeWrittenEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("disk full")
		r, err := Run(t.Context(), config(&lines{err: full}, network(t, time.Hour, time.Hour)))
		if !errors.Is(err, full) || r.Elapsed > time.Second {
			t.Errorf("%+v, %v", r, err)
		}
	})
}
