package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"time"

	"github.com/quorate/quorate/cmd/quorate/audit"
	"github.com/quorate/quorate/testnet/local"
	"github.com/quorate/quorate/testnet/scenario"
)

// testnetCluster is a network of processes of this program that faults happen to, to be made in the folder dir.
func (a *app) testnetCluster(dir string) scenario.Cluster {
	return local.NewCluster(local.ClusterConfig{Dir: dir, Tools: homeTools, Program: local.ThisProgram, Audit: auditNodes})
}

// checkTime is how long a check waits for a node to come to what was acknowledged. One that is cut off never does.
const checkTime = 5 * time.Second

// auditNodes goes through the chains of nodes that run, and of nodes that are down.
func auditNodes(ctx context.Context, n *local.Network, up, down []int, acks []local.Ack) (*local.Audited, error) {
	told := make([]audit.Ack, len(acks))
	for i, a := range acks {
		told[i] = audit.Ack(a)
	}
	all := audit.NewAcks(told)
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	h := &http.Client{Transport: &http.Transport{Protocols: &p}}
	defer h.CloseIdleConnections()
	var chains []audit.Chain
	for _, i := range n.All() {
		switch {
		case slices.Contains(up, i):
			chains = append(chains, audit.NewRemote(h, n.URL(i), all.Newest(), checkTime))
		case slices.Contains(down, i):
			s, err := audit.OpenStopped(filepath.Join(n.Home(i).Data(), "log"))
			if err != nil {
				chains = append(chains, audit.Missing{Err: err})
				break
			}
			defer s.Close() // nothing was written
			chains = append(chains, s)
		default:
			chains = append(chains, audit.Missing{Err: errors.New("was not asked")})
		}
	}
	r, err := audit.Run(ctx, n.Genesis, chains, all)
	if err != nil {
		return nil, err
	}
	found := &local.Audited{Broken: make(map[scenario.Check]*scenario.Violation)}
	for of, what := range map[audit.Promise]scenario.Check{
		audit.Agreement: scenario.Agreement, audit.Durability: scenario.Durability, audit.ExactlyOnce: scenario.ExactlyOnce,
	} {
		if v, broken := r.Broken[of]; broken {
			found.Broken[what] = &scenario.Violation{Check: what, Node: v.Node, Text: fmt.Sprintf("node%d: %s", v.Node, v.Text)}
		}
	}
	for i, one := range r.Nodes {
		switch {
		case one.Missing == nil:
			found.Read++
		case found.Why == nil && (slices.Contains(up, i+1) || slices.Contains(down, i+1)):
			found.Why = fmt.Errorf("node%d: %w", i+1, one.Missing)
		}
	}
	return found, nil
}
