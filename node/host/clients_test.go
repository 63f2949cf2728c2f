package host

import (
	"errors"
	"testing"

	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/statemachine"
	"github.com/quorate/quorate/statemachine/kv"
)

// desk is the clients of a host, with a machine that executes by hand.
type desk struct {
	t        *testing.T
	clients  clients
	executor Executor
	seq      epoch.Seq
}

var (
	deskScheme = crypto.Modelled([32]byte{7})
	deskChain  = crypto.Hash("test/chain")
)

func newDesk(t *testing.T) *desk {
	p := epoch.DefaultParameters()
	state, err := statemachine.Open(statemachine.NewMemory(), kv.Machine{}, Limits(p))
	if err != nil {
		t.Fatal(err)
	}
	return &desk{t: t, clients: newClients(state, p), executor: Executor{state: state, checkpoint: 64}}
}

func put(nonce, last uint64, value string) *message.Request {
	key := crypto.NewPrivateKey([32]byte{1})
	return message.NewRequest(deskScheme, key, deskChain, nonce, last, kv.Put([]byte("key"), []byte(value)))
}

// execute decides and executes one batch; it is not committed.
func (d *desk) execute(requests ...*message.Request) {
	d.t.Helper()
	d.seq++
	results, err := d.executor.Run([]bft.Execution{{Seq: d.seq, Time: 1, Batch: message.NewBatch(1, requests)}})
	if err != nil {
		d.t.Fatal(err)
	}
	d.clients.executed(&results[0])
}

func (d *desk) commit() {
	d.t.Helper()
	if err := d.executor.Commit(d.seq); err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) lookUp(q *message.Request) (Answer, bool) {
	d.t.Helper()
	a, known, err := d.clients.lookUp(q, d.seq)
	if err != nil {
		d.t.Fatal(err)
	}
	return a, known
}

// Whether a transaction's end is in the state or only executed must make no difference to who asks. // case L1
// Red if the commits' lag shows: then what was executed is called expired, too distant, or waited for; the last for ever,
// where the others know that it is over and do not order it again.
func TestEndIsKnownFromExecutionOn(t *testing.T) {
	for _, committed := range []bool{false, true} {
		d := newDesk(t)
		first, far := put(1000, 10, "a"), put(2000, 10, "b")
		d.execute(first)
		d.execute(far)
		if committed {
			d.commit()
		}

		if a, known := d.lookUp(far); !known || a.Refusal != nil || a.Seq != 2 {
			t.Errorf("committed %v: executed at 2, the answer is %+v, known %v", committed, a, known)
		}
		if a, _ := d.lookUp(put(2000, 10, "other")); !errors.Is(a.Refusal, ErrNonceUsed) {
			t.Errorf("committed %v: another with a used nonce: %v", committed, a.Refusal)
		}
		if a, known := d.lookUp(put(2900, 10, "c")); known {
			t.Errorf("committed %v: nonce 2900 is in reach of 2000, the answer is %+v", committed, a)
		}
		if a, _ := d.lookUp(put(3025, 10, "d")); !errors.Is(a.Refusal, ErrNonceDistant) {
			t.Errorf("committed %v: nonce 3025 is beyond 2000 + 1024: %v", committed, a.Refusal)
		}
		if a, _ := d.lookUp(put(976, 10, "f")); !errors.Is(a.Refusal, ErrDecidedEarlier) {
			t.Errorf("committed %v: nonce 976 is 1024 below 2000: %v", committed, a.Refusal)
		}
		if a, known := d.lookUp(put(977, 10, "g")); known {
			t.Errorf("committed %v: nonce 977 is in the window, the answer is %+v", committed, a)
		}
		if a, _ := d.lookUp(put(1500, 2, "e")); !errors.Is(a.Refusal, ErrExpired) {
			t.Errorf("committed %v: last 2 is past: %v", committed, a.Refusal)
		}
	}
}

// What is remembered of executed batches goes when the state knows it. Red if it is kept.
func TestCommitsMakeRoom(t *testing.T) {
	d := newDesk(t)
	for i := range uint64(50) {
		d.execute(put(i+1, 100, "v"))
		d.commit()
	}

	if n := len(d.clients.recent); n > 1 {
		t.Errorf("%d batches are remembered", n)
	}
	if n, m := len(d.clients.places), len(d.clients.highest); n > 1 || m > 1 {
		t.Errorf("%d nonces and %d senders are remembered", n, m)
	}
}

// Answers wait for the quorum's attestations, each once however often it was asked for, and come in order.
func TestAnswersWaitForTheQuorum(t *testing.T) {
	d := newDesk(t)
	one, two := put(1, 10, "a"), put(2, 10, "b")
	d.clients.await(one)
	d.clients.await(two)
	d.execute(one)
	d.execute(two)

	if got := d.clients.acknowledged(1); len(got) != 1 || got[0].ID != one.ID() || got[0].Outcome == nil {
		t.Fatalf("after slot 1: %+v", got)
	}
	if !d.clients.decides(two.ID(), 2) {
		t.Fatal("the second does not wait")
	}
	if got := d.clients.acknowledged(2); len(got) != 1 || got[0].ID != two.ID() {
		t.Fatalf("after slot 2: %+v", got)
	}
	if len(d.clients.waiting) != 0 || len(d.clients.decided) != 0 {
		t.Fatalf("left over: %d waiting, %d decided", len(d.clients.waiting), len(d.clients.decided))
	}
}

// Two transactions with one nonce: the one that is executed is answered, the other is told who was first. // case N11
func TestLoserOfANonceIsTold(t *testing.T) {
	d := newDesk(t)
	winner, loser := put(5, 10, "a"), put(5, 10, "b")
	d.clients.await(loser)
	d.clients.await(winner)

	d.execute(winner)

	got := d.clients.acknowledged(1)
	if len(got) != 2 {
		t.Fatalf("%d answers, want 2", len(got))
	}
	for _, a := range got {
		if (a.ID == loser.ID()) != errors.Is(a.Refusal, ErrNonceUsed) {
			t.Errorf("%+v", a)
		}
	}
}
