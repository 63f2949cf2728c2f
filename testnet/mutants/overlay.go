package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// writeOverlay patches copies of the files that m touches, puts them into folder, and returns the file there that tells
// the go command to compile them in place of the ones in the module at root. Nothing below root is written.
func writeOverlay(m *mutant, root, folder string) (string, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return "", err
	}
	replace := map[string]string{}
	for i, f := range m.files {
		original := filepath.Join(root, filepath.FromSlash(f.path))
		if _, twice := replace[original]; twice {
			return "", fmt.Errorf("%s stands in the diff twice", f.path)
		}
		text, err := os.ReadFile(original)
		if err != nil {
			return "", err
		}
		patched, err := f.apply(string(text))
		if err != nil {
			return "", err
		}
		replace[original] = filepath.Join(folder, strconv.Itoa(i)+"-"+filepath.Base(original))
		if err := os.WriteFile(replace[original], []byte(patched), 0o600); err != nil {
			return "", err
		}
	}
	overlay, err := json.Marshal(struct{ Replace map[string]string }{replace})
	if err != nil {
		return "", err
	}
	file := filepath.Join(folder, "overlay.json")
	return file, os.WriteFile(file, overlay, 0o600)
}
