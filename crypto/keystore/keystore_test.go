package keystore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quorate/quorate/crypto"
)

// What Save writes for the key of an all-zero seed. Files of users look like this: it must be read for ever.
const fileOfZeroSeed = `{
  "type": "quorate/ed25519",
  "public": "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29",
  "seed": "0000000000000000000000000000000000000000000000000000000000000000",
  "encrypted": false
}
`

func write(t *testing.T, text string, mode fs.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "node.key")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestASavedKeyComesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.key")
	key, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	if err := Save(path, key); err != nil {
		t.Fatal(err)
	}
	got, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.Seed() != key.Seed() || got.Public() != key.Public() {
		t.Errorf("saved %v, loaded %v", key, got)
	}
	// It is for its owner alone, and nothing else with the key in it is left behind.
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("the folder holds %v, %v", left, err)
	}
}

func TestGeneratedKeysAreDifferent(t *testing.T) {
	a, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	b, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	if a.Public() == b.Public() || a.Seed() == [crypto.SeedSize]byte{} {
		t.Errorf("%v and %v", a, b)
	}
}

func TestTheFileIsTheDocumentedOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "node.key")
	if err := Save(path, crypto.NewPrivateKey([crypto.SeedSize]byte{})); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(path); err != nil || string(text) != fileOfZeroSeed {
		t.Errorf("wrote %s, %v", text, err)
	}
}

func TestSaveReplacesNoFile(t *testing.T) {
	path := write(t, "precious", 0o600)
	err := Save(path, crypto.NewPrivateKey([crypto.SeedSize]byte{}))
	if !errors.Is(err, fs.ErrExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v; want fs.ErrExist, with the file's name", err)
	}
	if text, _ := os.ReadFile(path); string(text) != "precious" {
		t.Errorf("the file now holds %q", text)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("the folder holds %v, %v", left, err)
	}
}

func TestSaveNamesTheFileItCannotWrite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "no such folder", "node.key")
	err := Save(path, crypto.NewPrivateKey([crypto.SeedSize]byte{}))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v", err)
	}
}

// case D17 (that two processes share one key is for the lock of the node's folder)
//
// Red if Load looks at the owner's permissions only, or at reading only.
func TestAKeyFileOpenToOthersIsRefused(t *testing.T) {
	for mode := fs.FileMode(0o400); mode <= 0o777; mode++ {
		if mode&0o400 == 0 {
			continue
		}
		path := write(t, fileOfZeroSeed, mode)
		_, err := Load(path)
		if mode&0o077 == 0 {
			if err != nil {
				t.Errorf("mode %04o: %v", mode, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("mode %04o: loaded", mode)
		} else if want := fmt.Sprintf("(mode %04o): chmod 600 %s", mode, path); !strings.Contains(err.Error(), want) {
			t.Errorf("mode %04o: the error %q does not say %q", mode, err, want)
		}
	}
}

// case D17
//
// Red if any of the checks of decode is left out.
func TestAnAlteredKeyFileIsRefusedWithItsNameAndTheReason(t *testing.T) {
	replaced := func(from, to string) string {
		if !strings.Contains(fileOfZeroSeed, from) {
			t.Fatalf("no %q in the file", from)
		}
		return strings.Replace(fileOfZeroSeed, from, to, 1)
	}
	for name, c := range map[string]struct{ text, reason string }{
		"empty":               {"", "ends too early"},
		"not JSON":            {"seed=00", "at byte"},
		"not an object":       {"[]", "want a JSON object"},
		"null":                {"null", "want a JSON object"},
		"another type":        {replaced("quorate/ed25519", "quorate/p256"), `type is "quorate/p256"`},
		"no type":             {replaced(`"type": "quorate/ed25519",`, ""), `"type" is missing`},
		"type of wrong kind":  {replaced(`"quorate/ed25519"`, "7"), `field "type"`},
		"said encrypted":      {replaced("false", "true"), `"version" is missing`},
		"encrypted null":      {replaced("false", "null"), `"encrypted" is null`},
		"encrypted missing":   {replaced(",\n  \"encrypted\": false", ""), `"encrypted" is missing`},
		"unknown field":       {replaced("false", `false, "comment": ""`), `unknown fields ["comment"]`},
		"other letter case":   {replaced("public", "Public"), `"public" is missing`},
		"field twice":         {replaced("{", `{"type": "quorate/ed25519",`), `"type" is there twice`},
		"other public key":    {replaced("3b6a", "3b6b"), "public key of this seed is 3b6a"},
		"short public key":    {replaced("3b6a", "3b6"), `field "public"`},
		"public in capitals":  {replaced("3b6a", "3B6A"), `field "public"`},
		"short seed":          {replaced("0000", "000"), "seed: want 64"},
		"half a seed":         {replaced(strings.Repeat("0", 32), ""), "seed: want 64"},
		"seed in capitals":    {replaced(`"00000000`, `"0000000A`), "seed: want 64"},
		"seed of other signs": {replaced(`"00000000`, `"0000000x`), "seed: want 64"},
		"seed null":           {replaced(`"`+strings.Repeat("0", 64)+`"`, "null"), `"seed" is null`},
		"more data":           {fileOfZeroSeed + "{}", "more data after the key"},
		"zeros at the end":    {fileOfZeroSeed + "\x00\x00", "more data after the key"},
		"huge":                {fileOfZeroSeed + strings.Repeat(" ", maxFileBytes), "more than 4096 bytes"},
	} {
		path := write(t, c.text, 0o600)
		key, err := Load(path)
		if err == nil {
			t.Errorf("%s: loaded %v", name, key)
		} else if !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), c.reason) {
			t.Errorf("%s: the error %q does not name the file and %q", name, err, c.reason)
		}
	}
}

// case D17
func TestATruncatedKeyFileIsRefusedWhereverItEnds(t *testing.T) {
	whole := strings.TrimRight(fileOfZeroSeed, "\n")
	path := write(t, "", 0o600)
	for n := range len(whole) {
		if err := os.WriteFile(path, []byte(whole[:n]), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := Load(path)
		if err == nil || !strings.Contains(err.Error(), "ends too early") {
			t.Errorf("the first %d bytes: %v", n, err)
		}
	}
}

func TestOrderAndSpacingDoNotMatter(t *testing.T) {
	path := write(t, `{"encrypted":false,"seed":"`+strings.Repeat("0", 64)+
		`","public":"3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29","type":"quorate/ed25519"}`, 0o600)
	if _, err := Load(path); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNoFileIsRefused(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder: %v", err)
	}
	path := filepath.Join(dir, "none")
	_, err := Load(path)
	if !errors.Is(err, fs.ErrNotExist) || strings.Count(err.Error(), path) != 1 {
		t.Errorf("no file: %v", err)
	}
}

// FuzzDecode: no text makes a panic or asks for more than a file may cost, and what is read is what is written again.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(fileOfZeroSeed))
	f.Add([]byte(sealedZeroSeed))
	f.Add([]byte(`{"type":"quorate/ed25519","encrypted":true,"version":1,"kdf":{"memory_kib":4294967295}}`))
	f.Add([]byte(`{"type":{"type":[]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := decode(text)
		if err != nil {
			return
		}
		if file.Encrypted {
			if err := file.seal.cost.validate(); err != nil {
				t.Fatal(err)
			}
		}
		written, err := encode(file)
		if err != nil {
			t.Fatal(err)
		}
		same, err := decode(written)
		if err != nil {
			t.Fatalf("%s was read, and written as %s: %v", text, written, err)
		}
		if again, err := encode(same); err != nil || string(again) != string(written) {
			t.Errorf("%s was read, and written as %s, then %s: %v", text, written, again, err)
		}
	})
}
