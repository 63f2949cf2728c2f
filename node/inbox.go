package node

import (
	"sync"

	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/node/host"
)

// Bounds of what waits for the core. When it is full, readers stop reading.
const (
	inboxItems = 1024
	inboxBytes = 8 << 20
)

// item is something for the core: an event, or a call on its host.
type item struct {
	event bft.Event
	call  func(*host.Host)
	bytes int
}

// inbox is a bounded queue with many writers, who wait, and one reader, who does not.
type inbox struct {
	mu     sync.Mutex
	room   *sync.Cond
	items  []item
	bytes  int
	shut   bool
	ready  chan struct{} // holds one: something may be there
	closed chan struct{}
}

func newInbox() *inbox {
	b := &inbox{ready: make(chan struct{}, 1), closed: make(chan struct{})}
	b.room = sync.NewCond(&b.mu)
	return b
}

// put waits for room. It is false once the inbox is closed.
func (b *inbox) put(i item) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for !b.shut && (len(b.items) >= inboxItems || b.bytes >= inboxBytes) {
		b.room.Wait()
	}
	if b.shut {
		return false
	}
	b.items = append(b.items, i)
	b.bytes += i.bytes
	b.signal()
	return true
}

// waiting is how much waits for the core.
func (b *inbox) waiting() (items, bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.items), b.bytes
}

func (b *inbox) signal() {
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// take is up to most items, and of those so many that all but the last are smaller than mostBytes; none if mostBytes is
// not above 0.
func (b *inbox) take(most, mostBytes int) []item {
	b.mu.Lock()
	defer b.mu.Unlock()
	n, bytes := 0, 0
	for n < min(most, len(b.items)) && bytes < mostBytes {
		bytes += b.items[n].bytes
		n++
	}
	taken := b.items[:n:n]
	if n < len(b.items) {
		b.items = append([]item(nil), b.items[n:]...)
		b.signal()
	} else {
		b.items = nil
	}
	b.bytes -= bytes
	b.room.Broadcast()
	return taken
}

func (b *inbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.shut {
		b.shut = true
		close(b.closed)
		b.room.Broadcast()
	}
}
