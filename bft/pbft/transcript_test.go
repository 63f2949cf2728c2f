package pbft

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// The transcripts in testdata tell what one replica remembers, says and decides, turn by turn. They are rewritten with
// -rewrite, and read before they are committed.
//
//	new n=N self=I [window=L]               an instance; members are 1 to N, and 1 leads view 0
//	propose B                               offers batch B
//	pre-prepare|prepare|commit from=I seq=S batch=B [view=V] [named]
//	                                        a proposal that is named comes without its transactions;
//	                                        the transactions of any other are at hand at once
//	accept seq=S batch=B                    the transactions of a proposal have come
//	own                                     what was sent to all since the last own, signed, comes back
//	tick N [due]                            due: something waits for the leader
//	suspect from=I view=V [delivered=S]
//	view-change from=I view=V [shows=(B:S:W,…)]     it shows that batch B was prepared at slot S in view W
//	new-view from=I view=V of=(I,…)         it names the view changes of these members, as they were said last
//	status from=I view=V [waits]            to be helped; waits: it does not vote in that view yet
//	learned seq=S batch=B · delivered S · stable S
//	help peer=I delivered=S [progress=(…)]  as from the peer's Status; phases e a p d
//	restart [lost=B]                        another instance from the log alone, which has lost the bodies of B
//	voters seq=S batch=B                    who is known to stand by it
//	look                                    what the instance says of itself
func TestTranscripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		w := &world{t: t}
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
	t         *testing.T
	epoch     *epoch.Epoch
	self      epoch.ReplicaID
	in        *Protocol
	batches   map[string]*message.Batch
	log       []ordering.Record // all that was persisted
	stable    epoch.Seq
	delivered epoch.Seq
	own       []message.Body                      // sent to all, and not come back yet
	changes   map[epoch.ReplicaID]*message.Signed // the newest ViewChange of each
}

func (w *world) turn(d *datadriven.TestData) string {
	var err error
	var said string
	switch d.Cmd {
	case "new":
		var n, self, window int
		d.ScanArgs(w.t, "n", &n)
		d.ScanArgs(w.t, "self", &self)
		window = 8
		d.MaybeScanArgs(w.t, "window", &window)
		w.begin(n, epoch.ReplicaID(self), uint32(window))
	case "propose":
		if !w.in.Propose(w.batch(d.CmdArgs[0].Key)) {
			said = "not now\n"
		}
	case "pre-prepare", "prepare", "commit":
		err = w.in.Receive(w.message(d))
	case "suspect":
		err = w.in.Receive(w.sign(w.id(d, "from"), &message.Suspect{View: w.view(d), Delivered: epoch.Seq(number(w.t, "0"+arg(d, "delivered")))}))
	case "view-change":
		err = w.in.Receive(w.viewChange(d))
	case "new-view":
		err = w.in.Receive(w.newView(d))
	case "status":
		w.in.Help(w.id(d, "from"), &message.Status{View: w.view(d), Installed: !flag(d, "waits")})
	case "own":
		for _, b := range w.own {
			m := w.sign(w.self, b)
			if b.Kind() == message.KindViewChange {
				w.changes[w.self] = m
			}
			if e := w.in.Receive(m); e != nil {
				said += fmt.Sprintf("own %s: %v\n", b.Kind(), e)
			}
		}
		w.own = nil
	case "tick":
		for range number(w.t, d.CmdArgs[0].Key) {
			w.in.Tick(ordering.Owed{Something: flag(d, "due")})
		}
	case "learned":
		said = fmt.Sprintf("in the log: %v\n", w.in.Learned(w.seq(d), w.batch(arg(d, "batch")).Digest()))
	case "delivered":
		w.delivered = epoch.Seq(number(w.t, d.CmdArgs[0].Key))
		w.in.Delivered(w.delivered, 0)
	case "stable":
		w.stable = epoch.Seq(number(w.t, d.CmdArgs[0].Key))
		w.delivered = max(w.delivered, w.stable)
		w.in.Stable(w.checkpoint())
	case "help":
		w.help(d)
	case "restart":
		w.restart(arg(d, "lost"))
	case "accept":
		w.in.Accept(w.seq(d), w.batch(arg(d, "batch")))
	case "voters":
		said = fmt.Sprintf("%v\n", w.in.Voters(w.seq(d), w.batch(arg(d, "batch")).Digest()))
	case "look":
		said = fmt.Sprintf("view %d, led by %d, open up to %d, progress %s\n",
			w.in.View(), w.in.Leader(), w.in.Open(), phases(w.in.Progress()))
		if !w.in.Voting() {
			said = "votes in no view; " + said
		}
	default:
		w.t.Fatalf("%s: %s is no turn", d.Pos, d.Cmd)
	}
	if err != nil {
		said += fmt.Sprintf("refused: %v\n", err)
	}
	if said += w.take(); said == "" {
		return "nothing\n"
	}
	return said
}

func (w *world) begin(n int, self epoch.ReplicaID, window uint32) {
	p := epoch.DefaultParameters()
	p.Window = window
	e := &epoch.Epoch{Chain: crypto.Hash("test/chain"), ID: crypto.Hash("test/epoch"), Configuration: epoch.Configuration{Mode: epoch.Byzantine, Parameters: p}}
	for i := range n {
		e.Members = append(e.Members, epoch.Member{Key: keys[i+1].Public()})
	}
	*w = world{t: w.t, epoch: e, self: self, batches: make(map[string]*message.Batch), changes: make(map[epoch.ReplicaID]*message.Signed)}
	w.in = New(ordering.Start{Self: self, Epoch: e, Stable: w.checkpoint()})
}

// restart is from what the log holds; batches come from their Bodies.
func (w *world) restart(lost string) {
	batches := make(map[crypto.Digest]*message.Batch)
	var facts []ordering.Record
	for _, rec := range w.log {
		rec, err := ordering.Decode(rec.Kind(), ordering.Encode(rec))
		if err != nil {
			w.t.Fatal(err)
		}
		if b, ok := rec.(*ordering.Bodies); ok {
			if w.name(b.Batch.Digest()) != lost {
				batches[b.Batch.Digest()] = b.Batch
			}
		} else {
			facts = append(facts, rec)
		}
	}
	before := w.live()
	w.own = nil
	s := ordering.Start{Self: w.self, Epoch: w.epoch, Stable: w.checkpoint(), Delivered: w.delivered, Promises: facts, Facts: facts, Batches: batches}
	w.in = New(s)
	if after := w.live(); after != before {
		w.t.Errorf("the facts are others than before:\n%x\n%x", after, before)
	}
}

// checkpoint is the stable one; that it is attested is for others to see.
func (w *world) checkpoint() *proof.Checkpoint {
	return &proof.Checkpoint{Header: proof.Header{Seq: w.stable}}
}

// live are the facts that bind a replica from here on: what was accepted in the view that it votes in, the certificate of the
// highest view for each slot, and its promises. What was accepted in a view before only keeps its batch.
func (w *world) live() string {
	var lines []string
	highest := make(map[epoch.Seq]*ordering.Prepared)
	for _, f := range w.in.Facts() {
		switch f := f.(type) {
		case *ordering.Accepted:
			if f.View == w.in.View() {
				lines = append(lines, fmt.Sprintf("accepted %x", ordering.Encode(f)))
			}
		case *ordering.Prepared:
			if h := highest[f.Seq]; h == nil || f.View > h.View {
				highest[f.Seq] = f
			}
		}
	}
	for _, f := range highest {
		lines = append(lines, fmt.Sprintf("prepared %x", ordering.Encode(f)))
	}
	for _, f := range w.in.Promises() {
		lines = append(lines, fmt.Sprintf("promise %x", ordering.Encode(f)))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func (w *world) help(d *datadriven.TestData) {
	var peer int
	d.ScanArgs(w.t, "peer", &peer)
	var progress []message.Phase
	for _, c := range arg(d, "progress") {
		progress = append(progress, message.Phase(strings.IndexRune("eapd", c)))
	}
	w.in.Help(epoch.ReplicaID(peer), &message.Status{
		View: w.in.View(), Installed: true, Delivered: epoch.Seq(number(w.t, arg(d, "delivered"))), Progress: progress,
	})
}

// take writes down what the instance asks for.
func (w *world) take() string {
	var b strings.Builder
	out := w.in.Take()
	for _, p := range out.Proposed {
		if p.Batch == nil {
			fmt.Fprintf(&b, "wait for the transactions of %s, named: %v\n", w.vote(p.Vote), p.Outline != nil)
			continue
		}
		w.in.Accept(p.Seq, p.Batch)
		more := w.in.Take()
		out.Persist = append(out.Persist, more.Persist...)
		out.Send = append(out.Send, more.Send...)
		out.Decided = append(out.Decided, more.Decided...)
	}
	for _, rec := range out.Persist {
		w.log = append(w.log, rec)
		switch rec := rec.(type) {
		case *ordering.Bodies:
			fmt.Fprintf(&b, "remember: bodies of %s\n", w.name(rec.Batch.Digest()))
		case *ordering.Accepted:
			fmt.Fprintf(&b, "remember: accepted %s\n", w.vote(rec.Vote))
		case *ordering.Left:
			fmt.Fprintf(&b, "remember: left, by %s\n", w.shown(rec.ViewChange))
		case *ordering.Installed:
			fmt.Fprintf(&b, "remember: installed view %d, by the view changes of %v\n", rec.NewView.View, names(rec.NewView))
		case *ordering.Prepared:
			fmt.Fprintf(&b, "remember: prepared %s by %s\n", w.vote(rec.Vote), w.certificate(rec.Prepares, rec.Vote, true))
		}
	}
	for _, o := range out.Send {
		body, again := o.Body, ""
		if o.Again != nil {
			body, again = o.Again.Body, " again, as it was"
		}
		to := "all"
		if o.To == nil {
			w.own = append(w.own, body)
		} else {
			to = fmt.Sprint(o.To)
		}
		fmt.Fprintf(&b, "say to %s: %s%s\n", to, w.body(body), again)
	}
	for _, e := range out.Evidence {
		fmt.Fprintf(&b, "evidence: %d said %s, and %s\n", e.A.Author, w.body(e.A.Body), strings.TrimPrefix(w.body(e.B.Body), e.B.Body.Kind().String()+" "))
	}
	for _, dec := range out.Decided {
		v := message.Vote{View: dec.View, Seq: dec.Seq, Digest: dec.Batch.Digest()}
		fmt.Fprintf(&b, "decided: %s by %s\n", w.vote(v), w.certificate(dec.Certificate, v, false))
	}
	return b.String()
}

// certificate holds votes to what every certificate must be: a quorum of distinct members in order, each signature
// good and for the same thing; of a prepared one, the leader's proposal among them.
func (w *world) certificate(votes []*message.Signed, v message.Vote, prepared bool) string {
	var ids []string
	last, led := epoch.ReplicaID(0), false
	for _, m := range votes {
		ids = append(ids, fmt.Sprint(m.Author))
		proposal := m.Body.Kind() == message.KindPrePrepare
		led = led || proposal
		switch {
		case m.Author <= last:
			w.t.Errorf("certificate for %s: %d after %d", w.vote(v), m.Author, last)
		case !scheme.Verify(m.Claim(w.epoch)) || voteOf(m.Body) != v:
			w.t.Errorf("certificate for %s: the vote of %d is not good", w.vote(v), m.Author)
		case prepared && proposal != (m.Author == w.epoch.Leader(v.View)):
			w.t.Errorf("certificate for %s: %s by %d", w.vote(v), m.Body.Kind(), m.Author)
		case !prepared && m.Body.Kind() != message.KindCommit:
			w.t.Errorf("certificate for %s: %s by %d", w.vote(v), m.Body.Kind(), m.Author)
		}
		last = m.Author
	}
	if len(votes) != w.epoch.Quorum() || led != prepared {
		w.t.Errorf("certificate for %s: %d votes, with the leader's proposal: %v", w.vote(v), len(votes), led)
	}
	return strings.Join(ids, " ")
}

func voteOf(b message.Body) message.Vote {
	v, _ := message.VoteOf(b)
	return v
}

// body is what was said, in words.
func (w *world) body(b message.Body) string {
	switch b := b.(type) {
	case *message.Suspect:
		return fmt.Sprintf("suspect the leader of view %d, delivered %d", b.View, b.Delivered)
	case *message.ViewChange:
		return w.shown(b)
	case *message.NewView:
		return fmt.Sprintf("new-view %d, by the view changes of %v", b.View, names(b))
	default:
		return fmt.Sprintf("%s %s", b.Kind(), w.vote(voteOf(b)))
	}
}

func (w *world) shown(v *message.ViewChange) string {
	text := fmt.Sprintf("view-change to %d from slot %d", v.View, v.Start)
	for _, c := range v.Prepared {
		text += ", showing " + w.vote(c.Vote)
	}
	return text
}

func names(v *message.NewView) (ids []epoch.ReplicaID) {
	for _, n := range v.ViewChanges {
		ids = append(ids, n.Author)
	}
	return ids
}

// viewChange is what a member shows; certificates are of whoever may have prepared the batch.
func (w *world) viewChange(d *datadriven.TestData) *message.Signed {
	v := &message.ViewChange{View: w.view(d)}
	for _, a := range d.CmdArgs {
		if a.Key != "shows" {
			continue
		}
		for _, text := range a.Vals {
			part := strings.Split(text, ":")
			vote := message.Vote{Digest: w.batch(part[0]).Digest(), Seq: epoch.Seq(number(w.t, part[1])), View: epoch.View(number(w.t, part[2]))}
			c := message.Certificate{Vote: vote}
			leader := w.epoch.Leader(vote.View)
			for i := epoch.ReplicaID(1); int(i) <= w.epoch.N() && len(c.Votes) < w.epoch.Quorum(); i++ {
				if i == leader {
					c.Votes = append(c.Votes, w.sign(i, &message.PrePrepare{Vote: vote}))
				} else if len(c.Votes) < w.epoch.Quorum()-1 || i > leader {
					c.Votes = append(c.Votes, w.sign(i, &message.Prepare{Vote: vote}))
				}
			}
			v.Prepared = append(v.Prepared, c)
		}
	}
	m := w.sign(w.id(d, "from"), v)
	w.changes[m.Author] = m
	return m
}

func (w *world) newView(d *datadriven.TestData) *message.Signed {
	v := &message.NewView{View: w.view(d)}
	for _, a := range d.CmdArgs {
		if a.Key != "of" {
			continue
		}
		for _, text := range a.Vals {
			m := w.changes[epoch.ReplicaID(number(w.t, text))]
			v.ViewChanges = append(v.ViewChanges, message.Named{Author: m.Author, Digest: m.Digest()})
		}
	}
	return w.sign(w.id(d, "from"), v)
}

func (w *world) id(d *datadriven.TestData, name string) epoch.ReplicaID {
	return epoch.ReplicaID(number(w.t, arg(d, name)))
}

func (w *world) view(d *datadriven.TestData) epoch.View {
	return epoch.View(number(w.t, arg(d, "view")))
}

// message is what the turn's author says.
func (w *world) message(d *datadriven.TestData) *message.Signed {
	batch := w.batch(arg(d, "batch"))
	v := message.Vote{Seq: w.seq(d), Digest: batch.Digest()}
	if text := arg(d, "view"); text != "" {
		v.View = epoch.View(number(w.t, text))
	}
	from := epoch.ReplicaID(number(w.t, arg(d, "from")))
	switch d.Cmd {
	case "pre-prepare":
		if flag(d, "named") {
			return w.sign(from, &message.PrePrepare{Vote: v, Outline: batch.Outline()})
		}
		return w.sign(from, &message.PrePrepare{Vote: v, Batch: batch})
	case "prepare":
		return w.sign(from, &message.Prepare{Vote: v})
	default:
		return w.sign(from, &message.Commit{Vote: v})
	}
}

func (w *world) sign(author epoch.ReplicaID, b message.Body) *message.Signed {
	return message.Sign(scheme, keys[author], w.epoch, author, b)
}

// batch is the one of this name, the same whenever it is named.
func (w *world) batch(name string) *message.Batch {
	if w.batches[name] == nil {
		q := message.NewRequest(scheme, keys[0], w.epoch.Chain, 1, 1000, []byte(name))
		w.batches[name] = message.NewBatch(1, []*message.Request{q})
	}
	return w.batches[name]
}

func (w *world) name(d crypto.Digest) string {
	if d == nullDigest() {
		return "null"
	}
	for name, b := range w.batches {
		if b.Digest() == d {
			return name
		}
	}
	return d.Short()
}

func (w *world) vote(v message.Vote) string {
	return fmt.Sprintf("%s at %d in view %d", w.name(v.Digest), v.Seq, v.View)
}

func (w *world) seq(d *datadriven.TestData) epoch.Seq { return epoch.Seq(number(w.t, arg(d, "seq"))) }

func arg(d *datadriven.TestData, name string) string {
	i := slices.IndexFunc(d.CmdArgs, func(a datadriven.CmdArg) bool { return a.Key == name })
	if i < 0 {
		return ""
	}
	return strings.Join(d.CmdArgs[i].Vals, "")
}

func flag(d *datadriven.TestData, name string) bool {
	return slices.ContainsFunc(d.CmdArgs, func(a datadriven.CmdArg) bool { return a.Key == name })
}

func number(t *testing.T, text string) uint64 {
	var n uint64
	if _, err := fmt.Sscan(text, &n); err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return n
}

func phases(progress []message.Phase) string {
	if len(progress) == 0 {
		return "none"
	}
	var b strings.Builder
	for _, p := range progress {
		b.WriteByte("eapd"[p])
	}
	return b.String()
}
