package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// isCopied says what both ways to ask say.
func isCopied(t *testing.T, fs FS, dir string) bool {
	t.Helper()
	asked, err := Copied(fs, dir)
	must(t, err)
	l, found, err := Open(fs, dir, small, func(Position, Record, bool) error { return nil })
	must(t, err)
	must(t, l.Close())
	if asked != found.Copied {
		t.Fatalf("asked: a copy: %v; opened: %v", asked, found.Copied)
	}
	return asked
}

// A log knows its own files from copies of them: after every new segment, as an image of its disk, after a crash.
//
// case F3; taking the identity of any segment but the newest, or none, turns it red.
func TestACopiedLogKnowsThatItIsOne(t *testing.T) {
	m := created(t)
	for i := range 6 {
		if isCopied(t, m, "log") {
			t.Fatalf("round %d: takes itself for a copy", i)
		}
		if !isCopied(t, m.Copied(), "log") {
			t.Fatalf("round %d: takes a copy for itself", i)
		}
		if isCopied(t, m.Clone(), "log") {
			t.Fatalf("round %d: takes an image of its disk for a copy", i)
		}
		l := opened(t, m, "log")
		add(t, l, i%2 == 0, rec(i, 3000)) // small segments: a new one each time
		must(t, l.Sync())
		m.Crash(func(int) int { return 0 })
	}
	if n := len(m.Files()); n < 6 {
		t.Fatalf("%d files: too few segments to tell", n)
	}
	// A copy of which only the newest segment is the true one has what was promised last; its older ones tell of blocks.
	if _, err := Copied(m, "nowhere"); !errors.Is(err, ErrNoLog) {
		t.Errorf("no log: %v", err)
	}
}

// The operating system's files too: copied over, moved away and back, and in the place of the one that was there.
//
// case F3; leaving the time of birth out turns it red where inode numbers are given again at once.
func TestACopiedFolderKnowsThatItIsOne(t *testing.T) {
	top := t.TempDir()
	dir, moved, copied := filepath.Join(top, "log"), filepath.Join(top, "moved"), filepath.Join(top, "copied")
	must(t, Create(System(), dir, birth, small))
	l := opened(t, System(), dir)
	add(t, l, false, rec(1, 100))
	must(t, l.Close())
	must(t, os.CopyFS(copied, os.DirFS(dir)))
	if isCopied(t, System(), dir) || !isCopied(t, System(), copied) {
		t.Fatal("original and copy are mistaken for each other")
	}
	must(t, os.Rename(dir, moved))
	if isCopied(t, System(), moved) {
		t.Error("moved, and takes itself for a copy")
	}
	must(t, os.RemoveAll(moved)) // whose inode may be given to what comes next
	must(t, os.CopyFS(dir, os.DirFS(copied)))
	if !isCopied(t, System(), dir) {
		t.Error("a copy in the original's place takes itself for it")
	}
}
