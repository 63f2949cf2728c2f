package node

import (
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/p2p"
	"github.com/quorate/quorate/statemachine/kv"
)

// frameOf is what member says, as it travels.
func (w *network) frameOf(member byte, body message.Body) []byte {
	var out message.Writer
	message.Sign(crypto.Ed25519(), seedKey('m', member), w.genesis.Epoch(), epoch.ReplicaID(member), body).Encode(&out)
	return out.Bytes()
}

func prepare(seq epoch.Seq, content byte) *message.Prepare {
	return &message.Prepare{Vote: message.Vote{Seq: seq, Digest: crypto.Hash("test/batch", []byte{content})}}
}

// refusals is how many messages of a member a node has counted as refused for a reason.
func (w *network) refusals(node int, member, reason string) int {
	w.t.Helper()
	var m dto.Metric
	if err := w.nodes[node-1].metrics.refused.WithLabelValues(member, reason).Write(&m); err != nil {
		w.t.Fatal(err)
	}
	return int(m.GetCounter().GetValue())
}

// A hundred thousand messages of any kind at once are cut down to the burst of their kind, a second later to a second's
// worth, and that is the flooding member's own loss.
//
// case E7 E8 E9; a quota whose admit does not look at what is left turns it red.
func TestWhatAMemberSendsBeyondItsShareIsDropped(t *testing.T) {
	w := newNetwork(t)
	e := w.genesis.Epoch()
	now := time.Unix(1, 0)
	bodies := []message.Body{
		prepare(1<<40, 1), &message.Commit{}, &message.Attestation{}, &message.Status{}, &message.Want{From: 1, To: 32},
		&message.Fetch{}, &message.Have{}, &message.Bodies{}, &message.Bundle{},
		&message.Propose{Change: &message.Change{}}, &message.Ready{}, &message.Recover{Recovery: &message.Recovery{}},
	}
	for _, body := range bodies {
		q, other := newQuota(e, now), newQuota(e, now)
		frame := w.frameOf(2, body)
		flood := func(at time.Time) (admitted int) {
			for range 100_000 {
				if q.admit(frame, at) == "" {
					admitted++
				}
			}
			return admitted
		}
		l := limits(e.Parameters)[body.Kind()]
		if got := flood(now); got != burstSeconds*l.frames {
			t.Errorf("%s: %d are admitted at once, want %d", body.Kind(), got, burstSeconds*l.frames)
		}
		if got := flood(now.Add(time.Second)); got != l.frames {
			t.Errorf("%s: %d are admitted in the second after, want %d", body.Kind(), got, l.frames)
		}
		if why := other.admit(frame, now); why != "" && l.frames > 0 {
			t.Errorf("%s: another member's is refused: %s", body.Kind(), why)
		}
	}
}

// What no member sends is refused by its size, or by the kind that it claims, whatever the rest of it is.
//
// case E1; a limit of one size for all kinds turns it red.
func TestAMessageLargerThanItsKindIsRefusedUndecoded(t *testing.T) {
	w := newNetwork(t)
	now := time.Unix(1, 0)
	q := newQuota(w.genesis.Epoch(), now)
	large := append(w.frameOf(2, &message.Status{}), make([]byte, 1<<20)...)
	foreign := w.frameOf(2, &message.Status{})
	foreign[4+11+1+32+32+1] = 200
	for name, c := range map[string]struct {
		frame []byte
		why   string
	}{
		"a status of a megabyte": {large, refusedSize},
		"a kind that is none":    {foreign, refusedKind},
		"nothing":                {nil, refusedKind},
		"a few bytes":            {[]byte("quorate/msg"), refusedKind},
		"zeros":                  {make([]byte, 4<<20), refusedKind},
	} {
		if why := q.admit(c.frame, now); why != c.why {
			t.Errorf("%s: refused because of %q, want %q", name, why, c.why)
		}
	}
	if why := q.admitGossip(w.frameOf(2, prepare(1, 1)), now); why != refusedKind {
		t.Errorf("a vote in the gossip: %q", why)
	}
	if why := q.admitGossip(w.frameOf(2, &message.Bundle{}), now); why != "" {
		t.Errorf("a bundle in the gossip: %q", why)
	}
}

// Every kind that members say is let in somewhere: what the core says and no peer admits is said in vain.
//
// case D14; a kind that is forgotten here turns it red: evidence was, in the gossip.
func TestEveryKindIsLetIn(t *testing.T) {
	w := newNetwork(t)
	q := newQuota(w.genesis.Epoch(), time.Unix(1, 0))
	for k := range message.Kind(255) {
		if strings.HasPrefix(k.String(), "kind ") {
			continue
		}
		_, direct := q.kinds[k]
		if _, gossiped := q.gossip[k]; !direct && !gossiped {
			t.Errorf("%s comes in nowhere", k)
		}
	}
}

// Proposals of an epoch with larger batches are let in as soon as it is announced.
//
// case K10; keeping to what the genesis says turns it red.
func TestTheBoundsFollowTheEpoch(t *testing.T) {
	w := newNetwork(t)
	w.start(1)
	var lines strings.Builder
	quotas := newQuotas(w.genesis.Epoch(), w.nodes[0].metrics.refused, textLog(&lines))
	larger := *w.genesis.Epoch()
	larger.Parameters.BatchBytes *= 2
	frame := append(w.frameOf(2, &message.PrePrepare{}), make([]byte, int(larger.Parameters.BatchBytes))...)
	if why := quotas.of(2).admit(frame, time.Now()); why != refusedSize {
		t.Errorf("before: %q", why)
	}
	quotas.enter([]*epoch.Epoch{&larger})
	if why := quotas.of(2).admit(frame, time.Now()); why != "" {
		t.Errorf("after: %q", why)
	}
}

// Transactions that nobody fetched are not looked at; each Fetch allows one answer, and each Want one Have.
//
// case E9; allowing answers without questions turns it red.
func TestAnAnswerNeedsAQuestion(t *testing.T) {
	w := newNetwork(t)
	now := time.Unix(1, 0)
	q := newQuota(w.genesis.Epoch(), now)
	bodies, have := w.frameOf(2, &message.Bodies{}), w.frameOf(2, &message.Have{})
	if q.admit(bodies, now) == "" {
		t.Error("transactions are taken that nobody asked for")
	}
	q.asked(message.KindFetch)
	q.asked(message.KindWant) // no answer to that
	if why := q.admit(bodies, now); why != "" {
		t.Errorf("an answer is refused: %s", why)
	}
	if q.admit(bodies, now) == "" {
		t.Error("a second answer to one question is taken")
	}
	for q.admit(have, now) == "" {
	}
	q.asked(message.KindWant)
	if q.admit(have, now) != "" || q.admit(have, now) == "" {
		t.Error("a Want does not allow one Have more")
	}
}

// A peer that asks for blocks in a loop gets so many bytes in a second: the rest waits.
//
// case E9; a serve that never yields a wait turns it red.
func TestBlocksAreServedAtAPace(t *testing.T) {
	w := newNetwork(t)
	now := time.Unix(1, 0)
	q := newQuota(w.genesis.Epoch(), now)
	served, waited := 0, time.Duration(0)
	for range 1000 {
		wait := q.serve(1<<20, now)
		served += 1 << 20
		waited += wait
		now = now.Add(wait)
	}
	if least := time.Duration(served/servedBytes-1) * time.Second; waited < least-time.Second || waited > least+time.Second {
		t.Errorf("%d bytes took %v, want about %v", served, waited, least)
	}
}

// A member that says different things about one slot, about slots far ahead, and about its height in a loop, all of it
// truly signed, is cut down, and the others go on as if nothing was.
//
// case E7 E8; receiving without asking the quota turns it red.
func TestAFloodingMemberHoldsUpNobody(t *testing.T) {
	w := newNetwork(t)
	w.genesis.Parameters.Pipeline, w.genesis.Parameters.Window, w.genesis.Parameters.Checkpoint = 1, 64, 16
	w.start(1, 2, 3)
	w.ready(1, 2, 3)
	l := limits(w.genesis.Parameters)[message.KindPrepare]
	most := burstSeconds * l.frames
	frames := make([][]byte, 256)
	for i := range frames {
		frames[i] = w.frameOf(4, prepare(epoch.Seq(1+i%2<<40), byte(i)))
	}
	began := time.Now()
	before := w.nodes[0].Status().Seq

	var flooding atomic.Bool
	flooding.Store(true)
	done := make(chan int)
	go func() {
		sent := 0
		for ; flooding.Load() || sent < most+3*l.frames; sent++ {
			w.nodes[0].receiveDirect(frames[sent%len(frames)], 4)
		}
		done <- sent
	}()
	for range 20 {
		w.submit(1, w.request(kv.Put([]byte("key"), []byte("value"))))
	}
	flooding.Store(false)
	sent := <-done

	admitted := sent - w.refusals(1, "4", refusedRate)
	if bound := most + int(float64(l.frames)*(time.Since(began).Seconds()+1)); admitted > bound {
		t.Errorf("%d of %d votes of a flood were decoded and checked, at most %d are to be", admitted, sent, bound)
	}
	if w.refusals(1, "4", refusedRate) == 0 {
		t.Error("nothing of the flood was dropped")
	}
	if after := w.nodes[0].Status().Seq; after <= before {
		t.Errorf("at slot %d after the flood, %d before", after, before)
	}
}

// A member whose signatures are false loses its connection, is not let in again for a while, and holds up nobody.
//
// case E8 D11; a node that goes on listening to it turns it red.
func TestAMemberWhoseMessagesAreFalseIsNotHeardForAWhile(t *testing.T) {
	w := newNetwork(t)
	w.start(1, 2, 3)
	w.ready(1, 2, 3)
	// given a member that has its libp2p key, and signs with another
	var peers []p2p.Peer
	for _, m := range w.genesis.Members {
		peers = append(peers, p2p.Peer{ID: m.PeerID, Address: m.Address, Name: m.Name})
	}
	gone := make(chan struct{}, 16)
	liar, err := p2p.New(p2p.Config{
		Seed: seedKey('p', 4).Seed(), Chain: w.genesis.Digest(), Listen: w.genesis.Members[3].Address, Peers: peers,
		Receive: func(int, p2p.Class, []byte) {}, OnDisconnect: func(peer int) {
			if peer == 0 {
				gone <- struct{}{}
			}
		},
		Logger: w.config(4).Logger,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer liar.Close(t.Context())
	if err := liar.Start(); err != nil {
		t.Fatal(err)
	}
	w.until("the liar is connected", func() bool { return liar.Alive(0) })

	// when it speaks
	var out message.Writer
	message.Sign(crypto.Ed25519(), seedKey('x', 4), w.genesis.Epoch(), 4, prepare(1, 1)).Encode(&out)
	frame := out.Bytes()
	for range 2 * burstSeconds * faultRate {
		liar.Send(0, p2p.Votes, frame)
	}

	// then it is cut off, and others are not
	<-gone
	if liar.Alive(0) {
		t.Error("it is back at once")
	}
	if got := w.refusals(1, "4", refusedCheck); got < burstSeconds*faultRate || got > 2*burstSeconds*faultRate {
		t.Errorf("%d false messages were checked", got)
	}
	w.submit(1, w.request(kv.Put([]byte("key"), []byte("value"))))
	if peers := w.nodes[0].network.Connected(); len(peers) != 2 {
		t.Errorf("node 1 is connected to %v, want the two honest ones", peers)
	}
}

// What an operator hears of a flood is a line now and then, with the number of what was refused.
//
// case E12; telling of each refusal turns it red.
func TestAFloodIsToldOfNowAndThen(t *testing.T) {
	w := newNetwork(t)
	w.start(1)
	var lines strings.Builder
	quotas := newQuotas(w.genesis.Epoch(), w.nodes[0].metrics.refused, textLog(&lines))
	for range 1000 {
		quotas.refuse(2, refusedRate, nil)
	}
	if n := strings.Count(lines.String(), "\n"); n != 1 {
		t.Errorf("%d lines for a thousand messages, want 1:\n%s", n, lines.String())
	}
}

func textLog(to io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(to, nil)) }

// The largest change of the largest network comes through, whatever the parameters are, alone, as a batch and as a recovery.
//
// case E1; a limit that is meant for transactions turns it red.
func TestAChangeOfTheLargestNetworkIsNoTooLargeMessage(t *testing.T) {
	w := newNetwork(t)
	e := w.genesis.Epoch()
	e.Parameters.BatchBytes, e.Parameters.BatchRequests = 1<<10, 1
	c := &message.Change{Next: e.Configuration}
	c.Next.Members = make([]epoch.Member, epoch.MaxMembers)
	text := strings.Repeat("x", 128)
	for i := range c.Next.Members {
		c.Next.Members[i] = epoch.Member{Name: text, PeerID: text, Address: text, API: text}
		c.Readiness = append(c.Readiness, message.Sign(crypto.Ed25519(), seedKey('m', 1), e, epoch.ReplicaID(i+1), &message.Ready{}))
	}
	c.Next.Operators, c.Authority = make([]crypto.PublicKey, epoch.MaxOperators), make([]message.Approval, epoch.MaxOperators)
	batch := message.NewChangeBatch(1, c)
	recovery := &message.Recovery{Next: c.Next, Evidence: make([]crypto.Digest, message.MaxNamedEvidence), Authority: c.Authority}
	now := time.Unix(1, 0)
	q := newQuota(e, now)
	q.asked(message.KindFetch)
	for _, body := range []message.Body{
		&message.Propose{Change: c}, &message.Recover{Recovery: recovery}, &message.Bodies{Change: c},
		&message.PrePrepare{Batch: batch}, message.NewPaxosAccept(message.Vote{}, batch),
	} {
		if why := q.admit(w.frameOf(2, body), now); why != "" {
			t.Errorf("%s: refused: %s", body.Kind(), why)
		}
	}
}
