package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/quorate/quorate/api/reason"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/client"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/statemachine/kv"
)

// txFlags are those of commands that sign.
type txFlags struct {
	target
	nonce uint64 // 0: a fresh one
	last  uint64 // 0: lastAhead of what the network has executed
	hex   bool
	set   *pflag.FlagSet

	receipt receiptFlag // of commands that submit as well
}

// lastAhead is until when a transaction may be executed, in slots from now: minutes at full load, hours otherwise.
const lastAhead = 10_000

func (t *txFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	t.addNode(f)
	t.addKey(f)
	f.Uint64Var(&t.nonce, "nonce", 0, "the sender's nonce (default: one that was not used); to send the same transaction again give the same --last too, or use tx sign and tx submit")
	f.Uint64Var(&t.last, "last", 0, fmt.Sprintf("last sequence number at which it may be executed (default: %d from now)", lastAhead))
	f.BoolVar(&t.hex, "hex", false, "arguments are hexadecimal")
	t.set = f
}

// check refuses values that stand for flags that were not given.
func (t *txFlags) check() error {
	switch {
	case t.set.Changed("nonce") && t.nonce == 0:
		return fail(exitUsage, "nonce 0: want 1 or more, or leave --nonce away for one that was not used")
	case t.set.Changed("last") && t.last == 0:
		return fail(exitUsage, "last 0: want 1 or more, or leave --last away for %d from now", lastAhead)
	}
	return nil
}

// An operation by its name on the command line.
type operationCommand struct {
	name, args, short, example string
	n                          int
	build                      func(args [][]byte) []byte
}

var operationCommands = []operationCommand{
	{"put", "KEY VALUE", "Give a key a value", "put greeting hello", 2, func(a [][]byte) []byte { return kv.Put(a[0], a[1]) }},
	{"delete", "KEY", "Remove a key", "delete greeting", 1, func(a [][]byte) []byte { return kv.Delete(a[0]) }},
	{"cas", "KEY OLD NEW", "Give a key a value, if it has the old one now", "cas greeting hello goodbye", 3, func(a [][]byte) []byte { return kv.CompareAndSet(a[0], a[1], a[2]) }},
}

func (a *app) txCommand() *cobra.Command {
	tx := group("tx", "Sign and submit transactions")
	for _, o := range operationCommands {
		var t txFlags
		var wait string
		t.app = a
		cmd := a.command(o.name+" "+o.args+" [flags]", o.short, "  quorate tx "+o.example, cobra.ExactArgs(o.n), func(ctx context.Context, args []string) error {
			raw, err := t.arguments(args)
			if err != nil {
				return err
			}
			return t.run(ctx, o.build(raw), wait)
		})
		t.add(cmd)
		t.receipt.add(cmd.Flags())
		addWait(cmd, &wait)
		tx.AddCommand(cmd)
	}
	tx.AddCommand(a.txSignCommand(), a.txSubmitCommand(), a.txShowCommand())
	return tx
}

func addWait(cmd *cobra.Command, wait *string) {
	cmd.Flags().StringVar(wait, "wait", "committed", "accepted: by a node, which promises nothing; committed: executed, and a quorum vouches for it")
}

// arguments are the bytes of a command's arguments.
func (t *txFlags) arguments(args []string) ([][]byte, error) {
	raw := make([][]byte, len(args))
	for i, arg := range args {
		raw[i] = []byte(arg)
		if t.hex {
			b, err := hex.DecodeString(arg)
			if err != nil {
				return nil, fail(exitUsage, "argument %q: %w", arg, err)
			}
			raw[i] = b
		}
	}
	return raw, nil
}

// request signs an operation that the state machine will understand.
func (t *txFlags) request(key crypto.PrivateKey, chain crypto.Digest, nonce, last uint64, operation []byte) (*message.Request, error) {
	if size := message.RequestOverhead + len(operation); size > message.MaxRequestBytes {
		return nil, fail(exitRejected, "the transaction has %d bytes, at most %d", size, message.MaxRequestBytes)
	}
	return message.NewRequest(crypto.Ed25519(), key, chain, nonce, last, operation), nil
}

// run signs and submits, and prints what became of it.
func (t *txFlags) run(ctx context.Context, operation []byte, wait string) error {
	o, err := t.execute(ctx, operation, wait)
	if err != nil && o.Status == 0 {
		return err
	}
	return errors.Join(t.app.showOutcome(o), err) // decided, though there may be no receipt
}

// execute signs an operation and submits it. Without a nonce of the user's it finds one that the network takes: a
// transaction that is refused for its nonce was not executed, so another may stand in for it.
func (t *txFlags) execute(ctx context.Context, operation []byte, wait string) (client.Outcome, error) {
	var none client.Outcome
	if err := errors.Join(t.check(), checkWait(wait), t.receipt.check(wait)); err != nil {
		return none, err
	}
	if err := (kv.Machine{}).Check(operation); err != nil {
		return none, &failure{exitRejected, err}
	}
	n, err := t.find()
	if err != nil {
		return none, err
	}
	key, err := t.loadKey(ctx)
	if err != nil {
		return none, err
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	c, err := n.client()
	if err != nil {
		return none, err
	}
	defer c.Close()
	last := t.last
	if last == 0 {
		seq, err := t.executedSeq(ctx, n, c)
		if err != nil {
			return none, err
		}
		last = seq + lastAhead
	}
	nonce, used := t.nonce, noncesOf(t.keyFile())
	if nonce == 0 {
		if nonce, err = used.next(); err != nil {
			return none, err
		}
	}
	way := newSearch(uint64(n.genesis.Parameters.NonceWindow))
	for {
		q, err := t.request(key, n.genesis.Digest(), nonce, last, operation)
		if err != nil {
			return none, err
		}
		o, err := submit(ctx, c, q, wait)
		var refused *client.Refused
		if err == nil {
			return o, t.receipt.save(ctx, c, o)
		}
		if t.nonce != 0 || !errors.As(err, &refused) {
			return o, outcomeError(err)
		}
		var found bool
		switch refused.Reason {
		case reason.NonceUsed, reason.DecidedEarlier:
			nonce, found = way.tooLow(nonce)
		case reason.NonceTooDistant:
			nonce, found = way.tooHigh(nonce)
		}
		if !found {
			return o, outcomeError(err)
		}
		if err := used.goOn(nonce); err != nil {
			return none, err
		}
	}
}

// submit hands a transaction in; accepted alone promises nothing and has no outcome.
func submit(ctx context.Context, c *client.Client, q *message.Request, wait string) (client.Outcome, error) {
	if wait == "accepted" {
		return client.Outcome{ID: q.ID()}, c.Accept(ctx, q)
	}
	return c.Submit(ctx, q)
}

func checkWait(wait string) error {
	if wait != "accepted" && wait != "committed" {
		return fail(exitUsage, "wait %q: want accepted or committed", wait)
	}
	return nil
}

// writeOutcome prints what became of a transaction.
func (a *app) writeOutcome(o client.Outcome) error {
	fields := []field{{"id", o.ID.String()}}
	status := "accepted"
	if o.Status != 0 {
		status = o.Status.String()
		fields = append(fields, field{"seq", strconv.FormatUint(uint64(o.Seq), 10)}, field{"index", o.Index})
	}
	fields = append(fields, field{"status", status})
	if o.Status == client.Failed {
		fields = append(fields, field{"code", o.Code})
	}
	if o.Status != 0 {
		fields = append(fields, field{"result", hex.EncodeToString(o.Result)})
	}
	return a.writeFields(fields)
}

// showOutcome prints what became of a transaction that was submitted; one that was not applied is an error as well.
func (a *app) showOutcome(o client.Outcome) error {
	if err := a.writeOutcome(o); err != nil {
		return err
	}
	switch {
	case o.Status == client.Failed && o.Code == uint16(kv.Mismatch):
		value, held, err := kv.DecodeContent(o.Result)
		if err != nil || !held {
			return fail(exitRejected, "not applied: there is no such key")
		}
		return fail(exitRejected, "not applied: the key has another value, %.60q", value)
	case o.Status == client.Failed:
		return fail(exitRejected, "executed, and failed with code %d", o.Code)
	case o.Status != 0 && !o.Status.Executed():
		return fail(exitRejected, "not executed: %s", o.Status)
	}
	return nil
}

func (a *app) txSignCommand() *cobra.Command {
	var t txFlags
	var out string
	t.app = a
	cmd := a.command("sign (put|delete|cas|raw FILE) … --out FILE", "Sign a transaction, offline",
		"  quorate tx sign put greeting hello --out tx.bin && quorate tx submit tx.bin", cobra.MinimumNArgs(1), func(ctx context.Context, args []string) error {
			if out == "" {
				return fail(exitUsage, "--out is missing")
			}
			operation, err := t.operation(args[0], args[1:])
			if err != nil {
				return err
			}
			return t.sign(ctx, operation, out)
		})
	t.add(cmd)
	cmd.Flags().StringVar(&out, "out", "", "where to write the transaction's exact bytes")
	return cmd
}

// operation builds one by its name.
func (t *txFlags) operation(name string, args []string) ([]byte, error) {
	if name == "raw" {
		if len(args) != 1 {
			return nil, fail(exitUsage, "raw wants a file with an operation's bytes")
		}
		return os.ReadFile(args[0])
	}
	i := slices.IndexFunc(operationCommands, func(o operationCommand) bool { return o.name == name })
	if i < 0 {
		return nil, fail(exitUsage, "no operation %q: there are put, delete, cas and raw", name)
	}
	o := operationCommands[i]
	if len(args) != o.n {
		return nil, fail(exitUsage, "%s wants %s", name, o.args)
	}
	raw, err := t.arguments(args)
	if err != nil {
		return nil, err
	}
	return o.build(raw), nil
}

func (t *txFlags) sign(ctx context.Context, operation []byte, out string) error {
	if err := t.check(); err != nil {
		return err
	}
	n, err := t.find()
	if err != nil {
		return err
	}
	key, err := t.loadKey(ctx)
	if err != nil {
		return err
	}
	nonce, last := t.nonce, t.last
	if nonce == 0 {
		if nonce, err = noncesOf(t.keyFile()).next(); err != nil {
			return err
		}
	}
	if last == 0 {
		// Offline nobody says how far the network is: this is the furthest that it would take at its beginning.
		last = uint64(n.genesis.Parameters.LastAhead)
	}
	q, err := t.request(key, n.genesis.Digest(), nonce, last, operation)
	if err != nil {
		return err
	}
	if err := writeNew(out, "--out", q.Bytes()); err != nil {
		return err
	}
	return t.app.writeFields([]field{{"id", q.ID().String()}, {"nonce", strconv.FormatUint(nonce, 10)}, {"last", strconv.FormatUint(last, 10)}})
}

func (a *app) txSubmitCommand() *cobra.Command {
	t := target{app: a}
	var wait string
	var receipt receiptFlag
	cmd := a.command("submit FILE…", "Submit signed transactions unchanged", "  quorate tx submit tx.bin --node 2", cobra.MinimumNArgs(1), func(ctx context.Context, args []string) error {
		if err := errors.Join(checkWait(wait), receipt.check(wait)); err != nil {
			return err
		}
		if receipt.path != "" && len(args) > 1 {
			return fail(exitUsage, "--receipt is of one transaction, and there are %d files", len(args))
		}
		var all []*message.Request // before the first is sent
		for _, path := range args {
			q, err := readRequest(path)
			if err != nil {
				return err
			}
			all = append(all, q)
		}
		n, err := t.find()
		if err != nil {
			return err
		}
		c, err := n.client()
		if err != nil {
			return err
		}
		defer c.Close()
		var errs []error
		for _, q := range all {
			if err := t.submitOne(ctx, c, q, wait, &receipt); err != nil {
				errs = append(errs, err)
			}
		}
		return errors.Join(errs...)
	})
	t.addNode(cmd.Flags())
	receipt.add(cmd.Flags())
	addWait(cmd, &wait)
	return cmd
}

// readRequest reads what tx sign writes.
func readRequest(path string) (*message.Request, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	q, err := message.DecodeRequest(raw)
	if err != nil {
		return nil, fail(exitRejected, "%s: %w", path, err)
	}
	return q, nil
}

func (t *target) submitOne(ctx context.Context, c *client.Client, q *message.Request, wait string, receipt *receiptFlag) error {
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	o, err := submit(ctx, c, q, wait)
	if err != nil {
		return outcomeError(err)
	}
	return errors.Join(t.app.showOutcome(o), receipt.save(ctx, c, o))
}

func (a *app) txShowCommand() *cobra.Command {
	t := target{app: a}
	var receipt receiptFlag
	cmd := a.command("show ID", "Show what became of a transaction",
		"  quorate tx show 8d0f…e2    the id, all 64 digits, as tx put prints it\n  quorate tx show 8d0f…e2 --node 2", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
			var id crypto.Digest
			if err := id.UnmarshalText([]byte(args[0])); err != nil {
				return fail(exitUsage, "id %q: %w", args[0], err)
			}
			if err := receipt.check(""); err != nil {
				return err
			}
			n, err := t.find()
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(ctx, t.timeout)
			defer cancel()
			if n.fixed && receipt.path == "" {
				return t.showWords(ctx, n, "/tx/"+id.String(), "id", "seq", "index", "status", "code", "result")
			}
			c, err := n.client()
			if err != nil {
				return err
			}
			defer c.Close()
			o, err := c.Transaction(ctx, id)
			if err != nil {
				return t.readError(ctx, n, err)
			}
			return errors.Join(a.writeOutcome(o), receipt.save(ctx, c, o))
		})
	t.addNode(cmd.Flags())
	receipt.add(cmd.Flags())
	return cmd
}
