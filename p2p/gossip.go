package p2p

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	maxQueuedGossipBytes = 8 << 20
	gossipQueue          = 1024 // messages; pubsub's own 32 overflow in silence
	gossipHeartbeat      = 200 * time.Millisecond
	gossipMemory         = 30 * time.Second // how long a frame is known, and not passed on again
	gossipEnvelope       = 4 << 10          // what pubsub adds to a frame, at most
)

// gossip spreads frames to all members over gossipsub. Frames carry no author and no signature: whoever
// needs either puts it inside. Only members are connected, so only members gossip.
type gossip struct {
	n      *Network
	topic  *pubsub.Topic
	queue  *byteQueue
	ctx    context.Context
	cancel context.CancelFunc
}

func newGossip(n *Network) (*gossip, error) {
	g := &gossip{n: n, queue: newByteQueue(maxQueuedGossipBytes)}
	g.ctx, g.cancel = context.WithCancel(context.Background())
	if err := g.join(); err != nil {
		g.cancel()
		return nil, err
	}
	n.running.Go(g.publishQueued)
	return g, nil
}

func (g *gossip) join() error {
	ps, err := pubsub.NewGossipSub(g.ctx, g.n.host,
		pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign),
		pubsub.WithNoAuthor(),
		// Without an author every message would have the same id, and all but one vanish.
		pubsub.WithMessageIdFn(func(m *pb.Message) string {
			id := sha256.Sum256(m.Data)
			return string(id[:])
		}),
		pubsub.WithGossipSubParams(gossipParams(len(g.n.cfg.Peers))),
		pubsub.WithFloodPublish(true),
		pubsub.WithPeerOutboundQueueSize(gossipQueue),
		pubsub.WithValidateQueueSize(gossipQueue),
		pubsub.WithSeenMessagesTTL(gossipMemory),
		pubsub.WithMaxMessageSize(MaxGossipFrame+gossipEnvelope),
		pubsub.WithLogger(slog.New(quiet(g.n.log))),
	)
	if err != nil {
		return err
	}
	name := "quorate/" + hex.EncodeToString(g.n.cfg.Chain[:])
	if err := ps.RegisterTopicValidator(name, g.receive, pubsub.WithValidatorInline(true)); err != nil {
		return err
	}
	if g.topic, err = ps.Join(name); err != nil {
		return err
	}
	// Relay takes part in the topic without a subscription, whose buffer would overflow in silence.
	_, err = g.topic.Relay()
	return err
}

// gossipParams suit 4 to 31 members that are all connected to each other.
func gossipParams(members int) pubsub.GossipSubParams {
	p := pubsub.DefaultGossipSubParams()
	p.D = min(8, max(2, members-1))
	p.Dlo = 1
	p.Dhi = max(12, members)
	p.Dscore = 0
	p.Dout = 0
	p.HeartbeatInterval = gossipHeartbeat
	return p
}

// receive is the topic's validator: what it returns decides whether the frame is passed on.
func (g *gossip) receive(_ context.Context, from peer.ID, m *pubsub.Message) (pass bool) {
	if from == g.n.self {
		return true
	}
	l := g.n.byID[from]
	if l == nil || len(m.Data) == 0 || len(m.Data) > MaxGossipFrame {
		return false
	}
	defer func() {
		if p := recover(); p != nil {
			g.n.counters.panics.Add(1)
			pass = false
			l.complain("panic while handling its gossip", fmt.Sprint(p))
			l.endAll("panic while handling gossip")
		}
	}()
	g.n.counters.gossipIn.Add(1)
	g.n.counters.gossipBytesIn.Add(uint64(len(m.Data)))
	return g.n.cfg.ReceiveGossip(l.index, m.Data)
}

func (g *gossip) publish(frame []byte) bool { return g.queue.push(frame) }

// publishQueued is apart from publish because pubsub's own loop may make it wait.
func (g *gossip) publishQueued() {
	for {
		frame := g.queue.pop()
		if frame == nil {
			select {
			case <-g.queue.wake:
				continue
			case <-g.ctx.Done():
				return
			}
		}
		if err := g.topic.Publish(g.ctx, frame); err != nil {
			g.n.counters.gossipDropped.Add(1)
			continue
		}
		g.n.counters.gossipOut.Add(1)
		g.n.counters.gossipBytesOut.Add(uint64(len(frame)))
	}
}

func (g *gossip) close() { g.cancel() }
