package message

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/quorate/quorate/crypto"
)

// Writer builds the canonical encoding: fields in a fixed order, integers big-endian, byte strings and lists behind a
// 32-bit length or count. The zero Writer is ready to use.
type Writer struct{ buf []byte }

// Bytes is what has been written. It aliases the Writer.
func (w *Writer) Bytes() []byte { return w.buf }

// U8 writes one byte.
func (w *Writer) U8(v uint8) { w.buf = append(w.buf, v) }

// Flag writes 0 or 1.
func (w *Writer) Flag(v bool) {
	if v {
		w.U8(1)
	} else {
		w.U8(0)
	}
}

// U16 writes two bytes.
func (w *Writer) U16(v uint16) { w.buf = binary.BigEndian.AppendUint16(w.buf, v) }

// U32 writes four bytes.
func (w *Writer) U32(v uint32) { w.buf = binary.BigEndian.AppendUint32(w.buf, v) }

// U64 writes eight bytes.
func (w *Writer) U64(v uint64) { w.buf = binary.BigEndian.AppendUint64(w.buf, v) }

// Fixed writes bytes whose number both sides know.
func (w *Writer) Fixed(b []byte) { w.buf = append(w.buf, b...) }

// String writes a length and as many bytes.
func (w *Writer) String(b []byte) {
	w.U32(uint32(len(b)))
	w.Fixed(b)
}

// Reader takes apart what a Writer has written. The first thing that is wrong sticks: every later read yields zero
// values, and Close reports it. Nothing is allocated on the word of a length or a count alone; byte strings alias
// the input.
type Reader struct {
	rest []byte
	err  error
}

// NewReader reads input, which must not change as long as anything read from it is in use.
func NewReader(input []byte) *Reader { return &Reader{rest: input} }

var (
	errShort    = errors.New("cut short")
	errTrailing = errors.New("trailing bytes")
)

// Fail records that what was read makes no sense; only the first failure is kept.
func (r *Reader) Fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.rest = nil
}

// Close says what was wrong with the input, trailing bytes included.
func (r *Reader) Close() error {
	if r.err == nil && len(r.rest) != 0 {
		r.err = errTrailing
	}
	return r.err
}

// Err says what was wrong so far.
func (r *Reader) Err() error { return r.err }

func (r *Reader) take(n int) []byte {
	if n > len(r.rest) {
		r.Fail(errShort)
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// U8 reads one byte.
func (r *Reader) U8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

// U16 reads two bytes.
func (r *Reader) U16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// U32 reads four bytes.
func (r *Reader) U32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// U64 reads eight bytes.
func (r *Reader) U64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// Flag reads a byte that is 0 or 1.
func (r *Reader) Flag() bool {
	v := r.U8()
	if v > 1 {
		r.Fail(fmt.Errorf("flag is %d, want 0 or 1", v))
	}
	return v == 1
}

// Fixed fills dst.
func (r *Reader) Fixed(dst []byte) { copy(dst, r.take(len(dst))) }

// Digest reads a digest.
func (r *Reader) Digest() (d crypto.Digest) {
	r.Fixed(d[:])
	return d
}

// String reads a byte string of at most most bytes.
func (r *Reader) String(most int) []byte {
	n := r.U32()
	if uint64(n) > uint64(most) {
		r.Fail(fmt.Errorf("%d bytes, at most %d", n, most))
		return nil
	}
	return r.take(int(n))
}

// Count reads the length of a list of at most most elements, each of which takes at least least bytes of what is left.
func (r *Reader) Count(most, least int) int {
	n := r.U32()
	if uint64(n) > uint64(most) {
		r.Fail(fmt.Errorf("%d elements, at most %d", n, most))
		return 0
	}
	if int(n)*least > len(r.rest) {
		r.Fail(errShort)
		return 0
	}
	return int(n)
}

// comes reads four bytes if they are v.
func (r *Reader) comes(v uint32) bool {
	if len(r.rest) < 4 || binary.BigEndian.Uint32(r.rest) != v {
		return false
	}
	r.rest = r.rest[4:]
	return true
}

// Rest reads all that is left.
func (r *Reader) Rest() []byte { return r.take(len(r.rest)) }
