package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/quorate/quorate/testnet/fault"
	"github.com/quorate/quorate/testnet/scenario"
)

// member is one node of a cluster, with what is wrong with it for as long as nobody says otherwise: whichever process it has.
type member struct {
	number int
	node   *life
	twin   *life // nil: there is none

	links    map[int]fault.LinkRequest // of messages from each
	clock    time.Duration
	slow     time.Duration
	unsynced bool // a crash takes what was not synced
	tear     bool // the next one leaves a part of the last write
	lie      *fault.BehaveRequest

	flipped bool // what it has on its disk is not what it has written

	lost, torn uint64 // crashes that have taken what was not synced, and that have left a part of a write

	// suspect is whether it has lied at any time, or two processes have spoken for it: then it may come to another state than the others.
	suspect atomic.Bool
}

// member is the node of this number.
func (c *Cluster) member(node int) (*member, error) {
	if node < 1 || node > len(c.nodes) {
		return nil, fmt.Errorf("node %d: want 1 to %d", node, len(c.nodes))
	}
	return c.nodes[node-1], nil
}

// in is the member of this number, if its process is in one of these states.
func (c *Cluster) in(node int, states ...scenario.State) (*member, error) {
	m, err := c.member(node)
	if err != nil {
		return nil, err
	}
	is := m.node.state()
	for _, s := range states {
		if is == s {
			return m, nil
		}
	}
	return nil, fmt.Errorf("it is %s", is)
}

// strikePatience is how long a crash waits for something that is not synced, if it is to take such a thing.
const strikePatience = 100 * time.Millisecond

// Crash ends a node with SIGKILL. If it is to take what was not synced, it strikes when there is something: within strikePatience.
func (c *Cluster) Crash(node int) error {
	m, err := c.in(node, scenario.Up, scenario.Paused)
	if err != nil {
		return err
	}
	l := m.node
	if l.state() == scenario.Up {
		if m.unsynced || m.tear {
			a, err := fault.Ask(string(l.home), fault.Request{Strike: &fault.StrikeRequest{Tear: m.tear, Patience: strikePatience}}, time.Now().Add(strikePatience+countTime))
			if err == nil && a.Struck != nil {
				m.struck(a.Struck)
			}
		}
		l.hear()
	}
	err = c.network.Kill(context.Background(), node)
	if err != nil && !errors.Is(err, ErrNotRunning) {
		return err
	}
	l.end(node)
	m.tear = false
	if err != nil {
		return errGone
	}
	return nil
}

var (
	errGone = errors.New("it is down: it has ended by itself")
	errTwin = errors.New("it has a twin already")
)

// struck counts what a crash takes.
func (m *member) struck(s *fault.Struck) {
	if s.Unsynced > 0 {
		m.lost++
	}
	if s.Torn {
		m.torn++
	}
}

// Restart starts a node again, with all that is wrong with it, and returns when it answers. A node that refuses to start from what it has
// written itself has lost what it promised by that: the next Wait tells of it.
func (c *Cluster) Restart(node int) error {
	m, err := c.in(node, scenario.Down)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	if err := fault.Leave(string(m.node.home), m.inForce()); err != nil {
		return err
	}
	m.node.prepare()
	err = c.network.Start(ctx, []int{node}, c.program)
	if errors.Is(err, errEnded) && !m.flipped {
		c.find(&scenario.Violation{Check: scenario.Durability, Node: node, Text: "it does not start again: " + strings.ReplaceAll(err.Error(), "\n", " ")})
		return nil
	}
	if err != nil {
		return err
	}
	m.node.begin()
	c.lookAgain(m, m.node, lookTime)
	return nil
}

// Stop has a node end in order.
func (c *Cluster) Stop(node int) error {
	m, err := c.in(node, scenario.Up)
	if err != nil {
		return err
	}
	if err := c.network.Stop(context.Background(), node); err != nil {
		return err
	}
	m.node.end(node)
	return nil
}

// Pause freezes a node.
func (c *Cluster) Pause(node int) error {
	m, err := c.in(node, scenario.Up)
	if err != nil {
		return err
	}
	m.node.hear()
	if err := c.network.Pause(node); err != nil {
		return err
	}
	m.node.become(scenario.Paused)
	return nil
}

// Resume lets a node go on that was paused. What was to go wrong with it meanwhile does so from now on.
func (c *Cluster) Resume(node int) error {
	m, err := c.in(node, scenario.Paused)
	if err != nil {
		return err
	}
	if err := c.network.Resume(node); err != nil {
		return err
	}
	m.node.begin()
	return m.node.tellUntold()
}

// Twin starts a second process with the node's key and a copy of its log. Messages to the member reach both alike, or neither.
func (c *Cluster) Twin(node int) error {
	m, err := c.member(node)
	if err != nil {
		return err
	}
	if m.twin != nil && m.twin.state() != scenario.Down {
		return errTwin
	}
	home := c.network.TwinHome(node)
	if _, err := os.Stat(string(home)); errors.Is(err, os.ErrNotExist) {
		if err := c.network.makeTwin(node, "", c.cfg.Tools); err != nil {
			return err
		}
	}
	if err := fault.Leave(string(home), m.linksInForce()); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	t, err := c.network.StartTwin(ctx, node, "", c.cfg.Tools, c.program)
	if err != nil {
		return err
	}
	m.suspect.Store(true)
	if m.twin == nil {
		m.twin = newLife(home, t.API)
		c.watch(m, m.twin)
	}
	m.twin.begin()
	return nil
}
