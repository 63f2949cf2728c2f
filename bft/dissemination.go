package bft

import (
	"errors"
	"math"
	"slices"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
)

// How requests get from the replica that clients have handed them to, to the leader and to everybody: at once to the
// leader on the direct stream, and every tick to all in a bundle through the gossip, so that a next leader has them.

const (
	// bundleBytes closes a bundle before the tick. Requests that come so thick go to the leader by gossip alone.
	bundleBytes = 64 << 10
	// remindTicks is how long a request may wait before the leader is told of it again: twice before anybody suspects a leader that
	// merely has not heard of it.
	remindTicks = 20
	// deafTicks is how long nothing is heard of how far the leader is before it may have heard nothing either: an idle one says it every second.
	deafTicks = 2 * statusIdleTicks
	// maxRemindTicks is how long the pauses get between telling of one request again, and half as long again: each is twice as long as the one
	// before. Over links that bear less than what waits, what is said again is in the way of all else, and the more so the longer nothing moves.
	maxRemindTicks = 320
	// remindRound is how often the leader is told again of anything, where things move, and maxRemindRound where nothing does: a prime, lest it
	// be in step with a link that comes and goes.
	remindRound    = 10
	maxRemindRound = 157
	// standstillTicks is from when on everybody is told of some of it, beside the leader: with nothing delivered for so long it may be
	// gone, and only who knows of something that is due suspects it. standstillBytes is how much at a time.
	standstillTicks = 30
	standstillBytes = 16 << 10
	// forsakenRounds is with every how many rounds the leader is told of requests that came in elsewhere and have waited: who took them
	// in may have crashed since, and be the leader itself, or lie and tell this replica alone. With remindTicks it is less than the
	// second after which a node where requests wait for nothing takes no more. forsakenBytes is how much at a time: with a leader
	// that has merely fallen behind, all of it is known to it.
	forsakenRounds = 2
	forsakenBytes  = 16 << 10
)

var (
	errUnknownKind = errors.New("of a kind that nobody here takes")
	errDecidedSlot = errors.New("slot is decided")
	errOldBundle   = errors.New("bundle of long ago")
)

// bundle gathers requests for the gossip.
type bundle struct {
	requests []*message.Request
	bytes    int
}

// takes says whether a request fits beside those that are there: every peer must be able to read a bundle.
func (b *bundle) takes(q *message.Request) bool {
	return len(b.requests) == 0 ||
		(b.bytes+q.Size() <= bundleBytes && len(b.requests) < message.MaxBundleRequests)
}

func (b *bundle) add(q *message.Request) {
	b.requests = append(b.requests, q)
	b.bytes += q.Size()
}

// onSubmitted takes in what clients have handed to this replica.
func (r *Replica) onSubmitted(requests []*message.Request) {
	var direct []*message.Request
	crowded := false
	for _, q := range requests {
		// The host knows of no end that it has come to: if it was ordered a moment ago, its outcome did not use the nonce.
		delete(r.pool.done, q.ID())
		if err := checkForm(q, r.epoch); err != nil { // another epoch has begun since it was looked at
			r.out.Answer = append(r.out.Answer, Answer{q, err})
			continue
		}
		r.offer(q)
		added, err := r.pool.add(q, r.self, r.ticks)
		if err != nil {
			r.out.Answer = append(r.out.Answer, Answer{q, err})
		}
		if added {
			if !r.bundle.takes(q) {
				r.flushBundle()
				crowded = true
			}
			r.bundle.add(q)
		}
		r.pool.adopt(q, r.ticks)
		// One that is there already came through another member, which may have crashed since without a word to the
		// leader: from now on this replica reminds the leader of it too. One that is larger than a
		// bundle goes to the leader at once however thick requests come.
		if r.pool.waits(q) && (!added || !crowded || q.Size() > bundleBytes) {
			direct = append(direct, q)
		}
	}
	r.tellLeader(direct)
}

// onBundle takes in what another member's clients have handed to it. One from more than a window ago is somebody's who has
// kept it: what was in it is decided, or its author has said it again.
func (r *Replica) onBundle(entry epoch.ReplicaID, b *message.Bundle) error {
	if entry == r.self {
		return nil // what came in here is in the pool already
	}
	if r.head.Seq > b.Head && r.head.Seq-b.Head > epoch.Seq(r.epoch.Parameters.Window) {
		return errOldBundle
	}
	var full error
	for _, q := range b.Requests {
		r.offer(q)
		if _, err := r.pool.add(q, entry, r.ticks); err != nil {
			full = err
		}
	}
	return full
}

// tellLeader sends requests to the leader, in as many bundles as it takes.
func (r *Replica) tellLeader(requests []*message.Request) {
	r.tell([]epoch.ReplicaID{r.order.Leader()}, requests)
}

// tell sends requests to members, in as many bundles as it takes; not to this replica itself.
func (r *Replica) tell(ids []epoch.ReplicaID, requests []*message.Request) {
	if len(ids) == 1 && ids[0] == r.self {
		return
	}
	var b bundle
	for _, q := range requests {
		if !b.takes(q) {
			r.sendTo(ids, &message.Bundle{Head: r.head.Seq, Requests: b.requests})
			b = bundle{}
		}
		b.add(q)
	}
	if len(b.requests) > 0 {
		r.sendTo(ids, &message.Bundle{Head: r.head.Seq, Requests: b.requests})
	}
}

func (r *Replica) flushBundle() {
	if len(r.bundle.requests) == 0 {
		return
	}
	r.out.Send = append(r.out.Send, message.Outgoing{
		Body: &message.Bundle{Head: r.head.Seq, Requests: r.bundle.requests}, Epoch: r.epoch.ID, Way: message.Gossip,
	})
	r.bundle = bundle{}
}

// reminding is how the leader, or everybody, was last told again of what waits.
type reminding struct {
	at     uint64 // tick
	rounds uint64
}

// remindLeader tells the leader again of requests that came in here and are still in no proposal, and more slowly of those that came in elsewhere. The
// leader itself only lets go of those that are gone.
func (r *Replica) remindLeader() {
	still := r.ticks - r.catchup.lastMoved // for so long nothing has moved that waits
	if still > remindRound {
		waited, _ := r.pool.patience(r.ticks)
		still = min(still, waited)
	}
	if r.ticks-r.remind.at < min(max(still/4, remindRound), maxRemindRound) {
		return
	}
	r.remind.at = r.ticks
	r.remind.rounds++
	late := r.pool.overdue(r.ticks, math.MaxUint64, bundleBytes)
	r.tellLeader(late)
	if r.ticks-r.catchup.lastMoved >= standstillTicks {
		r.tell(r.backups(), firstOf(late, standstillBytes))
	}
	if r.remind.rounds%forsakenRounds == 0 && r.pool.waiting > 0 && r.order.Leader() != r.self {
		r.tellLeader(r.pool.forsaken(r.ticks, forsakenBytes))
	}
}

// backups are all other members but the leader.
func (r *Replica) backups() []epoch.ReplicaID {
	return slices.DeleteFunc(slices.Clone(r.peers), func(id epoch.ReplicaID) bool { return id == r.order.Leader() })
}

// firstOf are as many requests as fit into bytes, but one whatever its size.
func firstOf(requests []*message.Request, bytes int) []*message.Request {
	for i, q := range requests {
		if bytes -= q.Size(); bytes < 0 && i > 0 {
			return requests[:i]
		}
	}
	return requests
}
