// Package fault is what goes wrong inside a running node of a test network, on purpose: messages that are lost, late or cut off, a disk
// that loses what was not synced, fills up or fails, a clock that is off, a member that lies.
//
// A node has one Faults in its Config, which nothing ails until it is told so by a Request: from a file before the node starts, and
// through a Unix socket in its home while it runs.
package fault

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/store"
)

// Faults is all that goes wrong in one node.
type Faults struct {
	disk  *Disk
	links [epoch.MaxMembers + 1]*link // by whom they are from
	liar  *liar
	clock atomic.Int64 // ns
	home  atomic.Pointer[string]

	closing sync.Once
	closed  chan struct{} // nobody waits any more
}

// New are the faults of a member's node whose log lies on under: none yet.
func New(self epoch.ReplicaID, key crypto.PrivateKey, under store.FS) *Faults {
	f := &Faults{liar: newLiar(self, key), closed: make(chan struct{})}
	f.disk = newDisk(under, f.closed, f.keepCounts)
	for i := range f.links {
		f.links[i] = newLink(f.closed)
	}
	return f
}

// Close ends whatever waits in here, so that the node can stop: messages that are held back are lost.
func (f *Faults) Close() {
	f.closing.Do(func() {
		close(f.closed)
		f.keepCounts()
	})
}

// Disk is what the log lies on.
func (f *Faults) Disk() store.FS { return f.disk }

// ClockOffset is how far the wall clock is off now.
func (f *Faults) ClockOffset() time.Duration { return time.Duration(f.clock.Load()) }

// SetClock has the wall clock be off by so much from now on.
func (f *Faults) SetClock(offset time.Duration) { f.clock.Store(int64(offset)) }
