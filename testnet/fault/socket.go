package fault

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

const socketName = "faults.sock"

// maxPath is how long the path of a socket may be, in bytes, on all systems (sun_path of unix(7), and of BSD, which is shorter).
const maxPath = 103

// within calls do with a path for a name in a folder that is short enough for a socket: of a long one, by way of an open descriptor,
// where the system has that.
func within(dir, name string, do func(path string) error) error {
	path := filepath.Join(dir, name)
	if len(path) <= maxPath {
		return do(path)
	}
	if runtime.GOOS != "linux" {
		return fmt.Errorf("%s has %d letters, and the path of a socket at most %d: choose a folder with a shorter name", path, len(path), maxPath)
	}
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	return do(fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), name))
}

// listen makes the socket of a home, for its owner alone. What a node that was killed has left in its place goes.
func listen(home string) (*net.UnixListener, error) {
	const making = socketName + ".new"
	if err := os.Remove(filepath.Join(home, making)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var l *net.UnixListener
	err := within(home, making, func(path string) (err error) {
		l, err = net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		return err
	})
	if err != nil {
		return nil, err
	}
	l.SetUnlinkOnClose(false) // by a path that is of this moment only, and under a name that it does not keep
	if err := os.Chmod(filepath.Join(home, making), 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	if err := os.Rename(filepath.Join(home, making), filepath.Join(home, socketName)); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func dial(home string, deadline time.Time) (net.Conn, error) {
	var c net.Conn
	err := within(home, socketName, func(path string) (err error) {
		c, err = (&net.Dialer{Deadline: deadline}).Dial("unix", path)
		return err
	})
	return c, err
}
