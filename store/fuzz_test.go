package store

import (
	"bytes"
	"testing"
)

// FuzzOpen puts arbitrary bytes behind the birth record, with good heads wherever something begins like one, so that the fuzzer
// gets past the checks. Whatever lies there, Open ends with an error or with records that lie where it says. The inputs are large:
// run it with -fuzzminimizetime=1x, or it does little else than make them smaller.
func FuzzOpen(f *testing.F) {
	w := filled(f, true)
	f.Add(w.m.Bytes(segmentPath("log", 1))[3*sector:7*sector], uint8(0))
	f.Add(w.m.Bytes(segmentPath("log", 1))[3*sector:7*sector], uint8(1))
	f.Add(w.m.Bytes(segmentPath("log", 1)), uint8(2))
	f.Add([]byte{}, uint8(0))
	origin := created(f)
	path := segmentPath("log", 1)
	f.Fuzz(func(t *testing.T, data []byte, how uint8) {
		m := origin.Clone()
		b := m.Bytes(path)
		if how%3 == 2 {
			if len(data) == 0 || len(data) > 1<<16 {
				return
			}
			replace(t, m, path, data)
		} else {
			copy(b[3*sector:], data)
			if how%3 == 1 {
				chain(b)
			}
			put(t, m, path, b, 0)
		}
		var seen []entry
		l, _, err := Open(m, "log", small, gather(&seen))
		if err != nil {
			return
		}
		for _, e := range seen {
			if r, err := l.Read(e.pos); err != nil || !equal(r, e.rec) {
				t.Fatalf("%+v: %v", e.pos, err)
			}
		}
		must(t, l.Close())
		again, _, after := collect(t, m, "log")
		if len(after) != len(seen) {
			t.Fatalf("%d records, then %d", len(seen), len(after))
		}
		must(t, again.Close())
	})
}

// chain gives every group its place, its chain and its checks.
func chain(b []byte) {
	before, _ := decodeGroupHead(b[sector:])
	for off := 3 * sector; off < len(b); off += sector {
		if !bytes.Equal(b[off:off+4], groupMagic) {
			continue
		}
		check := sum(b[off : off+96])
		copy(b[off+96:], check[:])
		h, _ := decodeGroupHead(b[off:])
		h.segment, h.identity = 1, before.identity
		if !h.second {
			h.sector, h.number, h.prev = uint32(off/sector), before.number+1, before.check
		}
		if size := h.copySize(); size <= int64(len(b)-off) && int64(h.records)*entrySize <= int64(h.body) {
			h.table = sum(unframe(bytes.Clone(b[off+groupHeadSize:off+int(size)]), groupHeadSize)[:h.records*entrySize])
		}
		h.encode(b[off:])
		if !h.second {
			before = h
		}
	}
}
