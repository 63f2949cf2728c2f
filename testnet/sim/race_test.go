//go:build race

package sim

// With the race detector a world takes eight times as long, and there is but one goroutine to watch.
const fixedSeeds = 8
