package store

import (
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
)

// Memory is a file system in memory that can crash. Memory is set aside only where something is written, so that large preallocated
// files cost nothing. Everything about it is deterministic. Safe for concurrent use.
//
// Folders are durable as soon as they are made. Two writes to one sector between syncs count as one.
type Memory struct {
	mu      sync.Mutex
	life    int // counts crashes: a file opened in an earlier one is of no use
	dirs    map[string]bool
	names   map[string]*inode // what a process sees
	durable map[string]*inode // what is there after a crash, but for pending
	pending []naming
	locks   map[string]bool
	inodes  uint64 // made so far

	syncErr, writeErr error // what the next Sync, the next WriteAt fails with
	limited           bool  // there is only free space left
	free              int64 // bytes
}

// naming is a change of names that no SyncDir has made durable yet.
type naming struct {
	gone string // the name taken away, or ""
	name string // the name given, or ""
	file *inode
}

func (n naming) dir() string {
	if n.name != "" {
		return filepath.Dir(n.name)
	}
	return filepath.Dir(n.gone)
}

// NewMemory is an empty file system with no folder but the root and the current one.
func NewMemory() *Memory {
	return &Memory{
		dirs:    map[string]bool{"/": true, ".": true},
		names:   map[string]*inode{},
		durable: map[string]*inode{},
		locks:   map[string]bool{},
	}
}

// MakeDir implements FS.
func (m *Memory) MakeDir(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for path = filepath.Clean(path); !m.dirs[path]; path = filepath.Dir(path) {
		if m.names[path] != nil {
			return pathError("mkdir", path, fs.ErrExist)
		}
		m.dirs[path] = true
	}
	return nil
}

// Create implements FS.
func (m *Memory) Create(path string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	path = filepath.Clean(path)
	if m.names[path] != nil || m.dirs[path] {
		return nil, pathError("create", path, fs.ErrExist)
	}
	if !m.dirs[filepath.Dir(path)] {
		return nil, pathError("create", path, fs.ErrNotExist)
	}
	m.inodes++
	f := &inode{number: m.inodes}
	m.names[path] = f
	m.pending = append(m.pending, naming{name: path, file: f})
	return &memoryFile{m: m, inode: f, path: path, life: m.life}, nil
}

// Open implements FS.
func (m *Memory) Open(path string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	path = filepath.Clean(path)
	f := m.names[path]
	if f == nil {
		return nil, pathError("open", path, fs.ErrNotExist)
	}
	return &memoryFile{m: m, inode: f, path: path, life: m.life}, nil
}

// Rename implements FS.
func (m *Memory) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	from, to = filepath.Clean(from), filepath.Clean(to)
	f := m.names[from]
	switch {
	case f == nil:
		return pathError("rename", from, fs.ErrNotExist)
	case filepath.Dir(from) != filepath.Dir(to):
		return pathError("rename", from, fmt.Errorf("to another folder: %s", to))
	case m.dirs[to]:
		return pathError("rename", to, fs.ErrExist)
	}
	delete(m.names, from)
	m.names[to] = f
	m.pending = append(m.pending, naming{gone: from, name: to, file: f})
	return nil
}

// Remove implements FS.
func (m *Memory) Remove(path string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	path = filepath.Clean(path)
	f := m.names[path]
	if f == nil {
		return pathError("remove", path, fs.ErrNotExist)
	}
	delete(m.names, path)
	m.pending = append(m.pending, naming{gone: path, file: f})
	return nil
}

// List implements FS.
func (m *Memory) List(dir string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir = filepath.Clean(dir)
	if !m.dirs[dir] {
		return nil, pathError("list", dir, fs.ErrNotExist)
	}
	var names []string
	for path := range m.names {
		if filepath.Dir(path) == dir {
			names = append(names, filepath.Base(path))
		}
	}
	for path := range m.dirs {
		if path != dir && filepath.Dir(path) == dir {
			names = append(names, filepath.Base(path))
		}
	}
	slices.Sort(names)
	return names, nil
}

// SyncDir implements FS.
func (m *Memory) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir = filepath.Clean(dir)
	if !m.dirs[dir] {
		return pathError("sync", dir, fs.ErrNotExist)
	}
	if err := m.syncErr; err != nil {
		m.syncErr = nil
		return pathError("sync", dir, err)
	}
	m.pending = slices.DeleteFunc(m.pending, func(n naming) bool {
		if n.dir() != dir {
			return false
		}
		n.apply(m.durable)
		return true
	})
	return nil
}

// apply does to names what the change says, as far as it still can be done.
func (n naming) apply(names map[string]*inode) {
	if n.gone != "" && names[n.gone] == n.file {
		delete(names, n.gone)
	}
	if n.name != "" {
		names[n.name] = n.file
	}
}

// Lock implements FS. The lock ends with a crash, as it does with a process.
func (m *Memory) Lock(path string) (io.Closer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	path = filepath.Clean(path)
	if !m.dirs[filepath.Dir(path)] {
		return nil, pathError("lock", path, fs.ErrNotExist)
	}
	if m.locks[path] {
		return nil, pathError("lock", path, ErrLocked)
	}
	m.locks[path] = true
	return &memoryLock{m: m, path: path, life: m.life}, nil
}

type memoryLock struct {
	m    *Memory
	path string
	life int
}

func (l *memoryLock) Close() error {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	if l.life != l.m.life {
		return pathError("unlock", l.path, fs.ErrClosed)
	}
	delete(l.m.locks, l.path)
	return nil
}

// Files are the paths of all files, in ascending order.
func (m *Memory) Files() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.names))
}

// Bytes is a copy of what a process reads in a file, or nil if there is none.
func (m *Memory) Bytes(path string) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.names[filepath.Clean(path)]
	if f == nil {
		return nil
	}
	b := make([]byte, f.size)
	f.read(b, 0)
	return b
}

// Clone is an image of the file system: the same files, synced and not, without the faults to come; none of them is open or locked.
func (m *Memory) Clone() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	copies := map[*inode]*inode{}
	copied := func(f *inode) *inode {
		if f != nil && copies[f] == nil {
			copies[f] = f.clone()
		}
		return copies[f]
	}
	c := NewMemory()
	c.dirs, c.inodes = maps.Clone(m.dirs), m.inodes
	for path, f := range m.names {
		c.names[path] = copied(f)
	}
	for path, f := range m.durable {
		c.durable[path] = copied(f)
	}
	for _, n := range m.pending {
		n.file = copied(n.file)
		c.pending = append(c.pending, n)
	}
	return c
}

// Copied is a file system to which the files were copied one by one: they hold the same, and are others.
func (m *Memory) Copied() *Memory {
	c := m.Clone()
	c.inodes += uint64(len(c.names)) // not to count from where another file system does
	for _, path := range slices.Sorted(maps.Keys(c.names)) {
		c.inodes++
		c.names[path].number = c.inodes
	}
	return c
}

// memoryFile is an inode, opened.
type memoryFile struct {
	m      *Memory
	inode  *inode
	path   string
	life   int
	closed bool
}

// usable is called with the file system locked.
func (f *memoryFile) usable(op string) error {
	if f.closed || f.life != f.m.life {
		return pathError(op, f.path, fs.ErrClosed)
	}
	return nil
}

func (f *memoryFile) ReadAt(b []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.usable("read"); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, pathError("read", f.path, fs.ErrInvalid)
	}
	n := min(int64(len(b)), max(0, f.inode.size-off))
	f.inode.read(b[:n], off)
	if n < int64(len(b)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

func (f *memoryFile) WriteAt(b []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.usable("write"); err != nil {
		return 0, err
	}
	if off < 0 {
		return 0, pathError("write", f.path, fs.ErrInvalid)
	}
	err := f.m.writeErr
	f.m.writeErr = nil
	if err != nil {
		b = b[:len(b)/2]
	}
	if room := f.m.take(off + int64(len(b)) - f.inode.size); room < 0 {
		err = syscall.ENOSPC
		b = b[:max(0, int64(len(b))+room)]
	}
	f.inode.write(b, off)
	if err != nil {
		return len(b), pathError("write", f.path, err)
	}
	return len(b), nil
}

// take uses n bytes of free space, or what there is; it returns 0, or less by how much was wanting.
func (m *Memory) take(n int64) int64 {
	if !m.limited || n <= 0 {
		return 0
	}
	left := m.free - n
	m.free = max(0, left)
	return min(0, left)
}

func (f *memoryFile) Size() (int64, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.usable("size"); err != nil {
		return 0, err
	}
	return f.inode.size, nil
}

func (f *memoryFile) Preallocate(size int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.usable("preallocate"); err != nil {
		return err
	}
	if f.m.take(size-f.inode.size) < 0 {
		return pathError("preallocate", f.path, syscall.ENOSPC)
	}
	f.inode.size = max(f.inode.size, size)
	return nil
}

func (f *memoryFile) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.usable("sync"); err != nil {
		return err
	}
	if err := f.m.syncErr; err != nil {
		f.m.syncErr = nil
		f.inode.abandon()
		return pathError("sync", f.path, err)
	}
	f.inode.sync()
	return nil
}

func (f *memoryFile) Identity() (Identity, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.usable("identity"); err != nil {
		return Identity{}, err
	}
	return Identity{Inode: f.inode.number}, nil
}

func (f *memoryFile) Reread() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.usable("reread"); err != nil {
		return err
	}
	f.inode.reread()
	return nil
}

func (f *memoryFile) Close() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.usable("close"); err != nil {
		return err
	}
	f.closed = true
	return nil
}

func pathError(op, path string, err error) error { return &fs.PathError{Op: op, Path: path, Err: err} }
