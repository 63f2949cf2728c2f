package scenario

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.starlark.net/starlark"
)

// The guide has every function as it is called now, in the order of the table, and none that there is not.
func TestTheGuideIsOfTheseFunctions(t *testing.T) {
	text, err := os.ReadFile("../../docs/fault-scripts.md")
	if err != nil {
		t.Fatal(err)
	}
	guide := string(text)
	at := 0
	for _, signature := range Signatures() {
		entry := "\n- `" + signature + "`: "
		switch i := strings.Index(guide, entry); {
		case i < 0:
			t.Errorf("the guide has no entry that begins %q", strings.TrimSpace(entry))
		case i < at:
			t.Errorf("%s is out of order", signature)
		default:
			at = i
		}
	}
	for _, code := range regexp.MustCompile("(?s)```python\n.*?```|`[^`\n]+`").FindAllString(guide, -1) {
		for _, call := range regexp.MustCompile(`([a-z_]+)\(`).FindAllStringSubmatch(code, -1) {
			if functionOf(call[1]) == nil && starlark.Universe[call[1]] == nil {
				t.Errorf("there is no %s: %s", call[1], code)
			}
		}
	}
	for _, act := range Acts {
		if !strings.Contains(guide, "\n| `"+act+"` |") {
			t.Errorf("the guide does not say what it is to %s", act)
		}
	}
	for _, name := range MetricNames {
		if !strings.Contains(guide, "`"+name+"`") {
			t.Errorf("the guide does not name the metric %s", name)
		}
	}
	if entries := regexp.MustCompile("\n- `([a-z_]+)\\(").FindAllStringSubmatch(guide, -1); len(entries) != len(functions) {
		var more []string
		for _, e := range entries {
			if !slices.ContainsFunc(functions, func(f function) bool { return f.name == e[1] }) {
				more = append(more, e[1])
			}
		}
		t.Errorf("%d entries for %d functions; too many are %v", len(entries), len(functions), more)
	}
}
