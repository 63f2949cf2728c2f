package node

import (
	"path/filepath"
	"strings"
	"testing"
)

// A node does not run into a full disk: whichever of its two is about to be full, it is told what to do. // case F9
// Red if one of the two is not looked at, or the reserve is less than a segment of the log.
func TestAnAlmostFullDiskIsRefused(t *testing.T) {
	const segment = 64 << 20
	home := t.TempDir()
	for _, full := range []string{logDir(home), stateDir(home)} {
		left := uint64(0)
		free := func(dir string) (uint64, error) {
			if dir == full {
				return left, nil
			}
			return 1 << 40, nil
		}
		for _, left = range []uint64{0, segment, reserveBytes - 1} {
			if err := enoughSpace(home, free); err == nil || !strings.Contains(err.Error(), "make room") || !strings.Contains(err.Error(), full) {
				t.Errorf("%d bytes left on the disk of %s: %v", left, filepath.Base(full), err)
			}
		}
		left = reserveBytes
		if err := enoughSpace(home, free); err != nil {
			t.Error(err)
		}
	}
}
