package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// A laboratory tries mutants on one module. Its folder is temporary and its own.
type laboratory struct {
	root    string // of the module
	folder  string
	timeout time.Duration // for one run, building included

	healthy map[string]error // by command: nil if the module passes it as it stands, else why not
}

// A trial is what became of one mutant.
type trial struct {
	name  string
	found bool
	why   string // how it was found, or why not
	took  time.Duration
}

// An outcome is how a run ended.
type outcome struct {
	green   bool
	output  string
	trouble string // the run says nothing about the mutant, for this reason
}

// try plants a mutant and asks whether its checker sees it. First the same command must pass without it: a checker that
// is red anyway has seen nothing.
func (l *laboratory) try(ctx context.Context, file string) trial {
	t := trial{name: strings.TrimSuffix(filepath.Base(file), ".patch")}
	m, err := readMutant(file)
	if err != nil {
		t.why = err.Error()
		return t
	}
	folder, err := os.MkdirTemp(l.folder, "")
	if err != nil {
		t.why = err.Error()
		return t
	}
	overlay, err := writeOverlay(m, l.root, folder)
	if err != nil {
		t.why = "does not apply: " + err.Error()
		return t
	}
	if err := l.passes(ctx, m); err != nil {
		t.why = err.Error()
		return t
	}
	begin := time.Now()
	t.found, t.why = m.verdict(l.run(ctx, m.run, overlay, folder))
	t.took = time.Since(begin)
	return t
}

func readMutant(file string) (*mutant, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return parseMutant(file, string(text))
}

// passes runs a mutant's command on the module as it stands, once for all mutants that share it.
func (l *laboratory) passes(ctx context.Context, m *mutant) error {
	command := strings.Join(m.run, " ")
	err, known := l.healthy[command]
	if known {
		return err
	}
	folder, err := os.MkdirTemp(l.folder, "")
	if err != nil {
		return err
	}
	switch o := l.run(ctx, m.run, "", folder); {
	case o.trouble != "":
		err = errors.New("without the patch: " + o.trouble)
	case !o.green:
		err = errors.New("red without the patch too: " + command)
	}
	if l.healthy == nil {
		l.healthy = map[string]error{}
	}
	l.healthy[command] = err
	return err
}

// run carries out a Run line: "go test …", or else arguments for quorate, which is then built first.
func (l *laboratory) run(ctx context.Context, command []string, overlay, folder string) outcome {
	ctx, cancel := context.WithTimeout(ctx, l.timeout)
	defer cancel()
	if len(command) > 2 && command[0] == "go" && command[1] == "test" {
		args := []string{"test", "-vet=off"}
		if overlay != "" {
			args = append(args, "-overlay="+overlay, "-count=1")
		}
		o := l.execute(ctx, nil, "go", append(args, command[2:]...)...)
		if o.trouble == "" && notBuilt.MatchString(o.output) {
			o.trouble = "does not compile: " + firstLine(o.output)
		}
		if o.green && !testedSomething.MatchString(o.output) {
			o.trouble = "ran no test: " + strings.Join(command, " ")
		}
		return o
	}
	binary := filepath.Join(folder, "quorate")
	if o := l.build(ctx, overlay, binary); !o.green {
		if o.trouble == "" {
			o.trouble = "does not compile: " + firstLine(o.output)
		}
		return o
	}
	return l.execute(ctx, nil, binary, withoutName(command)...)
}

// notBuilt matches what go test says of a package that it could not compile.
var notBuilt = regexp.MustCompile(`(?m)^FAIL\s+\S+ \[(build|setup) failed\]$`)

// testedSomething matches the line of a package whose tests ran and passed.
var testedSomething = regexp.MustCompile(`(?m)^ok\s+\S+\s+(\(cached\)|[\d.]+s)$`)

// withoutName drops the program's own name from its command line, where a patch has it.
func withoutName(command []string) []string {
	if command[0] == "quorate" {
		return command[1:]
	}
	return command
}

// build makes a whole quorate as the Makefile does, with the overlay if there is one.
func (l *laboratory) build(ctx context.Context, overlay, binary string) outcome {
	args := []string{"build", "-trimpath", "-o", binary}
	if overlay != "" {
		args = append(args, "-overlay="+overlay)
	}
	return l.execute(ctx, []string{"CGO_ENABLED=0"}, "go", append(args, "./cmd/quorate")...)
}

// execute runs a program at the module's root, with settings added to the environment. It and all that it starts are one process group, which ends with ctx.
func (l *laboratory) execute(ctx context.Context, settings []string, name string, args ...string) outcome {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = l.root
	cmd.Env = append(cmd.Environ(), settings...)
	inGroup(cmd)
	cmd.WaitDelay = 5 * time.Second
	output, err := cmd.CombinedOutput()
	o := outcome{green: err == nil, output: string(output)}
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		o.trouble = fmt.Sprintf("%s had not ended after %s", name, l.timeout)
		if context.Cause(ctx) == context.Canceled {
			o.trouble = "interrupted"
		}
	case err != nil && !errors.As(err, &exit):
		o.trouble = err.Error()
	}
	return o
}

// verdict judges a run of the mutant: found means red, and red by the checker that the patch names.
func (m *mutant) verdict(o outcome) (found bool, why string) {
	switch {
	case o.trouble != "":
		return false, o.trouble
	case o.green:
		return false, "survived"
	case !m.named(o.output):
		return false, fmt.Sprintf("red, but not by %s: %s", m.checker, firstLine(o.output))
	}
	return true, m.checker
}

// named says whether output has the checker's name, as a word of its own. A test is only named by its failure.
func (m *mutant) named(output string) bool {
	pattern := regexp.QuoteMeta(m.checker)
	if strings.HasPrefix(m.checker, "Test") || strings.HasPrefix(m.checker, "Fuzz") {
		pattern = `(?m)^\s*--- FAIL: ` + pattern + `[\s/]`
	} else {
		pattern = `(?:^|[^\w-])` + pattern + `(?:[^\w-]|$)`
	}
	return regexp.MustCompile(pattern).MatchString(output)
}

// firstLine is the first line of output that says something.
func firstLine(output string) string {
	for _, line := range strings.Split(output, "\n") {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return line
		}
	}
	return "no output"
}
