package sim

import "math/rand/v2"

// chance is one stream of random numbers. Each concern has its own, drawn from the seed, so that one more draw in one
// of them does not shift all others.
type chance struct{ *rand.Rand }

// The concerns. Their numbers are part of what a seed means.
const (
	ofWorld = iota + 1
	ofNetwork
	ofDisks
	ofMachines
	ofClients
	ofFaults
	ofCrashes
	ofLiars
	ofTwins
	ofMix
)

func newChance(seed uint64, concern int) chance {
	return chance{rand.New(rand.NewPCG(seed, 0x51_0_7a7e<<8|uint64(concern)))}
}

// between is a number from lo to hi, both included.
func (c chance) between(lo, hi int64) int64 { return lo + c.Int64N(hi-lo+1) }

// permille is true p times in a thousand.
func (c chance) permille(p int64) bool { return c.Int64N(1000) < p }

// about is a time with the given mean: mostly shorter, now and then several times as long.
func (c chance) about(mean int64) int64 { return min(int64(c.ExpFloat64()*float64(mean)), 8*mean) + 1 }

// bytes fills 32 bytes.
func (c chance) bytes() (b [32]byte) {
	for i := range b {
		b[i] = byte(c.Uint32())
	}
	return b
}

// pick is one of the weights' places, each as often as its weight says.
func (c chance) pick(weights ...int) int {
	sum := 0
	for _, w := range weights {
		sum += w
	}
	at := c.IntN(sum)
	for i, w := range weights {
		if at < w {
			return i
		}
		at -= w
	}
	return len(weights) - 1
}
