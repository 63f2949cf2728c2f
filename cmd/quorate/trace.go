package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/api"
	"github.com/quorate/quorate/crypto"
)

func (a *app) traceCommand() *cobra.Command {
	t := target{app: a}
	var story string
	cmd := a.command("trace SEQ|ID [flags]", "Show one slot's life over all nodes",
		"  quorate trace 17\n  quorate sim --seeds 1 --from 7 --trace >story\n  quorate trace 17 --sim story", cobra.ExactArgs(1),
		func(ctx context.Context, args []string) error {
			seq, err := strconv.ParseUint(args[0], 10, 64)
			var id crypto.Digest
			if isID := id.UnmarshalText([]byte(args[0])) == nil; !isID && (err != nil || seq == 0) {
				return fail(exitUsage, "%q: want a sequence number, 1 or more, or the id of a transaction", args[0])
			} else if story != "" {
				if isID {
					return fail(exitUsage, "--sim wants a sequence number")
				}
				return a.traceStory(story, seq)
			} else if !isID {
				return t.trace(ctx, seq, "")
			}
			return t.trace(ctx, 0, args[0])
		})
	t.addNode(cmd.Flags())
	cmd.Flags().StringVar(&story, "sim", "", "file with what `quorate sim --trace` has told, instead of nodes")
	return cmd
}

// said is what one node has answered.
type said struct {
	endpoint string
	trace    api.Trace
	err      error
}

// trace asks all nodes about a slot, or the slot that decided a transaction.
func (t *target) trace(ctx context.Context, seq uint64, id string) error {
	n, err := t.find()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, t.timeout)
	defer cancel()
	if id != "" {
		if seq, err = t.slotOf(ctx, n, id); err != nil {
			return err
		}
	}
	answers := make([]said, len(n.endpoints))
	done := make(chan struct{})
	for i, url := range n.endpoints {
		go func() {
			answers[i].endpoint = url
			var words json.RawMessage
			if words, answers[i].err = t.ask(ctx, n, url, fmt.Sprintf("/trace/%d", seq)); answers[i].err == nil {
				answers[i].err = json.Unmarshal(words, &answers[i].trace)
			}
			done <- struct{}{}
		}()
	}
	for range n.endpoints {
		<-done
	}
	var traces []api.Trace
	var first error
	for _, s := range answers {
		if s.err == nil {
			traces = append(traces, s.trace)
			continue
		}
		if first == nil || codeOf(s.err, false) == exitNotFound {
			first = s.err
		}
		t.app.say("%s: %v", t.called(n, s.endpoint), s.err)
	}
	if len(traces) == 0 {
		return first
	}
	return t.app.showTrace(seq, traces)
}

func (t *target) called(n *network, endpoint string) string {
	if i := n.member(endpoint); i > 0 {
		return n.genesis.Members[i-1].Name
	}
	return endpoint
}

// slotOf is where a transaction was decided, by the first node that knows.
func (t *target) slotOf(ctx context.Context, n *network, id string) (uint64, error) {
	var first error
	for _, url := range n.endpoints {
		words, err := t.ask(ctx, n, url, "/tx/"+id)
		if err == nil {
			var o api.Outcome
			err = json.Unmarshal(words, &o)
			if err == nil {
				return o.Seq, nil
			}
		}
		if first == nil || codeOf(err, false) == exitNotFound {
			first = err
		}
	}
	return 0, first
}

// tracedSteps are the steps of a slot's life in the order of the protocol, with what each means.
var tracedSteps = []struct{ step, means string }{
	{"proposal", "proposal by"},
	{"accepted", "accepted, in the log"},
	{"prepare", "prepare by"},
	{"prepared", "prepared, in the log"},
	{"commit", "commit by"},
	{"decided", "decided"},
	{"learned", "learned as a block"},
	{"executed", "executed"},
	{"durable", "block in the log"},
	{"attestation", "attestation by"},
	{"acknowledged", "acknowledged"},
}

// traceRow is one step over all nodes.
type traceRow struct {
	order  int
	member uint32
	view   uint64
	at     map[uint32]int64 // by node, in ns since 1970
}

func rowsOf(traces []api.Trace) []*traceRow {
	type key struct {
		order  int
		member uint32
		view   uint64
	}
	rows := map[key]*traceRow{}
	for _, t := range traces {
		for _, p := range t.Points {
			order := slices.IndexFunc(tracedSteps, func(s struct{ step, means string }) bool { return s.step == p.Step })
			if order < 0 {
				continue // of a newer program
			}
			k := key{order, 0, p.View}
			if strings.HasSuffix(tracedSteps[order].means, " by") {
				k.member = p.Member
			}
			if rows[k] == nil {
				rows[k] = &traceRow{k.order, k.member, k.view, map[uint32]int64{}}
			}
			rows[k].at[t.Node] = p.UnixNanos
		}
	}
	var sorted []*traceRow
	for _, r := range rows {
		sorted = append(sorted, r)
	}
	// By order first: what is said in a later view comes behind what was said in the one before, of the same step.
	slices.SortFunc(sorted, func(a, b *traceRow) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.view, b.view), cmp.Compare(a.member, b.member))
	})
	return sorted
}

func (a *app) showTrace(seq uint64, traces []api.Trace) error {
	if a.output == "json" {
		return a.writeJSON(map[string]any{"seq": strconv.FormatUint(seq, 10), "nodes": traces})
	}
	rows := rowsOf(traces)
	var start int64
	for _, r := range rows {
		for _, at := range r.at {
			if start == 0 || at < start {
				start = at
			}
		}
	}
	head := []string{"MS"}
	for _, t := range traces {
		head = append(head, fmt.Sprintf("NODE%d", t.Node))
	}
	table := [][]string{append(head, fmt.Sprintf("SLOT %d", seq))}
	for _, r := range rows {
		earliest := int64(0)
		var cells []string
		for _, t := range traces {
			at, ok := r.at[t.Node]
			if !ok {
				cells = append(cells, "")
				continue
			}
			if earliest == 0 || at < earliest {
				earliest = at
			}
			cells = append(cells, nanosAsMillis(at-start))
		}
		means := tracedSteps[r.order].means
		if r.member != 0 {
			means += fmt.Sprintf(" node%d", r.member)
		}
		if r.view != 0 {
			means += fmt.Sprintf(" in view %d", r.view)
		}
		table = append(table, append(append([]string{nanosAsMillis(earliest - start)}, cells...), means))
	}
	if err := a.writeTable(table); err != nil {
		return err
	}
	a.say("MS: when the first node reached the step; each column: when that node did, or heard of it. A - is a step it did not need. " +
		"Each node's clock is its own: between hosts, compare with care.")
	return nil
}

func nanosAsMillis(nanos int64) string { return fixed(float64(nanos)/1e6, 3) }

// storyLine is a line of what the simulator tells: a time, who, and a sentence.
var storyLine = regexp.MustCompile(`^ *(\d+)\.(\d{3})s (.*)$`)

// traceStory prints the lines of a simulator's story that speak of a slot, with times relative to the first.
func (a *app) traceStory(path string, seq uint64) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	slot := regexp.MustCompile(fmt.Sprintf(`\bslot %d\b`, seq))
	rows := [][]string{{"MS", "NODE", "EVENT"}}
	var told []map[string]string
	start := int64(-1)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		m := storyLine.FindStringSubmatch(lines.Text())
		if m == nil || !slot.MatchString(m[3]) {
			continue
		}
		at, err := strconv.ParseInt(m[1]+m[2], 10, 64)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if start < 0 {
			start = at
		}
		who, what, _ := strings.Cut(strings.TrimSpace(m[3]), " ")
		rows = append(rows, []string{strconv.FormatInt(at-start, 10), who, what})
		told = append(told, map[string]string{"ms": strconv.FormatInt(at-start, 10), "node": who, "event": what})
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	switch {
	case len(told) == 0:
		return fail(exitNotFound, "%s tells nothing of slot %d: it is what `quorate sim --seeds 1 --from SEED --trace` prints", path, seq)
	case a.output == "json":
		return a.writeJSON(map[string]any{"seq": strconv.FormatUint(seq, 10), "events": told})
	}
	return a.writeTable(rows)
}
