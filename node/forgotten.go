package node

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

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

// asidePrefix begins the names of folders in data that hold what was set aside.
const asidePrefix = "forgotten-"

// setAside moves what is in a folder into a new one within it, and says which; empty if there was nothing. Within it, because
// the folder itself may be a disk of its own. Nothing is deleted: what was there may be of use to whoever finds out what
// happened. Cut short, the next start goes on with what is left.
func setAside(dir string) (string, error) {
	all, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	var left []string
	next := 1
	for _, e := range all {
		switch n, isAside := strings.CutPrefix(e.Name(), asidePrefix); {
		case isAside:
			if i, err := strconv.Atoi(n); err == nil {
				next = max(next, i+1)
			}
		case e.Name() == "lost+found": // the file system's own
		default:
			left = append(left, e.Name())
		}
	}
	if len(left) == 0 {
		return "", nil
	}
	aside := asidePrefix + strconv.Itoa(next)
	if err := os.Mkdir(filepath.Join(dir, aside), 0o700); err != nil {
		return "", err
	}
	for _, name := range left {
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(dir, aside, name)); err != nil {
			return "", err
		}
	}
	return aside, nil
}
