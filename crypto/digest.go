package crypto

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
)

// DigestSize is the length of a Digest in bytes.
const DigestSize = 32

// Digest is a SHA-256 over a domain tag and what it stands for. The zero Digest stands for nothing.
type Digest [DigestSize]byte

// Hash digests parts under a domain, so that a digest made for one purpose never passes for another.
//
// The hashed bytes are len(domain) as one byte, the domain, then the parts one after the other; a caller whose
// parts vary in length must have framed them. A domain is at most 255 bytes, a constant of the calling package.
func Hash(domain string, parts ...[]byte) Digest {
	if len(domain) == 0 || len(domain) > 255 {
		panic("crypto: a domain has 1 to 255 bytes")
	}
	h := sha256.New()
	h.Write([]byte{byte(len(domain))})
	h.Write([]byte(domain))
	for _, p := range parts {
		h.Write(p)
	}
	var d Digest
	h.Sum(d[:0])
	return d
}

// IsZero says whether d stands for nothing.
func (d Digest) IsZero() bool { return d == Digest{} }

// String is d in lower-case hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Short is enough of d to tell digests apart in a log line.
func (d Digest) Short() string { return hex.EncodeToString(d[:4]) }

// MarshalText writes d in lower-case hexadecimal.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText writes, and nothing else.
func (d *Digest) UnmarshalText(text []byte) error { return fromHex(d[:], text, "digest") }

var errHexCase = errors.New("want lower-case hexadecimal")

// fromHex fills dst from exactly as much lower-case hexadecimal, or leaves it as it is.
func fromHex(dst, text []byte, what string) error {
	if len(text) != hex.EncodedLen(len(dst)) {
		return fmt.Errorf("%s: want %d hexadecimal digits, got %d", what, hex.EncodedLen(len(dst)), len(text))
	}
	for _, c := range text {
		if 'A' <= c && c <= 'F' {
			return fmt.Errorf("%s: %w", what, errHexCase)
		}
	}
	b, err := hex.DecodeString(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	copy(dst, b)
	return nil
}
