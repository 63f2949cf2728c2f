package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/bft/epoch"
)

// A guide's commands are those in its blocks ```sh, a line each; a line that ends with \ goes on. One is to end with 0, or
// with what its comment says first: # exits 4. A block ```sh real hosts is for several machines, and is not run.

// Every command in the guides does what the guide says, on a network that begins with the guide's first one.
// Red: misspell a flag in docs/concepts.md, or rename one in the program.
func TestTheCommandsOfTheGuidesAreTrue(t *testing.T) {
	for _, name := range []string{"concepts.md", "operations.md"} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("../../docs", name))
			if err != nil {
				t.Fatal(err)
			}
			commands := commandsOf(string(text))
			if len(commands) < 10 {
				t.Fatalf("only %d commands were found", len(commands))
			}
			work := t.TempDir()
			t.Cleanup(func() { killAll(filepath.Join(work, "quorate-testnet")) })
			for _, c := range commands {
				got, said := c.run(t, work)
				for deadline := time.Now().Add(20 * time.Second); c.soon && got != c.exits && time.Now().Before(deadline); {
					got, said = c.run(t, work)
				}
				if got != c.exits {
					t.Fatalf("line %d: %s\nexit code %d, want %d:\n%s", c.line, c.text, got, c.exits, said)
				}
			}
		})
	}
}

type guideCommand struct {
	line  int
	text  string
	exits int
	soon  bool
}

func (c *guideCommand) run(t *testing.T, work string) (code int, said []byte) {
	sh := exec.Command("sh", "-c", c.text)
	sh.Dir = work
	sh.Env = append(os.Environ(), "HOME="+work, "QUORATE_BASE_PORT=0")
	said, err := sh.CombinedOutput()
	if sh.ProcessState == nil {
		t.Fatal(err)
	}
	return sh.ProcessState.ExitCode(), said
}

var exitsComment = regexp.MustCompile(`\s# exits ([0-9]+)`)

func commandsOf(guide string) (all []guideCommand) {
	within, begun := false, ""
	for i, line := range strings.Split(guide, "\n") {
		switch {
		case strings.HasPrefix(line, "```"):
			within = line == "```sh"
			continue
		case !within || strings.TrimSpace(line) == "":
			continue
		}
		if rest, goesOn := strings.CutSuffix(begun+line, "\\"); goesOn {
			begun = rest
			continue
		}
		c := guideCommand{line: i + 1, text: begun + line, soon: strings.Contains(line, " # soon")}
		begun = ""
		if m := exitsComment.FindStringSubmatch(c.text); m != nil {
			c.exits, _ = strconv.Atoi(m[1]) // digits
		}
		all = append(all, c)
	}
	return all
}

// Red: change a bound in bft/epoch, or in the table.
func TestTheGuidesTableOfParametersIsTrue(t *testing.T) {
	text, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	p := epoch.DefaultParameters()
	for _, f := range p.Fields() {
		row := regexp.MustCompile(fmt.Sprintf("(?m)^\\| `%s`: [^|]+ \\| %d \\| %d … %d \\|$", f.Name, *f.Value, f.Min, f.Max))
		if !row.Match(text) {
			t.Errorf("no row says that %s is %d, of %d to %d", f.Name, *f.Value, f.Min, f.Max)
		}
	}
}

func TestAGuidesCommandsAreFound(t *testing.T) {
	got := commandsOf("text\n```sh\nquorate a   # b\n\nquorate c \\\n  d    # exits 4: no\n```\nquorate e\n```sh real hosts\nquorate f\n```\n```\nquorate g\n```\n")
	want := []guideCommand{{3, "quorate a   # b", 0, false}, {6, "quorate c   d    # exits 4: no", 4, false}}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %v, want %v", got, want)
	}
}
