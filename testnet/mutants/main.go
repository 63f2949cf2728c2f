// Mutants plants bugs and shows that each is found.
//
// A planted bug is a patch, NN-name.patch, with a head before the diff:
//
//	Breaks:  what no longer holds
//	Case:    the row of the failure cases, or the line of the issue, that it comes from
//	Checker: the test or checker that must see it
//	Run:     go test ./store -run TestTornTail, or arguments for quorate: sim --seeds 200 --from 1
//
// Each is compiled with go build -overlay, so that the tree stays as it is, and is found only if Run passes without the
// patch and fails with it, naming the checker. A patch that no longer applies or compiles is not found, nor is a red for
// another reason.
//
//	go run ./testnet/mutants              tries all
//	go run ./testnet/mutants 03 07        tries these
//	go run ./testnet/mutants build 03     builds a whole quorate with this one
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := command(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		stop()
		os.Exit(1)
	}
}

// command is the whole program but for its process.
func command(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("mutants", flag.ContinueOnError)
	root := flags.String("module", ".", "root of the module to plant in")
	patches := flags.String("patches", "", "folder of the patches (default: testnet/mutants in the module)")
	timeout := flags.Duration("timeout", 10*time.Minute, "longest time for one run")
	binary := flags.String("o", "", "build: where to write the binary (default: bin/quorate-NN-name in the module)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *patches == "" {
		*patches = filepath.Join(*root, "testnet", "mutants")
	}
	names := flags.Args()
	building := len(names) > 0 && names[0] == "build"
	if building {
		names = names[1:]
		if len(names) != 1 {
			return errors.New("build wants the number or name of one mutant; flags go before it")
		}
	}
	files, err := choose(*patches, names)
	if err != nil {
		return err
	}
	folder, err := os.MkdirTemp("", "quorate-mutants-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	l := &laboratory{root: *root, folder: folder, timeout: *timeout}
	if building {
		return l.buildOne(ctx, files[0], *binary, out)
	}
	return l.tryAll(ctx, files, out)
}

// choose lists the patches in folder, or those of them that are named by number or name.
func choose(folder string, names []string) ([]string, error) {
	all, err := filepath.Glob(filepath.Join(folder, "[0-9]*.patch"))
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("no patches in %s", folder)
	}
	if len(names) == 0 {
		return all, nil
	}
	var chosen []string
	for _, name := range names {
		i := slices.IndexFunc(all, func(file string) bool {
			base := strings.TrimSuffix(filepath.Base(file), ".patch")
			number, _, _ := strings.Cut(base, "-")
			return name == base || name == number
		})
		if i < 0 {
			return nil, fmt.Errorf("no mutant %s in %s", name, folder)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

var errSurvivors = errors.New("not all planted bugs were found")

// tryAll prints a line for each mutant as it is decided, then the count and the median time.
func (l *laboratory) tryAll(ctx context.Context, files []string, out io.Writer) error {
	width := len("mutant")
	for _, file := range files {
		width = max(width, len(filepath.Base(file))-len(".patch"))
	}
	line := func(mutant, found, took, why string) {
		fmt.Fprintf(out, "%-*s  %-5s  %8s  %s\n", width, mutant, found, took, why)
	}
	line("mutant", "found", "time", "by, or why not")
	var times []time.Duration
	for _, file := range files {
		t := l.try(ctx, file)
		verdict := "NO"
		if t.found {
			verdict = "yes"
			times = append(times, t.took)
		}
		line(t.name, verdict, t.took.Round(10*time.Millisecond).String(), t.why)
	}
	fmt.Fprintf(out, "found %d / planted %d, median time %s\n", len(times), len(files), median(times).Round(10*time.Millisecond))
	if len(times) < len(files) {
		return errSurvivors
	}
	return nil
}

// median is the middle one of times, or the lower of two; 0 for none.
func median(times []time.Duration) time.Duration {
	if len(times) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(times))[(len(times)-1)/2]
}

func (l *laboratory) buildOne(ctx context.Context, file, binary string, out io.Writer) error {
	m, err := readMutant(file)
	if err != nil {
		return err
	}
	overlay, err := writeOverlay(m, l.root, l.folder)
	if err != nil {
		return err
	}
	if binary == "" {
		binary = filepath.Join(l.root, "bin", "quorate-"+m.name)
	}
	if binary, err = filepath.Abs(binary); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	if o := l.build(ctx, overlay, binary); o.trouble != "" {
		return errors.New(o.trouble)
	} else if !o.green {
		return fmt.Errorf("does not compile:\n%s", o.output)
	}
	fmt.Fprintf(out, "%s breaks: %s (%s)\n%s\n", m.name, m.breaks, m.origin, binary)
	return nil
}
