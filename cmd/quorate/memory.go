package main

import (
	"context"
	"math"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// softMemory is up to how many bytes of Go memory a node keeps that it no longer uses. Of what is in use under load nearly all
	// are arenas and tables under way, without a pointer in them, so that collecting often costs little; and a compaction of the
	// state machine, which needs 100 MiB for a moment, would leave the collector with a goal of twice that.
	softMemory = 112 << 20
	// softMemoryPeriod is how often the bound is held against what is in use.
	softMemoryPeriod = 250 * time.Millisecond
)

// boundMemory bounds the memory of this process until ctx ends, unless whoever started it has, with GOMEMLIMIT. The bound is soft:
// a node that uses more gets more.
func boundMemory(ctx context.Context) {
	if debug.SetMemoryLimit(-1) != math.MaxInt64 {
		return
	}
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	t := time.NewTicker(softMemoryPeriod)
	defer t.Stop()
	for {
		metrics.Read(live)
		debug.SetMemoryLimit(memoryLimit(live[0].Value.Uint64()))
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// memoryLimit is where the collector begins to work harder than by its usual goal, which is twice what is in use, with so many
// bytes in use after it last ran. It leaves a quarter more: at a limit below what is in use the collector would take half of the
// processor, and bring nothing.
func memoryLimit(live uint64) int64 {
	return int64(max(softMemory, live+live/4))
}
