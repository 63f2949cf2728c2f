package statemachine

import "github.com/quorate/quorate/crypto"

// A session is what is remembered of a sender so that each of his nonces is used once: the highest nonce used, N (0 if
// none), and which id has used each nonce of the window below it. Nonces need not be used in order.
//
//	        N-W       N         N+W
//	 behind  | window | ahead    | too distant
//
// A nonce in (N-W, N+W] that no id has used may be used; W is Limits.NonceWindow. A slot holds the nonces that are equal
// mod MaxNonceWindow, of which the window holds at most one, so an older nonce in it says nothing.

// SessionEntry says which transaction has used a nonce.
type SessionEntry struct {
	Nonce  uint64
	ID     crypto.Digest
	Status Status // Applied or Failed
	Code   Failure
	Seq    uint64 // of the batch
}

// NonceState says what is known of a sender's nonce.
type NonceState uint8

const (
	NonceFree    NonceState = iota + 1 // a transaction with it would execute
	NonceTaken                         // a transaction has used it
	NonceBehind                        // behind the window: whether it was used is no longer known here
	NonceAhead                         // too far above the highest used
	NonceInvalid                       // 0 is not a nonce
)

// place says where a nonce lies for a sender whose highest is n. NonceFree is said of the whole of the window, used or
// not. It holds up to 2^64-1: nothing is added.
func place(nonce, n, window uint64) NonceState {
	switch {
	case nonce == 0:
		return NonceInvalid
	case nonce > n && nonce-n > window:
		return NonceAhead
	case nonce <= n && n-nonce >= window:
		return NonceBehind
	}
	return NonceFree
}

// getFunc reads a key of the backing.
type getFunc func(key []byte) (value []byte, ok bool, err error)

// highestNonce reads the highest nonce that a sender has used.
func highestNonce(get getFunc, sender crypto.PublicKey) (uint64, error) {
	b, ok, err := get(highestKey(sender))
	if err != nil || !ok {
		return 0, err
	}
	return decodeUint64(b)
}

// findNonce reads what is known of a nonce of a sender whose highest is n.
func findNonce(get getFunc, sender crypto.PublicKey, nonce, n, window uint64) (SessionEntry, NonceState, error) {
	state := place(nonce, n, window)
	if state != NonceFree || nonce > n {
		return SessionEntry{}, state, nil
	}
	b, ok, err := get(nonceKey(sender, nonce))
	if err != nil || !ok {
		return SessionEntry{}, NonceFree, err
	}
	e, err := decodeNonce(b)
	if err != nil || e.Nonce != nonce {
		return SessionEntry{}, NonceFree, err
	}
	return e, NonceTaken, nil
}

// judge says what becomes of a transaction ordered at seq, before it is executed: the status of one that may not, and
// for a Duplicate where it was first decided; or 0 for one that may.
//
// The order of the questions matters. Nothing that may have executed is called expired, so the nonce comes first; but a
// nonce too far ahead was never used, and past its last it never will be.
func judge(t Transaction, e SessionEntry, state NonceState, seq uint64, lastAhead uint64) (status Status, first uint64) {
	switch {
	case state == NonceInvalid || t.Last == 0:
		return Invalid, seq
	case state == NonceTaken && e.ID == t.ID:
		return Duplicate, e.Seq
	case state == NonceTaken:
		return NonceUsed, seq
	case state == NonceBehind:
		return DecidedEarlier, seq
	case seq > t.Last:
		return Expired, seq
	case state == NonceAhead:
		return NonceTooDistant, seq
	case t.Last-seq > lastAhead:
		return LastTooDistant, seq
	}
	return 0, seq
}

// highestCache remembers the highest nonces of the senders met last: of at least generation of them, of at most twice
// as many.
type highestCache struct{ young, old map[crypto.PublicKey]uint64 }

const highestCacheGeneration = 8192

func (c *highestCache) get(sender crypto.PublicKey) (n uint64, ok bool) {
	if n, ok = c.young[sender]; ok {
		return n, true
	}
	if n, ok = c.old[sender]; ok {
		c.set(sender, n)
	}
	return n, ok
}

func (c *highestCache) set(sender crypto.PublicKey, n uint64) {
	if c.young == nil || len(c.young) >= highestCacheGeneration {
		c.old, c.young = c.young, make(map[crypto.PublicKey]uint64)
	}
	c.young[sender] = n
}
