package crypto

import (
	"crypto/ed25519"
	"encoding/hex"
)

// Sizes in bytes, of RFC 8032 §5.1.
const (
	SeedSize      = ed25519.SeedSize
	PublicKeySize = ed25519.PublicKeySize
	SignatureSize = ed25519.SignatureSize
)

// PublicKey names a member or a client.
type PublicKey [PublicKeySize]byte

// Signature is a claim about some bytes; only a Scheme says whether it holds.
type Signature [SignatureSize]byte

// PrivateKey signs. Its seed is all there is to keep; see package keystore. The zero PrivateKey cannot sign.
type PrivateKey struct {
	public PublicKey
	// seed ‖ public key, within a function, since fmt calls no String on what is inside of other structs, and prints
	// through pointers.
	full func() ed25519.PrivateKey
}

// NewPrivateKey expands a seed of SeedSize secret random bytes (RFC 8032 §5.1.5).
func NewPrivateKey(seed [SeedSize]byte) PrivateKey {
	full := ed25519.NewKeyFromSeed(seed[:])
	return PrivateKey{public: PublicKey(full[SeedSize:]), full: func() ed25519.PrivateKey { return full }}
}

// Public is the key that others know this one by.
func (k PrivateKey) Public() PublicKey { return k.public }

// Seed is what NewPrivateKey makes this key from.
func (k PrivateKey) Seed() [SeedSize]byte { return [SeedSize]byte(k.full()[:SeedSize]) }

// String keeps a private key out of logs.
func (k PrivateKey) String() string { return "private key of " + k.public.String() }

// GoString does the same for %#v.
func (k PrivateKey) GoString() string { return k.String() }

// IsZero says whether k names nobody.
func (k PublicKey) IsZero() bool { return k == PublicKey{} }

// String is k in lower-case hexadecimal.
func (k PublicKey) String() string { return hex.EncodeToString(k[:]) }

// MarshalText writes k in lower-case hexadecimal.
func (k PublicKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads what MarshalText writes, and nothing else.
func (k *PublicKey) UnmarshalText(text []byte) error { return fromHex(k[:], text, "public key") }

// String is s in lower-case hexadecimal.
func (s Signature) String() string { return hex.EncodeToString(s[:]) }

// MarshalText writes s in lower-case hexadecimal.
func (s Signature) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads what MarshalText writes, and nothing else.
func (s *Signature) UnmarshalText(text []byte) error { return fromHex(s[:], text, "signature") }
