package statemachine

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/quorate/quorate/internal/invariant"
)

// Replicated executes ordered batches exactly once on a Machine, and makes them durable.
//
// Execute and Commit belong to one goroutine. Everything that reads (Applied, Committed, Get, Scan, Query, Find, Lookup,
// Outcomes) may be called by any, at any time, and sees what is committed, except for Applied.
type Replicated struct {
	machine     Machine
	backing     Backing
	limits      Limits // but for the nonce window, which is nonceWindow's
	nonceWindow uint64
	bounds      Bounds

	// Of the executing goroutine.
	overlay  overlay
	pending  []executedBatch // executed and not committed, in order
	recorded []uint64        // versions that the backing has a record of, ascending
	sessions highestCache
	failed   error // the first error of the backing: final

	mu        sync.Mutex
	applied   Mark
	committed Mark
	readable  []uint64 // versions that can be opened, ascending; the last is committed.Seq
}

// executedBatch is what a batch adds to the backing.
type executedBatch struct {
	mark   Mark
	writes []Write // one for each key of the backing
	bytes  int     // of the writes, as Bounds counts
}

// ErrHole says that the backing has lost a commit and kept later ones.
var ErrHole = errors.New("state: a commit in the middle is missing: move the folder of the state away, and it is rebuilt from the log")

// Open takes up where the last Commit on b has left off. It refuses limits that b cannot hold, a backing written in
// another format, and one from which recent commits are missing although later ones are there. b stays the caller's to
// close.
func Open(b Backing, m Machine, l Limits) (*Replicated, error) {
	if err := l.Check(b.Bounds()); err != nil {
		return nil, err
	}
	s, err := b.At(Newest)
	if err != nil {
		return nil, fmt.Errorf("state: open: %w", err)
	}
	defer s.Close()
	r := &Replicated{machine: m, backing: b, limits: l, nonceWindow: l.NonceWindow, bounds: b.Bounds(), overlay: overlay{own: map[string]entry{}}}
	mark, ok, err := s.Get(markKey())
	if err != nil {
		return nil, fmt.Errorf("state: read the applied mark: %w", err)
	}
	if ok {
		if r.committed, err = decodeMark(mark); err != nil {
			return nil, err
		}
	}
	r.applied = r.committed
	if r.recorded, err = readVersions(s, r.committed.Seq, r.bounds.History); err != nil {
		return nil, err
	}
	r.readable = slices.Clone(recent(r.recorded, r.committed.Seq, r.bounds.History))
	return r, nil
}

// SetLimits has the batches executed from now on keep within other limits. The nonce window stays what it was when the state was opened.
// It belongs to whoever executes.
func (r *Replicated) SetLimits(l Limits) error {
	if err := l.Check(r.bounds); err != nil {
		return err
	}
	if l.NonceWindow != r.nonceWindow {
		return fmt.Errorf("limits: nonce window of %d, but the sessions were kept with %d", l.NonceWindow, r.nonceWindow)
	}
	r.limits = l
	return nil
}

// readVersions reads which versions can be read, and holds them against each other: each names the one before it, down
// to the empty state or to one that was old enough to be forgotten, and the last is the mark's. Badger cuts a damaged
// log without a word, also one that has others after it.
func readVersions(s Snapshot, newest, history uint64) (versions []uint64, err error) {
	var damage error
	err = s.Scan([]byte{spaceVersion}, nil, func(key, value []byte) bool {
		version, err1 := decodeUint64(key[1:])
		before, err2 := decodeUint64(value)
		switch {
		case err1 != nil || err2 != nil:
			damage = errDamaged
		case len(versions) == 0 && before == 0:
			versions = append(versions, 0)
		case len(versions) == 0 && newest-before <= history:
			damage = ErrHole
		case len(versions) > 0 && versions[len(versions)-1] != before:
			damage = ErrHole
		}
		versions = append(versions, version)
		return damage == nil
	})
	if err = errors.Join(err, damage); err != nil {
		return nil, fmt.Errorf("state: read the versions: %w", err)
	}
	if len(versions) == 0 {
		versions = []uint64{0}
	}
	if versions[len(versions)-1] != newest {
		return nil, ErrHole
	}
	return versions, nil
}

// recent are the last of the versions, and those that are at most so far below newest.
func recent(versions []uint64, newest, history uint64) []uint64 {
	i := 0
	for i < len(versions)-1 && newest-versions[i] > history {
		i++
	}
	return versions[i:]
}

// Applied is the mark of the newest batch executed, durable or not.
func (r *Replicated) Applied() Mark {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.applied
}

// Committed is the mark of the newest batch that is durable.
func (r *Replicated) Committed() Mark {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.committed
}

// Commit makes the executed batches up to and including through durable, in one commit of the backing whose version is
// its newest batch, with the applied mark inside. A run that one commit cannot hold is split between batches, which
// shows only in what can be read later: a version inside a run cannot. Batches that are durable already, or not executed
// yet, are none of its business.
//
// An error is final: the caller must stop, since what was made durable is unknown.
func (r *Replicated) Commit(through uint64) error {
	for r.failed == nil && len(r.pending) > 0 && r.pending[0].mark.Seq <= through {
		r.commitRun(r.nextRun(through))
	}
	return r.failed
}

// nextRun is how many pending batches the next commit takes: at least one, which fits by Limits.Check.
func (r *Replicated) nextRun(through uint64) (n int) {
	bytes, entries := fixedBytes, fixedEntries
	for _, b := range r.pending {
		bytes += b.bytes
		entries += len(b.writes)
		if b.mark.Seq > through || n > 0 && (bytes > r.bounds.Bytes || entries > r.bounds.Entries) {
			break
		}
		n++
	}
	return n
}

// maxPruned bounds how many versions one commit forgets, and so what it adds to the commit; the next ones go on.
const maxPruned = fixedEntries / 4

func (r *Replicated) commitRun(n int) {
	run := r.pending[:n]
	mark := run[n-1].mark
	writes := merge(run)

	before := r.recorded[len(r.recorded)-1]
	pruned := 0
	for pruned < min(len(r.recorded), maxPruned) && mark.Seq-r.recorded[pruned] > r.bounds.History {
		writes = append(writes, Write{Key: versionKey(r.recorded[pruned]), Delete: true})
		pruned++
	}
	writes = append(writes,
		Write{Key: versionKey(mark.Seq), Value: encodeUint64(before)},
		Write{Key: markKey(), Value: encodeMark(mark)})

	// Before the backing drops them, nobody may open them any more.
	r.mu.Lock()
	r.readable = recent(r.readable, mark.Seq, r.bounds.History)
	r.mu.Unlock()

	if err := r.backing.Commit(mark.Seq, writes); err != nil {
		r.failed = fmt.Errorf("state: commit %d: %w", mark.Seq, err)
		return
	}
	for _, b := range run {
		r.overlay.forget(b.writes, mark.Seq)
	}
	r.pending = slices.Clone(r.pending[n:])
	r.recorded = append(r.recorded[pruned:], mark.Seq)

	r.mu.Lock()
	defer r.mu.Unlock()
	r.committed = mark
	r.readable = recent(append(r.readable, mark.Seq), mark.Seq, r.bounds.History)
}

// merge is the writes of a run of batches, the last one for each key.
func merge(run []executedBatch) []Write {
	if len(run) == 1 {
		return run[0].writes
	}
	var writes []Write
	at := make(map[string]int)
	for _, b := range run {
		for _, w := range b.writes {
			if i, ok := at[string(w.Key)]; ok {
				writes[i] = w
				continue
			}
			at[string(w.Key)] = len(writes)
			writes = append(writes, w)
		}
	}
	return writes
}

// startBatch guards what only our own mistake could break.
func (r *Replicated) startBatch(b Batch) {
	invariant.Holds(b.Seq == r.applied.Seq+1, "batches are executed in order, each once")
	invariant.Holds(len(b.Transactions) <= r.limits.Transactions, "no batch exceeds the epoch's limit")
}
