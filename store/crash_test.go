package store

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
)

// lose is a power cut that takes all that it can.
func lose(n int) int { return min(1, n-1) }

// put overwrites a part of a file, durably.
func put(t testing.TB, m *Memory, path string, b []byte, off int64) {
	t.Helper()
	f, err := m.Open(path)
	must(t, err)
	_, err = f.WriteAt(b, off)
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())
}

// sameRecords fails unless seen are exactly the wanted records, in order.
func sameRecords(t *testing.T, seen []entry, want ...Record) {
	t.Helper()
	if len(seen) != len(want) {
		t.Fatalf("%d records, want %d", len(seen), len(want))
	}
	for i := range want {
		if !equal(seen[i].rec, want[i]) {
			t.Fatalf("record %d is not the one that was appended", i)
		}
	}
}

// goesOn fails unless the log takes one more record, and keeps that and all that it showed through a power cut.
func goesOn(t *testing.T, m *Memory, l *Log, seen []entry) {
	t.Helper()
	more := rec(77, 40)
	add(t, l, false, more)
	must(t, l.Sync())
	m.Crash(lose)
	_, recovery, after := collect(t, m, "log")
	var want []Record
	for _, e := range seen {
		want = append(want, e.rec)
	}
	sameRecords(t, after, append(want, more)...)
	if recovery.TornBytes != 0 {
		t.Fatalf("a tail that was cut is back: %+v", recovery)
	}
}

// case F5. Breaks when: a check of head, table, record or mark is left out; the cut is not zeroed before the log goes on; a good
// second copy is not used, or used though a record that is Once is not there.
func TestATailTornAtAnyByteIsCut(t *testing.T) {
	for name, group := range map[string][]Record{
		"one sector":                     {rec(2, 60)},
		"three records":                  {rec(2, 500), rec(3, 0), rec(4, 700)},
		"a record that is Once, and two": {once(2, 700), rec(3, 0), rec(4, 500)},
		"records that are Once alone":    {once(2, 20), once(3, 600)},
	} {
		t.Run(name, func(t *testing.T) {
			// Given a log whose last group was not synced.
			m := created(t)
			l := opened(t, m, "log")
			kept := rec(1, 100)
			add(t, l, false, kept)
			must(t, l.Sync())
			from := l.end
			add(t, l, false, group...)
			path := segmentPath("log", 1)
			whole := m.Bytes(path)[from:l.end]
			used := len(whole)
			for whole[used-1] == 0 {
				used--
			}
			m.Kill()
			v, err := volumeOf(group)
			must(t, err)
			facts := int(copySize(v.body))

			// When all of it but n bytes at its end, or at its beginning, got lost.
			for n := range used + 1 {
				for _, tail := range []bool{true, false} {
					torn := slices.Clone(whole)
					if tail {
						clear(torn[used-n:])
					} else {
						clear(torn[:n])
					}
					world := m.Clone()
					put(t, world, path, torn, from)

					// Then it is cut, unless a copy and all that is Once are there, and the log goes on in its place.
					l, recovery, seen := collect(t, world, "log")
					same := func(from, to int) bool { return slices.Equal(torn[from:to], whole[from:to]) }
					first, second := same(0, facts), same(len(whole)-facts, len(whole))
					bulk := v.bulk == 0
					if !bulk {
						bulk = slices.Equal(unframe(slices.Clone(torn[facts+1:len(whole)-facts]), 1), unframe(slices.Clone(whole[facts+1:len(whole)-facts]), 1))
					}
					if bulk && (first || second) {
						sameRecords(t, seen, append([]Record{birth, kept}, group...)...)
						if mended := len(recovery.Mended); recovery.TornBytes != 0 || (mended == 0) != (first && second) {
							t.Fatalf("%d bytes gone: %+v", n, recovery)
						}
					} else {
						sameRecords(t, seen, birth, kept)
						if wrote := n < used; (recovery.TornBytes > 0) != wrote || (recovery.TornAt != "") != wrote {
							t.Fatalf("%d bytes gone: %+v", n, recovery)
						}
					}
					if n%4 == 0 {
						goesOn(t, world, l, seen)
					}
				}
			}
		})
	}
}

// case F12. Breaks when: a bad group with valid ones behind it is taken for damage though none of them was ever synced; the cut leaves
// later groups to come back to life; Sync does not sync.
func TestAnyCombinationOfUnsyncedSectorsSurvivingIsATornTail(t *testing.T) {
	// Given one group that was synced, and two, of five sectors in all, that were not.
	m := created(t)
	l := opened(t, m, "log")
	records := []Record{birth, rec(1, 300), once(2, 300), rec(3, 100)}
	for i, r := range records[1:] {
		add(t, l, i == 2, r)
		if i == 0 {
			must(t, l.Sync())
		}
	}

	// When power fails, in every way that a sector can be: kept, lost, or torn in one of two places in one of two ways.
	outcomes := [6]int{}
	worlds := 0
	everyChoice(func(choose func(int) int) {
		worlds++
		world := m.Clone()
		world.Crash(func(n int) int {
			if n == sector-1 {
				return []int{60, 400}[choose(2)]
			}
			return choose(n)
		})

		// Then a prefix of what was appended is there, and at least what was synced.
		l, _, seen := collect(t, world, "log")
		if len(seen) < 2 {
			t.Fatalf("%d records: what was synced is gone", len(seen))
		}
		sameRecords(t, seen, records[:len(seen)]...)
		outcomes[len(seen)]++
		if worlds%64 == 0 {
			goesOn(t, world, l, seen)
		}
	})
	if worlds != 6*6*6*6*6 || outcomes[2] == 0 || outcomes[3] == 0 || outcomes[4] == 0 {
		t.Fatalf("not tested: %d worlds, %v", worlds, outcomes)
	}
}

// everyChoice calls run with every sequence of answers that a choose can give.
func everyChoice(run func(choose func(n int) int)) {
	type choice struct{ made, of int }
	var path []choice
	for {
		at := 0
		run(func(n int) int {
			if at == len(path) {
				path = append(path, choice{0, n})
			}
			at++
			return path[at-1].made
		})
		for len(path) > 0 && path[len(path)-1].made == path[len(path)-1].of-1 {
			path = path[:len(path)-1]
		}
		if len(path) == 0 {
			return
		}
		path[len(path)-1].made++
	}
}

// A process that was killed before its sync leaves groups that the next one reads from memory, and acts on.
// Breaks when: Open does not sync.
func TestWhatOpenShowedSurvivesAPowerCut(t *testing.T) {
	m := created(t)
	l := opened(t, m, "log")
	add(t, l, false, rec(1, 100))
	m.Kill()
	_, _, seen := collect(t, m, "log")
	sameRecords(t, seen, birth, rec(1, 100))
	m.Crash(lose)
	_, _, seen = collect(t, m, "log")
	sameRecords(t, seen, birth, rec(1, 100))
}

// A client chooses what is in a payload, and could write there what looks like a later group.
// Breaks when: a payload may begin a sector.
func TestNoPayloadPassesForAGroupBehindATornOne(t *testing.T) {
	m := created(t)
	l := opened(t, m, "log")
	// Given a payload full of heads that claim that everything was synced, at whatever distance from the group's beginning.
	forged := groupHead{version: formatNow, segment: 1, number: 9, synced: 9, identity: l.identity}
	one := make([]byte, groupHeadSize)
	for shift := range 4 {
		world := m.Clone()
		l := opened(t, world, "log")
		from := l.end
		payload := make([]byte, shift*128)
		for len(payload) < 2500 {
			forged.sector = uint32((from + int64(len(payload)) + sector) / sector)
			forged.encode(one)
			payload = append(payload, one...)
		}
		add(t, l, false, Record{Once: true, Payload: payload})
		// When both heads of the group are lost, as its sync never came.
		world.Kill()
		put(t, world, segmentPath("log", 1), make([]byte, 100), from)
		put(t, world, segmentPath("log", 1), make([]byte, 100), l.end-copySize(entrySize))
		// Then it is a torn tail like any other.
		_, recovery, seen := collect(t, world, "log")
		sameRecords(t, seen, birth)
		if recovery.TornBytes == 0 {
			t.Fatal("not tested: nothing was torn")
		}
	}
}

// stopping is a process that ends after so many operations on its file system.
type stopping struct {
	FS
	left *int
}

var errStopped = errors.New("the process has ended")

func (s stopping) step() error {
	if *s.left == 0 {
		return errStopped
	}
	*s.left--
	return nil
}

func (s stopping) MakeDir(path string) error { return errors.Join(s.step(), s.FS.MakeDir(path)) }

func (s stopping) Create(path string) (File, error) {
	if err := s.step(); err != nil {
		return nil, err
	}
	f, err := s.FS.Create(path)
	return stoppingFile{f, s}, err
}

func (s stopping) Open(path string) (File, error) {
	if err := s.step(); err != nil {
		return nil, err
	}
	f, err := s.FS.Open(path)
	return stoppingFile{f, s}, err
}

func (s stopping) Rename(from, to string) error {
	if err := s.step(); err != nil {
		return err
	}
	return s.FS.Rename(from, to)
}

func (s stopping) Remove(path string) error {
	if err := s.step(); err != nil {
		return err
	}
	return s.FS.Remove(path)
}

func (s stopping) SyncDir(dir string) error {
	if err := s.step(); err != nil {
		return err
	}
	return s.FS.SyncDir(dir)
}

func (s stopping) Lock(path string) (io.Closer, error) {
	if err := s.step(); err != nil {
		return nil, err
	}
	return s.FS.Lock(path)
}

type stoppingFile struct {
	File
	s stopping
}

func (f stoppingFile) WriteAt(b []byte, off int64) (int, error) {
	if err := f.s.step(); err != nil {
		return 0, err
	}
	return f.File.WriteAt(b, off)
}

func (f stoppingFile) Preallocate(size int64) error {
	if err := f.s.step(); err != nil {
		return err
	}
	return f.File.Preallocate(size)
}

func (f stoppingFile) Sync() error {
	if err := f.s.step(); err != nil {
		return err
	}
	return f.File.Sync()
}

// endings are ways in which a process ends.
func endings() map[string]func(*Memory) {
	ways := map[string]func(*Memory){
		"killed":           (*Memory).Kill,
		"all that is lost": func(m *Memory) { m.Crash(lose) },
	}
	for seed := range uint64(6) {
		ways[fmt.Sprintf("seed %d", seed)] = func(m *Memory) { m.Crash(rand.New(rand.NewPCG(seed, 1)).IntN) }
	}
	return ways
}

// case F14; case F19. Breaks when: a segment gets its name before it is durable, or is used before the name is; what Create left half
// made stops the next Create; a sync or directory sync is left out anywhere.
func TestAPowerCutAtAnyOperationLosesNothingThatWasSynced(t *testing.T) {
	reached := 0
	for operations := 0; ; operations++ {
		finished := false
		for name, end := range endings() {
			// Given a process that makes a log and fills a few segments, and ends after some operation.
			m := NewMemory()
			left := operations
			fs := stopping{m, &left}
			var appended []Record
			made, synced := false, 0
			run := func() error {
				if err := Create(fs, "log", birth, small); err != nil {
					return err
				}
				made, synced, appended = true, 1, []Record{birth}
				for round := range 2 {
					l, _, err := Open(fs, "log", small, func(Position, Record, bool) error { return nil })
					if err != nil {
						return err
					}
					for i := range 6 {
						r := rec(round*10+i, 1100)
						appended = append(appended, r)
						if _, err := l.Append([]Record{r}, false); err != nil {
							return err
						}
						if i%2 == 1 {
							if err := l.Sync(); err != nil {
								return err
							}
							synced = len(appended)
						}
					}
					if err := l.Close(); err != nil {
						return err
					}
				}
				return nil
			}
			finished = run() == nil

			// When power fails there, or the process is killed there and power fails after the next has gone on.
			end(m)

			// Then there is no log, and one can be made; or a log with all that was synced, and nothing that was not appended.
			var seen []entry
			l, _, err := Open(m, "log", small, gather(&seen))
			if !made {
				if errors.Is(err, ErrNoLog) {
					must(t, Create(m, "log", birth, small))
					_, _, seen = collect(t, m, "log")
				} else {
					must(t, err)
				}
				sameRecords(t, seen, birth)
				continue
			}
			if err != nil {
				t.Fatalf("%d operations, %s: %v", operations, name, err)
			}
			if len(seen) < synced {
				t.Fatalf("%d operations, %s: %d records of %d that were synced", operations, name, len(seen), synced)
			}
			sameRecords(t, seen, appended[:len(seen)]...)
			goesOn(t, m, l, seen)
			reached = max(reached, len(m.Files()))
		}
		if finished {
			if operations < 50 || reached < 4 {
				t.Fatalf("not tested: %d operations, %d files", operations, reached)
			}
			return
		}
	}
}

// Many worlds of random appends, syncs, restarts of replay, kills, power cuts and closings.
// Breaks when: anything that was synced is lost, anything is invented, or anything comes twice or out of order.
func TestWhateverHappensSyncedRecordsStay(t *testing.T) {
	var losses Loss
	opens, tails := 0, 0
	for seed := range uint64(250) {
		rng := rand.New(rand.NewPCG(seed, 2))
		m := created(t)
		type appended struct {
			rec   Record
			group int
		}
		written := []appended{{birth, 1}}
		synced, groups, next := 1, 1, 0
		restarts := []int{0} // groups from which replay started, as appended
		l := opened(t, m, "log")
		for range 60 {
			switch op := rng.IntN(20); {
			case op < 11:
				groups++
				var batch []Record
				for range 1 + rng.IntN(3) {
					next++
					batch = append(batch, rec(next, rng.IntN(900)))
				}
				restart := rng.IntN(6) == 0
				if restart {
					restarts = append(restarts, groups)
				}
				add(t, l, restart, batch...)
				for _, r := range batch {
					written = append(written, appended{r, groups})
				}
				continue
			case op < 16:
				must(t, l.Sync())
				synced = len(written)
				continue
			case op == 16:
				must(t, l.Close())
				synced = len(written)
			case op == 17:
				m.Kill()
			default:
				loss := m.Crash(rng.IntN)
				losses.Lost += loss.Lost
				losses.Torn += loss.Torn
			}
			var recovery Recovery
			var seen []entry
			l, recovery, seen = collect(t, m, "log")
			opens++
			if recovery.TornBytes > 0 {
				tails++
			}
			if len(seen) < synced || len(seen) > len(written) {
				t.Fatalf("seed %d: %d records, %d appended, %d synced", seed, len(seen), len(written), synced)
			}
			if len(seen) < len(written) && written[len(seen)].group == written[len(seen)-1].group {
				t.Fatalf("seed %d: a part of a group", seed)
			}
			written = written[:len(seen)]
			synced = len(written)
			last := written[len(written)-1].group
			for restarts[len(restarts)-1] > last {
				restarts = restarts[:len(restarts)-1]
			}
			groups = last
			for i, e := range seen {
				if !equal(e.rec, written[i].rec) || e.live != (written[i].group >= restarts[len(restarts)-1]) {
					t.Fatalf("seed %d: record %d of %d is wrong, live %v", seed, i, len(seen), e.live)
				}
				if r, err := l.Read(e.pos); err != nil || !equal(r, e.rec) {
					t.Fatalf("seed %d: %v", seed, err)
				}
			}
		}
	}
	if opens < 1000 || tails < 50 || losses.Lost < 100 || losses.Torn < 100 {
		t.Fatalf("not tested: %d opens, %d torn tails, %+v", opens, tails, losses)
	}
}

// Breaks when: the end of a segment is not the end of what is read.
func TestASegmentMayBeFullToTheLastSector(t *testing.T) {
	m := created(t)
	l := opened(t, m, "log")
	want := []Record{birth, once(1, 10)} // three sectors; the others take two
	add(t, l, false, want[1])
	for l.end < l.current.size {
		want = append(want, rec(len(want), 10))
		add(t, l, false, want[len(want)-1])
	}
	must(t, l.Sync())
	if l.current.number != 1 || len(want) != 7 {
		t.Fatal("not tested", l.current.number, len(want))
	}
	m.Kill()
	l, _, seen := collect(t, m, "log")
	sameRecords(t, seen, want...)
	goesOn(t, m, l, seen)
}
