package node

import "github.com/quorate/quorate/bft"

// lostEvery is after how many ticks the core looks again for damaged blocks.
const lostEvery = 100

// lost is what the core has said of blocks whose transactions the disk has damaged.
type lost struct {
	ticks int // since it looked last
	told  int // how many there were when the operator was told last
}

// tellLost has the core fetch again what somebody has found to be damaged who read it: a peer's Want, a client's call, a
// listener. They find out on their own goroutines, and as often as they like; here it is said once.
func (n *Node) tellLost() {
	l := &n.lost
	if l.ticks++; l.ticks < lostEvery {
		return
	}
	l.ticks = 0
	seqs := n.host.Blocks().Lost()
	if len(seqs) > l.told {
		n.log.Warn("the disk has damaged the transactions of blocks: they are fetched from other members", "blocks", len(seqs), "first", seqs[0])
	}
	if l.told = len(seqs); l.told > 0 {
		n.host.Step(bft.Lost{Seqs: seqs})
	}
}
