// Package invariant states what only our own mistake could break.
//
// An invariant stays on in production: a replica that has left the states its
// proofs speak of must stop, since whatever it says next is worth nothing.
// Input from a peer, a client or a disk is never an invariant's business; it is
// checked and answered with an error.
package invariant

// Holds panics if claim is false; what names the claim.
func Holds(claim bool, what string) {
	if !claim {
		panic("invariant broken: " + what)
	}
}
