package node

import (
	"errors"
	"time"

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
	take := [...]func([]byte, epoch.ReplicaID){p2p.Votes: n.faults.Direct(n.receiveDirect), p2p.Bulk: n.faults.Direct(n.receiveDirect)}
	gossip := n.faults.Gossip(n.receiveGossip)
	return p2p.Config{
		Seed: n.cfg.PeerKey.Seed(), Chain: n.cfg.Genesis.Digest(), Listen: listen, Peers: peers,
		Receive:       func(from int, class p2p.Class, frame []byte) { take[class](frame, epoch.ReplicaID(from)+1) },
		ReceiveGossip: func(from int, frame []byte) bool { return gossip(frame, epoch.ReplicaID(from)+1) },
		DialAll:       n.cfg.Twin,
		Logger:        n.log,
	}
}

// receiveDirect takes a frame from a member's own stream, on its reader's goroutine. One that is over the member's bounds is
// dropped before anything of it is decoded, and a member whose frames fail their checks too often is not heard for a while.
func (n *Node) receiveDirect(frame []byte, from epoch.ReplicaID) {
	member := n.quotas.of(from)
	if why := member.admit(frame, time.Now()); why != "" {
		n.quotas.refuse(from, why, nil)
		time.Sleep(droppedPause)
		return
	}
	if err := n.receive(frame, from); err != nil {
		n.quotas.refuse(from, refusedCheck, err)
		if !member.fault(time.Now()) {
			n.network.Bar(int(from)-1, barredFor, "its messages fail their checks")
		}
	}
}

// receive checks a frame and hands it to the core. While the core has no room, the caller waits, and so does the peer.
func (n *Node) receive(frame []byte, from epoch.ReplicaID) error {
	m, err := n.checker.Load().Message(frame, from)
	if errors.Is(err, host.ErrUnknownEpoch) {
		n.inbox.put(item{event: bft.Foreign{}, bytes: len(frame)})
		return nil
	}
	if err != nil {
		return err
	}
	n.metrics.received(m.Body.Kind(), len(frame))
	if err := n.capture.record("in", m); err != nil {
		n.fail(err)
		return nil
	}
	if m = n.faults.Hear(m); m == nil {
		return nil
	}
	n.inbox.put(item{event: bft.Received{Signed: m}, bytes: len(frame)})
	return nil
}

// receiveGossip takes a frame to be checked later; whatever is within the bounds of the member that brings it is passed on.
func (n *Node) receiveGossip(frame []byte, from epoch.ReplicaID) bool {
	if why := n.quotas.of(from).admitGossip(frame, time.Now()); why != "" {
		n.quotas.refuse(from, why, nil)
		return false
	}
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
			// Who has brought it need not have made it, and has not checked it either.
			if err := n.receive(frame, host.Gossiped); err != nil {
				n.log.Debug("gossip refused", "reason", err)
			}
		case <-n.ended:
			return
		}
	}
}

func (n *Node) send(e host.Envelope) {
	if !n.faults.Lies() {
		n.sendEnvelope(e)
		return
	}
	to := e.To
	if to == nil {
		for i := range n.cfg.Genesis.Members {
			to = append(to, epoch.ReplicaID(i+1))
		}
	}
	for _, id := range to {
		if id == n.cfg.Self {
			continue
		}
		n.faults.Say(id, e.Message, func(m *message.Signed, after time.Duration) {
			one := host.Envelope{Message: m, To: []epoch.ReplicaID{id}} // not by gossip, which is the same for all
			if after == 0 {
				n.sendEnvelope(one)
				return
			}
			time.AfterFunc(after, func() { n.sendEnvelope(one) })
		})
	}
}

func (n *Node) sendEnvelope(e host.Envelope) {
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
	n.quotas.members[to].asked(kind)
	n.network.Send(to, class, frame)
	n.metrics.sent(kind, len(frame), 1)
}
