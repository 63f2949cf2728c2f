package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/quorate/quorate/crypto/keystore"
	"github.com/quorate/quorate/testnet/local"
)

// nodeFlags are what a node's own settings can be overridden with. A flag comes before QUORATE_NAME, that before the
// folder's config.toml, and that before the default.
type nodeFlags struct {
	app                        *app
	home, p2pListen, apiListen string
	set                        *pflag.FlagSet
}

func (n *nodeFlags) add(cmd *cobra.Command) {
	n.set = cmd.Flags()
	n.set.StringVar(&n.home, "home", "", "the node's folder")
	n.set.StringVar(&n.p2pListen, "p2p-listen", "", "host:port to listen on for other nodes (default: what the genesis says)")
	n.set.StringVar(&n.apiListen, "api-listen", "", "host:port to listen on for clients (default: what the genesis says)")
}

// setting is one of a node's settings, and where its value comes from.
type setting struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	From  string `json:"from"`
}

// nodeSettings are all settings of one node.
type nodeSettings struct {
	home    local.Home
	genesis string // file
	all     []setting
}

// resolve gives every setting its value.
func (n *nodeFlags) resolve() (*nodeSettings, error) {
	h := local.Home(n.home)
	if n.home == "" {
		return nil, fail(exitUsage, "--home is missing: the node's folder, which `quorate init` makes")
	}
	s, err := h.Settings()
	if err != nil {
		return nil, err
	}
	file := h.SettingsFile()
	all := []setting{
		{"home", n.home, n.app.source(n.set.Lookup("home"))},
		{"genesis", s.Genesis, "default"},
	}
	if s.Says("genesis") {
		all[1].From = file
	}
	for _, own := range []struct{ key, flag, said string }{
		{"p2p_listen", "p2p-listen", s.P2PListen}, {"api_listen", "api-listen", s.APIListen},
		{"log_level", "log-level", s.LogLevel}, {"log_format", "log-format", s.LogFormat},
	} {
		f := n.set.Lookup(own.flag)
		from := n.app.source(f)
		if !f.Changed {
			_ = f.Value.Set(own.said) // a text
			if s.Says(own.key) {
				from = file
			}
		}
		if value := f.Value.String(); value != "" && strings.HasSuffix(own.key, "_listen") {
			if err := checkAddress(value, 0); err != nil {
				return nil, fmt.Errorf("%s, from %s: %w", own.key, from, err)
			}
		}
		all = append(all, setting{own.key, f.Value.String(), from})
	}
	if _, err := n.app.logger(n.app.logLevel, n.app.logFormat); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return &nodeSettings{h, s.Genesis, all}, nil
}

func (a *app) configCommand() *cobra.Command {
	return group("config", "A node's own settings", a.configShowCommand())
}

func (a *app) configShowCommand() *cobra.Command {
	n := nodeFlags{app: a}
	cmd := a.command("show --home DIR [flags]", "Show a node's settings, and where each comes from",
		"  quorate config show --home quorate-testnet/node1", cobra.NoArgs, func(context.Context, []string) error {
			s, err := n.resolve()
			if err != nil {
				return err
			}
			s.fromGenesis()
			if a.output == "json" {
				return a.writeJSON(s.all)
			}
			rows := [][]string{{"SETTING", "VALUE", "FROM"}}
			for _, s := range s.all {
				rows = append(rows, []string{s.Name, s.Value, s.From})
			}
			return a.writeTable(rows)
		})
	cmd.Long = `Show a node's settings, and where each comes from: a flag, QUORATE_NAME, the folder's config.toml, or the default.

With the flags that start is to have, it shows what start would make of them. What all nodes share stands in the
genesis.`
	n.add(cmd)
	return cmd
}

// fromGenesis fills in the addresses that are left to the genesis. One that is not there yet leaves them empty.
func (n *nodeSettings) fromGenesis() {
	addresses, from := n.addresses()
	for i := range n.all {
		if s := &n.all[i]; s.Value == "" {
			s.Value, s.From = addresses[s.Name], from
		}
	}
}

// addresses are those that the genesis has for this member, or why it has none.
func (n *nodeSettings) addresses() (byName map[string]string, from string) {
	g, err := local.ReadGenesis(n.genesis)
	if err != nil {
		return nil, fmt.Sprintf("genesis: %v", err)
	}
	key, err := keystore.Read(n.home.MemberKey())
	if err != nil {
		return nil, fmt.Sprintf("genesis: %v", err)
	}
	id := g.Epoch().IDOf(key.Public)
	if id == 0 {
		return nil, fmt.Sprintf("genesis: %s is no member of it", key.Public)
	}
	m := g.Epoch().Member(id)
	return map[string]string{"p2p_listen": m.Address, "api_listen": m.API}, fmt.Sprintf("%s, member %d", n.genesis, id)
}
