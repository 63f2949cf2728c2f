package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/testnet/local"
	"github.com/quorate/quorate/testnet/scenario"
	"github.com/quorate/quorate/testnet/sim"
)

func (a *app) faultsCommand() *cobra.Command {
	return group("faults", "Fault scripts: one file, run on the simulator or on processes", a.faultsRunCommand(), a.faultsCheckCommand(), a.faultsListCommand(),
		a.faultsJudgeCommand())
}

// faultsRun is how a script is to be run.
type faultsRun struct {
	on    string
	seed  uint64
	seeds int
	out   string
	trace bool
}

// The worlds that a script can run on.
const (
	onSim     = "sim"
	onTestnet = "testnet"
)

func (a *app) faultsRunCommand() *cobra.Command {
	var r faultsRun
	cmd := a.command("run SCRIPT [flags]", "Run a fault script, and say what came of it",
		"  quorate faults run leader-crash                          one of the library, simulated\n"+
			"  quorate faults run mine.star --on testnet --out report   on processes, with a report\n"+
			"  quorate faults run mine.star --seeds 100                 on a hundred simulated networks", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			switch {
			case r.on != onSim && r.on != onTestnet:
				return fail(exitUsage, "--on %s: want %s or %s", r.on, onSim, onTestnet)
			case r.seeds < 1:
				return fail(exitUsage, "--seeds %d: want 1 or more", r.seeds)
			case r.seeds > 1 && r.on == onTestnet:
				return fail(exitUsage, "--seeds %d: a run on processes is not decided by its seed: run it again instead", r.seeds)
			case r.trace && (r.on != onSim || r.seeds != 1):
				return fail(exitUsage, "--trace tells of one simulated network: leave out --on and --seeds")
			}
			s, err := checkedScript(args[0])
			if err != nil {
				return err
			}
			if r.seeds > 1 {
				return a.manySeeds(ctx, s, r)
			}
			return a.oneRun(ctx, s, r)
		})
	f := cmd.Flags()
	f.StringVar(&r.on, "on", onSim, "sim or testnet: a simulated network, or one of processes on this machine")
	f.Uint64Var(&r.seed, "seed", 1, "of all that is left to chance; on sim the same seed gives the same run")
	f.IntVar(&r.seeds, "seeds", 1, "sim: run it on so many networks, from --seed on")
	f.StringVar(&r.out, "out", "", "folder for the report")
	f.BoolVar(&r.trace, "trace", false, "sim: tell what happens inside, on stdout")
	return cmd
}

func (a *app) faultsCheckCommand() *cobra.Command {
	return a.command("check SCRIPT…", "Look for mistakes in fault scripts, without running them", "  quorate faults check mine.star", cobra.MinimumNArgs(1),
		func(_ context.Context, args []string) error {
			for _, path := range args {
				if _, err := checkedScript(path); err != nil {
					return err
				}
				a.say("%s: no mistake was found", path)
			}
			return nil
		})
}

func (a *app) faultsJudgeCommand() *cobra.Command {
	return a.command("judge HISTORY", "Judge the history of a run once more: whether one order explains all answers",
		"  quorate faults judge report/history.jsonl", cobra.ExactArgs(1),
		func(_ context.Context, args []string) error {
			f, err := os.Open(args[0])
			if err != nil {
				return err
			}
			defer f.Close()
			history, err := scenario.ReadHistory(f)
			if err != nil {
				return fmt.Errorf("%s: %w", args[0], err)
			}
			v := scenario.LocalReads(history)
			if v == nil {
				if v, _, err = scenario.Linearizable(history); err != nil {
					return err
				}
			}
			if v != nil {
				return &failure{exitViolation, v}
			}
			return a.writeFields([]field{{"calls", len(history)}, {"linearizable", true}})
		})
}

func (a *app) faultsListCommand() *cobra.Command {
	var functions bool
	cmd := a.command("list [flags]", "The fault scripts that come with the program, or the functions that a script can call",
		"  quorate faults list\n  quorate faults list --functions", cobra.NoArgs,
		func(context.Context, []string) error {
			rows := [][2]string{}
			if functions {
				for _, signature := range scenario.Signatures() {
					name, _, _ := strings.Cut(signature, "(")
					rows = append(rows, [2]string{name, signature})
				}
			} else {
				for _, s := range scenario.Library() {
					rows = append(rows, [2]string{s.Name, s.Says})
				}
			}
			if a.output == "json" {
				list := []map[string]string{}
				for _, row := range rows {
					list = append(list, map[string]string{"name": row[0], "says": row[1]})
				}
				return a.writeJSON(list)
			}
			w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
			for _, row := range rows {
				if functions {
					fmt.Fprintln(w, row[1])
				} else {
					fmt.Fprintf(w, "%s\t%s\n", row[0], row[1])
				}
			}
			return w.Flush()
		})
	cmd.Flags().BoolVar(&functions, "functions", false, "list the functions instead")
	return cmd
}

// checkedScript reads a file, or a script of the library by its name.
func checkedScript(path string) (*scenario.Script, error) {
	source, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		all := scenario.Library()
		i := slices.IndexFunc(all, func(s scenario.Story) bool { return s.Name == strings.TrimSuffix(filepath.Base(path), ".star") })
		if i < 0 || path != filepath.Base(path) {
			return nil, fail(exitUsage, "%s: there is no such file, and no script of that name%s", path, meant(path, all))
		}
		path, source, err = all[i].Name+".star", all[i].Source, nil
	}
	if err != nil {
		return nil, err
	}
	s, err := scenario.Parse(path, source)
	if err == nil {
		err = s.Check(shapeIsGood)
	}
	if err != nil {
		return nil, &failure{exitUsage, err}
	}
	return s, nil
}

// meant is which script of the library somebody may have meant.
func meant(path string, all []scenario.Story) string {
	var names []string
	for _, s := range all {
		names = append(names, s.Name)
	}
	if s := scenario.Suggest(strings.TrimSuffix(filepath.Base(path), ".star"), names); strings.HasPrefix(s, "did") {
		return ": " + s
	}
	return " (see quorate faults list)"
}

// shapeIsGood says what is wrong with the network that a script wants.
func shapeIsGood(s scenario.Shape) error {
	p, err := sim.ParametersOf(s)
	if err != nil {
		return err
	}
	plan := local.DefaultPlan()
	plan.Nodes, plan.Parameters = s.Nodes, p
	if err := plan.Mode.UnmarshalText([]byte(s.Mode)); err != nil {
		return err
	}
	return plan.Validate()
}

// oneRun runs a script once, says what it does, and leaves a report.
func (a *app) oneRun(ctx context.Context, s *scenario.Script, r faultsRun) error {
	o := scenario.Options{World: r.on, Seed: r.seed, Progress: func(at time.Duration, line int, what string) {
		place := ""
		if line > 0 {
			place = fmt.Sprintf("%s:%d: ", s.Name, line)
		}
		a.say("%9.3fs  %s%s", at.Seconds(), place, what)
	}}
	var c scenario.Cluster
	var files []scenario.File
	if r.on == onSim {
		simulated := sim.NewCluster(nil)
		if r.trace {
			simulated = sim.NewCluster(a.out)
		}
		c = simulated
	} else {
		folder, err := os.MkdirTemp("", "quorate-faults-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(folder)
		dir := filepath.Join(folder, "network")
		c = a.testnetCluster(dir)
		for n := 1; n <= scenario.MaxNodes; n++ {
			files = append(files, scenario.File{Name: fmt.Sprintf("node%d.log", n), Path: filepath.Join(dir, fmt.Sprintf("node%d", n), "node.log")})
		}
	}
	run, err := scenario.Play(ctx, s, c, o)
	if err != nil {
		if errors.Is(err, ctx.Err()) {
			return err
		}
		return fmt.Errorf("%s has not come to a verdict: %w", s.Name, err)
	}
	if r.out == "" && run.Verdict != scenario.Passed {
		a.say("add --out FOLDER for a report, with the nodes' logs if it is --on testnet")
	}
	if r.out != "" {
		files = slices.DeleteFunc(files, func(f scenario.File) bool { _, err := os.Stat(f.Path); return err != nil })
		if err := run.WriteReport(r.out, files); err != nil {
			return err
		}
		a.say("report: %s", filepath.Join(r.out, "report.html"))
	}
	switch {
	case r.trace:
	case a.output == "json":
		err = run.WriteJSON(a.out)
	default:
		err = run.Summary(a.out)
	}
	return errors.Join(err, verdict(run))
}

// verdict is a run's as an error with its exit code, or nil.
func verdict(r *scenario.Run) error {
	switch r.Verdict {
	case scenario.Passed:
		return nil
	case scenario.Violated:
		return fail(exitViolation, "%s: %s", r.Verdict, r.Why)
	default:
		return fail(exitError, "%s: %s", r.Verdict, r.Why)
	}
}

// manySeeds runs a script on many simulated networks, one for each processor at a time.
func (a *app) manySeeds(ctx context.Context, s *scenario.Script, r faultsRun) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	runs := make([]*scenario.Run, r.seeds)
	errs := make([]error, r.seeds)
	var wg sync.WaitGroup
	var mu sync.Mutex
	next := 0
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= r.seeds || ctx.Err() != nil {
					return
				}
				seed := r.seed + uint64(i)
				runs[i], errs[i] = scenario.Play(ctx, s, sim.NewCluster(nil), scenario.Options{World: r.on, Seed: seed})
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	count := map[scenario.Verdict]int{}
	worst := runs[0]
	for _, run := range runs {
		count[run.Verdict]++
		if run.Verdict != scenario.Passed {
			a.say("seed %d: %s: %s", run.Seed, run.Verdict, run.Why)
			if worst.Verdict == scenario.Passed || worst.Verdict == scenario.NotTested && run.Verdict == scenario.Violated {
				worst = run
			}
		}
	}
	if r.out != "" {
		if err := worst.WriteReport(r.out, nil); err != nil {
			return err
		}
		a.say("report of seed %d: %s", worst.Seed, filepath.Join(r.out, "report.html"))
	}
	if err := a.writeFields([]field{
		{"script", s.Name}, {"seeds", r.seeds}, {"passed", count[scenario.Passed]}, {"violated", count[scenario.Violated]},
		{"not_tested", count[scenario.NotTested]},
	}); err != nil {
		return err
	}
	if err := verdict(worst); err != nil {
		return fmt.Errorf("seed %d: %w: quorate faults run %s --seed %d", worst.Seed, err, s.Name, worst.Seed)
	}
	return nil
}
