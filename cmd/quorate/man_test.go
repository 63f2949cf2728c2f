package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

var rewrite = flag.Bool("rewrite", false, "write docs/man anew (make man)")

const manFolder = "../../docs/man"

// The manual pages that packagers install are of these very commands. (The generator is a test's dependency, and not the
// program's.)
func TestTheManualIsOfTheseCommands(t *testing.T) {
	pages := manual(t)
	if *rewrite {
		if err := os.RemoveAll(manFolder); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(manFolder, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, page := range pages {
			if err := os.WriteFile(filepath.Join(manFolder, name), page, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, page := range pages {
		there, err := os.ReadFile(filepath.Join(manFolder, name))
		if err != nil || !bytes.Equal(there, page) {
			t.Errorf("%s is not of the command (%v): make man", name, err)
		}
	}
	entries, err := os.ReadDir(manFolder)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if pages[e.Name()] == nil {
			t.Errorf("%s is of no command: make man", e.Name())
		}
	}
}

// manual is a page for every command, by its file.
func manual(t *testing.T) map[string][]byte {
	root := (&app{}).root()
	root.DisableAutoGenTag = true
	pages := make(map[string][]byte)
	everyCommand(root, func(cmd *cobra.Command) {
		if !cmd.IsAvailableCommand() && cmd != root {
			return
		}
		var page bytes.Buffer
		header := &doc.GenManHeader{Section: "1", Manual: "Quorate", Source: "Quorate"}
		if err := doc.GenMan(cmd, header, &page); err != nil {
			t.Fatal(err)
		}
		pages[strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1"] = undated(page.Bytes())
	})
	return pages
}

// undated is a page without the month in which it was made: it changes when the command does.
func undated(page []byte) []byte {
	lines := bytes.SplitAfter(page, []byte("\n"))
	for i, line := range lines {
		if bytes.HasPrefix(line, []byte(".TH ")) {
			words := bytes.Split(line, []byte(`" "`)) // name, section, date, source, manual
			words[2] = nil
			lines[i] = bytes.Join(words, []byte(`" "`))
		}
	}
	return bytes.Join(lines, nil)
}

// Who asks for help sees how the command is used: it has an example, and every flag says what it does.
func TestEveryCommandExplainsItself(t *testing.T) {
	everyCommand((&app{}).root(), func(cmd *cobra.Command) {
		name := cmd.CommandPath()
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: short help %q", name, cmd.Short)
		}
		if !cmd.HasSubCommands() && cmd.Name() != "help" && !strings.Contains(cmd.Example, "quorate ") {
			t.Errorf("%s has no example", name)
		}
		for _, line := range slices.Concat(strings.Split(cmd.Example, "\n"), strings.Split(cmd.Long, "\n")) {
			if len([]rune(line)) > 120 {
				t.Errorf("%s: a line of more than 120 letters: %s", name, line)
			}
		}
	})
}
