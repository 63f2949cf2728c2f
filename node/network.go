package node

import (
	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/node/host"
	"github.com/quorate/quorate/p2p"
)

const (
	// smallFrame is up to which size, in bytes, a proposal or a bundle travels with the votes: what is urgent and small
	// need not queue behind blocks.
	smallFrame = 16 << 10
	// gossipQueue is how many gossiped frames wait to be checked; what comes beyond is dropped, and comes with the
	// proposal that names it.
	gossipQueue = 256
)

func (n *Node) networkConfig() p2p.Config {
	listen := n.cfg.P2PListen
	if listen == "" {
		listen = n.cfg.Genesis.Members[n.cfg.Self-1].Address
	}
	peers := make([]p2p.Peer, len(n.cfg.Genesis.Members))
	for i, m := range n.cfg.Genesis.Members {
		peers[i] = p2p.Peer{ID: m.PeerID, Address: m.Address, Name: m.Name}
	}
	return p2p.Config{
		Seed: n.cfg.PeerKey.Seed(), Chain: n.cfg.Genesis.Digest(), Listen: listen, Peers: peers,
		Receive:       func(from int, _ p2p.Class, frame []byte) { n.receive(frame, epoch.ReplicaID(from)+1) },
		ReceiveGossip: n.receiveGossip,
		Logger:        n.log,
	}
}

// receive checks a frame on its reader's goroutine and hands it to the core. While the core has no room, the reader
// waits, and so does the peer.
func (n *Node) receive(frame []byte, from epoch.ReplicaID) {
	m, err := n.host.Checker().Message(frame, from)
	if err != nil {
		n.log.Debug("message refused", "reason", err)
		return
	}
	n.metrics.received(m.Body.Kind(), len(frame))
	if err := n.capture.record("in", m); err != nil {
		n.fail(err)
		return
	}
	n.inbox.put(item{event: bft.Received{Signed: m}, bytes: len(frame)})
}

// receiveGossip takes a frame to be checked later; whatever is of a member is passed on.
func (n *Node) receiveGossip(frame []byte) bool {
	select {
	case n.gossip <- frame:
		return true
	default:
		return false
	}
}

func (n *Node) runGossip() {
	for {
		select {
		case frame := <-n.gossip:
			n.receive(frame, host.Gossiped)
		case <-n.ended:
			return
		}
	}
}

func (n *Node) send(e host.Envelope) {
	var w message.Writer
	e.Message.Encode(&w)
	frame := w.Bytes()
	kind := e.Message.Body.Kind()
	if e.Way == message.Gossip {
		n.network.Gossip(frame)
		n.metrics.sent(kind, len(frame), 1)
		return
	}
	class := p2p.Votes
	if kind == message.KindHave || len(frame) > smallFrame { // transactions of an open slot are urgent, unless they are many
		class = p2p.Bulk
	}
	if e.To == nil {
		for i := range n.cfg.Genesis.Members {
			n.sendFrame(i, class, kind, frame)
		}
	}
	for _, id := range e.To {
		n.sendFrame(int(id)-1, class, kind, frame)
	}
}

func (n *Node) sendFrame(to int, class p2p.Class, kind message.Kind, frame []byte) {
	if to == int(n.cfg.Self)-1 {
		return
	}
	n.network.Send(to, class, frame)
	n.metrics.sent(kind, len(frame), 1)
}
