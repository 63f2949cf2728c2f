package statemachine

import (
	"errors"
	"fmt"
	"slices"

	"github.com/quorate/quorate/crypto"
)

// Unreadable says that the state cannot be read at a version, and where it can be.
type Unreadable struct {
	At     uint64
	Before uint64 // the nearest readable version below, 0 if there is none
	After  uint64 // the nearest readable version above, 0 if there is none
}

func (u *Unreadable) Error() string {
	switch {
	case u.After == 0:
		return fmt.Sprintf("state at %d is not there yet: the newest is %d", u.At, u.Before)
	case u.Before == 0:
		return fmt.Sprintf("state at %d is pruned: the oldest is %d", u.At, u.After)
	}
	return fmt.Sprintf("state at %d was never written by itself: the nearest are %d and %d", u.At, u.Before, u.After)
}

// open takes a snapshot of the version for at.
func (r *Replicated) open(at uint64) (s Snapshot, seq uint64, err error) {
	r.mu.Lock()
	defer r.mu.Unlock() // after the snapshot is taken: until then the version could be dropped
	if at == Newest {
		at = r.committed.Seq
	}
	if i, ok := slices.BinarySearch(r.readable, at); !ok {
		return nil, 0, r.unreadable(at, i)
	}
	if s, err = r.backing.At(at); err != nil {
		return nil, 0, fmt.Errorf("state: read at %d: %w", at, err)
	}
	return s, at, nil
}

// unreadable names the nearest to a version that would be the i-th.
func (r *Replicated) unreadable(at uint64, i int) error {
	u := &Unreadable{At: at}
	if i > 0 {
		u.Before = r.readable[i-1]
	}
	if i < len(r.readable) {
		u.After = r.readable[i]
	}
	return u
}

// read calls f with a snapshot of the version for at, and says which version that was.
func (r *Replicated) read(at uint64, f func(Snapshot) error) (uint64, error) {
	s, seq, err := r.open(at)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	return seq, f(s)
}

// Get is the value of an application's key at a version (Newest for the newest committed), whether there is one, and
// the version read. The error is an *Unreadable, or the backing's.
func (r *Replicated) Get(at uint64, key []byte) (value []byte, ok bool, seq uint64, err error) {
	seq, err = r.read(at, func(s Snapshot) (err error) {
		value, ok, err = s.Get(applicationKey(key))
		return err
	})
	return value, ok, seq, err
}

// Scan calls f for the application's keys with a prefix that are not below from (nil: each), in ascending order, until f
// returns false. At, seq and err are as with Get.
func (r *Replicated) Scan(at uint64, prefix, from []byte, f func(key, value []byte) bool) (seq uint64, err error) {
	return r.read(at, func(s Snapshot) error { return scanApplication(s, prefix, from, f) })
}

// scanApplication scans the application's keys.
func scanApplication(s Snapshot, prefix, from []byte, f func(key, value []byte) bool) error {
	return s.Scan(applicationKey(prefix), applicationKey(from), func(key, value []byte) bool { return f(key[1:], value) })
}

// ErrQueryPanicked says that the machine could not deal with a query. The state is none the worse.
var ErrQueryPanicked = errors.New("state: the query made the application panic")

// Query asks the machine. At, seq and err are as with Get; err may also be the machine's.
func (r *Replicated) Query(at uint64, query []byte) (answer []byte, seq uint64, err error) {
	seq, err = r.read(at, func(s Snapshot) (err error) {
		defer func() {
			if recover() != nil {
				err = ErrQueryPanicked
			}
		}()
		reader := &snapshotReader{s: s}
		answer, err = r.machine.Query(reader, query)
		if reader.broken != nil {
			return reader.broken
		}
		return err
	})
	if err == nil {
		err = r.outlived(seq)
	}
	return answer, seq, err
}

// outlived is an error if the backing may have dropped versions under whoever is still reading at seq.
func (r *Replicated) outlived(seq uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.committed.Seq-seq <= r.bounds.History+r.bounds.Grace {
		return nil
	}
	return r.unreadable(seq, 0)
}

// snapshotReader is a snapshot as a Machine sees it.
type snapshotReader struct {
	s      Snapshot
	broken error // the first; from then on it is empty, and its answer thrown away
}

func (r *snapshotReader) Get(key []byte) ([]byte, bool) {
	value, ok, err := r.s.Get(applicationKey(key))
	r.note(err)
	return value, ok
}

func (r *snapshotReader) Scan(prefix, from []byte, f func(key, value []byte) bool) {
	r.note(scanApplication(r.s, prefix, from, f))
}

func (r *snapshotReader) note(err error) {
	if r.broken == nil {
		r.broken = err
	}
}

// Find says what is known of a sender's nonce as of the newest commit. The entry is set if the nonce is taken.
func (r *Replicated) Find(sender crypto.PublicKey, nonce uint64) (e SessionEntry, state NonceState, err error) {
	_, err = r.read(Newest, func(s Snapshot) error {
		n, err := highestNonce(s.Get, sender)
		if err != nil {
			return err
		}
		e, state, err = findNonce(s.Get, sender, nonce, n, r.nonceWindow)
		return err
	})
	return e, state, err
}

// Location says where a transaction was ordered.
type Location struct {
	Seq    uint64
	Index  int // in the batch, from 0
	Status Status
}

// Lookup says where a transaction was ordered as of the newest commit, and whether it was: where it was applied, failed
// or expired, and as long as it was none of these where it was last refused.
func (r *Replicated) Lookup(id crypto.Digest) (l Location, ok bool, err error) {
	_, err = r.read(Newest, func(s Snapshot) error {
		b, found, err := s.Get(idKey(id))
		if err != nil || !found {
			return err
		}
		ok = true
		l, err = decodeLocation(b)
		return err
	})
	return l, ok && err == nil, err
}

// Outcomes are those of a committed batch, in order, and whether it is committed.
func (r *Replicated) Outcomes(seq uint64) (outcomes []Outcome, ok bool, err error) {
	_, err = r.read(Newest, func(s Snapshot) error {
		var all []byte
		err := s.Scan(outcomesKey(seq), nil, func(_, piece []byte) bool {
			ok = true
			all = append(all, piece...)
			return true
		})
		if err != nil {
			return err
		}
		outcomes, err = decodeOutcomes(all)
		return err
	})
	return outcomes, ok && err == nil, err
}
