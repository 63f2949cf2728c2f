package node

import (
	"fmt"
	"time"

	"github.com/quorate/quorate/statemachine"
)

// A full disk must not be found out by writing to it: Badger writes to mapped files, where a page that finds no room is
// a SIGBUS and not an error. So a node ends by itself while there is room left for whatever is under way.
const (
	// reserveBytes is what must be free on the disks of log and state: one segment of the log, which is set aside at once, and
	// what Badger may write before the next look.
	reserveBytes = 128 << 20
	// spacePeriod is how often a running node looks.
	spacePeriod = 250 * time.Millisecond
)

// enoughSpace says if there is too little room for a node to run.
func enoughSpace(home string, free func(dir string) (uint64, error)) error {
	for _, dir := range []string{logDir(home), stateDir(home)} {
		left, err := free(dir)
		if err != nil {
			return err
		}
		if left < reserveBytes {
			return fmt.Errorf("%d MiB free on the disk of %s, at least %d are needed: make room, then start again", left>>20, dir, reserveBytes>>20)
		}
	}
	return nil
}

// watchSpace ends the node when its disk is about to be full.
func (n *Node) watchSpace() {
	t := time.NewTicker(spacePeriod)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			if err := enoughSpace(n.cfg.Home, statemachine.Free); err != nil {
				n.fail(err)
				return
			}
		case <-n.ended:
			return
		}
	}
}
