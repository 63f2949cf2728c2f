package main

import (
	"math/rand/v2"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/node"
	"github.com/quorate/quorate/store"
	"github.com/quorate/quorate/testnet/fault"
	"github.com/quorate/quorate/testnet/local"
)

// torment is what goes wrong on purpose in a node that is started: on test networks only, which the node sees to.
type torment struct {
	offset time.Duration
	lie    []string
	served bool // faults come by a socket in the home

	faults *fault.Faults // nil: none of it was asked for
}

func (t *torment) add(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&t.offset, "clock-offset", 0, "test networks only: add this to the wall clock")
	addLie(cmd, &t.lie)
	cmd.Flags().BoolVar(&t.served, "faults", false, "test networks only: have faults come about as asked for through the socket faults.sock in the node's folder")
}

// ready makes the faults that the flags ask for, and those that were left in the home for the node to begin with.
func (t *torment) ready(h local.Home, cfg *node.Config) error {
	if t.offset == 0 && len(t.lie) == 0 && !t.served {
		return nil
	}
	acts, err := actsOf(t.lie)
	if err != nil {
		return err
	}
	t.faults = fault.New(cfg.Self, cfg.Key, store.System())
	t.faults.SetClock(t.offset)
	t.faults.Behave(acts, 0, rand.Uint64())
	cfg.Faults = t.faults
	if t.served && cfg.Genesis.Test {
		return t.faults.Begin(string(h))
	}
	return nil
}

// serve takes requests, if they come by a socket, until the node stops: whatever waits is let go then.
func (t *torment) serve(h local.Home) (stop func() error, err error) {
	if t.faults == nil {
		return func() error { return nil }, nil
	}
	if !t.served {
		return func() error { t.faults.Close(); return nil }, nil
	}
	s, err := fault.Serve(string(h), t.faults)
	if err != nil {
		return nil, err
	}
	return func() error { t.faults.Close(); return s.Close() }, nil
}
