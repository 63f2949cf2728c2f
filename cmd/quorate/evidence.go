package main

import (
	"context"
	"encoding/json"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/api"
)

func (a *app) evidenceCommand() *cobra.Command {
	t := target{app: a}
	cmd := a.command("evidence [flags]", "List what members have signed against their own word", "  quorate evidence --node http://127.0.0.1:28002", cobra.NoArgs, func(ctx context.Context, _ []string) error {
		words, err := t.words(ctx, "/evidence")
		if err != nil {
			return err
		}
		return a.showEvidence(words)
	})
	t.addNode(cmd.Flags())
	return cmd
}

func (a *app) showEvidence(words json.RawMessage) error {
	if a.output == "json" {
		return a.writeJSON(words)
	}
	var list api.EvidenceList
	if err := json.Unmarshal(words, &list); err != nil {
		return fail(exitUnavailable, "the answer is no list of evidence: %w", err)
	}
	if len(list.Evidence) == 0 {
		a.say("no evidence against anybody")
		return nil
	}
	rows := [][]string{{"ID", "MEMBER", "KIND", "EPOCH"}}
	for _, e := range list.Evidence {
		rows = append(rows, []string{e.ID, strconv.FormatUint(uint64(e.Member), 10), e.Kind, e.Epoch})
	}
	return a.writeTable(rows)
}
