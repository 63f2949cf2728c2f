package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"path/filepath"
	"sync"

	"github.com/quorate/quorate/internal/invariant"
)

// Record is what the log remembers: bytes with a kind, neither of which it looks at.
type Record struct {
	Kind    uint8
	Once    bool // written once, not twice: large, and if the disk damages it, others can supply it again
	Payload []byte
}

// Position is where a record lies, and the checksum by which it is known again: a Position taken from another log, or from before a
// torn tail was cut, does not read as something else. The zero Position is that of no record.
type Position struct {
	Segment uint32 // from 1
	Offset  uint32 // of the record's first byte in the segment's file
	Length  uint32 // bytes of kind and payload
	Sum     uint32 // CRC-32C of kind and payload
}

// Options are what may differ between the nodes of a network.
type Options struct {
	// SegmentBytes is the size of the segments made from now on: a multiple of 512, at least 4 KiB, at most 1 GiB. 0 stands for
	// 64 MiB: at full load a new segment every few seconds. Simulated disks want less.
	SegmentBytes int64
}

const (
	defaultSegmentBytes = 64 << 20
	minSegmentBytes     = 4 << 10
	maxSegmentBytes     = 1 << 30
	maxGroupBytes       = 1 << 30 // of a file; well below what a Position can tell
)

func (o Options) segmentBytes() (int64, error) {
	switch n := o.SegmentBytes; {
	case n == 0:
		return defaultSegmentBytes, nil
	case n < minSegmentBytes || n > maxSegmentBytes || n%sector != 0:
		return 0, fmt.Errorf("store: segments of %d bytes: want a multiple of %d from %d to %d", n, sector, minSegmentBytes, maxSegmentBytes)
	default:
		return n, nil
	}
}

var (
	// ErrNoLog says that there is no log in a folder: Create has not been there, or did not end.
	ErrNoLog = errors.New("no log")
	// ErrLogExists says that Create found a log.
	ErrLogExists = errors.New("a log is there already")
	// ErrVersion says that another version of this program wrote the log.
	ErrVersion = errors.New("written in a format that this version does not know")
	// ErrClosed says that the log has been closed.
	ErrClosed = errors.New("log is closed")
	// ErrTooLarge says that a group would take more than 1 GiB.
	ErrTooLarge = errors.New("group is too large")
)

// DamageError says that what was durable has changed: the log cannot be used, and nothing in the folder was touched.
type DamageError struct {
	File   string
	Offset int64 // of the group or head that is damaged, in bytes
	Reason string
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%s is damaged at offset %d: %s", e.File, e.Offset, e.Reason)
}

// Log is an open log. Append, Sync and Close may be called from one goroutine or many, Read beside all of them.
//
// An error of Append or Sync is final: the log then refuses both with the same error, since after a failed sync nobody knows what the
// disk holds, and a second sync that succeeds proves nothing (Rebello et al., Can Applications Recover from fsync Failures?, 2020).
// Only opening it again tells.
type Log struct {
	fs           FS
	dir          string
	segmentBytes int64
	identity     sum16
	lock         io.Closer

	writer  sync.Mutex // guards what follows
	err     error      // the first error of Append or Sync, or ErrClosed
	current segmentHead
	end     int64  // where the next group goes in the current segment
	number  uint64 // of the newest group
	synced  uint64 // newest group known to be durable; at most number
	restart uint64 // newest group from which replay starts, or 0
	prev    sum16  // check of the newest group
	closed  bool   // the newest group says that the log was closed in good order
	before  int64  // bytes in the segments before the current one
	buf     []byte // a group being built
	table   []byte

	readers  sync.RWMutex // guards what follows; taken after writer
	segments []File       // by number, from 1; nil when closed
}

// Create makes a new log in dir whose first group holds the birth record, and makes it durable, the folder too. It makes dir if need
// be. ErrLogExists if there is one; what an interrupted Create left is no log, and is replaced.
func Create(fs FS, dir string, birth Record, o Options) error {
	size, err := o.segmentBytes()
	if err != nil {
		return err
	}
	if err := fs.MakeDir(dir); err != nil {
		return fmt.Errorf("store: create log: %w", err)
	}
	lock, err := fs.Lock(filepath.Join(dir, lockName))
	if err != nil {
		return fmt.Errorf("store: create log: %w", err)
	}
	defer lock.Close()
	switch numbers, err := listSegments(fs, dir); {
	case err != nil:
		return fmt.Errorf("store: create log: %w", err)
	case len(numbers) > 0:
		return fmt.Errorf("store: create log in %s: %w", dir, ErrLogExists)
	}

	l := &Log{fs: fs, dir: dir, segmentBytes: size, identity: identify(birth)}
	v, err := volumeOf([]Record{birth})
	if err != nil {
		return fmt.Errorf("store: create log: %w", err)
	}
	l.current = segmentHead{number: 1, size: l.segmentFor(v), first: 1, synced: 1, identity: l.identity}
	l.end = sector
	l.build([]Record{birth}, v, 0, nil)
	f, err := makeSegment(fs, dir, l.current, l.buf)
	if err != nil {
		return fmt.Errorf("store: create log: %w", err)
	}
	return f.Close()
}

// Append writes one group behind the others. Nothing of it is durable before Sync, which may cover many groups; until then a crash
// may lose any of them, and opening the log then ends it before the first that is lost.
//
// With restart, replay of facts starts at this group from now on: the records of all earlier groups are obsolete as facts, and
// readable by Position as before. The positions are those of records, in order; the log keeps nothing of their payloads.
func (l *Log) Append(records []Record, restart bool) ([]Position, error) {
	l.writer.Lock()
	defer l.writer.Unlock()
	if l.err != nil {
		return nil, l.err
	}
	if len(records) == 0 && !restart {
		return nil, nil
	}
	var flags byte
	if restart {
		flags = flagRestart
	}
	positions := make([]Position, len(records))
	if err := l.append(records, flags, positions); err != nil {
		return nil, l.fail("append", err)
	}
	return positions, nil
}

func (l *Log) append(records []Record, flags byte, positions []Position) error {
	v, err := volumeOf(records)
	if err != nil {
		return err
	}
	if l.end+v.size() > l.current.size {
		if err := l.nextSegment(v); err != nil {
			return err
		}
	}
	check := l.build(records, v, flags, positions)
	if _, err := l.file().WriteAt(l.buf, l.end); err != nil {
		return err
	}
	l.end += int64(len(l.buf))
	l.number++
	l.prev = check
	l.closed = flags&flagClosed != 0
	if flags&flagRestart != 0 {
		l.restart = l.number
	}
	return nil
}

// volume is how many bytes the parts of a group take, before they are framed.
type volume struct {
	body int64 // table and records that are not Once
	bulk int64 // records that are Once
}

func (v volume) size() int64 { return 2*copySize(v.body) + bulkSize(v.bulk) }

func volumeOf(records []Record) (volume, error) {
	var v volume
	for i := range records {
		v.body += entrySize
		if n := 1 + int64(len(records[i].Payload)); records[i].Once {
			v.bulk += n
		} else {
			v.body += n
		}
	}
	if v.size() > maxGroupBytes {
		return v, fmt.Errorf("%d records, %d bytes: %w", len(records), v.body+v.bulk, ErrTooLarge)
	}
	return v, nil
}

// build puts the group that follows the newest into buf. It fills positions, if there are any.
func (l *Log) build(records []Record, v volume, flags byte, positions []Position) sum16 {
	l.table = l.table[:0]
	for i := range records {
		// Through the table's own memory: what is passed to crc32 escapes, and this is done for every record.
		l.table = append(l.table, records[i].Kind)
		c := crc32.Update(0, castagnoli, l.table[len(l.table)-1:])
		c = crc32.Update(c, castagnoli, records[i].Payload)
		length := uint32(1 + len(records[i].Payload))
		if records[i].Once {
			length |= onceBit
		}
		l.table = binary.BigEndian.AppendUint32(l.table[:len(l.table)-1], length)
		l.table = binary.BigEndian.AppendUint32(l.table, c)
	}

	buf := append(l.buf[:0], make([]byte, groupHeadSize)...)
	buf = frame(buf, l.table)
	buf = l.put(buf, records, false, positions)
	first := len(buf)
	buf = l.put(buf, records, true, positions)
	h := groupHead{
		version:  formatNow,
		flags:    flags,
		segment:  l.current.number,
		sector:   uint32(l.end / sector),
		records:  uint32(len(records)),
		body:     uint32(v.body),
		bulk:     uint32(v.bulk),
		number:   l.number + 1,
		synced:   l.synced,
		identity: l.identity,
		table:    sum(l.table),
		prev:     l.prev,
	}
	h.encode(buf)
	second := len(buf)
	buf = append(buf, buf[:first]...)
	makeSecond(buf[second:])
	invariant.Holds(int64(len(buf)) == v.size(), "a group is as long as planned")
	invariant.Holds(l.end+int64(len(buf)) <= l.current.size, "a group lies in its segment")
	l.buf = buf
	return h.check
}

// put appends the records that are Once, or those that are not, and fills the last sector.
func (l *Log) put(buf []byte, records []Record, once bool, positions []Position) []byte {
	for i := range records {
		if records[i].Once != once {
			continue
		}
		at := framedFrom(int64(len(buf)))
		if len(buf)%sector == 0 {
			buf = append(buf, continuation)
		}
		buf = append(buf, records[i].Kind)
		buf = frame(buf, records[i].Payload)
		if positions != nil {
			positions[i] = Position{
				Segment: l.current.number,
				Offset:  uint32(l.end + at),
				Length:  uint32(1 + len(records[i].Payload)),
				Sum:     binary.BigEndian.Uint32(l.table[i*entrySize+4:]),
			}
		}
	}
	return append(buf, make([]byte, roundUp(int64(len(buf)))-int64(len(buf)))...)
}

// nextSegment makes a segment with room for a group. All groups before it are made durable first: so a bad group in any
// segment but the last is damage, and a torn tail never spans two files.
func (l *Log) nextSegment(v volume) error {
	if err := l.sync(); err != nil {
		return err
	}
	if l.current.number == math.MaxUint32 {
		return errors.New("no segment numbers left")
	}
	head := segmentHead{
		number:   l.current.number + 1,
		size:     l.segmentFor(v),
		first:    l.number + 1,
		synced:   l.synced,
		restart:  l.restart,
		identity: l.identity,
		prev:     l.prev,
	}
	f, err := makeSegment(l.fs, l.dir, head, nil)
	if err != nil {
		return err
	}
	l.before += l.end
	l.current, l.end = head, sector
	l.readers.Lock()
	l.segments = append(l.segments, f)
	l.readers.Unlock()
	return nil
}

// segmentFor is how large a segment to make for a group: larger than usual if it would not fit.
func (l *Log) segmentFor(v volume) int64 { return max(l.segmentBytes, sector+v.size()) }

// Sync makes all groups appended so far durable.
func (l *Log) Sync() error {
	l.writer.Lock()
	defer l.writer.Unlock()
	if l.err != nil {
		return l.err
	}
	if err := l.sync(); err != nil {
		return l.fail("sync", err)
	}
	return nil
}

func (l *Log) sync() error {
	if l.synced == l.number {
		return nil
	}
	if err := l.file().Sync(); err != nil {
		return err
	}
	l.synced = l.number
	return nil
}

func (l *Log) fail(what string, err error) error {
	l.err = fmt.Errorf("store: %s: %w", what, err)
	return l.err
}

// file is the current segment's. Only the writer adds or takes away segments, so it needs no lock of the readers'.
func (l *Log) file() File { return l.segments[l.current.number-1] }

// Read fetches a record, durable or not. It reads on after an error of Append or Sync, until Close. A *DamageError if the bytes
// there are not those that were written, nor those of the second copy, if there is one. Only Open mends a copy, and only Open says
// which records are Once.
func (l *Log) Read(p Position) (Record, error) {
	l.readers.RLock()
	defer l.readers.RUnlock()
	if l.segments == nil {
		return Record{}, fmt.Errorf("store: read: %w", ErrClosed)
	}
	if p.Segment == 0 || int64(p.Segment) > int64(len(l.segments)) || p.Length == 0 || p.Offset%sector == 0 || p.Length > maxGroupBytes {
		return Record{}, fmt.Errorf("store: read: no record lies at %+v", p)
	}
	file := l.segments[p.Segment-1]
	body, err := readRecord(file, int64(p.Offset), p)
	if err == nil && body == nil {
		body, err = l.readSecond(file, p)
	}
	if err != nil {
		return Record{}, fmt.Errorf("store: read: %w", err)
	}
	if body == nil {
		return Record{}, fmt.Errorf("store: read: %w", &DamageError{
			File:   segmentPath(l.dir, p.Segment),
			Offset: int64(p.Offset),
			Reason: "record fails its checksum",
		})
	}
	return Record{Kind: body[0], Payload: body[1:]}, nil
}

// readRecord reads kind and payload at off; nil if they are not what p says.
func readRecord(file File, off int64, p Position) ([]byte, error) {
	raw := make([]byte, framedLen(off, int64(p.Length)))
	if _, err := file.ReadAt(raw, off); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	body := unframe(raw, off)
	if crc32.Checksum(body, castagnoli) != p.Sum {
		return nil, nil
	}
	return body, nil
}

// readSecond reads what p says in the second copy of its group: the first good head behind p is the second copy's, if p is in the
// first. Nil if there is no such thing.
func (l *Log) readSecond(file File, p Position) ([]byte, error) {
	size, err := file.Size()
	if err != nil {
		return nil, err
	}
	w := window{file: file, size: size}
	for off := roundUp(int64(p.Offset)); off < size; off += sector {
		b, err := w.bytes(off, sector)
		if err != nil {
			return nil, err
		}
		h, ok := decodeGroupHead(b)
		if !ok {
			continue
		}
		within := int64(p.Offset) - h.begins()
		if !h.second || h.segment != p.Segment || h.identity != l.identity || within < 0 || within >= h.copySize() {
			return nil, nil
		}
		return readRecord(file, off+within, p)
	}
	return nil, nil
}

// Bytes is how much of the disk heads and groups take, without the room set aside for groups to come.
func (l *Log) Bytes() int64 {
	l.writer.Lock()
	defer l.writer.Unlock()
	return l.before + l.end
}

// Close syncs the log, notes in it that it ends here, and lets go of the folder. After an error of Append or Sync it only lets go.
// The note is what tells damage at the very end of a log from a torn tail.
func (l *Log) Close() error {
	l.writer.Lock()
	defer l.writer.Unlock()
	if errors.Is(l.err, ErrClosed) {
		return l.err
	}
	var errs []error
	if l.err == nil {
		errs = append(errs, l.noteEnd())
	}
	l.err = fmt.Errorf("store: %w", ErrClosed)
	return errors.Join(append(errs, l.release())...)
}

func (l *Log) noteEnd() error {
	if l.closed {
		return nil
	}
	if err := l.sync(); err != nil {
		return fmt.Errorf("store: sync: %w", err)
	}
	if err := l.append(nil, flagClosed, nil); err != nil {
		return fmt.Errorf("store: close: %w", err)
	}
	if err := l.sync(); err != nil {
		return fmt.Errorf("store: sync: %w", err)
	}
	return nil
}

// release closes the files, then lets the next process in.
func (l *Log) release() error {
	l.readers.Lock()
	defer l.readers.Unlock()
	var errs []error
	for _, f := range l.segments {
		errs = append(errs, f.Close())
	}
	l.segments = nil
	return errors.Join(append(errs, l.lock.Close())...)
}
