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
			got, ok := unframe(bytes.Clone(raw), from)
			if !ok || !bytes.Equal(got, body) {
				t.Fatalf("%d bytes at %d come back as %d, %v", n, from, len(got), ok)
			}
		}
	}
}

func TestGroupsTakeWholeSectors(t *testing.T) {
	for _, c := range []struct{ body, want int64 }{{0, 512}, {1, 512}, {400, 512}, {401, 1024}, {911, 1024}, {912, 1536}} {
		if got := groupSize(c.body); got != c.want {
			t.Fatalf("a body of %d bytes makes a group of %d, want %d", c.body, got, c.want)
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
	if got, want := fmt.Sprintf("%x", sha256.Sum256(b)), "dad73480ec21972f9c3b40ce683647d43e08330dc39e34e811119e7082a0a3ea"; got != want {
		t.Fatalf("%s, was %s", got, want)
	}
}
