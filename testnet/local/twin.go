package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// A twin is a second process with a node's keys, and with what the node remembered when the twin was made: the two speak for one
// member, and know nothing of each other.

// Twin is one, as it runs.
type Twin struct {
	Home Home
	PID  int
	P2P  string // host:port
	API  string // URL
}

// TwinHome is the folder of node i's twin.
func (n *Network) TwinHome(i int) Home { return n.Home(i) + "-twin" }

// StartTwin starts the twin of node i, and makes it first if there is none, to listen on ports that are free, on this host or, if it is
// empty, on the node's. It returns when the twin answers.
func (n *Network) StartTwin(ctx context.Context, i int, host string, t Tools, program Program) (*Twin, error) {
	if !n.Genesis.Test {
		return nil, fmt.Errorf("%s: a twin is for test networks, and this genesis does not say \"test\": true", genesisFile(n.Dir))
	}
	h := n.TwinHome(i)
	if _, runs, err := h.running(); err != nil || runs {
		if err == nil {
			err = fmt.Errorf("the twin of node%d %w: see %s", i, ErrRuns, h.Log())
		}
		return nil, err
	}
	if _, err := os.Stat(string(h)); errors.Is(err, fs.ErrNotExist) {
		if err := n.makeTwin(i, host, t); err != nil {
			return nil, fmt.Errorf("the twin of node%d: %w", i, err)
		}
	} else if err != nil {
		return nil, err
	}
	s, err := h.Settings()
	if err != nil {
		return nil, err
	}
	program.Args = append(program.Args, "--twin")
	p, err := h.launch(program)
	if err != nil {
		return nil, err
	}
	twin := &Twin{Home: h, P2P: s.P2PListen, API: "http://" + s.APIListen}
	err = until(ctx, func() (bool, error) {
		select {
		case <-p.done:
			return false, fmt.Errorf("the twin of node%d %w", i, p.ended())
		default:
		}
		code, _, err := get(ctx, twin.API+"/healthz")
		return err == nil && code == http.StatusOK, nil
	})
	if err != nil {
		return nil, err
	}
	twin.PID, _, err = h.running()
	return twin, err
}

// makeTwin makes the folder of a twin. It is there whole, or not at all.
func (n *Network) makeTwin(i int, host string, t Tools) error {
	of := n.Home(i)
	building, err := os.MkdirTemp(n.Dir, ".twin-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(building)
	h := Home(building)
	if err := os.Mkdir(h.Config(), 0o700); err != nil {
		return err
	}
	for from, to := range map[string]string{of.PeerKey(): h.PeerKey(), of.MemberKey(): h.MemberKey(), of.MemberFile(): h.MemberFile()} {
		text, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := writeFile(to, text, 0o600); err != nil {
			return err
		}
	}
	if host == "" {
		if host, _, err = net.SplitHostPort(n.Genesis.Members[i-1].Address); err != nil {
			return err
		}
	}
	s, err := of.Settings()
	if err != nil {
		return err
	}
	p := Plan{Nodes: 1, Hosts: []string{host}}
	if p.BasePort, err = freePorts(&p); err != nil {
		return err
	}
	s.P2PListen, s.APIListen = p.addresses(1)
	s.Genesis = filepath.Join("..", "..", "genesis.json") // as the node's own file has it
	if err := writeTOML(h.SettingsFile(), s); err != nil {
		return err
	}
	if err := os.Mkdir(h.Data(), 0o700); err != nil {
		return err
	}
	if err := t.CopyLog(building, string(of)); err != nil {
		return err
	}
	return os.Rename(building, string(n.TwinHome(i)))
}

// StopTwins stops all twins that run.
func (n *Network) StopTwins(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, StopTime)
	defer cancel()
	homes, err := filepath.Glob(filepath.Join(n.Dir, "node*-twin"))
	if err != nil {
		return err
	}
	var errs []error
	for _, home := range homes {
		h := Home(home)
		p, err := h.process()
		if errors.Is(err, ErrNotRunning) {
			continue
		}
		if err == nil {
			err = h.end(ctx, p, syscall.SIGTERM, syscall.SIGCONT)
			p.Release()
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("the twin of %s: %w", strings.TrimSuffix(filepath.Base(home), "-twin"), err))
		}
	}
	return errors.Join(errs...)
}
