package crypto

import (
	"sync"

	voi "github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
)

// expandedKeysPerGeneration bounds the memory to 2 × 512 keys of about 1.5 KiB.
const expandedKeysPerGeneration = 512

// expandedKeys remembers keys as points with their tables of multiples: members sign thousands of messages with the
// same few keys, and to unpack a key again for each costs a fifth of a check (BenchmarkVerify, BenchmarkVerifyBatch).
//
// Keys in use stay, since what is found in the old generation moves to the young one; strangers' keys, however many,
// are forgotten after two. The zero value is ready, and safe for concurrent use.
type expandedKeys struct {
	mu         sync.Mutex
	young, old map[PublicKey]*voi.ExpandedPublicKey
}

// get is k unpacked, or nil if k encodes no point.
func (e *expandedKeys) get(k PublicKey) *voi.ExpandedPublicKey {
	e.mu.Lock()
	x, young := e.young[k]
	if x == nil {
		x = e.old[k]
	}
	e.mu.Unlock()
	if young {
		return x
	}
	if x == nil {
		var err error
		if x, err = voi.NewExpandedPublicKey(k[:]); err != nil {
			return nil
		}
	}
	e.put(k, x)
	return x
}

func (e *expandedKeys) put(k PublicKey, x *voi.ExpandedPublicKey) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.young == nil || len(e.young) >= expandedKeysPerGeneration {
		e.old, e.young = e.young, make(map[PublicKey]*voi.ExpandedPublicKey)
	}
	e.young[k] = x
}
