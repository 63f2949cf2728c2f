package crypto

import (
	"crypto/sha256"
	"encoding"
	"strings"
	"testing"
)

func TestHashFramesItsDomain(t *testing.T) {
	// Given a domain and parts, then the hashed bytes are the ones of the documentation.
	want := Digest(sha256.Sum256([]byte("\x03abcdefg")))
	if got := Hash("abc", []byte("de"), []byte("fg")); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// And what moves from the domain into the first part makes another digest.
	if Hash("abc", []byte("d")) == Hash("ab", []byte("cd")) {
		t.Error("a domain and a part may be taken for another domain and part")
	}
}

func TestHashRefusesADomainThatDoesNotFitItsFrame(t *testing.T) {
	for _, domain := range []string{"", strings.Repeat("d", 256)} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("a domain of %d bytes was taken", len(domain))
				}
			}()
			Hash(domain)
		}()
	}
}

func TestTextOfTheWrongFormIsRefusedAndChangesNothing(t *testing.T) {
	good := strings.Repeat("0a", 32)
	for name, text := range map[string]string{
		"nothing":    "",
		"short":      good[2:],
		"odd":        good[1:],
		"long":       good + "0a",
		"upper case": strings.ToUpper(good),
		"no digit":   good[:62] + "0g",
	} {
		d := Digest{1, 2, 3}
		if err := d.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%s: taken", name)
		}
		if d != (Digest{1, 2, 3}) {
			t.Errorf("%s: refused, but the digest is now %s", name, d)
		}
	}
}

// FuzzText: whatever is read is written again as it was, and whatever is not is refused without a panic.
func FuzzText(f *testing.F) {
	f.Add([]byte(strings.Repeat("0a", 32)))
	f.Add([]byte(strings.Repeat("ff", 64)))
	f.Add([]byte(strings.Repeat("0A", 32)))
	f.Add([]byte("not hexadecimal"))
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, v := range []interface {
			encoding.TextUnmarshaler
			encoding.TextMarshaler
		}{new(Digest), new(PublicKey), new(Signature)} {
			if v.UnmarshalText(text) != nil {
				continue
			}
			again, err := v.MarshalText()
			if err != nil || string(again) != string(text) {
				t.Errorf("%T: read %q, wrote %q, %v", v, text, again, err)
			}
		}
	})
}
