package scenario

import (
	"bufio"
	"bytes"
	"embed"
	"io/fs"
	"strings"
)

//go:embed scripts/*.star
var scripts embed.FS

// Story is a script of the library.
type Story struct {
	Name   string // without .star
	Says   string // its first comment, on one line
	Source []byte
}

// Library is all scripts that come with the program, by name.
func Library() []Story {
	files, err := fs.Glob(scripts, "scripts/*.star")
	if err != nil {
		panic("scenario: " + err.Error()) // of the pattern
	}
	var all []Story
	for _, file := range files {
		source, err := scripts.ReadFile(file)
		if err != nil {
			panic("scenario: " + err.Error()) // what is embedded is there
		}
		name := strings.TrimSuffix(strings.TrimPrefix(file, "scripts/"), ".star")
		all = append(all, Story{Name: name, Says: firstComment(source), Source: source})
	}
	return all
}

// firstComment is what stands before the first statement, up to a blank line or a source in parentheses.
func firstComment(source []byte) string {
	var lines []string
	for s := bufio.NewScanner(bytes.NewReader(source)); s.Scan(); {
		line, ok := strings.CutPrefix(s.Text(), "#")
		if line = strings.TrimSpace(line); !ok || strings.HasPrefix(line, "(") {
			break
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, " ")
}
