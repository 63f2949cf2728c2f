package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/client"
	"github.com/quorate/quorate/cmd/quorate/bench"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/crypto/keystore"
	"github.com/quorate/quorate/testnet/local"
)

func (a *app) benchCommand() *cobra.Command {
	t := target{app: a}
	var cfg bench.Config
	var acks string
	cmd := a.command("bench [flags]", "Put a load on a network, and measure it",
		"  quorate bench --clients 64 --duration 20s --size 256 --acks acks.txt && quorate audit --acks acks.txt", cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			switch {
			case cfg.Clients < 1:
				return fail(exitUsage, "clients: %d, want 1 or more", cfg.Clients)
			case cfg.Duration <= 0:
				return fail(exitUsage, "duration: %v, want more", cfg.Duration)
			case cfg.Size < 1 || cfg.Size > bench.MaxSize:
				return fail(exitUsage, "size: %d, want 1 to %d", cfg.Size, bench.MaxSize)
			}
			return a.bench(ctx, &t, cfg, acks)
		})
	f := cmd.Flags()
	t.addNode(f)
	f.IntVar(&cfg.Clients, "clients", 64, "how many clients, each with one transaction under way")
	f.DurationVar(&cfg.Duration, "duration", 10*time.Second, "how long to begin new transactions")
	f.IntVar(&cfg.Size, "size", 256, "bytes of each value")
	f.StringVar(&acks, "acks", "", "file that gets a line for each acknowledged transaction: id sender nonce seq unix_nanos key value")
	return cmd
}

func (a *app) bench(ctx context.Context, t *target, cfg bench.Config, acks string) error {
	n, err := t.find()
	if err != nil {
		return err
	}
	c, err := n.client()
	if err != nil {
		return err
	}
	defer c.Close()
	if cfg.Seq, err = t.executedSeq(ctx, n, c); err != nil {
		return err
	}
	if acks != "" {
		f, err := os.OpenFile(acks, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o644)
		if err != nil {
			return err
		}
		defer f.Close()
		cfg.Acks = io.Writer(f)
	}
	cfg.Grace, cfg.Chain, cfg.Scheme, cfg.NewKey = t.timeout, n.genesis.Digest(), crypto.Ed25519(), keystore.Generate
	cfg.Submit = func(ctx context.Context, q *message.Request) (uint64, error) { return submitLoad(ctx, c, q) }
	if testnet, err := local.Open(a.dir); err == nil && testnet.Genesis.Digest() == cfg.Chain {
		cpu := testnet.MeterCPU()
		defer cpu.Stop()
		cfg.CPU = cpu.Used
	}
	r, err := bench.Run(ctx, cfg)
	if err != nil {
		return err
	}
	if r.Rejection != nil {
		a.say("first rejection: %v", r.Rejection)
	}
	if err := a.showBench(r); err != nil {
		return err
	}
	switch {
	case r.Acknowledged > 0:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return fail(exitUnavailable, "nothing was acknowledged: quorate testnet status%s", a.dirFlag())
}

// submitLoad goes on with the same bytes until there is an outcome, or no time.
func submitLoad(ctx context.Context, c *client.Client, q *message.Request) (seq uint64, err error) {
	for {
		o, err := c.Submit(ctx, q)
		var refused *client.Refused
		switch {
		case err == nil && o.Status == client.Applied:
			return uint64(o.Seq), nil
		case err == nil:
			return 0, fmt.Errorf("%w: %s, code %d", bench.ErrRejected, o.Status, o.Code)
		case errors.As(err, &refused):
			return 0, fmt.Errorf("%w: %w", bench.ErrRejected, err)
		case ctx.Err() != nil:
			return 0, err
		}
	}
}

func (a *app) showBench(r *bench.Result) error {
	ms := func(quantile float64) string {
		return milliseconds(time.Duration(r.Latency.ValueAtQuantile(quantile)) * time.Microsecond)
	}
	fields := []field{
		{"offered", r.Offered}, {"acknowledged", r.Acknowledged}, {"rejected", r.Rejected}, {"unknown", r.Unknown},
		{"tx_per_second", fixed(r.PerSecond(), 1)},
		{"p50_ms", ms(50)}, {"p90_ms", ms(90)}, {"p99_ms", ms(99)}, {"p999_ms", ms(99.9)},
		{"max_ms", milliseconds(time.Duration(r.Latency.Max()) * time.Microsecond)},
		{"max_gap_ms", milliseconds(r.MaxGap)},
	}
	if r.CPU > 0 && r.Acknowledged > 0 {
		fields = append(fields, field{"cpu_us_per_tx", fixed(float64(r.CPU.Microseconds())/float64(r.Acknowledged), 1)})
	}
	if a.output == "json" {
		for i, f := range fields {
			if text, ok := f.value.(string); ok {
				fields[i].value = jsonNumber(text)
			}
		}
	}
	return a.writeFields(fields)
}
