package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/testnet/sim"
)

func (a *app) simCommand() *cobra.Command {
	var o sim.Options
	var trace, shrink bool
	var leaveOut, mode string
	var cmd *cobra.Command
	cmd = a.command("sim [flags]", "Explore random worlds in the simulator",
		"  quorate sim --seeds 1000\n  quorate sim --seeds 1 --from 4711 --trace    one world, told as a story", cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			if o.Twins && !cmd.Flags().Changed("from") {
				o.From = 0
			}
			if o.Twins && !cmd.Flags().Changed("seeds") {
				o.Seeds = sim.Layouts - int(o.From)
			}
			if err := o.Mode.UnmarshalText([]byte(mode)); err != nil {
				return &failure{exitUsage, err}
			}
			var err error
			if o.LeftOut, err = sim.ParseFaults(leaveOut); err == nil {
				err = o.Check()
			}
			if err != nil {
				return &failure{exitUsage, err}
			}
			if o.Seeds == 0 {
				return fail(exitUsage, "seeds: 0, want 1 or more")
			}
			if trace {
				if o.Seeds != 1 {
					return fail(exitUsage, "--trace tells of one world: add --seeds 1")
				}
				o.Trace = a.out
			}
			return a.sim(ctx, o, shrink)
		})
	f := cmd.Flags()
	f.IntVar(&o.Seeds, "seeds", 100, "how many worlds")
	f.Uint64Var(&o.From, "from", 1, "the first seed")
	f.IntVar(&o.Nodes, "nodes", 0, "how many nodes each world has (default: each seed draws its own)")
	f.StringVar(&mode, "mode", "byzantine", "byzantine or crash: what a failed member may do")
	f.StringVar(&o.Mix, "mix", "", "epochs: operators change the mode and the parameters")
	f.IntVar(&o.Steps, "steps", 0, "faults end after so many events (default: after the time that the seed draws)")
	f.BoolVar(&o.Twins, "twins", false, "two hosts with one key: all ways to part them from the others over three views (default: --from 0, to the last)")
	f.BoolVar(&trace, "trace", false, "tell what happens")
	f.BoolVar(&shrink, "shrink", false, "bring the first failure down to the faults that it takes")
	f.StringVar(&leaveOut, "leave-out", "", "faults that do not happen, by number: 1-4,7")
	return cmd
}

// sim runs the worlds, one for each processor at a time.
func (a *app) sim(ctx context.Context, o sim.Options, shrink bool) error {
	// A world cannot be interrupted within: the signal that ends the command lets it go.
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400) // worlds are small and short-lived: a sixth of the time would go into collecting them
	}
	totals, begun := &sim.Totals{}, time.Now()
	var mu sync.Mutex
	next, said := 0, time.Now()
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for ctx.Err() == nil {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= o.Seeds {
					return
				}
				r := sim.Run(o.From+uint64(i), o)
				mu.Lock()
				totals.Add(r, o)
				if r.Violation != nil {
					a.say("%v", r.Violation)
				}
				if time.Since(said) > 5*time.Second {
					said = time.Now()
					a.say("%d of %d worlds", totals.Worlds, o.Seeds)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return fmt.Errorf("after %d worlds: %w", totals.Worlds, ctx.Err())
	}
	if took := time.Since(begun).Seconds(); o.Seeds > 1 {
		c := &totals.Counts
		a.say("%.0f s: %.0f commits, %.0f faults, %.0f events a second", took, float64(c.Commits)/took, float64(totals.Faults)/took, float64(c.Events)/took)
	}
	if shrink && len(totals.Failures) > 0 {
		a.shrunk(totals, o)
	}
	return a.simVerdict(totals, o)
}

// shrunk says what the first failure takes.
func (a *app) shrunk(t *sim.Totals, o sim.Options) {
	failed := t.FirstFailure()
	small, r := sim.Shrink(failed, o)
	a.say("%d of %d faults are enough: %v\n  repeat: %s --trace", failed.Struck-len(small.LeftOut), failed.Struck, r.Violation,
		sim.Reproducer(failed.Seed, small))
}

var errNotTested = errors.New("the worlds did not do what they promise to test: run more seeds")

func (a *app) simVerdict(t *sim.Totals, o sim.Options) error {
	if a.output == "json" {
		counts, failures := map[string]string{}, []map[string]any{}
		for _, k := range t.Counts.Kinds() {
			counts[k.Name] = fmt.Sprint(k.N)
		}
		for _, v := range t.Failures {
			failures = append(failures, map[string]any{"seed": fmt.Sprint(v.Seed), "node": v.Node, "checker": v.Checker,
				"text": v.Text, "repeat": sim.Reproducer(v.Seed, o)})
		}
		if err := a.writeJSON(map[string]any{"worlds": t.Worlds, "median_commits": t.MedianCommits(), "counts": counts,
			"failures": failures, "not_tested": t.Untested()}); err != nil {
			return err
		}
	} else if err := t.Print(a.out); err != nil {
		return err
	}
	switch {
	case len(t.Failures) > 0:
		return fail(exitViolation, "%d of %d worlds failed: %s", len(t.Failures), t.Worlds, sim.Reproducer(t.Failures[0].Seed, o))
	case len(t.Untested()) > 0 && o.Seeds >= tellingSeeds:
		return errNotTested
	}
	return nil
}

// tellingSeeds is how many worlds must between them do everything that they promise; one alone need not.
const tellingSeeds = 50
