package statemachine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/quorate/quorate/crypto"
)

// scripted is an application whose operations are functions: the test registers one and orders its number.
type scripted struct{ operations []operation }

type operation func(View, Context) ([]byte, error)

func (s *scripted) Check([]byte) error { return nil }

func (s *scripted) Apply(v View, c Context, op []byte) ([]byte, error) {
	return s.operations[binary.BigEndian.Uint32(op)](v, c)
}

func (s *scripted) Query(r Reader, q []byte) ([]byte, error) {
	if len(q) == 0 {
		panic("a query of nothing")
	}
	value, _ := r.Get(q)
	return value, nil
}

// does registers an operation and returns its bytes.
func (s *scripted) does(f operation) []byte {
	s.operations = append(s.operations, f)
	return binary.BigEndian.AppendUint32(nil, uint32(len(s.operations)-1))
}

func (s *scripted) puts(key, value string) []byte {
	return s.does(func(v View, _ Context) ([]byte, error) {
		v.Set([]byte(key), []byte(value))
		return nil, nil
	})
}

func sender(i int) (k crypto.PublicKey) {
	binary.BigEndian.PutUint64(k[:], uint64(i)+1)
	return k
}

func numbered(n uint64) crypto.Digest { return crypto.Hash("test/number", encodeUint64(n)) }

func named(id string) crypto.Digest { return crypto.Hash("test/id", []byte(id)) }

// sent is a transaction of sender 0 that does not expire.
func sent(id string, nonce uint64, op []byte) Transaction {
	return Transaction{ID: named(id), Sender: sender(0), Nonce: nonce, Last: 1000, Operation: op}
}

// runner executes batches one after the other.
type runner struct {
	t *testing.T
	*Replicated
}

func opened(t *testing.T, b Backing, m Machine) *runner {
	t.Helper()
	r, err := Open(b, m, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return &runner{t, r}
}

func (r *runner) execute(ts ...Transaction) Executed {
	r.t.Helper()
	done, err := r.Execute(batchAt(r.Applied().Seq+1, ts...))
	if err != nil {
		r.t.Fatal(err)
	}
	return done
}

func batchAt(seq uint64, ts ...Transaction) Batch {
	b := Batch{Seq: seq, Time: int64(seq) * 1000, Transactions: ts}
	parts := [][]byte{encodeUint64(seq)}
	for _, t := range ts {
		parts = append(parts, t.ID[:])
	}
	b.Digest = crypto.Hash("test/batch", parts...)
	return b
}

func (r *runner) commit(through uint64) {
	r.t.Helper()
	if err := r.Commit(through); err != nil {
		r.t.Fatal(err)
	}
}

func (r *runner) value(at uint64, key string) string {
	r.t.Helper()
	value, ok, _, err := r.Get(at, []byte(key))
	if err != nil {
		r.t.Fatal(err)
	}
	if !ok {
		return "(none)"
	}
	return string(value)
}

// Readers see what is durable, the executor what it has executed.
func TestWhatIsExecutedIsReadOnlyOnceCommitted(t *testing.T) {
	app := new(scripted)
	r := opened(t, NewMemory(), app)

	r.execute(sent("a", 1, app.puts("k", "v")))
	before := r.value(Newest, "k")
	seen := r.execute(sent("b", 2, app.does(func(v View, _ Context) ([]byte, error) {
		value, _ := v.Get([]byte("k"))
		return value, nil
	})))
	r.commit(1)

	if before != "(none)" {
		t.Errorf("read %q before the commit", before)
	}
	if got := seen.Outcomes[0].Result; !bytes.Equal(got, []byte("v")) {
		t.Errorf("the next batch saw %q", got)
	}
	if got := r.value(Newest, "k"); got != "v" {
		t.Errorf("read %q after the commit", got)
	}
	if r.Applied().Seq != 2 || r.Committed().Seq != 1 {
		t.Errorf("applied %d, committed %d", r.Applied().Seq, r.Committed().Seq)
	}
}

// What is committed leaves the overlay, and what later batches have written to the same keys stays.
// Red if forget does not look at who wrote.
func TestCommitKeepsWhatLaterBatchesWrote(t *testing.T) {
	app := new(scripted)
	r := opened(t, NewMemory(), app)
	r.execute(sent("1", 1, app.puts("k", "1")))
	r.execute(sent("2", 2, app.puts("k", "2")))

	r.commit(1)
	seen := r.execute(sent("3", 3, app.does(func(v View, _ Context) ([]byte, error) {
		value, _ := v.Get([]byte("k"))
		return value, nil
	})))
	r.commit(3)

	if got := seen.Outcomes[0].Result; string(got) != "2" {
		t.Errorf("the third batch saw %q", got)
	}
	if n := r.overlay.application.Len() + len(r.overlay.own) + len(r.pending); n != 0 {
		t.Errorf("%d things are kept beside the backing", n)
	}
}

// Inside a merged run there is nothing to read.
func TestReadInsideMergedRunNamesNearest(t *testing.T) {
	app := new(scripted)
	r := opened(t, NewMemory(), app)
	r.execute(sent("1", 1, app.puts("k", "1")))
	r.commit(1)
	for nonce, v := range []string{"2", "3", "4"} {
		r.execute(sent(v, uint64(nonce)+2, app.puts("k", v)))
	}
	r.commit(4)

	_, _, _, err := r.Get(3, []byte("k"))
	var u *Unreadable
	if !errors.As(err, &u) || *u != (Unreadable{At: 3, Before: 1, After: 4}) {
		t.Errorf("at 3: %v", err)
	}
	_, _, _, err = r.Get(9, []byte("k"))
	if !errors.As(err, &u) || *u != (Unreadable{At: 9, Before: 4}) {
		t.Errorf("at 9: %v", err)
	}
	if r.value(1, "k") != "1" || r.value(4, "k") != "4" || r.value(0, "k") != "(none)" {
		t.Error("a readable version reads wrong")
	}
}
