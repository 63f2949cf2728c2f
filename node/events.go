package node

import (
	"sync"

	"github.com/quorate/quorate/bft/epoch"
)

// pulse tells any number of listeners that a node has moved. It holds nothing for them: each looks for itself at what has
// become of the node since it looked last, so a slow one costs nobody anything and cannot fill memory.
type pulse struct {
	mu    sync.Mutex
	next  chan struct{} // closed at the next beat
	acked epoch.Seq
	moment
}

// moment is what of a node's state makes an event when it changes.
type moment struct {
	view       epoch.View
	leader     epoch.ReplicaID
	epoch      uint64
	checkpoint epoch.Seq
	evidence   int
	ready      bool
	why        string
}

func newPulse() *pulse { return &pulse{next: make(chan struct{})} }

func momentOf(s Status) moment {
	return moment{s.View, s.Leader, s.Epoch, s.Stable, s.Evidence, s.Ready, s.Why}
}

// moved takes in how the node is now, and beats if that is news.
func (p *pulse) moved(s Status, acknowledged epoch.Seq) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := momentOf(s); now == p.moment && acknowledged == p.acked {
		return
	}
	p.moment, p.acked = momentOf(s), acknowledged
	close(p.next)
	p.next = make(chan struct{})
}

// look is how the node was at the last beat, and what tells of the next.
func (p *pulse) look() (m moment, acknowledged epoch.Seq, next <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.moment, p.acked, p.next
}
