package fault

import (
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/quorate/quorate/store"
)

// Disk is a file system over another one, with faults. Names that are made, changed or removed are durable at once, as is what was
// written before it was told to hold back.
type Disk struct {
	store.FS
	closed chan struct{}
	fatal  func() // is called when a fault has come about that ends the process

	mu      sync.Mutex
	moved   chan struct{} // closed when what is below changes
	holds   bool          // writes stay in memory until they are synced
	bytes   int64         // held back now
	last    *file         // the one written to last, of those that hold anything back
	syncing int           // files that write down what they held back
	struck  bool          // nothing happens any more
	strikes int           // that wait for something to be held back

	limited  bool
	free     int64 // bytes, if limited
	failSync bool
	slow     time.Duration
	slowed   uint64
	failed   uint64
	full     uint64
}

var (
	errSync = &os.SyscallError{Syscall: "fdatasync", Err: syscall.EIO}
	errFull = &os.SyscallError{Syscall: "pwrite", Err: syscall.ENOSPC}
	errOver = errors.New("the disk was struck, and its process has not ended")
)

func newDisk(under store.FS, closed chan struct{}, fatal func()) *Disk {
	return &Disk{FS: under, closed: closed, fatal: fatal, moved: make(chan struct{})}
}

// HoldBack has writes stay in memory until they are synced, from now on: they are lost with the process.
func (d *Disk) HoldBack() { d.change(func() { d.holds = true }) }

// Fill leaves room for so many bytes, written over others or not.
func (d *Disk) Fill(free int64) { d.change(func() { d.limited, d.free = true, free }) }

// FailSync has the next sync fail, once.
func (d *Disk) FailSync() { d.change(func() { d.failSync = true }) }

// Slow has every sync take longer by so much.
func (d *Disk) Slow(by time.Duration) { d.change(func() { d.slow = by }) }

func (d *Disk) change(how func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	how()
	d.signal()
}

func (d *Disk) signal() {
	close(d.moved)
	d.moved = make(chan struct{})
}

func (d *Disk) count(c *Counts) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c.Slowed, c.Failed, c.Full, c.Unsynced = d.slowed, d.failed, d.full, d.bytes
}

// Struck is what the end of the process now takes.
type Struck struct {
	Unsynced int64 `json:"unsynced"` // bytes that were not synced
	Torn     bool  `json:"torn"`     // a part of the last write is on the disk
}

// Strike stops the disk for good, so that the process can be killed, at a moment when something is held back: it waits so long for one,
// and does nothing if none comes. With tear, the first half of the last write is on the disk then.
func (d *Disk) Strike(tear bool, patience time.Duration) (Struck, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.holds {
		return Struck{}, nil
	}
	over := time.NewTimer(patience)
	defer over.Stop()
	d.strikes++
	defer func() { d.strikes-- }()
	for d.bytes == 0 || d.syncing > 0 {
		if !d.wait(over.C) {
			return Struck{}, nil
		}
	}
	d.struck = true
	s := Struck{Unsynced: d.bytes}
	if w := d.last.newest(); tear && w != nil {
		if _, err := d.last.File.WriteAt(w.bytes[:len(w.bytes)/2], w.off); err != nil {
			return s, err
		}
		s.Torn = true
	}
	return s, nil
}

// wait lets go of the disk until something changes. It is false when there is no more time, or all is over.
func (d *Disk) wait(over <-chan time.Time) bool {
	moved := d.moved
	d.mu.Unlock()
	defer d.mu.Lock()
	select {
	case <-moved:
		return true
	case <-over:
		return false
	case <-d.closed:
		return false
	}
}

// end tells of a fault that ends the process.
func (d *Disk) end(err error) {
	if errors.Is(err, errFull) || errors.Is(err, errSync) {
		d.fatal()
	}
}

// stand waits for ever if the disk is struck.
func (d *Disk) stand() error {
	for d.struck {
		if !d.wait(nil) {
			return errOver
		}
	}
	return nil
}

// Create makes a file.
func (d *Disk) Create(path string) (store.File, error) { return d.wrap(d.FS.Create(path)) }

// Open opens a file.
func (d *Disk) Open(path string) (store.File, error) { return d.wrap(d.FS.Open(path)) }

func (d *Disk) wrap(f store.File, err error) (store.File, error) {
	if err != nil {
		return nil, err
	}
	return &file{File: f, disk: d}, nil
}

// file is an open one.
type file struct {
	store.File
	disk *Disk
	held []extent // what is held back, in the order in which it was written; of the disk's mutex
}

// extent is bytes at a place.
type extent struct {
	off   int64
	bytes []byte
}

func (e *extent) end() int64 { return e.off + int64(len(e.bytes)) }

func (f *file) newest() *extent {
	if f == nil || len(f.held) == 0 {
		return nil
	}
	return &f.held[len(f.held)-1]
}

func (f *file) WriteAt(b []byte, off int64) (n int, err error) {
	d := f.disk
	defer func() { d.end(err) }()
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.stand(); err != nil {
		return 0, err
	}
	var wrong error
	if d.limited {
		if int64(len(b)) > d.free {
			d.full++
			b, wrong = b[:d.free], errFull
		}
		d.free -= int64(len(b))
	}
	n = len(b)
	if d.holds {
		f.held = append(f.held, extent{off, append([]byte(nil), b...)})
		d.bytes += int64(len(b))
		d.last = f
		d.signal()
	} else {
		n, err = f.File.WriteAt(b, off)
	}
	return n, errors.Join(err, wrong)
}

func (f *file) Preallocate(size int64) (err error) {
	d := f.disk
	defer func() { d.end(err) }()
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.limited {
		is, err := f.File.Size()
		if err != nil {
			return err
		}
		if size-is > d.free {
			d.full++
			return errFull
		}
	}
	return f.File.Preallocate(size)
}

// Size is with what is held back.
func (f *file) Size() (int64, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	size, err := f.File.Size()
	for i := range f.held {
		size = max(size, f.held[i].end())
	}
	return size, err
}

// ReadAt sees what is held back.
func (f *file) ReadAt(b []byte, off int64) (int, error) {
	f.disk.mu.Lock()
	held := f.held // before what is written down: an extent may be on its way there
	f.disk.mu.Unlock()
	n, err := f.File.ReadAt(b, off)
	if err != nil && !errors.Is(err, io.EOF) {
		return n, err
	}
	for i := range held {
		from, to := max(held[i].off, off), min(held[i].end(), off+int64(len(b)))
		if from >= to {
			continue
		}
		if gap := from - off; gap > int64(n) {
			clear(b[n:gap])
		}
		copy(b[from-off:to-off], held[i].bytes[from-held[i].off:])
		n = max(n, int(to-off))
	}
	if n == len(b) {
		err = nil
	}
	return n, err
}

func (f *file) Sync() error {
	held, err := f.beginSync()
	f.disk.end(err)
	if err != nil {
		return err
	}
	defer f.endSync(len(held))
	if err := f.writeDown(held); err != nil {
		return err
	}
	return f.File.Sync()
}

// beginSync has the faults of syncs come about, and yields what is to be written down.
func (f *file) beginSync() ([]extent, error) {
	d := f.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.slow > 0 {
		d.slowed++
		over := time.NewTimer(d.slow)
		defer over.Stop()
		for d.wait(over.C) {
		}
	}
	if d.strikes > 0 && d.bytes > 0 {
		d.struck = true
		d.signal()
	}
	if err := d.stand(); err != nil {
		return nil, err
	}
	if d.failSync {
		d.failSync = false
		d.failed++
		return nil, errSync
	}
	d.syncing++
	return f.held[:len(f.held):len(f.held)], nil
}

func (f *file) endSync(extents int) {
	d := f.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range extents {
		d.bytes -= int64(len(f.held[i].bytes))
	}
	f.held = f.held[extents:]
	d.syncing--
	d.signal()
}

func (f *file) writeDown(held []extent) error {
	for i := range held {
		if _, err := f.File.WriteAt(held[i].bytes, held[i].off); err != nil {
			return err
		}
	}
	return nil
}

// Close writes down what is held back: who closes a file has not crashed.
func (f *file) Close() error {
	d := f.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.stand(); err != nil {
		return err
	}
	for i := range f.held {
		d.bytes -= int64(len(f.held[i].bytes))
	}
	held := f.held
	f.held = nil
	return errors.Join(f.writeDown(held), f.File.Close())
}
