// Package keystore keeps private keys in files.
//
// A key file is one JSON object:
//
//	{
//	  "type": "quorate/ed25519",
//	  "public": "64 hexadecimal digits",
//	  "seed": "64 hexadecimal digits",
//	  "encrypted": false
//	}
//
// public is there for whoever reads the file; it must be the public key of seed. encrypted is there so that a file
// that needs a passphrase is refused by those who know of none. Every field is needed, and there is no other.
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
