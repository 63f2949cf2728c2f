package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const (
	lockName      = "LOCK"
	nextName      = "next" // a segment that is being made
	segmentSuffix = ".log"
	segmentDigits = 10
)

func segmentPath(dir string, number uint32) string {
	return filepath.Join(dir, fmt.Sprintf("%0*d%s", segmentDigits, number, segmentSuffix))
}

// listSegments finds the numbers of the segments in dir, ascending. Other names are left alone.
func listSegments(fs FS, dir string) ([]uint32, error) {
	names, err := fs.List(dir)
	if err != nil {
		return nil, err
	}
	var numbers []uint32
	for _, name := range names {
		digits, ok := strings.CutSuffix(name, segmentSuffix)
		if !ok || len(digits) != segmentDigits {
			continue
		}
		n, err := strconv.ParseUint(digits, 10, 32)
		if err != nil || n == 0 {
			continue
		}
		numbers = append(numbers, uint32(n))
	}
	slices.Sort(numbers)
	return numbers, nil
}

// makeSegment makes a segment that holds a head and perhaps its first group. It has its name only once it is durable: so whatever
// bears such a name and has no good head is damaged, and what a crash left half made bears another name.
func makeSegment(fsys FS, dir string, head segmentHead, group []byte) (File, error) {
	temporary := filepath.Join(dir, nextName)
	if err := fsys.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := fsys.Create(temporary)
	if err != nil {
		return nil, err
	}
	if err := fillSegment(f, head, group); err != nil {
		f.Close()
		return nil, err
	}
	if err := fsys.Rename(temporary, segmentPath(dir, head.number)); err != nil {
		f.Close()
		return nil, err
	}
	if err := fsys.SyncDir(dir); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func fillSegment(f File, head segmentHead, group []byte) error {
	if err := f.Preallocate(head.size); err != nil {
		return err
	}
	var err error
	if head.file, err = f.Identity(); err != nil {
		return err
	}
	first := make([]byte, sector, sector+len(group))
	head.encode(first)
	if _, err := f.WriteAt(append(first, group...), 0); err != nil {
		return err
	}
	return f.Sync()
}
