package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/client"
	"github.com/quorate/quorate/statemachine/kv"
)

func (a *app) getCommand() *cobra.Command {
	t := txFlags{target: target{app: a}}
	var read string
	var at uint64
	cmd := a.command("get KEY [flags]", "Read what a key holds",
		"  quorate get greeting                      an ordered read: never older than what was acknowledged\n  quorate get greeting --read local --node 2   what node 2 has now, perhaps behind the others", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			raw, err := t.arguments(args)
			if err != nil {
				return err
			}
			switch {
			case read == "local":
				return t.getLocal(ctx, raw[0], at)
			case read != "linearizable":
				return fail(exitUsage, "read %q: want linearizable or local", read)
			case at != 0:
				return fail(exitUsage, "--at reads the past: add --read local")
			}
			return t.getOrdered(ctx, raw[0])
		})
	t.add(cmd)
	cmd.Flags().StringVar(&read, "read", "linearizable", "linearizable: ordered and signed like a write; local: one node's word")
	cmd.Flags().Uint64Var(&at, "at", 0, "sequence number to read at (default: the newest)")
	return cmd
}

// getOrdered reads through the log.
func (t *txFlags) getOrdered(ctx context.Context, key []byte) error {
	o, err := t.execute(ctx, kv.Get(key), "committed")
	if unknown := (*client.Unknown)(nil); errors.As(err, &unknown) && errors.Is(err, context.DeadlineExceeded) {
		return t.notRead(ctx, unknown) // whose outcome nobody needs: it has changed nothing
	}
	if err != nil {
		return err
	}
	if o.Status != client.Applied {
		return t.app.showOutcome(o)
	}
	return t.showContent(key, o.Result, uint64(o.Seq), "linearizable", "")
}

// notRead says why a read had no answer: preferably in the words of a node that knows.
func (t *txFlags) notRead(ctx context.Context, unknown *client.Unknown) error {
	n, err := t.find()
	if err != nil {
		return err
	}
	c, err := n.client()
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, whyTime)
	defer cancel()
	why := unknown.Cause.Error()
	for _, endpoint := range n.endpoints {
		if s, err := c.Status(ctx, endpoint); err == nil && !s.Ready {
			why = fmt.Sprintf("node %d: %s", s.Node, s.Why)
			break
		}
	}
	return fail(exitUnavailable, "no answer within %v: %s: quorate testnet status%s, or --read local", t.timeout, why, t.app.dirFlag())
}

// whyTime is how long nodes are asked what was wrong.
const whyTime = time.Second

func (t *txFlags) getLocal(ctx context.Context, key []byte, at uint64) error {
	n, c, cancel, ctx, err := t.reader(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	r, err := c.Read(ctx, kv.GetQuery(key), optional(at))
	if err != nil {
		return t.readError(ctx, n, err)
	}
	return t.showContent(key, r.Answer, uint64(r.Seq), "local", r.Node)
}

// reader is a client for one call.
func (t *target) reader(ctx context.Context) (*network, *client.Client, func(), context.Context, error) {
	n, err := t.find()
	if err != nil {
		return nil, nil, nil, nil, err
	}
	c, err := n.client()
	if err != nil {
		return nil, nil, nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	return n, c, func() { cancel(); c.Close() }, ctx, nil
}

func optional(at uint64) *uint64 {
	if at == 0 {
		return nil
	}
	return &at
}

// showContent prints a value alone, so that scripts can use it; what it is worth goes to stderr.
func (t *txFlags) showContent(key, content []byte, seq uint64, read, node string) error {
	value, held, err := kv.DecodeContent(content)
	if err != nil {
		return fail(exitViolation, "the answer is not that of a get: %w", err)
	}
	if !held {
		return fail(exitNotFound, "no key %q at %d", key, seq)
	}
	if t.app.output == "json" {
		answer := []field{{"key", hex.EncodeToString(key)}, {"value", hex.EncodeToString(value)}, {"seq", strconv.FormatUint(seq, 10)}, {"read", read}}
		if node != "" {
			answer = append(answer, field{"node", node})
		}
		return t.app.writeFields(answer)
	}
	if node != "" {
		t.app.say("local read, the unchecked word of %s: true there at %d", node, seq)
	} else {
		t.app.say("true at %d", seq)
	}
	_, err = fmt.Fprintf(t.app.out, "%s\n", t.text(value))
	return err
}

// text is bytes as the user wants them.
func (t *txFlags) text(b []byte) string {
	if t.hex {
		return hex.EncodeToString(b)
	}
	return string(b)
}

func (a *app) scanCommand() *cobra.Command {
	t := txFlags{target: target{app: a}}
	var read string
	var at uint64
	var limit uint32
	cmd := a.command("scan PREFIX [flags]", "List the keys with a prefix, as one node has them", "  quorate scan greet --node 2", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			if read != "local" {
				return fail(exitUsage, "read %q: a scan is local, the word of one node; get reads a key linearizably", read)
			}
			raw, err := t.arguments(args)
			if err != nil {
				return err
			}
			return t.scan(ctx, raw[0], limit, at)
		})
	f := cmd.Flags()
	t.addNode(f)
	f.BoolVar(&t.hex, "hex", false, "prefix, keys and values are hexadecimal")
	f.StringVar(&read, "read", "local", "local: one node's word")
	f.Uint64Var(&at, "at", 0, "sequence number to read at (default: the newest)")
	f.Uint32Var(&limit, "limit", 0, "at most so many keys (default: all)")
	return cmd
}

func (t *txFlags) scan(ctx context.Context, prefix []byte, limit uint32, at uint64) error {
	n, c, cancel, ctx, err := t.reader(ctx)
	if err != nil {
		return err
	}
	defer cancel()
	all, err := c.Scan(ctx, prefix, nil, limit, optional(at))
	for err == nil && all.More && (limit == 0 || len(all.Entries) < int(limit)) {
		// The rest of the same moment, from the same node: another may be further.
		if c, err = sameNode(t, all.Node); err != nil {
			break
		}
		left := uint32(0)
		if limit > 0 {
			left = limit - uint32(len(all.Entries))
		}
		seq := uint64(all.Seq)
		var more client.Listing
		more, err = c.Scan(ctx, prefix, kv.After(all.Entries[len(all.Entries)-1].Key), left, &seq)
		c.Close()
		all.Entries, all.More = append(all.Entries, more.Entries...), more.More
	}
	if err != nil {
		return t.readError(ctx, n, err)
	}
	return t.showListing(all)
}

func sameNode(t *txFlags, url string) (*client.Client, error) {
	one := t.target
	one.node = url
	n, err := one.find()
	if err != nil {
		return nil, err
	}
	return n.client()
}

func (t *txFlags) showListing(l client.Listing) error {
	if t.app.output == "json" {
		entries := make([]map[string]string, len(l.Entries))
		for i, e := range l.Entries {
			entries[i] = map[string]string{"key": hex.EncodeToString(e.Key), "value": hex.EncodeToString(e.Value)}
		}
		return t.app.writeJSON(map[string]any{"entries": entries, "more": l.More, "seq": strconv.FormatUint(uint64(l.Seq), 10), "read": "local", "node": l.Node})
	}
	t.app.say("local read, the unchecked word of %s: true there at %d", l.Node, l.Seq)
	for _, e := range l.Entries {
		if _, err := fmt.Fprintf(t.app.out, "%s\t%s\n", t.text(e.Key), t.text(e.Value)); err != nil {
			return err
		}
	}
	return nil
}
