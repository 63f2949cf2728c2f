package node

import (
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/p2p"
)

// What a member may send is bounded for each kind of message before anything of it is decoded and any signature checked:
// how large one is, and how many and how many bytes come in a second. The bounds are local, and several times what an
// honest member sends at full load, so that only a member that floods comes to know them. What is over them is dropped:
// whatever an honest member says that matters, it repeats.

const (
	// burstSeconds is how much of a rate may come at once: what gathers while this node stands still, until its peers give
	// it up.
	burstSeconds = 4
	// slotsForPipeline is how many slots in a second a network decides, for each that its leader keeps in flight, at the
	// most: three messages and two syncs take a millisecond at least.
	slotsForPipeline = 1000
	// A Status is sent every 100 ms while something is due.
	statusRate = 20
	// A Want follows upon the answer to the one before, which is 32 blocks with their signatures to check.
	wantRate = 400
	// A Suspect is sent every 100 ms while it holds. A ViewChange is sent once, and those that a NewView names again with it to
	// whoever lacks them, five times in a second at most.
	suspectRate = 20
	newViewRate = 10
	// A heartbeat is sent every 50 ms. A promise follows upon a prepare, and both are sent again as long as a Status asks for them.
	heartbeatRate = 40
	prepareRate   = 40
	// A Fetch is for a batch of over 16 KiB, of which no disk takes more.
	fetchRate = 1000
	// A Bundle goes to the leader for each lot of transactions that a verifier has checked, and into the gossip every tick
	// and every 64 KiB.
	bundleRate = 4000
	// A Have that nobody asked for brings a checkpoint, once in 200 ms.
	unaskedRate = 10

	// proposalBytes and bundleBytes bound, in a second, what is to be decoded, and in bundles what carries signatures to
	// check: at 430 bytes for a transaction, 75,000 of them.
	proposalBytes = 64 << 20
	bundleBytes   = 32 << 20
	// servedBytes is how much of its blocks a node reads for one peer in a second: more waits.
	servedBytes = 64 << 20

	// faultRate is how many messages in a second of one member may fail their checks, those of an honest one never do; more
	// cost it its connection for barredFor.
	faultRate = 25
	barredFor = 10 * time.Second

	// droppedPause is how long the reader of a member that is over its bounds rests for each message dropped: what comes
	// faster waits with the sender.
	droppedPause = time.Millisecond

	// changeBytes is the size of a change with all its members and operators, and changeRate how many are told of in a second: those that
	// wait, each again now and then, to each of which a member may have a word.
	changeBytes = 64 << 10
	changeRate  = 40
	// evidenceRate is how many pieces of evidence of each member come in a second.
	evidenceRate = 16

	// smallMessage is the size of a message without attachment, at most.
	smallMessage = message.MaxSignedBytes + 128
)

// limit is what a member may send of one kind.
type limit struct {
	size    int          // bytes of one; 0: nobody sends this kind
	frames  int          // in a second
	bytes   int          // in a second; 0: as many as the frames have
	answers message.Kind // each message of this kind sent to the member allows one more
}

// limits are those of all kinds, in a network with these parameters.
func limits(p epoch.Parameters) map[message.Kind]limit {
	// Beside the slots of a second, those of a whole window: after a restart everything is said again.
	votes := limit{size: smallMessage, frames: slotsForPipeline*int(p.Pipeline) + int(p.Window)}
	batch := smallMessage + max(changeBytes, int(p.BatchBytes)+64*int(p.BatchRequests)) // a change; or transactions, whole or by names
	return map[message.Kind]limit{
		message.KindPrePrepare:  {size: batch, frames: votes.frames, bytes: proposalBytes},
		message.KindPrepare:     votes,
		message.KindCommit:      votes,
		message.KindSuspect:     {size: smallMessage, frames: suspectRate},
		message.KindViewChange:  {size: p2p.MaxBulkFrame, frames: newViewRate * epoch.MaxMembers, bytes: proposalBytes},
		message.KindNewView:     {size: smallMessage, frames: newViewRate},
		message.KindAttestation: votes,

		message.KindPaxosPrepare:  {size: smallMessage, frames: prepareRate},
		message.KindPaxosPromise:  {size: p2p.MaxBulkFrame, frames: prepareRate},
		message.KindPaxosAccept:   {size: batch, frames: votes.frames, bytes: proposalBytes},
		message.KindPaxosAccepted: votes,
		message.KindPaxosLearn:    {size: smallMessage + epoch.MaxMembers*smallMessage, frames: votes.frames},
		message.KindHeartbeat:     {size: smallMessage, frames: heartbeatRate},

		message.KindStatus: {size: smallMessage, frames: statusRate},
		message.KindWant:   {size: smallMessage, frames: wantRate},
		message.KindHave:   {size: p2p.MaxBulkFrame, frames: unaskedRate, answers: message.KindWant},
		message.KindBundle: {size: p2p.MaxBulkFrame, frames: bundleRate, bytes: bundleBytes},
		message.KindFetch:  {size: smallMessage, frames: fetchRate},
		message.KindBodies: {size: batch, answers: message.KindFetch},

		message.KindPropose:  {size: changeBytes, frames: changeRate},
		message.KindReady:    {size: smallMessage, frames: changeRate},
		message.KindRecover:  {size: changeBytes, frames: changeRate},
		message.KindStanding: {size: smallMessage, frames: changeRate},
	}
}

// evidenceLimit is what one member may bring of the gossip against others: it is told once by each who comes to hold it, and by each again
// that is started.
func evidenceLimit(members int) limit {
	return limit{size: p2p.MaxGossipFrame, frames: evidenceRate * members, bytes: bundleBytes}
}

// gossipLimit is what one member may bring of the gossip: its own bundles, and perhaps those of all others.
func gossipLimit(members int) limit {
	return limit{size: p2p.MaxGossipFrame, frames: bundleRate * members, bytes: bundleBytes * members}
}

// Why a message of a member was refused, as metrics name it.
const (
	refusedKind  = "kind"  // nobody sends such a thing
	refusedSize  = "size"  // larger than its kind can be
	refusedRate  = "rate"  // more than its kind's share, or an answer to nothing
	refusedCheck = "check" // not well-formed, or not its author's
)

// quota is what one member may still send. Its readers share it.
type quota struct {
	mu     sync.Mutex
	kinds  map[message.Kind]*allowed
	gossip map[message.Kind]*allowed
	faults bucket
	served bucket

	refused int       // since told
	told    time.Time // when the operator last heard of it
}

// allowed is a limit with what is left of it.
type allowed struct {
	limit
	framesLeft, bytesLeft bucket
}

func newAllowed(l limit, most int, now time.Time) *allowed {
	return &allowed{
		limit:      l,
		framesLeft: newBucket(l.frames, max(burstSeconds*l.frames, most), now),
		bytesLeft:  newBucket(l.bytes, max(l.bytes, l.size), now),
	}
}

// newQuota is that of a member of which nothing has come.
func newQuota(e *epoch.Epoch, now time.Time) *quota {
	q := &quota{
		kinds: make(map[message.Kind]*allowed),
		gossip: map[message.Kind]*allowed{
			message.KindBundle:   newAllowed(gossipLimit(e.N()), 0, now),
			message.KindEvidence: newAllowed(evidenceLimit(e.N()), 0, now),
		},
		faults: newBucket(faultRate, burstSeconds*faultRate, now),
		served: newBucket(servedBytes, servedBytes, now),
	}
	for k, l := range limits(e.Parameters) {
		answers := 0
		if l.answers != 0 {
			answers = int(e.Parameters.Window) // as many questions may be open
		}
		q.kinds[k] = newAllowed(l, answers, now)
	}
	return q
}

// admit says why a message is refused, or "" if it is within the member's bounds.
func (q *quota) admit(frame []byte, now time.Time) (why string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	a, ok := q.kinds[message.PeekKind(frame)]
	if !ok {
		return refusedKind
	}
	return a.admit(len(frame), now)
}

// admitGossip is admit for what a member brings of the gossip.
func (q *quota) admitGossip(frame []byte, now time.Time) (why string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	a, ok := q.gossip[message.PeekKind(frame)]
	if !ok {
		return refusedKind
	}
	return a.admit(len(frame), now)
}

func (a *allowed) admit(size int, now time.Time) (why string) {
	switch {
	case size > a.size:
		return refusedSize
	case a.bytes > 0 && !a.bytesLeft.has(size, now), !a.framesLeft.has(1, now):
		return refusedRate
	}
	a.framesLeft.spend(1)
	a.bytesLeft.spend(size)
	return ""
}

// asked notes a message to the member: if it is a question, one answer may come.
func (q *quota) asked(k message.Kind) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, a := range q.kinds {
		if a.answers == k {
			a.framesLeft.earn(1)
		}
	}
}

// fault notes that a message of the member failed its checks. It is false once there were too many.
func (q *quota) fault(now time.Time) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.faults.has(1, now) {
		return false
	}
	q.faults.spend(1)
	return true
}

// serve notes bytes read for the member, and says how long it waits for them.
func (q *quota) serve(size int, now time.Time) time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.served.has(0, now)
	q.served.spend(size)
	return q.served.debt()
}

// tellAfter is how long an operator who was told of a member's refused messages hears nothing more of them.
const tellAfter = time.Minute

// count notes a refusal, and says how many there were since the last time that is to be told; 0: not now.
func (q *quota) count(now time.Time) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.refused++
	if now.Sub(q.told) < tellAfter {
		return 0
	}
	n := q.refused
	q.refused, q.told = 0, now
	return n
}

// bucket is filled at a rate, up to a measure, and emptied by what is spent.
type bucket struct {
	rate, most, left float64
	at               time.Time // when left was right
}

// newBucket holds what comes within burstSeconds, and at most most.
func newBucket(rate, most int, now time.Time) bucket {
	return bucket{float64(rate), float64(most), float64(min(burstSeconds*rate, most)), now}
}

func (b *bucket) has(n int, now time.Time) bool {
	if passed := now.Sub(b.at); passed > 0 {
		b.left = min(b.most, b.left+passed.Seconds()*b.rate)
		b.at = now
	}
	return b.left >= float64(n)
}

func (b *bucket) spend(n int) { b.left -= float64(n) }
func (b *bucket) earn(n int)  { b.left = min(b.most, b.left+float64(n)) }

// debt is how long it takes until nothing is owed any more.
func (b *bucket) debt() time.Duration {
	return time.Duration(max(0, -b.left/b.rate) * float64(time.Second))
}

// quotas are those of all members, by member.
type quotas struct {
	members []*quota
	epoch   *epoch.Epoch           // the newest one known
	refused *prometheus.CounterVec // by member and reason
	log     *slog.Logger
}

func newQuotas(e *epoch.Epoch, refused *prometheus.CounterVec, log *slog.Logger) *quotas {
	q := &quotas{members: make([]*quota, e.N()), epoch: e, refused: refused, log: log}
	now := time.Now()
	for i := range q.members {
		q.members[i] = newQuota(e, now)
	}
	return q
}

// enter has all members keep to the parameters of epochs that come, or of the one before where that has wider ones: messages of both are
// on their way. It belongs to the core.
func (q *quotas) enter(epochs []*epoch.Epoch) {
	next := epochs[len(epochs)-1]
	wider, before := *next, q.epoch.Parameters
	if q.epoch = next; before == next.Parameters {
		return
	}
	wider.Parameters.Window = max(before.Window, next.Parameters.Window)
	wider.Parameters.Pipeline = max(before.Pipeline, next.Parameters.Pipeline)
	wider.Parameters.BatchRequests = max(before.BatchRequests, next.Parameters.BatchRequests)
	wider.Parameters.BatchBytes = max(before.BatchBytes, next.Parameters.BatchBytes)
	now := time.Now()
	for _, of := range q.members {
		fresh := newQuota(&wider, now)
		of.mu.Lock()
		of.kinds = fresh.kinds
		of.mu.Unlock()
	}
}

func (q *quotas) of(member epoch.ReplicaID) *quota { return q.members[member-1] }

// refuse counts a message of a member that is dropped, and tells the operator now and then.
func (q *quotas) refuse(member epoch.ReplicaID, why string, err error) {
	q.refused.WithLabelValues(strconv.Itoa(int(member)), why).Inc()
	if n := q.of(member).count(time.Now()); n > 0 {
		q.log.Warn("messages of a member are refused: it floods, or is damaged, or runs another release",
			"member", member, "why", why, "error", err, "refused", n)
	}
}
