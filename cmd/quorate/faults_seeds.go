package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/quorate/quorate/testnet/scenario"
	"github.com/quorate/quorate/testnet/sim"
)

// seedRun is a script's run on one of many simulated networks.
type seedRun struct {
	seed uint64
	*scenario.Run
	err    error
	prints []string
}

// maxSeeds is on how many networks a script is run at a time: what each has come to is kept.
const maxSeeds = 100_000

// reportEvery is how often is told how many networks are done.
const reportEvery = 5 * time.Second

// manySeeds runs a script on many simulated networks, one for each processor at a time.
func (a *app) manySeeds(ctx context.Context, s *scenario.Script, r faultsRun) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt)
	defer stop()
	runs := a.playSeeds(ctx, s, r)
	if err := ctx.Err(); err != nil {
		return err
	}
	count := make(map[scenario.Verdict]int)
	wrong := 0
	worst, shown := &runs[0], &runs[0]
	for i := range runs {
		run := &runs[i]
		for _, text := range run.prints {
			a.say("seed %d: %s", run.seed, text)
		}
		switch {
		case run.err != nil:
			wrong++
			a.say("seed %d: %v", run.seed, run.err)
		case run.Verdict != scenario.Passed:
			a.say("seed %d: %s: %s", run.seed, run.Verdict, run.Why)
			fallthrough
		default:
			count[run.Verdict]++
		}
		if run.badness() > worst.badness() {
			worst = run
		}
		if run.err == nil && (shown.err != nil || run.badness() > shown.badness()) {
			shown = run
		}
	}
	if r.out != "" && shown.err == nil {
		if err := shown.WriteReport(r.out, nil); err != nil {
			return err
		}
		a.say("report of seed %d: %s", shown.seed, filepath.Join(r.out, "report.html"))
	}
	fields := []field{
		{"script", s.Name}, {"seeds", r.seeds}, {"passed", count[scenario.Passed]}, {"violated", count[scenario.Violated]},
		{"not_tested", count[scenario.NotTested]}, {"no_verdict", wrong},
	}
	fields = append(fields, spreads(runs)...)
	if a.output == "json" {
		fields = append(fields, field{"others", others(runs)})
	}
	if err := a.writeFields(fields); err != nil {
		return err
	}
	return worst.failure(s.Name)
}

// playSeeds runs it on all of them.
func (a *app) playSeeds(ctx context.Context, s *scenario.Script, r faultsRun) []seedRun {
	runs := make([]seedRun, r.seeds)
	var mu sync.Mutex
	next, told := 0, time.Now()
	take := func() int {
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); next < r.seeds && now.Sub(told) >= reportEvery {
			a.say("%d of %d networks", next, r.seeds)
			told = now
		}
		next++
		return next - 1
	}
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := take(); i < r.seeds && ctx.Err() == nil; i = take() {
				one := &runs[i]
				one.seed = r.seed + uint64(i)
				one.Run, one.err = scenario.Play(ctx, s, sim.NewCluster(nil), scenario.Options{
					World: r.on, Seed: one.seed, Fits: shapeIsGood, Progress: func(at time.Duration, line int, what string) {
						if line == 0 {
							one.prints = append(one.prints, fmt.Sprintf("%.3fs  %s", at.Seconds(), what))
						}
					},
				})
			}
		})
	}
	wg.Wait()
	return runs
}

// badness says which of several runs is to be told of: one that breaks a promise, else one without a verdict, else one that has tested nothing.
func (r *seedRun) badness() int {
	switch {
	case r.err == nil && r.Verdict == scenario.Violated:
		return 3
	case r.err != nil:
		return 2
	case r.Verdict == scenario.NotTested:
		return 1
	}
	return 0
}

// failure is a run's as an error with its exit code and how to see it again, or nil.
func (r *seedRun) failure(script string) error {
	again := func(err error) error {
		return fmt.Errorf("seed %d: %w: quorate faults run %s --seed %d", r.seed, err, script, r.seed)
	}
	switch {
	case scenario.IsMistake(r.err):
		return &failure{exitUsage, again(r.err)}
	case r.err != nil:
		return again(r.err)
	}
	if err := verdict(r.Run); err != nil {
		return again(err)
	}
	return nil
}

// spreads are the least, the median and the largest of what runs have come to.
func spreads(runs []seedRun) (all []field) {
	of := func(name string, figure func(*scenario.Run) float64) {
		var figures []float64
		for i := range runs {
			if runs[i].err == nil {
				figures = append(figures, figure(runs[i].Run))
			}
		}
		if len(figures) == 0 {
			return
		}
		slices.Sort(figures)
		all = append(all, field{name, spread{figures[0], figures[len(figures)/2], figures[len(figures)-1]}})
	}
	of("seconds", func(r *scenario.Run) float64 { return math.Round(r.Took.Seconds()*100) / 100 })
	of("view_changes", func(r *scenario.Run) float64 { return float64(r.Counts().ViewChanges) })
	of("calls", func(r *scenario.Run) float64 { return float64(r.Counts().Calls) })
	return all
}

type spread struct {
	Least  float64 `json:"least"`
	Median float64 `json:"median"`
	Most   float64 `json:"most"`
}

func (s spread) String() string { return fmt.Sprintf("%v to %v, median %v", s.Least, s.Most, s.Median) }

// other is a run that has not passed.
type other struct {
	Seed    uint64 `json:"seed,string"`
	Verdict string `json:"verdict,omitempty"`
	Why     string `json:"why"`
}

func others(runs []seedRun) []other {
	all := []other{}
	for i := range runs {
		switch r := &runs[i]; {
		case r.err != nil:
			all = append(all, other{Seed: r.seed, Why: r.err.Error()})
		case r.Verdict != scenario.Passed:
			all = append(all, other{r.seed, string(r.Verdict), r.Why})
		}
	}
	return all
}
