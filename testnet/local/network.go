// Package local has networks of node processes on this machine: their folders, their start and end, and how they are.
package local

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/quorate/quorate/api"
)

// Start begins those of the nodes that do not run yet, and returns when each of them answers; see AwaitReady for more. A
// node that ends before it answers is an error with its last words; the others run then, and can be stopped.
func (n *Network) Start(ctx context.Context, ids []int, program Program) error {
	var idle []int
	for _, i := range ids {
		_, runs, err := n.Home(i).running()
		if err != nil {
			return err
		}
		if runs || slices.Contains(idle, i) {
			continue
		}
		idle = append(idle, i)
		m := n.Genesis.Members[i-1]
		for _, address := range []string{m.Address, m.API} {
			if err := portFree(address); err != nil {
				return fmt.Errorf("node%d: %w: stop what listens there, or make another network: quorate testnet up --dir OTHER --base-port 0", i, err)
			}
		}
	}
	begun := make([]*process, len(idle))
	for k, i := range idle {
		var err error
		if begun[k], err = n.Home(i).launch(program); err != nil {
			return fmt.Errorf("node%d: %w", i, err)
		}
	}
	// Of every one, also behind one that ended: a process that has not got as far as its lock is one that Stop and Kill do
	// not find.
	var errs []error
	for k, i := range idle {
		errs = append(errs, n.awaitAnswer(ctx, i, begun[k], "/healthz"))
	}
	return errors.Join(errs...)
}

// ErrNotReady says that a node runs, but cannot commit.
var ErrNotReady = errors.New("is not ready")

// AwaitReady waits until each of these nodes can commit, or says that it is an observer, which never will. The error wraps
// ErrNotReady if ctx ends before, and says which node and why.
func (n *Network) AwaitReady(ctx context.Context, ids []int) error {
	for _, i := range ids {
		if s, err := n.statusOf(ctx, i); err == nil && s.Role == observer {
			continue
		}
		if err := n.awaitAnswer(ctx, i, nil, "/readyz"); err != nil {
			return err
		}
	}
	return nil
}

// observer is the role of a node that follows and has no vote.
const observer = "observer"

// Observers are those of the nodes that follow without a vote, by their own word, with what they say of it.
func (n *Network) Observers(ctx context.Context, ids []int) (map[int]string, error) {
	found := make(map[int]string)
	for _, i := range ids {
		s, err := n.statusOf(ctx, i)
		if err != nil {
			return nil, err
		}
		if s.Role == observer {
			found[i] = s.Why
		}
	}
	return found, nil
}

// awaitAnswer waits for a 200 from the node at path. p is its process, if that is ours.
func (n *Network) awaitAnswer(ctx context.Context, i int, p *process, path string) error {
	why := "no answer"
	err := until(ctx, func() (bool, error) {
		if p != nil {
			select {
			case <-p.done:
				return false, fmt.Errorf("node%d %w", i, p.ended())
			default:
			}
		} else if _, runs, err := n.Home(i).running(); err != nil || !runs {
			if err == nil {
				err = fmt.Errorf("node%d has ended; the end of %s:\n%s", i, n.Home(i).Log(), lastLines(n.Home(i).Log(), 0, 5))
			}
			return false, err
		}
		code, body, err := get(ctx, n.URL(i)+path)
		if err != nil {
			return false, nil // not listening yet: why stays
		}
		why = strings.TrimSpace(body)
		var said api.Error
		if json.Unmarshal([]byte(body), &said) == nil && said.Message != "" {
			why = said.Message
		}
		return code == http.StatusOK, nil
	})
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return fmt.Errorf("node%d %w (%s): see %s: %w", i, ErrNotReady, why, n.Home(i).Log(), ctx.Err())
	}
	return err
}

// answerTime is how long one answer of a node on this machine may take.
const answerTime = 2 * time.Second

// maxAnswer bounds an answer that is read whole, in bytes.
const maxAnswer = 1 << 20

func get(ctx context.Context, url string) (code int, body string, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		return 0, "", err
	}
	defer r.Body.Close()
	text, err := io.ReadAll(io.LimitReader(r.Body, maxAnswer))
	return r.StatusCode, string(text), err
}

// NodeStatus is how a node is, from outside.
type NodeStatus struct {
	Node  int    `json:"node"`
	State string `json:"state"` // running, paused, stopped, or silent: it runs and does not answer
	PID   int    `json:"pid"`   // 0 if stopped
	P2P   string `json:"p2p"`
	API   string `json:"api"` // URL
	// What it says of itself; empty if it does not answer.
	Role   string `json:"role"`
	Seq    string `json:"seq"`
	View   string `json:"view"`
	Leader uint32 `json:"leader"` // 0: it does not say
	Ready  bool   `json:"ready"`
	Why    string `json:"why"` // not ready
}

// Status asks all nodes how they are.
func (n *Network) Status(ctx context.Context) ([]NodeStatus, error) {
	all := make([]NodeStatus, n.N())
	errs := make([]error, n.N())
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() { all[i], errs[i] = n.statusOf(ctx, i+1) })
	}
	wg.Wait()
	return all, errors.Join(errs...)
}

func (n *Network) statusOf(ctx context.Context, i int) (NodeStatus, error) {
	s := NodeStatus{Node: i, State: "stopped", P2P: n.Genesis.Members[i-1].Address, API: n.URL(i)}
	pid, runs, err := n.Home(i).running()
	if err != nil || !runs {
		return s, err
	}
	s.PID = pid
	if stateOf(pid) == 'T' {
		s.State = "paused"
		return s, nil
	}
	s.State = "silent"
	code, body, err := get(ctx, n.URL(i)+"/status")
	if err != nil || code != http.StatusOK {
		return s, nil
	}
	var said api.Status
	if json.Unmarshal([]byte(body), &said) != nil {
		return s, nil
	}
	s.State, s.Role, s.Ready, s.Why = "running", said.Role, said.Ready, said.Why
	s.Seq, s.View, s.Leader = fmt.Sprint(said.Seq), fmt.Sprint(said.View), said.Leader
	return s, nil
}

// All are the numbers of all nodes.
func (n *Network) All() []int {
	ids := make([]int, n.N())
	for i := range ids {
		ids[i] = i + 1
	}
	return ids
}
