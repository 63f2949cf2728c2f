package main

import (
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/node"
	"github.com/quorate/quorate/testnet/adversary"
)

func addLie(cmd *cobra.Command, lie *[]string) {
	var names []string
	for _, a := range adversary.Acts() {
		names = append(names, a.String())
	}
	cmd.Flags().StringSliceVar(lie, "lie", nil, "test networks only: lie now and then, in these ways: "+strings.Join(names, ", "))
}

func actsOf(names []string) (acts []adversary.Act, err error) {
	for _, name := range names {
		a, err := adversary.ActOf(name)
		if err != nil {
			return nil, &failure{exitUsage, err}
		}
		acts = append(acts, a)
	}
	return acts, nil
}

// lies are the arguments by which a node is started that lies so.
func lies(lie []string) ([]string, error) {
	if len(lie) == 0 {
		return nil, nil
	}
	_, err := actsOf(lie)
	return []string{"--lie", strings.Join(lie, ",")}, err
}

// liar is an adversary on a test network.
type liar struct {
	mu   sync.Mutex
	liar *adversary.Liar
}

// newLiar is a member that lies in these ways, or nil if there are none.
func newLiar(cfg *node.Config, names []string) (node.Liar, error) {
	if len(names) == 0 {
		return nil, nil
	}
	acts, err := actsOf(names)
	if err != nil {
		return nil, err
	}
	e, self, key := cfg.Genesis.Epoch(), cfg.Self, cfg.Key
	return &liar{liar: adversary.New(adversary.Config{
		Epoch: e, Self: self, Acts: acts, Chance: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
		Sign: func(b message.Body) *message.Signed { return message.Sign(crypto.Ed25519(), key, e, self, b) },
	})}, nil
}

func (l *liar) Say(to epoch.ReplicaID, m *message.Signed) (all []node.Said) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, w := range l.liar.Say(to, m) {
		all = append(all, node.Said{Message: w.Message, Delay: time.Duration(w.DelayMillis) * time.Millisecond})
	}
	return all
}

func (l *liar) Hear(m *message.Signed) *message.Signed {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.liar.Hear(m)
}

func (l *liar) Takes(q *message.Request) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.liar.Takes(q)
}
