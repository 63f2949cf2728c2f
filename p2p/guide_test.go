package p2p

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// What docs/operations.md says of the network's limits is what it does.
// Red: change one of them, here or there.
func TestTheGuideNamesTheseLimits(t *testing.T) {
	guide, err := os.ReadFile("../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []string{
		fmt.Sprintf("| connections of nodes that have not proven who they are | %d |", maxHandshakes),
		fmt.Sprintf("| a frame: votes, bulk, gossip | %d KiB, %d MiB, %d KiB |", MaxVoteFrame>>10, MaxBulkFrame>>20, MaxGossipFrame>>10),
		fmt.Sprintf("| what is kept for a slow member: votes, bulk | %d,%03d frames or %d MiB, %d MiB |",
			maxQueuedVotes/1000, maxQueuedVotes%1000, maxQueuedVoteBytes>>20, maxQueuedBulkBytes>>20),
	} {
		if !strings.Contains(string(guide), "\n"+row+"\n") {
			t.Errorf("docs/operations.md does not say: %s", row)
		}
	}
}
