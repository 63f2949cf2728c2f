package bft

import (
	"errors"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
)

// How requests get from the replica that clients have handed them to, to the leader and to everybody: at once to the
// leader on the direct stream, and every tick to all in a bundle through the gossip, so that a next leader has them.

const (
	// bundleBytes closes a bundle before the tick. Requests that come so thick go to the leader by gossip alone.
	bundleBytes = 64 << 10
	// remindTicks is how long a request may wait before the leader is told of it again.
	remindTicks = 50
)

var errUnknownKind = errors.New("of a kind that nobody here takes")

// bundle gathers requests for the gossip.
type bundle struct {
	requests []*message.Request
	bytes    int
}

// onSubmitted takes in what clients have handed to this replica.
func (r *Replica) onSubmitted(requests []*message.Request) {
	var fresh, again []*message.Request
	crowded := false
	for _, q := range requests {
		added, err := r.pool.add(q, r.self, r.ticks)
		if err != nil {
			r.out.Answer = append(r.out.Answer, Answer{q, err})
		}
		if !added {
			if r.pool.waits(q) {
				// It came through another member before. That may have crashed since without a word to the leader, and
				// nobody but the member it came through reminds the leader of a request.
				again = append(again, q)
			}
			continue
		}
		fresh = append(fresh, q)
		r.bundle.requests = append(r.bundle.requests, q)
		r.bundle.bytes += q.Size()
		if r.bundle.bytes >= bundleBytes {
			r.flushBundle()
			crowded = true
		}
	}
	if crowded {
		fresh = nil
	}
	r.tellLeader(append(fresh, again...))
}

// onBundle takes in what another member's clients have handed to it.
func (r *Replica) onBundle(entry epoch.ReplicaID, b *message.Bundle) error {
	if entry == r.self {
		return nil // what came in here is in the pool already
	}
	var full error
	for _, q := range b.Requests {
		if _, err := r.pool.add(q, entry, r.ticks); err != nil {
			full = err
		}
	}
	return full
}

func (r *Replica) tellLeader(requests []*message.Request) {
	if len(requests) == 0 || r.order.Leader() == r.self {
		return
	}
	r.sendTo([]epoch.ReplicaID{r.order.Leader()}, &message.Bundle{Requests: requests})
}

func (r *Replica) flushBundle() {
	if len(r.bundle.requests) == 0 {
		return
	}
	r.out.Send = append(r.out.Send, message.Outgoing{
		Body: &message.Bundle{Requests: r.bundle.requests}, Epoch: r.epoch.ID, Way: message.Gossip,
	})
	r.bundle = bundle{}
}

// remindLeader tells the leader again of requests that came in here and are still in no proposal.
func (r *Replica) remindLeader() {
	if r.ticks%10 == 0 && r.order.Leader() != r.self && r.pool.waiting > 0 {
		r.tellLeader(r.pool.overdue(r.self, r.ticks, remindTicks, bundleBytes))
	}
}
