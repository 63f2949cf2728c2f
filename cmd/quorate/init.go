package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/testnet/local"
)

// initCommand makes the folder of one node by hand, and the genesis from several such.
func (a *app) initCommand() *cobra.Command {
	var home, name, address, api string
	cmd := a.command("init --home DIR --name NAME --p2p HOST:PORT --api HOST:PORT", "Create the folder of one node, as on a real host",
		`  quorate init --home /var/lib/quorate --name a --p2p 10.0.0.1:27001 --api 10.0.0.1:28001
  quorate init genesis --out genesis.json a/member.json b/member.json c/member.json d/member.json
  cp genesis.json /var/lib/quorate/config/ && quorate start --home /var/lib/quorate`, cobra.NoArgs,
		func(context.Context, []string) error {
			for _, needed := range []field{{"home", home}, {"name", name}, {"p2p", address}, {"api", api}} {
				if needed.value == "" {
					return fail(exitUsage, "--%s is missing", needed.name)
				}
			}
			for _, a := range []struct{ flag, value string }{{"p2p", address}, {"api", api}} {
				if err := checkAddress(a.value, 1); err != nil {
					return fail(exitUsage, "--%s %w", a.flag, err)
				}
			}
			h := local.Home(home)
			m, err := h.Create(homeTools, local.DefaultSettings(), name, address, api)
			if err != nil {
				return err
			}
			a.say("created %s: put %s into the genesis (quorate init genesis), and that into %s", home, h.MemberFile(), h.Config())
			return a.writeJSON(m)
		})
	f := cmd.Flags()
	f.StringVar(&home, "home", "", "the node's folder")
	f.StringVar(&name, "name", "", "the member's name")
	f.StringVar(&address, "p2p", "", "host:port at which other nodes reach it")
	f.StringVar(&api, "api", "", "host:port at which clients reach it")
	cmd.AddCommand(a.initGenesisCommand())
	return cmd
}

func (a *app) initGenesisCommand() *cobra.Command {
	var chain, out string
	var operators, params []string
	cmd := a.command("genesis --out FILE MEMBER.json…", "Put a genesis together from members' entries",
		"  quorate init genesis --chain shop --out genesis.json a.json b.json c.json d.json\n  quorate init genesis --out genesis.json --param checkpoint=32 --operator KEY a.json b.json c.json d.json", cobra.MinimumNArgs(1),
		func(_ context.Context, args []string) error {
			if out == "" {
				return fail(exitUsage, "--out is missing")
			}
			p := local.DefaultPlan()
			if err := setParameters(&p.Parameters, params); err != nil {
				return err
			}
			g, err := genesisOf(chain, p, operators, args)
			if err != nil {
				return err
			}
			err = local.WriteGenesis(out, g)
			if errors.Is(err, fs.ErrExist) {
				return fmt.Errorf("%s is there already: choose another --out", out)
			}
			if err != nil {
				return err
			}
			return a.writeFields([]field{{"chain", g.Digest().String()}, {"members", len(g.Members)}, {"genesis", filepath.Clean(out)}})
		})
	f := cmd.Flags()
	f.StringVar(&chain, "chain", "quorate", "the chain's name, for people")
	f.StringVar(&out, "out", "", "where to write the genesis")
	f.StringArrayVar(&operators, "operator", nil, "public key of an operator; may be repeated, and more than half of them are needed")
	f.StringArrayVar(&params, "param", nil, "NAME=VALUE: a parameter; may be repeated")
	return cmd
}

// genesisOf has the members in the order of their files.
func genesisOf(chain string, p local.Plan, operators, members []string) (*proof.Genesis, error) {
	g := &proof.Genesis{Chain: chain, Configuration: epoch.Configuration{Mode: p.Mode, Parameters: p.Parameters}, Time: time.Now().UnixMilli()}
	for _, text := range operators {
		var key crypto.PublicKey
		if err := key.UnmarshalText([]byte(text)); err != nil {
			return nil, fail(exitUsage, "operator %q: %w", text, err)
		}
		g.Operators = append(g.Operators, key)
	}
	if len(operators) > 0 {
		g.Threshold = uint32(len(operators)/2 + 1)
	}
	for _, path := range members {
		m, err := local.ReadMember(path)
		if err != nil {
			return nil, err
		}
		if err := errors.Join(checkAddress(m.Address, 1), checkAddress(m.API, 1)); err != nil {
			return nil, fmt.Errorf("%s: address %w", path, err)
		}
		for i := range g.Members {
			if what := shared(&m, &g.Members[i]); what != "" {
				return nil, fmt.Errorf("these make no genesis: %s: %s is that of %s", path, what, members[i])
			}
		}
		g.Members = append(g.Members, m)
	}
	if err := g.Validate(); err != nil {
		return nil, fmt.Errorf("these make no genesis: %w", err)
	}
	return g, nil
}

// shared is what two entries have in common that each member has for itself; empty if nothing.
func shared(a, b *epoch.Member) string {
	switch {
	case a.Name == b.Name:
		return "name"
	case a.Key == b.Key:
		return "key"
	case a.PeerID == b.PeerID:
		return "peer_id"
	case a.Address == b.Address:
		return "address"
	case a.API == b.API:
		return "api"
	}
	return ""
}
