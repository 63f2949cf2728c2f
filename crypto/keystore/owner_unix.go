//go:build unix

package keystore

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// checkOwner refuses a file of another user, who could read and replace it, whatever its permissions. Root could anyway.
func checkOwner(info fs.FileInfo, path string) error {
	system, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	return checkOwnerIs(int(system.Uid), os.Geteuid(), path)
}

func checkOwnerIs(owner, user int, path string) error {
	if owner != user && owner != 0 {
		return fmt.Errorf("belongs to user %d, not to the one who runs this, %d: chown %d %s", owner, user, user, path)
	}
	return nil
}
