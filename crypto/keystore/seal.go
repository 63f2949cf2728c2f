package keystore

import (
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/chacha20poly1305"

	"github.com/quorate/quorate/crypto"
)

// A seed under a passphrase: argon2id (RFC 9106) makes the key that XChaCha20-Poly1305 seals it with.

// ErrWrongPassphrase says that a key file does not open. Nobody can tell a wrong passphrase from an altered file.
var ErrWrongPassphrase = errors.New("wrong passphrase, or the file was altered")

// ErrEmptyPassphrase says that somebody wants to keep a key under no passphrase.
var ErrEmptyPassphrase = errors.New("the passphrase is empty")

// cost is what one guess at a passphrase takes, as argon2id counts it.
type cost struct {
	passes    uint32
	memoryKiB uint32
	lanes     uint8
}

// usualCost is the second recommendation of RFC 9106 §4, for where memory is scarce: a tenth of a second or so.
var usualCost = cost{passes: 3, memoryKiB: 64 << 10, lanes: 4}

// What a file may ask of who opens it. A file from elsewhere must not take gigabytes or minutes: this is a quarter of one,
// and seconds.
const (
	maxPasses    = 16
	maxMemoryKiB = 256 << 10
	maxLanes     = 16
)

// validate refuses what argon2id could not do, or what nobody would wait for.
func (c cost) validate() error {
	switch {
	case c.passes < 1 || c.passes > maxPasses:
		return fmt.Errorf("passes: %d, want 1 to %d", c.passes, maxPasses)
	case c.lanes < 1 || c.lanes > maxLanes:
		return fmt.Errorf("lanes: %d, want 1 to %d", c.lanes, maxLanes)
	case c.memoryKiB < 8*uint32(c.lanes) || c.memoryKiB > maxMemoryKiB: // RFC 9106 §3.1: 8 KiB for each lane at least
		return fmt.Errorf("memory_kib: %d, want %d to %d", c.memoryKiB, 8*uint32(c.lanes), maxMemoryKiB)
	}
	return nil
}

const (
	saltSize   = 16
	nonceSize  = chacha20poly1305.NonceSizeX
	sealedSize = crypto.SeedSize + chacha20poly1305.Overhead
)

// seal is a seed that nobody reads without the passphrase.
type seal struct {
	cost   cost
	salt   [saltSize]byte
	nonce  [nonceSize]byte
	sealed [sealedSize]byte
}

func sealKey(key crypto.PrivateKey, passphrase []byte, c cost) (*seal, error) {
	if len(passphrase) == 0 {
		return nil, ErrEmptyPassphrase
	}
	s := &seal{cost: c}
	for _, random := range [][]byte{s.salt[:], s.nonce[:]} {
		if _, err := rand.Read(random); err != nil {
			return nil, fmt.Errorf("draw a salt: %w", err)
		}
	}
	aead, err := s.cipher(passphrase)
	if err != nil {
		return nil, err
	}
	seed := key.Seed()
	aead.Seal(s.sealed[:0], s.nonce[:], seed[:], s.covered(key.Public()))
	return s, nil
}

// open gives the key back. What the file says in the clear is what was sealed with it.
func (s *seal) open(public crypto.PublicKey, passphrase []byte) (crypto.PrivateKey, error) {
	if len(passphrase) == 0 {
		return crypto.PrivateKey{}, ErrEmptyPassphrase
	}
	aead, err := s.cipher(passphrase)
	if err != nil {
		return crypto.PrivateKey{}, err
	}
	seed, err := aead.Open(nil, s.nonce[:], s.sealed[:], s.covered(public))
	if err != nil {
		return crypto.PrivateKey{}, ErrWrongPassphrase
	}
	return keyOf([crypto.SeedSize]byte(seed), public)
}

func (s *seal) cipher(passphrase []byte) (cipher.AEAD, error) {
	key := argon2.IDKey(passphrase, s.salt[:], s.cost.passes, s.cost.memoryKiB, s.cost.lanes, chacha20poly1305.KeySize)
	return chacha20poly1305.NewX(key)
}

// covered is what the seal vouches for beside the seed: whose key it is, and how it was sealed.
func (s *seal) covered(public crypto.PublicKey) []byte {
	b := append([]byte("quorate/key file/1"), public[:]...)
	b = binary.BigEndian.AppendUint32(b, s.cost.passes)
	b = binary.BigEndian.AppendUint32(b, s.cost.memoryKiB)
	return append(b, s.cost.lanes)
}

// keyOf is the key of a seed, if its public key is the one that a file promises.
func keyOf(seed [crypto.SeedSize]byte, public crypto.PublicKey) (crypto.PrivateKey, error) {
	key := crypto.NewPrivateKey(seed)
	if key.Public() != public {
		return crypto.PrivateKey{}, fmt.Errorf("public key of this seed is %s, not %s as the file says", key.Public(), public)
	}
	return key, nil
}
