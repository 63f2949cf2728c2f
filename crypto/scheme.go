package crypto

// Claim is that Key has signed Message.
type Claim struct {
	Key       PublicKey
	Message   []byte
	Signature Signature
}

// Scheme signs and judges signatures. All replicas of a network must use one whose verdicts are the same on every
// path: alone, in a batch, and on every machine. A replica that accepts what another refuses forks the network.
type Scheme interface {
	// Sign signs message with key.
	Sign(key PrivateKey, message []byte) Signature
	// Verify judges one claim.
	Verify(Claim) bool
	// VerifyBatch judges many, one verdict each, in order. A bad claim never changes the verdict on another.
	VerifyBatch([]Claim) []bool
}
