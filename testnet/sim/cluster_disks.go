package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/store"
	"github.com/quorate/quorate/testnet/adversary"
	"github.com/quorate/quorate/testnet/scenario"
)

// Disk has something go wrong with a node's disk.
func (c *Cluster) Disk(n int, f scenario.DiskFault) error {
	node := c.node(n)
	switch f.Kind {
	case scenario.LoseUnsynced:
		node.loses = true
		return nil
	case scenario.Tear:
		node.tears = true
		return nil
	case scenario.Slow:
		node.slowBy = f.By.Microseconds()
		return nil
	case scenario.Fill, scenario.FailSync:
		if !node.up() {
			return errDown
		}
		if f.Kind == scenario.FailSync {
			node.disk.FailSync(syscall.EIO)
			return nil
		}
		node.full = true
		node.disk.Fill(f.N)
		return nil
	}
	if node.up() {
		return fmt.Errorf("%w: crash or stop it first", errUp)
	}
	switch f.Kind {
	case scenario.Flip:
		return c.flip(node, int(f.N))
	case scenario.Wipe:
		node.exchange(store.NewMemory())
	case scenario.Backup:
		node.old = node.disk.Clone()
	case scenario.Restore:
		if node.old == nil {
			return errors.New("there is no backup of it")
		}
		node.exchange(node.old.Copied())
	default:
		return fmt.Errorf("no fault of disks is called %s", f.Kind)
	}
	return nil
}

// exchange gives a node that is down another disk.
func (n *node) exchange(disk *store.Memory) {
	n.disk, n.full = disk, false
	n.forgot, n.replaced = true, true
}

// flip changes bits of a log. The newest segment is spared, since the log cannot tell damage to the transactions of its very last sync from
// a torn tail.
func (c *Cluster) flip(n *node, bits int) error {
	segments := slices.DeleteFunc(n.disk.Files(), func(path string) bool { return filepath.Ext(path) != ".log" })
	if len(segments) < 2 {
		return errors.New("its log has one segment only, whose end cannot be told from a torn one: have it write more first")
	}
	path := segments[c.w.ofFaults.IntN(len(segments)-1)]
	for range bits {
		n.disk.Flip(path, c.w.ofFaults.Int64N(8*int64(len(n.disk.Bytes(path)))))
	}
	n.flipped = true
	c.w.tell(n, "has %d bits of %s changed on its disk", bits, path)
	return nil
}

// Behave has a member lie, or be honest again. Its own replica is an honest one, and held to what others are in what it executes and answers.
func (c *Cluster) Behave(id int, names []string, every int) error {
	n := c.node(id)
	if n.liar != nil {
		n.tellLies(c.before)
		n.liar = nil
	}
	if len(names) == 0 {
		return nil
	}
	if !n.up() {
		return errDown
	}
	var acts []adversary.Act
	for _, name := range names {
		a, err := adversary.ActOf(name)
		if err != nil {
			return err
		}
		acts = append(acts, a)
	}
	c.w.audit.of(id).lies = true
	n.liar = adversary.New(adversary.Config{
		Epoch: n.host.Replica().Epoch(), Self: n.as, Chance: rand.New(rand.NewPCG(c.w.seed, uint64(id))), Acts: acts, Every: every,
		Sign: func(b message.Body) *message.Signed {
			return message.Sign(c.w.scheme, n.key, n.host.Replica().Epoch(), n.as, b)
		},
	})
	return nil
}

// tellLies adds how often a liar has lied, by act.
func (n *node) tellLies(into map[string]uint64) {
	if n.liar == nil {
		return
	}
	for _, a := range adversary.Acts() {
		if done := n.liar.Done(a); done > 0 {
			into[scenario.AtNode(scenario.CountLies(a.String()), int(n.as))] += uint64(done)
		}
	}
}
