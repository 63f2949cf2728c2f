package keystore

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/quorate/quorate/crypto"
)

// maxFileBytes is well above what a key file needs.
const maxFileBytes = 4096

// othersMay are the permissions that a key file must not give to group and others.
const othersMay fs.FileMode = 0o077

// Save writes key as it is to a new file at path that only its owner may read. When it returns nil, the file and its name
// are on the disk. It replaces no file: if there is one at path, the error is fs.ErrExist and the file is as it was.
func Save(path string, key crypto.PrivateKey) error {
	return save(path, &File{Public: key.Public(), key: key})
}

// SaveEncrypted does the same with the key under a passphrase. It refuses an empty one with ErrEmptyPassphrase.
func SaveEncrypted(path string, key crypto.PrivateKey, passphrase []byte) error {
	s, err := sealKey(key, passphrase, usualCost)
	if err != nil {
		return fmt.Errorf("key file %s: %w", path, err)
	}
	return save(path, &File{Public: key.Public(), Encrypted: true, seal: s})
}

func save(path string, f *File) error {
	text, err := encode(f)
	if err == nil {
		err = writeNew(path, text)
	}
	if err != nil {
		return fmt.Errorf("key file %s: %w", path, withoutPath(err))
	}
	return nil
}

// SaveSeed writes the seed of key, in hexadecimal and a line of its own, to a new file as Save does. ReadAny reads it.
func SaveSeed(path string, key crypto.PrivateKey) error {
	seed := key.Seed()
	if err := writeNew(path, []byte(hex.EncodeToString(seed[:])+"\n")); err != nil {
		return fmt.Errorf("seed file %s: %w", path, withoutPath(err))
	}
	return nil
}

// writeNew leaves a whole file under a durable name, or is an error.
func writeNew(path string, text []byte) error {
	dir := filepath.Dir(path)
	temporary, err := writeTemporary(dir, text)
	if err != nil {
		return err
	}
	// A link, not a rename: a rename would replace a key that has appeared at path since anyone looked.
	err = os.Link(temporary, path)
	if removed := os.Remove(temporary); err == nil {
		err = removed
	}
	if errors.Is(err, fs.ErrExist) {
		return errExists
	}
	if err != nil {
		return err
	}
	return syncDir(dir)
}

var errExists = fmt.Errorf("is there already and is not replaced: %w", fs.ErrExist)

// withoutPath is an error of the system without the file's name, which is said already.
func withoutPath(err error) error {
	var path *fs.PathError
	var link *os.LinkError
	switch {
	case errors.As(err, &path):
		return path.Err
	case errors.As(err, &link):
		return link.Err
	}
	return err
}

// writeTemporary leaves a whole, synced file with mode 0600 in dir, or none.
func writeTemporary(dir string, text []byte) (name string, err error) {
	f, err := os.CreateTemp(dir, ".key-*") // creates with mode 0600
	if err != nil {
		return "", err
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if closed := d.Close(); err == nil {
		err = closed
	}
	return err
}

// ErrEncrypted says that a key is under a passphrase, and that nobody can be asked for it.
var ErrEncrypted = errors.New("is encrypted")

// Load reads the key in a file that is not encrypted; of one that is, the error wraps ErrEncrypted. See Read.
func Load(path string) (crypto.PrivateKey, error) {
	f, err := Read(path)
	if err != nil {
		return crypto.PrivateKey{}, err
	}
	if f.Encrypted {
		return crypto.PrivateKey{}, fmt.Errorf("key file %s: %w", path, ErrEncrypted)
	}
	return f.Key(nil)
}

// Read reads the key file at path. It refuses a file that anyone but this process's user has permissions on or owns, since
// who may have read the key may have signed with it, and a file that is not exactly what Save or SaveEncrypted writes; the
// error names the file and the reason.
func Read(path string) (*File, error) { return readAs(path, "key", decode) }

// ReadAny reads a key file, or the seed of a key in hexadecimal, as SaveSeed writes it. It refuses what Read refuses.
func ReadAny(path string) (*File, error) {
	return readAs(path, "key or seed", func(text []byte) (*File, error) {
		if trimmed := bytes.TrimSpace(text); len(trimmed) == 0 || trimmed[0] == '{' {
			return decode(text)
		}
		return decodeSeed(text)
	})
}

func readAs(path, what string, decode func([]byte) (*File, error)) (*File, error) {
	text, err := read(path)
	if err != nil {
		return nil, fmt.Errorf("%s file %s: %w", what, path, withoutPath(err))
	}
	f, err := decode(text)
	if err != nil {
		return nil, fmt.Errorf("%s file %s: %w", what, path, err)
	}
	return f, nil
}

func read(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe is opened, not waited for
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// Of the open file, not of the path: what was looked at is what is read.
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is not a regular file")
	}
	if mode := info.Mode().Perm(); mode&othersMay != 0 {
		return nil, fmt.Errorf("open to others than its owner (mode %04o): chmod 600 %s", mode, path)
	}
	if err := checkOwner(info, path); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFileBytes {
		return nil, fmt.Errorf("more than %d bytes: not a key file", maxFileBytes)
	}
	return text, nil
}
