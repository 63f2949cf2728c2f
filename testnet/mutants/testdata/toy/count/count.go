// Package count is what the tests of the mutants tool plant bugs in.
package count

// Next is the number after n.
func Next(n int) int {
	return n + 1
}

// Quorum is how many of n make a majority.
func Quorum(n int) int {
	return n/2 + 1
}
