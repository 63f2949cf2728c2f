package crypto

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"
)

func schemes() map[string]Scheme {
	return map[string]Scheme{
		"ed25519":    Ed25519(),
		"modelled":   Modelled([32]byte{1}),
		"vote cache": NewVoteCache(Ed25519(), 64),
	}
}

func signedClaims(s Scheme, n int) []Claim {
	claims := make([]Claim, n)
	for i := range claims {
		key, message := testKey(i), fmt.Appendf(nil, "message %d", i)
		claims[i] = Claim{key.Public(), message, s.Sign(key, message)}
	}
	return claims
}

// spoil makes a good claim bad, in one of the ways that take different paths through the library.
func spoil(c Claim, way int) Claim {
	c.Message = slices.Clone(c.Message)
	switch way % 5 {
	case 0:
		c.Signature[33] ^= 1 // another S
	case 1:
		c.Signature = Signature{2} // R is no point
	case 2:
		c.Key = PublicKey{2} // A is no point
	case 3:
		c.Signature[63] |= 0xf0 // S ≥ L
	case 4:
		c.Message = append(c.Message, 0)
	}
	return c
}

// case D7
//
// Red if the verdict on a batch is the verdict on all of it, or if verdicts get out of order.
func TestABatchBlamesExactlyTheBadClaims(t *testing.T) {
	for name, scheme := range schemes() {
		good := signedClaims(scheme, 2*maxExpandedBatch)
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				n := rapid.OneOf(rapid.IntRange(0, 8), rapid.SampledFrom([]int{
					maxExpandedBatch - 1, maxExpandedBatch, maxExpandedBatch + 1, len(good),
				})).Draw(t, "claims")
				claims, want := slices.Clone(good[:n]), make([]bool, n)
				for i := range want {
					want[i] = true
				}
				for range rapid.IntRange(0, min(n, 5)).Draw(t, "bad") {
					i := rapid.IntRange(0, n-1).Draw(t, "at")
					claims[i], want[i] = spoil(good[i], rapid.IntRange(0, 4).Draw(t, "way")), false
				}
				if got := scheme.VerifyBatch(claims); !slices.Equal(got, want) {
					t.Errorf("verdicts %v, want %v", got, want)
				}
				for i, c := range claims {
					if i < 8 && scheme.Verify(c) != want[i] {
						t.Errorf("claim %d alone: %v", i, !want[i])
					}
				}
			})
		})
	}
}

func TestASignatureHoldsForItsKeyAndMessageOnly(t *testing.T) {
	for name, scheme := range schemes() {
		c := signedClaims(scheme, 1)[0]
		if !scheme.Verify(c) {
			t.Errorf("%s: a signature does not hold", name)
		}
		for i := range SignatureSize {
			altered := c
			altered.Signature[i] ^= 0x10
			if scheme.Verify(altered) {
				t.Errorf("%s: byte %d of the signature does not count", name, i)
			}
		}
		for other, altered := range map[string]Claim{
			"key":             {testKey(1).Public(), c.Message, c.Signature},
			"message":         {c.Key, []byte("other"), c.Signature},
			"longer message":  {c.Key, append(slices.Clone(c.Message), 0), c.Signature},
			"shorter message": {c.Key, c.Message[1:], c.Signature},
		} {
			if scheme.Verify(altered) {
				t.Errorf("%s: holds for another %s", name, other)
			}
		}
	}
}

func TestWithoutItsSecretNobodySignsForTheModelledScheme(t *testing.T) {
	claim := signedClaims(Modelled([32]byte{1}), 1)[0]
	if Modelled([32]byte{2}).Verify(claim) {
		t.Error("a signature made with another secret holds")
	}
	if !Modelled([32]byte{1}).Verify(claim) {
		t.Error("the same secret does not give the same scheme")
	}
}

// Seeds of the simulator must give the same bytes for ever.
func TestTheModelledSignatureIsTheDocumentedHash(t *testing.T) {
	secret, key := [32]byte{7}, testKey(3)
	for _, size := range []int{0, 1, 150, 5000} {
		message := make([]byte, size)
		public := key.Public()
		in := slices.Concat(secret[:], public[:], binary.BigEndian.AppendUint64(nil, uint64(size)), message)
		want := sha256.Sum256(in)
		if got := Modelled(secret).Sign(key, message); got != Signature(append(want[:], make([]byte, 32)...)) {
			t.Errorf("message of %d bytes: signature %s, want %x", size, got, want)
		}
	}
}

// Red if strangers' keys are kept for ever, or push out the keys in use.
func TestExpandedKeysAreBoundedAndKeepTheOnesInUse(t *testing.T) {
	var keys expandedKeys
	member := testKey(0).Public()
	first := keys.get(member)
	// Given one key in use, when many strangers pass,
	for i := range 5 * expandedKeysPerGeneration / 2 {
		stranger := PublicKey{0: byte(i), 1: byte(i >> 8)} // half of them are points
		if got := keys.get(stranger); got != nil {
			if y := got.CompressedY(); PublicKey(y) != stranger {
				t.Fatalf("asked for %s, got %x", stranger, y)
			}
		}
		// then it is still the same, and the number of keys is bounded.
		if keys.get(member) != first {
			t.Fatalf("the key in use was unpacked again after %d strangers", i)
		}
		if n := len(keys.young) + len(keys.old); n > 2*expandedKeysPerGeneration {
			t.Fatalf("%d keys are kept", n)
		}
	}
	if len(keys.old) == 0 {
		t.Fatal("too few strangers to begin a new generation")
	}
}

func TestEd25519IsSafeForConcurrentUse(t *testing.T) {
	scheme := NewVoteCache(Ed25519(), 4)
	claims := signedClaims(scheme, 8)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i, c := range claims {
				if !scheme.Verify(c) || scheme.Verify(spoil(c, i)) {
					t.Errorf("claim %d is judged wrongly", i)
				}
			}
			if slices.Contains(scheme.VerifyBatch(claims), false) {
				t.Error("a good claim fails in a batch")
			}
		})
	}
	all.Wait()
}
