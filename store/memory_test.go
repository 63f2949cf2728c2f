package store

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// What the log relies on, on the disk and in memory alike.
func TestFileSystemsKeepTheContract(t *testing.T) {
	both(t, func(t *testing.T, fsys FS, dir string) {
		// Folders.
		if _, err := fsys.List(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("list of no folder: %v", err)
		}
		must(t, fsys.MakeDir(dir))
		must(t, fsys.MakeDir(dir))
		names, err := fsys.List(filepath.Dir(dir))
		if err != nil || !slices.Equal(names, []string{"log"}) {
			t.Fatal(names, err)
		}

		// Files.
		one := filepath.Join(dir, "one")
		if _, err := fsys.Open(one); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("open of no file: %v", err)
		}
		f, err := fsys.Create(one)
		must(t, err)
		if _, err := fsys.Create(one); !errors.Is(err, fs.ErrExist) {
			t.Fatalf("create of what is there: %v", err)
		}
		if err := fsys.MakeDir(one); err == nil {
			t.Fatal("made a folder where a file is")
		}
		if _, err := fsys.Create(filepath.Join(dir, "none", "x")); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("create in no folder: %v", err)
		}

		// Content.
		must(t, f.Preallocate(10000))
		must(t, f.Preallocate(9000))
		long := bytes.Repeat([]byte("quorate!"), 700)
		if n, err := f.WriteAt(long, 3000); n != len(long) || err != nil {
			t.Fatal(n, err)
		}
		must(t, f.Sync())
		must(t, f.Reread())
		got := make([]byte, 7000)
		if n, err := f.ReadAt(got, 2000); n != len(got) || err != nil {
			t.Fatal(n, err)
		}
		if want := slices.Concat(make([]byte, 1000), long, make([]byte, 7000-1000-len(long))); !bytes.Equal(got, want) {
			t.Fatal("read something else than was written")
		}
		if n, err := f.ReadAt(got, 9990); n != 10 || err != io.EOF {
			t.Fatalf("read over the end: %d, %v", n, err)
		}
		if n, err := f.ReadAt(got, 20000); n != 0 || err != io.EOF {
			t.Fatalf("read behind the end: %d, %v", n, err)
		}
		if _, err := f.WriteAt(long, -1); err == nil {
			t.Fatal("wrote before the beginning")
		}
		if _, err := f.ReadAt(got, -1); err == nil {
			t.Fatal("read before the beginning")
		}
		if size, err := f.Size(); size != 10000 || err != nil {
			t.Fatal(size, err)
		}
		must(t, f.Close())
		if _, err := f.WriteAt(long, 0); !errors.Is(err, fs.ErrClosed) {
			t.Fatalf("write to a closed file: %v", err)
		}

		// Names.
		two := filepath.Join(dir, "two")
		f, err = fsys.Create(two)
		must(t, err)
		must(t, f.Close())
		must(t, fsys.Rename(one, two))
		must(t, fsys.SyncDir(dir))
		if err := fsys.Rename(one, two); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("rename of no file: %v", err)
		}
		f, err = fsys.Open(two)
		must(t, err)
		if size, err := f.Size(); size != 10000 || err != nil {
			t.Fatal("the renamed file is another", size, err)
		}
		must(t, f.Close())
		must(t, fsys.Remove(two))
		if err := fsys.Remove(two); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("remove of no file: %v", err)
		}
		if names, err := fsys.List(dir); len(names) != 0 || err != nil {
			t.Fatal(names, err)
		}

		// Locks.
		lock, err := fsys.Lock(filepath.Join(dir, "LOCK"))
		must(t, err)
		if _, err := fsys.Lock(filepath.Join(dir, "LOCK")); !errors.Is(err, ErrLocked) {
			t.Fatalf("second lock: %v", err)
		}
		must(t, lock.Close())
		lock, err = fsys.Lock(filepath.Join(dir, "LOCK"))
		must(t, err)
		must(t, lock.Close())
		if err := fsys.SyncDir(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("sync of no folder: %v", err)
		}
	})
}

// disk is a memory with a synced file of four sectors of 'a', open.
func disk(t *testing.T) (*Memory, File) {
	t.Helper()
	m := NewMemory()
	must(t, m.MakeDir("d"))
	f, err := m.Create("d/f")
	must(t, err)
	_, err = f.WriteAt(bytes.Repeat([]byte("a"), 4*sector), 0)
	must(t, err)
	must(t, f.Sync())
	must(t, m.SyncDir("d"))
	return m, f
}

// script answers as it was told, then 0.
func script(answers ...int) func(int) int {
	return func(n int) int {
		if len(answers) == 0 {
			return 0
		}
		a := answers[0]
		answers = answers[1:]
		if a >= n {
			panic("not an answer to this question")
		}
		return a
	}
}

// Breaks when: a crash touches what was synced, or counts what it did not do.
func TestACrashTakesUnsyncedSectorsOneByOne(t *testing.T) {
	m, f := disk(t)
	b := bytes.Repeat([]byte("b"), 4*sector-200)
	_, err := f.WriteAt(b, 100)
	must(t, err)

	// Kept, lost, torn with the new part first, torn with the old part first.
	loss := m.Crash(script(0, 1, 2, 9, 0, 2, 19, 1))

	want := bytes.Repeat([]byte("a"), 4*sector)
	copy(want[100:sector], b)
	copy(want[2*sector:2*sector+10], b)
	copy(want[3*sector+20:4*sector-100], b)
	if got := m.Bytes("d/f"); !bytes.Equal(got, want) {
		t.Fatalf("%q", got)
	}
	if loss != (Loss{Lost: 1, Torn: 2}) {
		t.Fatal(loss)
	}
	if m.Crash(lose) != (Loss{}) || !bytes.Equal(m.Bytes("d/f"), want) {
		t.Fatal("what a crash left is not durable")
	}
}

func TestACrashEndsFilesAndLocks(t *testing.T) {
	for name, end := range map[string]func(m *Memory){"crash": func(m *Memory) { m.Crash(lose) }, "kill": (*Memory).Kill} {
		t.Run(name, func(t *testing.T) {
			m, f := disk(t)
			lock, err := m.Lock("d/LOCK")
			must(t, err)
			end(m)
			_, readErr := f.ReadAt(make([]byte, 1), 0)
			_, writeErr := f.WriteAt(make([]byte, 1), 0)
			_, sizeErr := f.Size()
			for _, err := range []error{readErr, writeErr, sizeErr, f.Sync(), f.Reread(), f.Preallocate(1 << 20), f.Close(), lock.Close()} {
				if !errors.Is(err, fs.ErrClosed) {
					t.Fatal(err)
				}
			}
			_, err = m.Lock("d/LOCK")
			must(t, err)
		})
	}
}

func TestAKillKeepsWhatWasWrittenAndSyncsNothing(t *testing.T) {
	m, f := disk(t)
	_, err := f.WriteAt([]byte("new"), 0)
	must(t, err)
	m.Kill()
	if got := m.Bytes("d/f")[:3]; string(got) != "new" {
		t.Fatalf("%q", got)
	}
	if loss := m.Crash(lose); loss.Lost != 1 || m.Bytes("d/f")[0] != 'a' {
		t.Fatal("a kill has synced", loss)
	}
}

// case F19. Breaks when: a name is durable without SyncDir, or not with it.
func TestACrashTakesUnsyncedNamesOneByOne(t *testing.T) {
	m, f := disk(t)
	must(t, f.Close())
	for _, name := range []string{"d/g", "d/h"} {
		f, err := m.Create(name)
		must(t, err)
		must(t, f.Sync()) // the content, not the name
	}
	must(t, m.Rename("d/f", "d/e"))
	must(t, m.Remove("d/h"))
	if want := []string{"d/e", "d/g"}; !slices.Equal(m.Files(), want) {
		t.Fatal(m.Files())
	}

	for _, c := range []struct {
		answers []int // d/g made, d/h made, d/f renamed, d/h removed
		want    []string
	}{
		{[]int{0, 0, 0, 0}, []string{"d/e", "d/g"}},
		{[]int{1, 1, 1, 1}, []string{"d/f"}},
		{[]int{1, 0, 1, 1}, []string{"d/f", "d/h"}},
		{[]int{1, 1, 0, 0}, []string{"d/e"}},
	} {
		world := m.Clone()
		loss := world.Crash(script(c.answers...))
		lost := 0
		for _, a := range c.answers {
			lost += a
		}
		if !slices.Equal(world.Files(), c.want) || loss != (Loss{Names: lost}) {
			t.Fatalf("%v: %v, %+v", c.answers, world.Files(), loss)
		}
	}
	must(t, m.SyncDir("d"))
	if loss := m.Crash(lose); loss != (Loss{}) || !slices.Equal(m.Files(), []string{"d/e", "d/g"}) {
		t.Fatal(m.Files(), loss)
	}
}

func TestACrashTakesUnsyncedGrowth(t *testing.T) {
	m, f := disk(t)
	must(t, f.Preallocate(1<<20))
	_, err := f.WriteAt([]byte("far"), 1<<19)
	must(t, err)
	if loss := m.Crash(lose); loss != (Loss{Names: 1}) || len(m.Bytes("d/f")) != 4*sector {
		t.Fatal(loss, len(m.Bytes("d/f")))
	}
	f, err = m.Open("d/f")
	must(t, err)
	must(t, f.Preallocate(1<<20))
	if !isZero(m.Bytes("d/f")[4*sector:]) {
		t.Fatal("what was lost is back")
	}
}

// case F8: what Linux does. Breaks when: a failed sync has synced after all, or the next one does it.
func TestAFailedSyncIsNotMadeGoodByTheNext(t *testing.T) {
	m, f := disk(t)
	_, err := f.WriteAt([]byte("b"), 0)
	must(t, err)
	m.FailSync(syscall.EIO)
	if err := f.Sync(); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	must(t, f.Sync())
	first := func(m *Memory) byte { return m.Bytes("d/f")[0] }
	if first(m) != 'b' {
		t.Fatal("a process does not see what it wrote")
	}
	crashed, reread := m.Clone(), m.Clone()
	crashed.Crash(script())
	g, err := reread.Open("d/f")
	must(t, err)
	must(t, g.Reread())
	if first(crashed) != 'a' || first(reread) != 'a' {
		t.Fatal("the disk holds what was never written to it")
	}
	// Written again it is like anything else.
	_, err = f.WriteAt([]byte("c"), 1)
	must(t, err)
	must(t, f.Sync())
	m.Crash(lose)
	if got := m.Bytes("d/f")[:3]; string(got) != "bca" {
		t.Fatalf("%q", got)
	}

	m.FailSync(syscall.EIO)
	if err := m.SyncDir("d"); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	must(t, m.SyncDir("d"))
}

// case F9
func TestAFullMemoryRefusesToGrow(t *testing.T) {
	m, f := disk(t)
	m.Fill(600)
	if n, err := f.WriteAt(make([]byte, 1000), 4*sector-100); n != 700 || !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(n, err)
	}
	if err := f.Preallocate(1 << 20); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if n, err := f.WriteAt(make([]byte, 1000), 0); n != 1000 || err != nil {
		t.Fatal("what is set aside cannot be written", n, err)
	}
	m.Fill(-1)
	must(t, f.Preallocate(1<<20))
}

func TestAFailedWriteLeavesHalf(t *testing.T) {
	m, f := disk(t)
	m.FailWrite(syscall.EIO)
	if n, err := f.WriteAt([]byte("bbbb"), 0); n != 2 || !errors.Is(err, syscall.EIO) {
		t.Fatal(n, err)
	}
	if got := m.Bytes("d/f")[:4]; string(got) != "bbaa" {
		t.Fatalf("%q", got)
	}
	_, err := f.WriteAt([]byte("bbbb"), 0)
	must(t, err)
}

func TestAFlipChangesOneBitForGood(t *testing.T) {
	m, f := disk(t)
	_, err := f.WriteAt([]byte("b"), 1)
	must(t, err)
	m.Flip("d/f", 2*8+3) // in a sector that is not synced
	m.Crash(lose)
	want := bytes.Repeat([]byte("a"), 4*sector)
	want[2] ^= 1 << 3
	if !bytes.Equal(m.Bytes("d/f"), want) {
		t.Fatal("not that bit, or not that bit alone")
	}
}

func TestACloneIsAWorldOfItsOwn(t *testing.T) {
	m, f := disk(t)
	_, err := f.WriteAt([]byte("b"), 0)
	must(t, err)
	must(t, m.Rename("d/f", "d/g"))

	c := m.Clone()
	must(t, f.Sync())
	must(t, m.SyncDir("d"))
	_, err = f.WriteAt([]byte("c"), 1)
	must(t, err)

	if got := c.Bytes("d/g")[:2]; string(got) != "ba" {
		t.Fatalf("%q", got)
	}
	c.Crash(lose)
	if !slices.Equal(c.Files(), []string{"d/f"}) || c.Bytes("d/f")[0] != 'a' || c.Bytes("d/g") != nil {
		t.Fatal("the clone has synced with its origin", c.Files())
	}
	if got := m.Bytes("d/g")[:2]; string(got) != "bc" {
		t.Fatalf("%q: the origin has crashed with its clone", got)
	}
}

// Thousands of worlds each have several of these. Breaks when: Preallocate touches memory.
func TestASegmentSetAsideCostsNothing(t *testing.T) {
	m := NewMemory()
	f, err := m.Create("f")
	must(t, err)
	must(t, f.Preallocate(1<<40))
	_, err = f.WriteAt([]byte("x"), 5000)
	must(t, err)
	if n := len(m.names["f"].pages); n != 2 {
		t.Fatalf("%d pages", n)
	}
}
