package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/term"

	"github.com/quorate/quorate/crypto/keystore"
)

// maxPassphraseBytes is well above what anybody types.
const maxPassphraseBytes = 4096

// passphrase is for an encrypted key file: from --passphrase-file, else from QUORATE_PASSPHRASE, else from whoever sits at
// the terminal. A new one is asked for twice.
func (k *keyring) passphrase(ctx context.Context, file string, isNew bool) ([]byte, error) {
	if k.passphraseFile != "" {
		return readPassphrase(k.passphraseFile)
	}
	if text := k.app.getenv("QUORATE_PASSPHRASE"); text != "" {
		return []byte(text), nil
	}
	terminal, ok := k.app.in.(*os.File)
	if !ok || !term.IsTerminal(int(terminal.Fd())) {
		what := "is encrypted"
		if isNew {
			what = "is to be encrypted"
		}
		return nil, fmt.Errorf("%s %s, and there is no terminal to ask for the passphrase: give --passphrase-file or QUORATE_PASSPHRASE", file, what)
	}
	prompt := "passphrase of " + file + ": "
	if isNew {
		prompt = "new " + prompt
	}
	first, err := k.ask(ctx, terminal, prompt)
	if err != nil || !isNew {
		return first, err
	}
	again, err := k.ask(ctx, terminal, "once more: ")
	if err == nil && !bytes.Equal(first, again) {
		err = errors.New("the two passphrases are not the same: nothing was written")
	}
	return first, err
}

// ask reads a line that the terminal does not show. An interrupt ends it, and leaves the terminal as it was.
func (k *keyring) ask(ctx context.Context, terminal *os.File, prompt string) ([]byte, error) {
	fd := int(terminal.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return nil, err
	}
	fmt.Fprint(k.app.err, prompt)
	defer fmt.Fprintln(k.app.err) // the end of the line was not shown either
	type answer struct {
		text []byte
		err  error
	}
	answered := make(chan answer, 1)
	go func() {
		text, err := term.ReadPassword(fd)
		answered <- answer{text, err}
	}()
	select {
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), term.Restore(fd, before))
	case a := <-answered:
		switch {
		case errors.Is(a.err, io.EOF), a.err == nil && len(a.text) == 0:
			return nil, keystore.ErrEmptyPassphrase
		}
		return a.text, a.err
	}
}

// readPassphrase reads a file's first and only line. Like a key file, it must be open to its owner alone; what is no
// regular file, a pipe from a shell perhaps, has no such owner.
func readPassphrase(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode(); mode.IsRegular() && mode.Perm()&fs.FileMode(0o077) != 0 {
		return nil, fmt.Errorf("%s: a passphrase open to others than its owner (mode %04o): chmod 600 %s", path, mode.Perm(), path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxPassphraseBytes+1))
	if err != nil {
		return nil, err
	}
	text = bytes.TrimSuffix(bytes.TrimSuffix(text, []byte("\n")), []byte("\r"))
	switch {
	case len(text) == 0:
		return nil, fmt.Errorf("%s: %w", path, keystore.ErrEmptyPassphrase)
	case len(text) > maxPassphraseBytes:
		return nil, fmt.Errorf("%s: more than %d bytes: no passphrase", path, maxPassphraseBytes)
	case bytes.ContainsRune(text, '\n'):
		return nil, fmt.Errorf("%s: more than one line: a passphrase is one", path)
	}
	return text, nil
}
