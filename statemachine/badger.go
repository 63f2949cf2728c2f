package statemachine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"github.com/quorate/quorate/internal/invariant"
)

const (
	// badgerMemTableBytes bounds a commit, to 15 % of it, so it must be large enough for Limits (see Limits.Check); and
	// it is what a node that has written much holds in memory twice over, once in the table and once in its mapped log.
	badgerMemTableBytes = 32 << 20
	// badgerTableBytes is what a table of the base level has; those of each level below it have twice as much. A compaction holds
	// up to 13 of them in memory at a time, each in twice its size.
	badgerTableBytes = 512 << 10
	// badgerTablesAtTop is how many flushed tables begin a compaction. With four of them, and levels below that are full, Badger
	// would merge them into one, for which it takes 256 MiB: so they are fewer, and a fifth waits.
	badgerTablesAtTop = 3
	// badgerHistory is how far back a read `at` can go. Versions cost their space until they are compacted away.
	badgerHistory = 4096
	// badgerGrace keeps versions a while after they could last be opened, for reads that are under way.
	badgerGrace = 1024
	// minFreeBytes is what must be left on the disk for a commit to begin: Badger writes to mapped files, where a full
	// disk is not an error but a SIGBUS. It is twice the table, for the log that fills and the one being flushed.
	minFreeBytes = 2 * badgerMemTableBytes
)

// ErrDiskFull says that a commit was not begun. The process should end; once there is space it can start again.
var ErrDiskFull = fmt.Errorf("less than %d MiB free on the disk of the state: make room, then start again", minFreeBytes>>20)

// badgerBacking keeps everything in a Badger database, in managed mode: a version is a sequence number.
type badgerBacking struct {
	db     *badger.DB
	dir    string
	free   func(dir string) (uint64, error)
	bounds Bounds
}

// OpenBadger opens the database in dir, or creates it. One process can have it open. What Badger has to say of its own
// troubles goes to report, a line at a time, from any goroutine; nil keeps it silent.
func OpenBadger(dir string, report func(line string)) (Backing, error) {
	if err := removeUnborn(dir); err != nil {
		return nil, err
	}
	o := badger.DefaultOptions(dir).
		WithSyncWrites(true). // without it a power cut can leave a hole in the middle
		WithDetectConflicts(false).
		WithNumVersionsToKeep(1 << 30). // SetDiscardTs decides
		WithMemTableSize(badgerMemTableBytes).
		WithNumMemtables(1).
		WithNumCompactors(2).
		WithBaseTableSize(badgerTableBytes).
		WithNumLevelZeroTables(badgerTablesAtTop).
		WithNumLevelZeroTablesStall(badgerTablesAtTop + 1).
		WithValueThreshold(1 << 20). // all values below it: errors of the value log are only logged
		WithValueLogFileSize(64 << 20).
		WithCompression(options.None).
		WithBlockCacheSize(0).
		WithMetricsEnabled(false).
		WithChecksumVerificationMode(options.OnBlockRead). // whole tables: verifyTables
		WithLogger(badgerReport(report))
	db, err := openBadger(o)
	if err != nil {
		return nil, fmt.Errorf("state in %s cannot be opened: if it is damaged, move that folder away, and it is rebuilt from the log: %w", dir, err)
	}
	return &badgerBacking{db: db, dir: dir, free: Free, bounds: Bounds{
		// One less: Badger refuses a transaction that reaches its limit.
		Bytes:   int(db.MaxBatchSize()) - 1,
		Entries: int(db.MaxBatchCount()) - 1,
		History: badgerHistory,
		Grace:   badgerGrace,
	}}, nil
}

// removeUnborn takes away logs of Badger's that have no size yet: a process that is killed between the creation of such a
// file and the moment at which it gets its size leaves one behind, Badger then refuses to open, and there was never
// anything in it.
func removeUnborn(dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("state: %w", err)
	}
	for _, f := range files {
		if kind := filepath.Ext(f.Name()); kind != ".mem" && kind != ".vlog" {
			continue
		}
		if i, err := f.Info(); err != nil || i.Size() > 0 {
			continue
		}
		if err := os.Remove(filepath.Join(dir, f.Name())); err != nil {
			return fmt.Errorf("state: remove an empty file: %w", err)
		}
	}
	return nil
}

// openBadger makes an error of what Badger finds damaged, for some of which it has a panic.
func openBadger(o badger.Options) (db *badger.DB, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("badger: %v", r)
		}
	}()
	if err := verifyTables(o); err != nil {
		return nil, err
	}
	return badger.OpenManaged(o)
}

// Free is how many bytes a process without privileges can still write in the file system of dir.
func Free(dir string) (uint64, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return s.Bavail * uint64(s.Bsize), nil
}

// At implements Backing.
func (b *badgerBacking) At(version uint64) (Snapshot, error) {
	return &badgerSnapshot{b.db.NewTransactionAt(version, false)}, nil
}

// Commit implements Backing. One error is ErrDiskFull.
func (b *badgerBacking) Commit(version uint64, writes []Write) error {
	invariant.Holds(version > 0 && version < Newest, "a version is a sequence number")
	switch free, err := b.free(b.dir); {
	case err != nil:
		return err
	case free < minFreeBytes:
		return ErrDiskFull
	}
	txn := b.db.NewTransactionAt(version, true)
	defer txn.Discard()
	for _, w := range writes {
		var err error
		if w.Delete {
			err = txn.Delete(w.Key)
		} else {
			err = txn.Set(w.Key, w.Value)
		}
		if err != nil {
			return err
		}
	}
	if err := txn.CommitAt(version, nil); err != nil {
		return err
	}
	if version > badgerHistory+badgerGrace {
		b.db.SetDiscardTs(version - badgerHistory - badgerGrace)
	}
	return nil
}

// Bounds implements Backing.
func (b *badgerBacking) Bounds() Bounds { return b.bounds }

// Close implements Backing.
func (b *badgerBacking) Close() error { return b.db.Close() }

type badgerSnapshot struct{ txn *badger.Txn }

func (s *badgerSnapshot) Get(key []byte) ([]byte, bool, error) {
	item, err := s.txn.Get(key)
	if errors.Is(err, badger.ErrKeyNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	value, err := item.ValueCopy(nil)
	return value, err == nil, err
}

func (s *badgerSnapshot) Scan(prefix, from []byte, f func(key, value []byte) bool) error {
	o := badger.DefaultIteratorOptions
	o.Prefix = prefix
	o.PrefetchValues = false // they lie beside the keys
	it := s.txn.NewIterator(o)
	defer it.Close()
	it.Seek([]byte(max(string(prefix), string(from))))
	for ; it.ValidForPrefix(prefix); it.Next() {
		value, err := it.Item().ValueCopy(nil)
		if err != nil {
			return err
		}
		if !f(it.Item().KeyCopy(nil), value) {
			return nil
		}
	}
	return nil
}

func (s *badgerSnapshot) Close() { s.txn.Discard() }

// badgerReport passes on what Badger logs as an error or a warning.
type badgerReport func(line string)

func (r badgerReport) Errorf(format string, args ...any)   { r.line("error", format, args) }
func (r badgerReport) Warningf(format string, args ...any) { r.line("warning", format, args) }
func (r badgerReport) Infof(string, ...any)                {}
func (r badgerReport) Debugf(string, ...any)               {}

func (r badgerReport) line(level, format string, args []any) {
	if r != nil {
		r("badger " + level + ": " + strings.TrimSpace(fmt.Sprintf(format, args...)))
	}
}
