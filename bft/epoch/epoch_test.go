package epoch

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/quorate/quorate/crypto"
)

func valid(n int) *Epoch {
	e := &Epoch{Configuration: Configuration{Mode: Byzantine, Parameters: DefaultParameters()}}
	for i := 1; i <= n; i++ {
		e.Members = append(e.Members, Member{
			Name: fmt.Sprintf("node%d", i), Key: crypto.PublicKey{byte(i)}, PeerID: fmt.Sprintf("peer%d", i),
			Address: fmt.Sprintf("127.0.0.1:%d", 27000+i), API: fmt.Sprintf("127.0.0.1:%d", 28000+i),
			Incarnation: Incarnation{byte(i)},
		})
	}
	return e
}

// An epoch that could not run is refused by the name of what is wrong.
//
// case D10; dropping a comparison in Validate turns its row red.
func TestValidateNamesWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		want  string
		spoil func(*Epoch)
	}{
		{"mode: ", func(e *Epoch) { e.Mode = 0 }},
		{"mode: ", func(e *Epoch) { e.Mode = 3 }},
		{"members: none", func(e *Epoch) { e.Members = nil }},
		{"members: 32, at most 31", func(e *Epoch) { e.Members = valid(32).Members }},
		{"members: 3: ", func(e *Epoch) { e.Members = e.Members[:3] }},
		{`members[3]: name "node1" is that of members[1]`, func(e *Epoch) { e.Members[2].Name = "node1" }},
		{"members[4]: key is that of members[2]", func(e *Epoch) { e.Members[3].Key = e.Members[1].Key }},
		{"members[2]: peer_id is that of members[1]", func(e *Epoch) { e.Members[1].PeerID = "peer1" }},
		{"members[2]: address is that of members[1]", func(e *Epoch) { e.Members[1].Address = e.Members[0].Address }},
		{"members[1]: name: ", func(e *Epoch) { e.Members[0].Name = "" }},
		{"members[1]: name: ", func(e *Epoch) { e.Members[0].Name = strings.Repeat("x", 129) }},
		{"members[1]: key: ", func(e *Epoch) { e.Members[0].Key = crypto.PublicKey{} }},
		{"members[1]: peer_id: ", func(e *Epoch) { e.Members[0].PeerID = "" }},
		{"members[1]: address: ", func(e *Epoch) { e.Members[0].Address = strings.Repeat("x", 129) }},
		{"members[1]: api: ", func(e *Epoch) { e.Members[0].API = "" }},
		{"members[1]: incarnation: ", func(e *Epoch) { e.Members[0].Incarnation = Incarnation{} }},
		{"parameters: burst: ", func(e *Epoch) { e.Parameters.Burst = e.Parameters.Pipeline - 1 }},
		{"parameters: window: ", func(e *Epoch) { e.Parameters.Window = 2*e.Parameters.Checkpoint + e.Parameters.Burst - 1 }},
		{"parameters: request_bytes: ", func(e *Epoch) { e.Parameters.BatchBytes = e.Parameters.RequestBytes - 1 }},
		{"parameters: request_write_bytes: ", func(e *Epoch) { e.Parameters.WriteSetBytes = e.Parameters.RequestWriteBytes - 1 }},
	} {
		e := valid(4)
		c.spoil(e)
		if err := e.Validate(); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("got %v, want %s…", err, c.want)
		}
	}
	for _, n := range []int{4, 31} {
		if err := valid(n).Validate(); err != nil {
			t.Errorf("%d members: %v", n, err)
		}
	}
	one := valid(1)
	one.Mode = Crash
	if err := one.Validate(); err != nil {
		t.Errorf("one member in crash mode: %v", err)
	}
}

// Each parameter is refused just outside of its bounds, by its name.
//
// case K10; taking a field out of Fields, or a bound off by one, turns it red.
func TestParametersAreHeldToTheirBounds(t *testing.T) {
	fields := func(p *Parameters) []Field { return p.Fields() }
	defaults := DefaultParameters()
	if err := defaults.Validate(); err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for i, f := range fields(&defaults) {
		if seen[f.Name] || f.Min == 0 || f.Min > f.Max {
			t.Errorf("%s: named twice, or no bounds", f.Name)
		}
		seen[f.Name] = true
		for _, v := range []uint32{0, f.Min - 1, f.Max + 1, 1<<32 - 1} {
			p := DefaultParameters()
			*fields(&p)[i].Value = v
			want := fmt.Sprintf("parameters: %s: %d, want %d to %d", f.Name, v, f.Min, f.Max)
			if err := p.Validate(); err == nil || err.Error() != want {
				t.Errorf("got %v, want %s", err, want)
			}
		}
	}
	text, err := json.Marshal(defaults)
	if err != nil {
		t.Fatal(err)
	}
	var named map[string]uint32
	if err := json.Unmarshal(text, &named); err != nil {
		t.Fatal(err)
	}
	for name := range named {
		if !seen[name] {
			t.Errorf("%s is in the file and not in Fields: it would be neither checked nor in the genesis digest", name)
		}
	}
	if len(named) != len(seen) {
		t.Errorf("%d parameters in the file, %d in Fields", len(named), len(seen))
	}
}

// Every member has its turn, at any view.
func TestLeadersTakeTurns(t *testing.T) {
	e := valid(7)
	for v := range View(14) {
		if got, want := e.Leader(v), ReplicaID(v%7)+1; got != want {
			t.Errorf("view %d: leader %d, want %d", v, got, want)
		}
	}
	// case D13: no view yields a leader that is no member.
	if id := e.Leader(1<<64 - 1); !e.Has(id) {
		t.Errorf("the last view is led by %d", id)
	}
	for _, id := range []ReplicaID{0, 8, 1<<32 - 1} {
		if e.Has(id) {
			t.Errorf("%d is taken for a member", id)
		}
	}
	if e.IDOf(e.Member(5).Key) != 5 || e.IDOf(crypto.PublicKey{99}) != 0 {
		t.Error("a member is not found by its key, or a stranger is")
	}
}

func TestParametersAreSetByNameWithinBounds(t *testing.T) {
	p := DefaultParameters()
	for assignment, want := range map[string]string{
		"pipeline":     "want NAME=VALUE",
		"pipelines=2":  `no parameter "pipelines": there are window, checkpoint`,
		"pipeline=0":   `"0", want 1 to 64`,
		"pipeline=65":  "want 1 to 64",
		"pipeline=-1":  "want 1 to 64",
		"pipeline=2 ":  "want 1 to 64",
		"pipeline=1e1": "want 1 to 64",
	} {
		if err := p.Set(assignment); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", assignment, err, want)
		}
	}
	if p != DefaultParameters() {
		t.Errorf("a refused one was set: %+v", p)
	}
}

func TestTextsOfModeAndIncarnationAreReadAsWritten(t *testing.T) {
	for _, m := range []Mode{Byzantine, Crash} {
		var got Mode
		text, _ := m.MarshalText()
		if err := got.UnmarshalText(text); err != nil || got != m {
			t.Errorf("%s: %v, %v", m, got, err)
		}
	}
	var m Mode
	if err := m.UnmarshalText([]byte("mode 3")); err == nil {
		t.Error("mode 3 was read")
	}
	in := Incarnation{0xab, 15: 1}
	var got Incarnation
	text, _ := in.MarshalText()
	if err := got.UnmarshalText(text); err != nil || got != in {
		t.Errorf("%s: %s, %v", in, got, err)
	}
	for _, bad := range []string{"", string(text)[:30], string(text) + "00", strings.ToUpper(string(text)), "zz" + string(text)[2:]} {
		if err := got.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
