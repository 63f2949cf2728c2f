package store

import (
	"encoding/binary"
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

// group is what next has read. Records and positions are empty unless asked for.
type group struct {
	head      groupHead
	records   []Record
	positions []Position
}

// flaw is the reason why there is no good group at a place: which may be as it should, or a torn tail, or damage.
type flaw struct{ reason string }

func (f *flaw) Error() string { return f.reason }

// next checks the group at the cursor, every byte of it, and moves behind it. With keep it returns the records, in memory of their
// own. A *flaw if there is no good group; a *DamageError or ErrVersion if there is one that cannot be ours to read or to cut.
func (c *cursor) next(keep bool) (group, error) {
	var g group
	if c.off+sector > c.head.size {
		return g, &flaw{fmt.Sprintf("group %d is missing", c.number)}
	}
	b, err := c.window.bytes(c.off, sector)
	if err != nil {
		return g, err
	}
	h, ok := decodeGroupHead(b)
	if !ok {
		return g, &flaw{fmt.Sprintf("the head of group %d fails its check", c.number)}
	}
	if h.version != formatNow || h.flags&^flagsKnown != 0 {
		return g, fmt.Errorf("%s: group %d at offset %d, version %d, flags %#x: %w", c.path, h.number, c.off, h.version, h.flags, ErrVersion)
	}
	// What is cut is zero before anything is written there, so a crash cannot have put another group here.
	if h.identity != c.head.identity || h.segment != c.head.number || int64(h.sector)*sector != c.off {
		return g, &DamageError{File: c.path, Offset: c.off, Reason: fmt.Sprintf("group %d is covered by a group of another place", c.number)}
	}
	if h.number != c.number || h.prev != c.prev {
		return g, &DamageError{File: c.path, Offset: c.off, Reason: fmt.Sprintf("group %d does not continue group %d", h.number, c.number-1)}
	}
	size := groupSize(int64(h.body))
	if size > c.head.size-c.off || int64(h.records)*(entrySize+1) > int64(h.body) {
		return g, &DamageError{File: c.path, Offset: c.off, Reason: fmt.Sprintf("the head of group %d contradicts itself", h.number)}
	}
	raw, err := c.window.bytes(c.off, int(size))
	if err != nil {
		return g, err
	}
	g.head = h
	if why := g.readBody(raw, c.off, keep); why != "" {
		return g, &flaw{fmt.Sprintf("group %d: %s", h.number, why)}
	}
	c.off += size
	c.number++
	c.prev = h.check
	c.closed = h.flags&flagClosed != 0
	return g, nil
}

// readBody checks table and records of the group in raw, which lies at off and is destroyed. It says what is wrong, if anything is.
func (g *group) readBody(raw []byte, off int64, keep bool) string {
	body, ok := unframe(raw[groupHeadSize:], groupHeadSize)
	if !ok {
		return "a sector does not bear the mark of its group"
	}
	body = body[:g.head.body] // the rest fills the last sector
	tableLen := int64(g.head.records) * entrySize
	table, rest := body[:tableLen], body[tableLen:]
	if sum(table) != g.head.table {
		return "the table fails its check"
	}
	if keep {
		rest = append([]byte(nil), rest...)
		g.records = make([]Record, 0, g.head.records)
		g.positions = make([]Position, 0, g.head.records)
	}
	at := int64(groupHeadSize) // of rest, in the group
	at = framedFrom(at + framedLen(at, tableLen))
	for i := range int(g.head.records) {
		length := binary.BigEndian.Uint32(table[i*entrySize:])
		check := binary.BigEndian.Uint32(table[i*entrySize+4:])
		if length == 0 || int64(length) > int64(len(rest)) {
			return fmt.Sprintf("record %d of %d is longer than its group", i+1, g.head.records)
		}
		record := rest[:length:length]
		rest = rest[length:]
		if crc32.Checksum(record, castagnoli) != check {
			return fmt.Sprintf("record %d of %d fails its checksum", i+1, g.head.records)
		}
		if keep {
			g.records = append(g.records, Record{Kind: record[0], Payload: record[1:]})
			g.positions = append(g.positions, Position{Segment: g.head.segment, Offset: uint32(off + at), Length: length, Sum: check})
			at = framedFrom(at + framedLen(at, int64(length)))
		}
	}
	if len(rest) != 0 {
		return "bytes are left over behind the last record"
	}
	return ""
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
