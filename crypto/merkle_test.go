package crypto

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"testing"
)

const largestTestTree = 40

func testLeaves(n int) [][]byte {
	leaves := make([][]byte, n)
	for i := range leaves {
		leaves[i] = fmt.Appendf(nil, "leaf %d", i)
	}
	return leaves
}

// rootByStack builds the tree leaf by leaf, as RFC 9162 §2.1.2 does: whatever has grown to equal size is joined, and what is
// left is joined from the right.
func rootByStack(leaves [][]byte) Digest {
	var stack []Digest
	join := func() {
		top := len(stack) - 2
		stack = append(stack[:top], Hash("quorate/merkle/node/1", stack[top][:], stack[top+1][:]))
	}
	for i, leaf := range leaves {
		stack = append(stack, Hash("quorate/merkle/leaf/1", leaf))
		for range bits.TrailingZeros(uint(i + 1)) {
			join()
		}
	}
	for len(stack) > 1 {
		join()
	}
	count := binary.BigEndian.AppendUint64(nil, uint64(len(leaves)))
	if len(stack) == 0 {
		return Hash("quorate/merkle/root/1", count)
	}
	return Hash("quorate/merkle/root/1", count, stack[0][:])
}

func TestMerkleTreeHasTheShapeOfRFC6962(t *testing.T) {
	seen := make(map[Digest]int)
	for n := range largestTestTree + 1 {
		got := MerkleRoot(testLeaves(n))
		if want := rootByStack(testLeaves(n)); got != want {
			t.Errorf("root of %d leaves is %s, want %s", n, got, want)
		}
		if m, ok := seen[got]; ok {
			t.Errorf("%d and %d leaves have one root", m, n)
		}
		seen[got] = n
	}
}

func TestMerkleRootsArePinned(t *testing.T) {
	for n, want := range map[int]string{
		0: "8946631037df240ba964ebb94a8a2ce919495c3a92529d8cb85379bf7e349d13",
		1: "685dc57449d6f9e25074b90c2d364348ac3765cad506cede0716f97e971764d9",
		5: "a693a9717f19f99a04570d53f0058c6d80f833781e19f504ce606caf3a4b0faf",
	} {
		if got := MerkleRoot(testLeaves(n)).String(); got != want {
			t.Errorf("root of %d leaves is %s, want %s", n, got, want)
		}
	}
}

// Red if a path forgets a sibling, if the count is not in the root, or if what is left of a path is not looked at.
func TestMerklePathProvesItsLeafAndNothingElse(t *testing.T) {
	for n := 1; n <= largestTestTree; n++ {
		leaves := testLeaves(n)
		root := MerkleRoot(leaves)
		for i, leaf := range leaves {
			path := MerklePath(leaves, i)
			if !VerifyMerklePath(root, leaf, i, n, path) {
				t.Fatalf("leaf %d of %d is not proven by its path", i, n)
			}
			refused := func(what string, root Digest, leaf []byte, i2, n2 int, path []Digest) {
				if VerifyMerklePath(root, leaf, i2, n2, path) {
					t.Errorf("leaf %d of %d: the proof holds in spite of %s", i, n, what)
				}
			}
			refused("another root", Hash("other"), leaf, i, n, path)
			refused("another leaf", root, []byte("other"), i, n, path)
			for other := -1; other <= n; other++ {
				if other != i {
					refused(fmt.Sprintf("index %d", other), root, leaf, other, n, path)
				}
			}
			for _, other := range []int{-1, 0, n / 2, n - 1, n + 1, n + 2, 2 * n} {
				if other == n {
					continue
				}
				for j := -1; j <= other; j++ {
					refused(fmt.Sprintf("index %d of %d", j, other), root, leaf, j, other, path)
				}
			}
			for p := range path {
				altered := append([]Digest(nil), path...)
				altered[p][p%DigestSize] ^= 1
				refused(fmt.Sprintf("an altered entry %d", p), root, leaf, i, n, altered)
				refused(fmt.Sprintf("a path cut at %d", p), root, leaf, i, n, path[:p])
			}
			refused("one entry too many", root, leaf, i, n, append(path[:len(path):len(path)], Digest{}))
		}
	}
}

// An inner node must not pass for a leaf (second preimage).
func TestMerkleNodeIsNoLeaf(t *testing.T) {
	leaves := testLeaves(4)
	left, right := Hash("quorate/merkle/leaf/1", leaves[0]), Hash("quorate/merkle/leaf/1", leaves[1])
	node := append(left[:], right[:]...)
	above := MerklePath(leaves, 0)[1:]
	if VerifyMerklePath(MerkleRoot(leaves), node, 0, 2, above) {
		t.Error("the digests of two leaves pass for a leaf")
	}
}

func TestMerkleCountsFromStrangersCostNothing(t *testing.T) {
	path := make([]Digest, 64)
	for _, n := range []int{maxMerkleLeaves, maxMerkleLeaves + 1, math.MaxInt} {
		for _, i := range []int{0, n / 2, n - 1} {
			if VerifyMerklePath(Digest{}, nil, i, n, path) {
				t.Errorf("leaf %d of %d is proven", i, n)
			}
		}
	}
	// What is refused for its count alone is refused although everything else fits.
	n := maxMerkleLeaves + 1
	top := Hash("quorate/merkle/leaf/1", nil)
	path = []Digest{{1}} // the last of 2^32+1 leaves stands alone beside all others
	root := merkleRoot(n, merkleNode(path[0], top))
	if VerifyMerklePath(root, nil, n-1, n, path) {
		t.Error("a tree of more than 2^32 leaves was taken")
	}
}

func TestMerklePathOfNoLeafIsOurMistake(t *testing.T) {
	for _, i := range []int{-1, 3} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("leaf %d of 3 has a path", i)
				}
			}()
			MerklePath(testLeaves(3), i)
		}()
	}
}
