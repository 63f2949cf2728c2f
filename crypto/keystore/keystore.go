// Package keystore keeps private keys in files.
//
// A key file is one JSON object. A key that lies there as it is:
//
//	{
//	  "type": "quorate/ed25519",
//	  "public": "64 hexadecimal digits",
//	  "seed": "64 hexadecimal digits",
//	  "encrypted": false
//	}
//
// A key under a passphrase:
//
//	{
//	  "type": "quorate/ed25519",
//	  "public": "64 hexadecimal digits",
//	  "encrypted": true,
//	  "version": 1,
//	  "kdf": {"name": "argon2id", "passes": 3, "memory_kib": 65536, "lanes": 4, "salt": "32 hexadecimal digits"},
//	  "cipher": {"name": "xchacha20-poly1305", "nonce": "48 hexadecimal digits"},
//	  "sealed": "96 hexadecimal digits"
//	}
//
// public can be read by everybody; it must be the public key of the seed, and in the second kind the seal covers it.
// Every field of a kind is needed, and there is no other.
package keystore

import (
	"crypto/rand"
	"fmt"

	"github.com/quorate/quorate/crypto"
)

// Generate makes a new private key from the system's random source.
func Generate() (crypto.PrivateKey, error) {
	var seed [crypto.SeedSize]byte
	if _, err := rand.Read(seed[:]); err != nil {
		return crypto.PrivateKey{}, fmt.Errorf("new key: %w", err)
	}
	return crypto.NewPrivateKey(seed), nil
}
