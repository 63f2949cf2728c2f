package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/cmd/quorate/audit"
)

// catchUpTime is how long an audit waits for a node to come to what was acknowledged.
const catchUpTime = 10 * time.Second

func (a *app) auditCommand() *cobra.Command {
	t := target{app: a}
	var acks string
	var offline bool
	var allowed int
	cmd := a.command("audit [flags]", "Check every node's whole chain, and believe none of them",
		"  quorate audit --acks acks.txt\n  quorate testnet down && quorate audit --offline", cobra.NoArgs, func(ctx context.Context, _ []string) error {
			var lines *audit.Acks
			if acks != "" {
				f, err := os.Open(acks)
				if err != nil {
					return err
				}
				defer f.Close()
				if lines, err = audit.ReadAcks(f); err != nil {
					return fmt.Errorf("%s: %w", acks, err)
				}
			}
			n, err := t.find()
			if err != nil {
				return err
			}
			chains, closeAll, err := a.chains(n, offline, lines)
			if err != nil {
				return err
			}
			defer closeAll()
			r, err := audit.Run(ctx, n.genesis, chains, lines)
			if err != nil {
				return err
			}
			return a.showAudit(r, allowed)
		})
	cmd.Long = `Check every node's whole chain, and believe none of them.

Exit code 6: a violation was found in what was read, also content of a node's log that is not what the node wrote.
Exit code 4: more nodes than --allow-missing, or all, could not be read: they do not answer or, with --offline, run or
have no log.`
	f := cmd.Flags()
	f.StringVar(&acks, "acks", "", "file of acknowledgements, as bench writes it: each must be in every chain")
	f.BoolVar(&offline, "offline", false, "read the folders of stopped nodes")
	f.IntVar(&allowed, "allow-missing", 0, "how many nodes may be out of reach")
	f.StringVar(&t.genesis, "genesis", "", "genesis file (default: that of the test network in --dir)")
	return cmd
}

// chains are those of all members, and what lets go of them.
func (a *app) chains(n *network, offline bool, acks *audit.Acks) (all []audit.Chain, closeAll func(), err error) {
	least := epoch.Seq(0)
	if acks != nil {
		least = acks.Newest()
	}
	if !offline {
		var p http.Protocols
		p.SetUnencryptedHTTP2(true)
		h := &http.Client{Transport: &http.Transport{Protocols: &p}}
		for _, url := range n.endpoints {
			all = append(all, audit.NewRemote(h, url, least, catchUpTime))
		}
		return all, h.CloseIdleConnections, nil
	}
	testnet, err := a.network()
	if err != nil {
		return nil, nil, err
	}
	var open []*audit.Stopped
	running, err := testnet.Running()
	if err != nil {
		return nil, nil, err
	}
	for _, i := range testnet.All() {
		if slices.Contains(running, i) {
			all = append(all, audit.Missing{Err: fmt.Errorf("runs: quorate testnet stop %d%s", i, a.dirFlag())})
			continue
		}
		s, err := audit.OpenStopped(filepath.Join(testnet.Home(i).Data(), "log"))
		if err != nil {
			all = append(all, audit.Missing{Err: err})
			continue
		}
		open = append(open, s)
		all = append(all, s)
	}
	return all, func() {
		for _, s := range open {
			_ = s.Close() // nothing was written
		}
	}, nil
}

func (a *app) showAudit(r *audit.Report, allowed int) error {
	missing := 0
	var first error
	type nodeReport struct {
		Node int    `json:"node"`
		Last string `json:"last"`
		Read bool   `json:"read"` // to its end
		Why  string `json:"why"`  // not
	}
	var nodes []nodeReport
	for i, n := range r.Nodes {
		one := nodeReport{Node: i + 1, Last: strconv.FormatUint(uint64(n.Last), 10), Read: n.Missing == nil}
		if n.Missing != nil {
			one.Why = n.Missing.Error()
			missing++
			if first == nil && !isDamage(n.Missing) {
				first = fmt.Errorf("node%d: %w", i+1, n.Missing)
			}
		}
		nodes = append(nodes, one)
	}
	violations := len(r.Violations) + r.More
	if a.output == "json" {
		found := r.Violations
		if found == nil {
			found = []string{}
		}
		if err := a.writeJSON(map[string]any{"blocks": strconv.FormatUint(uint64(r.Blocks), 10), "transactions": strconv.Itoa(r.Transactions),
			"executed": strconv.Itoa(r.Executed), "acks": r.Acks, "nodes": nodes, "violations": violations, "found": found}); err != nil {
			return err
		}
	} else {
		for _, n := range nodes {
			state := "read"
			if !n.Read {
				state = n.Why
			}
			fmt.Fprintf(a.out, "node%d  %s blocks  %s\n", n.Node, n.Last, state)
		}
		for _, v := range r.Violations {
			fmt.Fprintf(a.out, "VIOLATION  %s\n", v)
		}
		fmt.Fprintf(a.out, "%d blocks, %d transactions, %d executed, %d acknowledgements, %s\n",
			r.Blocks, r.Transactions, r.Executed, r.Acks, counted(violations, "violation"))
	}
	switch {
	case violations > 0:
		return fail(exitViolation, "found: %s", counted(violations, "violation"))
	case missing == len(nodes):
		return fail(exitUnavailable, "none of %s could be read: %w", counted(missing, "node"), first)
	case missing > allowed:
		return fail(exitUnavailable, "could not be read: %s (--allow-missing %d): %w", counted(missing, "node"), allowed, first)
	}
	return nil
}

func counted(n int, things string) string {
	if n != 1 {
		things += "s"
	}
	return fmt.Sprintf("%d %s", n, things)
}

func isDamage(err error) bool {
	var d *audit.DamageError
	return errors.As(err, &d)
}
