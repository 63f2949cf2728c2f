package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/testnet/local"
	"github.com/quorate/quorate/testnet/scenario"
	"github.com/quorate/quorate/testnet/sim"
)

func (a *app) faultsCommand() *cobra.Command {
	return group("faults", "Fault scripts: one file, run on the simulator or on processes", a.faultsRunCommand(), a.faultsCheckCommand(), a.faultsListCommand(),
		a.faultsShowCommand(), a.faultsJudgeCommand())
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
			case r.seeds < 1 || r.seeds > maxSeeds:
				return fail(exitUsage, "--seeds %d: want 1 to %d", r.seeds, maxSeeds)
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
			type found struct {
				Script  string `json:"script"`
				Mistake string `json:"mistake,omitempty"`
			}
			all := make([]found, len(args))
			var first error
			for i, path := range args {
				all[i].Script = path
				_, err := checkedScript(path)
				switch {
				case err == nil:
					a.say("%s: no mistake was found", path)
					continue
				case first == nil:
					first = err
				default:
					fmt.Fprintln(a.err, err)
				}
				all[i].Mistake = err.Error()
			}
			if a.output == "json" {
				return errors.Join(a.writeJSON(all), first)
			}
			return first
		})
}

func (a *app) faultsJudgeCommand() *cobra.Command {
	return a.command("judge HISTORY", "Judge the history of a run once more: whether one order explains all answers",
		"  quorate faults judge report/history.jsonl", cobra.ExactArgs(1),
		func(_ context.Context, args []string) error {
			path := args[0]
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				path = filepath.Join(path, "history.jsonl")
			}
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			history, err := scenario.ReadHistory(f)
			if err != nil {
				return fmt.Errorf("%s: %w: want the history.jsonl of a report", path, err)
			}
			if len(history) == 0 {
				return fmt.Errorf("%s: no client has asked for anything", path)
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

func (a *app) faultsShowCommand() *cobra.Command {
	return a.command("show SCRIPT", "Print a fault script, such as one that comes with the program", "  quorate faults show leader-crash > mine.star",
		cobra.ExactArgs(1), func(_ context.Context, args []string) error {
			_, source, err := readScript(args[0])
			if err == nil {
				_, err = a.out.Write(source)
			}
			return err
		})
}

// readScript reads a file, or a script of the library by its name.
func readScript(path string) (name string, source []byte, err error) {
	source, err = os.ReadFile(path)
	if info, wrong := os.Stat(path); errors.Is(err, fs.ErrNotExist) || wrong == nil && info.IsDir() {
		all := scenario.Library()
		i := slices.IndexFunc(all, func(s scenario.Story) bool { return s.Name == strings.TrimSuffix(filepath.Base(path), ".star") })
		if i < 0 || path != filepath.Base(path) {
			return "", nil, fail(exitUsage, "%s: there is no such file, and no script of that name%s", path, meant(path, all))
		}
		return all[i].Name + ".star", all[i].Source, nil
	}
	return path, source, err
}

// checkedScript is one in which no mistake was found.
func checkedScript(path string) (*scenario.Script, error) {
	name, source, err := readScript(path)
	if err != nil {
		return nil, err
	}
	s, err := scenario.Parse(name, source)
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
	o := scenario.Options{World: r.on, Seed: r.seed, Fits: shapeIsGood, Progress: func(at time.Duration, line int, what string) {
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
		if scenario.IsMistake(err) {
			return &failure{exitUsage, err}
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
