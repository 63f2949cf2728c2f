package p2p

import (
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// echoPair is two members, of which the second answers every vote, and swallows bulk.
func echoPair(b *testing.B) (nodes []*node, bulkBytes *atomic.Int64) {
	bulkBytes = new(atomic.Int64)
	var answer atomic.Pointer[Network]
	nodes = newCluster(b, 2, func(i int, cfg *Config) {
		if i == 1 {
			cfg.Receive = func(from int, class Class, frame []byte) {
				if class == Bulk {
					bulkBytes.Add(int64(len(frame)))
					return
				}
				answer.Load().Send(from, Votes, frame)
			}
		}
	})
	answer.Store(nodes[1].Network)
	return nodes, bulkBytes
}

func roundTrips(b *testing.B, nodes []*node) {
	var took []time.Duration
	vote := make([]byte, 200)
	for b.Loop() {
		began := time.Now()
		nodes[0].Send(1, Votes, vote)
		take(b, nodes[0].arrivals, "the answer")
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds())/1e3, "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds())/1e3, "p99-µs")
}

func BenchmarkVoteRoundTripIdle(b *testing.B) {
	nodes, _ := echoPair(b)
	roundTrips(b, nodes)
}

// The same while as much bulk is sent beside it as goes through.
func BenchmarkVoteRoundTripUnderBulk(b *testing.B) {
	nodes, bulkBytes := echoPair(b)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		frame := make([]byte, 1<<20)
		for {
			select {
			case <-stop:
				return
			default:
			}
			if !nodes[0].Send(1, Bulk, frame) {
				time.Sleep(time.Millisecond)
			}
		}
	}()
	began, before := time.Now(), bulkBytes.Load()
	roundTrips(b, nodes)
	b.ReportMetric(float64(bulkBytes.Load()-before)/time.Since(began).Seconds()/1e6, "bulk-MB/s")
	close(stop)
	<-stopped
}

func BenchmarkVotesOneWay(b *testing.B) {
	nodes := newCluster(b, 2, nil)
	vote := make([]byte, 200)
	b.SetBytes(int64(len(vote)))
	for sent, heard := 0, 0; b.Loop(); sent++ {
		nodes[0].Send(1, Votes, vote)
		for ; sent-heard >= 1000; heard++ {
			take(b, nodes[1].arrivals, "a vote")
		}
	}
}

// What four connected members cost who say nothing: CPU of one node, in percent of a core.
func BenchmarkIdle(b *testing.B) {
	newCluster(b, 4, nil)
	time.Sleep(time.Second) // let them settle
	before, began := cpuTime(), time.Now()
	for b.Loop() {
		time.Sleep(time.Second)
	}
	b.ReportMetric(100*(cpuTime()-before).Seconds()/time.Since(began).Seconds()/4, "%core/node")
}

func cpuTime() time.Duration {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
