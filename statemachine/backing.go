package statemachine

// Backing keeps keys, all versions of the recent past, and makes a set of writes durable as one.
//
// One goroutine commits; any number may read at the same time.
type Backing interface {
	// At reads the keys as of a version: what was committed at it or before. Newest means all that is committed.
	At(version uint64) (Snapshot, error)
	// Commit makes the writes durable as one, at a version above all earlier ones: all of them, or none, survive a
	// crash at any instant. The writes are one per key, in any order, and not altered afterwards. An error is final:
	// what was made durable is unknown until the backing is opened again.
	Commit(version uint64, writes []Write) error
	// Bounds are what one Commit can hold, and how far back At can go.
	Bounds() Bounds
	// Close ends it. No snapshot may be open.
	Close() error
}

// Newest, as a version, is the newest committed one.
const Newest = ^uint64(0)

// Bounds are what a Backing can hold.
type Bounds struct {
	Bytes   int    // in one commit: keys, values, and entryBytes for each
	Entries int    // in one commit
	History uint64 // At works for the newest version and this many below it
	Grace   uint64 // an open snapshot answers right until the newest is History+Grace above it; a Scan always does
}

// Snapshot reads one version.
type Snapshot interface {
	// Get is a copy of the value of key, and whether there is one.
	Get(key []byte) (value []byte, ok bool, err error)
	// Scan calls f for each key with the prefix that is not below from, in ascending order, with copies, until f returns
	// false.
	Scan(prefix, from []byte, f func(key, value []byte) bool) error
	// Close gives it back; it must be called once.
	Close()
}

// entryBytes is what a Backing needs for an entry beside its key and value. Badger counts 12 bytes.
const entryBytes = 16

// size is what a write needs of Bounds.Bytes.
func (w Write) size() int { return len(w.Key) + len(w.Value) + entryBytes }
