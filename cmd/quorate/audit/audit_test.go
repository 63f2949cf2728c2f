package audit

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/node/host"
	"github.com/quorate/quorate/statemachine"
	"github.com/quorate/quorate/statemachine/kv"
)

// world makes chains by hand.
type world struct {
	t       *testing.T
	genesis *proof.Genesis
	keys    []crypto.PrivateKey
	client  crypto.PrivateKey
	scheme  crypto.Scheme
	state   *statemachine.Replicated
	epoch   *epoch.Epoch
	head    proof.Header
	blocks  []*proof.Block
	overs   []*proof.HandOver
	acks    []string
	nonce   uint64
}

func newWorld(t *testing.T, n int) *world {
	w := &world{t: t, scheme: crypto.Ed25519(), client: crypto.NewPrivateKey([32]byte{99})}
	w.genesis = &proof.Genesis{Chain: "test", Configuration: epoch.Configuration{Mode: epoch.Byzantine, Parameters: epoch.DefaultParameters(),
		Operators: []crypto.PublicKey{operator.Public()}, Threshold: 1}}
	for i := 1; i <= n; i++ {
		key := crypto.NewPrivateKey([32]byte{byte(i)})
		w.keys = append(w.keys, key)
		w.genesis.Members = append(w.genesis.Members, epoch.Member{Name: fmt.Sprint(i), Key: key.Public(), Incarnation: epoch.Incarnation{1},
			PeerID: fmt.Sprint("peer", i), Address: fmt.Sprint("address", i), API: fmt.Sprint("api", i)})
	}
	state, err := statemachine.Open(statemachine.NewMemory(), kv.Machine{}, host.Limits(w.genesis.Parameters))
	if err != nil {
		t.Fatal(err)
	}
	w.state, w.head, w.epoch = state, w.genesis.Header(), w.genesis.Epoch()
	return w
}

func (w *world) put(key, value string) *message.Request {
	w.nonce++
	return message.NewRequest(w.scheme, w.client, w.genesis.Digest(), w.nonce, 1000, kv.Put([]byte(key), []byte(value)))
}

// block appends a block that a quorum has committed, and acknowledges its puts.
func (w *world) block(requests ...*message.Request) *proof.Block {
	w.t.Helper()
	return w.append(message.NewBatch(int64(len(w.blocks)), requests), crypto.Digest{})
}

// append has a batch decided, of which the header announces next.
func (w *world) append(b *message.Batch, next crypto.Digest) *proof.Block {
	w.t.Helper()
	seq := w.head.Seq + 1
	batch := statemachine.Batch{Seq: uint64(seq), Time: b.Time, Digest: b.Digest()}
	for _, q := range b.Requests {
		batch.Transactions = append(batch.Transactions, statemachine.Transaction{ID: q.ID(), Sender: q.Sender, Nonce: q.Nonce, Last: q.Last, Operation: q.Operation})
		if o, err := kv.Decode(q.Operation); err == nil {
			w.acks = append(w.acks, fmt.Sprintf("%s %s %d %d 17 %s %s", q.ID(), q.Sender, q.Nonce, seq, o.Key, o.Value))
		}
	}
	done, err := w.state.Execute(batch)
	if err != nil {
		w.t.Fatal(err)
	}
	w.head = proof.Header{Epoch: w.epoch.ID, NextEpoch: next, Seq: seq, Parent: w.head.Digest(), Batch: b.Digest(),
		Results: done.Mark.Results, State: done.Mark.State, Time: b.Time}
	made := &proof.Block{Decision: proof.Decision{Header: w.head}, Batch: b}
	made.Certificate = w.commits(made, 1, 2, 3)
	w.blocks = append(w.blocks, made)
	return made
}

func (w *world) commits(b *proof.Block, members ...epoch.ReplicaID) (votes []*message.Signed) {
	vote := message.Vote{View: b.View, Seq: b.Header.Seq, Digest: b.Header.Batch}
	for _, id := range members {
		var said message.Body = &message.Commit{Vote: vote}
		if w.epoch.Mode == epoch.Crash {
			said = &message.PaxosAccepted{Vote: vote}
		}
		votes = append(votes, message.Sign(w.scheme, w.keys[id-1], w.epoch, id, said))
	}
	return votes
}

var operator = crypto.NewPrivateKey([32]byte{88})

// change is one that may end the epoch at the next slot.
func (w *world) change(edit func(*epoch.Configuration)) *message.Change {
	c := &message.Change{Chain: w.epoch.Chain, Of: w.epoch.ID, Next: w.epoch.Configuration, Last: 1000}
	c.Next.Members = slices.Clone(w.epoch.Members)
	edit(&c.Next)
	c.Approve(w.scheme, operator)
	for id := epoch.ReplicaID(1); id <= 3; id++ {
		ready := &message.Ready{Change: c.ID(), Incarnation: c.Next.Members[id-1].Incarnation, Seq: w.head.Seq}
		c.Readiness = append(c.Readiness, message.Sign(w.scheme, w.keys[id-1], w.epoch, id, ready))
	}
	return c
}

// end appends a block that ends the epoch, and begins the next one.
func (w *world) end(edit func(*epoch.Configuration)) *proof.Block {
	w.t.Helper()
	c := w.change(edit)
	b := w.append(message.NewChangeBatch(int64(len(w.blocks)), c), message.ConfigurationDigest(&c.Next))
	next := proof.Announced(w.epoch, &w.head, &c.Next)
	w.handOver(next, &proof.HandOver{Outgoing: w.attest(w.epoch)})
	return b
}

// handOver completes a hand-over at the head, and begins the next epoch.
func (w *world) handOver(next *epoch.Epoch, h *proof.HandOver) {
	h.Header, h.Next, h.Incoming = w.head, next.Configuration, w.attest(next)
	w.overs, w.epoch = append(w.overs, h), next
}

func (w *world) attest(e *epoch.Epoch) (votes []*message.Signed) {
	for id := epoch.ReplicaID(1); id <= 3; id++ {
		votes = append(votes, message.Sign(w.scheme, w.keys[id-1], e, id, &message.Attestation{Seq: w.head.Seq, Header: w.head.Digest()}))
	}
	return votes
}

// chain is what a node holds of all this.
func (w *world) chain() node { return node{slices.Clone(w.blocks), slices.Clone(w.overs)} }

// node is a chain of several epochs.
type node struct {
	held
	overs []*proof.HandOver
}

func (n node) HandOver(_ context.Context, number uint64) (*proof.HandOver, error) {
	if number > uint64(len(n.overs)) {
		return n.held.HandOver(context.Background(), number)
	}
	return n.overs[number-1], nil
}

type held []*proof.Block

func (h held) Last(context.Context) (epoch.Seq, error) { return epoch.Seq(len(h)), nil }
func (h held) Block(_ context.Context, seq epoch.Seq) (*proof.Block, error) {
	if h[seq-1] == nil {
		return nil, &DamageError{errors.New("checksum does not match")}
	}
	return h[seq-1], nil
}

func (h held) HandOver(_ context.Context, number uint64) (*proof.HandOver, error) {
	return nil, &DamageError{fmt.Errorf("epoch %d is not there", number)}
}

func (w *world) run(acks []string, chains ...Chain) *Report {
	w.t.Helper()
	read, err := ReadAcks(strings.NewReader(strings.Join(acks, "\n")))
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := Run(context.Background(), w.genesis, chains, read)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

func threeBlocks(t *testing.T) *world {
	w := newWorld(t, 4)
	w.block(w.put("a", "1"), w.put("b", "2"))
	w.block(w.put("a", "3"))
	w.block(w.put("c", "4"))
	return w
}

func TestAGoodChainPasses(t *testing.T) {
	w := threeBlocks(t)
	r := w.run(w.acks, held(w.blocks), held(w.blocks), held(w.blocks), held(w.blocks))
	if len(r.Violations) > 0 || r.Blocks != 3 || r.Transactions != 4 || r.Executed != 4 || r.Acks != 4 {
		t.Errorf("%+v", r)
	}
}

// case M3: a checker that has not been seen red is none. Each of these is wrong in one place, at node 2.
func TestWhatIsWrongIsFound(t *testing.T) {
	for want, wrong := range map[string]func(w *world, b *proof.Block){
		"certificate: 2 members, want 3": func(w *world, b *proof.Block) { b.Certificate = w.commits(b, 1, 2) },
		"certificate: two votes of 2":    func(w *world, b *proof.Block) { b.Certificate = w.commits(b, 1, 2, 2) },
		"the vote of 3 is for something else": func(w *world, b *proof.Block) {
			other := *b
			other.View = 1
			b.Certificate = append(w.commits(b, 1, 2), w.commits(&other, 3)...)
		},
		"the signature of 3 does not hold": func(w *world, b *proof.Block) {
			b.Certificate = w.commits(b, 1, 2, 3)
			b.Certificate[2].Signature[5] ^= 1
		},
		"a prepare of 3": func(w *world, b *proof.Block) {
			vote := message.Vote{Seq: b.Header.Seq, Digest: b.Header.Batch}
			b.Certificate = append(w.commits(b, 1, 2), message.Sign(w.scheme, w.keys[2], w.genesis.Epoch(), 3, &message.Prepare{Vote: vote}))
		},
		"a vote of another chain or epoch": func(w *world, b *proof.Block) {
			b.Certificate = w.commits(b, 1, 2, 3)
			b.Certificate[0].Epoch[0] ^= 1
		},
		"block 2: its parent is":                      func(_ *world, b *proof.Block) { b.Header.Parent[3] ^= 1 },
		"block 2: its header says 5":                  func(_ *world, b *proof.Block) { b.Header.Seq = 5 },
		"block 2: is of epoch":                        func(_ *world, b *proof.Block) { b.Header.Epoch[0] ^= 1 },
		"block 2: its time is before":                 func(_ *world, b *proof.Block) { b.Header.Time = -1 },
		"block 2: agreement: its header is":           func(_ *world, b *proof.Block) { b.Header.State[0] ^= 1 },
		"block 2: its header names batch":             func(w *world, b *proof.Block) { b.Batch = message.NewBatch(0, nil) },
		"line 3 of the acknowledgements: transaction": func(w *world, b *proof.Block) { b.Batch = message.NewBatch(0, nil) },
		"block 2: the signature of transaction": func(w *world, b *proof.Block) {
			raw := slices.Clone(b.Batch.Requests[0].Bytes())
			raw[len(raw)-1] ^= 1
			forged, err := message.DecodeRequest(raw)
			if err != nil {
				w.t.Fatal(err)
			}
			b.Batch = message.NewBatch(b.Batch.Time, []*message.Request{forged})
		},
	} {
		t.Run(want, func(t *testing.T) {
			w := threeBlocks(t)
			b := *w.blocks[1]
			wrong(w, &b)
			bad := held{w.blocks[0], &b, w.blocks[2]}
			found := w.run(w.acks, held(w.blocks), bad, held(w.blocks), held(w.blocks))
			if !slices.ContainsFunc(found.Violations, func(v string) bool { return strings.Contains(v, want) }) {
				t.Errorf("found %q", found.Violations)
			}
		})
	}
}

// All nodes hold the same wrong block: only executing it again shows it.
func TestACommonMistakeIsFoundByExecutingAgain(t *testing.T) {
	for want, wrong := range map[string]func(h *proof.Header){
		"block 3: its header says state":   func(h *proof.Header) { h.State[0] ^= 1 },
		"block 3: its header says results": func(h *proof.Header) { h.Results[0] ^= 1 },
	} {
		w := threeBlocks(t)
		wrong(&w.blocks[2].Header)
		r := w.run(nil, held(w.blocks), held(w.blocks))
		if len(r.Violations) != 1 || !strings.Contains(r.Violations[0], want) || !strings.Contains(r.Broken[Agreement].Text, want) || len(r.Broken) != 1 {
			t.Errorf("%q", r.Violations)
		}
	}
}

func TestDamageIsAViolationAndANodeOutOfReachIsNot(t *testing.T) {
	w := threeBlocks(t)
	damaged := held{w.blocks[0], nil, w.blocks[2]}
	r := w.run(w.acks, held(w.blocks), damaged, held(w.blocks), Missing{errors.New("connection refused")})
	if len(r.Violations) != 1 || !strings.Contains(r.Violations[0], "node2: block 2: checksum does not match") {
		t.Errorf("%q", r.Violations)
	}
	if r.Nodes[0].Missing != nil || r.Nodes[1].Missing == nil || r.Nodes[3].Missing == nil {
		t.Errorf("%+v", r.Nodes)
	}
}

func TestANodeThatIsBehindIsMissingButALostAcknowledgementIsNot(t *testing.T) {
	w := threeBlocks(t)
	r := w.run(w.acks, held(w.blocks), held(w.blocks), held(w.blocks), held(w.blocks[:2]))
	if len(r.Violations) != 0 || r.Nodes[3].Missing == nil || !strings.Contains(r.Nodes[3].Missing.Error(), "ends at 2, below 3") {
		t.Errorf("one is behind: %q, %v", r.Violations, r.Nodes[3].Missing)
	}
	short := held(w.blocks[:2])
	if r := w.run(w.acks, short, short, short, short); len(r.Violations) != 4 || r.Broken[Durability].Node != 1 || len(r.Broken) != 1 {
		t.Errorf("none has it: %q", r.Violations)
	}
	out := Missing{errors.New("out of reach")}
	if r := w.run(w.acks, short, short, short, out); len(r.Violations) != 3 {
		t.Errorf("a quorum had it, and one node cannot be all of that: %q", r.Violations)
	}
	if r := w.run(w.acks, short, short, out, out); len(r.Violations) != 0 {
		t.Errorf("two may have it: %q", r.Violations)
	}
}

// Acknowledgements that were never lines are looked for as these are.
func TestAcknowledgementsThatAreNoLines(t *testing.T) {
	w := threeBlocks(t)
	var all []Ack
	for _, b := range w.blocks {
		for _, q := range b.Batch.Requests {
			all = append(all, Ack{ID: q.ID(), Sender: q.Sender, Nonce: q.Nonce, Seq: b.Header.Seq, Operation: q.Operation})
		}
	}
	for lost, of := range []string{"", "line 2 of the acknowledgements"} {
		if lost > 0 {
			all[1].Operation = kv.Put([]byte("b"), []byte("another"))
		}
		r, err := Run(t.Context(), w.genesis, []Chain{held(w.blocks)}, NewAcks(all))
		if err != nil || r.Acks != len(all) || len(r.Violations) != lost || !strings.Contains(r.Broken[Durability].Text, of) {
			t.Errorf("%+v, %v", r, err)
		}
	}
}

func TestAChangedLineIsFound(t *testing.T) {
	for what, change := range map[string]func(f []string){
		"id":     func(f []string) { f[0] = strings.Repeat("0", 64) },
		"sender": func(f []string) { f[1] = strings.Repeat("0", 64) },
		"nonce":  func(f []string) { f[2] += "1" },
		"seq":    func(f []string) { f[3] = "1" },
		"far":    func(f []string) { f[3] = "4711" },
		"key":    func(f []string) { f[5] += "x" },
		"value":  func(f []string) { f[6] += "x" },
	} {
		w := threeBlocks(t)
		f := strings.Split(w.acks[2], " ")
		change(f)
		w.acks[2] = strings.Join(f, " ")
		r := w.run(w.acks, held(w.blocks), held(w.blocks), held(w.blocks), held(w.blocks))
		if len(r.Violations) != 4 || !strings.Contains(r.Violations[0], "line 3") {
			t.Errorf("%s: %q", what, r.Violations)
		}
	}
}

func TestMalformedLinesAreRefusedByNumberAndReason(t *testing.T) {
	id := strings.Repeat("0", 64)
	good := id + " " + id + " 1 2 3 k v\n"
	for line, want := range map[string]string{
		"": "1 words", "a b c d e f g": "id: ", id + " b 1 2 3 k v": "sender: ", id + " " + id + " x 2 3 k v": "nonce: ",
		id + " " + id + " 1 -2 3 k v": "seq: ", id + " " + id + " 1 2 now k v": "unix_nanos: ", good[:len(good)-1] + " v": "8 words",
	} {
		_, err := ReadAcks(strings.NewReader(good + line + "\n"))
		if err == nil || !strings.HasPrefix(err.Error(), "line 2: "+want) {
			t.Errorf("%q: %v", line, err)
		}
	}
}

// By the definition: of n members, f of whom lie, two quorums share a correct one, and those who do not lie make one.
func TestQuorumIsTheLeastThatMeetsInACorrectMember(t *testing.T) {
	for n := 4; n <= epoch.MaxMembers; n++ {
		f := (n - 1) / 3
		if q := quorum(epoch.Byzantine, n); 2*q-n <= f || 2*(q-1)-n > f || q > n-f {
			t.Errorf("n = %d: %d", n, q)
		}
		if q := quorum(epoch.Crash, n); 2*q <= n || 2*(q-1) > n {
			t.Errorf("crash, n = %d: %d", n, q)
		}
	}
}

func TestASecondExecutionIsFound(t *testing.T) {
	w := threeBlocks(t)
	r, err := newReplay(w.genesis)
	if err != nil {
		t.Fatal(err)
	}
	one := statemachine.Transaction{ID: crypto.Digest{1}, Nonce: 1}
	again := statemachine.Transaction{ID: crypto.Digest{1}, Nonce: 2}
	sameNonce := statemachine.Transaction{ID: crypto.Digest{2}, Nonce: 1}
	applied, duplicate := statemachine.Outcome{Status: statemachine.Applied}, statemachine.Outcome{Status: statemachine.Duplicate}
	if err := errors.Join(r.once(1, one, applied), r.once(2, one, duplicate)); err != nil {
		t.Errorf("a duplicate is none: %v", err)
	}
	if !errors.Is(r.once(3, again, applied), errTwice) || !errors.Is(r.once(3, sameNonce, statemachine.Outcome{Status: statemachine.Failed}), errTwice) {
		t.Error("not found")
	}
}
