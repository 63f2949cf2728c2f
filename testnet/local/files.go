package local

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/quorate/quorate/bft/proof"
)

// Bound of the files that people write, in bytes: well above what 31 members need.
const maxFileBytes = 1 << 20

// ReadGenesis reads and validates a genesis file. The error names file, place and reason.
func ReadGenesis(path string) (*proof.Genesis, error) {
	g := &proof.Genesis{}
	if err := readJSON(path, g); err != nil {
		return nil, err
	}
	if err := g.Validate(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return g, nil
}

// WriteGenesis writes a genesis that validates to a new file.
func WriteGenesis(path string, g *proof.Genesis) error {
	if err := g.Validate(); err != nil {
		return fmt.Errorf("genesis: %w", err)
	}
	text, err := json.MarshalIndent(g, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(path, append(text, '\n'), 0o644)
}

// readJSON reads one JSON value with no unknown field and nothing behind it.
func readJSON(path string, into any) error {
	text, err := readFile(path)
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		var at int64
		var syntax *json.SyntaxError
		var wrongType *json.UnmarshalTypeError
		switch {
		case errors.As(err, &syntax):
			at = syntax.Offset
		case errors.As(err, &wrongType):
			at = wrongType.Offset
		case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
			at, err = int64(len(text)), errors.New("ends too early")
		default:
			// An unknown field, or a text that a field's type refuses: the decoder says what, but not where.
			quoted := inQuotes.FindString(err.Error())
			if at = int64(bytes.Index(text, []byte(quoted))); quoted == "" || at < 0 {
				return fmt.Errorf("%s: %w", path, err)
			}
		}
		return fmt.Errorf("%s: %w", place(path, text, at), err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: more data after the end", place(path, text, d.InputOffset()))
	}
	return nil
}

var inQuotes = regexp.MustCompile(`"[^"]+"`)

// place says where in a file a byte is, as editors do.
func place(path string, text []byte, offset int64) string {
	before := text[:min(offset, int64(len(text)))]
	line := bytes.Count(before, []byte("\n")) + 1
	column := len(before) - bytes.LastIndexByte(before, '\n')
	return fmt.Sprintf("%s:%d:%d", path, line, column)
}

// readTOML reads a TOML file that has no unknown key.
func readTOML(path string, into any) error {
	text, err := readFile(path)
	if err != nil {
		return err
	}
	err = toml.NewDecoder(bytes.NewReader(text)).DisallowUnknownFields().Decode(into)
	var unknown *toml.StrictMissingError
	if errors.As(err, &unknown) && len(unknown.Errors) > 0 {
		line, column := unknown.Errors[0].Position()
		key := unknown.Errors[0].Key()
		return fmt.Errorf("%s:%d:%d: unknown key %s: %s", path, line, column, strings.Join(key, "."), suggestion(key[0], into))
	}
	var wrong *toml.DecodeError
	if errors.As(err, &wrong) {
		line, column := wrong.Position()
		return fmt.Errorf("%s:%d:%d: %w", path, line, column, wrong)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func writeTOML(path string, from any) error {
	text, err := toml.Marshal(from)
	if err != nil {
		return err
	}
	return writeFile(path, text, 0o644)
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxFileBytes {
		return nil, fmt.Errorf("%s: more than %d bytes", path, maxFileBytes)
	}
	return text, nil
}

// writeFile leaves a whole new file on the disk; its name is durable once its folder is synced.
func writeFile(path string, text []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if _, err = f.Write(text); err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// syncTree makes the names in dir and in all folders below it durable.
func syncTree(dir string) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			return err
		}
		return syncFolder(path)
	})
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
