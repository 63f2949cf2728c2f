package statemachine

import (
	"fmt"
	"testing"
)

// putter writes 256 bytes under the operation's key.
type putter struct{ steps }

var benchValue = make([]byte, 256)

func (putter) Apply(v View, _ Context, op []byte) ([]byte, error) {
	v.Set(op, benchValue)
	return nil, nil
}

const benchTransactions = 100

func benchBatch(seq uint64) Batch {
	ts := make([]Transaction, benchTransactions)
	for i := range ts {
		ts[i] = Transaction{ID: numbered(seq*benchTransactions + uint64(i)), Sender: sender(i % 64), Nonce: seq*2 + uint64(i/64),
			Last: seq, Operation: fmt.Appendf(nil, "key-%d", (seq*benchTransactions+uint64(i))%50_000)}
	}
	return batchAt(seq, ts...)
}

func benchmark(b *testing.B, on Backing, run func(r *Replicated, batch Batch)) {
	r, err := Open(on, putter{}, DefaultLimits())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for seq := uint64(1); b.Loop(); seq++ {
		b.StopTimer()
		batch := benchBatch(seq)
		b.StartTimer()
		run(r, batch)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchTransactions, "ns/tx")
}

func execute(b *testing.B, r *Replicated, batch Batch) {
	if done, err := r.Execute(batch); err != nil || done.Outcomes[0].Status != Applied {
		b.Fatal(err, done.Outcomes[0].Status)
	}
}

func commit(b *testing.B, r *Replicated) {
	if err := r.Commit(Newest); err != nil {
		b.Fatal(err)
	}
}

// A batch of 100 puts of 256 bytes, in memory: the digests are known after that.
func BenchmarkExecute100(b *testing.B) {
	benchmark(b, NewMemory(), func(r *Replicated, batch Batch) {
		execute(b, r, batch)
		b.StopTimer()
		commit(b, r)
		b.StartTimer()
	})
}

// The same on Badger.
func BenchmarkExecute100OnBadger(b *testing.B) {
	on := onBadger(b, b.TempDir())
	defer closed(b, on)
	benchmark(b, on, func(r *Replicated, batch Batch) {
		execute(b, r, batch)
		b.StopTimer()
		commit(b, r)
		b.StartTimer()
	})
}

// Its synced commit.
func BenchmarkCommit100OnBadger(b *testing.B) {
	on := onBadger(b, b.TempDir())
	defer closed(b, on)
	benchmark(b, on, func(r *Replicated, batch Batch) {
		b.StopTimer()
		execute(b, r, batch)
		b.StartTimer()
		commit(b, r)
	})
}
