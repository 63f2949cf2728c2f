package node

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"testing"
)

// A call of a few kilobytes that would be gigabytes is decompressed as far as the largest call there can be, and then no
// further, however often the reader is asked.
//
// case E3; counting nothing in Read turns it red.
func TestACompressedBombIsNotDecompressed(t *testing.T) {
	var bomb bytes.Buffer
	w := gzip.NewWriter(&bomb)
	if _, err := w.Write(make([]byte, 16*maxBodyBytes)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var g boundedGzip
	for range 2 { // a reader is used again
		if err := g.Reset(bytes.NewReader(bomb.Bytes())); err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, &g)
		if n != maxBodyBytes+1 || !errors.Is(err, errBomb) {
			t.Errorf("%d bytes were decompressed, %v; want %d and an error", n, err, maxBodyBytes+1)
		}
		if n, err := io.Copy(io.Discard, &g); n != 0 || !errors.Is(err, errBomb) {
			t.Errorf("%d bytes more, %v", n, err)
		}
	}
}
