package store

import "slices"

const (
	pageSize       = 4096
	sectorsPerPage = pageSize / sector
)

// inode is what a file holds: as a process sees it, and enough of what the disk holds to go back to that.
type inode struct {
	number            uint64
	size, durableSize int64
	pages             []*page // nil where nothing was written: zeros
	unsynced          []saved // sectors written since the last sync
	abandoned         []saved // sectors whose sync failed: processes see them, the disk does not hold them, and no sync writes them
}

type page struct {
	bytes    [pageSize]byte
	unsynced uint8 // one bit for each sector that is in inode.unsynced
}

// saved is what the disk holds of a sector of which a process sees something else.
type saved struct {
	sector int64
	held   [sector]byte
}

func (f *inode) page(i int64) *page {
	if i < int64(len(f.pages)) {
		return f.pages[i]
	}
	return nil
}

// pageFor is the page, made if there is none.
func (f *inode) pageFor(i int64) *page {
	for int64(len(f.pages)) <= i {
		f.pages = append(f.pages, nil)
	}
	if f.pages[i] == nil {
		f.pages[i] = new(page)
	}
	return f.pages[i]
}

// sectorFor is where a process sees the sector.
func (f *inode) sectorFor(s int64) []byte {
	p := f.pageFor(s / sectorsPerPage)
	from := s % sectorsPerPage * sector
	return p.bytes[from : from+sector]
}

func (f *inode) read(b []byte, off int64) {
	for len(b) > 0 {
		from := off % pageSize
		n := min(int64(len(b)), pageSize-from)
		if p := f.page(off / pageSize); p != nil {
			copy(b[:n], p.bytes[from:])
		} else {
			clear(b[:n])
		}
		b, off = b[n:], off+n
	}
}

func (f *inode) write(b []byte, off int64) {
	f.size = max(f.size, off+int64(len(b)))
	for len(b) > 0 {
		s := off / sector
		f.save(s)
		n := copy(f.sectorFor(s)[off%sector:], b)
		b, off = b[n:], off+int64(n)
	}
}

// save keeps what the disk holds of a sector that is about to be written, once between two syncs.
func (f *inode) save(s int64) {
	p := f.pageFor(s / sectorsPerPage)
	bit := uint8(1) << (s % sectorsPerPage)
	if p.unsynced&bit != 0 {
		return
	}
	p.unsynced |= bit
	if i := slices.IndexFunc(f.abandoned, func(a saved) bool { return a.sector == s }); i >= 0 {
		f.unsynced = append(f.unsynced, f.abandoned[i]) // what a process sees of it, the disk never got
		f.abandoned = slices.Delete(f.abandoned, i, i+1)
		return
	}
	f.unsynced = append(f.unsynced, saved{s, [sector]byte(f.sectorFor(s))})
}

func (f *inode) sync() {
	f.forgetUnsynced()
	f.durableSize = f.size
}

func (f *inode) forgetUnsynced() {
	for i := range f.unsynced {
		f.page(f.unsynced[i].sector / sectorsPerPage).unsynced = 0
	}
	f.unsynced = f.unsynced[:0]
}

// abandon does what Linux does when writing fails: the pages count as written from now on.
func (f *inode) abandon() {
	f.abandoned = append(f.abandoned, f.unsynced...)
	f.forgetUnsynced()
}

func (f *inode) reread() {
	for i := range f.abandoned {
		copy(f.sectorFor(f.abandoned[i].sector), f.abandoned[i].held[:])
	}
	f.abandoned = nil
}

func (f *inode) clone() *inode {
	c := *f
	c.unsynced, c.abandoned = slices.Clone(f.unsynced), slices.Clone(f.abandoned)
	c.pages = make([]*page, len(f.pages))
	for i, p := range f.pages {
		if p != nil {
			copied := *p
			c.pages[i] = &copied
		}
	}
	return &c
}
