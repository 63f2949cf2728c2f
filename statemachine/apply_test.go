package statemachine

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// outcomeOf executes one operation on top of k=old and says what came of it, and of k.
func outcomeOf(t *testing.T, f operation) (Outcome, string) {
	t.Helper()
	app := new(scripted)
	r := opened(t, NewMemory(), app)
	r.execute(sent("before", 1, app.puts("k", "old")))
	o := r.execute(sent("it", 2, app.does(f))).Outcomes[0]
	r.commit(2)
	return o, r.value(Newest, "k")
}

// case C3: an operation that fails, panics or exceeds the limits fails in the same way everywhere, and leaves nothing.
// Red if apply does not recover, or if finish takes the writes of failed ones.
func TestFailureIsCodeAndLeavesNothing(t *testing.T) {
	set := func(v View) { v.Set([]byte("k"), []byte("new")) }
	limits := DefaultLimits()
	for _, c := range []struct {
		what string
		f    operation
		want Failure
	}{
		{"panics", func(v View, _ Context) ([]byte, error) { set(v); panic("oh") }, Panicked},
		{"divides by zero", func(v View, c Context) ([]byte, error) { set(v); return []byte{byte(1 / (c.Seq - 2))}, nil }, Panicked},
		{"panics with a failure", func(v View, _ Context) ([]byte, error) { set(v); panic(Failure(3)) }, Panicked},
		{"fails", func(v View, _ Context) ([]byte, error) { set(v); return nil, Failure(9) }, 9},
		{"fails, wrapped", func(v View, _ Context) ([]byte, error) { set(v); return nil, fmt.Errorf("x: %w", Failure(9)) }, 9},
		{"fails with a text", func(v View, _ Context) ([]byte, error) { set(v); return nil, errors.New("disk 7") }, Unspecified},
		{"fails with 0", func(v View, _ Context) ([]byte, error) { set(v); return nil, Failure(0) }, Unspecified},
		{"one key too many", func(v View, _ Context) ([]byte, error) {
			for i := range limits.TransactionKeys + 1 {
				v.Set(fmt.Appendf(nil, "k%d", i), nil)
			}
			return nil, nil
		}, TooManyKeys},
		{"one key too many, deleted", func(v View, _ Context) ([]byte, error) {
			for i := range limits.TransactionKeys + 1 {
				v.Delete(fmt.Appendf(nil, "k%d", i))
			}
			return nil, nil
		}, TooManyKeys},
		{"a key too long", func(v View, _ Context) ([]byte, error) {
			v.Set(make([]byte, MaxKeyBytes+1), nil)
			return nil, nil
		}, KeyTooLong},
		{"a value too large", func(v View, _ Context) ([]byte, error) {
			v.Set([]byte("k"), make([]byte, limits.TransactionBytes-WriteCost))
			return nil, nil
		}, TransactionTooLarge},
		{"a result too large", func(v View, _ Context) ([]byte, error) {
			set(v)
			return make([]byte, limits.TransactionBytes-WriteCost-len("knew")+1), nil
		}, TransactionTooLarge},
		{"a failure with a result too large", func(View, Context) ([]byte, error) {
			return make([]byte, limits.TransactionBytes+1), Failure(9)
		}, TransactionTooLarge},
		{"too large, then panics", func(v View, _ Context) ([]byte, error) {
			v.Set(make([]byte, MaxKeyBytes+1), nil)
			panic("oh")
		}, KeyTooLong},
		{"too large, then better", func(v View, _ Context) ([]byte, error) {
			v.Set([]byte("k"), make([]byte, limits.TransactionBytes))
			set(v)
			return nil, nil
		}, TransactionTooLarge},
	} {
		t.Run(c.what, func(t *testing.T) {
			o, k := outcomeOf(t, c.f)
			if o.Status != Failed || o.Code != c.want {
				t.Errorf("%v, %v, want %v", o.Status, o.Code, c.want)
			}
			if k != "old" {
				t.Errorf("k is %.10q", k)
			}
		})
	}
}

// The other side of each limit.
func TestLimitsAreReached(t *testing.T) {
	limits := DefaultLimits()
	for _, c := range []struct {
		what string
		f    operation
	}{
		{"as many keys as allowed, twice", func(v View, _ Context) ([]byte, error) {
			for i := range 2 * limits.TransactionKeys {
				v.Set(fmt.Appendf(nil, "k%d", i/2), nil)
			}
			return nil, nil
		}},
		{"a key as long as allowed", func(v View, _ Context) ([]byte, error) {
			v.Set(make([]byte, MaxKeyBytes), nil)
			return nil, nil
		}},
		{"a value as large as allowed, twice", func(v View, _ Context) ([]byte, error) {
			v.Set([]byte("x"), make([]byte, limits.TransactionBytes-WriteCost-1))
			v.Set([]byte("x"), make([]byte, limits.TransactionBytes-WriteCost-1))
			return nil, nil
		}},
		{"a result as large as allowed", func(View, Context) ([]byte, error) {
			return make([]byte, limits.TransactionBytes), nil
		}},
	} {
		t.Run(c.what, func(t *testing.T) {
			if o, _ := outcomeOf(t, c.f); o.Status != Applied {
				t.Errorf("%v, %v", o.Status, o.Code)
			}
		})
	}
}

// What earlier transactions of a batch have used up is gone for later ones, and smaller ones still fit.
func TestBatchBudgetIsShared(t *testing.T) {
	app := new(scripted)
	l := DefaultLimits()
	l.WriteSetBytes = 1000
	l.TransactionBytes = 1000
	r, err := Open(NewMemory(), app, l)
	if err != nil {
		t.Fatal(err)
	}
	writes := func(key string, n int) []byte { return app.puts(key, strings.Repeat("x", n-WriteCost-len(key))) }
	returns := func(n int) []byte {
		return app.does(func(View, Context) ([]byte, error) { return make([]byte, n), nil })
	}

	done, err := r.Execute(batchAt(1,
		sent("a", 1, writes("a", 500)), sent("b", 2, returns(300)), sent("c", 3, writes("c", 201)),
		sent("d", 4, writes("d", 150)), sent("e", 5, returns(51)), sent("f", 6, returns(50)), sent("g", 7, returns(1))))
	if err != nil {
		t.Fatal(err)
	}
	next, err := r.Execute(batchAt(2, sent("h", 8, writes("h", 1000))))
	if err != nil {
		t.Fatal(err)
	}

	want := []Failure{0, 0, BatchFull, 0, BatchFull, 0, BatchFull}
	for i, o := range done.Outcomes {
		if o.Code != want[i] {
			t.Errorf("%d: %v, want %v", i, o.Code, want[i])
		}
	}
	if o := next.Outcomes[0]; o.Status != Applied {
		t.Errorf("the next batch: %v", o.Code)
	}
}

// An application that alters or keeps what it is given harms nobody.
func TestApplicationCannotReachIntoState(t *testing.T) {
	app := new(scripted)
	b := NewMemory()
	r := opened(t, b, app)
	spoil := func(b []byte) {
		for i := range b {
			b[i] = '!'
		}
	}
	key, value, result := []byte("k"), []byte("v"), []byte("r")
	write := app.does(func(v View, _ Context) ([]byte, error) {
		v.Set(key, value)
		return result, nil
	})
	first := r.execute(sent("a", 1, write))
	spoil(key)
	spoil(value)
	spoil(result)
	look := app.does(func(v View, _ Context) ([]byte, error) {
		got, _ := v.Get([]byte("k"))
		spoil(got)
		v.Scan(nil, nil, func(key, value []byte) bool { spoil(key); spoil(value); return true })
		got, _ = v.Get([]byte("k"))
		return bytes.Clone(got), nil
	})
	ahead := r.execute(sent("b", 2, look))
	r.commit(2)
	committed := r.execute(sent("c", 3, look))

	if got := first.Outcomes[0].Result; string(got) != "r" {
		t.Errorf("the result became %q", got)
	}
	for _, done := range []Executed{ahead, committed} {
		if got := done.Outcomes[0].Result; string(got) != "v" {
			t.Errorf("at %d the value became %q", done.Mark.Seq, got)
		}
	}
	if got := r.value(Newest, "k"); got != "v" {
		t.Errorf("the value became %q", got)
	}
}

// The operation's bytes stay the caller's: they are part of a block.
func TestApplicationCannotAlterOperation(t *testing.T) {
	r, err := Open(NewMemory(), spoiler{}, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	op := []byte("operation")
	if _, err := r.Execute(batchAt(1, sent("a", 1, op))); err != nil {
		t.Fatal(err)
	}
	if string(op) != "operation" {
		t.Errorf("it became %q", op)
	}
}

type spoiler struct{ steps }

func (spoiler) Apply(_ View, _ Context, op []byte) ([]byte, error) {
	op[0] = '!'
	return op, nil
}

// A scan that writes sees what was there when it began; the next one sees the writes.
func TestScanIsNotDisturbedByItsOwnWrites(t *testing.T) {
	var scans []string
	scan := func(v View, then func(key []byte)) {
		keys := ""
		v.Scan([]byte("s/"), nil, func(key, _ []byte) bool {
			keys += string(key) + " "
			then(key)
			return true
		})
		scans = append(scans, keys)
	}
	outcomeOf(t, func(v View, _ Context) ([]byte, error) {
		v.Set([]byte("s/a"), nil)
		v.Set([]byte("s/b"), nil)
		scan(v, func(key []byte) {
			v.Delete(key)
			v.Set(append(key, 'x'), nil)
		})
		scan(v, func([]byte) {})
		return nil, nil
	})
	if len(scans) != 2 || scans[0] != "s/a s/b " || scans[1] != "s/ax s/bx " {
		t.Errorf("scans: %q", scans)
	}
}

// A panicking query is the caller's trouble, not the replica's.
func TestPanickingQueryIsAnError(t *testing.T) {
	r := opened(t, NewMemory(), new(scripted))
	if _, _, err := r.Query(Newest, nil); !errors.Is(err, ErrQueryPanicked) {
		t.Errorf("got %v", err)
	}
}

// broken is a backing that cannot be read after a while, or not written.
type broken struct {
	Backing
	reads  int // how many Gets go well; the rest fail
	writes error
}

var errBroken = errors.New("bad sector")

func (b *broken) At(version uint64) (Snapshot, error) {
	s, err := b.Backing.At(version)
	return brokenSnapshot{s, b}, err
}

func (b *broken) Commit(version uint64, writes []Write) error {
	if b.writes != nil {
		return b.writes
	}
	return b.Backing.Commit(version, writes)
}

type brokenSnapshot struct {
	Snapshot
	b *broken
}

func (s brokenSnapshot) Get(key []byte) ([]byte, bool, error) {
	if s.b.reads--; s.b.reads < 0 {
		return nil, false, errBroken
	}
	return s.Snapshot.Get(key)
}

// A disk that cannot be read must not look like an empty one, even to an application that recovers from everything;
// and whoever goes on all the same gets nowhere.
func TestUnreadableStateIsNeverAnOutcome(t *testing.T) {
	for reads := range 3 { // the sender's session, his key, the application's
		app := new(scripted)
		b := &broken{Backing: NewMemory(), reads: reads + 1}
		r := opened(t, b, app)
		_, err := r.Execute(batchAt(1, sent("a", 1, app.does(func(v View, _ Context) (result []byte, err error) {
			defer func() { _ = recover() }()
			v.Get([]byte("k"))
			v.Get([]byte("l"))
			return nil, nil
		}))))
		if !errors.Is(err, errBroken) {
			t.Fatalf("%d reads: %v", reads, err)
		}
		b.reads = 1000
		if _, err := r.Execute(batchAt(1)); !errors.Is(err, errBroken) {
			t.Errorf("executed after that: %v", err)
		}
		if err := r.Commit(Newest); !errors.Is(err, errBroken) {
			t.Errorf("committed after that: %v", err)
		}
	}
}

// case F8: the first error of a commit is the last one there is.
func TestFailedCommitIsFinal(t *testing.T) {
	app := new(scripted)
	b := &broken{Backing: NewMemory(), reads: 1000, writes: errBroken}
	r := opened(t, b, app)
	r.execute(sent("a", 1, app.puts("k", "v")))

	first := r.Commit(1)
	b.writes = nil

	if !errors.Is(first, errBroken) || !errors.Is(r.Commit(1), errBroken) {
		t.Error("the disk is believed again")
	}
	if _, err := r.Execute(batchAt(2)); !errors.Is(err, errBroken) {
		t.Errorf("executed after that: %v", err)
	}
	if r.Committed().Seq != 0 {
		t.Errorf("committed %d", r.Committed().Seq)
	}
}
