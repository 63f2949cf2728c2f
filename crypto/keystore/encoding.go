package keystore

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/quorate/quorate/crypto"
)

const keyType = "quorate/ed25519"

// keyFile is the content of a key file, its fields in the order in which they are written.
type keyFile struct {
	Type      string           `json:"type"`
	Public    crypto.PublicKey `json:"public"`
	Seed      string           `json:"seed"`
	Encrypted bool             `json:"encrypted"`
}

func encode(key crypto.PrivateKey) ([]byte, error) {
	seed := key.Seed()
	text, err := json.MarshalIndent(keyFile{Type: keyType, Public: key.Public(), Seed: hex.EncodeToString(seed[:])}, "", "  ")
	return append(text, '\n'), err
}

// decode reads what encode writes, in any order and spacing, and nothing else. Its errors never hold a part of the
// seed.
func decode(text []byte) (crypto.PrivateKey, error) {
	raw, err := fields(text)
	if err != nil {
		return crypto.PrivateKey{}, err
	}
	var f keyFile
	// What kind of file it is comes first: another kind may have other fields, and its kind is then the reason.
	if err := field(raw, "type", &f.Type); err != nil {
		return crypto.PrivateKey{}, err
	}
	if f.Type != keyType {
		return crypto.PrivateKey{}, fmt.Errorf("type is %q, want %q", f.Type, keyType)
	}
	if err := field(raw, "encrypted", &f.Encrypted); err != nil {
		return crypto.PrivateKey{}, err
	}
	if f.Encrypted {
		return crypto.PrivateKey{}, errors.New("is encrypted: this version reads only files with \"encrypted\": false")
	}
	if err := field(raw, "public", &f.Public); err != nil {
		return crypto.PrivateKey{}, err
	}
	if err := field(raw, "seed", &f.Seed); err != nil {
		return crypto.PrivateKey{}, err
	}
	if len(raw) > 0 {
		return crypto.PrivateKey{}, fmt.Errorf("unknown fields %q", slices.Sorted(maps.Keys(raw)))
	}
	seed, err := hex.DecodeString(f.Seed)
	if err != nil || len(seed) != crypto.SeedSize || f.Seed != strings.ToLower(f.Seed) {
		return crypto.PrivateKey{}, fmt.Errorf("seed: want %d lower-case hexadecimal digits", 2*crypto.SeedSize)
	}
	key := crypto.NewPrivateKey([crypto.SeedSize]byte(seed))
	if key.Public() != f.Public {
		return crypto.PrivateKey{}, fmt.Errorf("public key of this seed is %s, not %s as the file says", key.Public(), f.Public)
	}
	return key, nil
}

// field decodes the field of that name into value, and takes it out of raw.
func field(raw map[string]json.RawMessage, name string, value any) error {
	text, ok := raw[name]
	if !ok {
		return fmt.Errorf("field %q is missing", name)
	}
	delete(raw, name)
	// To encoding/json null is no error, and no value either.
	if bytes.Equal(text, []byte("null")) {
		return fmt.Errorf("field %q is null", name)
	}
	if err := json.Unmarshal(text, value); err != nil {
		return fmt.Errorf("field %q: %w", name, err)
	}
	return nil
}

// fields takes one JSON object apart. encoding/json alone would take a name twice, a name in other letter case, and
// anything after the end.
func fields(text []byte) (map[string]json.RawMessage, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil {
		return nil, syntax(err, d)
	} else if t != json.Delim('{') {
		return nil, errors.New("want a JSON object")
	}
	raw := make(map[string]json.RawMessage)
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, syntax(err, d)
		}
		name := t.(string) // the decoder has seen to it
		if _, ok := raw[name]; ok {
			return nil, fmt.Errorf("field %q is there twice", name)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, syntax(err, d)
		}
		raw[name] = value
	}
	if _, err := d.Token(); err != nil {
		return nil, syntax(err, d)
	}
	if end := d.InputOffset(); len(bytes.TrimSpace(text[end:])) > 0 {
		return nil, fmt.Errorf("more data after the key, from byte %d on", end)
	}
	return raw, nil
}

func syntax(err error, d *json.Decoder) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("ends too early: the file is not whole")
	}
	return fmt.Errorf("at byte %d: %w", d.InputOffset(), err)
}
