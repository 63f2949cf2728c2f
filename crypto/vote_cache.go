package crypto

import (
	"sync"
	"sync/atomic"
)

const domainVerifiedClaim = "quorate/verified-claim/1"

// VoteCache is a scheme that remembers which claims have held, so that a vote that comes alone and again inside a
// certificate is verified once. It remembers a claim by its key, its whole message and its signature together: a
// signature that holds for one message says nothing about another. Claims that did not hold are not remembered, or
// whoever sends many could push out those that did.
//
// It is safe for concurrent use if the scheme it stands on is.
type VoteCache struct {
	scheme         Scheme
	made, verified atomic.Uint64

	mu    sync.Mutex
	known map[Digest]struct{} // the same claims as in ring
	ring  []Digest            // in the order in which they came, up to its capacity; from then on the oldest is overwritten
	old   int                 // the oldest in a full ring
}

// NewVoteCache remembers the newest capacity claims that scheme has found to hold, at about 100 bytes each.
// capacity is at least 1.
func NewVoteCache(scheme Scheme, capacity int) *VoteCache {
	if capacity < 1 {
		panic("crypto: a vote cache has room for at least one claim")
	}
	return &VoteCache{scheme: scheme, known: make(map[Digest]struct{}), ring: make([]Digest, 0, capacity)}
}

// Sign signs with the scheme underneath.
func (c *VoteCache) Sign(key PrivateKey, message []byte) Signature {
	c.made.Add(1)
	return c.scheme.Sign(key, message)
}

// Verify judges one claim, from memory if it can.
func (c *VoteCache) Verify(claim Claim) bool {
	d := digestOfClaim(claim)
	if c.has(d) {
		return true
	}
	c.verified.Add(1)
	if !c.scheme.Verify(claim) {
		return false
	}
	c.add(d)
	return true
}

// VerifyBatch judges many: those it remembers from memory, the others in one batch.
func (c *VoteCache) VerifyBatch(claims []Claim) []bool {
	verdicts := make([]bool, len(claims))
	var (
		missed  []Claim
		digests []Digest
		places  []int
	)
	for i, claim := range claims {
		d := digestOfClaim(claim)
		if c.has(d) {
			verdicts[i] = true
			continue
		}
		missed, digests, places = append(missed, claim), append(digests, d), append(places, i)
	}
	if len(missed) == 0 {
		return verdicts
	}
	c.verified.Add(uint64(len(missed)))
	for i, holds := range c.scheme.VerifyBatch(missed) {
		if holds {
			verdicts[places[i]] = true
			c.add(digests[i])
		}
	}
	return verdicts
}

// Counts is how many signatures have been made, and how many claims really verified: not those answered from memory.
func (c *VoteCache) Counts() (made, verified uint64) { return c.made.Load(), c.verified.Load() }

// digestOfClaim leaves no doubt where the message begins and ends: what stands around it has a fixed length.
func digestOfClaim(c Claim) Digest {
	return Hash(domainVerifiedClaim, c.Key[:], c.Message, c.Signature[:])
}

func (c *VoteCache) has(d Digest) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.known[d]
	return ok
}

func (c *VoteCache) add(d Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.known[d]; ok {
		return // another goroutine has verified the same claim meanwhile, or it was twice in a batch
	}
	c.known[d] = struct{}{}
	if len(c.ring) < cap(c.ring) {
		c.ring = append(c.ring, d)
		return
	}
	delete(c.known, c.ring[c.old])
	c.ring[c.old] = d
	c.old = (c.old + 1) % len(c.ring)
}
