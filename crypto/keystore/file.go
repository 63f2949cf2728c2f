package keystore

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/quorate/quorate/crypto"
)

// maxFileBytes is well above what a key file needs.
const maxFileBytes = 4096

// othersMay are the permissions that a key file must not give to group and others.
const othersMay fs.FileMode = 0o077

// Save writes key to a new file at path that only its owner may read. When it returns nil, the file and its name are
// on the disk. It replaces no file: if there is one at path, the error is fs.ErrExist and the file is as it was.
func Save(path string, key crypto.PrivateKey) error {
	text, err := encode(key)
	if err != nil {
		return fmt.Errorf("key file %s: %w", path, err)
	}
	dir := filepath.Dir(path)
	temporary, err := writeTemporary(dir, text)
	if err != nil {
		return fmt.Errorf("key file %s: %w", path, err)
	}
	// A link, not a rename: a rename would replace a key that has appeared at path since anyone looked.
	err = os.Link(temporary, path)
	if removed := os.Remove(temporary); err == nil {
		err = removed
	}
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("key file %s is there already and is not replaced: %w", path, fs.ErrExist)
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("key file %s: %w", path, err)
	}
	return nil
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

// Load reads the key file at path. It refuses a file that anyone but its owner has permissions on, since who may have
// read the key may have signed with it, and a file that is not exactly what Save writes; the error names the file and
// the reason.
func Load(path string) (crypto.PrivateKey, error) {
	text, err := read(path)
	if err != nil {
		// An error of the system names the file by itself.
		if pathError := (*fs.PathError)(nil); errors.As(err, &pathError) {
			err = pathError.Err
		}
		return crypto.PrivateKey{}, fmt.Errorf("key file %s: %w", path, err)
	}
	key, err := decode(text)
	if err != nil {
		return crypto.PrivateKey{}, fmt.Errorf("key file %s: %w", path, err)
	}
	return key, nil
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
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
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFileBytes {
		return nil, fmt.Errorf("more than %d bytes: not a key file", maxFileBytes)
	}
	return text, nil
}
