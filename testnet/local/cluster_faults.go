package local

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/testnet/fault"
	"github.com/quorate/quorate/testnet/scenario"
)

// tellTime is how long a node has to take a request.
const tellTime = 5 * time.Second

// tell has the process of a life carry out a request: later, if it is paused. If there is none, the next one begins with what is in force.
func (l *life) tell(r fault.Request) error {
	l.mu.Lock()
	state := l.look.State
	if state == scenario.Paused {
		l.untold = append(l.untold, r)
	}
	l.mu.Unlock()
	if state != scenario.Up {
		return nil
	}
	_, err := fault.Ask(string(l.home), r, time.Now().Add(tellTime))
	if _, runs, wrong := l.home.running(); wrong == nil && !runs {
		return nil // it has ended by itself
	}
	return err
}

// tellUntold tells a process that goes on what it was to be told meanwhile.
func (l *life) tellUntold() error {
	l.mu.Lock()
	all := l.untold
	l.untold = nil
	l.mu.Unlock()
	for _, r := range all {
		if err := l.tell(r); err != nil {
			return err
		}
	}
	return nil
}

// inForce are the requests that a node begins with when it is started.
func (m *member) inForce() []fault.Request {
	all := m.linksInForce()
	if m.clock != 0 {
		all = append(all, fault.Request{Clock: &fault.ClockRequest{Offset: m.clock}})
	}
	if m.slow != 0 {
		all = append(all, fault.Request{Disk: &fault.DiskRequest{Slow: &m.slow}})
	}
	if m.unsynced || m.tear {
		all = append(all, holdBack)
	}
	if m.lie != nil {
		all = append(all, fault.Request{Behave: m.lie})
	}
	return all
}

func (m *member) linksInForce() (all []fault.Request) {
	for _, from := range slices.Sorted(maps.Keys(m.links)) {
		l := m.links[from]
		all = append(all, fault.Request{Link: &l})
	}
	return all
}

var holdBack = fault.Request{Disk: &fault.DiskRequest{HoldBack: true}}

// Link sets how messages fare from one node to another. It comes about where they arrive: the connection stays, and the two nodes go on
// calling each other connected.
func (c *Cluster) Link(from, to int, l scenario.Link) error {
	if _, err := c.member(from); err != nil {
		return err
	}
	m, err := c.member(to)
	if err != nil {
		return err
	}
	if from == to {
		return fmt.Errorf("node %d has no link to itself", from)
	}
	r := fault.LinkRequest{From: epoch.ReplicaID(from), Seed: c.chance.Uint64(), Link: fault.Link(l)}
	if m.links[from] = r; l == (scenario.Link{}) {
		delete(m.links, from)
	}
	if err := m.node.tell(fault.Request{Link: &r}); err != nil {
		return err
	}
	if m.twin != nil {
		return m.twin.tell(fault.Request{Link: &r})
	}
	return nil
}

// Disk has something go wrong with a node's disk: the log and what is in it. The state can be made from that again, and is not touched
// but by Wipe, Backup and Restore.
func (c *Cluster) Disk(node int, f scenario.DiskFault) error {
	switch f.Kind {
	case scenario.Flip, scenario.Wipe, scenario.Backup, scenario.Restore:
		m, err := c.in(node, scenario.Down)
		if err != nil {
			return err
		}
		m.flipped = f.Kind == scenario.Flip || m.flipped && f.Kind == scenario.Backup
		return c.spoil(m.node.home, f)
	case scenario.Fill, scenario.FailSync:
		m, err := c.in(node, scenario.Up, scenario.Paused)
		if err != nil {
			return err
		}
		if f.Kind == scenario.Fill {
			return m.node.tell(fault.Request{Disk: &fault.DiskRequest{Fill: &f.N}})
		}
		return m.node.tell(fault.Request{Disk: &fault.DiskRequest{FailSync: true}})
	}
	m, err := c.member(node)
	if err != nil {
		return err
	}
	switch f.Kind {
	case scenario.LoseUnsynced:
		m.unsynced = true
		return m.node.tell(holdBack)
	case scenario.Tear:
		m.tear = true
		return m.node.tell(holdBack)
	case scenario.Slow:
		m.slow = f.By
		return m.node.tell(fault.Request{Disk: &fault.DiskRequest{Slow: &f.By}})
	default:
		return fmt.Errorf("no fault of a disk is called %q", f.Kind)
	}
}

// Clock sets how far a node's wall clock is off.
func (c *Cluster) Clock(node int, offset time.Duration) error {
	m, err := c.member(node)
	if err != nil {
		return err
	}
	m.clock = offset
	return m.node.tell(fault.Request{Clock: &fault.ClockRequest{Offset: offset}})
}

// Behave has a member lie, or be honest again. Its twin is honest.
func (c *Cluster) Behave(node int, acts []string, every int) error {
	m, err := c.member(node)
	if err != nil {
		return err
	}
	if _, err := fault.ActsOf(acts); err != nil {
		return err
	}
	if len(acts) > 0 && every < 1 {
		return fmt.Errorf("every %d: want 1 or more", every)
	}
	r := &fault.BehaveRequest{Acts: acts, Every: every, Seed: c.chance.Uint64()}
	if m.lie = r; len(acts) == 0 {
		m.lie, r.Every = nil, 0
	} else {
		m.suspect.Store(true)
	}
	return m.node.tell(fault.Request{Behave: r})
}

// Happened is how often faults have come about so far. A process that was killed while it was paused, or that panicked, has not told of
// its last second.
func (c *Cluster) Happened() map[string]uint64 {
	var asking sync.WaitGroup
	for l := range c.lives() {
		asking.Go(l.hear)
	}
	asking.Wait()
	all := make(map[string]uint64)
	for l, m := range c.lives() {
		l.counts(all, m.number)
	}
	for _, m := range c.nodes {
		for name, n := range map[string]uint64{scenario.CountUnsynced: m.lost, scenario.CountTorn: m.torn} {
			if n > 0 {
				all[scenario.AtNode(name, m.number)] = n
			}
		}
	}
	return all
}

// lives are those of all nodes and twins.
func (c *Cluster) lives() func(yield func(*life, *member) bool) {
	return func(yield func(*life, *member) bool) {
		for _, m := range c.nodes {
			if !yield(m.node, m) || m.twin != nil && !yield(m.twin, m) {
				return
			}
		}
	}
}
