package crypto

import (
	"fmt"
	"slices"
	"testing"
)

// A kept tree must give the very paths that MerklePath gives, for every shape: the two are never told apart.
// Red if an odd node is paired with itself, or its level is left out of the path wrongly.
func TestKeptTreeGivesTheSamePaths(t *testing.T) {
	for n := 1; n <= 70; n++ {
		leaves := make([][]byte, n)
		for i := range leaves {
			leaves[i] = fmt.Appendf(nil, "leaf %d", i)
		}
		tree := NewMerkleTree(leaves)
		for i := range leaves {
			if want, got := MerklePath(leaves, i), tree.Path(i); !slices.Equal(want, got) {
				t.Fatalf("path of leaf %d of %d: got %v, want %v", i, n, got, want)
			}
		}
	}
}
