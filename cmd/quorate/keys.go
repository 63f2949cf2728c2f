package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/crypto/keystore"
)

func (a *app) keysCommand() *cobra.Command {
	keys := group("keys", "Keys that sign transactions and operators' orders",
		a.keysNewCommand(), a.keysListCommand(), a.keysShowCommand(), a.keysImportCommand(), a.keysExportCommand())
	keys.Long = `Keys that sign transactions and operators' orders.

A key is a file, NAME.json, in the folder keys of the test network, or in the folder that --keys names. A new key is
encrypted under a passphrase: argon2id, XChaCha20-Poly1305. The passphrase is the one line of --passphrase-file, or
QUORATE_PASSPHRASE, or what is typed at the terminal. A forgotten one cannot be recovered. The keys of a test network
itself are not encrypted.`
	return keys
}

// keyCommand is a command about the keys of a folder.
func (a *app) keyCommand(use, short, example string, args cobra.PositionalArgs, do func(context.Context, *keyring, []string) error) *cobra.Command {
	k := &keyring{app: a}
	cmd := a.command(use, short, example, args, func(ctx context.Context, args []string) error { return do(ctx, k, args) })
	k.add(cmd.Flags())
	return cmd
}

func (a *app) keysNewCommand() *cobra.Command {
	return a.keyCommand("new NAME [flags]", "Make a key, encrypted under a passphrase",
		"  quorate keys new bob                       asks for a passphrase, twice\n  quorate keys new bob --keys ~/.quorate --passphrase-file secret", cobra.ExactArgs(1),
		func(ctx context.Context, k *keyring, args []string) error {
			path, err := k.newFile(args[0])
			if err != nil {
				return err
			}
			key, err := keystore.Generate()
			if err != nil {
				return err
			}
			return k.save(ctx, args[0], path, key)
		})
}

// save keeps a key under a new passphrase.
func (k *keyring) save(ctx context.Context, name, path string, key crypto.PrivateKey) error {
	passphrase, err := k.passphrase(ctx, path, true)
	if err != nil {
		return err
	}
	return k.saveUnder(name, path, key, passphrase)
}

func (k *keyring) saveUnder(name, path string, key crypto.PrivateKey, passphrase []byte) error {
	if err := keystore.SaveEncrypted(path, key, passphrase); err != nil {
		return err
	}
	return k.app.writeKey(name, path, &keystore.File{Public: key.Public(), Encrypted: true})
}

func (a *app) writeKey(name, path string, f *keystore.File) error {
	return a.writeFields([]field{{"name", name}, {"public", f.Public}, {"encrypted", f.Encrypted}, {"file", path}})
}

func (a *app) keysListCommand() *cobra.Command {
	return a.keyCommand("list [flags]", "List the keys of a folder", "  quorate keys list --keys ~/.quorate", cobra.NoArgs,
		func(_ context.Context, k *keyring, _ []string) error {
			names, err := k.names()
			if err != nil {
				return err
			}
			return a.listKeys(k, names)
		})
}

// listedKey is a line of the list. One that cannot be read is listed too: it is there, and why is the error.
type listedKey struct {
	Name      string `json:"name"`
	Public    string `json:"public"`
	Encrypted bool   `json:"encrypted"`
	File      string `json:"file"`
	Why       string `json:"why"` // it cannot be read
}

func (a *app) listKeys(k *keyring, names []string) error {
	keys := []listedKey{}
	rows := [][]string{{"NAME", "PUBLIC", "ENCRYPTED", "FILE"}}
	var errs []error
	for _, name := range names {
		one := listedKey{Name: name, File: k.file(name)}
		encrypted := ""
		f, err := keystore.Read(one.File)
		if err != nil {
			one.Why = err.Error()
			errs = append(errs, err)
		} else {
			one.Public, one.Encrypted = f.Public.String(), f.Encrypted
			encrypted = map[bool]string{true: "yes", false: "no"}[f.Encrypted]
		}
		keys = append(keys, one)
		rows = append(rows, []string{one.Name, one.Public, encrypted, one.File})
	}
	var err error
	if a.output == "json" {
		err = a.writeJSON(keys)
	} else {
		err = a.writeTable(rows)
	}
	return errors.Join(append(errs, err)...)
}

func (a *app) keysShowCommand() *cobra.Command {
	return a.keyCommand("show NAME [flags]", "Show a key's public half", "  quorate keys show alice", cobra.ExactArgs(1),
		func(_ context.Context, k *keyring, args []string) error {
			f, err := k.read(args[0])
			if err != nil {
				return err
			}
			return a.writeKey(args[0], k.file(args[0]), f)
		})
}

func (a *app) keysImportCommand() *cobra.Command {
	cmd := a.keyCommand("import NAME FILE [flags]", "Take in a key from elsewhere", "  quorate keys import bob bob.seed\n  quorate keys import bob /media/stick/bob.json", cobra.ExactArgs(2),
		func(ctx context.Context, k *keyring, args []string) error {
			path, err := k.newFile(args[0])
			if err != nil {
				return err
			}
			f, err := keystore.ReadAny(args[1])
			if err != nil {
				return err
			}
			if !f.Encrypted {
				key, err := f.Key(nil)
				if err != nil {
					return err
				}
				return k.save(ctx, args[0], path, key)
			}
			passphrase, err := k.passphrase(ctx, args[1], false)
			if err != nil {
				return err
			}
			key, err := f.Key(passphrase)
			if err != nil {
				return fmt.Errorf("key file %s: %w", args[1], err)
			}
			return k.saveUnder(args[0], path, key, passphrase)
		})
	cmd.Long = `Take in a key from elsewhere.

FILE is a key file, or a seed as 64 hexadecimal digits, and open to its owner alone. A key that was encrypted keeps its
passphrase; any other gets a new one.`
	return cmd
}

func (a *app) keysExportCommand() *cobra.Command {
	var private bool
	var out string
	cmd := a.keyCommand("export NAME --private [flags]", "Hand out a key's private half", "  quorate keys export bob --private --out bob.seed", cobra.ExactArgs(1),
		func(ctx context.Context, k *keyring, args []string) error {
			if !private {
				return fail(exitUsage, "this hands out the private key of %q, and whoever reads it signs in its name: add --private if that is wanted", args[0])
			}
			key, err := k.load(ctx, args[0])
			if err != nil {
				return err
			}
			if out != "" {
				if err := keystore.SaveSeed(out, key); err != nil {
					return err
				}
				return a.writeFields([]field{{"name", args[0]}, {"public", key.Public()}, {"file", out}})
			}
			seed := key.Seed()
			text := hex.EncodeToString(seed[:])
			if a.output == "json" {
				return a.writeFields([]field{{"name", args[0]}, {"public", key.Public()}, {"seed", text}})
			}
			_, err = fmt.Fprintln(a.out, text)
			return err
		})
	cmd.Long = `Hand out a key's private half: its seed, as 64 hexadecimal digits, which keys import reads.

It goes to stdout, or with --out to a new file that only its owner may read. It is not encrypted.`
	cmd.Flags().BoolVar(&private, "private", false, "yes, the private key")
	cmd.Flags().StringVar(&out, "out", "", "where to write it (default: stdout)")
	return cmd
}
