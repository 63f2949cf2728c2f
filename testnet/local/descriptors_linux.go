package local

import (
	"math"

	"golang.org/x/sys/unix"
)

// closeOnExec keeps descriptors that this process was given, and knows nothing of, from its children: a node that held
// the writing end of somebody's pipe would keep its reader waiting. (close_range(2), Linux 5.11; older: nothing.)
func closeOnExec() error {
	err := unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC)
	if err == unix.ENOSYS || err == unix.EINVAL {
		return nil
	}
	return err
}
