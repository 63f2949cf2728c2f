package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
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

// Crash ends nodes with SIGKILL. If it is to take what was not synced, it strikes when the first that this is said of has such a thing.
func (c *Cluster) Crash(nodes []int, done func(error)) {
	var all, struck []*member
	for _, n := range nodes {
		m, err := c.in(n, scenario.Up, scenario.Paused)
		if err != nil {
			done(fmt.Errorf("node %d: %w", n, err))
			return
		}
		if all = append(all, m); m.node.state() == scenario.Up && (m.unsynced || m.tear) {
			struck = append(struck, m)
		}
	}
	if len(struck) == 0 {
		done(c.killAll(all))
		return
	}
	c.later(func() func() {
		took := make([]*fault.Struck, len(struck))
		patience := scenario.StrikePatience
		for i, m := range struck {
			took[i] = m.strike(patience)
			patience = 0
		}
		return func() {
			for i, m := range struck {
				m.struck(took[i])
			}
			done(c.killAll(all))
		}
	})
}

// strike stops a node's disk before it is killed, when something is held back. It yields what that takes; nil if the node does not answer.
func (m *member) strike(patience time.Duration) *fault.Struck {
	r := fault.Request{Strike: &fault.StrikeRequest{Tear: m.tear, Patience: patience}}
	a, err := fault.Ask(string(m.node.home), r, time.Now().Add(patience+countTime))
	if err != nil {
		return nil
	}
	return a.Struck
}

func (c *Cluster) killAll(all []*member) error {
	errs := make([]error, len(all))
	var killing sync.WaitGroup
	for i, m := range all {
		killing.Go(func() { errs[i] = c.kill(m) })
	}
	killing.Wait()
	return errors.Join(errs...)
}

// kill ends a node's process.
func (c *Cluster) kill(m *member) error {
	m.node.hear()
	err := c.network.Kill(context.Background(), m.number)
	if err != nil && !errors.Is(err, ErrNotRunning) {
		return fmt.Errorf("node %d: %w", m.number, err)
	}
	m.node.end(m.number)
	m.tear = false
	if err != nil {
		return fmt.Errorf("node %d: %w", m.number, errGone)
	}
	return nil
}

var (
	errGone = errors.New("it is down: it has ended by itself")
	errTwin = errors.New("it has a twin already")
)

// struck counts what a crash takes.
func (m *member) struck(s *fault.Struck) {
	if s == nil {
		return
	}
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
