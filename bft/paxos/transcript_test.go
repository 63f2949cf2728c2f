package paxos

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// The transcripts in testdata tell what each replica remembers, says and decides, turn by turn. They are rewritten with -rewrite,
// and read before they are committed.
//
//	new n=N                      members 1 to N; 1 leads view 0
//	propose I B                  member I offers batch B
//	tick I N [due]               time passes at I; due: something waits for its leader
//	deliver [kind=K] [from=I] [to=I] [but=I]  what was said and has not arrived yet arrives, and what comes of it; nothing at one
//	lose [kind=K] [from=I] [to=I]             it never does
//	restart I                    I begins again from its log alone
//	look                         what the members are
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		w := &world{}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			w.t = t
			return w.turn(d)
		})
	})
}

var (
	scheme = crypto.Modelled([32]byte{1})
	keys   = func() (keys [8]crypto.PrivateKey) {
		for i := range keys {
			keys[i] = crypto.NewPrivateKey([32]byte{byte(i)})
		}
		return keys
	}()
)

type world struct {
	t       *testing.T
	epoch   *epoch.Epoch
	members []*member
	batches map[string]*message.Batch
	wire    []parcel
	story   strings.Builder
}

type member struct {
	id  epoch.ReplicaID
	p   *Protocol
	log []ordering.Record
}

type parcel struct {
	to epoch.ReplicaID
	m  *message.Signed
}

func (w *world) turn(d *datadriven.TestData) string {
	w.story.Reset()
	switch d.Cmd {
	case "new":
		w.begin(number(w.t, arg(d, "n")))
	case "propose":
		x := w.member(d.CmdArgs[0].Key)
		if !x.p.Propose(w.batch(d.CmdArgs[1].Key)) {
			w.say("%d does not lead", x.id)
		}
		w.take(x)
	case "tick":
		x := w.member(d.CmdArgs[0].Key)
		for range number(w.t, d.CmdArgs[1].Key) {
			x.p.Tick(ordering.Owed{Something: slices.ContainsFunc(d.CmdArgs, func(a datadriven.CmdArg) bool { return a.Key == "due" })})
			w.take(x)
		}
	case "deliver":
		for {
			i := w.next(d)
			if i < 0 {
				break
			}
			e := w.wire[i]
			w.wire = slices.Delete(w.wire, i, i+1)
			x := w.members[e.to-1]
			if err := x.p.Receive(e.m); err != nil {
				w.say("%d refuses %s of %d: %v", e.to, w.body(e.m.Body), e.m.Author, err)
			}
			w.take(x)
		}
	case "lose":
		for i := w.next(d); i >= 0; i = w.next(d) {
			w.wire = slices.Delete(w.wire, i, i+1)
		}
	case "restart":
		x := w.member(d.CmdArgs[0].Key)
		w.restart(x)
		w.take(x)
	case "look":
		for _, x := range w.members {
			w.say("%d is %s in view %d", x.id, x.p.Role(), x.p.View())
		}
	default:
		w.t.Fatalf("%s: %s is no turn", d.Pos, d.Cmd)
	}
	if w.story.Len() == 0 {
		return "nothing\n"
	}
	return w.story.String()
}

func (w *world) say(format string, args ...any) { fmt.Fprintf(&w.story, format+"\n", args...) }

func (w *world) begin(n int) {
	e := &epoch.Epoch{Chain: crypto.Hash("test/chain"), ID: crypto.Hash("test/epoch"), Configuration: epoch.Configuration{Mode: epoch.Crash, Parameters: epoch.DefaultParameters()}}
	*w = world{t: w.t, epoch: e, batches: make(map[string]*message.Batch)}
	for i := range n {
		e.Members = append(e.Members, epoch.Member{Key: keys[i+1].Public()})
	}
	for i := range n {
		x := &member{id: epoch.ReplicaID(i + 1)}
		x.p = New(ordering.Start{Self: x.id, Epoch: e, Stable: &proof.Checkpoint{}})
		w.members = append(w.members, x)
		w.take(x)
	}
}

func (w *world) restart(x *member) {
	s := ordering.Start{Self: x.id, Epoch: w.epoch, Stable: &proof.Checkpoint{}, Restarted: true, Batches: make(map[crypto.Digest]*message.Batch)}
	for _, rec := range x.log {
		rec, err := ordering.Decode(rec.Kind(), ordering.Encode(rec))
		if err != nil {
			w.t.Fatal(err)
		}
		switch rec := rec.(type) {
		case *ordering.Bodies:
			s.Batches[rec.Batch.Digest()] = rec.Batch
		case *ordering.Promised:
			s.Promises = append(s.Promises, rec)
		default:
			s.Facts = append(s.Facts, rec)
		}
	}
	x.p = New(s)
}

// next is the first message on the wire that a turn is about, or -1.
func (w *world) next(d *datadriven.TestData) int {
	return slices.IndexFunc(w.wire, func(e parcel) bool {
		return (arg(d, "kind") == "" || arg(d, "kind") == e.m.Body.Kind().String()) &&
			arg(d, "but") != fmt.Sprint(e.to) && (arg(d, "from") == "" || arg(d, "from") == fmt.Sprint(e.m.Author)) && (arg(d, "to") == "" || arg(d, "to") == fmt.Sprint(e.to))
	})
}

// take carries out what a member asks for. What it says to itself comes back at once, and transactions are all at hand.
func (w *world) take(x *member) {
	for {
		out := x.p.Take()
		if len(out.Persist)+len(out.Send)+len(out.Proposed)+len(out.Decided)+len(out.Evidence) == 0 {
			return
		}
		for _, rec := range out.Persist {
			x.log = append(x.log, rec)
			switch rec := rec.(type) {
			case *ordering.Accepted:
				w.say("%d remembers: accepted %s", x.id, w.vote(rec.Vote))
			case *ordering.Promised:
				w.say("%d remembers: %s", x.id, w.body(rec.Promise))
			}
		}
		for _, o := range out.Send {
			w.send(x, o)
		}
		for _, p := range out.Proposed {
			if p.Batch == nil {
				p.Batch = w.batches[w.name(p.Digest)]
			}
			x.p.Accept(p.Seq, p.Batch)
		}
		for _, dec := range out.Decided {
			var by []epoch.ReplicaID
			for _, m := range dec.Certificate {
				by = append(by, m.Author)
			}
			v := message.Vote{View: dec.View, Seq: dec.Seq, Digest: dec.Batch.Digest()}
			if err := proof.VerifyDecided(v, dec.Certificate, w.epoch, scheme); err != nil {
				w.t.Errorf("%d decides %s without proof: %v", x.id, w.vote(v), err)
			}
			w.say("%d decides %s, accepted by %v", x.id, w.vote(v), by)
		}
		for _, e := range out.Evidence {
			w.say("%d holds evidence against %d", x.id, e.A.Author)
		}
	}
}

func (w *world) send(x *member, o message.Outgoing) {
	m := message.Sign(scheme, keys[x.id], w.epoch, x.id, o.Body)
	to := o.To
	if to == nil {
		for i := range w.members {
			to = append(to, epoch.ReplicaID(i+1))
		}
	}
	if o.Body.Kind() != message.KindHeartbeat {
		w.say("%d says to %v: %s", x.id, to, w.body(o.Body))
	}
	for _, id := range to {
		if id != x.id {
			w.wire = append(w.wire, parcel{id, m})
		} else if err := x.p.Receive(m); err != nil {
			w.say("%d refuses its own %s: %v", x.id, w.body(o.Body), err)
		}
	}
}

func (w *world) body(b message.Body) string {
	switch b := b.(type) {
	case *message.PaxosPrepare:
		return fmt.Sprintf("prepare %d", b.View)
	case *message.PaxosPromise:
		said := fmt.Sprintf("promise %d", b.View)
		for _, v := range b.Accepted {
			said += ", accepted " + w.vote(v)
		}
		return said
	case *message.PaxosAccept:
		return "accept " + w.vote(b.Vote)
	case *message.PaxosAccepted:
		return "accepted " + w.vote(b.Vote)
	case *message.PaxosLearn:
		return "learn " + w.vote(b.Vote)
	case *message.Suspect:
		return fmt.Sprintf("suspect %d", b.View)
	default:
		return b.Kind().String()
	}
}

func (w *world) vote(v message.Vote) string {
	return fmt.Sprintf("%s at %d in view %d", w.name(v.Digest), v.Seq, v.View)
}

func (w *world) name(d crypto.Digest) string {
	for name, b := range w.batches {
		if b.Digest() == d {
			return name
		}
	}
	if d == nullDigest() {
		return "null"
	}
	return d.Short()
}

func (w *world) batch(name string) *message.Batch {
	if w.batches[name] == nil {
		q := message.NewRequest(scheme, keys[0], w.epoch.Chain, uint64(len(w.batches)+1), 1000, []byte(name))
		w.batches[name] = message.NewBatch(1, []*message.Request{q})
	}
	return w.batches[name]
}

func (w *world) member(id string) *member { return w.members[number(w.t, id)-1] }

func arg(d *datadriven.TestData, key string) string {
	for _, a := range d.CmdArgs {
		if a.Key == key && len(a.Vals) > 0 {
			return a.Vals[0]
		}
	}
	return ""
}

func number(t *testing.T, text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
