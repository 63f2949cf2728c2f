package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/api"
	"github.com/quorate/quorate/bft/epoch"
)

func (a *app) modeCommand() *cobra.Command {
	o := operator{target: target{app: a}}
	cmd := a.command("mode [flags] [byzantine|crash]", "Show or switch what a failed member may do",
		"  quorate mode          what the network bears now\n  quorate mode crash    members may only stop; back with: quorate mode byzantine", cobra.MaximumNArgs(1),
		func(ctx context.Context, args []string) error {
			ctx, cancel := context.WithTimeout(ctx, o.timeout)
			defer cancel()
			if len(args) == 0 {
				return o.showEpoch(ctx)
			}
			var mode epoch.Mode
			if err := mode.UnmarshalText([]byte(args[0])); err != nil {
				return &failure{exitUsage, err}
			}
			return o.change(ctx, "mode is "+mode.String(), func(next *epoch.Configuration) error {
				next.Mode = mode
				return nil
			})
		})
	o.add(cmd.Flags())
	return cmd
}

func (a *app) paramsCommand() *cobra.Command {
	o := operator{target: target{app: a}}
	cmd := a.command("params [flags] [NAME=VALUE]...", "Show or change the parameters that all members share",
		"  quorate params\n  quorate params window=512 checkpoint=128", cobra.ArbitraryArgs,
		func(ctx context.Context, args []string) error {
			ctx, cancel := context.WithTimeout(ctx, o.timeout)
			defer cancel()
			if len(args) == 0 {
				return o.showParameters(ctx)
			}
			if err := setParameters(&epoch.Parameters{}, args); err != nil {
				return err // before anybody is asked anything
			}
			return o.change(ctx, "parameters are those", func(next *epoch.Configuration) error {
				if err := setParameters(&next.Parameters, args); err != nil {
					return err
				}
				if err := next.Parameters.Validate(); err != nil {
					return &failure{exitUsage, err}
				}
				return nil
			})
		})
	o.add(cmd.Flags())
	return cmd
}

// setParameters sets parameters from NAME=VALUE.
func setParameters(p *epoch.Parameters, assignments []string) error {
	for _, assignment := range assignments {
		if err := p.Set(assignment); err != nil {
			return &failure{exitUsage, err}
		}
	}
	return nil
}

// showEpoch prints what a node says of the epoch that it is in.
func (o *operator) showEpoch(ctx context.Context) error {
	words, err := o.currentEpoch(ctx)
	if err != nil {
		return err
	}
	return o.app.writeWords(words, []string{"number", "mode", "base", "quorum", "identity"})
}

// showParameters prints the parameters of that epoch.
func (o *operator) showParameters(ctx context.Context) error {
	words, err := o.currentEpoch(ctx)
	if err != nil {
		return err
	}
	var e struct {
		Parameters json.RawMessage `json:"parameters"`
	}
	if err := json.Unmarshal(words, &e); err != nil {
		return fail(exitUnavailable, "the answer is no epoch: %w", err)
	}
	var names []string
	p := epoch.DefaultParameters()
	for _, f := range p.Fields() {
		names = append(names, f.Name)
	}
	return o.app.writeWords(e.Parameters, names)
}

// currentEpoch is a node's own word on the epoch that it is in: that of --node, or of the one that has come furthest.
func (o *operator) currentEpoch(ctx context.Context) (json.RawMessage, error) {
	n, err := o.find()
	if err != nil {
		return nil, err
	}
	endpoint, err := o.furthest(ctx, n)
	if err != nil {
		return nil, err
	}
	words, err := o.ask(ctx, n, endpoint, "/status")
	if err != nil {
		return nil, err
	}
	var s api.Status
	if err := json.Unmarshal(words, &s); err != nil {
		return nil, fail(exitUnavailable, "the answer is no status: %w", err)
	}
	return o.ask(ctx, n, endpoint, fmt.Sprintf("/epoch/%d", s.Epoch))
}
