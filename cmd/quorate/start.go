package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/crypto/keystore"
	"github.com/quorate/quorate/node"
	"github.com/quorate/quorate/p2p"
	"github.com/quorate/quorate/statemachine/kv"
	"github.com/quorate/quorate/testnet/local"
)

// stopTime is how long a node's stop may take before it is cut short, which is safe.
const stopTime = 10 * time.Second

func (a *app) startCommand() *cobra.Command {
	n := nodeFlags{app: a}
	var capture string
	var twin bool
	var t torment
	cmd := a.command("start --home DIR [flags]", "Run one node until SIGINT or SIGTERM", "  quorate start --home quorate-testnet/node1", cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			s, err := n.resolve()
			if err != nil {
				return err
			}
			logger, err := a.logger(a.logLevel, a.logFormat)
			if err != nil {
				return err
			}
			cfg, err := nodeConfig(s.home, s.genesis)
			if err != nil {
				return err
			}
			cfg.P2PListen, cfg.APIListen, cfg.Logger = n.p2pListen, n.apiListen, logger
			cfg.Capture, cfg.Twin = capture, twin
			if err := t.ready(s.home, &cfg); err != nil {
				return err
			}
			return runNode(ctx, s.home, cfg, &t)
		})
	n.add(cmd)
	cmd.Flags().StringVar(&capture, "capture", "", "test networks only: append every message signed or received to this file")
	cmd.Flags().BoolVar(&twin, "twin", false, "test networks only: another process has these keys")
	t.add(cmd)
	return cmd
}

// nodeConfig puts together who this node is, and refuses keys that are not those of a member.
func nodeConfig(h local.Home, genesis string) (node.Config, error) {
	g, err := local.ReadGenesis(genesis)
	if err != nil {
		return node.Config{}, err
	}
	key, err := keystore.Load(h.MemberKey())
	if err != nil {
		return node.Config{}, err
	}
	peerKey, err := keystore.Load(h.PeerKey())
	if err != nil {
		return node.Config{}, err
	}
	e := g.Epoch()
	self := e.IDOf(key.Public())
	if self == 0 {
		return node.Config{}, fmt.Errorf("%s: its key %s is that of no member in %s", h.MemberKey(), key.Public(), genesis)
	}
	if id := p2p.PeerID(peerKey.Seed()); id != e.Member(self).PeerID {
		for _, m := range e.Members {
			if m.PeerID == id {
				return node.Config{}, fmt.Errorf("%s is the key of %s, but %s that of %s: one of them is another node's", h.MemberKey(),
					e.Member(self).Name, h.PeerKey(), m.Name)
			}
		}
		return node.Config{}, fmt.Errorf("%s: its libp2p id is %s, but %s has %s for member %d", h.PeerKey(), id, genesis, e.Member(self).PeerID, self)
	}
	return node.Config{
		Home: string(h), Genesis: g, Self: self, Key: key, PeerKey: peerKey, Machine: kv.Machine{}, Version: version(),
	}, nil
}

// runNode runs a node until ctx ends, or it ends by itself.
func runNode(ctx context.Context, h local.Home, cfg node.Config, t *torment) (err error) {
	slog.SetDefault(cfg.Logger)
	p2p.RouteLogs(cfg.Logger)
	go boundMemory(ctx)
	claim, err := h.Claim()
	if err != nil {
		return err
	}
	n, err := node.Start(cfg)
	if errors.Is(err, p2p.ErrListen) || errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EADDRNOTAVAIL) {
		err = fmt.Errorf("%w: stop what listens there, or have the node listen elsewhere with --p2p-listen and --api-listen", err)
	}
	if err != nil {
		return errors.Join(err, claim.Release())
	}
	atEase, err := t.serve(h)
	if err != nil {
		return errors.Join(err, n.Stop(ctx), claim.Release())
	}
	select {
	case <-n.Done():
		return n.Err() // its ports are still taken: the claim ends with the process, as they do
	case <-ctx.Done():
	}
	defer func() { err = errors.Join(err, claim.Release()) }()
	err = atEase()
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer cancel()
	if wrong := n.Stop(stopping); wrong != nil && !errors.Is(wrong, context.DeadlineExceeded) {
		err = errors.Join(err, wrong)
	}
	return err
}
