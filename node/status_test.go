package node

import (
	"strings"
	"testing"
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
