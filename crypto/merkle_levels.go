package crypto

// MerkleTree keeps every node of a tree, for whoever needs many paths of the same leaves: MerklePath hashes all of them
// for each.
type MerkleTree struct {
	// levels hold the nodes from the leaves up. A node without a sibling goes up as it is, which gives the shape of
	// RFC 6962 §2.1: full subtrees of powers of two stand on the left.
	levels [][]Digest
}

// NewMerkleTree builds the tree over leaves.
func NewMerkleTree(leaves [][]byte) *MerkleTree {
	level := make([]Digest, len(leaves))
	for i, leaf := range leaves {
		level[i] = Hash(domainMerkleLeaf, leaf)
	}
	t := &MerkleTree{levels: [][]Digest{level}}
	for len(level) > 1 {
		up := make([]Digest, 0, (len(level)+1)/2)
		for i := 0; i < len(level); i += 2 {
			if i+1 == len(level) {
				up = append(up, level[i])
			} else {
				up = append(up, merkleNode(level[i], level[i+1]))
			}
		}
		t.levels = append(t.levels, up)
		level = up
	}
	return t
}

// Len is the number of leaves.
func (t *MerkleTree) Len() int { return len(t.levels[0]) }

// Path is the audit path of leaf i, as MerklePath gives it; i must be a leaf of the tree.
func (t *MerkleTree) Path(i int) []Digest {
	var path []Digest
	for _, level := range t.levels[:len(t.levels)-1] {
		if sibling := i ^ 1; sibling < len(level) {
			path = append(path, level[sibling])
		}
		i /= 2
	}
	return path
}
