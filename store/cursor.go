package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

// cursor walks over the groups of a segment, in order.
type cursor struct {
	window window
	path   string
	head   segmentHead
	off    int64  // where the next group begins
	number uint64 // that it must have
	prev   sum16  // check that it must continue
	closed bool   // the group before off says that the log was closed
}

func newCursor(s segment) cursor {
	return cursor{
		window: window{file: s.file, size: s.head.size},
		path:   s.path,
		head:   s.head,
		off:    sector,
		number: s.head.first,
		prev:   s.head.prev,
	}
}

// group is what next has read. Records and positions are empty unless asked for, and without those that are lost.
type group struct {
	head      groupHead
	records   []Record
	positions []Position
	lost      []Position // of records that were written once, and fail their checksum
	mends     []mend     // what it takes to make both copies whole
}

// mend is a copy of a group's facts as it must be.
type mend struct {
	off   int64 // in the file
	bytes []byte
}

// flaw is the reason why there is no good group at a place: which may be as it should, or a torn tail, or damage.
type flaw struct{ reason string }

func (f *flaw) Error() string { return f.reason }

// next checks the group at the cursor, every byte of it, and moves behind it. With keep it returns the records, in memory of their
// own, and the mends. A *flaw if no copy is good; a *DamageError or ErrVersion if there is one that cannot be ours to read or to cut.
func (c *cursor) next(keep bool) (group, error) {
	var g group
	if c.off+sector > c.head.size {
		return g, &flaw{fmt.Sprintf("group %d is missing", c.number)}
	}
	h, err := c.findHead()
	if err != nil {
		return g, err
	}
	if h.size() > c.head.size-c.off || int64(h.records)*entrySize > int64(h.body) {
		return g, &DamageError{File: c.path, Offset: c.off, Reason: fmt.Sprintf("the head of group %d contradicts itself", h.number)}
	}
	raw, err := c.window.bytes(c.off, int(h.size()))
	if err != nil {
		return g, err
	}
	g.head = h
	if why := g.read(raw, c.off, keep); why != "" {
		return g, &flaw{fmt.Sprintf("group %d: %s", h.number, why)}
	}
	c.off += h.size()
	c.number++
	c.prev = h.check
	c.closed = h.flags&flagClosed != 0
	return g, nil
}

// findHead reads the head of the group at the cursor: the first, or if that is bad, the second, which lies no one knows how far behind.
func (c *cursor) findHead() (groupHead, error) {
	b, err := c.window.bytes(c.off, sector)
	if err != nil {
		return groupHead{}, err
	}
	var bad error = &flaw{fmt.Sprintf("the head of group %d fails its check", c.number)}
	if h, ok := decodeGroupHead(b); ok {
		var damage *DamageError // another group has been written over it
		if bad = c.judge(h); !errors.As(bad, &damage) {
			return h, bad
		}
	}
	w := window{file: c.window.file, size: c.window.size} // what c has read stays as it is
	for off := c.off + sector; off < c.head.size; off += sector {
		b, err := w.bytes(off, sector)
		if err != nil {
			return groupHead{}, err
		}
		h, ok := decodeGroupHead(b)
		if !ok {
			continue
		}
		if !h.second || h.begins() != c.off || off != c.off+h.copySize()+h.bulkSize() || c.judge(h) != nil {
			return groupHead{}, bad
		}
		h.second = false
		return h, nil
	}
	return groupHead{}, bad
}

// judge says why a good head at the cursor cannot be that of the group that belongs there.
func (c *cursor) judge(h groupHead) error {
	if h.version != formatNow || h.flags&^flagsKnown != 0 {
		return fmt.Errorf("%s: group %d at offset %d, version %d, flags %#x: %w", c.path, h.number, c.off, h.version, h.flags, ErrVersion)
	}
	// What is cut is zero before anything is written there, so a crash cannot have put another group here.
	if h.identity != c.head.identity || h.segment != c.head.number || h.begins() != c.off {
		return &DamageError{File: c.path, Offset: c.off, Reason: fmt.Sprintf("group %d is covered by a group of another place", c.number)}
	}
	if h.number != c.number || h.prev != c.prev {
		return &DamageError{File: c.path, Offset: c.off, Reason: fmt.Sprintf("group %d does not continue group %d", h.number, c.number-1)}
	}
	return nil
}

// read checks the group in raw, which lies at off, and takes it apart. It says what is wrong, if anything is that has no good copy;
// what is lost of the records that are written once is for the caller to judge.
func (g *group) read(raw []byte, off int64, keep bool) string {
	size := g.head.copySize()
	copies := [2][]byte{raw[:size], raw[int64(len(raw))-size:]}
	var bodies [2][]byte
	for i := range copies {
		framed := append([]byte(nil), copies[i][groupHeadSize:]...)
		bodies[i] = unframe(framed, groupHeadSize)[:g.head.body] // the rest fills the last sector
	}
	tableLen := int64(g.head.records) * entrySize
	table := bodies[0][:tableLen]
	if sum(table) != g.head.table {
		if table = bodies[1][:tableLen]; sum(table) != g.head.table {
			return "the table fails its check"
		}
	}
	whole := append(make([]byte, 0, g.head.body), table...) // the body as it was written
	bulk := stripBulk(raw[size : int64(len(raw))-size])
	if int64(len(bulk)) < int64(g.head.bulk) {
		return "its parts are longer than the group"
	}
	bulk = bulk[:g.head.bulk]
	fact, once := framedFrom(groupHeadSize+framedLen(groupHeadSize, tableLen)), size+1 // where the next records lie, in the group
	for i := range int(g.head.records) {
		length := binary.BigEndian.Uint32(table[i*entrySize:])
		check := binary.BigEndian.Uint32(table[i*entrySize+4:])
		isOnce := length&onceBit != 0
		length &^= onceBit
		at := &fact
		var record []byte
		switch {
		case length == 0, isOnce && int64(length) > int64(len(bulk)), !isOnce && int64(length) > int64(g.head.body)-int64(len(whole)):
			return fmt.Sprintf("record %d of %d is longer than its group", i+1, g.head.records)
		case isOnce:
			at = &once
			record, bulk = bulk[:length:length], bulk[length:]
		default:
			from := len(whole)
			record = bodies[0][from : from+int(length)]
			if crc32.Checksum(record, castagnoli) != check {
				record = bodies[1][from : from+int(length)]
			}
			whole = append(whole, record...)
		}
		p := Position{Segment: g.head.segment, Offset: uint32(off + *at), Length: length, Sum: check}
		*at = framedFrom(*at + framedLen(*at, int64(length)))
		switch good := crc32.Checksum(record, castagnoli) == check; {
		case !good && isOnce:
			g.lost = append(g.lost, p)
		case !good:
			return fmt.Sprintf("record %d of %d fails its checksum in both copies", i+1, g.head.records)
		case keep:
			record = append([]byte(nil), record...)
			g.records = append(g.records, Record{Kind: record[0], Once: isOnce, Payload: record[1:]})
			g.positions = append(g.positions, p)
		}
	}
	if len(whole) != int(g.head.body) || len(bulk) != 0 {
		return "bytes are left over behind the last record"
	}
	if keep {
		g.compare(copies, whole, off)
	}
	return ""
}

// compare holds both copies against what was written, byte by byte.
func (g *group) compare(copies [2][]byte, body []byte, off int64) {
	for i := range copies {
		h := g.head
		h.second = i == 1
		want := frame(make([]byte, groupHeadSize, len(copies[i])), body)
		want = append(want, make([]byte, len(copies[i])-len(want))...)
		h.encode(want)
		if !bytes.Equal(copies[i], want) {
			g.mends = append(g.mends, mend{off + int64(i)*(g.head.copySize()+g.head.bulkSize()), want})
		}
	}
}

// stripBulk takes the marks out of the records that are Once, in place.
func stripBulk(raw []byte) []byte {
	if len(raw) == 0 {
		return nil
	}
	return unframe(raw[1:], 1)
}

// windowBytes is how much of a file is read at a time.
const windowBytes = 256 << 10

// window reads a file from front to back in large pieces.
type window struct {
	file File
	size int64 // of the file
	at   int64 // where buf lies
	buf  []byte
}

// bytes are those of the file at off, valid until the next call. The caller may overwrite them if it does not ask for them again.
func (w *window) bytes(off int64, n int) ([]byte, error) {
	if off < w.at || off+int64(n) > w.at+int64(len(w.buf)) {
		want := min(max(int64(n), windowBytes), w.size-off)
		if int64(cap(w.buf)) < want {
			w.buf = make([]byte, want)
		}
		w.buf, w.at = w.buf[:want], off
		if got, err := w.file.ReadAt(w.buf, off); int64(got) < want {
			w.buf = w.buf[:0]
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	from := off - w.at
	return w.buf[from : from+int64(n) : from+int64(n)], nil
}
