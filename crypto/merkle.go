package crypto

// Domains of the tree. A leaf and a node never share a preimage (RFC 6962 §2.1).
const (
	domainMerkleLeaf  = "quorate/merkle/leaf/1"
	domainMerkleNode  = "quorate/merkle/node/1"
	domainMerkleEmpty = "quorate/merkle/empty/1"
)

// MerkleRoot is the root of the tree over leaves, of the shape of RFC 6962 §2.1: the left subtree holds the largest
// power of two smaller than the number of leaves. The root of no leaves is a constant of its own.
func MerkleRoot(leaves [][]byte) Digest {
	switch n := len(leaves); n {
	case 0:
		return Hash(domainMerkleEmpty)
	case 1:
		return Hash(domainMerkleLeaf, leaves[0])
	default:
		k := leftLeaves(n)
		return merkleNode(MerkleRoot(leaves[:k]), MerkleRoot(leaves[k:]))
	}
}

// MerklePath is the audit path of leaf i (RFC 6962 §2.1.1): the siblings from the leaf up.
// i must be below len(leaves).
func MerklePath(leaves [][]byte, i int) []Digest {
	n := len(leaves)
	if n <= 1 {
		return nil
	}
	if k := leftLeaves(n); i < k {
		return append(MerklePath(leaves[:k], i), MerkleRoot(leaves[k:]))
	} else {
		return append(MerklePath(leaves[k:], i-k), MerkleRoot(leaves[:k]))
	}
}

// VerifyMerklePath says whether path leads from leaf, the i-th of n, to root.
func VerifyMerklePath(root Digest, leaf []byte, i, n int, path []Digest) bool {
	if i < 0 || i >= n {
		return false
	}
	got, rest, ok := climb(Hash(domainMerkleLeaf, leaf), i, n, path)
	return ok && len(rest) == 0 && got == root
}

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

func merkleNode(left, right Digest) Digest { return Hash(domainMerkleNode, left[:], right[:]) }

// leftLeaves is the largest power of two below n, for n > 1.
func leftLeaves(n int) int {
	k := 1
	for k*2 < n {
		k *= 2
	}
	return k
}
