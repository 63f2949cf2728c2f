package node

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quorate/quorate/statemachine"
	"github.com/quorate/quorate/statemachine/kv"
)

// A node with another genesis than its peers is told so by the reason why it is not ready, and so are they: from the
// outside it looks like a network that is down. // case D16
// To see it fail, leave what Foreign counts out of ready.
func TestANodeOfAnotherChainSaysWhyItIsNotReady(t *testing.T) {
	w := newNetwork(t)
	w.start(1)
	ours := *w.genesis
	w.genesis = &ours
	w.genesis.Time++
	w.start(2)

	for i := 1; i <= 2; i++ {
		w.until("a node says that it meets another chain", func() bool {
			ok, why := w.nodes[i-1].Ready()
			return !ok && strings.Contains(why, "another chain")
		})
	}
}

// heldMachine executes nothing before it is let go.
type heldMachine struct {
	kv.Machine
	letGo chan struct{}
}

func (m heldMachine) Apply(view statemachine.View, c statemachine.Context, op []byte) ([]byte, error) {
	<-m.letGo
	return m.Machine.Apply(view, c, op)
}

// A node that has work and does none is not ready, and says so, and is ready again when it goes on. // case L8
// To see it fail, leave stuckTicks out of ready.
func TestANodeThatIsStuckWithWorkIsNotReady(t *testing.T) {
	w := newNetwork(t)
	held := heldMachine{letGo: make(chan struct{})}
	letGo := sync.OnceFunc(func() { close(held.letGo) })
	t.Cleanup(letGo) // before the nodes are stopped, if the test has failed
	w.machine = held
	w.start(1, 2, 3, 4)
	w.ready(1, 2, 3, 4)

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := w.nodes[0].Submit(ctx, w.request(kv.Put([]byte("k"), []byte("v"))))
		done <- err
	}()
	w.until("the leader calls itself stuck", func() bool {
		ok, why := w.nodes[0].Ready()
		return !ok && strings.Contains(why, "nothing was executed")
	})

	letGo()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	w.ready(1, 2, 3, 4)
}
