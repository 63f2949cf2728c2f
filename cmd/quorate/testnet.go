package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/quorate/quorate/crypto/keystore"
	"github.com/quorate/quorate/node"
	"github.com/quorate/quorate/p2p"
	"github.com/quorate/quorate/testnet/local"
)

var homeTools = local.Tools{NewKey: keystore.Generate, SaveKey: keystore.Save, PeerID: p2p.PeerID, CreateLog: node.Create, CopyLog: node.CreateTwin}

func (a *app) testnetCommand() *cobra.Command {
	return group("testnet", "A network of processes on this machine",
		a.testnetUpCommand(), a.testnetInitCommand(), a.testnetStatusCommand(), a.testnetDownCommand(), a.testnetStartCommand(),
		a.nodesCommand("stop", "Stop nodes gracefully", "stopped", (*local.Network).Stop),
		a.nodesCommand("kill", "End nodes with SIGKILL, as a crash of the process would", "killed", (*local.Network).Kill),
		a.nodesCommand("pause", "Freeze nodes with SIGSTOP", "paused", withoutContext((*local.Network).Pause)),
		a.nodesCommand("resume", "Let paused nodes go on", "resumed", withoutContext((*local.Network).Resume)),
		a.testnetTwinCommand(), a.testnetLogsCommand())
}

func withoutContext(do func(*local.Network, int) error) func(*local.Network, context.Context, int) error {
	return func(n *local.Network, _ context.Context, i int) error { return do(n, i) }
}

// planFlags are what a network is created from.
type planFlags struct {
	plan   local.Plan
	mode   string
	params []string
	set    *pflag.FlagSet
}

func (p *planFlags) add(cmd *cobra.Command) {
	p.plan = local.DefaultPlan()
	p.set = cmd.Flags()
	p.set.IntVar(&p.plan.Nodes, "nodes", p.plan.Nodes, "how many nodes")
	p.set.StringVar(&p.mode, "mode", p.plan.Mode.String(), "byzantine or crash: what a failed node may do")
	p.set.StringSliceVar(&p.plan.Hosts, "hosts", nil, "an IP address for each node (default 127.0.0.1)")
	p.set.IntVar(&p.plan.BasePort, "base-port", p.plan.BasePort, "node i listens on this+i, and for clients on this+1000+i; 0: any that are free")
	p.set.StringArrayVar(&p.params, "param", nil, "NAME=VALUE: a parameter of the genesis; may be repeated")
}

// read completes the plan. Its errors are the command line's.
func (p *planFlags) read() error {
	if err := p.plan.Mode.UnmarshalText([]byte(p.mode)); err != nil {
		return &failure{exitUsage, err}
	}
	if err := setParameters(&p.plan.Parameters, p.params); err != nil {
		return err
	}
	if err := p.plan.Validate(); err != nil {
		return &failure{exitUsage, err}
	}
	return nil
}

// asked are the flags that the user has set.
func (p *planFlags) asked() (names []string) {
	p.set.Visit(func(f *pflag.Flag) { names = append(names, f.Name) })
	return names
}

func (a *app) testnetInitCommand() *cobra.Command {
	var p planFlags
	cmd := a.command("init [flags]", "Create a network, and do not start it", "  quorate testnet init --nodes 7 --dir seven", cobra.NoArgs,
		func(context.Context, []string) error {
			if err := p.read(); err != nil {
				return err
			}
			n, err := a.create(p.plan)
			if err != nil {
				return err
			}
			a.say("created %s with %d nodes: quorate testnet up%s", n.Dir, n.N(), a.dirFlag())
			return nil
		})
	p.add(cmd)
	return cmd
}

func (a *app) create(p local.Plan) (*local.Network, error) {
	n, err := local.Create(a.dir, homeTools, p)
	if errors.Is(err, local.ErrExists) {
		return nil, fmt.Errorf("%w: choose another folder with --dir", err)
	}
	if system := (*fs.PathError)(nil); errors.As(err, &system) {
		return nil, fmt.Errorf("%s cannot be made (%w): make room or mend the permissions, or choose another folder with --dir", a.dir, system.Err)
	}
	return n, err
}

// network opens the folder of the test network.
func (a *app) network() (*local.Network, error) {
	n, err := local.Open(a.dir)
	if errors.Is(err, local.ErrNoNetwork) {
		return nil, fmt.Errorf("%w: create one with `quorate testnet up`, or name its folder with --dir", err)
	}
	return n, err
}

// dirFlag is what a command needs to find the same network again.
func (a *app) dirFlag() string {
	if a.dir == "quorate-testnet" {
		return ""
	}
	return " --dir " + a.dir
}

func (a *app) testnetUpCommand() *cobra.Command {
	var p planFlags
	var detach bool
	var timeout time.Duration
	cmd := a.command("up [flags]", "Create a network if there is none, and start it",
		"  quorate testnet up                       until Ctrl-C, which stops all nodes\n  quorate testnet up --detach --base-port 0", cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			if err := p.read(); err != nil {
				return err
			}
			n, err := local.Open(a.dir)
			switch {
			case errors.Is(err, local.ErrNoNetwork) && errors.Is(err, fs.ErrNotExist):
				if err := p.plan.PortsFree(); err != nil {
					return err // before there is a folder: its ports would be those for good
				}
				if n, err = a.create(p.plan); err != nil {
					return err
				}
				a.say("created %s with %d nodes", n.Dir, n.N())
			case err != nil:
				return err
			default:
				if err := n.Fits(&p.plan, p.asked()); err != nil {
					return err
				}
			}
			return a.up(ctx, n, timeout, detach)
		})
	p.add(cmd)
	cmd.Flags().BoolVar(&detach, "detach", false, "return when all nodes are ready, and leave them running")
	cmd.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "how long to wait for the nodes to be ready")
	return cmd
}

func (a *app) up(ctx context.Context, n *local.Network, timeout time.Duration, detach bool) error {
	if !detach {
		// Who reads the output may be gone: that must not end this process before its nodes.
		signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	}
	err := a.startNodes(ctx, n, n.All(), timeout)
	if err == nil {
		err = a.showNetwork(ctx, n)
	}
	if err != nil {
		if ctx.Err() != nil || !detach {
			return errors.Join(err, a.stopAll(n))
		}
		return a.leftRunning(n, err)
	}
	if a.output == "text" {
		fmt.Fprintf(a.out, "\ntry: %s tx put%s greeting hello\n", callOf(os.Args[0]), a.dirFlag())
	}
	if detach {
		return nil
	}
	a.say("Ctrl-C stops all nodes")
	err = n.AwaitEnd(ctx)
	if ctx.Err() == nil {
		return err // all were stopped or killed by somebody else
	}
	return a.stopAll(n)
}

// leftRunning adds to what went wrong which nodes run nevertheless.
func (a *app) leftRunning(n *local.Network, err error) error {
	running, wrong := n.Running()
	if wrong != nil || len(running) == 0 {
		return errors.Join(err, wrong)
	}
	separator, nodes, run, them := "; ", "nodes", "run", "them"
	if strings.Contains(err.Error(), "\n") {
		separator = "\n" // behind a node's last words, which are lines
	}
	if len(running) == 1 {
		nodes, run, them = "node", "runs", "it"
	}
	return fmt.Errorf("%w%s%s %s %s: quorate testnet down%s stops %s", err, separator, nodes,
		strings.Trim(fmt.Sprint(running), "[]"), run, a.dirFlag(), them)
}

// startNodes starts nodes and waits until they are ready, if enough of the network runs for that.
func (a *app) startNodes(ctx context.Context, n *local.Network, ids []int, timeout time.Duration, args ...string) error {
	program, err := local.ThisProgram()
	if err != nil {
		return err
	}
	// What is not asked for is each node's own affair: its config.toml says it.
	if s := local.DefaultSettings(); a.logLevel != s.LogLevel || a.logFormat != s.LogFormat {
		program.Args = []string{"--log-level", a.logLevel, "--log-format", a.logFormat}
	}
	program.Args = append(program.Args, args...)
	waiting, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := n.Start(waiting, ids, program); err != nil {
		return a.notReady(ctx, err)
	}
	running, err := n.Running()
	if err != nil {
		return err
	}
	e := n.Genesis.Epoch()
	if len(running) < e.Quorum() {
		a.say("%d of %d nodes run: %d are needed to commit", len(running), n.N(), e.Quorum())
		return nil
	}
	return a.notReady(ctx, n.AwaitReady(waiting, ids))
}

func (a *app) notReady(ctx context.Context, err error) error {
	if errors.Is(err, local.ErrNotReady) && ctx.Err() == nil {
		return &failure{exitUnavailable, err}
	}
	return err
}

// stopAll stops all nodes one after the other, whatever has interrupted the command. Each has its own time for it.
func (a *app) stopAll(n *local.Network) error {
	a.say("stopping all nodes")
	var errs []error
	for _, i := range n.All() {
		errs = append(errs, n.Stop(context.Background(), i))
	}
	return errors.Join(append(errs, n.StopTwins(context.Background()))...)
}

func (a *app) testnetStatusCommand() *cobra.Command {
	return a.command("status", "Show how the nodes are", "  quorate testnet status -o json", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		n, err := a.network()
		if err != nil {
			return err
		}
		return a.showNetwork(ctx, n)
	})
}

func (a *app) showNetwork(ctx context.Context, n *local.Network) error {
	all, err := n.Status(ctx)
	if err != nil {
		return err
	}
	if a.output == "json" {
		return a.writeJSON(map[string]any{"dir": n.Dir, "chain": n.Genesis.Digest(), "nodes": all})
	}
	rows := [][]string{{"NODE", "STATE", "PID", "API", "P2P", "SEQ", "VIEW", "LEADER", "READY"}}
	for _, s := range all {
		pid, leader, ready := "", "", ""
		if s.PID != 0 {
			pid = strconv.Itoa(s.PID)
		}
		if s.State == "running" {
			leader, ready = strconv.FormatUint(uint64(s.Leader), 10), "yes"
			if !s.Ready {
				ready = "no: " + s.Why
			}
		}
		rows = append(rows, []string{strconv.Itoa(s.Node), s.State, pid, s.API, s.P2P, s.Seq, s.View, leader, ready})
	}
	return a.writeTable(rows)
}

func (a *app) testnetDownCommand() *cobra.Command {
	return a.command("down", "Stop all nodes", "  quorate testnet down --dir seven", cobra.NoArgs, func(context.Context, []string) error {
		n, err := a.network()
		if err != nil {
			return err
		}
		return a.stopAll(n)
	})
}

func (a *app) testnetStartCommand() *cobra.Command {
	var timeout time.Duration
	var lie []string
	cmd := a.command("start N…", "Start nodes", "  quorate testnet start 1 2 3 4", cobra.MinimumNArgs(1), func(ctx context.Context, args []string) error {
		n, ids, err := a.networkNodes(args)
		if err != nil {
			return err
		}
		liar, err := lies(lie)
		if err != nil {
			return err
		}
		before, err := n.Running()
		if err != nil {
			return err
		}
		if err := a.startNodes(ctx, n, ids, timeout, liar...); err != nil {
			return err
		}
		observers, err := n.Observers(ctx, ids)
		if err != nil {
			return err
		}
		for _, i := range ids {
			how := "started"
			if slices.Contains(before, i) {
				how = "runs already"
			}
			if why, observes := observers[i]; observes {
				how += ": " + why
			}
			a.say("node%d %s", i, how)
		}
		return nil
	})
	cmd.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "how long to wait for the nodes to be ready")
	addLie(cmd, &lie)
	return cmd
}

// nodesCommand does something to each of some nodes.
func (a *app) nodesCommand(verb, short, done string, do func(*local.Network, context.Context, int) error) *cobra.Command {
	return a.command(verb+" N…", short, fmt.Sprintf("  quorate testnet %s 2", verb), cobra.MinimumNArgs(1), func(ctx context.Context, args []string) error {
		n, ids, err := a.networkNodes(args)
		if err != nil {
			return err
		}
		// All at once: who kills several means that all of them crash together.
		errs := make([]error, len(ids))
		var wg sync.WaitGroup
		for k, i := range ids {
			wg.Go(func() { errs[k] = do(n, ctx, i) })
		}
		wg.Wait()
		for k, i := range ids {
			if errs[k] == nil {
				a.say("node%d %s", i, done)
			}
		}
		return errors.Join(errs...)
	})
}

// networkNodes opens the folder of the test network, and reads which of its nodes are meant.
func (a *app) networkNodes(args []string) (*local.Network, []int, error) {
	n, err := a.network()
	if err != nil {
		return nil, nil, err
	}
	ids, err := nodeNumbers(n, args)
	return n, ids, err
}

func nodeNumbers(n *local.Network, args []string) ([]int, error) {
	ids := make([]int, len(args))
	for k, arg := range args {
		i, err := strconv.Atoi(strings.TrimPrefix(arg, "node"))
		if err != nil || i < 1 || i > n.N() {
			return nil, fail(exitUsage, "node %q: want 1 to %d", arg, n.N())
		}
		ids[k] = i
	}
	return ids, nil
}

func (a *app) testnetTwinCommand() *cobra.Command {
	var timeout time.Duration
	var host string
	cmd := a.command("twin N", "Start a second process with a node's keys and what it remembers: a member that lies", "  quorate testnet twin 4", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			n, ids, err := a.networkNodes(args)
			if err != nil {
				return err
			}
			program, err := local.ThisProgram()
			if err != nil {
				return err
			}
			if host != "" && net.ParseIP(host) == nil {
				return fail(exitUsage, "host: %q is not an IP address", host)
			}
			waiting, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			twin, err := n.StartTwin(waiting, ids[0], host, homeTools, program)
			if err != nil {
				return err
			}
			if a.output == "json" {
				return a.writeJSON(map[string]any{"node": ids[0], "home": twin.Home, "pid": twin.PID, "p2p": twin.P2P, "api": twin.API})
			}
			a.say("the twin of node%d runs at %s (pid %d, log %s); `quorate testnet down` stops it too, and `quorate evidence` shows what it was caught at",
				ids[0], twin.API, twin.PID, twin.Home.Log())
			return nil
		})
	cmd.Flags().DurationVar(&timeout, "timeout", 30*time.Second, "how long to wait for it to answer")
	cmd.Flags().StringVar(&host, "host", "", "IP address on which it is to listen (default: the node's)")
	return cmd
}

func (a *app) testnetLogsCommand() *cobra.Command {
	var follow bool
	cmd := a.command("logs [N] [-f]", "Show the nodes' logs", "  quorate testnet logs 2 -f", cobra.MaximumNArgs(1), func(ctx context.Context, args []string) error {
		n, err := a.network()
		if err != nil {
			return err
		}
		ids := n.All()
		if len(args) == 1 {
			if ids, err = nodeNumbers(n, args); err != nil {
				return err
			}
		}
		err = showLogs(ctx, a.out, n, ids, follow)
		if follow && ctx.Err() != nil {
			return nil // that is how one ends it
		}
		if errors.Is(err, os.ErrNotExist) {
			return fail(exitNotFound, "%w: the node has never run", err)
		}
		return err
	})
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what is written, until Ctrl-C")
	return cmd
}

// callOf is how to call this program again: what `go run` has built lies in a folder of the compiler's that nobody calls by name.
func callOf(program string) string {
	if strings.Contains(program, string(filepath.Separator)+"go-build") {
		return "go run ./cmd/quorate"
	}
	return program
}
