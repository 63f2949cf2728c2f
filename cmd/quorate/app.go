package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// app is one call of the program.
type app struct {
	in       io.Reader
	out, err io.Writer
	getenv   func(string) string

	environment map[string]string // variables that have set a flag, by the flag's name

	begun bool // a command has taken over: what goes wrong from now on is not the command line's fault

	// Flags that every command has.
	output    string
	quiet     bool
	logLevel  string
	logFormat string
	dir       string
}

// fromEnvironment are the flags that QUORATE_NAME sets if the command line does not.
var fromEnvironment = map[string]bool{
	"dir": true, "node": true, "key": true, "genesis": true, "timeout": true, "output": true, "quiet": true,
	"log-level": true, "log-format": true, "home": true, "base-port": true, "keys": true, "passphrase-file": true, "p2p-listen": true, "api-listen": true,
}

// environmentFlags lists those flags in two lines.
func environmentFlags() string {
	flags := slices.Sorted(maps.Keys(fromEnvironment))
	half := len(flags) / 2
	return strings.Join(flags[:half], ", ") + ",\n" + strings.Join(flags[half:], ", ")
}

// variableOf is the environment's name for a flag.
func variableOf(flag string) string {
	return "QUORATE_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// execute runs a command line and returns its exit code.
func (a *app) execute(ctx context.Context, args []string) int {
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	if !a.begun {
		hint := "quorate help"
		if cmd != nil && cmd != root {
			hint = cmd.CommandPath() + " --help"
		}
		fmt.Fprintf(a.err, "quorate: %s (see: %s)\n", plainUsage(err), hint)
		return exitUsage
	}
	code := codeOf(err, ctx.Err() != nil)
	if code == exitInterrupted && errors.Is(err, context.Canceled) {
		err = errors.New(strings.Replace(err.Error(), context.Canceled.Error(), "interrupted", 1))
	}
	text := err.Error()
	if code != exitError {
		text = strings.ReplaceAll(text, "\n", "; ") // of several nodes; the last words of one keep their lines
	}
	fmt.Fprintf(a.err, "quorate: %s\n", text)
	return code
}

func (a *app) root() *cobra.Command {
	root := group("quorate", "A Byzantine fault-tolerant replicated state machine")
	byPurpose(root, "A network on this machine", a.testnetCommand())
	byPurpose(root, "A node on a host of its own", a.initCommand(), a.startCommand(), a.configCommand())
	byPurpose(root, "Operators", a.modeCommand(), a.paramsCommand(), a.recoverCommand())
	byPurpose(root, "Clients", a.txCommand(), a.getCommand(), a.scanCommand(), a.keysCommand())
	byPurpose(root, "What nodes know, and whether it is true", a.statusCommand(), a.blockCommand(), a.traceCommand(), a.evidenceCommand(), a.receiptCommand(), a.auditCommand())
	byPurpose(root, "Load and faults", a.benchCommand(), a.faultsCommand(), a.simCommand())
	byPurpose(root, "This program", a.versionCommand(), a.completionCommand(), helpCommand(root))
	root.Long = `A Byzantine fault-tolerant replicated state machine.

Without other flags, commands are about the test network in ./quorate-testnet. Results go to stdout, progress and logs
to stderr. The flags ` + environmentFlags() + `
can be given in the environment too: --log-level as QUORATE_LOG_LEVEL.

Exit codes: 0 ok, 1 error, 2 usage, 3 not found, 4 unavailable or outcome unknown, 5 rejected, 6 a safety violation or a
failed proof was found, 130 interrupted before there was an answer.`
	root.Example = `  quorate testnet up --detach      four nodes on this machine
  quorate tx put greeting hello    a signed transaction, committed by a quorum
  quorate get greeting             what the key holds now
  quorate testnet down`
	root.SilenceErrors, root.SilenceUsage = true, true
	root.CompletionOptions.DisableDefaultCmd = true // ours says how to install each
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return a.settle(cmd.Flags()) }
	f := root.PersistentFlags()
	f.StringVarP(&a.output, "output", "o", "text", "text or json")
	f.BoolVar(&a.quiet, "quiet", false, "no progress on stderr")
	f.StringVar(&a.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&a.logFormat, "log-format", "text", "text or json")
	f.StringVar(&a.dir, "dir", "quorate-testnet", "folder of the test network")
	// A group does nothing without a command: it has one line of use, not two.
	template := strings.Replace(root.UsageTemplate(), "{{if .HasAvailableSubCommands}}\n  {{.CommandPath}} [command]{{end}}", "", 1)
	root.SetUsageTemplate(template + "{{if not .HasSubCommands}}\nExit codes: see quorate help.\n{{end}}")
	a.addCompletions(root)
	return root
}

// settle sets from the environment what the command line has not set, and refuses what no command understands.
func (a *app) settle(flags *pflag.FlagSet) error {
	var err error
	a.environment = make(map[string]string)
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed || !fromEnvironment[f.Name] {
			return
		}
		variable := variableOf(f.Name)
		if value := a.getenv(variable); value != "" {
			if wrong := flags.Set(f.Name, value); wrong != nil {
				err = errors.Join(err, wrongVariable(variable, wrong))
			}
			a.environment[f.Name] = variable
		}
	})
	if a.output != "text" && a.output != "json" {
		err = errors.Join(err, fmt.Errorf("output %q: want text or json", a.output))
	}
	if _, wrong := a.logger(a.logLevel, a.logFormat); wrong != nil {
		err = errors.Join(err, wrong)
	}
	return err
}

// source is what has set a flag, once they are settled.
func (a *app) source(f *pflag.Flag) string {
	switch variable := a.environment[f.Name]; {
	case variable != "":
		return variable
	case f.Changed:
		return "--" + f.Name
	}
	return "default"
}

// byPurpose adds commands to root under a heading of its help.
func byPurpose(root *cobra.Command, heading string, commands ...*cobra.Command) {
	g := &cobra.Group{ID: heading, Title: heading + ":"}
	root.AddGroup(g)
	for _, cmd := range commands {
		cmd.GroupID = g.ID
		root.AddCommand(cmd)
		if cmd.Name() == "help" {
			root.SetHelpCommand(cmd)
		}
	}
}

// group is a command that only has others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	g := &cobra.Command{Use: use + " COMMAND", Short: short, DisableFlagsInUseLine: true}
	g.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) > 0 {
			return noCommand(cmd, args[0])
		}
		return fmt.Errorf("%q wants a command", cmd.CommandPath())
	}
	g.RunE = func(*cobra.Command, []string) error { return nil } // for Args to be asked
	g.AddCommand(commands...)
	return g
}

// command is one that does something: do's errors are not usage errors, unless they say so.
func (a *app) command(use, short, example string, args cobra.PositionalArgs, do func(ctx context.Context, args []string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Example: example, Args: counts(args), DisableFlagsInUseLine: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			a.begun = true
			return do(cmd.Context(), args)
		},
	}
}

func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Help about a command",
		RunE: func(_ *cobra.Command, args []string) error {
			cmd, rest, err := root.Find(args)
			if err != nil || len(rest) > 0 {
				return noCommand(cmd, strings.Join(rest, " "))
			}
			return cmd.Help()
		},
	}
}
