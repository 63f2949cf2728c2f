package store

import (
	"bytes"
	"cmp"
	"maps"
	"path/filepath"
	"slices"

	"github.com/quorate/quorate/internal/invariant"
)

// Loss is what a crash took.
type Loss struct {
	Lost  int // sectors that are as if they had not been written
	Torn  int // sectors that are partly old, partly new
	Names int // files made, renamed or removed, as if they had not been; or sizes
}

// Crash is a power cut: every file is closed and every lock gone, and of what no sync had made durable, choose decides. What is left
// afterwards is durable.
//
// choose(n) returns one of 0…n−1; 0 is always the mildest. It is asked, in an order that depends on what was done alone: for every
// change of a name, choose(2): kept, lost; for every grown file, choose(2): its new size, its old; for every sector written,
// choose(3): kept, lost, torn; and for a torn one choose(511) for where it is torn and choose(2): is the first part new, or the second.
func (m *Memory) Crash(choose func(n int) int) Loss {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.end()
	var loss Loss
	for _, n := range m.pending {
		if choose(2) == 0 {
			n.apply(m.durable)
		} else {
			loss.Names++
		}
	}
	m.pending = nil
	m.names = maps.Clone(m.durable)
	seen := map[*inode]bool{}
	for _, path := range slices.Sorted(maps.Keys(m.names)) {
		if f := m.names[path]; !seen[f] {
			seen[f] = true
			f.crash(choose, &loss)
		}
	}
	return loss
}

// Kill is the end of a process without a power cut: every file is closed and every lock gone, and nothing is lost, or durable that
// was not.
func (m *Memory) Kill() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.end()
}

func (m *Memory) end() {
	m.life++
	clear(m.locks)
	m.syncErr, m.writeErr = nil, nil
}

func (f *inode) crash(choose func(int) int, loss *Loss) {
	f.reread() // its sync failed: the disk never held it
	if f.size != f.durableSize && choose(2) != 0 {
		loss.Names++
		f.size = f.durableSize
	}
	slices.SortFunc(f.unsynced, func(a, b saved) int { return cmp.Compare(a.sector, b.sector) })
	for i := range f.unsynced {
		u := &f.unsynced[i]
		now := f.sectorFor(u.sector)
		if u.sector*sector >= f.size {
			copy(now, u.held[:])
			continue
		}
		same := bytes.Equal(now, u.held[:])
		switch choose(3) {
		case 1:
			copy(now, u.held[:])
			if !same {
				loss.Lost++
			}
		case 2:
			at := 1 + choose(sector-1)
			if choose(2) == 0 {
				copy(now[at:], u.held[at:])
			} else {
				copy(now[:at], u.held[:at])
			}
			if !same {
				loss.Torn++
			}
		}
	}
	f.sync()
}

// FailSync makes the next Sync or SyncDir fail with err, once. What a Sync that fails should have written is treated as Linux treats it:
// processes go on seeing it, the disk does not get it, and later syncs succeed without it.
func (m *Memory) FailSync(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.syncErr = err
}

// FailWrite makes the next WriteAt fail with err after half of it is written, once.
func (m *Memory) FailWrite(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.writeErr = err
}

// Fill leaves only that many bytes of free space: a file that would grow by more gets ENOSPC. Negative takes the limit away. What files
// already have set aside they keep.
func (m *Memory) Fill(free int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.limited, m.free = free >= 0, free
}

// Flip changes one bit of a file, counted from its beginning, on the disk and as processes see it.
func (m *Memory) Flip(path string, bit int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.names[filepath.Clean(path)]
	invariant.Holds(f != nil && 0 <= bit && bit/8 < f.size, "the bit to flip is in a file")
	at := bit / 8
	mask := byte(1) << (bit % 8)
	f.sectorFor(at / sector)[at%sector] ^= mask
	for _, list := range [][]saved{f.unsynced, f.abandoned} {
		for i := range list {
			if list[i].sector == at/sector {
				list[i].held[at%sector] ^= mask
			}
		}
	}
}
