package store

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// small makes segments that a handful of groups fills.
var small = Options{SegmentBytes: smallBytes}

const smallBytes = 8 << 10

var birth = Record{Kind: 1, Payload: []byte("born here")}

// entry is what a test remembers of a record.
type entry struct {
	pos  Position
	rec  Record
	live bool
}

// collect opens the log in dir and returns all that it shows.
func collect(t *testing.T, fs FS, dir string) (*Log, Recovery, []entry) {
	t.Helper()
	var seen []entry
	l, recovery, err := Open(fs, dir, small, gather(&seen))
	if err != nil {
		t.Fatal(err)
	}
	return l, recovery, seen
}

func gather(seen *[]entry) func(Position, Record, bool) error {
	return func(p Position, r Record, live bool) error {
		*seen = append(*seen, entry{p, r, live})
		return nil
	}
}

// created is a file system with a log in "log" that holds a birth record alone.
func created(t testing.TB) *Memory {
	t.Helper()
	m := NewMemory()
	if err := Create(m, "log", birth, small); err != nil {
		t.Fatal(err)
	}
	return m
}

func opened(t testing.TB, fs FS, dir string) *Log {
	t.Helper()
	l, _, err := Open(fs, dir, small, func(Position, Record, bool) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// rec is a record of n bytes that tells it from all with another i.
func rec(i, n int) Record {
	payload := make([]byte, n)
	for j := range payload {
		payload[j] = byte(i*31 + j*7 + j/256)
	}
	return Record{Kind: uint8(i), Payload: payload}
}

// once is a record like rec's that is written once.
func once(i, n int) Record {
	r := rec(i, n)
	r.Once = true
	return r
}

func add(t testing.TB, l *Log, restart bool, records ...Record) []Position {
	t.Helper()
	p, err := l.Append(records, restart)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func equal(a, b Record) bool { return a.Kind == b.Kind && bytes.Equal(a.Payload, b.Payload) }

// both runs a test on the memory and on the disk.
func both(t *testing.T, test func(t *testing.T, fs FS, dir string)) {
	t.Run("memory", func(t *testing.T) { test(t, NewMemory(), "a/b/log") })
	t.Run("system", func(t *testing.T) { test(t, System(), filepath.Join(t.TempDir(), "a", "b", "log")) })
}

// Sizes around every boundary of the framing; one group that fills many segments' worth. Breaks when: frame and framedLen disagree.
func TestWhatWasAppendedIsReadAgain(t *testing.T) {
	both(t, func(t *testing.T, fs FS, dir string) {
		// Given a log with records of many sizes in groups of many sizes.
		must(t, Create(fs, dir, birth, small))
		l := opened(t, fs, dir)
		want := []entry{{rec: birth}}
		for i := range 60 {
			var group []Record
			for j := range i%4 + 1 {
				group = append(group, Record{})
				group[j] = rec(i*4+j, []int{0, 1, 390, 391, 392, 510, 511, 512, 1021, 1022, 1023, 3000, 9000}[(i+j*5)%13])
				group[j].Once = (i+j)%3 == 0
			}
			for j, p := range add(t, l, false, group...) {
				want = append(want, entry{pos: p, rec: group[j]})
			}
			if i%3 == 0 {
				must(t, l.Sync())
			}
		}
		must(t, l.Close())

		// When it is opened again, and again.
		var used int64
		for range 3 {
			again, recovery, seen := collect(t, fs, dir)

			// Then every record is there, in order, where Append said, and each can be read by itself.
			if len(seen) != len(want) || recovery.Records != len(want) || recovery.Groups != 61 || recovery.TornBytes != 0 {
				t.Fatalf("saw %d records of %d, %+v", len(seen), len(want), recovery)
			}
			for i, w := range want {
				if !equal(seen[i].rec, w.rec) || i > 0 && seen[i].pos != w.pos || !seen[i].live {
					t.Fatalf("record %d at %+v, want %+v", i, seen[i].pos, w.pos)
				}
				if r, err := again.Read(seen[i].pos); err != nil || !equal(r, w.rec) {
					t.Fatalf("read %+v: %v", seen[i].pos, err)
				}
			}
			if got := again.Bytes(); used != 0 && got != used {
				t.Fatalf("%d bytes used, and %d after doing nothing", used, got)
			}
			used = again.Bytes()
			must(t, again.Close())
		}
	})
}

// Breaks when: the restart of a segment's head is not carried on, or liveness is judged by the first restart.
func TestOnlyWhatFollowsTheNewestRestartIsLive(t *testing.T) {
	for _, after := range []int{0, 1, 40} { // groups behind the newest restart: none, in its segment, over several segments
		t.Run(fmt.Sprint(after), func(t *testing.T) {
			m := created(t)
			l := opened(t, m, "log")
			for i := range 10 {
				add(t, l, i == 3, rec(i, 700))
			}
			add(t, l, true, rec(100, 700), rec(101, 5))
			for i := range after {
				add(t, l, false, rec(200+i, 700))
			}
			must(t, l.Close())

			_, _, seen := collect(t, m, "log")
			for i, e := range seen {
				if want := i >= 11; e.live != want {
					t.Fatalf("record %d: live %v, want %v", i, e.live, want)
				}
			}
			if len(seen) != 1+10+2+after {
				t.Fatalf("%d records", len(seen))
			}
		})
	}
}

func TestCreateRefusesWhereALogIs(t *testing.T) {
	both(t, func(t *testing.T, fs FS, dir string) {
		must(t, Create(fs, dir, birth, small))
		if err := Create(fs, dir, Record{Kind: 9}, small); !errors.Is(err, ErrLogExists) {
			t.Fatal(err)
		}
		l, _, seen := collect(t, fs, dir)
		if len(seen) != 1 || !equal(seen[0].rec, birth) {
			t.Fatalf("the log that was there now holds %v", seen)
		}
		must(t, l.Close())
	})
}

func TestOpenSaysWhereThereIsNoLog(t *testing.T) {
	both(t, func(t *testing.T, fs FS, dir string) {
		for _, made := range []bool{false, true} {
			if made {
				must(t, fs.MakeDir(dir))
			}
			if _, _, err := Open(fs, dir, small, nil); !errors.Is(err, ErrNoLog) {
				t.Fatalf("folder there %v: %v", made, err)
			}
			if names, err := fs.List(dir); made && (err != nil || len(names) != 0) {
				t.Fatalf("open left %v behind", names)
			}
		}
	})
}

// case F20; case D17. Breaks when: Open or Create does not take the lock, or Close does not give it back.
func TestASecondProcessIsRefused(t *testing.T) {
	both(t, func(t *testing.T, fs FS, dir string) {
		must(t, Create(fs, dir, birth, small))
		l := opened(t, fs, dir)
		if _, _, err := Open(fs, dir, small, nil); !errors.Is(err, ErrLocked) {
			t.Fatalf("second open: %v", err)
		}
		if err := Create(fs, dir, birth, small); !errors.Is(err, ErrLocked) {
			t.Fatalf("create beside an open log: %v", err)
		}
		must(t, l.Close())
		must(t, opened(t, fs, dir).Close())
	})
}

func TestOptionsOutOfBoundsAreRefused(t *testing.T) {
	for _, n := range []int64{-512, 1, 512, minSegmentBytes - sector, minSegmentBytes + 1, maxSegmentBytes + sector} {
		if err := Create(NewMemory(), "log", birth, Options{SegmentBytes: n}); err == nil {
			t.Fatalf("segments of %d bytes were made", n)
		}
	}
	if n, err := (Options{}).segmentBytes(); n != 64<<20 || err != nil {
		t.Fatal(n, err)
	}
}

// Breaks when: Append returns positions of its own for nothing, or writes an empty group.
func TestAppendingNothingWritesNothing(t *testing.T) {
	m := created(t)
	l := opened(t, m, "log")
	before := l.Bytes()
	if p := add(t, l, false); p != nil || l.Bytes() != before {
		t.Fatal(p, l.Bytes(), before)
	}
}

func TestAClosedLogRefusesEverything(t *testing.T) {
	m := created(t)
	l := opened(t, m, "log")
	p := add(t, l, false, rec(1, 10))
	must(t, l.Close())
	_, appendErr := l.Append([]Record{rec(1, 1)}, false)
	_, readErr := l.Read(p[0])
	for _, err := range []error{appendErr, readErr, l.Sync(), l.Close()} {
		if !errors.Is(err, ErrClosed) {
			t.Fatal(err)
		}
	}
}

func TestAPositionThatHoldsNoRecordIsAnError(t *testing.T) {
	m := created(t)
	l := opened(t, m, "log")
	good := add(t, l, false, rec(1, 2000))[0]
	for _, change := range []func(*Position){
		func(p *Position) { *p = Position{} },
		func(p *Position) { p.Segment = 0 },
		func(p *Position) { p.Segment = 2 },
		func(p *Position) { p.Segment = 1 << 31 },
		func(p *Position) { p.Offset++ },
		func(p *Position) { p.Offset = 1024 },
		func(p *Position) { p.Offset = 1<<32 - 1 },
		func(p *Position) { p.Length-- },
		func(p *Position) { p.Length = 0 },
		func(p *Position) { p.Length = 1<<32 - 1 },
		func(p *Position) { p.Sum ^= 1 },
	} {
		p := good
		change(&p)
		if r, err := l.Read(p); err == nil {
			t.Fatalf("%+v reads as %v", p, r.Kind)
		}
	}
	if r, err := l.Read(good); err != nil || !equal(r, rec(1, 2000)) {
		t.Fatal(err)
	}
}

// case F8. Breaks when: Sync tries again after an error, or Append goes on.
func TestAnErrorOfTheDiskIsFinal(t *testing.T) {
	broken := errors.New("input/output error")
	for name, c := range map[string]struct {
		arm func(*Memory)
		do  func(*Log) error
	}{
		"sync":                   {func(m *Memory) { m.FailSync(broken) }, (*Log).Sync},
		"write":                  {func(m *Memory) { m.FailWrite(broken) }, func(l *Log) error { _, err := l.Append([]Record{rec(3, 600)}, false); return err }},
		"sync before a segment":  {func(m *Memory) { m.FailSync(broken) }, func(l *Log) error { _, err := l.Append([]Record{rec(3, 9000)}, false); return err }},
		"write of a new segment": {func(m *Memory) { m.FailWrite(broken) }, func(l *Log) error { _, err := l.Append([]Record{rec(3, 9000)}, false); return err }},
	} {
		t.Run(name, func(t *testing.T) {
			// Given a log with a synced group and one that is not.
			m := created(t)
			l := opened(t, m, "log")
			kept := add(t, l, false, rec(1, 600))[0]
			must(t, l.Sync())
			add(t, l, false, rec(2, 600))

			// When the disk fails once.
			c.arm(m)
			first := c.do(l)

			// Then the log stays failed, though the disk would do it now; and what is there can be read.
			if !errors.Is(first, broken) {
				t.Fatal(first)
			}
			if err := l.Sync(); !errors.Is(err, broken) {
				t.Fatalf("sync after the error: %v", err)
			}
			if _, err := l.Append([]Record{rec(4, 1)}, false); !errors.Is(err, broken) {
				t.Fatalf("append after the error: %v", err)
			}
			if r, err := l.Read(kept); err != nil || !equal(r, rec(1, 600)) {
				t.Fatalf("read after the error: %v", err)
			}
			must(t, l.Close())

			// And a restart finds the synced group, and of the other only what survives a power cut afterwards.
			_, _, seen := collect(t, m, "log")
			m.Crash(func(n int) int { return n - 1 })
			_, _, after := collect(t, m, "log")
			if len(seen) < 2 || !equal(seen[1].rec, rec(1, 600)) || len(after) != len(seen) {
				t.Fatalf("restart saw %d records, after a power cut %d", len(seen), len(after))
			}
		})
	}
}

// case F9. Breaks when: a full disk is reported as anything else, or the half-made segment stops the next start.
func TestAFullDiskIsFinalAndTheNextStartFindsAllThatWasSynced(t *testing.T) {
	m := created(t)
	l := opened(t, m, "log")
	m.Fill(100)
	synced := 0
	for i := 0; ; i++ {
		_, err := l.Append([]Record{rec(i, 800)}, false)
		if err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatal(err)
			}
			break
		}
		must(t, l.Sync())
		synced++
	}
	must(t, l.Close())
	if synced == 0 {
		t.Fatal("what was set aside is not used")
	}
	l, recovery, seen := collect(t, m, "log")
	if len(seen) != 1+synced || recovery.TornBytes != 0 {
		t.Fatalf("%d records of %d, %+v", len(seen), 1+synced, recovery)
	}
	if _, err := l.Append([]Record{rec(1, 5000)}, false); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	must(t, l.Close())
	m.Fill(-1)
	l = opened(t, m, "log")
	add(t, l, false, rec(1, 5000))
	must(t, l.Close())
}

func TestAGroupThatIsTooLargeIsRefused(t *testing.T) {
	group := make([]Record, 64)
	for i := range group {
		group[i] = Record{Kind: 1, Payload: birth.Payload}
	}
	if _, err := volumeOf(group); err != nil {
		t.Fatal(err)
	}
	large := make([]byte, maxGroupBytes/64)
	for i := range group {
		group[i].Payload = large
	}
	if _, err := volumeOf(group); !errors.Is(err, ErrTooLarge) {
		t.Fatal(err)
	}
}

// Breaks, under -race or by a wrong record, when: Read looks at what only the writer may.
func TestReadsGoOnBesideAppends(t *testing.T) {
	both(t, func(t *testing.T, fs FS, dir string) {
		must(t, Create(fs, dir, birth, small))
		l := opened(t, fs, dir)
		const groups, readers = 150, 3
		feeds := make([]chan entry, readers)
		var readings sync.WaitGroup
		for i := range feeds {
			feeds[i] = make(chan entry, groups)
			readings.Go(func() {
				for e := range feeds[i] {
					if r, err := l.Read(e.pos); err != nil || !equal(r, e.rec) {
						t.Errorf("read %+v: %v", e.pos, err)
					}
				}
			})
		}
		for i := range groups {
			r := rec(i, i*13%1500)
			p := add(t, l, false, r)
			for _, feed := range feeds {
				feed <- entry{pos: p[0], rec: r}
			}
			if i%16 == 0 {
				must(t, l.Sync())
			}
		}
		for _, feed := range feeds {
			close(feed)
		}
		readings.Wait()
		must(t, l.Close())
	})
}

// case F10. Breaks when: an error of the system is swallowed on the way.
func TestAFolderThatCannotBeMadeIsACleanError(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	if err := Create(System(), filepath.Join(file, "log"), birth, small); err == nil {
		t.Fatal("made a log below a file")
	}
	if _, _, err := Open(System(), filepath.Join(file, "log"), small, nil); err == nil || errors.Is(err, ErrNoLog) {
		t.Fatalf("below a file: %v", err)
	}
}

// Breaks when: a record costs an allocation of its own.
func TestAppendAllocatesPositionsOnly(t *testing.T) {
	m := NewMemory()
	must(t, Create(m, "log", birth, Options{SegmentBytes: 1 << 20}))
	l := opened(t, discard{m}, "log")
	group := make([]Record, 200)
	for i := range group {
		group[i] = rec(i, 20)
	}
	add(t, l, false, group...)
	if n := testing.AllocsPerRun(20, func() { add(t, l, false, group...) }); n > 2 {
		t.Fatalf("%v allocations for a group of %d records", n, len(group))
	}
}

// discard is a file system whose files forget what is written, so that its own allocations do not count.
type discard struct{ FS }

func (d discard) Open(path string) (File, error) {
	f, err := d.FS.Open(path)
	return discardFile{f}, err
}

type discardFile struct{ File }

func (discardFile) WriteAt(b []byte, _ int64) (int, error) { return len(b), nil }

// What a replica does all day: one group, one sync.
func BenchmarkAppendSync(b *testing.B) {
	for _, size := range []int{200, 4 << 10, 64 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dB", size), func(b *testing.B) {
			dir := filepath.Join(b.TempDir(), "log")
			must(b, Create(System(), dir, birth, Options{}))
			l, _, err := Open(System(), dir, Options{}, func(Position, Record, bool) error { return nil })
			must(b, err)
			group := []Record{rec(1, size)}
			b.SetBytes(int64(size))
			b.ResetTimer()
			for b.Loop() {
				add(b, l, false, group...)
				must(b, l.Sync())
			}
			b.StopTimer()
			must(b, l.Close())
		})
	}
}

// What a start costs beside the records: a look through what is set aside.
func BenchmarkOpenAlmostEmpty(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "log")
	must(b, Create(System(), dir, birth, Options{}))
	for b.Loop() {
		l, _, err := Open(System(), dir, Options{}, func(Position, Record, bool) error { return nil })
		must(b, err)
		must(b, l.release())
	}
}
