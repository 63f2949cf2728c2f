package local

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
)

func TestACreatedNetworkIsTheDocumentedOne(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "net")
	p := DefaultPlan()
	if err := p.Parameters.Set("checkpoint=32"); err != nil {
		t.Fatal(err)
	}
	made := &testTools{}

	n, err := Create(dir, made.tools(), p)
	if err != nil {
		t.Fatal(err)
	}

	var files []string
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && !strings.Contains(path, "node2") && !strings.Contains(path, "node3") && !strings.Contains(path, "node4") {
			files = append(files, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	want := []string{"genesis.json", "keys/alice.json", "keys/operator.json", "node1/config/config.toml",
		"node1/config/member.json", "node1/config/member_key.json", "node1/config/node_key.json", "node1/data/log", "testnet.toml"}
	if !slices.Equal(files, want) {
		t.Errorf("files %q", files)
	}
	g := n.Genesis
	if g.Mode != epoch.Byzantine || !g.Test || g.Parameters.Checkpoint != 32 || len(g.Operators) != 1 || n.N() != 4 {
		t.Errorf("genesis %+v", g)
	}
	for i, m := range g.Members {
		if alone, err := ReadMember(n.Home(i + 1).MemberFile()); err != nil || alone != m {
			t.Errorf("member.json says %v, %v; the genesis %v", alone, err, m)
		}
	}
	if m := g.Members[2]; m.Name != "node3" || m.Address != "127.0.0.1:27003" || m.API != "127.0.0.1:28003" || n.URL(3) != "http://127.0.0.1:28003" {
		t.Errorf("member 3: %+v", m)
	}
	s, err := n.Home(1).Settings()
	if err != nil {
		t.Fatal(err)
	}
	if same, err := ReadGenesis(s.Genesis); err != nil || same.Digest() != g.Digest() {
		t.Errorf("the node's config leads to %v, %v", same, err)
	}
	if left, _ := os.ReadDir(filepath.Dir(dir)); len(left) != 1 {
		t.Errorf("beside it: %v", left)
	}
}

// case F19: a key without its log is a member that has forgotten. Red if Create writes the keys first.
func TestAHomeGetsItsLogBeforeItsKeys(t *testing.T) {
	made := &testTools{}
	m, err := Home(t.TempDir()).Create(made.tools(), DefaultSettings(), "a", "h:1", "h:2")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(made.made, []string{"log", "node_key.json", "member_key.json"}) {
		t.Errorf("made in the order %q", made.made)
	}
	if (m.Incarnation == epoch.Incarnation{}) {
		t.Error("no incarnation was drawn")
	}
}

func TestAHomeIsNotMadeTwice(t *testing.T) {
	h := Home(t.TempDir())
	if _, err := h.Create(new(testTools).tools(), DefaultSettings(), "a", "h:1", "h:2"); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(h.MemberKey())
	_, err := h.Create(new(testTools).tools(), DefaultSettings(), "a", "h:1", "h:2")
	if after, _ := os.ReadFile(h.MemberKey()); err == nil || string(before) != string(after) {
		t.Errorf("error %v; key %s, then %s", err, before, after)
	}
}

func TestANetworkIsNotCreatedOverAnything(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "thesis.tex"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(dir, new(testTools).tools(), DefaultPlan()); !errors.Is(err, ErrExists) {
		t.Errorf("created in a foreign folder: %v", err)
	}
	if _, err := Open(dir); !errors.Is(err, ErrNoNetwork) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opened a foreign folder: %v", err)
	}
	for _, none := range []string{t.TempDir(), filepath.Join(dir, "none")} {
		if _, err := Open(none); !errors.Is(err, ErrNoNetwork) || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("opened nothing at %s: %v", none, err)
		}
	}
}

func TestAFailedCreationLeavesNothing(t *testing.T) {
	parent := t.TempDir()
	tools := new(testTools).tools()
	tools.PeerID = func([32]byte) string { return "the same for all" }
	if _, err := Create(filepath.Join(parent, "net"), tools, DefaultPlan()); err == nil {
		t.Fatal("a genesis that does not validate was written")
	}
	if left, _ := os.ReadDir(parent); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestPlansThatCannotBeBuiltAreRefusedByName(t *testing.T) {
	for want, change := range map[string]func(*Plan){
		"nodes: 0":             func(p *Plan) { p.Nodes = 0 },
		"nodes: 32":            func(p *Plan) { p.Nodes = 32 },
		"nodes: 3, but byz":    func(p *Plan) { p.Nodes = 3 },
		"hosts: 1 addresses":   func(p *Plan) { p.Hosts = []string{"127.0.0.1"} },
		`hosts: "a" is not an`: func(p *Plan) { p.Hosts = []string{"a", "b", "c", "d"} },
		"base port: 64532":     func(p *Plan) { p.BasePort = 64532 },
		"base port: -1":        func(p *Plan) { p.BasePort = -1 },
		"parameters: window":   func(p *Plan) { p.Parameters.Window = 8 },
	} {
		p := DefaultPlan()
		change(&p)
		if err := p.Validate(); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v; want %q", err, want)
		}
	}
}

func TestAnExistingNetworkIsOnlyTakenForWhatItIs(t *testing.T) {
	n := newNetwork(t)
	p := DefaultPlan()
	if err := n.Fits(&p, nil); err != nil {
		t.Errorf("nothing was asked for: %v", err)
	}
	p.Nodes = 7
	p.BasePort = 1
	if err := n.Fits(&p, []string{"mode"}); err != nil {
		t.Errorf("its own mode: %v", err)
	}
	for _, flag := range []string{"nodes", "base-port"} {
		if err := n.Fits(&p, []string{flag}); err == nil || !strings.Contains(err.Error(), "--"+flag) {
			t.Errorf("%s: %v", flag, err)
		}
	}
}

// Every file that people write is refused with file, line and reason.
func TestDamagedFilesAreRefusedByFilePlaceAndReason(t *testing.T) {
	for _, c := range []struct{ file, from, to, want string }{
		{"genesis.json", `"chain"`, `"chains"`, `genesis.json:2:`},
		{"genesis.json", `"chain"`, `"chains"`, `unknown field "chains"`},
		{"genesis.json", `true`, `maybe`, `genesis.json:3:`},
		{"genesis.json", `"threshold": 1`, `"threshold": "1"`, `threshold`},
		{"genesis.json", `"byzantine"`, `"honest"`, `genesis.json:4:11: mode "honest": want byzantine or crash`},
		{"genesis.json", `"window": 256`, `"window": 7`, `genesis.json: parameters: window: 7, want 8 to 4096`},
		{"genesis.json", `"name": "node2"`, `"name": "node1"`, `members[2]: name "node1" is that of members[1]`},
		{"genesis.json", "\n}\n", "\n}\n{}", "more data after the end"},
		{"genesis.json", "\n}\n", "\n", "ends too early"},
		{"testnet.toml", "nodes = 4", "nodes = 5", "testnet.toml: nodes: 5, but "},
		{"testnet.toml", "nodes = 4", "nodes = 4\nspeed = 3", "unknown key speed: there are"},
		{"testnet.toml", "version = 1", "version = 2", "version 2, this program knows 1"},
		{"testnet.toml", "base_port = ", "base_port = 1", "testnet.toml: base_port: 1"},
		{"testnet.toml", "nodes = 4", "nodes = 4\nhosts = ['127.0.0.1']", "testnet.toml: hosts: 1 addresses for 4 nodes"},
		{"testnet.toml", "nodes = 4", "nodes = four", "testnet.toml:4:"},
		{"node1/config/config.toml", "log_level", "log_levels", "unknown key log_levels: did you mean log_level?"},
		{"node1/config/config.toml", "'info'", "7", "config.toml:"},
	} {
		n := newNetwork(t)
		path := filepath.Join(n.Dir, c.file)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.Replace(string(text), c.from, c.to, 1)
		if changed == string(text) {
			t.Fatalf("%s has no %q:\n%s", c.file, c.from, text)
		}
		if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err = Open(n.Dir); err == nil {
			_, err = n.Home(1).Settings()
		}
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s with %q: %v; want %q", c.file, c.to, err, c.want)
		}
	}
}
