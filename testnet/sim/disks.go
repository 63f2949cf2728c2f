package sim

import (
	"errors"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/quorate/quorate/node/host"
	"github.com/quorate/quorate/statemachine"
	"github.com/quorate/quorate/store"
)

// Faults of disks, other than what a power cut takes.

// slowDisk has a node's syncs take long for a while.
func (w *World) slowDisk() {
	n, by := w.anyNode(), w.ofFaults.between(50*milli, 500*milli)
	if n.slowBy > 0 {
		return
	}
	w.counts.SlowDisks++
	w.tell(n, "has a slow disk")
	n.slowBy = by
	w.after(w.ofFaults.about(2*second), nil, faults, 6, func() { n.slowBy = 0 })
}

// failSync has a node's next sync fail, once: it must end, and must not believe a second one.
func (w *World) failSync() {
	if n := w.anyNode(); n.up() {
		w.tell(n, "will fail its next sync")
		n.disk.FailSync(syscall.EIO)
	}
}

// fillDisk leaves a node hardly any room, until it is made some time after it has ended.
func (w *World) fillDisk() {
	if n := w.anyNode(); n.up() && !n.full {
		w.tell(n, "has a full disk")
		n.full = true
		n.disk.Fill(w.ofFaults.Int64N(2000))
	}
}

// diskFailed is a node that cannot write or sync: it ends, as a process does whose log has failed, and comes back later.
func (n *node) diskFailed(err error) {
	w := n.w
	switch {
	case errors.Is(err, syscall.EIO):
		w.counts.FailedSyncs++
		n.failed++
	case errors.Is(err, syscall.ENOSPC):
		w.counts.FullDisks++
		n.filled++
	default:
		w.broken(n, breaks("boot", "%v", err))
		return
	}
	w.tell(n, "ends: %v", err)
	n.end()
	n.disk.Kill()
	n.disk.Fill(-1)
	n.full = false
	w.broken(n, n.auditMemory())
	if !w.healed {
		w.after(n.downtime(), n, restarts, 0, n.restart)
	}
}

// A member that forgets never votes again in an epoch that names the life it has lost, so only so many may that a quorum is honest and
// remembers.
func (w *World) forgetful() *node {
	n := w.anyNode()
	forgotten := 0
	for _, other := range w.nodes {
		if other.forgot || other.lies() {
			forgotten++
		}
	}
	if !n.forgot && !n.lies() && len(w.nodes)-forgotten-1 < w.needed() {
		return nil
	}
	return n
}

// wipe takes a node's disk and leaves its key.
func (w *World) wipe() {
	n := w.forgetful()
	if n == nil || !n.up() {
		return
	}
	w.counts.Wipes++
	w.tell(n, "loses its disk")
	n.replaceDisk(store.NewMemory())
}

// restore puts an old copy in the place of a node's disk, when there is one.
func (w *World) restore() {
	n := w.forgetful()
	if n == nil || !n.up() || n.old == nil {
		return
	}
	w.counts.Restores++
	w.tell(n, "gets its disk back from an old copy")
	n.replaceDisk(n.old.Copied())
}

// flipBit changes a bit of a node's log while it is down, or many. The node must start with all that it owes, though it may
// have to fetch transactions again, or refuse to: then it is as good as wiped. The newest segment is spared, since the log
// cannot tell damage to the transactions of its very last sync from a torn tail.
func (w *World) flipBit() {
	n := w.forgetful()
	if n == nil || !n.up() {
		return
	}
	n.crash()
	segments := slices.DeleteFunc(n.disk.Files(), func(path string) bool { return filepath.Ext(path) != ".log" })
	if len(segments) < 2 {
		return
	}
	path := segments[w.ofFaults.IntN(len(segments)-1)]
	// A few hit something that is there once, which others can supply; many hit both copies of something.
	many := []int{1, 8, 200}[w.ofFaults.pick(4, 4, 3)]
	for range many {
		n.disk.Flip(path, w.ofFaults.Int64N(8*int64(len(n.disk.Bytes(path)))))
	}
	n.flipped, n.forgot = true, true // it may have to forget
	w.counts.Flips++
	w.tell(n, "has %d bits of %s changed on its disk", many, path)
}

// refuses takes in why a node does not start. Damage is a reason if somebody has damaged its disk, and nothing else is.
func (n *node) refuses(why error) {
	var (
		damage *store.DamageError
		lost   *host.LostError // which the machine, having lost its newest commits too, would have to execute again
	)
	if !n.flipped || !errors.As(why, &damage) && !errors.As(why, &lost) {
		n.w.broken(n, why)
		return
	}
	n.w.counts.Refusals++
	if n.w.steered {
		n.w.tell(n, "refuses to start: %v", why)
		n.host, n.machine, n.refused = nil, nil, why
		return
	}
	n.w.tell(n, "refuses to start: %v", why)
	n.disk, n.old, n.full, n.flipped, n.replaced = store.NewMemory(), nil, false, false, true
	n.boot()
}

// backUp copies a node's disk now and then.
func (n *node) backUp() {
	if n.up() && !n.forgot {
		n.old = n.disk.Clone()
	}
	if !n.w.healed {
		n.w.after(n.w.ofDisks.between(3*second, 20*second), n, faults, 7, n.backUp)
	}
}

func (n *node) replaceDisk(disk *store.Memory) {
	n.w.counts.Crashes++
	n.end()
	n.disk.Kill()
	n.disk, n.full, n.old = disk, false, nil
	n.forgot, n.replaced = true, true
	n.w.after(n.downtime(), n, restarts, 0, n.restart)
}

// recall makes sure that there is a log to boot from, as package node does: the member's own, or that of an observer.
func (n *node) recall() error {
	forgotten, err := host.Forgotten(n.disk, folder)
	switch {
	case err != nil:
		return err
	case !forgotten && n.replaced:
		return breaks("promises", "takes a copy of its log for the log")
	case forgotten && !n.replaced:
		return breaks("promises", "takes its own log for a copy, or for gone")
	case !forgotten:
		return nil
	}
	n.replaced = false
	n.disk, n.state, n.stale = store.NewMemory(), statemachine.NewMemory(), nil
	drawn := n.w.ofDisks.bytes()
	copy(n.incarnation[:], drawn[:])
	n.w.audit.forgets(n.id, n.incarnation)
	n.w.tell(n, "has forgotten what it promised, and observes")
	return host.Create(n.disk, folder, n.options, n.key.Public(), n.incarnation)
}
