package local

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/quorate/quorate/testnet/scenario"
)

// What goes wrong with the folder of a node that is down.

// backup is where the copy of what a node remembers is.
func (h Home) backup() string { return filepath.Join(string(h), "backup") }

// spoil does something to the folder of a node that is down.
func (c *Cluster) spoil(h Home, f scenario.DiskFault) error {
	switch f.Kind {
	case scenario.Flip:
		return c.flip(h, int(f.N))
	case scenario.Wipe:
		return empty(h.Data())
	case scenario.Backup:
		if err := os.RemoveAll(h.backup()); err != nil {
			return err
		}
		return os.CopyFS(h.backup(), os.DirFS(h.Data()))
	default: // Restore
		if _, err := os.Stat(h.backup()); err != nil {
			return errors.New("it has no backup")
		}
		if err := empty(h.Data()); err != nil {
			return err
		}
		return os.CopyFS(h.Data(), os.DirFS(h.backup()))
	}
}

// empty leaves a folder without anything in it.
func empty(dir string) error {
	all, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range all {
		errs = append(errs, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return errors.Join(errs...)
}

// leastFlipped is how much of the log, in bytes, must be older than its newest half for bits in it to be changed. Of the newest groups no
// log can tell damage from a write that a crash has torn.
const leastFlipped = 64 << 10

// flip changes bits in the older half of a node's log: in a segment before the newest, or if there is one alone in its first half.
func (c *Cluster) flip(h Home, bits int) error {
	segments, err := filepath.Glob(filepath.Join(h.Data(), "log", "*.log"))
	if err != nil {
		return err
	}
	if len(segments) == 0 {
		return errors.New("it has no log")
	}
	path := segments[0]
	if len(segments) > 1 {
		path = segments[c.chance.IntN(len(segments)-1)]
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	used, err := usedOf(f)
	if err != nil {
		return err
	}
	if len(segments) == 1 {
		used /= 2
	}
	if used < leastFlipped {
		return fmt.Errorf("its log is too young for bits to be changed in it: %d bytes are older than the newest half, want %d", used, leastFlipped)
	}
	for range bits {
		at := segmentHead + c.chance.Int64N(used-segmentHead)
		var b [1]byte
		if _, err := f.ReadAt(b[:], at); err != nil {
			return err
		}
		b[0] ^= 1 << c.chance.IntN(8)
		if _, err := f.WriteAt(b[:], at); err != nil {
			return err
		}
	}
	return f.Sync()
}

// segmentHead is the length of a segment's head, in bytes: without it there is no log at all.
const segmentHead = 512

// usedOf is how long a file is without the zeros at its end, which are set aside for what is to come.
func usedOf(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	piece := make([]byte, 64<<10)
	for end := info.Size(); end > 0; end -= int64(len(piece)) {
		from := max(0, end-int64(len(piece)))
		b := piece[:end-from]
		if _, err := f.ReadAt(b, from); err != nil {
			return 0, err
		}
		for i := len(b) - 1; i >= 0; i-- {
			if b[i] != 0 {
				return from + int64(i) + 1, nil
			}
		}
	}
	return 0, nil
}
