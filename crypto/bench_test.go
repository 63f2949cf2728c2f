package crypto

import (
	"fmt"
	"slices"
	"testing"
)

// voteBytes is about what a vote signs.
const voteBytes = 150

func benchmarkClaims(s Scheme, n int) []Claim {
	claims := make([]Claim, n)
	for i := range claims {
		key, message := testKey(i), make([]byte, voteBytes)
		claims[i] = Claim{key.Public(), message, s.Sign(key, message)}
	}
	return claims
}

func BenchmarkSign(b *testing.B) {
	for name, s := range map[string]Scheme{"ed25519": Ed25519(), "modelled": Modelled([32]byte{1})} {
		b.Run(name, func(b *testing.B) {
			key, message := testKey(0), make([]byte, voteBytes)
			b.ReportAllocs()
			for b.Loop() {
				s.Sign(key, message)
			}
		})
	}
}

func BenchmarkVerify(b *testing.B) {
	verify := func(name string, s Scheme, keys int) {
		claims := benchmarkClaims(s, keys)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				s.Verify(claims[i%keys])
			}
		})
	}
	verify("ed25519, members", Ed25519(), 4)
	verify("ed25519, strangers", Ed25519(), 3*expandedKeysPerGeneration)
	verify("modelled", Modelled([32]byte{1}), 4)
	verify("cache hit", NewVoteCache(Ed25519(), 4), 4)
}

// One bad claim, and several, show what a forger can make a batch cost.
func BenchmarkVerifyBatch(b *testing.B) {
	s := Ed25519()
	for _, n := range []int{minBatch - 1, minBatch, 16, 64, 512} {
		good := benchmarkClaims(s, n)
		for _, bad := range []int{0, 1, 16} {
			if bad > n/3 {
				continue
			}
			claims := slices.Clone(good)
			for i := range bad {
				at := (i*n/bad + n/3) % n
				claims[at] = spoil(claims[at], 0)
			}
			b.Run(fmt.Sprintf("%d claims, %d bad", n, bad), func(b *testing.B) {
				for b.Loop() {
					s.VerifyBatch(claims)
				}
				b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(n), "µs/claim")
			})
		}
	}
}
