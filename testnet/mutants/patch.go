package main

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A mutant is a planted bug: a patch, and what its head says about it.
type mutant struct {
	name    string // of the file, without .patch
	breaks  string // what no longer holds
	origin  string // the row of the failure cases, or the line of the issue, that it comes from
	checker string // the test or checker that must see it
	run     []string
	files   []filePatch
}

// filePatch is what the patch does to one file.
type filePatch struct {
	path  string // relative to the module's root, with slashes
	hunks []hunk
}

// A hunk replaces lines at a place. Lines carry their newline, so that a missing one at the end of a file counts.
type hunk struct {
	line   int // of the old text, from 1, as the patch has it
	before []string
	after  []string
}

var headKeys = [...]string{"Breaks", "Case", "Checker", "Run"}

// parseMutant reads a patch with its head. A head must have each of Breaks, Case, Checker and Run once; other lines
// before the diff are remarks.
func parseMutant(file, text string) (*mutant, error) {
	lines := strings.SplitAfter(text, "\n")
	if lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	start := slices.IndexFunc(lines, func(line string) bool {
		return strings.HasPrefix(line, "--- ") || strings.HasPrefix(line, "diff ")
	})
	if start < 0 {
		return nil, errors.New("has no diff")
	}
	head, err := parseHead(lines[:start])
	if err != nil {
		return nil, err
	}
	m := &mutant{
		name:    strings.TrimSuffix(filepath.Base(file), ".patch"),
		breaks:  head["Breaks"],
		origin:  head["Case"],
		checker: head["Checker"],
		run:     strings.Fields(head["Run"]),
	}
	m.files, err = parseDiff(lines[start:])
	return m, err
}

func parseHead(lines []string) (map[string]string, error) {
	head := map[string]string{}
	for _, line := range lines {
		key, value, ok := strings.Cut(line, ":")
		if !ok || !slices.Contains(headKeys[:], key) {
			continue
		}
		if _, twice := head[key]; twice {
			return nil, fmt.Errorf("head has %s twice", key)
		}
		head[key] = strings.TrimSpace(value)
	}
	for _, key := range headKeys {
		if head[key] == "" {
			return nil, fmt.Errorf("head has no %s", key)
		}
	}
	return head, nil
}

// parseDiff reads a unified diff that changes files which exist; it neither makes nor removes any.
func parseDiff(lines []string) ([]filePatch, error) {
	var files []filePatch
	for i := 0; i < len(lines); {
		line := lines[i]
		switch {
		case strings.HasPrefix(line, "diff "), strings.HasPrefix(line, "index "):
			i++
		case strings.HasPrefix(line, "--- "):
			if i+1 == len(lines) {
				return nil, errors.New("diff ends after ---")
			}
			name, err := parseNames(line, lines[i+1])
			if err != nil {
				return nil, err
			}
			files = append(files, filePatch{path: name})
			i += 2
		case strings.HasPrefix(line, "@@ ") && len(files) > 0:
			h, rest, err := parseHunk(lines[i:])
			if err != nil {
				return nil, err
			}
			last := &files[len(files)-1]
			last.hunks = append(last.hunks, h)
			i = len(lines) - len(rest)
		default:
			return nil, fmt.Errorf("diff has a line that is none of its own: %q", line)
		}
	}
	for _, f := range files {
		if len(f.hunks) == 0 {
			return nil, fmt.Errorf("diff changes nothing in %s", f.path)
		}
	}
	return files, nil
}

// parseNames is the file that the lines "--- a/path" and "+++ b/path" are about.
func parseNames(before, after string) (string, error) {
	from, okFrom := strings.CutPrefix(fileName(before), "--- a/")
	to, okTo := strings.CutPrefix(fileName(after), "+++ b/")
	if !okFrom || !okTo || from != to {
		return "", fmt.Errorf("diff names %q and %q, want a/ and b/ of one file", strings.TrimSpace(before), strings.TrimSpace(after))
	}
	if path.Clean(from) != from || !filepath.IsLocal(from) {
		return "", fmt.Errorf("diff leaves the module: %s", from)
	}
	return from, nil
}

// fileName drops what diff puts behind a name: a tab and the time.
func fileName(line string) string {
	name, _, _ := strings.Cut(strings.TrimRight(line, "\r\n"), "\t")
	return name
}

var hunkHead = regexp.MustCompile(`^@@ -(\d+)(?:,(\d+))? \+\d+(?:,(\d+))? @@`)

func parseHunk(lines []string) (hunk, []string, error) {
	match := hunkHead.FindStringSubmatch(lines[0])
	if match == nil {
		return hunk{}, nil, fmt.Errorf("cannot read hunk %q", lines[0])
	}
	number := func(text string) int {
		if text == "" {
			return 1
		}
		n, err := strconv.Atoi(text)
		if err != nil {
			return -1 // too large for any file; the counts below will not be met
		}
		return n
	}
	h := hunk{line: number(match[1])}
	before, after := number(match[2]), number(match[3])
	rest := lines[1:]
	for len(h.before) != before || len(h.after) != after {
		if len(rest) == 0 || len(h.before) > before || len(h.after) > after {
			return hunk{}, nil, fmt.Errorf("hunk %q has other counts than its head says", strings.TrimSpace(lines[0]))
		}
		line := rest[0]
		rest = rest[1:]
		switch line[0] {
		case ' ':
			h.before, h.after = append(h.before, line[1:]), append(h.after, line[1:])
		case '\n': // an empty line of context, without the blank that editors like to cut
			h.before, h.after = append(h.before, line), append(h.after, line)
		case '-':
			h.before = append(h.before, line[1:])
		case '+':
			h.after = append(h.after, line[1:])
		default:
			return hunk{}, nil, fmt.Errorf("hunk %q has a line %q", strings.TrimSpace(lines[0]), line)
		}
	}
	if len(h.before) == 0 {
		return hunk{}, nil, fmt.Errorf("hunk %q has no context to find its place by", strings.TrimSpace(lines[0]))
	}
	return h, rest, nil
}

// apply patches the text of one file. Context must match to the letter. A hunk belongs at its line; if the file has
// moved under it, at the only other place where its old text stands, and if there are several, nowhere.
func (p filePatch) apply(text string) (string, error) {
	lines := strings.SplitAfter(text, "\n")
	var patched []string
	done, shift := 0, 0 // lines of text copied or replaced so far; how far the last hunk had moved
	for _, h := range p.hunks {
		at, err := h.place(lines, done, h.line-1+shift)
		if err != nil {
			return "", fmt.Errorf("%s: %w", p.path, err)
		}
		shift = at - (h.line - 1)
		patched = append(append(patched, lines[done:at]...), h.after...)
		done = at + len(h.before)
	}
	return strings.Join(append(patched, lines[done:]...), ""), nil
}

func (h hunk) place(lines []string, from, expected int) (int, error) {
	if h.standsAt(lines, expected) && expected >= from {
		return expected, nil
	}
	place := -1
	for at := from; at+len(h.before) <= len(lines); at++ {
		if !h.standsAt(lines, at) {
			continue
		}
		if place >= 0 {
			return 0, fmt.Errorf("hunk at line %d fits in several places", h.line)
		}
		place = at
	}
	if place < 0 {
		return 0, fmt.Errorf("hunk at line %d fits nowhere", h.line)
	}
	return place, nil
}

func (h hunk) standsAt(lines []string, at int) bool {
	return at >= 0 && at+len(h.before) <= len(lines) && slices.Equal(lines[at:at+len(h.before)], h.before)
}
