package main

import (
	"context"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/testnet/local"
)

// shell is one that can complete quorate's commands.
type shell struct {
	name, install string
	write         func(root *cobra.Command, out io.Writer) error
}

var shells = []shell{
	{"bash", `  source <(quorate completion bash)                                    in this shell; it takes bash-completion
  quorate completion bash > /etc/bash_completion.d/quorate             in all`,
		func(root *cobra.Command, out io.Writer) error { return root.GenBashCompletionV2(out, true) }},
	{"zsh", `  source <(quorate completion zsh)                                     in this shell, behind compinit
  quorate completion zsh > "${fpath[1]}/_quorate"                      in all`,
		func(root *cobra.Command, out io.Writer) error { return root.GenZshCompletion(out) }},
	{"fish", `  quorate completion fish | source                                     in this shell
  quorate completion fish > ~/.config/fish/completions/quorate.fish    in all`,
		func(root *cobra.Command, out io.Writer) error { return root.GenFishCompletion(out, true) }},
	{"powershell", `  quorate completion powershell | Out-String | Invoke-Expression       in this shell; in $PROFILE for all`,
		func(root *cobra.Command, out io.Writer) error { return root.GenPowerShellCompletionWithDesc(out) }},
}

func (a *app) completionCommand() *cobra.Command {
	g := group("completion", "Have a shell complete commands, flags, nodes and keys")
	for _, s := range shells {
		var cmd *cobra.Command
		cmd = a.command(s.name, "Write the script for "+s.name, s.install, cobra.NoArgs, func(context.Context, []string) error {
			return s.write(cmd.Root(), a.out)
		})
		g.AddCommand(cmd)
	}
	return g
}

// completes are the values that a shell offers for a flag, or for an argument: those that there are at that moment.
type completes func(cmd *cobra.Command) []string

// addCompletions tells every command below root what its flags and arguments can be.
func (a *app) addCompletions(root *cobra.Command) {
	flags := map[string]completes{
		"output": these("text", "json"), "log-level": these("debug", "info", "warn", "error"), "log-format": these("text", "json"),
		"wait": these("committed", "accepted"), "read": these("linearizable", "local"), "mode": these("byzantine", "crash"),
		"node": a.nodeNumbers, "key": a.keyNames,
	}
	folders := []string{"dir", "home", "keys"}
	arguments := map[string]completes{
		"keys show": a.keyNames, "keys export": a.keyNames, "testnet start": a.nodeNumbers, "testnet stop": a.nodeNumbers,
		"testnet kill": a.nodeNumbers, "testnet pause": a.nodeNumbers, "testnet resume": a.nodeNumbers, "testnet logs": a.nodeNumbers,
		"tx sign": these("put", "delete", "cas", "raw"),
	}
	everyCommand(root, func(cmd *cobra.Command) {
		own := cmd.LocalFlags()
		for name, values := range flags {
			if own.Lookup(name) != nil && cmd.Flags().Lookup(name) != nil {
				_ = cmd.RegisterFlagCompletionFunc(name, a.offer(values)) // fails only for a flag that is not there
			}
		}
		for _, name := range folders {
			if own.Lookup(name) != nil {
				_ = cmd.MarkFlagDirname(name) // the same
			}
		}
		if values := arguments[strings.TrimPrefix(cmd.CommandPath(), root.Name()+" ")]; values != nil {
			cmd.ValidArgsFunction = a.offer(values)
		}
	})
}

// everyCommand visits cmd and all below it.
func everyCommand(cmd *cobra.Command, visit func(*cobra.Command)) {
	visit(cmd)
	for _, c := range cmd.Commands() {
		everyCommand(c, visit)
	}
}

func these(values ...string) completes { return func(*cobra.Command) []string { return values } }

// offer leaves out what is on the line already. The environment counts here too, as it will when the line is run.
func (a *app) offer(values completes) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		_ = a.settle(cmd.Flags()) // what is wrong with the line is said when it is run
		offered := slices.DeleteFunc(slices.Clone(values(cmd)), func(v string) bool { return slices.Contains(args, v) })
		return offered, cobra.ShellCompDirectiveNoFileComp
	}
}

// nodeNumbers are those of the test network's nodes; none, if there is no network.
func (a *app) nodeNumbers(*cobra.Command) []string {
	n, err := local.Open(a.dir)
	if err != nil {
		return nil
	}
	var all []string
	for _, i := range n.All() {
		all = append(all, strconv.Itoa(i))
	}
	return all
}

// keyNames are those of the keys in the command's folder; none, if it cannot be read.
func (a *app) keyNames(cmd *cobra.Command) []string {
	folder, _ := cmd.Flags().GetString("keys")
	names, _ := (&keyring{app: a, folder: folder}).names()
	return names
}
