package node

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/node/host"
	"github.com/quorate/quorate/store"
)

// A member whose log is gone, or only a copy, has forgotten what it promised, and must not speak as the one that promised
// it. It begins another log under an incarnation that no epoch names, and so observes: see docs/protocol/pbft.md, Memory.
// The log that an epoch names is made by Create alone.

// remember makes sure that there is a log to open: the member's own, or that of an observer.
func (n *Node) remember() error {
	forgotten, err := host.Forgotten(store.System(), logDir(n.cfg.Home))
	if err != nil {
		return withRemedy(err)
	}
	if !forgotten {
		return nil
	}
	aside, err := setAside(dataDir(n.cfg.Home))
	if err != nil {
		return fmt.Errorf("set aside what is left without its log: %w", err)
	}
	var life epoch.Incarnation
	if _, err := rand.Read(life[:]); err != nil {
		return fmt.Errorf("draw an incarnation: %w", err)
	}
	if err := Create(n.cfg.Home, n.cfg.Key.Public(), life); err != nil {
		return err
	}
	n.log.Warn("this member's log is gone, or a copy: it has forgotten what it promised, follows the others and does not vote",
		"incarnation", life, "set_aside", aside)
	return nil
}

// setAside gives a folder another name, and says which; empty if there was nothing in it. Nothing is deleted: what was
// there may be of use to whoever finds out what happened.
func setAside(dir string) (string, error) {
	left, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(left) == 0 {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	for i := 1; ; i++ {
		aside := fmt.Sprintf("%s.forgotten-%d", dir, i)
		if _, err := os.Lstat(aside); err == nil {
			continue
		} else if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
		if err := os.Rename(dir, aside); err != nil {
			return "", err
		}
		return filepath.Base(aside), nil
	}
}
