package local

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/quorate/quorate/testnet/fault"
	"github.com/quorate/quorate/testnet/scenario"
)

// ClusterConfig is what a Cluster is made with.
type ClusterConfig struct {
	Dir     string // that the network is made in, which must not be there or be empty
	Tools   Tools
	Program func() (Program, error) // a node, by `start`, and what operators run
	Audit   Audit
}

// Cluster is a network of processes that faults happen to. What goes wrong inside a node is told to it by a socket in its home, and
// what operators do, the program does; see scenario.Cluster.
type Cluster struct {
	cfg     ClusterConfig
	program Program
	network *Network // nil before Start
	seed    uint64
	chance  *rand.Rand // of faults
	begun   time.Time
	nodes   []*member // by number, from 1
	clients *clients

	answers chan func() // that Wait calls
	audited *audited    // since the last Wait; nil: not yet
	found   chan *scenario.Violation

	ctx      context.Context // ends when the cluster is closed
	end      context.CancelFunc
	watching sync.WaitGroup
}

var _ scenario.Cluster = (*Cluster)(nil)

// NewCluster has no network yet.
func NewCluster(cfg ClusterConfig) *Cluster {
	c := &Cluster{cfg: cfg, answers: make(chan func(), 1024), found: make(chan *scenario.Violation, 64)}
	c.ctx, c.end = context.WithCancel(context.Background())
	return c
}

// startTime is how long nodes have to be there when they are started.
const startTime = time.Minute

// Start makes the network and has all nodes ready.
func (c *Cluster) Start(ctx context.Context, shape scenario.Shape) error {
	plan := DefaultPlan()
	plan.Nodes, plan.BasePort = shape.Nodes, 0
	if err := plan.Mode.UnmarshalText([]byte(shape.Mode)); err != nil {
		return err
	}
	for name, value := range shape.Parameters {
		if err := plan.Parameters.Set(fmt.Sprintf("%s=%d", name, value)); err != nil {
			return err
		}
	}
	var err error
	if c.program, err = c.cfg.Program(); err != nil {
		return err
	}
	c.program.Args = append(c.program.Args, "--faults")
	n, err := Create(c.cfg.Dir, c.cfg.Tools, plan)
	if err != nil {
		return err
	}
	c.network, c.seed = n, shape.Seed
	c.chance = rand.New(rand.NewPCG(shape.Seed, ofFaults))
	if c.clients, err = newClients(n, shape.Seed); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	if err := n.Start(ctx, n.All(), c.program); err != nil {
		return err
	}
	if err := n.AwaitReady(ctx, n.All()); err != nil {
		return err
	}
	c.begun = time.Now()
	for _, i := range n.All() {
		m := &member{number: i, node: newLife(n.Home(i), n.URL(i)), links: make(map[int]fault.LinkRequest)}
		c.nodes = append(c.nodes, m)
		m.node.begin()
		c.lookAgain(m, m.node, lookTime)
		c.watch(m, m.node)
	}
	return nil
}

// ofFaults is the stream of the seed that faults draw from.
const ofFaults = 1

// endTime is how long nodes have to stop when all is over; then they are killed.
const endTime = 5 * time.Second

// Close ends all processes, and leaves the folder.
func (c *Cluster) Close() error {
	c.end()
	c.watching.Wait()
	if c.clients == nil {
		return nil // nothing was started
	}
	c.clients.close()
	ctx, cancel := context.WithTimeout(context.Background(), endTime)
	defer cancel()
	errs := make([]error, c.network.N())
	var all sync.WaitGroup
	for _, i := range c.network.All() {
		all.Go(func() {
			if c.network.Stop(ctx, i) == nil {
				return
			}
			if err := c.network.Kill(context.Background(), i); !errors.Is(err, ErrNotRunning) {
				errs[i-1] = err
			}
		})
	}
	all.Wait()
	return errors.Join(append(errs, c.network.StopTwins(context.Background()))...)
}

// Now is the time since Start.
func (c *Cluster) Now() time.Duration { return time.Since(c.begun) }

// Wait lets that much time pass, or less if it has called back.
func (c *Cluster) Wait(ctx context.Context, d time.Duration) error {
	c.audited = nil
	over := time.NewTimer(d)
	defer over.Stop()
	select {
	case v := <-c.found:
		return v
	case tell := <-c.answers:
		tell()
		for range len(c.answers) {
			(<-c.answers)()
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-over.C:
		return nil
	}
}

// later calls something in a goroutine, and has Wait call what it yields.
func (c *Cluster) later(do func() func()) {
	go func() {
		select {
		case c.answers <- do():
		case <-c.ctx.Done():
		}
	}()
}

// Digest is empty: no run of processes equals another.
func (c *Cluster) Digest() string { return "" }
