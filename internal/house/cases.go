package house

import (
	"bufio"
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// docs/testing.md lists, for every way of breaking in docs/cases.txt, the tests and planted bugs that stand for it. Tests name
// their rows in comments, "case F5, F6"; patches in their heads.

// Case is one row of docs/cases.txt.
type Case struct{ ID, Title string }

// Mention is a place that names rows.
type Mention struct {
	Where string // a test's name, or a file
	File  string // relative to the root
	IDs   []string
}

// ReadCases reads docs/cases.txt: an id and a title on each line, but for lines that begin with #.
func ReadCases(path string) ([]Case, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var cases []Case
	known := map[string]bool{}
	for s := bufio.NewScanner(bytes.NewReader(raw)); s.Scan(); {
		if s.Text() == "" || strings.HasPrefix(s.Text(), "#") {
			continue
		}
		id, title, ok := strings.Cut(s.Text(), " ")
		if !ok || !caseID.MatchString(id) || known[id] {
			return nil, fmt.Errorf("%s: %q is no new row", path, s.Text())
		}
		known[id] = true
		cases = append(cases, Case{id, title})
	}
	return cases, nil
}

var (
	caseID = regexp.MustCompile(`^[A-N][0-9]{1,2}$`)
	// A list of rows: "case F5", "case F5, F6", "case F5; case F6", "case F5 F6".
	caseList = regexp.MustCompile(`\bcase [A-N][0-9]{1,2}\b(?:[,;]? +(?:case +)?[A-N][0-9]{1,2}\b)*`)
	oneID    = regexp.MustCompile(`\b[A-N][0-9]{1,2}\b`)
)

// rowsIn are the rows that a text names as cases.
func rowsIn(text string) (ids []string) {
	text = strings.Join(strings.Fields(strings.ReplaceAll(text, "\n// ", " ")), " ")
	for _, list := range caseList.FindAllString(text, -1) {
		ids = append(ids, oneID.FindAllString(list, -1)...)
	}
	return ids
}

// FindMentions goes through the tests and transcripts below root.
func FindMentions(root string) (all []Mention, err error) {
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "house"):
			return filepath.SkipDir
		case d.IsDir():
			return nil
		}
		file, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		file = filepath.ToSlash(file)
		switch {
		case strings.HasSuffix(path, "_test.go"):
			found, err := mentionsIn(path, file)
			all = append(all, found...)
			return err
		case strings.Contains(file, "testdata/") && (strings.HasSuffix(path, ".txt") || strings.HasSuffix(path, ".txtar")):
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			if ids := rowsIn(string(raw)); len(ids) > 0 {
				all = append(all, Mention{Where: filepath.Base(file), File: file, IDs: ids})
			}
		}
		return nil
	})
	return all, err
}

// mentionsIn are those of a test file. A comment speaks for the function it stands at or in; one that stands alone, for the
// next function behind it.
func mentionsIn(path, file string) (all []Mention, err error) {
	positions := token.NewFileSet()
	parsed, err := parser.ParseFile(positions, path, nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, err
	}
	for _, c := range parsed.Comments {
		ids := rowsIn("// " + c.Text())
		if len(ids) == 0 {
			continue
		}
		where := filepath.Base(file)
		for _, d := range parsed.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && c.Pos() < f.End() {
				where = f.Name.Name
				break
			}
		}
		all = append(all, Mention{where, file, ids})
	}
	return all, nil
}

// FindPlanted are the patches in a folder, with the rows that their heads name.
func FindPlanted(root, dir string) (all []Mention, err error) {
	files, err := filepath.Glob(filepath.Join(root, dir, "*.patch"))
	if err != nil {
		return nil, err
	}
	for _, path := range files {
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		m := Mention{Where: strings.TrimSuffix(filepath.Base(path), ".patch"), File: dir + "/" + filepath.Base(path)}
		for line := range strings.Lines(string(raw)) {
			if rest, ok := strings.CutPrefix(line, "Case:"); ok {
				m.IDs = oneID.FindAllString(rest, -1)
				break
			}
		}
		if len(m.IDs) == 0 {
			return nil, fmt.Errorf("%s: its head names no row of docs/cases.txt", m.File)
		}
		all = append(all, m)
	}
	return all, nil
}

const generatedHead = "<!-- From here on it is generated: make fix. -->\n"

// RenderTesting is docs/testing.md: what a person has written of page, then the table.
func RenderTesting(page string, cases []Case, tests, planted []Mention) (string, error) {
	known := map[string]bool{}
	for _, c := range cases {
		known[c.ID] = true
	}
	byRow := func(all []Mention) (map[string][]string, error) {
		rows := map[string][]string{}
		for _, m := range all {
			for _, id := range m.IDs {
				if !known[id] {
					return nil, fmt.Errorf("%s: %s names case %s, which docs/cases.txt does not have", m.File, m.Where, id)
				}
				if text := fmt.Sprintf("[%s](../%s)", m.Where, m.File); !slices.Contains(rows[id], text) {
					rows[id] = append(rows[id], text)
				}
			}
		}
		return rows, nil
	}
	testsOf, err := byRow(tests)
	if err != nil {
		return "", err
	}
	plantedOf, err := byRow(planted)
	if err != nil {
		return "", err
	}
	written, _, _ := strings.Cut(page, generatedHead)
	var b strings.Builder
	var open []string
	for _, c := range cases {
		if len(testsOf[c.ID]) == 0 {
			open = append(open, c.ID)
		}
	}
	b.WriteString(strings.TrimRight(written, "\n") + "\n\n" + generatedHead)
	fmt.Fprintf(&b, "\n## Cases\n\n%d of %d rows have a test, %d bugs are planted. Open: %s.\n\n", len(cases)-len(open), len(cases), len(planted), strings.Join(open, " "))
	b.WriteString("| row | what goes wrong | tests | planted bugs |\n|---|---|---|---|\n")
	for _, c := range cases {
		if len(testsOf[c.ID])+len(plantedOf[c.ID]) > 0 {
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", c.ID, c.Title, strings.Join(testsOf[c.ID], ", "), strings.Join(plantedOf[c.ID], ", "))
		}
	}
	return b.String(), nil
}
