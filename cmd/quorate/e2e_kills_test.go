package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/client"
	"github.com/quorate/quorate/cmd/quorate/audit"
	"github.com/quorate/quorate/cmd/quorate/bench"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/crypto/keystore"
	"github.com/quorate/quorate/node"
	"github.com/quorate/quorate/node/host"
	"github.com/quorate/quorate/p2p"
	"github.com/quorate/quorate/statemachine"
	"github.com/quorate/quorate/statemachine/kv"
	"github.com/quorate/quorate/testnet/local"
)

// The campaign here kills a whole network in one instant, and its clients with it: all four nodes and 64 clients are one
// process, whose end no node outlives by even a moment, as separate processes would, one after the other.

const (
	// oneProcess is the name by which the test binary is a network and its clients.
	oneProcess = "quorate-in-one-process"
	// acksPerRound is how many acknowledgements a round that is killed under load has on average.
	acksPerRound = 2000
	// bootRounds is which part of the rounds is killed while the nodes come up: the last of every so many.
	bootRounds = 5
)

// runInOneProcess starts the nodes of the network in a folder. With `load` it puts a load on them until it is killed, and
// writes a line to descriptor 3 for each acknowledgement; with `settle` it stops in order once all stand at one header.
func runInOneProcess() int {
	if err := inOneProcess(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func inOneProcess(dir, what string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	logger := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	p2p.RouteLogs(logger)
	n, err := local.Open(dir)
	if err != nil {
		return err
	}
	var nodes []*node.Node
	for _, i := range n.All() {
		cfg, err := nodeConfig(n.Home(i), filepath.Join(n.Dir, "genesis.json"))
		if err != nil {
			return err
		}
		cfg.Logger = logger
		one, err := node.Start(cfg)
		if err != nil {
			return fmt.Errorf("node%d: %w", i, err)
		}
		nodes = append(nodes, one)
	}
	if what == "settle" {
		return settle(nodes)
	}
	c, err := client.New(client.Config{Genesis: n.Genesis, Scheme: crypto.Ed25519()})
	if err != nil {
		return err
	}
	_, err = bench.Run(ctx, bench.Config{
		Clients: 64, Duration: time.Hour, Size: 256, Acks: os.NewFile(3, "acknowledgements"),
		Chain: n.Genesis.Digest(), Seq: uint64(nodes[0].Status().Seq), Scheme: crypto.Ed25519(), NewKey: keystore.Generate,
		Submit: func(ctx context.Context, q *message.Request) (uint64, error) { return submitLoad(ctx, c, q) },
	})
	return err
}

// settle waits until all nodes are ready and stand at one header, and stops them.
func settle(nodes []*node.Node) error {
	together := func() bool {
		for _, n := range nodes {
			if ready, _ := n.Ready(); !ready || n.Status().Header != nodes[0].Status().Header {
				return false
			}
		}
		return true
	}
	for deadline := time.Now().Add(time.Minute); !together(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			var all []string
			for i, n := range nodes {
				_, why := n.Ready()
				all = append(all, fmt.Sprintf("node%d at %d: %s", i+1, n.Status().Seq, why))
			}
			return fmt.Errorf("the nodes do not come to one header in a minute: %s", strings.Join(all, "; "))
		}
	}
	var errs []error
	for _, n := range nodes {
		ctx, cancel := context.WithTimeout(context.Background(), stopTime)
		errs = append(errs, n.Stop(ctx))
		cancel()
	}
	return errors.Join(errs...)
}

// Whatever instant the whole network is killed at, again and again in the same folders, each node has in the end
// everything that was ever acknowledged, in its chain and in its machine. // case F11 F15 C14
// Red if a quorum is one member less, if a node that was killed while it came up cannot come up again, or if the machine's
// mark is not in the transaction of what it marks.
func TestEndToEndManyKillsOfOneProcess(t *testing.T) {
	if os.Getenv("QUORATE_E2E") == "" {
		t.Skip("takes minutes: run make e2e, or make crash for fifty rounds")
	}
	rounds := numberFrom(t, "QUORATE_ROUNDS", 3)
	seed := numberFrom(t, "QUORATE_SEED", uint64(time.Now().UnixNano()))
	random := rand.New(rand.NewPCG(seed, 1))
	t.Logf("QUORATE_ROUNDS=%d QUORATE_SEED=%d", rounds, seed)
	plan := local.DefaultPlan()
	plan.BasePort = 0
	n, err := local.Create(filepath.Join(t.TempDir(), "net"), homeTools, plan)
	if err != nil {
		t.Fatal(err)
	}
	k := &kills{Network: n, t: t, random: random, boot: 2 * time.Second}

	begun := time.Now()
	for round := range rounds {
		k.round(round%bootRounds == bootRounds-1)
	}
	k.settle()
	took := time.Since(begun)

	if want := int(rounds) * acksPerRound / 2; len(k.acks) < want {
		t.Errorf("%d acknowledgements in %d rounds, want %d: too little is shown", len(k.acks), rounds, want)
	}
	k.inChains()
	k.inMachines()
	t.Logf("%d kills, %d of them before the first acknowledgement; %d acknowledgements in %v",
		rounds, k.early, len(k.acks), took.Round(time.Second))
}

func numberFrom(t *testing.T, variable string, otherwise uint64) uint64 {
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	v, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return v
}

// kills is a campaign under way.
type kills struct {
	*local.Network
	t      *testing.T
	random *rand.Rand
	acks   []string      // lines
	boot   time.Duration // from a start to the first acknowledgement, the last time
	early  int           // rounds without any acknowledgement
}

// child is the network in one process.
func (k *kills) child(what string, acks *os.File, words io.Writer) *exec.Cmd {
	k.t.Helper()
	program, err := os.Executable()
	if err != nil {
		k.t.Fatal(err)
	}
	c := exec.Command(program, k.Dir, what)
	c.Args[0] = oneProcess
	c.Stderr = words
	if acks != nil {
		c.ExtraFiles = []*os.File{acks}
	}
	if err := c.Start(); err != nil {
		k.t.Fatal(err)
	}
	k.t.Cleanup(func() { _ = c.Process.Kill() })
	return c
}

// round starts the network and kills it: while it comes up, or when a random number of acknowledgements have left it and
// a random moment more has passed, so that it is not always just after one.
func (k *kills) round(inBoot bool) {
	k.t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		k.t.Fatal(err)
	}
	var words strings.Builder
	begun := time.Now()
	c := k.child("load", write, &words)
	write.Close()
	target := uint64(1 + k.random.IntN(2*acksPerRound))
	more := time.Duration(k.random.Int64N(int64(5 * time.Millisecond)))
	inTime := time.AfterFunc(2*time.Minute, func() { _ = c.Process.Kill() })
	if inBoot {
		target, more = 1<<62, 0
		inTime.Reset(time.Duration(k.random.Int64N(int64(k.boot))))
	}
	defer inTime.Stop()

	var count atomic.Uint64
	for lines := bufio.NewReader(read); ; {
		line, err := lines.ReadString('\n')
		if err != nil {
			if line != "" {
				k.t.Errorf("an acknowledgement was cut: %q", line)
			}
			break // killed: what was in the pipe has been read
		}
		k.acks = append(k.acks, line)
		if count.Add(1) == 1 && !inBoot {
			k.boot = time.Since(begun)
		}
		if count.Load() == target {
			time.AfterFunc(more, func() { _ = c.Process.Kill() })
		}
	}
	read.Close()
	ended := (*exec.ExitError)(nil)
	if err := c.Wait(); !errors.As(err, &ended) || ended.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		k.t.Fatalf("the network has ended by itself: %v\n%s", err, words.String())
	}
	switch {
	case count.Load() == 0:
		k.early++
		fallthrough
	case inBoot:
	case count.Load() < target:
		k.t.Fatalf("%d acknowledgements in two minutes, want %d\n%s", count.Load(), target, words.String())
	}
}

func (k *kills) settle() {
	k.t.Helper()
	var words strings.Builder
	if err := k.child("settle", nil, &words).Wait(); err != nil {
		k.t.Fatalf("%v\n%s", err, words.String())
	}
}

// inChains audits all four chains: each line is in each at its place, and nothing in them is twice or out of order.
func (k *kills) inChains() {
	k.t.Helper()
	acks, err := audit.ReadAcks(strings.NewReader(strings.Join(k.acks, "")))
	if err != nil {
		k.t.Fatal(err)
	}
	var chains []audit.Chain
	for _, i := range k.All() {
		s, err := audit.OpenStopped(filepath.Join(k.Home(i).Data(), "log"))
		if err != nil {
			k.t.Fatalf("node%d: %v", i, err)
		}
		defer s.Close()
		chains = append(chains, s)
	}
	r, err := audit.Run(context.Background(), k.Genesis, chains, acks)
	if err != nil {
		k.t.Fatal(err)
	}
	for _, v := range r.Violations {
		k.t.Error(v)
	}
	for i, n := range r.Nodes {
		if n.Missing != nil || n.Last != r.Nodes[0].Last {
			k.t.Errorf("node%d: %d blocks, node1 %d; %v", i+1, n.Last, r.Nodes[0].Last, n.Missing)
		}
	}
}

// inMachines asks the machines themselves: each holds every line's transaction as applied at its place, its nonce as
// taken by it unless newer ones have pushed it out, and exactly the keys that its own chain comes to.
func (k *kills) inMachines() {
	k.t.Helper()
	for _, i := range k.All() {
		backing, err := statemachine.OpenBadger(filepath.Join(k.Home(i).Data(), "state"), func(line string) { k.t.Logf("node%d: %s", i, line) })
		if err != nil {
			k.t.Fatalf("node%d: %v", i, err)
		}
		state, err := statemachine.Open(backing, kv.Machine{}, host.Limits(k.Genesis.Parameters))
		if err != nil {
			k.t.Fatalf("node%d: %v", i, err)
		}
		for n, line := range k.acks {
			if err := inMachine(state, line); err != nil {
				k.t.Errorf("node%d: line %d: %v", i, n+1, err)
			}
		}
		k.sameKeys(i, state)
		if err := backing.Close(); err != nil {
			k.t.Errorf("node%d: %v", i, err)
		}
	}
}

func inMachine(state *statemachine.Replicated, line string) error {
	var id crypto.Digest
	var sender crypto.PublicKey
	var idText, senderText string
	var nonce, seq uint64
	if _, err := fmt.Sscan(line, &idText, &senderText, &nonce, &seq); err != nil {
		return err
	}
	if err := errors.Join(id.UnmarshalText([]byte(idText)), sender.UnmarshalText([]byte(senderText))); err != nil {
		return err
	}
	at, ok, err := state.Lookup(id)
	if err != nil || !ok || at.Seq != seq || at.Status != statemachine.Applied {
		return fmt.Errorf("transaction %s was acknowledged at %d; the machine has it at %d, status %d, known %v, %v", id, seq, at.Seq, at.Status, ok, err)
	}
	used, place, err := state.Find(sender, nonce)
	if err != nil || place != statemachine.NonceBehind && (place != statemachine.NonceTaken || used.ID != id || used.Seq != seq) {
		return fmt.Errorf("nonce %d of %s: the machine has it taken by %s at %d, %v", nonce, sender, used.ID, used.Seq, err)
	}
	return nil
}

// sameKeys compares a machine's keys with what the node's chain comes to, put by put.
func (k *kills) sameKeys(i int, state *statemachine.Replicated) {
	k.t.Helper()
	chain, err := audit.OpenStopped(filepath.Join(k.Home(i).Data(), "log"))
	if err != nil {
		k.t.Fatal(err)
	}
	defer chain.Close()
	last, err := chain.Last(context.Background())
	if err != nil {
		k.t.Fatal(err)
	}
	if at := state.Committed().Seq; at != uint64(last) {
		k.t.Errorf("node%d: its machine stands at %d, its chain ends at %d", i, at, last)
	}
	want := make(map[string]string)
	for seq := epoch.Seq(1); seq <= last; seq++ {
		b, err := chain.Block(context.Background(), seq)
		if err != nil {
			k.t.Fatalf("node%d: block %d: %v", i, seq, err)
		}
		for index, q := range b.Batch.Requests {
			at, _, err := state.Lookup(q.ID())
			if err != nil {
				k.t.Fatal(err)
			}
			if at.Seq != uint64(seq) || at.Index != index || at.Status != statemachine.Applied {
				continue // a second time
			}
			op, err := kv.Decode(q.Operation)
			if err != nil {
				k.t.Fatal(err)
			}
			want[string(op.Key)] = string(op.Value)
		}
	}
	var differ []string
	held := 0
	if _, err := state.Scan(statemachine.Newest, nil, nil, func(key, value []byte) bool {
		held++
		if want[string(key)] != string(value) {
			differ = append(differ, string(key))
		}
		return true
	}); err != nil {
		k.t.Fatal(err)
	}
	if held != len(want) || len(differ) > 0 {
		slices.Sort(differ)
		k.t.Errorf("node%d: %d keys in the machine, %d by the chain; %d differ: %.5q", i, held, len(want), len(differ), differ)
	}
}
