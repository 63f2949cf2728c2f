package house

import (
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// isPure says which packages decide, and so must give the same effects for the same events.
func isPure(folder string) bool { return under(folder, "bft") || folder == "node/host" }

// Red: range over a map in bft/message, or keep a counter in a package variable of bft/epoch.
func TestPurePackagesArePure(t *testing.T) {
	tree := parsedTree(t)
	var pure []string
	for _, p := range tree.Packages {
		if isPure(p.Folder) {
			pure = append(pure, p.Folder)
		}
	}
	if !slices.Contains(pure, "bft/epoch") {
		t.Fatal("the walk did not come upon bft/epoch: it looks at the wrong place")
	}

	found, err := Impurities(tree, pure...)

	if err != nil {
		t.Fatal(err)
	}
	for _, finding := range found {
		t.Error(finding)
	}
}

// A world runs in one goroutine, or a seed would not repeat it.
func TestTheSimulatorStartsNoGoroutine(t *testing.T) {
	for _, finding := range GoStatements(parsedTree(t), "testnet/sim") {
		t.Error(finding)
	}

	guilty := treeOf(t, fstest.MapFS{"testnet/sim/file.go": source("package sim\nfunc f() { go f() }\n")})
	if found := GoStatements(guilty, "testnet/sim"); len(found) != 1 {
		t.Errorf("found %v in a package that starts one goroutine", found)
	}
}

// Each of these must be found on the line that is marked, and nowhere else.
func TestImpurityIsFound(t *testing.T) {
	runPurityCases(t, []purityCase{
		{"go statement", `func f() {
			go f() // want starts a goroutine
		}`},
		{"channel type", `type box struct {
			c chan int // want names a channel type
		}`},
		{"channel operations", `func f(c interface{ C() <-chan int }) { // want names a channel type
			<-c.C() // want receives from a channel
			for range c.C() { // want receives from a channel
			}
			select { // want selects among channels
			}
		}`},
		{"send", `type t = chan int // want names a channel type
		func f(c t) {
			c <- 1 // want sends on a channel
		}`},
		{"float type", `func f(
			x float64, // want computes with floats
		) {}`},
		{"float literal", `const half = 0.5 // want writes a float, computes with floats`},
		{"float behind a name", `import "math"
		func f() int { return int(math.Sqrt(4)) } // want computes with floats`},
		{"float of an own type", `type share complex64 // want computes with floats`},
		{"range over a map", `func f(m map[int]int) {
			for range m { // want ranges over a map
			}
		}`},
		{"range over a named map", `type set map[int]bool
		func f(s set) {
			for k := range s { // want ranges over a map
				_ = k
			}
		}`},
		{"range over a generic map", `func f[M ~map[int]int](m M) {
			for range m { // want ranges over a map
			}
		}`},
		{"unsorted keys", `import "maps"
		func f(m map[int]int) {
			for range maps.Keys(m) { // want maps.Keys outside slices.Sorted
			}
		}`},
		{"collected keys", `import ("maps"; "slices")
		func f(m map[int]int) []int {
			return slices.Collect(maps.Values(m)) // want maps.Values outside slices.Sorted
		}`},
		{"values sorted by a comparison that may tie", `import ("maps"; "slices")
		func f(m map[int]int, c func(a, b int) int) []int {
			return slices.SortedFunc(maps.Values(m), c) // want maps.Values outside slices.Sorted
		}`},
		{"renamed import", `import other "maps"
		func f(m map[int]int) { each := other.All[map[int]int]; _ = each(m) } // want maps.All outside slices.Sorted`},
		{"map handed to a function in its order", `import "maps"
		func f(m map[int]int, due func(int, int) bool) {
			maps.DeleteFunc(m, due) // want in the order of a map
		}`},
		{"counter", `var count int // want neither an error nor a table`},
		{"pointer", `var shared = &struct{ n int }{} // want neither an error nor a table`},
		{"function variable", `var now = func() int { return 0 } // want neither an error nor a table`},
		{"table of slices", `var table = [][]byte{{1}} // want neither an error nor a table`},
		{"computed table", `func compute() [2]int { return [2]int{} }
		var table = compute() // want is not a literal table`},
		{"exported table", `var Table = [...]int{1} // want could write it`},
		{"element written", `var table = [...]int{1, 2}
		func f() {
			table[0] = 3 // want is written
		}`},
		{"element counted up", `var table = map[string]int{}
		func f() {
			table["a"]++ // want is written
		}`},
		{"field written", `var table = [...]struct{ n int }{{1}}
		func f() {
			table[0].n = 3 // want is written
		}`},
		{"table replaced", `var table = []int{1}
		func f() {
			table = nil // want is written
		}`},
		{"written by range", `var table = []int{1}
		func f() {
			for table[0] = range 3 { // want is written
			}
		}`},
		{"address taken", `var table = [...]int{1}
		func f() *int {
			return &table[0] // want is written
		}`},
		{"sliced", `var table = [...]int{1}
		func f() []int {
			return table[:] // want is written
		}`},
		{"alias made", `var table = []int{1}
		func f() {
			other := table // want is written
			other[0] = 2
		}`},
		{"handed on", `var table = []int{1}
		func f() {
			copy(table, table[:0]) // want is written
		}`},
		{"method through a pointer", `type counter struct{ n int }
		func (c *counter) up() { c.n++ }
		var table = [...]counter{{1}}
		func f() {
			table[0].up() // want is written
		}`},
		{"error replaced", `import "errors"
		var errBad = errors.New("bad")
		func f() {
			errBad = nil // want is written
		}`},
		{"what has no type", `import _ "github.com/somebody/else"
		func f() {
			for range else_.Things() { // want cannot be judged: undefined, has no type here
			}
		}`},
	})
}

func TestPurityLeavesInnocenceAlone(t *testing.T) {
	runPurityCases(t, []purityCase{
		{"errors, tables, constants", `import ("errors"; "fmt"; "slices")
		var errBad, errWorse = errors.New("bad"), fmt.Errorf("worse")
		var names = [...]string{"a", "b"}
		var weights = map[string]int{"a": 1}
		var list = []int{1, 2}
		var rows = [...]struct{ name string; rule func(int) error }{{"a", nil}}
		var zero [32]byte
		var _ fmt.Stringer = kind(0)
		type kind int
		func (k kind) String() string { return names[k][:1] }
		func f(err error) (int, [32]byte, error) {
			for i, n := range list {
				if len(names) > i && n > weights["a"] && slices.Contains(list, n) && errors.Is(err, errBad) {
					local := names
					local[0] = "mine"
					row := rows[0]
					row.name = local[0]
					return list[0], zero, row.rule(i)
				}
			}
			return 0, zero, errWorse
		}`},
		{"maps read in a visible order", `import ("cmp"; "maps"; "slices")
		func f(m map[int]int) (total int) {
			for _, k := range slices.Sorted(maps.Keys(m)) {
				total += m[k]
			}
			for _, k := range slices.SortedFunc(maps.Keys(m), cmp.Compare[int]) {
				delete(m, k)
			}
			for _, v := range slices.Sorted(maps.Values(m)) {
				total += v
			}
			return total + len(maps.Clone(m))
		}`},
		{"whole numbers", `import "math"
		const limit = math.MaxInt64
		func f(n int) int { return min(n, 3) / 2 }`},
	})
}

type purityCase struct{ name, body string }

// runPurityCases judges each body as a package; a line ends in "// want a, b" if it must be found, for a and for b.
func runPurityCases(t *testing.T, cases []purityCase) {
	t.Helper()
	files := fstest.MapFS{}
	var all []string
	for _, c := range cases {
		files[fileOf(c)] = source("package p; " + c.body + "\n")
		all = append(all, path.Dir(fileOf(c)))
	}
	everything, err := Impurities(treeOf(t, files), all...)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var found []Finding
			for _, f := range everything {
				if f.Where.Filename == fileOf(c) {
					found = append(found, f)
				}
			}
			for i, line := range strings.Split(c.body, "\n") {
				_, wants, _ := strings.Cut(line, "// want ")
				for _, want := range strings.Split(wants, ", ") {
					if want == "" {
						continue
					}
					at := slices.IndexFunc(found, func(f Finding) bool {
						return f.Where.Line == i+1 && strings.Contains(f.What, want)
					})
					if at < 0 {
						t.Errorf("line %d: not found: %s", i+1, want)
						continue
					}
					found = slices.Delete(found, at, at+1)
				}
			}
			for _, finding := range found {
				t.Errorf("found without cause: %s", finding)
			}
		})
	}
}

func fileOf(c purityCase) string { return "bft/" + strings.ReplaceAll(c.name, " ", "_") + "/file.go" }
