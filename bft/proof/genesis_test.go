package proof_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// Whatever is in the genesis is in its digest: who differs in anything is on another chain.
//
// case D16; leaving a field out of Digest turns it red. The fields are found by reflection, so a new one is tried too.
func TestGenesisDigestCoversEveryField(t *testing.T) {
	base := genesis(4)
	seen := map[crypto.Digest]string{base.Digest(): "nothing changed"}
	var walk func(name string, v reflect.Value)
	check := func(name string) {
		if other, again := seen[base.Digest()]; again {
			t.Errorf("%s: same digest as %s", name, other)
		}
		seen[base.Digest()] = name
	}
	walk = func(name string, v reflect.Value) {
		switch v.Kind() {
		case reflect.Struct:
			for i := range v.NumField() {
				walk(name+"."+v.Type().Field(i).Name, v.Field(i))
			}
		case reflect.Slice, reflect.Array:
			for i := range min(v.Len(), 2) {
				walk(name+"[]", v.Index(i))
			}
		case reflect.String:
			was := v.String()
			v.SetString(was + "x")
			check(name)
			v.SetString(was)
		case reflect.Bool:
			v.SetBool(!v.Bool())
			check(name)
			v.SetBool(!v.Bool())
		case reflect.Int64:
			v.SetInt(v.Int() + 1)
			check(name)
			v.SetInt(v.Int() - 1)
		case reflect.Uint8, reflect.Uint32:
			v.SetUint(v.Uint() + 1)
			check(name)
			v.SetUint(v.Uint() - 1)
		default:
			t.Fatalf("%s is a %s", name, v.Kind())
		}
	}
	walk("genesis", reflect.ValueOf(base).Elem())
	base.Members = base.Members[:3]
	check("a member less")
	base.Members = append(base.Members, base.Members[0])
	check("another order")
	base.Operators = nil
	check("no operators")
	if len(seen) < 30 {
		t.Errorf("only %d changes tried", len(seen))
	}
}

func TestGenesisThatCannotRunIsRefused(t *testing.T) {
	if err := genesis(4).Validate(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want  string
		spoil func(*proof.Genesis)
	}{
		{"chain: ", func(g *proof.Genesis) { g.Chain = "" }},
		{"chain: ", func(g *proof.Genesis) { g.Chain = strings.Repeat("x", 65) }},
		{"threshold: 2", func(g *proof.Genesis) { g.Threshold = 2 }},
		{"threshold: 0", func(g *proof.Genesis) { g.Threshold = 0 }},
		{"operators: 33", func(g *proof.Genesis) { g.Operators = make([]crypto.PublicKey, 33) }},
		{"operators[2]: ", func(g *proof.Genesis) { g.Operators = append(g.Operators, g.Operators[0]) }},
		{"operators[2]: ", func(g *proof.Genesis) { g.Operators = append(g.Operators, crypto.PublicKey{}) }},
		{"time: ", func(g *proof.Genesis) { g.Time = -1 }},
		{"members[2]: key", func(g *proof.Genesis) { g.Members[1].Key = g.Members[0].Key }},
		{"parameters: ", func(g *proof.Genesis) { g.Parameters.Checkpoint = 0 }},
	} {
		g := genesis(4)
		c.spoil(g)
		if err := g.Validate(); err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("got %v, want %s…", err, c.want)
		}
	}
}

// The file is for people, the digest for members: reading the file gives the same chain.
func TestGenesisFileKeepsTheDigest(t *testing.T) {
	g := genesis(4)
	file, err := json.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	var back proof.Genesis
	if err := json.Unmarshal(file, &back); err != nil || back.Digest() != g.Digest() {
		t.Errorf("read from the file it is %s, not %s: %v", back.Digest(), g.Digest(), err)
	}
}

func TestEpochRoundTrips(t *testing.T) {
	e := genesis(31).Epoch()
	e.Number, e.Base, e.ID = 1<<64-1, 1<<63, crypto.Hash("test/id")
	var w, back message.Writer
	proof.EncodeEpoch(&w, e)
	r := message.NewReader(w.Bytes())
	got := proof.ReadEpoch(r)
	proof.EncodeEpoch(&back, got)
	if err := r.Close(); err != nil || !bytes.Equal(w.Bytes(), back.Bytes()) || !reflect.DeepEqual(got, e) {
		t.Errorf("did not come back as it was: %v", err)
	}
	if g := genesis(4); g.Header().Seq != 0 || g.Header().Epoch != g.Epoch().ID || g.Epoch().ID != g.Epoch().Chain || g.Epoch().Mode != epoch.Byzantine {
		t.Error("the first epoch is not the genesis's")
	}
}
