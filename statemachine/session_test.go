package statemachine

import (
	"math"
	"testing"
)

// used executes one transaction with each of the nonces, a run at a time, under ids named by their nonce.
func used(t *testing.T, app *scripted, nonces ...uint64) *runner {
	t.Helper()
	r := opened(t, NewMemory(), app)
	for _, nonce := range nonces {
		done := r.execute(Transaction{ID: numbered(nonce), Sender: sender(0), Nonce: nonce, Last: 1000, Operation: app.puts("k", "v")})
		if done.Outcomes[0].Status != Applied {
			t.Fatalf("nonce %d: %v", nonce, done.Outcomes[0].Status)
		}
	}
	return r
}

// case D2: same bytes, same nonce with another body, old nonces, gaps, nonces far ahead.
// Red if findNonce does not compare ids, if place is off by one at either end, or if judge asks in another order.
func TestEachNonceIsUsedOnce(t *testing.T) {
	far := Transaction{ID: named("far"), Sender: sender(0), Last: 1000}
	for _, c := range []struct {
		what   string
		before []uint64 // nonces used, one batch each, from 1 on
		t      Transaction
		want   Status
		first  uint64 // Outcome.Seq; 0: the batch's own
	}{
		{"the first nonce", nil, Transaction{Nonce: 1, Last: 9}, Applied, 0},
		{"a gap", nil, Transaction{Nonce: 7, Last: 9}, Applied, 0},
		{"as far as the window allows", nil, Transaction{Nonce: 1024, Last: 9}, Applied, 0},
		{"beyond the window", nil, Transaction{Nonce: 1025, Last: 9}, NonceTooDistant, 0},
		{"below the highest, unused", []uint64{5}, Transaction{Nonce: 3, Last: 9}, Applied, 0},
		{"same nonce, same id", []uint64{5, 6}, Transaction{ID: numbered(5), Nonce: 5, Last: 9}, Duplicate, 1},
		{"same nonce, same id, past its last", []uint64{5, 6}, Transaction{ID: numbered(5), Nonce: 5, Last: 1}, Duplicate, 1},
		{"same nonce, another id", []uint64{5, 6}, Transaction{Nonce: 5, Last: 9}, NonceUsed, 0},
		{"same nonce, another id, past its last", []uint64{5, 6}, Transaction{Nonce: 5, Last: 1}, NonceUsed, 0},
		{"the last of the window", []uint64{1, 1024}, Transaction{ID: numbered(1), Nonce: 1, Last: 9}, Duplicate, 1},
		{"just behind the window", []uint64{1, 1024, 1025}, Transaction{ID: numbered(1), Nonce: 1, Last: 9}, DecidedEarlier, 0},
		{"just behind the window, never used", []uint64{2, 1024, 1025}, Transaction{Nonce: 1, Last: 9}, DecidedEarlier, 0},
		{"behind the window, past its last", []uint64{1, 1024, 1025}, Transaction{Nonce: 1, Last: 1}, DecidedEarlier, 0},
		{"a slot that an older nonce has left", []uint64{1, 1024, 2047}, Transaction{Nonce: 1025, Last: 9}, Applied, 0},
		{"its last is now", []uint64{1, 2}, Transaction{Nonce: 3, Last: 3}, Applied, 0},
		{"its last was before", []uint64{1, 2}, Transaction{Nonce: 3, Last: 2}, Expired, 0},
		{"beyond the window, past its last", []uint64{1, 2}, Transaction{Nonce: 2000, Last: 2}, Expired, 0},
		{"its last as far ahead as allowed", nil, Transaction{Nonce: 1, Last: 1 + 1<<20}, Applied, 0},
		{"its last too far ahead", nil, Transaction{Nonce: 1, Last: 2 + 1<<20}, LastTooDistant, 0},
		{"the greatest last", nil, Transaction{Nonce: 1, Last: math.MaxUint64}, LastTooDistant, 0},
		{"nonce 0", []uint64{1024, 1025}, Transaction{Nonce: 0, Last: 9}, Invalid, 0},
		{"last 0", nil, Transaction{Nonce: 1, Last: 0}, Invalid, 0},
		{"the greatest nonce", nil, Transaction{Nonce: math.MaxUint64, Last: 9}, NonceTooDistant, 0},
	} {
		t.Run(c.what, func(t *testing.T) {
			app := new(scripted)
			r := used(t, app, c.before...)
			tx := c.t
			tx.Sender, tx.Operation = far.Sender, app.puts("k", "w")
			if tx.ID.IsZero() {
				tx.ID = far.ID
			}

			got := r.execute(tx).Outcomes[0]

			want := Outcome{ID: tx.ID, Status: c.want, Seq: c.first}
			if want.Seq == 0 {
				want.Seq = uint64(len(c.before)) + 1
			}
			if got.ID != want.ID || got.Status != want.Status || got.Seq != want.Seq || got.Code != 0 {
				t.Errorf("got %v at %d, want %v at %d", got.Status, got.Seq, want.Status, want.Seq)
			}
			// What was not executed has spent nothing: another id can still use the nonce, if it ever could.
			if c.want == Expired || c.want == LastTooDistant || c.want == Invalid && c.t.Nonce == 1 {
				tx.ID, tx.Nonce, tx.Last = named("other"), min(c.t.Nonce, 3), 9
				if again := r.execute(tx).Outcomes[0]; again.Status != Applied {
					t.Errorf("after it: %v", again.Status)
				}
			}
		})
	}
}

// case D13: the window near 2^64. Red if place adds instead of subtracting.
func TestNonceWindowHoldsAtTheEndOfItsRange(t *testing.T) {
	const last = math.MaxUint64
	for _, c := range []struct {
		nonce, highest uint64
		want           NonceState
	}{
		{last, last, NonceFree},
		{last, last - 1, NonceFree},
		{last, last - 1024, NonceFree},
		{last, last - 1025, NonceAhead},
		{last - 1023, last, NonceFree},
		{last - 1024, last, NonceBehind},
		{1, last, NonceBehind},
		{last, 0, NonceAhead},
		{0, last, NonceInvalid},
		{0, 0, NonceInvalid},
	} {
		if got := place(c.nonce, c.highest, 1024); got != c.want {
			t.Errorf("nonce %d above %d: %d, want %d", c.nonce, c.highest, got, c.want)
		}
	}
}

// A batch may name one nonce twice, under one id after the next: only the first executes.
func TestOneBatchUsesNonceOnce(t *testing.T) {
	app := new(scripted)
	r := opened(t, NewMemory(), app)

	done := r.execute(sent("a", 1, app.puts("k", "a")), sent("b", 1, app.puts("k", "b")))
	r.commit(1)

	if done.Outcomes[0].Status != Applied || done.Outcomes[1].Status != NonceUsed {
		t.Errorf("got %v, %v", done.Outcomes[0].Status, done.Outcomes[1].Status)
	}
	if got := r.value(Newest, "k"); got != "a" {
		t.Errorf("k is %q", got)
	}
}

// Senders do not share nonces.
func TestSessionsAreApart(t *testing.T) {
	app := new(scripted)
	r := opened(t, NewMemory(), app)
	a, b := sent("a", 1, app.puts("k", "a")), sent("b", 1, app.puts("k", "b"))
	b.Sender = sender(1)

	done := r.execute(a, b)

	if done.Outcomes[0].Status != Applied || done.Outcomes[1].Status != Applied {
		t.Errorf("got %v, %v", done.Outcomes[0].Status, done.Outcomes[1].Status)
	}
}

// A failed transaction has had its turn.
func TestFailedTransactionSpendsItsNonce(t *testing.T) {
	app := new(scripted)
	r := opened(t, NewMemory(), app)
	fails := sent("a", 1, app.does(func(v View, _ Context) ([]byte, error) {
		v.Set([]byte("k"), []byte("v"))
		return []byte("why"), Failure(7)
	}))

	first := r.execute(fails).Outcomes[0]
	again := r.execute(fails).Outcomes[0]
	r.commit(2)

	if first.Status != Failed || first.Code != 7 || string(first.Result) != "why" {
		t.Errorf("first: %+v", first)
	}
	if again.Status != Duplicate || again.Seq != 1 || again.Result != nil {
		t.Errorf("again: %+v", again)
	}
	if got := r.value(Newest, "k"); got != "(none)" {
		t.Errorf("its write stayed: %q", got)
	}
}

// Red if a cached highest nonce is lost or stale once more senders than the cache holds have come by.
func TestMoreSendersThanTheCacheHolds(t *testing.T) {
	app := new(scripted)
	r := opened(t, NewMemory(), app)
	op := app.does(func(View, Context) ([]byte, error) { return nil, nil })
	first := sent("first", 5, op)
	r.execute(first)
	for i := 0; i < 2*highestCacheGeneration+1; i += 1000 {
		var ts []Transaction
		for j := i; j < i+1000; j++ {
			ts = append(ts, Transaction{ID: numbered(uint64(j)), Sender: sender(j + 1), Nonce: 1, Last: 1000, Operation: op})
		}
		r.execute(ts...)
	}
	if len(r.sessions.young)+len(r.sessions.old) > 2*highestCacheGeneration {
		t.Fatal("the cache is not bounded")
	}
	if _, cached := r.sessions.get(sender(0)); cached {
		t.Fatal("the sender is still cached: nothing is shown")
	}

	if got := r.execute(first).Outcomes[0]; got.Status != Duplicate || got.Seq != 1 {
		t.Errorf("got %v at %d", got.Status, got.Seq)
	}
}

func TestFindSaysWhatIsKnownOfNonce(t *testing.T) {
	app := new(scripted)
	r := used(t, app, 1, 1024, 1026)
	r.commit(3)
	for _, c := range []struct {
		nonce uint64
		want  NonceState
		seq   uint64
	}{
		{0, NonceInvalid, 0}, {1, NonceBehind, 0}, {2, NonceBehind, 0}, {3, NonceFree, 0}, {1024, NonceTaken, 2}, {1025, NonceFree, 0},
		{1026, NonceTaken, 3}, {1027, NonceFree, 0}, {2050, NonceFree, 0}, {2051, NonceAhead, 0},
	} {
		e, state, err := r.Find(sender(0), c.nonce)
		if err != nil || state != c.want || e.Seq != c.seq || state == NonceTaken && (e.ID != numbered(c.nonce) || e.Status != Applied) {
			t.Errorf("nonce %d: %+v, %d, %v", c.nonce, e, state, err)
		}
	}
}

// `tx show` after a restart: where an id was executed stands, whatever is ordered later; a refusal gives way.
func TestLookupKeepsWhereAnIDWasExecuted(t *testing.T) {
	app := new(scripted)
	b := NewMemory()
	r := opened(t, b, app)
	op := app.does(func(View, Context) ([]byte, error) { return []byte("done"), nil })
	early, done := sent("early", 2000, op), sent("done", 1, op)
	r.execute(early)                                                                               // too distant
	r.execute(sent("x", 1000, op), done)                                                           // executes
	r.execute(done, early)                                                                         // a duplicate; too distant no more
	r.execute(sent("y", 2002, op), done)                                                           // decided earlier, for all that is known
	r.execute(Transaction{ID: named("late"), Sender: sender(1), Nonce: 1, Last: 4, Operation: op}) // expired
	r.commit(5)

	r = opened(t, b, app)

	for id, want := range map[string]Location{
		"done": {2, 1, Applied}, "early": {3, 1, Applied}, "late": {5, 0, Expired},
	} {
		l, ok, err := r.Lookup(named(id))
		if l != want || !ok || err != nil {
			t.Errorf("%s: %+v, %v, %v", id, l, ok, err)
			continue
		}
		outcomes, ok, err := r.Outcomes(l.Seq)
		if err != nil || !ok || outcomes[l.Index].ID != named(id) || outcomes[l.Index].Status != l.Status {
			t.Errorf("%s: outcomes %+v, %v, %v", id, outcomes, ok, err)
		}
	}
	if _, ok, err := r.Lookup(named("never")); ok || err != nil {
		t.Errorf("an id that was never ordered: %v, %v", ok, err)
	}
	if _, ok, err := r.Outcomes(6); ok || err != nil {
		t.Errorf("outcomes to come: %v, %v", ok, err)
	}
}
