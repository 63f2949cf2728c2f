package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/client"
	"github.com/quorate/quorate/crypto"
)

// receiptFlag is where to keep what proves a transaction's outcome; empty: nowhere.
type receiptFlag struct{ path string }

func (r *receiptFlag) add(f *pflag.FlagSet) {
	f.StringVar(&r.path, "receipt", "", "where to write what proves the outcome: quorate receipt verify")
}

// check refuses what cannot come to a receipt, before anything is submitted.
func (r *receiptFlag) check(wait string) error {
	if r.path == "" {
		return nil
	}
	if wait == "accepted" {
		return fail(exitUsage, "--receipt with --wait accepted: nothing is decided yet")
	}
	if _, err := os.Lstat(r.path); err == nil {
		return fmt.Errorf("%s is there already: choose another --receipt", r.path)
	}
	return nil
}

// save writes the receipt of an outcome, which it asks for if the outcome came without.
func (r *receiptFlag) save(ctx context.Context, c *client.Client, o client.Outcome) error {
	if r.path == "" {
		return nil
	}
	receipt, err := o.Receipt, error(nil)
	if receipt == nil {
		if receipt, err = c.Receipt(ctx, o.ID); err != nil {
			return fail(exitUnavailable, "transaction %s is decided, but there is no receipt yet; ask again: quorate tx show %s --receipt %s (%w)", o.ID, o.ID, r.path, err)
		}
	}
	return writeNew(r.path, "--receipt", proof.EncodeReceipt(receipt))
}

// writeNew writes a file that is not there yet, which a flag names.
func writeNew(path, flag string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there already: choose another %s", path, flag)
	}
	if err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		return errors.Join(err, f.Close())
	}
	return f.Close()
}

func (a *app) receiptCommand() *cobra.Command {
	return group("receipt", "Proofs of what became of transactions", a.receiptVerifyCommand())
}

func (a *app) receiptVerifyCommand() *cobra.Command {
	t := target{app: a}
	cmd := a.command("verify FILE [flags]", "Check a receipt, offline",
		"  quorate tx put greeting hello --receipt greeting.receipt\n  quorate receipt verify greeting.receipt --genesis genesis.json", cobra.ExactArgs(1),
		func(_ context.Context, args []string) error {
			raw, err := os.ReadFile(args[0])
			if err != nil {
				return err
			}
			n, err := t.find()
			if err != nil {
				return err
			}
			r, err := proof.DecodeReceipt(raw)
			if err != nil {
				return fail(exitViolation, "%s proves nothing: %w", args[0], err)
			}
			e, err := r.VerifyFrom(n.genesis.Epoch(), crypto.Ed25519())
			if err != nil {
				return fail(exitViolation, "%s proves nothing in the network of this genesis: %w", args[0], err)
			}
			return a.showReceipt(r, e)
		})
	cmd.Flags().StringVar(&t.genesis, "genesis", "", "genesis file (default: that of the test network in --dir)")
	return cmd
}

// showReceipt prints what a receipt has proven, and by the members of which epoch.
func (a *app) showReceipt(r *proof.Receipt, e *epoch.Epoch) error {
	var members []string
	for _, m := range r.Attestations {
		members = append(members, strconv.FormatUint(uint64(m.Author), 10))
	}
	block := &r.Headers[0]
	return a.writeFields([]field{
		{"id", r.Result.ID.String()}, {"seq", strconv.FormatUint(uint64(block.Seq), 10)}, {"index", r.Index},
		{"status", client.Status(r.Result.Status).String()}, {"code", r.Result.Code}, {"result", hex.EncodeToString(r.Result.Value)},
		{"header", block.Digest().String()}, {"attested_by", strings.Join(members, ",")},
		{"epoch", strconv.FormatUint(e.Number, 10)}, {"mode", e.Mode.String()},
	})
}
