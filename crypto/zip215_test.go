package crypto

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"filippo.io/edwards25519"
	"github.com/hdevalence/ed25519consensus"
	voi "github.com/oasisprotocol/curve25519-voi/primitives/ed25519"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "rewrite testdata")

const goldenClaims = "testdata/zip215.txt"

func TestSmallOrderEncodingsAreTheFourteenOfTheGrid(t *testing.T) {
	all := smallOrderEncodings()
	different, notCanonical := make(map[[32]byte]bool), 0
	for _, e := range all {
		different[e] = true
		p, err := new(edwards25519.Point).SetBytes(e[:])
		if err != nil {
			t.Fatalf("%x is no point: %v", e, err)
		}
		if new(edwards25519.Point).MultByCofactor(p).Equal(edwards25519.NewIdentityPoint()) != 1 {
			t.Errorf("%x is not of small order", e)
		}
		if [32]byte(p.Bytes()) != e {
			notCanonical++
		}
	}
	if len(all) != 14 || len(different) != 14 || notCanonical != 6 {
		t.Errorf("%d encodings, %d different, %d not canonical; want 14, 14, 6", len(all), len(different), notCanonical)
	}
}

// case D3, case D4, case D5
//
// Red with any other options of the library, with options on one path only, or when a library's release changes a
// verdict. The file is the contract: it is rewritten by -update from the arithmetic of the cases, and then to be read.
func TestVerdictsAreThoseOfTheGoldenTable(t *testing.T) {
	cases := append(gridCases(), craftedCases()...)
	var table strings.Builder
	table.WriteString("# Claims that ed25519 implementations disagree about, and the verdict of ZIP 215.\n")
	table.WriteString("# holds / fails, public key, message, signature (R and S), what it is\n")
	for _, c := range cases {
		fmt.Fprintf(&table, "%s %s %s %s %s\n", verdictWord(c.holds), c.claim.Key, messageWord(c.claim.Message), c.claim.Signature, c.name)
	}
	if *update {
		if err := os.WriteFile(goldenClaims, []byte(table.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(goldenClaims)
	if err != nil {
		t.Fatal(err)
	}
	if string(golden) != table.String() {
		t.Fatalf("%s is not what the cases give; go test ./crypto -update rewrites it", goldenClaims)
	}

	rows := readGolden(t, string(golden))
	if len(rows) < 196+64 {
		t.Fatalf("%s has only %d rows", goldenClaims, len(rows))
	}
	scheme := Ed25519()
	claims := make([]Claim, len(rows))
	for i, row := range rows {
		claims[i] = row.claim
		for path, verdict := range verdictsOnEveryPath(scheme, row.claim) {
			if verdict != row.holds {
				t.Errorf("%s: %s %s, want %s", row.name, path, verdictWord(verdict), verdictWord(row.holds))
			}
		}
	}
	// All of them in one batch, which is too large for expanded keys.
	for i, verdict := range scheme.VerifyBatch(claims) {
		if verdict != rows[i].holds {
			t.Errorf("%s: in one batch with all others %s", rows[i].name, verdictWord(verdict))
		}
	}
}

// The table must be able to turn the test above red: other rules give other verdicts on it.
func TestTheGoldenTableTellsOtherRulesFromOurs(t *testing.T) {
	for name, rules := range map[string]*voi.VerifyOptions{
		"the library's default":  voi.VerifyOptionsDefault,
		"FIPS 186-5":             voi.VerifyOptionsFIPS_186_5,
		"Go's standard library":  voi.VerifyOptionsStdLib,
		"no non-canonical A":     {AllowSmallOrderA: true, AllowSmallOrderR: true, AllowNonCanonicalR: true},
		"no non-canonical R":     {AllowSmallOrderA: true, AllowSmallOrderR: true, AllowNonCanonicalA: true},
		"no small A":             {AllowSmallOrderR: true, AllowNonCanonicalA: true, AllowNonCanonicalR: true},
		"no small R":             {AllowSmallOrderA: true, AllowNonCanonicalA: true, AllowNonCanonicalR: true},
		"without the cofactor":   {AllowSmallOrderA: true, AllowSmallOrderR: true, AllowNonCanonicalA: true, CofactorlessVerify: true},
		"(ours, for comparison)": voi.VerifyOptionsZIP_215,
	} {
		scheme := &ed25519Scheme{options: &voi.Options{Verify: rules}}
		different := 0
		for _, c := range append(gridCases(), craftedCases()...) {
			if scheme.Verify(c.claim) != c.holds {
				different++
			}
		}
		if ours := rules == voi.VerifyOptionsZIP_215; ours != (different == 0) {
			t.Errorf("%s: %d verdicts are different", name, different)
		}
	}
}

// FuzzSchemesAgree: on no claim do our paths, or another library with the same rules, differ.
func FuzzSchemesAgree(f *testing.F) {
	for i, c := range append(gridCases(), craftedCases()...) {
		if i%7 == 0 {
			f.Add(c.claim.Key[:], c.claim.Message, c.claim.Signature[:])
		}
	}
	scheme := Ed25519()
	f.Fuzz(func(t *testing.T, key, message, sig []byte) {
		var c Claim
		copy(c.Key[:], key)
		copy(c.Signature[:], sig)
		c.Message = message
		verdicts := verdictsOnEveryPath(scheme, c)
		for path, verdict := range verdicts {
			if verdict != verdicts["alone"] {
				t.Errorf("%s: %s, alone: %s", path, verdictWord(verdict), verdictWord(verdicts["alone"]))
			}
		}
	})
}

// Random keys and signatures with torsion, in random encodings, some of them spoilt: what no one thought of for the table.
func TestVerdictsAgreeWithASecondLibrary(t *testing.T) {
	scheme := Ed25519()
	torsion, small := torsionPoints(), smallOrderEncodings()
	rapid.Check(t, func(t *rapid.T) {
		scalarAndPoint := func(name string) (*edwards25519.Scalar, [32]byte) {
			if rapid.Bool().Draw(t, name+" is small") {
				return edwards25519.NewScalar(), rapid.SampledFrom(small).Draw(t, name)
			}
			s := hashToScalar(rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, name))
			p := new(edwards25519.Point).ScalarBaseMult(s)
			return s, [32]byte(p.Add(p, rapid.SampledFrom(torsion).Draw(t, name+" torsion")).Bytes())
		}
		a, key := scalarAndPoint("A")
		r, nonce := scalarAndPoint("R")
		c := signAs(key, nonce, a, r, rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "message"))
		holds := true
		switch rapid.IntRange(0, 3).Draw(t, "spoil") {
		case 0:
			c.Signature = plusOrder(c.Signature)
			holds = false
		case 1:
			bit := rapid.IntRange(0, 255).Draw(t, "bit of S")
			c.Signature[32+bit/8] ^= 1 << (bit % 8)
			holds = false
		}
		for path, verdict := range verdictsOnEveryPath(scheme, c) {
			if verdict != holds {
				t.Errorf("%s: %s", path, verdictWord(verdict))
			}
		}
	})
}

// verdictsOnEveryPath judges one claim in all the ways that there are, and with another library.
func verdictsOnEveryPath(scheme Scheme, c Claim) map[string]bool {
	key := testKey(0)
	good := Claim{key.Public(), []byte("good"), scheme.Sign(key, []byte("good"))}
	among := func(n, at int) []Claim {
		claims := make([]Claim, n)
		for i := range claims {
			claims[i] = good
		}
		claims[at] = c
		return claims
	}
	other := ed25519consensus.NewBatchVerifier()
	other.Add(c.Key[:], c.Message, c.Signature[:])
	other.Add(good.Key[:], good.Message, good.Signature[:])
	return map[string]bool{
		"alone":                         scheme.Verify(c),
		"alone, key not seen before":    Ed25519().Verify(c),
		"in a batch of one":             scheme.VerifyBatch([]Claim{c})[0],
		"in the smallest batch":         scheme.VerifyBatch(among(minBatch, 1))[1],
		"another library, alone":        ed25519consensus.Verify(c.Key[:], c.Message, c.Signature[:]),
		"another library, in its batch": other.Verify(),
	}
}

func verdictWord(holds bool) string {
	if holds {
		return "holds"
	}
	return "fails"
}

func messageWord(message []byte) string {
	if len(message) == 0 {
		return "-"
	}
	return hex.EncodeToString(message)
}

func readGolden(t *testing.T, text string) []judged {
	var rows []judged
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		part := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 5)
		row := judged{name: part[4], holds: part[0] == "holds"}
		var err error
		if part[2] != "-" {
			row.claim.Message, err = hex.DecodeString(part[2])
		}
		if err != nil || row.claim.Key.UnmarshalText([]byte(part[1])) != nil || row.claim.Signature.UnmarshalText([]byte(part[3])) != nil {
			t.Fatalf("%s: cannot read %q", goldenClaims, line)
		}
		rows = append(rows, row)
	}
	return rows
}
