package statemachine

import (
	"bytes"
	"strings"
	"sync"

	"github.com/tidwall/btree"

	"github.com/quorate/quorate/internal/invariant"
)

// MemoryBacking keeps everything in a copy-on-write tree. Its commits outlive the Replicated on top of it and nothing
// else does, so a process that crashes and opens it again finds what a real one would find on disk.
type MemoryBacking struct {
	mu       sync.Mutex
	versions []memoryVersion // ascending; the last is the newest
}

type memoryVersion struct {
	version uint64
	keys    *btree.Map[string, []byte] // never altered once it is here
}

// memoryHistory is small: each version that is kept costs the simulator the nodes that later ones have replaced.
const memoryHistory = 8

// NewMemory is an empty one, at version 0.
func NewMemory() *MemoryBacking {
	return &MemoryBacking{versions: []memoryVersion{{keys: new(btree.Map[string, []byte])}}}
}

// Clone is another one with the same content. It takes constant time; neither sees what the other commits later.
func (m *MemoryBacking) Clone() *MemoryBacking {
	m.mu.Lock()
	defer m.mu.Unlock()
	versions := append([]memoryVersion(nil), m.versions...)
	newest := &versions[len(versions)-1]
	newest.keys = newest.keys.Copy() // the next commit of each copies it again, which writes to the tree's own head
	return &MemoryBacking{versions: versions}
}

// At implements Backing. It never fails.
func (m *MemoryBacking) At(version uint64) (Snapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := len(m.versions) - 1
	for i > 0 && m.versions[i].version > version {
		i--
	}
	return memorySnapshot{m.versions[i].keys}, nil
}

// Commit implements Backing. It never fails.
func (m *MemoryBacking) Commit(version uint64, writes []Write) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	newest := m.versions[len(m.versions)-1]
	invariant.Holds(version > newest.version, "versions ascend")
	keys := newest.keys.Copy()
	for _, w := range writes {
		if w.Delete {
			keys.Delete(string(w.Key))
		} else {
			keys.Set(string(w.Key), w.Value)
		}
	}
	m.versions = append(m.versions, memoryVersion{version, keys})
	for len(m.versions) > 1 && m.versions[1].version+memoryHistory <= version {
		m.versions = m.versions[1:]
	}
	return nil
}

// Bounds implements Backing.
func (m *MemoryBacking) Bounds() Bounds {
	return Bounds{Bytes: 64 << 20, Entries: 1 << 20, History: memoryHistory, Grace: 1 << 62}
}

// Close implements Backing. The content stays.
func (m *MemoryBacking) Close() error { return nil }

type memorySnapshot struct{ keys *btree.Map[string, []byte] }

func (s memorySnapshot) Get(key []byte) ([]byte, bool, error) {
	value, ok := s.keys.Get(string(key))
	return bytes.Clone(value), ok, nil
}

func (s memorySnapshot) Scan(prefix, from []byte, f func(key, value []byte) bool) error {
	p := string(prefix)
	s.keys.Ascend(max(p, string(from)), func(key string, value []byte) bool {
		return strings.HasPrefix(key, p) && f([]byte(key), bytes.Clone(value))
	})
	return nil
}

func (s memorySnapshot) Close() {}
