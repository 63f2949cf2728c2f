package store

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"testing"
)

// Breaks when: any two of frame, framedFrom, framedLen and unframe count differently.
func TestFramesComeApartAsTheyWerePutTogether(t *testing.T) {
	for start := groupHeadSize; start < groupHeadSize+2*sector; start++ {
		for _, n := range []int{0, 1, 2, 399, 400, 401, 510, 511, 512, 911, 912, 1500} {
			// Given a group whose body begins with something else.
			buf := frame(make([]byte, groupHeadSize), bytes.Repeat([]byte("x"), start-groupHeadSize))
			body := bytes.Repeat([]byte("0123456789"), 150)[:n]
			from := framedFrom(int64(len(buf)))

			framed := frame(buf, body)

			if n == 0 {
				if len(framed) != len(buf) || framedLen(from, 0) != 0 {
					t.Fatal("nothing takes room")
				}
				continue
			}
			raw := framed[from:]
			if int64(len(raw)) != framedLen(from, int64(n)) {
				t.Fatalf("%d bytes at %d take %d, said to be %d", n, from, len(raw), framedLen(from, int64(n)))
			}
			for at := sector; at < len(framed); at += sector {
				if framed[at] != continuation {
					t.Fatalf("the sector at %d bears no mark", at)
				}
			}
			if got := unframe(bytes.Clone(raw), from); !bytes.Equal(got, body) {
				t.Fatalf("%d bytes at %d come back as %d", n, from, len(got))
			}
		}
	}
}

func TestGroupsTakeWholeSectors(t *testing.T) {
	for _, c := range []struct {
		volume
		want int64
	}{
		{volume{0, 0}, 1024}, {volume{400, 0}, 1024}, {volume{401, 0}, 2048}, {volume{911, 0}, 2048}, {volume{912, 0}, 3072},
		{volume{8, 1}, 1536}, {volume{8, 511}, 1536}, {volume{8, 512}, 2048}, {volume{401, 1022}, 3072}, {volume{401, 1023}, 3584},
	} {
		if got := c.size(); got != c.want {
			t.Fatalf("%+v makes a group of %d, want %d", c.volume, got, c.want)
		}
	}
}

// What is on disks must stay readable: a change of these bytes wants another version number.
func TestTheFormatStays(t *testing.T) {
	m := created(t)
	l := opened(t, m, "log")
	add(t, l, true, rec(1, 0), rec(2, 700))
	must(t, l.Close())
	b := m.Bytes(segmentPath("log", 1))[:6*sector]
	if got, want := fmt.Sprintf("%x", sha256.Sum256(b)), "092a8360869992cd9a66c535e5b0b2fe8a804ede8124f6e1790c382fc06ce01b"; got != want {
		t.Fatalf("%s, was %s", got, want)
	}
}
