package main

import (
	"context"
	"math"
	"runtime/debug"
	"testing"
	"time"
)

func TestTheLimitOfMemoryLeavesRoomAboveWhatIsUsed(t *testing.T) {
	for _, test := range []struct {
		live uint64
		want int64
	}{{0, 112 << 20}, {30 << 20, 112 << 20}, {88 << 20, 112 << 20}, {100 << 20, 125 << 20}, {1 << 30, 5 << 28}} {
		if got := memoryLimit(test.live); got != test.want {
			t.Errorf("limit with %d bytes in use: %d, want %d", test.live, got, test.want)
		}
	}
}

func TestALimitOfMemoryThatWasSetStays(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(-1))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	debug.SetMemoryLimit(1 << 40)
	boundMemory(ctx) // returns
	if got := debug.SetMemoryLimit(-1); got != 1<<40 {
		t.Errorf("limit is %d, want what was set before", got)
	}

	debug.SetMemoryLimit(math.MaxInt64)
	go boundMemory(ctx)
	for deadline := time.Now().Add(10 * time.Second); debug.SetMemoryLimit(-1) == math.MaxInt64; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no limit was set")
		}
	}
}
