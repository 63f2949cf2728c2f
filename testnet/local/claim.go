package local

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"syscall"
)

// Claim is a running node's hold on its home: the file node.pid, which names the process and is locked by it. The lock
// ends with the process, however that ends, so a number left behind in the file accuses nobody who got it later.
//
// It is a lock of fcntl(2), since whether one is held, and by whom, can be asked without taking it for a moment. Such a
// lock ends when its process closes any descriptor of the file: a process that has a Claim must not open the file again.
type Claim struct{ file *os.File }

// ErrRuns says that another process has the home.
var ErrRuns = errors.New("runs already")

// Claim takes the home for this process.
func (h Home) Claim() (*Claim, error) {
	for {
		f, err := os.OpenFile(h.PID(), os.O_RDWR|os.O_CREATE, 0o644)
		if err != nil {
			return nil, err
		}
		if err := syscall.FcntlFlock(f.Fd(), syscall.F_SETLK, wholeFile()); err != nil {
			defer f.Close()
			if pid, runs, _ := holder(f); runs {
				return nil, fmt.Errorf("the node of %s %w (pid %d): stop that first", string(h), ErrRuns, pid)
			}
			return nil, fmt.Errorf("lock %s: %w", h.PID(), err)
		}
		if !stillNamed(f, h.PID()) {
			f.Close() // the one before has taken its file away in this moment
			continue
		}
		c := &Claim{f}
		if err := c.write(); err != nil {
			return nil, errors.Join(err, f.Close())
		}
		return c, nil
	}
}

func (c *Claim) write() error {
	if err := c.file.Truncate(0); err != nil {
		return err
	}
	_, err := c.file.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

// Release takes the file away.
func (c *Claim) Release() error { return errors.Join(os.Remove(c.file.Name()), c.file.Close()) }

func wholeFile() *syscall.Flock_t {
	return &syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart}
}

func stillNamed(f *os.File, path string) bool {
	held, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Stat(path)
	return err == nil && os.SameFile(held, there)
}

// holder asks who has the lock of the file, other than this process.
func holder(f *os.File) (pid int, held bool, err error) {
	lock := wholeFile()
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_GETLK, lock); err != nil {
		return 0, false, fmt.Errorf("lock of %s: %w", f.Name(), err)
	}
	return int(lock.Pid), lock.Type != syscall.F_UNLCK, nil
}

// running looks whether another process has the home, and which.
func (h Home) running() (pid int, runs bool, err error) {
	f, err := os.Open(h.PID())
	if errors.Is(err, fs.ErrNotExist) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	return holder(f)
}

// process takes hold of the home's process, and of no other: first of the process, then it looks whether the home is still
// that one's. The error wraps ErrNotRunning if there is none.
func (h Home) process() (*os.Process, error) {
	pid, runs, err := h.running()
	if err != nil {
		return nil, err
	}
	if !runs || pid <= 1 {
		return nil, ErrNotRunning
	}
	p, err := os.FindProcess(pid)
	if err != nil {
		return nil, ErrNotRunning
	}
	if again, runs, err := h.running(); err != nil || !runs || again != pid {
		return nil, errors.Join(err, ErrNotRunning, p.Release())
	}
	return p, nil
}
