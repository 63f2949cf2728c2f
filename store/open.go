package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
)

// Recovery is what Open found.
type Recovery struct {
	Groups    int    // of records
	Records   int    // in all, obsolete or not
	TornBytes int64  // cut from the end of the log: written, and perhaps not all of it, by a process that did not live to sync it
	TornAt    string // file and offset of the cut, if TornBytes > 0
	Mended    []Spot // copies of facts that were damaged, and are written anew from the other copy
	Lost      []Spot // records written once that are damaged; visit was not told of them
	Copied    bool   // the newest segment is not the file that was made for it
}

// Spot is where in a log something was found.
type Spot struct {
	File   string
	Offset int64 // bytes
}

func (s Spot) String() string { return fmt.Sprintf("%s at offset %d", s.File, s.Offset) }

// Copied says whether the log in dir is a copy of the one that was made: its newest segment is another file than its head
// says. Whoever wrote that log may have gone on since. ErrNoLog if there is none; a *DamageError if the head cannot be read.
func Copied(fsys FS, dir string) (bool, error) {
	numbers, err := listSegments(fsys, dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("store: %w", err)
	}
	if len(numbers) == 0 {
		return false, fmt.Errorf("store: %s: %w", dir, ErrNoLog)
	}
	newest := numbers[len(numbers)-1]
	path := segmentPath(dir, newest)
	f, err := fsys.Open(path)
	if err != nil {
		return false, fmt.Errorf("store: %w", err)
	}
	defer f.Close()
	head, err := readSegmentHead(f, path, newest)
	if err != nil {
		return false, fmt.Errorf("store: %w", err)
	}
	return isCopy(f, head)
}

func isCopy(f File, head segmentHead) (bool, error) {
	is, err := f.Identity()
	return is != head.file, err
}

// Open reads the log in dir and makes it ready for more. It calls visit once for every record, in the order in which they were
// appended; live is false for those that a later restart made obsolete as facts. The payload is visit's to keep. When Open returns an
// error, visit's too, what visit was told is void, and but for a failing disk nothing in dir was changed.
//
// Whatever visit was told is durable when Open returns, synced before or not.
//
// Records that are not Once are there twice. One good copy of each is enough: Open uses it, writes the damaged one anew, and says so in
// Recovery. A record that is Once and damaged is reported as lost, and its group used without it.
//
// A group that lacks more than that is the torn tail of a crash, and is cut with all that follows it, if nothing shows that it was ever
// durable. It was, and Open refuses with a *DamageError, if it is older than the last segment, or a group behind it says that it was
// written after a sync that covered the bad one. What is still taken for a torn tail, though it may be damage: in the groups of the
// very last sync, if neither a group nor Close's note came after them, a damaged record that is Once, or damage to both copies of the
// head, of the table or of one record. Who must know for certain has to ask others.
//
// Errors: ErrNoLog; ErrLocked while another process has the log open; ErrVersion; *DamageError.
func Open(fsys FS, dir string, o Options, visit func(pos Position, r Record, live bool) error) (*Log, Recovery, error) {
	size, err := o.segmentBytes()
	if err != nil {
		return nil, Recovery{}, err
	}
	// Not to leave a lock file where there is no log.
	if numbers, err := listSegments(fsys, dir); errors.Is(err, fs.ErrNotExist) || err == nil && len(numbers) == 0 {
		return nil, Recovery{}, fmt.Errorf("store: open %s: %w", dir, ErrNoLog)
	} else if err != nil {
		return nil, Recovery{}, fmt.Errorf("store: open log: %w", err)
	}
	lock, err := fsys.Lock(filepath.Join(dir, lockName))
	if err != nil {
		return nil, Recovery{}, fmt.Errorf("store: open log: %w", err)
	}
	op := opening{fs: fsys, dir: dir, visit: visit}
	err = op.run()
	if err != nil {
		for _, s := range op.segments {
			s.file.Close()
		}
		lock.Close()
		return nil, Recovery{}, fmt.Errorf("store: open log: %w", err)
	}

	l := &Log{fs: fsys, dir: dir, segmentBytes: size, lock: lock}
	for _, s := range op.segments {
		l.segments = append(l.segments, s.file)
	}
	for _, used := range op.used {
		l.before += used
	}
	l.current = op.last().head
	l.identity = l.current.identity
	tail := op.tail
	l.end, l.number, l.synced, l.prev = tail.off, tail.number-1, tail.number-1, tail.prev
	l.restart, l.closed = op.restart, tail.closed
	return l, op.recovery, nil
}

// opening is the work of Open. It reads and judges everything before it changes anything.
type opening struct {
	fs    FS
	dir   string
	visit func(Position, Record, bool) error

	segments []segment
	used     []int64 // bytes of heads and groups in the segments before the last
	tail     cursor  // behind the last good group of the last segment
	restart  uint64  // newest group from which replay starts, or 0
	torn     extent  // what to cut
	mends    []pending
	recovery Recovery
}

// segment is a file that has a good head.
type segment struct {
	path string
	file File
	head segmentHead
}

// pending is a mend to be written once all is judged.
type pending struct {
	segment int // index
	mend
}

// extent is a range of bytes in a file.
type extent struct{ from, to int64 }

func (op *opening) last() segment { return op.segments[len(op.segments)-1] }

func (op *opening) run() error {
	if err := op.openSegments(); err != nil {
		return err
	}
	if err := op.findTail(); err != nil {
		return err
	}
	if err := op.replay(); err != nil {
		return err
	}
	return op.settle()
}

// openSegments opens all segments and reads their heads, and checks that none is missing.
func (op *opening) openSegments() error {
	numbers, err := listSegments(op.fs, op.dir)
	if err != nil {
		return err
	}
	for i, n := range numbers {
		if want := uint32(i + 1); n != want {
			return &DamageError{File: segmentPath(op.dir, want), Reason: fmt.Sprintf("the segment is missing, though there is segment %d", n)}
		}
		path := segmentPath(op.dir, n)
		f, err := op.fs.Open(path)
		if err != nil {
			return err
		}
		op.segments = append(op.segments, segment{path: path, file: f})
		if i == len(numbers)-1 {
			if err := f.Reread(); err != nil {
				return err
			}
		}
		s := &op.segments[i]
		if s.head, err = readSegmentHead(f, path, n); err != nil {
			return err
		}
		if s.head.identity != op.segments[0].head.identity {
			return &DamageError{File: path, Reason: "the segment belongs to another log"}
		}
	}
	op.recovery.Copied, err = isCopy(op.last().file, op.last().head)
	return err
}

func readSegmentHead(f File, path string, number uint32) (segmentHead, error) {
	var head segmentHead
	size, err := f.Size()
	if err != nil {
		return head, err
	}
	if size < 2*sector {
		return head, &DamageError{File: path, Reason: fmt.Sprintf("%d bytes are too few for a segment", size)}
	}
	first := make([]byte, sector)
	if _, err := f.ReadAt(first, 0); err != nil {
		return head, err
	}
	head, version, ok := decodeSegmentHead(first)
	switch {
	case version != 0 && version != formatNow:
		return head, fmt.Errorf("%s: version %d: %w", path, version, ErrVersion)
	case !ok:
		return head, &DamageError{File: path, Reason: "the head of the segment fails its check"}
	case head.number != number:
		return head, &DamageError{File: path, Reason: fmt.Sprintf("the head is that of segment %d", head.number)}
	case head.size != size:
		return head, &DamageError{File: path, Reason: fmt.Sprintf("%d bytes long, made with %d", size, head.size)}
	}
	return head, nil
}

// findTail goes through the last segment to where its good groups end, and judges what lies there. The other segments were synced
// whole before this one was made, and say in its head what is to be known of them here.
func (op *opening) findTail() error {
	s := op.last()
	c := newCursor(s)
	durable, proof := s.head.synced, "the segment was made" // newest group known to have been durable, and when
	var restarts []uint64
	var doubtful []cursor // before groups of which records that are Once are bad: lost, or never written
	var bad *flaw
	for {
		before := c
		g, err := c.next(false)
		if errors.As(err, &bad) {
			break
		}
		if err != nil {
			return err
		}
		if g.head.flags&flagRestart != 0 {
			restarts = append(restarts, g.head.number)
		}
		if len(g.lost) > 0 {
			before.window.buf = nil // next has overwritten what it read
			doubtful = append(doubtful, before)
		}
		durable = max(durable, g.head.synced)
	}
	claim, err := op.searchRest(s, c)
	if err != nil {
		return err
	}
	if claim.synced > durable {
		durable, proof = claim.synced, fmt.Sprintf("group %d at offset %d was written", claim.number, claim.off)
	}
	if c.number <= durable {
		return &DamageError{File: s.path, Offset: c.off, Reason: fmt.Sprintf("%s; it was durable when %s", bad.reason, proof)}
	}
	op.tail = c
	for _, d := range doubtful {
		if d.number > durable {
			op.torn.to = max(op.torn.to, c.off)
			op.tail = d
			break
		}
	}
	op.torn.from = op.tail.off
	op.restart = s.head.restart
	for _, r := range restarts {
		if r < op.tail.number {
			op.restart = r
		}
	}
	return nil
}

// claim is the head behind the last good group that says most about what was durable when it was written.
type claim struct {
	number, synced uint64
	off            int64
}

// searchRest looks through what follows the last good group, for what to cut and for a sign that the bad group at the cursor was
// durable once.
func (op *opening) searchRest(s segment, c cursor) (most claim, err error) {
	w := c.window
	w.buf = nil // next has overwritten what it read of the bad group
	op.torn.to = c.off
	for off := c.off; off < s.head.size; off += sector {
		b, err := w.bytes(off, sector)
		if err != nil {
			return most, err
		}
		if isZero(b) {
			continue
		}
		op.torn.to = off + sector
		// The bad group's own heads, if one is good, say nothing: no group is written after a sync that covers it. A head of this log
		// that went astray says as much as one in its place.
		if h, ok := decodeGroupHead(b); ok && h.identity == s.head.identity && h.synced > most.synced {
			most = claim{h.number, h.synced, off}
		}
	}
	return most, nil
}

// isZero compares by whole sectors, as fast as memory is: what is set aside and unused is looked through on every start.
func isZero(b []byte) bool {
	for len(b) > sector {
		if !bytes.Equal(b[:sector], zeroSector[:]) {
			return false
		}
		b = b[sector:]
	}
	return bytes.Equal(b, zeroSector[:len(b)])
}

var zeroSector [sector]byte

// replay reads all good groups from the beginning, checks how they hang together, and shows their records to visit.
func (op *opening) replay() error {
	c := cursor{number: 1}
	for i, s := range op.segments {
		if s.head.first != c.number || s.head.prev != c.prev {
			return &DamageError{File: s.path, Reason: "the segment does not continue the one before it"}
		}
		buf := c.window.buf[:0]
		c = newCursor(s)
		c.window.buf = buf
		end := op.tail.number
		if i < len(op.segments)-1 {
			end = op.segments[i+1].head.first
		}
		for c.number < end {
			if err := op.replayGroup(i, &c); err != nil {
				return err
			}
		}
		if i < len(op.segments)-1 {
			op.used = append(op.used, c.off)
		}
	}
	return nil
}

func (op *opening) replayGroup(segment int, c *cursor) error {
	at := c.off
	g, err := c.next(true)
	var bad *flaw
	if errors.As(err, &bad) {
		return &DamageError{File: c.path, Offset: at, Reason: bad.reason + "; there are groups behind it"}
	}
	if err != nil {
		return err
	}
	for _, m := range g.mends {
		op.mends = append(op.mends, pending{segment, m})
		op.recovery.Mended = append(op.recovery.Mended, Spot{c.path, m.off})
	}
	for _, p := range g.lost {
		op.recovery.Lost = append(op.recovery.Lost, Spot{c.path, int64(p.Offset)})
	}
	if g.head.number == 1 {
		if len(g.records) != 1 || identify(g.records[0]) != g.head.identity {
			return &DamageError{File: c.path, Offset: at, Reason: "the birth record is not the one that the log was made with"}
		}
	}
	if len(g.records) > 0 {
		op.recovery.Groups++
	}
	for i, r := range g.records {
		op.recovery.Records++
		if err := op.visit(g.positions[i], r, g.head.number >= op.restart); err != nil {
			return err
		}
	}
	return nil
}

// settle cuts the torn tail, mends what is damaged, and makes all that was read durable: it may have come from a process that was
// killed before its sync, and the caller will act on it.
func (op *opening) settle() error {
	s := op.last()
	if t := op.torn; t.to > t.from {
		op.recovery.TornBytes = t.to - t.from
		op.recovery.TornAt = Spot{s.path, t.from}.String()
		// With zeros, and before anything new is written: else an old group could come to life behind a new one.
		zeros := make([]byte, min(t.to-t.from, windowBytes))
		for off := t.from; off < t.to; {
			n, err := s.file.WriteAt(zeros[:min(int64(len(zeros)), t.to-off)], off)
			if err != nil {
				return err
			}
			off += int64(n)
		}
	}
	if err := op.mend(); err != nil {
		return err
	}
	if err := s.file.Sync(); err != nil {
		return err
	}
	return op.fs.SyncDir(op.dir)
}

// mend writes good copies over damaged ones. The last segment is synced by settle.
func (op *opening) mend() error {
	for i, m := range op.mends {
		f := op.segments[m.segment].file
		if _, err := f.WriteAt(m.bytes, m.off); err != nil {
			return err
		}
		if more := i+1 < len(op.mends) && op.mends[i+1].segment == m.segment; more || m.segment == len(op.segments)-1 {
			continue
		}
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return nil
}
