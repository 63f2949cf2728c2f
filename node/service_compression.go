package node

import (
	"compress/gzip"
	"errors"
	"io"

	"connectrpc.com/connect"
)

var errBomb = errors.New("call is larger than any can be, once it is decompressed")

// boundedGzip decompresses no more of a call than the largest there can be. Connect by itself stops handing out what is beyond
// its bound, but goes on decompressing to tell how large the whole was: a thousand times what the caller has sent.
type boundedGzip struct {
	gzip.Reader
	left int64
}

// Read ends with an error where a call would be too large; that much and a byte is let through, so that Connect says so.
func (g *boundedGzip) Read(p []byte) (int, error) {
	if g.left <= 0 {
		return 0, errBomb
	}
	n, err := g.Reader.Read(p[:min(int64(len(p)), g.left)])
	g.left -= int64(n)
	return n, err
}

// Reset begins with another call.
func (g *boundedGzip) Reset(r io.Reader) error {
	g.left = maxBodyBytes + 1
	return g.Reader.Reset(r)
}

// withBoundedGzip is the compression that Connect has by itself, but for calls that grow without end.
func withBoundedGzip() connect.HandlerOption {
	return connect.WithCompression("gzip",
		func() connect.Decompressor { return &boundedGzip{} },
		func() connect.Compressor { return gzip.NewWriter(io.Discard) })
}
