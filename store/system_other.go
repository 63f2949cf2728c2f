//go:build unix && !linux

package store

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// Preallocate only grows the file: setting space aside differs from system to system.
func (f systemFile) Preallocate(size int64) error { return f.Truncate(size) }

// Identity is the inode number: birth times differ from system to system.
func (f systemFile) Identity() (Identity, error) {
	info, err := f.Stat()
	if err != nil {
		return Identity{}, err
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return Identity{}, fmt.Errorf("%s: the system does not tell its inode", f.Name())
	}
	return Identity{Inode: uint64(s.Ino)}, nil
}

// Reread does nothing: of the systems that we know, only Linux shows as written what it failed to write.
func (f systemFile) Reread() error { return nil }

// lockFile takes the lock that the kernel gives back when the process ends, however it ends.
func lockFile(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("%s: %w", f.Name(), ErrLocked)
	}
	return err
}
