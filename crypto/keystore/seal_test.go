package keystore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quorate/quorate/crypto"
)

const sealedZeroSeed = `{
  "type": "quorate/ed25519",
  "public": "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29",
  "encrypted": true,
  "version": 1,
  "kdf": {
    "name": "argon2id",
    "passes": 1,
    "memory_kib": 64,
    "lanes": 1,
    "salt": "26e4567b840ed4c32b60389d274e5550"
  },
  "cipher": {
    "name": "xchacha20-poly1305",
    "nonce": "000000000000000000000000000000000000000000000000"
  },
  "sealed": "b33a9f509cee7904633eaf7be7f0ef6b42097ebdca4d86a7cf641bfde26a888ffadd3a2743c85dc0695b598126072f21"
}
`

// cheap is a cost for tests: what is dear about argon2id is its library's affair.
var cheap = cost{passes: 1, memoryKiB: 64, lanes: 1}

func zeroKey() crypto.PrivateKey { return crypto.NewPrivateKey([crypto.SeedSize]byte{}) }

// sealedFileOf writes a key under a passphrase, cheaply.
func sealedFileOf(t *testing.T, key crypto.PrivateKey, passphrase string) string {
	t.Helper()
	s, err := sealKey(key, []byte(passphrase), cheap)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "bob.json")
	if err := save(path, &File{Public: key.Public(), Encrypted: true, seal: s}); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestASealedKeyComesBackUnderItsPassphraseAlone(t *testing.T) {
	key, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "bob.json")
	if err := SaveEncrypted(path, key, []byte("correct horse")); err != nil {
		t.Fatal(err)
	}

	f, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := f.Key([]byte("correct horse"))
	if err != nil || got.Seed() != key.Seed() {
		t.Errorf("sealed %v, opened %v, %v", key, got, err)
	}
	for _, wrong := range []string{"correct horse\n", "correct", "Correct horse"} {
		if _, err := f.Key([]byte(wrong)); !errors.Is(err, ErrWrongPassphrase) {
			t.Errorf("passphrase %q: %v", wrong, err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
}

// Whose key it is can be seen without the passphrase, and the seed cannot: not in the file, in its words or in an error.
func TestASealedFileShowsItsPublicKeyOnly(t *testing.T) {
	key, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	path := sealedFileOf(t, key, "secret")

	f, err := Read(path)
	if err != nil || f.Public != key.Public() || !f.Encrypted {
		t.Fatalf("read %v, %v", f, err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seed := key.Seed()
	if strings.Contains(string(text), crypto.PublicKey(seed).String()) || strings.Contains(string(text), "seed") {
		t.Errorf("the seed is in the file: %s", text)
	}
	if _, err := Load(path); !errors.Is(err, ErrEncrypted) || !strings.Contains(err.Error(), path) {
		t.Errorf("loaded without a passphrase: %v", err)
	}
}

func TestAnEmptyPassphraseSealsAndOpensNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bob.json")
	if err := SaveEncrypted(path, zeroKey(), nil); !errors.Is(err, ErrEmptyPassphrase) || !strings.Contains(err.Error(), path) {
		t.Errorf("sealed: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is there: %v", err)
	}
	f, err := Read(sealedFileOf(t, zeroKey(), "secret"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Key(nil); !errors.Is(err, ErrEmptyPassphrase) {
		t.Errorf("opened: %v", err)
	}
}

func TestNoTwoSealsShareASaltOrANonce(t *testing.T) {
	a, err := sealKey(zeroKey(), []byte("secret"), cheap)
	if err != nil {
		t.Fatal(err)
	}
	b, err := sealKey(zeroKey(), []byte("secret"), cheap)
	if err != nil {
		t.Fatal(err)
	}
	if a.salt == b.salt || a.nonce == b.nonce || a.sealed == b.sealed {
		t.Errorf("twice the same: %x and %x", a.salt, b.salt)
	}
}

// Files of users look like this: it must be read for ever.
func TestASealedFileOfThisFormatIsRead(t *testing.T) {
	f, err := Read(write(t, sealedZeroSeed, 0o600))
	if err != nil {
		t.Fatal(err)
	}
	if key, err := f.Key([]byte("secret")); err != nil || key.Seed() != zeroKey().Seed() {
		t.Errorf("opened %v, %v", key, err)
	}
	if again, err := encode(f); err != nil || string(again) != sealedZeroSeed {
		t.Errorf("written again as %s, %v", again, err)
	}
}

// Somebody who can write the file can neither pass it off as another key's nor make guessing cheaper unseen.
//
// case D17
//
// Red if the public key, or the cost, is not covered by the seal.
func TestWhatStandsInTheClearIsSealedToo(t *testing.T) {
	other, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*File){
		"public key": func(f *File) { f.Public = other.Public() },
		"passes":     func(f *File) { f.seal.cost.passes++ },
		"memory":     func(f *File) { f.seal.cost.memoryKiB *= 2 },
		"lanes":      func(f *File) { f.seal.cost.lanes++ },
		"salt":       func(f *File) { f.seal.salt[0] ^= 1 },
		"nonce":      func(f *File) { f.seal.nonce[0] ^= 1 },
		"sealed":     func(f *File) { f.seal.sealed[len(f.seal.sealed)-1] ^= 1 },
	} {
		f, err := Read(sealedFileOf(t, zeroKey(), "secret"))
		if err != nil {
			t.Fatal(err)
		}
		change(f)
		if key, err := f.Key([]byte("secret")); !errors.Is(err, ErrWrongPassphrase) {
			t.Errorf("%s: opened %v, %v", name, key, err)
		}
	}
	// A changed cost makes another key of the passphrase, and would be noticed even if the seal did not cover it: what
	// it covers is therefore looked at by itself.
	a, b := &seal{cost: cheap}, &seal{cost: usualCost}
	if string(a.covered(other.Public())) == string(b.covered(other.Public())) {
		t.Error("the seal does not cover the cost")
	}
}

// case D17
//
// Red if a bound of the cost, or the check of any field, is left out.
func TestAnAlteredSealedFileIsRefusedBeforeAnythingIsComputed(t *testing.T) {
	replaced := func(from, to string) string {
		if !strings.Contains(sealedZeroSeed, from) {
			t.Fatalf("no %q in the file", from)
		}
		return strings.Replace(sealedZeroSeed, from, to, 1)
	}
	for name, c := range map[string]struct{ text, reason string }{
		"gigabytes":       {replaced(`"memory_kib": 64`, `"memory_kib": 4194304`), "kdf: memory_kib: 4194304, want 8 to 262144"},
		"no memory":       {replaced(`"memory_kib": 64`, `"memory_kib": 7`), "kdf: memory_kib: 7, want 8"},
		"beyond 32 bits":  {replaced(`"memory_kib": 64`, `"memory_kib": 4294967296`), `kdf: field "memory_kib"`},
		"minutes":         {replaced(`"passes": 1`, `"passes": 1000000`), "kdf: passes: 1000000, want 1 to 16"},
		"no pass":         {replaced(`"passes": 1`, `"passes": 0`), "kdf: passes: 0"},
		"no lane":         {replaced(`"lanes": 1`, `"lanes": 0`), "kdf: lanes: 0"},
		"many lanes":      {replaced(`"lanes": 1`, `"lanes": 255`), "kdf: lanes: 255, want 1 to 16"},
		"negative":        {replaced(`"passes": 1`, `"passes": -1`), `kdf: field "passes"`},
		"another kdf":     {replaced(`"argon2id"`, `"scrypt"`), `kdf: name is "scrypt"`},
		"kdf null":        {replaced(`"name": "argon2id"`, `"name": null`), `kdf: field "name" is null`},
		"kdf, more":       {replaced(`"lanes": 1`, `"lanes": 1, "secret": ""`), `kdf: unknown fields ["secret"]`},
		"kdf twice":       {replaced(`"lanes": 1`, `"lanes": 1, "lanes": 1`), `kdf: field "lanes" is there twice`},
		"short salt":      {replaced(`"salt": "`, `"salt": "0`), "kdf: salt: want 32"},
		"another cipher":  {replaced("xchacha20-poly1305", "none"), `cipher: name is "none"`},
		"short nonce":     {replaced(`"nonce": "00`, `"nonce": "`), "cipher: nonce: want 48"},
		"short seal":      {replaced(`"sealed": "`, `"sealed": "00`), "sealed: want 96"},
		"newer":           {replaced(`"version": 1`, `"version": 2, "more": 1`), "version is 2, this program reads 1"},
		"said plain":      {replaced(`"encrypted": true`, `"encrypted": false`), `"seed" is missing`},
		"with a seed too": {replaced(`"version": 1`, `"version": 1, "seed": ""`), `unknown fields ["seed"]`},
	} {
		path := write(t, c.text, 0o600)
		f, err := Read(path)
		if err == nil {
			t.Errorf("%s: read %v", name, f)
		} else if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: the error %q does not name the file and %q", name, err, c.reason)
		}
	}
}

// case D17
func TestATruncatedSealedFileIsRefusedWhereverItEnds(t *testing.T) {
	whole := strings.TrimRight(sealedZeroSeed, "\n")
	path := write(t, "", 0o600)
	for n := range len(whole) {
		if err := os.WriteFile(path, []byte(whole[:n]), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Read(path); err == nil || !strings.Contains(err.Error(), "ends too early") {
			t.Errorf("the first %d bytes: %v", n, err)
		}
	}
}

func TestASavedSeedComesBackFromReadAnyOnly(t *testing.T) {
	key, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "bob.seed")
	if err := SaveSeed(path, key); err != nil {
		t.Fatal(err)
	}

	f, err := ReadAny(path)
	if err != nil || f.Encrypted || f.Public != key.Public() {
		t.Fatalf("read %v, %v", f, err)
	}
	if got, err := f.Key(nil); err != nil || got.Seed() != key.Seed() {
		t.Errorf("saved %v, read %v, %v", key, got, err)
	}
	if _, err := Read(path); err == nil {
		t.Error("Read took a seed for a key file")
	}
	for _, text := range []string{"", "00", strings.Repeat("0", 63), strings.Repeat("x", 64), strings.Repeat("0", 128)} {
		path := write(t, text, 0o600)
		if _, err := ReadAny(path); err == nil || !strings.Contains(err.Error(), path) || text != "" && strings.Contains(err.Error(), text+"\"") {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadAny(path); err == nil || !strings.Contains(err.Error(), "chmod 600 "+path) {
		t.Errorf("a seed that others may read: %v", err)
	}
}
