package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/spf13/pflag"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/crypto/keystore"
)

// keyring is a folder of key files, NAME.json each, and how the encrypted ones are opened.
type keyring struct {
	app            *app
	folder         string // empty: that of the test network
	passphraseFile string
}

func (k *keyring) add(f *pflag.FlagSet) {
	f.StringVar(&k.folder, "keys", "", "folder of the keys (default: keys in the test network's folder)")
	f.StringVar(&k.passphraseFile, "passphrase-file", "", "file whose one line is the passphrase (default: QUORATE_PASSPHRASE, else the terminal is asked)")
}

func (k *keyring) dir() string {
	if k.folder != "" {
		return k.folder
	}
	return filepath.Join(k.app.dir, "keys")
}

// file is where a key is: a path, or a name in the folder.
func (k *keyring) file(name string) string {
	if strings.ContainsRune(name, os.PathSeparator) || strings.HasSuffix(name, ".json") {
		return name
	}
	return filepath.Join(k.dir(), name+".json")
}

var keyName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// newFile is where a new key goes. The folder is made if it was named; a test network's comes with the network.
func (k *keyring) newFile(name string) (string, error) {
	if !keyName.MatchString(name) || strings.HasSuffix(name, ".json") {
		return "", fail(exitUsage, "name %q: want 1 to 64 letters, digits, dots, dashes or underlines, without .json", name)
	}
	if k.folder != "" {
		if err := os.MkdirAll(k.folder, 0o700); err != nil {
			return "", err
		}
	} else if err := k.there(); err != nil {
		return "", err
	}
	path := k.file(name)
	if _, err := os.Lstat(path); err == nil {
		return "", fmt.Errorf("key file %s is there already and is not replaced: choose another name", path) // before a passphrase is asked for
	}
	return path, nil
}

// there says what to do if the folder is not.
func (k *keyring) there() error {
	_, err := os.Stat(k.dir())
	switch {
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case k.folder != "":
		return fmt.Errorf("no folder %s: `quorate keys new NAME --keys %s` makes it", k.folder, k.folder)
	}
	return fmt.Errorf("no folder %s: create a network with `quorate testnet up`, or name a folder with --keys", k.dir())
}

// read reads a key file, and says what to do if there is none.
func (k *keyring) read(name string) (*keystore.File, error) {
	f, err := keystore.Read(k.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: name one that `quorate keys list` shows, or a key file", err)
	}
	return f, err
}

// load is a key that can sign.
func (k *keyring) load(ctx context.Context, name string) (crypto.PrivateKey, error) {
	f, err := k.read(name)
	if err != nil {
		return crypto.PrivateKey{}, err
	}
	return k.open(ctx, k.file(name), f)
}

func (k *keyring) open(ctx context.Context, path string, f *keystore.File) (crypto.PrivateKey, error) {
	if !f.Encrypted {
		return f.Key(nil)
	}
	passphrase, err := k.passphrase(ctx, path, false)
	if err != nil {
		return crypto.PrivateKey{}, err
	}
	key, err := f.Key(passphrase)
	if err != nil {
		return crypto.PrivateKey{}, fmt.Errorf("key file %s: %w", path, err)
	}
	return key, nil
}

// names are those of the key files in the folder, in order.
func (k *keyring) names() ([]string, error) {
	if err := k.there(); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(k.dir())
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".json"); ok && keyName.MatchString(name) {
			names = append(names, name)
		}
	}
	return names, nil
}
