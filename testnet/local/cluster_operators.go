package local

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/testnet/scenario"
)

// Operate runs the program as an operator does.
func (c *Cluster) Operate(o scenario.Order, within time.Duration, done func(error)) {
	var args []string
	switch {
	case o.Recover:
		args = []string{"recover"}
	case o.Mode != "":
		args = []string{"mode", o.Mode}
	default:
		args = []string{"params"}
		for _, name := range slices.Sorted(maps.Keys(o.Parameters)) {
			args = append(args, fmt.Sprintf("%s=%d", name, o.Parameters[name]))
		}
	}
	c.later(func() func() {
		err := c.operate(args, within)
		return func() { done(err) }
	})
}

// operatorGrace is how much longer than it should take an operator's command may, so that it is the one to say why.
const operatorGrace = 500 * time.Millisecond

func (c *Cluster) operate(args []string, within time.Duration) error {
	ctx, cancel := context.WithTimeout(c.ctx, within+operatorGrace)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.program.Path)
	cmd.Args = append([]string{c.program.Name}, append(args, "--dir", c.network.Dir, "--quiet", "--timeout", within.String())...)
	cmd.Env = environment(os.Environ())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("quorate %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// Audit goes through the chains of nodes that run, and of nodes that are down as their folders have them, and looks for what was
// acknowledged.
type Audit func(ctx context.Context, n *Network, up, down []int, acks []Ack) (*Audited, error)

// Audited is what an audit has found.
type Audited struct {
	Broken map[scenario.Check]*scenario.Violation
	Read   int   // nodes, to their ends
	Why    error // one could not be
}

// audited is what an audit of these nodes has found.
type audited struct {
	up, down []int
	found    *Audited
}

// audit goes through the chains of these nodes, if it has not since time passed last: checks of several promises are one audit.
func (c *Cluster) audit(ctx context.Context, up, down []int) (*Audited, error) {
	if a := c.audited; a != nil && slices.Equal(a.up, up) && slices.Equal(a.down, down) {
		return a.found, nil
	}
	found, err := c.cfg.Audit(ctx, c.network, up, down, c.clients.acknowledged())
	if err == nil {
		c.audited = &audited{up, down, found}
	}
	return found, err
}

// Check goes through the chains of the nodes, but of those that are paused, have ever lied, or are down and have another log than they
// wrote. It takes a quorum to say anything of the network; a liar counts as asked.
func (c *Cluster) Check(ctx context.Context, what scenario.Check) error {
	var up, down, out []int
	liars := 0
	mode := c.network.Genesis.Mode.String()
	furthest := uint64(0)
	for _, m := range c.nodes {
		switch look := c.Look(m.number); {
		case m.suspect.Load() && look.State != scenario.Paused:
			liars++
		case look.State == scenario.Down && !m.flipped:
			down = append(down, m.number)
		case look.State != scenario.Up:
			out = append(out, m.number)
		default:
			up = append(up, m.number)
			if look.Mode != "" && look.Epoch >= furthest {
				mode, furthest = look.Mode, look.Epoch
			}
		}
	}
	found, err := c.audit(ctx, up, down)
	if err != nil {
		return err
	}
	if v := found.Broken[what]; v != nil {
		return v
	}
	var of epoch.Mode
	if err := of.UnmarshalText([]byte(mode)); err != nil {
		return err
	}
	want := epoch.Quorum(of, len(c.nodes))
	switch {
	case found.Read+liars >= want:
		return nil
	case found.Why != nil:
		return fmt.Errorf("the chains of %d nodes could be read, and it takes %d to say anything of the network: %w", found.Read, want, found.Why)
	default:
		return fmt.Errorf("the chains of %d nodes could be read, and it takes %d to say anything of the network: out of reach are %v", found.Read, want, out)
	}
}
