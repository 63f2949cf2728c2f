package local

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quorate/quorate/api"
	"github.com/quorate/quorate/testnet/scenario"
)

// Look is how the node was a moment ago.
func (c *Cluster) Look(node int) scenario.Look {
	m, err := c.member(node)
	if err != nil {
		return scenario.Look{State: scenario.Down}
	}
	l := m.node
	l.mu.Lock()
	stale := time.Since(l.asked) > freshTime && !l.silent
	l.mu.Unlock()
	if stale {
		c.lookAgain(m, l, quickTime)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.look
}

// page is what a node answers to GET.
func (c *Cluster) page(node int, path string) (string, error) {
	m, err := c.in(node, scenario.Up)
	if err != nil {
		return "", err
	}
	code, body, err := get(context.Background(), m.node.url+path)
	if err != nil {
		return "", err
	}
	if code != http.StatusOK {
		return "", fmt.Errorf("%s: status %d", path, code)
	}
	return body, nil
}

// Metrics are the node's, each the sum over its labels.
func (c *Cluster) Metrics(node int) (map[string]float64, error) {
	text, err := c.page(node, "/metrics")
	if err != nil {
		return nil, err
	}
	return parseMetrics(text), nil
}

// parseMetrics reads Prometheus's text format: name{labels} value.
func parseMetrics(text string) map[string]float64 {
	sums := make(map[string]float64)
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, rest := line, ""
		if i := strings.IndexAny(line, "{ "); i >= 0 {
			name, rest = line[:i], line[i:]
		}
		if i := strings.LastIndexByte(rest, '}'); i >= 0 {
			rest = rest[i+1:]
		}
		words := strings.Fields(rest)
		if len(words) == 0 {
			continue
		}
		if v, err := strconv.ParseFloat(words[0], 64); err == nil {
			sums[name] += v
		}
	}
	return sums
}

// Accused are the members that a node holds evidence against, in ascending order.
func (c *Cluster) Accused(node int) ([]int, error) {
	text, err := c.page(node, "/evidence")
	if err != nil {
		return nil, err
	}
	var list api.EvidenceList
	if err := json.Unmarshal([]byte(text), &list); err != nil {
		return nil, fmt.Errorf("evidence: %w", err)
	}
	var members []int
	for _, e := range list.Evidence {
		members = append(members, int(e.Member))
	}
	slices.Sort(members)
	return slices.Compact(members), nil
}
