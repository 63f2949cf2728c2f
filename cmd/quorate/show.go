package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/api"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/client"
)

func median(seqs []uint64) uint64 {
	slices.Sort(seqs)
	return seqs[len(seqs)/2]
}

// showWords prints the one node's own answer, unchecked: with -o json as it came, else these of its fields.
func (t *target) showWords(ctx context.Context, n *network, path string, names ...string) error {
	words, err := t.ask(ctx, n, n.endpoints[0], path)
	if err != nil {
		return err
	}
	return t.app.writeWords(words, names)
}

func (a *app) writeWords(words json.RawMessage, names []string) error {
	if a.output == "json" {
		var indented bytes.Buffer
		if err := json.Indent(&indented, words, "", "  "); err != nil {
			return fail(exitUnavailable, "the answer is not JSON: %w", err)
		}
		_, err := fmt.Fprintln(a.out, indented.String())
		return err
	}
	var all map[string]any
	d := json.NewDecoder(bytes.NewReader(words))
	d.UseNumber()
	if err := d.Decode(&all); err != nil {
		return fail(exitUnavailable, "the answer is not what was asked for: %w", err)
	}
	var fields []field
	for _, name := range names {
		fields = append(fields, field{name, all[name]})
	}
	return a.writeFields(fields)
}

func (a *app) statusCommand() *cobra.Command {
	t := target{app: a}
	cmd := a.command("status [flags]", "Show what a node knows of the network", "  quorate status --node 2 -o json", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		words, err := t.words(ctx, "/status")
		if err != nil {
			return err
		}
		return a.showStatus(words)
	})
	t.addNode(cmd.Flags())
	return cmd
}

// words is one node's own answer: that of --node, or of the one that has come furthest.
func (t *target) words(ctx context.Context, path string) (json.RawMessage, error) {
	n, err := t.find()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	endpoint, err := t.furthest(ctx, n)
	if err != nil {
		return nil, err
	}
	return t.ask(ctx, n, endpoint, path)
}

// showStatus prints a node's own answer, with the members.
func (a *app) showStatus(words json.RawMessage) error {
	if err := a.writeWords(words, []string{"node", "role", "chain", "mode", "epoch", "view", "leader", "seq", "stable", "header", "state",
		"peers", "ready", "why", "version"}); err != nil || a.output == "json" {
		return err
	}
	var s api.Status
	if err := json.Unmarshal(words, &s); err != nil {
		return fail(exitUnavailable, "the answer is no status: %w", err)
	}
	rows := [][]string{{"MEMBER", "NAME", "API"}}
	for _, m := range s.Members {
		rows = append(rows, []string{strconv.FormatUint(uint64(m.ID), 10), m.Name, m.API})
	}
	return a.writeTable(rows)
}

// furthest is the endpoint, of those that answer, that is ready and has executed most.
func (t *target) furthest(ctx context.Context, n *network) (string, error) {
	if n.fixed {
		return n.endpoints[0], nil
	}
	c, err := n.client()
	if err != nil {
		return "", err
	}
	defer c.Close()
	asking, cancel := context.WithTimeout(ctx, t.timeout/2) // one that leaves the question hanging keeps none from the rest
	defer cancel()
	said := make([]api.Status, len(n.endpoints))
	done := make(chan struct{})
	for i, url := range n.endpoints {
		go func() {
			said[i], _ = c.Status(asking, url)
			done <- struct{}{}
		}()
	}
	for range n.endpoints {
		<-done
	}
	best := 0
	for i, s := range said {
		if b := said[best]; s.Ready && !b.Ready || s.Ready == b.Ready && (s.Seq > b.Seq || s.Node != 0 && b.Node == 0) {
			best = i
		}
	}
	switch {
	case said[best].Node != 0:
		return n.endpoints[best], nil
	case ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded):
		return "", ctx.Err()
	case asking.Err() != nil:
		return "", t.tooShort()
	}
	return "", t.noneAnswers()
}

func (a *app) blockCommand() *cobra.Command {
	t := target{app: a}
	cmd := a.command("block SEQ [flags]", "Show a block with its certificate", "  quorate block 17 -o json", cobra.ExactArgs(1), func(ctx context.Context, args []string) error {
		seq, err := strconv.ParseUint(args[0], 10, 64)
		if err != nil || seq == 0 {
			return fail(exitUsage, "sequence number %q: want 1 or more", args[0])
		}
		n, err := t.find()
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, t.timeout)
		defer cancel()
		var words json.RawMessage
		if n.fixed {
			words, err = t.ask(ctx, n, n.endpoints[0], fmt.Sprintf("/block/%d", seq))
		} else {
			words, err = t.provenBlock(ctx, n, epoch.Seq(seq))
		}
		if err != nil {
			return err
		}
		return a.showBlock(words)
	})
	t.addNode(cmd.Flags())
	return cmd
}

// provenBlock is a block whose certificate holds.
func (t *target) provenBlock(ctx context.Context, n *network, seq epoch.Seq) (json.RawMessage, error) {
	c, err := n.client()
	if err != nil {
		return nil, err
	}
	defer c.Close()
	b, err := c.Block(ctx, seq)
	if err != nil {
		return nil, t.readError(ctx, n, err)
	}
	if !b.Attested {
		t.app.say("order and batch are proven; results and state are one node's word, whose attestations are no longer at hand")
	}
	return json.Marshal(plainBlock(b))
}

func plainBlock(b *client.Block) api.Block {
	h, e := &b.Header, b.Epoch
	out := api.Block{
		Header: api.Header{
			Epoch: h.Epoch.String(), Seq: uint64(h.Seq), Parent: h.Parent.String(), Batch: h.Batch.String(),
			Results: h.Results.String(), State: h.State.String(), Time: h.Time, NextEpoch: h.NextEpoch.String(),
		},
		HeaderDigest: h.Digest().String(), Mode: e.Mode.String(), View: uint64(b.View), Leader: uint32(e.Leader(b.View)),
		BatchTime: b.Batch.Time, Transactions: []api.Transaction{},
		Certificate: plainVotes(b.Certificate), Attestations: plainVotes(b.Attestations),
	}
	if b.Batch.Change != nil {
		out.Change = hex.EncodeToString(message.EncodeChange(b.Batch.Change))
	}
	for i, q := range b.Batch.Requests {
		claim, r := q.Claim(), &b.Results[i]
		out.Transactions = append(out.Transactions, api.Transaction{
			ID: q.ID().String(), Bytes: hex.EncodeToString(claim.Message), Signature: claim.Signature.String(),
			Status: client.Status(r.Status).String(), Code: r.Code, Seq: uint64(r.Seq), Result: hex.EncodeToString(r.Value),
		})
	}
	return out
}

func plainVotes(votes []*message.Signed) []api.Signed {
	out := []api.Signed{}
	for _, v := range votes {
		out = append(out, api.Signed{Member: uint32(v.Author), Signed: hex.EncodeToString(v.Bytes), Signature: v.Signature.String()})
	}
	return out
}

func (a *app) showBlock(words json.RawMessage) error {
	if a.output == "json" {
		return a.writeWords(words, nil)
	}
	var b api.Block
	if err := json.Unmarshal(words, &b); err != nil {
		return fail(exitUnavailable, "the answer is no block: %w", err)
	}
	if err := a.writeFields([]field{
		{"seq", b.Header.Seq}, {"header", b.HeaderDigest}, {"parent", b.Header.Parent}, {"batch", b.Header.Batch},
		{"results", b.Header.Results}, {"state", b.Header.State}, {"time", b.Header.Time}, {"view", b.View}, {"leader", b.Leader},
		{"commits", members(b.Certificate)}, {"attestations", members(b.Attestations)}, {"transactions", len(b.Transactions)},
		{"next_epoch", b.Header.NextEpoch},
	}); err != nil {
		return err
	}
	for _, t := range b.Transactions {
		if _, err := fmt.Fprintf(a.out, "  %s  %s\n", t.ID, t.Status); err != nil {
			return err
		}
	}
	return nil
}

func members(votes []api.Signed) []uint32 {
	ids := []uint32{}
	for _, v := range votes {
		ids = append(ids, v.Member)
	}
	return ids
}
