package statemachine

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func onBadger(t testing.TB, dir string) *badgerBacking {
	t.Helper()
	b, err := OpenBadger(dir, func(line string) { t.Log(line) })
	if err != nil {
		t.Fatal(err)
	}
	return b.(*badgerBacking)
}

func closed(t testing.TB, b Backing) {
	t.Helper()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

// The same batches give the same digests, outcomes and keys in memory and on Badger, over restarts, whichever batches
// share a commit. Red if one of the two misreads an empty value, an absent key, a prefix or an order.
func TestBadgerAndMemoryAgree(t *testing.T) {
	for seed := range 5 {
		dir := t.TempDir()
		random := rand.New(rand.NewPCG(uint64(seed), 1))
		disk := onBadger(t, dir)
		onDisk, inMemory := opened(t, disk, steps{}), opened(t, NewMemory(), steps{})
		for i, b := range rapid.Custom(someBatches).Example(seed) {
			b.Transactions = append(b.Transactions, Transaction{ID: numbered(uint64(1000 + i)), Sender: sender(9), Nonce: uint64(i) + 1,
				Last: 1000, Operation: []byte{stepPut, 1, byte(i), stepDelete, byte(i + 2), 0, stepScan, 0, 200}})
			x, y := onDisk.execute(b.Transactions...), inMemory.execute(b.Transactions...)
			if x.Mark != y.Mark {
				t.Fatalf("seed %d, batch %d: %+v on disk, %+v in memory", seed, i, x.Mark, y.Mark)
			}
			compareOutcomes(t, x.Outcomes, y.Outcomes)
			inMemory.commit(Newest)
			switch random.IntN(4) {
			case 0:
				onDisk.commit(Newest)
			case 1:
				onDisk.commit(Newest)
				closed(t, disk)
				disk = onBadger(t, dir)
				onDisk = opened(t, disk, steps{})
			}
		}
		onDisk.commit(Newest)
		var all [2]string
		for i, r := range []*runner{onDisk, inMemory} {
			if _, err := r.Scan(Newest, nil, nil, func(key, value []byte) bool {
				all[i] += fmt.Sprintf("%q=%q ", key, value)
				return true
			}); err != nil {
				t.Fatal(err)
			}
		}
		if all[0] != all[1] || all[0] == "" {
			t.Errorf("seed %d: on disk %s, in memory %s", seed, all[0], all[1])
		}
		closed(t, disk)
	}
}

// Values that a database could take for no value at all, in its log, its table and its files.
func TestEmptyValueIsValueOnBadger(t *testing.T) {
	dir := t.TempDir()
	for round := range 3 {
		b := onBadger(t, dir)
		app := new(scripted)
		r := opened(t, b, app)
		if round == 0 {
			r.execute(sent("a", 1, app.puts("empty", "")), sent("b", 2, app.puts("", "of the empty key")))
			r.commit(1)
		}
		if v, e, none := r.value(Newest, "empty"), r.value(Newest, ""), r.value(Newest, "absent"); v != "" || e != "of the empty key" || none != "(none)" {
			t.Errorf("round %d: %q, %q, %q", round, v, e, none)
		}
		closed(t, b)
	}
}

// A kill at any instant leaves the last commit. The folder is copied while the database is open: what a process that is
// killed leaves behind.
//
// case C14. Red if the mark is not in the batch's own transaction.
func TestKilledBetweenExecuteAndCommit(t *testing.T) {
	dir, app := t.TempDir(), new(scripted)
	b := onBadger(t, dir)
	defer closed(t, b)
	r := opened(t, b, app)
	first, second := sent("a", 1, app.puts("k", "1")), sent("b", 2, app.puts("k", "2"))
	r.execute(first)
	r.commit(1)
	want := r.execute(second, first)

	left := onBadger(t, copied(t, dir))
	defer closed(t, left)
	again := opened(t, left, app)

	if again.Applied().Seq != 1 || again.value(Newest, "k") != "1" {
		t.Fatalf("applied %d, k is %q", again.Applied().Seq, again.value(Newest, "k"))
	}
	got := again.execute(second, first)
	if got.Mark != want.Mark || got.Outcomes[1].Status != Duplicate || got.Outcomes[1].Seq != 1 {
		t.Errorf("executed again: %+v, first %+v", got, want)
	}
}

// A process that is killed while Badger makes a file leaves one without any size, at which Badger refuses to open. Nothing
// was ever in it, and what was committed is there.
//
// case F14. Red if such a file is left where it is.
func TestKilledWhileAFileIsMade(t *testing.T) {
	for _, name := range []string{"00002.mem", "99999.mem", "000002.vlog", "999999.vlog"} {
		dir, app := t.TempDir(), new(scripted)
		b := onBadger(t, dir)
		r := opened(t, b, app)
		r.execute(sent("a", 1, app.puts("k", "v")))
		r.commit(1)
		left := copied(t, dir)
		closed(t, b)
		if err := os.WriteFile(filepath.Join(left, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}

		b = onBadger(t, left)

		if again := opened(t, b, app); again.Applied().Seq != 1 || again.value(Newest, "k") != "v" {
			t.Errorf("%s: applied %d, k is %q", name, again.Applied().Seq, again.value(Newest, "k"))
		}
		closed(t, b)
	}
}

func copied(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	for _, f := range files(t, dir, "") {
		if filepath.Base(f) == "LOCK" {
			continue
		}
		content, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, filepath.Base(f)), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

func files(t *testing.T, dir, suffix string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, suffix) {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// flip flips one bit where needle stands in the file.
func flip(t *testing.T, file, needle string) {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	i := bytes.Index(content, []byte(needle))
	if i < 0 {
		t.Fatalf("%q is not in %s", needle, filepath.Base(file))
	}
	content[i] ^= 1
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

// case F6: a flipped bit in a table file is refused on open, by the file's name.
// Red if an error does not name the file.
func TestFlippedBitInTableIsRefused(t *testing.T) {
	dir, app := t.TempDir(), new(scripted)
	b := onBadger(t, dir)
	r := opened(t, b, app)
	r.execute(sent("a", 1, app.puts("k", "a needle to find")))
	r.commit(1)
	closed(t, b)
	tables := files(t, dir, ".sst")
	if len(tables) != 1 {
		t.Fatalf("%d tables", len(tables))
	}

	flip(t, tables[0], "a needle to find")
	_, err := OpenBadger(dir, nil)

	if err == nil || !strings.Contains(err.Error(), filepath.Base(tables[0])) {
		t.Errorf("got %v", err)
	}
}

// case F6: Badger cuts its own log at a flipped bit and says nothing. What is left is an earlier state, whole, and its
// mark says so: the replica executes the rest again.
func TestFlippedBitInDatabaseLogLeavesEarlierState(t *testing.T) {
	dir, app := t.TempDir(), new(scripted)
	b := onBadger(t, dir)
	defer closed(t, b)
	r := opened(t, b, app)
	for i := 1; i <= 10; i++ {
		r.execute(sent(fmt.Sprint(i), uint64(i), app.puts("k", fmt.Sprintf("value number %d", i))))
		r.commit(uint64(i))
	}
	damaged := copied(t, dir)
	logs := files(t, damaged, ".mem")

	flip(t, logs[0], "value number 6")
	left := onBadger(t, damaged)
	defer closed(t, left)
	again := opened(t, left, app)

	if again.Applied().Seq != 5 || again.value(Newest, "k") != "value number 5" {
		t.Errorf("applied %d, k is %q", again.Applied().Seq, again.value(Newest, "k"))
	}
}

// A log that is cut and has others after it leaves a hole, which the versions show.
func TestHoleInCommitsIsRefused(t *testing.T) {
	for _, lost := range []struct {
		what string
		keys []Write
	}{
		{"the first", []Write{{Key: versionKey(1), Delete: true}}},
		{"one in the middle", []Write{{Key: versionKey(2), Delete: true}}},
		{"the last", []Write{{Key: versionKey(3), Delete: true}}},
		{"the mark", []Write{{Key: markKey(), Delete: true}}},
		{"all but the mark", []Write{{Key: versionKey(1), Delete: true}, {Key: versionKey(2), Delete: true}, {Key: versionKey(3), Delete: true}}},
	} {
		b, app := NewMemory(), new(scripted)
		r := opened(t, b, app)
		for i := uint64(1); i <= 3; i++ {
			r.execute()
			r.commit(i)
		}
		if _, err := Open(b.Clone(), app, DefaultLimits()); err != nil {
			t.Fatalf("without loss: %v", err)
		}

		if err := b.Commit(4, lost.keys); err != nil {
			t.Fatal(err)
		}

		if _, err := Open(b, app, DefaultLimits()); !errors.Is(err, ErrHole) {
			t.Errorf("%s lost: %v", lost.what, err)
		}
	}
}

// case F18: a state written by another program is left alone.
func TestUnknownFormatIsRefused(t *testing.T) {
	b := NewMemory()
	mark := encodeMark(Mark{Seq: 1})
	mark[0] = format + 1
	if err := b.Commit(1, []Write{{Key: markKey(), Value: mark}}); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(b, steps{}, DefaultLimits()); err == nil || !strings.Contains(err.Error(), "format 2") {
		t.Errorf("got %v", err)
	}
}

// case F9: no commit begins on a full disk, where Badger would die of a signal.
func TestFullDiskIsRefusedBeforeTheCommit(t *testing.T) {
	b, app := onBadger(t, t.TempDir()), new(scripted)
	defer closed(t, b)
	r := opened(t, b, app)
	r.execute(sent("a", 1, app.puts("k", "v")))

	b.free = func(string) (uint64, error) { return minFreeBytes - 1, nil }
	err := r.Commit(1)

	if !errors.Is(err, ErrDiskFull) {
		t.Errorf("got %v", err)
	}
}

// case F20: one process per folder.
func TestSecondOpenIsRefused(t *testing.T) {
	dir := t.TempDir()
	b := onBadger(t, dir)
	defer closed(t, b)
	if second, err := OpenBadger(dir, nil); err == nil {
		closed(t, second)
		t.Error("it was opened twice")
	}
}

// The largest batches that the limits allow, in both directions, fit into one commit; otherwise a batch that all have
// agreed on would stop all. Red if Limits.Check counts less than Badger does.
func TestLargestBatchFitsOneCommit(t *testing.T) {
	l := DefaultLimits()
	for _, c := range []struct {
		what        string
		keys, value int // per transaction
	}{
		{"as many small writes as fit", l.WriteSetBytes / (WriteCost + 4) / l.Transactions, 0},
		{"as many writes as one may make", l.TransactionKeys, 0},
		{"large values", 1, l.TransactionBytes - WriteCost - 4},
	} {
		t.Run(c.what, func(t *testing.T) {
			b, app := onBadger(t, t.TempDir()), new(scripted)
			defer closed(t, b)
			r := opened(t, b, app)
			var ts []Transaction
			for i := range l.Transactions {
				op := app.does(func(v View, _ Context) ([]byte, error) {
					for k := range c.keys {
						v.Set([]byte{byte(i >> 8), byte(i), byte(k >> 8), byte(k)}, make([]byte, c.value))
					}
					return nil, nil
				})
				ts = append(ts, Transaction{ID: numbered(uint64(i)), Sender: sender(i), Nonce: 1, Last: 9, Operation: op})
			}

			done := r.execute(ts...)

			if err := r.Commit(1); err != nil {
				t.Error(err)
			}
			spent := 0
			for _, o := range done.Outcomes {
				if o.Status == Applied {
					spent += c.keys * (WriteCost + 4 + c.value)
				}
			}
			if spent < l.WriteSetBytes*9/10 {
				t.Errorf("only %d bytes were written: little is shown", spent)
			}
		})
	}
}

// case K10: limits that no replica could live by are refused, whatever the numbers.
func TestImpossibleLimitsAreRefused(t *testing.T) {
	const huge = int(^uint(0) >> 1)
	for what, change := range map[string]func(*Limits){
		"no transactions":           func(l *Limits) { l.Transactions = 0 },
		"negative transactions":     func(l *Limits) { l.Transactions = -1 },
		"too many transactions":     func(l *Limits) { l.Transactions = 20_000 },
		"endless transactions":      func(l *Limits) { l.Transactions = huge },
		"no keys":                   func(l *Limits) { l.TransactionKeys = 0 },
		"no bytes":                  func(l *Limits) { l.TransactionBytes = 0 },
		"endless bytes":             func(l *Limits) { l.TransactionBytes = huge; l.WriteSetBytes = huge },
		"a batch below one of them": func(l *Limits) { l.WriteSetBytes = l.TransactionBytes - 1 },
		"a batch beyond a commit":   func(l *Limits) { l.WriteSetBytes = 5 << 20 },
		"an endless batch":          func(l *Limits) { l.WriteSetBytes = huge },
		"no window":                 func(l *Limits) { l.NonceWindow = 0 },
		"a window beyond the slots": func(l *Limits) { l.NonceWindow = MaxNonceWindow + 1 },
		"no last":                   func(l *Limits) { l.LastAhead = 0 },
	} {
		const bytes, entries = 32<<20*15/100 - 1, 32<<20*15/100/96 - 1 // Badger's
		for _, b := range []Bounds{{Bytes: bytes, Entries: entries}, {Bytes: bytes, Entries: 10 * entries}, {Bytes: 10 * bytes, Entries: entries}} {
			l := DefaultLimits()
			if err := l.Check(b); err != nil {
				t.Fatalf("the defaults: %v", err)
			}
			change(&l)
			if err := l.Check(b); err == nil {
				t.Errorf("%s, %+v: %+v", what, b, l)
			}
		}
	}
}

// A run that one commit cannot hold is split between batches, and all of it is there.
func TestLongRunIsSplitBetweenBatches(t *testing.T) {
	b, app := onBadger(t, t.TempDir()), new(scripted)
	defer closed(t, b)
	r := opened(t, b, app)
	value := strings.Repeat("v", 60_000)
	const batches = 100 // 6 MB: more than Badger takes at once
	for i := 1; i <= batches; i++ {
		r.execute(sent(fmt.Sprint(i), uint64(i), app.puts(fmt.Sprintf("k%d", i), value)))
	}

	r.commit(batches)

	if got := len(r.readable); got != 3 { // 0, where it was split, the last
		t.Errorf("%d versions", got)
	}
	for i := 1; i <= batches; i++ {
		if r.value(Newest, fmt.Sprintf("k%d", i)) != value {
			t.Errorf("k%d is lost", i)
		}
	}
	if r.Committed() != r.Applied() {
		t.Error("something is not committed")
	}
}

// Old versions stop being readable, which is said of them, and not that there is no such key; their records go.
//
// case L6. Red if a read of a version that is gone is answered from what is left.
func TestHistoryIsBounded(t *testing.T) {
	b, app := NewMemory(), new(scripted)
	r := opened(t, b, app)
	for i := uint64(1); i <= 3*memoryHistory; i++ {
		r.execute(sent(fmt.Sprint(i), i, app.puts("k", fmt.Sprint(i))))
		r.commit(i)
	}
	const newest, oldest = 3 * memoryHistory, 2 * memoryHistory
	for range 2 {
		if got := r.value(oldest, "k"); got != fmt.Sprint(oldest) {
			t.Errorf("the oldest reads %s", got)
		}
		_, _, _, err := r.Get(oldest-1, []byte("k"))
		var u *Unreadable
		if !errors.As(err, &u) || *u != (Unreadable{At: oldest - 1, After: oldest}) {
			t.Errorf("before the oldest: %v", err)
		}
		if len(r.readable) != memoryHistory+1 || len(r.recorded) != memoryHistory+1 || len(b.versions) != memoryHistory+1 {
			t.Errorf("%d versions, %d records, %d trees", len(r.readable), len(r.recorded), len(b.versions))
		}
		r = opened(t, b, app)
	}
	if r.Applied().Seq != newest {
		t.Errorf("applied %d", r.Applied().Seq)
	}
}

// A clone goes its own way.
func TestCloneIsApart(t *testing.T) {
	b, app := NewMemory(), new(scripted)
	r := opened(t, b, app)
	r.execute(sent("a", 1, app.puts("k", "both")))
	r.commit(1)
	c := opened(t, b.Clone(), app)

	r.execute(sent("b", 2, app.puts("k", "one")))
	r.commit(2)
	c.execute(sent("b", 2, app.puts("k", "other")))
	c.commit(2)

	if r.value(Newest, "k") != "one" || c.value(Newest, "k") != "other" || c.value(1, "k") != "both" {
		t.Error("they share what they should not")
	}
}

// case F6: whatever bit of a table has flipped, opening refuses it, and of the manifest, answers; an error says what to do.
// Badger panics at some of them. Red if OpenBadger lets a panic through, or does not read the tables whole.
func TestNoFlippedBitPanicsOpening(t *testing.T) {
	dir := t.TempDir()
	b, err := OpenBadger(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	for seq := range uint64(200) { // a table of several blocks: of the first and last one Badger says an error by itself
		if err := b.Commit(seq+1, []Write{{Key: fmt.Appendf(nil, "key %d", seq), Value: bytes.Repeat([]byte{byte(seq)}, 100)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(files(t, dir, ".sst"), filepath.Join(dir, "MANIFEST")) {
		whole, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		const flips = 40
		refused := 0
		for i := range flips {
			damaged := copied(t, dir)
			bad := append([]byte(nil), whole...)
			bad[i*(len(bad)-1)/(flips-1)] ^= 1 << (i % 8)
			if err := os.WriteFile(filepath.Join(damaged, filepath.Base(name)), bad, 0o600); err != nil {
				t.Fatal(err)
			}
			b, err := OpenBadger(damaged, nil)
			if err != nil {
				refused++
				if !strings.Contains(err.Error(), "rebuilt from the log") {
					t.Errorf("%s, byte %d: the error does not say what to do: %v", filepath.Base(name), i, err)
				}
				continue
			}
			if err := b.Close(); err != nil {
				t.Logf("%s: close: %v", filepath.Base(name), err)
			}
		}
		if table := filepath.Ext(name) == ".sst"; table && refused < flips || refused < flips/2 {
			t.Errorf("%s: %d of %d flips were refused", filepath.Base(name), refused, flips)
		}
	}
}
