package house

import (
	"fmt"
	"slices"
	"strings"
)

// Arrows is the table of docs/ARCHITECTURE.md that says who may import whom.
type Arrows struct {
	pureStd []string
	rows    []arrow
}

// An arrow is one row, for one or more patterns of folders.
type arrow struct {
	from    []string // patterns: a folder, or folder/… for it and all below
	ours    ourSide
	foreign foreignSide
}

// ourSide is a cell of the second column.
type ourSide struct {
	everythingBut bool     // everything is allowed but the patterns
	patterns      []string // what is allowed, or with everythingBut what is not
	importsOf     []string // folders: what these may import of ours is allowed too
}

// foreignSide is a cell of the third column.
type foreignSide struct {
	any       bool
	std       bool
	pureStd   bool
	without   []string // with std: these, and what lies below them, are not allowed
	libraries []string // import paths; one of another module with what lies below it
}

const (
	tableHead = "| package | may import, of ours | of other code |"
	pureHead  = "*pure std* ="
)

// ParseArrows reads the table and the list of pure standard packages out of a markdown page. It refuses a page without
// them, a cell that it does not understand, and a row that leans on a folder without a row: a rule nobody can read is none.
func ParseArrows(page string) (*Arrows, error) {
	a := &Arrows{}
	inTable := false
	for _, line := range strings.Split(page, "\n") {
		line = strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(line, pureHead):
			for _, names := range quoted(line) {
				a.pureStd = append(a.pureStd, strings.Fields(names)...)
			}
		case line == tableHead:
			inTable = true
		case !inTable || strings.HasPrefix(line, "|---"):
		case !strings.HasPrefix(line, "|"):
			inTable = false
		default:
			row, err := parseArrow(line)
			if err != nil {
				return nil, fmt.Errorf("row %q: %w", line, err)
			}
			a.rows = append(a.rows, row)
		}
	}
	if len(a.rows) == 0 {
		return nil, fmt.Errorf("no rows under %q", tableHead)
	}
	if len(a.pureStd) == 0 {
		return nil, fmt.Errorf("no packages after %q", pureHead)
	}
	for _, row := range a.rows {
		for _, folder := range row.ours.importsOf {
			if a.row(folder) == nil {
				return nil, fmt.Errorf("row of %s leans on %s, which has no row", row.from[0], folder)
			}
		}
	}
	return a, nil
}

func parseArrow(line string) (arrow, error) {
	cells := strings.Split(strings.Trim(line, "|"), "|")
	if len(cells) != 3 {
		return arrow{}, fmt.Errorf("%d cells, want 3", len(cells))
	}
	var row arrow
	row.from = quoted(cells[0])
	if len(row.from) == 0 {
		return arrow{}, fmt.Errorf("names no package")
	}
	var err error
	if row.ours, err = parseOurs(strings.TrimSpace(cells[1])); err != nil {
		return arrow{}, err
	}
	row.foreign, err = parseForeign(strings.TrimSpace(cells[2]))
	return row, err
}

func parseOurs(cell string) (ourSide, error) {
	if cell == "—" {
		return ourSide{}, nil
	}
	if rest, ok := strings.CutPrefix(cell, "everything but "); ok {
		return ourSide{everythingBut: true, patterns: quoted(rest)}, nil
	}
	var side ourSide
	for _, part := range strings.Split(cell, ", ") {
		name, leans := strings.CutSuffix(part, " and its imports")
		folder, ok := code(name)
		if !ok {
			return ourSide{}, fmt.Errorf("cannot read %q", part)
		}
		side.patterns = append(side.patterns, folder)
		if leans {
			side.importsOf = append(side.importsOf, folder)
		}
	}
	return side, nil
}

func parseForeign(cell string) (foreignSide, error) {
	var side foreignSide
	for _, part := range strings.FieldsFunc(cell, func(c rune) bool { return c == ',' || c == ';' }) {
		part = strings.TrimSpace(part)
		name, isCode := code(part)
		without, isWithout := strings.CutPrefix(part, "std without ")
		switch {
		case part == "any":
			side.any = true
		case part == "std":
			side.std = true
		case part == "pure std":
			side.pureStd = true
		case isWithout && len(quoted(without)) > 0:
			side.std = true
			side.without = quoted(without)
		case isCode:
			side.libraries = append(side.libraries, name)
		default:
			return foreignSide{}, fmt.Errorf("cannot read %q", part)
		}
	}
	return side, nil
}

// Check compares the direct imports of every package of the tree with the table.
func (a *Arrows) Check(t *Tree) []Finding {
	var found []Finding
	for _, p := range t.Packages {
		row := a.row(p.Folder)
		if row == nil {
			found = append(found, Finding{
				Where: t.Positions.Position(p.Files[0].Package),
				What:  fmt.Sprintf("package %s has no row in the table of arrows", p.Folder),
			})
			continue
		}
		for _, file := range p.Files {
			for _, spec := range file.Imports {
				if path := importPath(spec); !a.allows(row, path) {
					found = append(found, Finding{
						Where: t.Positions.Position(spec.Pos()),
						What:  fmt.Sprintf("%s may not import %s", p.Folder, path),
					})
				}
			}
		}
	}
	return found
}

// row is the row of a folder: one that names it exactly, else the first whose pattern covers it.
func (a *Arrows) row(folder string) *arrow {
	for i := range a.rows {
		if slices.Contains(a.rows[i].from, folder) {
			return &a.rows[i]
		}
	}
	for i := range a.rows {
		if slices.ContainsFunc(a.rows[i].from, func(pattern string) bool { return covers(pattern, folder) }) {
			return &a.rows[i]
		}
	}
	return nil
}

func (a *Arrows) allows(row *arrow, path string) bool {
	if folder, ok := ours(path); ok {
		return a.allowsOurs(row, folder, nil)
	}
	side := row.foreign
	if side.any || slices.Contains(side.libraries, path) {
		return true
	}
	if !standard(path) {
		return slices.ContainsFunc(side.libraries, func(library string) bool { return under(path, library) })
	}
	if side.pureStd && slices.Contains(a.pureStd, path) {
		return true
	}
	return side.std && !slices.ContainsFunc(side.without, func(root string) bool { return under(path, root) })
}

// allowsOurs follows "and its imports"; seen ends a table that leans in a circle.
func (a *Arrows) allowsOurs(row *arrow, folder string, seen []*arrow) bool {
	side := row.ours
	named := slices.ContainsFunc(side.patterns, func(pattern string) bool { return covers(pattern, folder) })
	if side.everythingBut {
		return !named
	}
	if named {
		return true
	}
	if slices.Contains(seen, row) {
		return false
	}
	return slices.ContainsFunc(side.importsOf, func(other string) bool {
		return a.allowsOurs(a.row(other), folder, append(seen, row))
	})
}

// covers says whether a pattern of the table takes in a folder.
func covers(pattern, folder string) bool {
	if root, ok := strings.CutSuffix(pattern, "/…"); ok {
		return under(folder, root)
	}
	return pattern == folder
}

// code is the inside of text that is one piece of `code` and nothing else.
func code(text string) (string, bool) {
	inside := quoted(text)
	if len(inside) != 1 || text != "`"+inside[0]+"`" {
		return "", false
	}
	return inside[0], true
}

// quoted lists the pieces of `code` in text.
func quoted(text string) []string {
	var pieces []string
	for i, piece := range strings.Split(text, "`") {
		if i%2 == 1 {
			pieces = append(pieces, piece)
		}
	}
	return pieces
}
