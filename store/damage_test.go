package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"slices"
	"testing"
)

// written is a log with groups over six segments, what Open must show of it, and where its groups begin.
type written struct {
	m       *Memory
	records []Record
	groups  []place // in order
}

type place struct {
	path     string
	from, to int64
	head     groupHead
}

// filled makes such a log. Closed in good order it ends with Close's note; else it ends with a group that was synced alone, as after a
// power cut in a pause.
func filled(t testing.TB, closed bool) written { return filledWith(t, closed, 0) }

// filledWith makes the same with other bytes in the later half of the groups.
func filledWith(t testing.TB, closed bool, salt int) written {
	t.Helper()
	w := written{m: created(t), records: []Record{birth}}
	l := opened(t, w.m, "log")
	for i := range 16 {
		batch := []Record{rec(2*i, 37*i), once(2*i+1+salt*(i/8), 900-53*i)}
		add(t, l, i == 9, batch...)
		must(t, l.Sync())
		w.records = append(w.records, batch...)
	}
	if closed {
		must(t, l.Close())
	} else {
		w.m.Crash(lose)
	}
	for _, path := range w.m.Files() {
		b := w.m.Bytes(path)
		for off := 0; off < len(b); off += sector {
			if h, ok := decodeGroupHead(b[off:]); ok && !h.second {
				w.groups = append(w.groups, place{path, int64(off), int64(off) + h.size(), h})
			}
		}
	}
	return w
}

// at is the group that holds a byte, if one does.
func (w written) at(path string, off int64) (int, bool) {
	i := slices.IndexFunc(w.groups, func(p place) bool { return p.path == path && p.from <= off && off < p.to })
	return i, i >= 0
}

// unchanged fails if anything in the folder differs.
func unchanged(t *testing.T, m, before *Memory) {
	t.Helper()
	if !slices.Equal(m.Files(), before.Files()) {
		t.Fatalf("files %v, before %v", m.Files(), before.Files())
	}
	for _, path := range before.Files() {
		if !bytes.Equal(m.Bytes(path), before.Bytes(path)) {
			t.Fatalf("%s was changed", path)
		}
	}
}

// case F6. One bit in 41 of all segments. Breaks when: any field is outside its check; one copy alone is compared; damage is cut
// like a torn tail; a mend is not written, or writes something else; a record that is Once and lost is shown, or not reported.
func TestAFlippedBitIsMendedReportedOrRefused(t *testing.T) {
	for _, closed := range []bool{true, false} {
		t.Run(fmt.Sprintf("closed %v", closed), func(t *testing.T) {
			w := filled(t, closed)
			last := len(w.groups) - 1
			refused, mended, lost, tails, unseen := 0, 0, 0, 0, 0
			for _, path := range w.m.Files() {
				for bit := int64(0); bit < smallBytes*8; bit += 41 {
					off := bit / 8
					what := fmt.Sprintf("bit %d of byte %d of %s", bit%8, off, path)
					group, inGroup := w.at(path, off)
					inCopy := false
					if inGroup {
						p := w.groups[group]
						inCopy = off-p.from < p.head.copySize() || p.to-off <= p.head.copySize()
					}
					world := w.m.Clone()
					world.Flip(path, bit)
					var seen []entry
					l, found, err := Open(world, "log", small, gather(&seen))
					var damage *DamageError
					switch {
					case off < segmentHeadSize:
						if !errors.As(err, &damage) || damage.File != path {
							t.Fatalf("%s: %v", what, err)
						}
						refused++
						continue
					case err != nil:
						t.Fatalf("%s: %v", what, err)
					case inCopy:
						sameRecords(t, seen, w.records...)
						if len(found.Mended) != 1 || found.TornBytes != 0 || len(found.Lost) != 0 {
							t.Fatalf("%s: %+v", what, found)
						}
						world.Crash(lose)
						unchanged(t, world, w.m)
						mended++
						continue
					case inGroup && found.TornBytes > 0:
						if closed || group != last {
							t.Fatalf("%s: %+v", what, found)
						}
						sameRecords(t, seen, w.records[:len(w.records)-2]...)
						tails++
					case len(found.Lost) > 0:
						at := 2 * group // birth, then two records a group
						sameRecords(t, seen, slices.Concat(w.records[:at], w.records[at+1:])...)
						lost++
					default:
						sameRecords(t, seen, w.records...)
						unseen++
					}
					must(t, l.release())
				}
			}
			t.Logf("%d refused, %d mended, %d lost, %d torn tails, %d unseen", refused, mended, lost, tails, unseen)
			if refused < 100 || mended < 2000 || lost < 500 || !closed && tails == 0 {
				t.Fatal("not tested")
			}
		})
	}
}

// A refusal must leave everything for those who look into it. Each row breaks when its check is left out.
func TestDamageIsRefusedAndNothingIsChanged(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(t *testing.T, w written)
		file   uint32
	}{
		"first segment gone":      {func(t *testing.T, w written) { must(t, w.m.Remove(segmentPath("log", 1))) }, 1},
		"segment in between gone": {func(t *testing.T, w written) { must(t, w.m.Remove(segmentPath("log", 2))) }, 2}, // case F19
		"head of the last segment gone": {func(t *testing.T, w written) {
			put(t, w.m, segmentPath("log", 6), make([]byte, sector), 0)
		}, 6},
		"segment cut short": {func(t *testing.T, w written) {
			replace(t, w.m, segmentPath("log", 3), w.m.Bytes(segmentPath("log", 3))[:smallBytes/2])
		}, 3},
		"segment empty": {func(t *testing.T, w written) { replace(t, w.m, segmentPath("log", 3), nil) }, 3},
		"segment in another's place": {func(t *testing.T, w written) {
			replace(t, w.m, segmentPath("log", 3), w.m.Bytes(segmentPath("log", 2)))
		}, 3}, // case F17
		"last segment empty of groups, from an older backup": {func(t *testing.T, w written) {
			b := w.m.Bytes(segmentPath("log", 3))
			clear(b[sector:])
			replace(t, w.m, segmentPath("log", 3), b)
		}, 3},
		"segment of another log": {func(t *testing.T, w written) {
			other := NewMemory()
			must(t, Create(other, "log", Record{Kind: 1, Payload: []byte("born elsewhere")}, small))
			l := opened(t, other, "log")
			for i := range 16 {
				add(t, l, false, rec(i, 900))
			}
			replace(t, w.m, segmentPath("log", 3), other.Bytes(segmentPath("log", 3)))
		}, 3},
		"first segment of another log": {func(t *testing.T, w written) {
			other := NewMemory()
			must(t, Create(other, "log", Record{Kind: 1, Payload: []byte("born elsewhere")}, small))
			replace(t, w.m, segmentPath("log", 1), other.Bytes(segmentPath("log", 1)))
		}, 2},
		// case F17
		"a write that never came, in the last segment": {func(t *testing.T, w written) {
			p := w.groups[len(w.groups)-3]
			put(t, w.m, p.path, make([]byte, p.to-p.from), p.from)
		}, 5},
		"a write that never came, in an older segment": {func(t *testing.T, w written) {
			p := w.groups[2]
			put(t, w.m, p.path, make([]byte, p.to-p.from), p.from)
		}, 1},
		"a write that went astray": {func(t *testing.T, w written) {
			from, to := w.groups[1], w.groups[2]
			put(t, w.m, to.path, w.m.Bytes(from.path)[from.from:from.to], to.from)
		}, 1},
		"a last segment that continues the log otherwise, from another backup": {func(t *testing.T, w written) {
			other := filledWith(t, true, 1)
			replace(t, w.m, segmentPath("log", 6), other.m.Bytes(segmentPath("log", 6)))
		}, 6},
		"a copy of a later group behind a bad one": {func(t *testing.T, w written) {
			last, bad := w.groups[len(w.groups)-2], w.groups[len(w.groups)-3]
			b := w.m.Bytes(last.path)[last.from : last.from+sector]
			put(t, w.m, bad.path, make([]byte, bad.to-bad.from), bad.from)
			put(t, w.m, last.path, make([]byte, last.to-last.from), last.from)
			put(t, w.m, last.path, b, smallBytes-sector)
		}, 5},
		"a record changed with its checksum": {func(t *testing.T, w written) {
			p := w.groups[2]
			b := w.m.Bytes(p.path)[p.from:p.to]
			table := b[groupHeadSize:]
			first := b[groupHeadSize+2*entrySize:][:binary.BigEndian.Uint32(table)]
			first[1]++
			binary.BigEndian.PutUint32(table[4:], crc32.Checksum(first, castagnoli))
			head := p.head
			head.second = true
			size := head.copySize()
			copy(b[int64(len(b))-size:], b[:size])
			head.encode(b[int64(len(b))-size:])
			put(t, w.m, p.path, b, p.from)
		}, 1},
		// These only a bug of ours could write: all checks are in order. Nothing that is read panics all the same.
		"a good group that continues another": {rewritten(func(h *groupHead) { h.prev[0]++ }), 6},
		"a first segment that begins later": {func(t *testing.T, w written) {
			b := w.m.Bytes(segmentPath("log", 1))
			head, _, _ := decodeSegmentHead(b)
			head.first = 5
			clear(b)
			head.encode(b)
			for _, path := range w.m.Files()[1:] {
				must(t, w.m.Remove(path))
			}
			replace(t, w.m, segmentPath("log", 1), b)
		}, 1},
		"a good group of another number":       {rewritten(func(h *groupHead) { h.number++ }), 6},
		"a good group of another segment":      {rewritten(func(h *groupHead) { h.segment++ }), 6},
		"a good group of another sector":       {rewritten(func(h *groupHead) { h.sector++ }), 6},
		"a good group of another log":          {rewritten(func(h *groupHead) { h.identity[0]++ }), 6},
		"a group that goes on behind its file": {rewritten(func(h *groupHead) { h.body = 1 << 31 }), 6},
		"a group with more records than bytes": {rewritten(func(h *groupHead) { h.records = 1 << 31 }), 6},
		"the birth record of another": {func(t *testing.T, w written) {
			// All checks in order, and yet not the log that it says it is.
			b := w.m.Bytes(segmentPath("log", 1))
			head, _, _ := decodeSegmentHead(b)
			l := Log{identity: head.identity, current: head, end: sector}
			l.build([]Record{{Kind: 1, Payload: []byte("born anew")}}, volume{body: entrySize + 1 + 9}, 0, nil)
			clear(b[sector:])
			copy(b[sector:], l.buf)
			for _, path := range w.m.Files()[1:] {
				must(t, w.m.Remove(path))
			}
			replace(t, w.m, segmentPath("log", 1), b)
		}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			w := filled(t, true)
			c.damage(t, w)
			must(t, w.m.SyncDir("log"))
			before := w.m.Clone()
			var seen []entry
			_, _, err := Open(w.m, "log", small, gather(&seen))
			var damage *DamageError
			if !errors.As(err, &damage) || damage.File != segmentPath("log", c.file) {
				t.Fatalf("%v, want damage in segment %d", err, c.file)
			}
			for i, e := range seen {
				if !equal(e.rec, w.records[i]) {
					t.Fatal("a wrong record")
				}
			}
			unchanged(t, w.m, before)
			if _, _, again := Open(w.m, "log", small, gather(&seen)); fmt.Sprint(again) != fmt.Sprint(err) {
				t.Fatalf("first %v, then %v", err, again)
			}
		})
	}
}

// replace puts a file with other bytes, and of another length, in place of one.
func replace(t testing.TB, m *Memory, path string, b []byte) {
	t.Helper()
	must(t, m.Remove(path))
	f, err := m.Create(path)
	must(t, err)
	_, err = f.WriteAt(b, 0)
	must(t, err)
	must(t, f.Sync())
	must(t, m.SyncDir(filepath.Dir(path)))
}

// case F18. Breaks when: what a later version wrote is taken for damage, or cut as a torn tail.
func TestWhatALaterVersionWroteIsRefusedUntouched(t *testing.T) {
	for name, change := range map[string]func(w written){
		"segment": func(w written) {
			path := w.m.Files()[len(w.m.Files())-1]
			b := w.m.Bytes(path)[:sector]
			clear(b[12:])
			binary.BigEndian.PutUint32(b[4:], formatNow+1)
			binary.BigEndian.PutUint32(b[8:], crc32.Checksum(b[:8], castagnoli))
			put(t, w.m, path, b, 0)
		},
		"last group": func(w written) { w.rewriteLast(t, func(h *groupHead) { h.version++ }) },
		"flags":      func(w written) { w.rewriteLast(t, func(h *groupHead) { h.flags |= 1 << 7 }) },
	} {
		t.Run(name, func(t *testing.T) {
			w := filled(t, false)
			change(w)
			before := w.m.Clone()
			var seen []entry
			if _, _, err := Open(w.m, "log", small, gather(&seen)); !errors.Is(err, ErrVersion) {
				t.Fatal(err)
			}
			unchanged(t, w.m, before)
		})
	}
}

func rewritten(change func(h *groupHead)) func(*testing.T, written) {
	return func(t *testing.T, w written) { w.rewriteLast(t, change) }
}

func (w written) rewriteLast(t *testing.T, change func(h *groupHead)) {
	p := w.groups[len(w.groups)-1]
	for _, second := range []bool{false, true} {
		h, off := p.head, p.from
		if h.second = second; second {
			off = p.to - h.copySize()
		}
		b := w.m.Bytes(p.path)[off : off+sector]
		change(&h)
		h.encode(b)
		put(t, w.m, p.path, b, off)
	}
}

func TestAnErrorOfVisitEndsOpenAndChangesNothing(t *testing.T) {
	w := filled(t, true)
	before := w.m.Clone()
	enough := errors.New("enough")
	n := 0
	_, _, err := Open(w.m, "log", small, func(Position, Record, bool) error {
		if n++; n == 5 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || n != 5 {
		t.Fatal(n, err)
	}
	unchanged(t, w.m, before)
	must(t, opened(t, w.m, "log").Close())
}

// case F6. Breaks when: Read believes the disk, or does not look for the second copy.
func TestReadRefusesARecordThatHasChangedAndHasNoOtherCopy(t *testing.T) {
	m := created(t)
	l := opened(t, m, "log")
	group := []Record{rec(1, 1200), once(2, 1200)}
	for i, p := range add(t, l, false, group...) {
		for off := int64(p.Offset); off < int64(p.Offset)+framedLen(int64(p.Offset), int64(p.Length)); off++ {
			if off%sector == 0 {
				continue // a mark, which belongs to no record
			}
			m.Flip(segmentPath("log", 1), off*8+off%8)
			r, err := l.Read(p)
			var damage *DamageError
			switch {
			case !group[i].Once && (err != nil || !bytes.Equal(r.Payload, group[i].Payload)):
				t.Fatalf("byte %d: the second copy is not read: %v", off, err)
			case group[i].Once && (!errors.As(err, &damage) || damage.File != segmentPath("log", 1) || damage.Offset != int64(p.Offset)):
				t.Fatalf("byte %d: %v", off, err)
			}
			m.Flip(segmentPath("log", 1), off*8+off%8)
		}
		if r, err := l.Read(p); err != nil || !bytes.Equal(r.Payload, group[i].Payload) {
			t.Fatal(err)
		}
	}
}

// Names in the folder that are no segment's are nobody's business.
func TestOtherFilesInTheFolderAreLeftAlone(t *testing.T) {
	w := filled(t, true)
	for _, name := range []string{"0000000009.txt", "12.log", "000000000x.log", "0000000000.log", "9999999999.log", "notes"} {
		touch(t, w.m, filepath.Join("log", name))
	}
	before := w.m.Clone()
	l, _, seen := collect(t, w.m, "log")
	sameRecords(t, seen, w.records...)
	must(t, l.Close())
	unchanged(t, w.m, before)
}

func touch(t testing.TB, m *Memory, path string) {
	t.Helper()
	f, err := m.Create(path)
	must(t, err)
	must(t, f.Close())
}

// Breaks when: the segment's head, which says that the first group was synced with it, is not believed.
func TestADamagedBirthIsNoTornTail(t *testing.T) {
	m := created(t)
	m.Flip(segmentPath("log", 1), (sector+125)*8)
	m.Flip(segmentPath("log", 1), (2*sector+125)*8)
	before := m.Clone()
	var damage *DamageError
	if _, _, err := Open(m, "log", small, nil); !errors.As(err, &damage) || damage.Offset != sector {
		t.Fatal(err)
	}
	unchanged(t, m, before)
}

// Breaks when: the search behind a bad group believes another log.
func TestWhatAnotherLogLeftBehindATailProvesNothing(t *testing.T) {
	m := created(t)
	foreign := groupHead{version: formatNow, segment: 1, sector: 4, number: 9, synced: 8, identity: sum16{1, 2, 3}}
	b := make([]byte, sector)
	foreign.encode(b)
	put(t, m, segmentPath("log", 1), b, 4*sector)
	l, recovery, seen := collect(t, m, "log")
	sameRecords(t, seen, birth)
	if recovery.TornBytes != 2*sector {
		t.Fatal(recovery)
	}
	goesOn(t, m, l, seen)
}

// Only a bug of ours could write these; nothing of them is believed, and nothing panics. Each row breaks when its check is left out.
func TestAGroupThatContradictsItselfIsNotBelieved(t *testing.T) {
	ten := crc32.Checksum([]byte("0123456789"), castagnoli)
	for name, c := range map[string]struct {
		table []uint32 // lengths and checksums
		body  string
	}{
		"a record without a kind":             {[]uint32{0, 0}, ""},
		"a record without a kind, and a good": {[]uint32{0, 0, 10, ten}, "0123456789"},
		"bytes behind the last record":        {[]uint32{10, ten}, "0123456789x"},
		"a record longer than the body":       {[]uint32{11, ten}, "0123456789"},
	} {
		t.Run(name, func(t *testing.T) {
			m := created(t)
			b := m.Bytes(segmentPath("log", 1))
			var body []byte
			for _, n := range c.table {
				body = binary.BigEndian.AppendUint32(body, n)
			}
			body = append(body, c.body...)
			group := b[3*sector:]
			copy(group[groupHeadSize:], body)
			h := groupHead{version: formatNow, records: uint32(len(c.table) / 2), body: uint32(len(body))}
			h.encode(group)
			chain(b)
			put(t, m, segmentPath("log", 1), b, 0)
			var seen []entry
			_, _, err := Open(m, "log", small, gather(&seen))
			if err == nil {
				sameRecords(t, seen, birth)
			}
		})
	}
}
