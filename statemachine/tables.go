package statemachine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
)

// verifyTables reads every table that the database's manifest names, whole, before Badger does: Badger opens tables in
// goroutines of its own, and in one of them a damaged block in the middle of a table is a panic that nobody can catch.
// Tables that the manifest does not name are what a crash has left, and Badger takes them away.
func verifyTables(o badger.Options) error {
	manifest, err := os.Open(filepath.Join(o.Dir, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a new database
	}
	if err != nil {
		return err
	}
	defer manifest.Close()
	m, _, err := badger.ReplayManifestFile(manifest, o.ExternalMagicVersion, o)
	if err != nil {
		return err
	}
	for id := range m.Tables {
		if err := verifyTable(table.NewFilename(id, o.Dir), id); err != nil {
			return err
		}
	}
	return nil
}

// verifyTable holds a table's blocks and index against their checksums.
func verifyTable(path string, id uint64) (err error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	defer func() {
		if recover() != nil || err != nil { // what either says of it helps nobody
			err = fmt.Errorf("table %s is damaged", filepath.Base(path))
		}
	}()
	t, err := table.OpenInMemoryTable(content, id, &table.Options{ChkMode: options.OnTableRead})
	if err != nil {
		return err
	}
	return t.VerifyChecksum()
}
