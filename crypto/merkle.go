package crypto

import "encoding/binary"

// Domains of the tree. A leaf, a node and a root never share a preimage (RFC 6962 §2.1).
const (
	domainMerkleLeaf = "quorate/merkle/leaf/1"
	domainMerkleNode = "quorate/merkle/node/1"
	domainMerkleRoot = "quorate/merkle/root/1"
)

// MerkleRoot is the digest of the number of leaves, in 8 bytes, big-endian, and of the tree over them. The tree has the
// shape of RFC 6962 §2.1: its left subtree holds the largest power of two smaller than the number of leaves. Without
// the number, the last of three leaves could be shown as the last of two: the path is the same. Of no leaves there is
// a number and no tree.
func MerkleRoot(leaves [][]byte) Digest {
	if len(leaves) == 0 {
		return Hash(domainMerkleRoot, binary.BigEndian.AppendUint64(nil, 0))
	}
	return merkleRoot(len(leaves), merkleTree(leaves))
}

// MerklePath is the audit path of leaf i (RFC 6962 §2.1.1): the siblings from the leaf up.
// i is a leaf of the tree: at least 0, and below len(leaves).
func MerklePath(leaves [][]byte, i int) []Digest {
	n := len(leaves)
	if i < 0 || i >= n {
		panic("crypto: a path begins at a leaf of the tree")
	}
	if n == 1 {
		return nil
	}
	k := leftLeaves(n)
	if i < k {
		return append(MerklePath(leaves[:k], i), merkleTree(leaves[k:]))
	}
	return append(MerklePath(leaves[k:], i-k), merkleTree(leaves[:k]))
}

// maxMerkleLeaves bounds what a stranger may claim to be the size of a tree, and with it the work to check a path.
const maxMerkleLeaves = 1 << 32

// VerifyMerklePath says whether path leads from leaf, the i-th of n, to root. Arguments may come from anyone; no tree
// has more than 2^32 leaves.
func VerifyMerklePath(root Digest, leaf []byte, i, n int, path []Digest) bool {
	if i < 0 || i >= n || int64(n) > maxMerkleLeaves {
		return false
	}
	got, rest, ok := climb(Hash(domainMerkleLeaf, leaf), i, n, path)
	return ok && len(rest) == 0 && merkleRoot(n, got) == root
}

// climb goes up from a leaf to the top of its tree of n leaves, and returns what is left of the path.
func climb(leaf Digest, i, n int, path []Digest) (d Digest, rest []Digest, ok bool) {
	if n == 1 {
		return leaf, path, true
	}
	k := leftLeaves(n)
	if i < k {
		d, rest, ok = climb(leaf, i, k, path)
	} else {
		d, rest, ok = climb(leaf, i-k, n-k, path)
	}
	if !ok || len(rest) == 0 {
		return Digest{}, nil, false
	}
	if i < k {
		return merkleNode(d, rest[0]), rest[1:], true
	}
	return merkleNode(rest[0], d), rest[1:], true
}

func merkleTree(leaves [][]byte) Digest {
	if len(leaves) == 1 {
		return Hash(domainMerkleLeaf, leaves[0])
	}
	k := leftLeaves(len(leaves))
	return merkleNode(merkleTree(leaves[:k]), merkleTree(leaves[k:]))
}

func merkleRoot(n int, tree Digest) Digest {
	return Hash(domainMerkleRoot, binary.BigEndian.AppendUint64(nil, uint64(n)), tree[:])
}

func merkleNode(left, right Digest) Digest { return Hash(domainMerkleNode, left[:], right[:]) }

// leftLeaves is the largest power of two below n, for n > 1.
func leftLeaves(n int) int {
	k := 1
	for k < n-k {
		k *= 2
	}
	return k
}
