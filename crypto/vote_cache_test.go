package crypto

import (
	"slices"
	"testing"
)

// counting is a scheme that notes what it was asked.
type counting struct {
	Scheme
	alone   int
	batches []int // their sizes
}

func (c *counting) Verify(claim Claim) bool {
	c.alone++
	return c.Scheme.Verify(claim)
}

func (c *counting) VerifyBatch(claims []Claim) []bool {
	c.batches = append(c.batches, len(claims))
	return c.Scheme.VerifyBatch(claims)
}

func newCounting() *counting { return &counting{Scheme: Modelled([32]byte{1})} }

func TestAVoteIsVerifiedOnceAloneAndInCertificates(t *testing.T) {
	under := newCounting()
	cache := NewVoteCache(under, 10)
	claims := signedClaims(cache, 5)
	// Given two votes that came alone,
	cache.Verify(claims[1])
	cache.Verify(claims[3])
	// when a certificate brings them with three others, then only those are verified, in one batch;
	want := []bool{true, true, true, true, true}
	if got := cache.VerifyBatch(claims); !slices.Equal(got, want) {
		t.Errorf("verdicts %v", got)
	}
	if under.alone != 2 || !slices.Equal(under.batches, []int{3}) {
		t.Errorf("verified %d alone and in batches %v; want 2 and [3]", under.alone, under.batches)
	}
	// and from then on nothing is, alone or together.
	if got := cache.VerifyBatch(claims); !slices.Equal(got, want) || !cache.Verify(claims[4]) {
		t.Errorf("verdicts %v from memory", got)
	}
	if under.alone != 2 || len(under.batches) != 1 {
		t.Errorf("verified again: %d alone, batches %v", under.alone, under.batches)
	}
	if made, verified := cache.Counts(); made != 5 || verified != 5 {
		t.Errorf("counts %d made and %d verified, want 5 and 5", made, verified)
	}
}

// case D6
//
// Red if the message, the key or the signature is left out of what a claim is remembered by.
func TestAVerifiedVoteVouchesForNoOther(t *testing.T) {
	cache := NewVoteCache(Modelled([32]byte{1}), 10)
	good := signedClaims(cache, 2)
	c := good[0]
	cache.VerifyBatch(good)
	variants := map[string]Claim{
		"another key":                      {good[1].Key, c.Message, c.Signature},
		"another message":                  {c.Key, good[1].Message, c.Signature},
		"another signature":                {c.Key, c.Message, good[1].Signature},
		"a byte of the message cut off":    {c.Key, c.Message[:len(c.Message)-1], c.Signature},
		"signature appended to message":    {c.Key, append(slices.Clone(c.Message), c.Signature[:]...), c.Signature},
		"no message":                       {c.Key, nil, c.Signature},
		"second half of signature changed": {c.Key, c.Message, func(s Signature) Signature { s[63] = 1; return s }(c.Signature)},
	}
	for name, v := range variants {
		if cache.Verify(v) || cache.VerifyBatch([]Claim{c, v})[1] {
			t.Errorf("%s: held, since the original did", name)
		}
	}
	if !cache.Verify(c) {
		t.Error("the original does not hold any more")
	}
}

func TestWhatDoesNotHoldIsNotRemembered(t *testing.T) {
	under := newCounting()
	cache := NewVoteCache(under, 2)
	good := signedClaims(cache, 2)
	cache.VerifyBatch(good)
	// Given a full cache, when forgeries come, alone and in batches,
	for way := range 5 {
		bad := spoil(good[0], way)
		if cache.Verify(bad) || cache.VerifyBatch([]Claim{bad, bad})[1] {
			t.Errorf("a forgery of kind %d holds", way)
		}
	}
	// then each was judged each time, and the good ones are still known.
	if under.alone != 5 || len(under.batches) != 6 {
		t.Errorf("forgeries judged %d times alone and in %d batches, want 5 and 5", under.alone, len(under.batches)-1)
	}
	cache.VerifyBatch(good)
	if len(under.batches) != 6 {
		t.Error("forgeries pushed out what had held")
	}
}

// Red if the cache grows, forgets the newest, or lets a claim that comes twice take two places.
func TestTheOldestVoteIsForgottenFirst(t *testing.T) {
	under := newCounting()
	cache := NewVoteCache(under, 3)
	claims := signedClaims(cache, 7)
	known := func(c Claim) bool {
		before := under.alone
		return cache.Verify(c) && under.alone == before
	}
	cache.VerifyBatch([]Claim{claims[0], claims[0], claims[1], claims[2]})
	for i := range 3 {
		if !known(claims[i]) {
			t.Fatalf("claim %d of three is forgotten", i)
		}
	}
	for newest := 3; newest < len(claims); newest++ {
		if known(claims[newest]) {
			t.Fatalf("claim %d is known before it came", newest)
		}
		for i := newest - 2; i <= newest; i++ {
			if !known(claims[i]) {
				t.Errorf("claim %d is forgotten when %d is the newest", i, newest)
			}
		}
		if len(cache.known) != 3 || len(cache.ring) != 3 {
			t.Errorf("%d claims are remembered, %d in the ring; want 3", len(cache.known), len(cache.ring))
		}
	}
	if known(claims[0]) {
		t.Error("the oldest claim is still known")
	}
}

func TestAVoteCacheWithoutRoomIsOurMistake(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a cache for no claims was made")
		}
	}()
	NewVoteCache(Modelled([32]byte{}), 0)
}
