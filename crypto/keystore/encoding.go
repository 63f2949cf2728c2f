package keystore

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/quorate/quorate/crypto"
)

const (
	keyType       = "quorate/ed25519"
	sealedVersion = 1
	kdfName       = "argon2id"
	cipherName    = "xchacha20-poly1305"
)

// File is the content of a key file. Whose key it is can be read without a passphrase.
type File struct {
	Public    crypto.PublicKey
	Encrypted bool

	key  crypto.PrivateKey // if it is not encrypted
	seal *seal             // if it is
}

// Key is the private key. passphrase is needed if the file is encrypted, and not looked at if it is not. Opening an
// encrypted file takes up to 256 MiB, and seconds at most, whatever the file says. The error wraps ErrWrongPassphrase or
// ErrEmptyPassphrase if the passphrase is what it is about.
func (f *File) Key(passphrase []byte) (crypto.PrivateKey, error) {
	if !f.Encrypted {
		return f.key, nil
	}
	return f.seal.open(f.Public, passphrase)
}

// The two kinds of file, their fields in the order in which they are written.
type plainFile struct {
	Type      string           `json:"type"`
	Public    crypto.PublicKey `json:"public"`
	Seed      string           `json:"seed"`
	Encrypted bool             `json:"encrypted"`
}

type sealedFile struct {
	Type      string           `json:"type"`
	Public    crypto.PublicKey `json:"public"`
	Encrypted bool             `json:"encrypted"`
	Version   uint32           `json:"version"`
	KDF       kdfField         `json:"kdf"`
	Cipher    cipherField      `json:"cipher"`
	Sealed    string           `json:"sealed"`
}

type kdfField struct {
	Name      string `json:"name"`
	Passes    uint32 `json:"passes"`
	MemoryKiB uint32 `json:"memory_kib"`
	Lanes     uint8  `json:"lanes"`
	Salt      string `json:"salt"`
}

type cipherField struct {
	Name  string `json:"name"`
	Nonce string `json:"nonce"`
}

func encode(f *File) ([]byte, error) {
	var content any
	if s := f.seal; f.Encrypted {
		content = sealedFile{
			Type: keyType, Public: f.Public, Encrypted: true, Version: sealedVersion,
			KDF:    kdfField{kdfName, s.cost.passes, s.cost.memoryKiB, s.cost.lanes, hex.EncodeToString(s.salt[:])},
			Cipher: cipherField{cipherName, hex.EncodeToString(s.nonce[:])},
			Sealed: hex.EncodeToString(s.sealed[:]),
		}
	} else {
		seed := f.key.Seed()
		content = plainFile{Type: keyType, Public: f.Public, Seed: hex.EncodeToString(seed[:])}
	}
	text, err := json.MarshalIndent(content, "", "  ")
	return append(text, '\n'), err
}

// decode reads what encode writes, in any order and spacing, and nothing else. Its errors never hold a part of the
// seed.
func decode(text []byte) (*File, error) {
	f, o := &File{}, objectOf(text)
	// What kind of file it is comes first: another kind may have other fields, and its kind is then the reason.
	o.named("type", keyType)
	o.take("encrypted", &f.Encrypted)
	if f.Encrypted {
		f.takeSealed(o)
		return f, o.err
	}
	var seed [crypto.SeedSize]byte
	o.take("public", &f.Public)
	o.hex("seed", seed[:])
	if o.end(); o.err != nil {
		return nil, o.err
	}
	var err error
	f.key, err = keyOf(seed, f.Public)
	return f, err
}

func (f *File) takeSealed(o *object) {
	var version uint32
	o.take("version", &version)
	if o.err == nil && version != sealedVersion {
		o.err = fmt.Errorf("version is %d, this program reads %d: use the one that wrote it", version, sealedVersion)
	}
	f.seal = &seal{}
	o.take("public", &f.Public)
	o.object("kdf", func(k *object) {
		k.named("name", kdfName)
		k.take("passes", &f.seal.cost.passes)
		k.take("memory_kib", &f.seal.cost.memoryKiB)
		k.take("lanes", &f.seal.cost.lanes)
		k.hex("salt", f.seal.salt[:])
		if k.err == nil {
			k.err = f.seal.cost.validate()
		}
	})
	o.object("cipher", func(c *object) {
		c.named("name", cipherName)
		c.hex("nonce", f.seal.nonce[:])
	})
	o.hex("sealed", f.seal.sealed[:])
	o.end()
}

// named refuses every value of a field but the one that there is.
func (o *object) named(name, want string) {
	var value string
	if o.take(name, &value); o.err == nil && value != want {
		o.err = fmt.Errorf("%s is %q, want %q", name, value, want)
	}
}

// decodeSeed reads a seed in hexadecimal, with or without the end of a line.
func decodeSeed(text []byte) (*File, error) {
	seed, err := hex.DecodeString(string(bytes.TrimSpace(text)))
	if err != nil || len(seed) != crypto.SeedSize {
		return nil, fmt.Errorf("want a key file, or %d hexadecimal digits", 2*crypto.SeedSize)
	}
	key := crypto.NewPrivateKey([crypto.SeedSize]byte(seed))
	return &File{Public: key.Public(), key: key}, nil
}
