package store

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// fadviseDontNeed is POSIX_FADV_DONTNEED of posix_fadvise(2).
const fadviseDontNeed = 4

// Preallocate sets the space aside with fallocate(2), so that neither a full disk nor a growing file's metadata gets in the way of a
// later write; where the file system cannot, the file only grows.
func (f systemFile) Preallocate(size int64) error {
	err := ignoringEINTR(func() error { return syscall.Fallocate(int(f.Fd()), 0, 0, size) })
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSYS) {
		return f.Truncate(size)
	}
	return f.failed("preallocate", err)
}

// Sync is fdatasync(2): the content, and of the metadata what it takes to read it.
func (f systemFile) Sync() error {
	return f.failed("fdatasync", ignoringEINTR(func() error { return syscall.Fdatasync(int(f.Fd())) }))
}

// Reread drops the file's clean pages: Linux marks pages clean when writing them fails, and would go on showing them.
func (f systemFile) Reread() error {
	_, _, errno := syscall.Syscall6(syscall.SYS_FADVISE64, f.Fd(), 0, 0, fadviseDontNeed, 0, 0)
	if errno != 0 {
		return f.failed("fadvise", errno)
	}
	return nil
}

// Identity is by statx(2): inode numbers are given again, birth times are not.
func (f systemFile) Identity() (Identity, error) {
	var s unix.Statx_t
	err := ignoringEINTR(func() error {
		return unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH, unix.STATX_INO|unix.STATX_BTIME, &s)
	})
	if err != nil {
		return Identity{}, f.failed("statx", err)
	}
	i := Identity{Inode: s.Ino}
	if s.Mask&unix.STATX_BTIME != 0 {
		i.Born = s.Btime.Sec*1e9 + int64(s.Btime.Nsec)
	}
	return i, nil
}

func (f systemFile) failed(op string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: f.Name(), Err: err}
}

// lockFile takes the lock that the kernel gives back when the process ends, however it ends.
func lockFile(f *os.File) error {
	err := ignoringEINTR(func() error { return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) })
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("%s: %w", f.Name(), ErrLocked)
	}
	if err != nil {
		return &os.PathError{Op: "flock", Path: f.Name(), Err: err}
	}
	return nil
}

// ignoringEINTR calls again what a signal interrupted: nothing was done then.
func ignoringEINTR(call func() error) error {
	for {
		if err := call(); err != syscall.EINTR {
			return err
		}
	}
}
