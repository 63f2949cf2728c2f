package p2p

import (
	"bufio"
	"encoding/binary"
	"fmt"
)

// A frame is its length as a big-endian uint32, then that many bytes. Length zero is a heartbeat.
const frameHeader = 4

// readPiece is how much memory a promise is worth: a frame's buffer grows by no more than this, or
// twofold, ahead of the bytes that have come.
const readPiece = 16 << 10

// readFrame returns the next frame, nil for a heartbeat. A length over limit is an error before anything
// is allocated. waiting is called before each read that may have to wait for more of a frame's body.
func readFrame(r *bufio.Reader, limit int, waiting func() error) ([]byte, error) {
	header, err := r.Peek(frameHeader)
	if err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(header)
	r.Discard(frameHeader)
	if length == 0 {
		return nil, nil
	}
	if uint64(length) > uint64(limit) {
		return nil, fmt.Errorf("frame of %d bytes, over the limit of %d", length, limit)
	}
	size := int(length)
	frame := make([]byte, 0, min(size, readPiece))
	for len(frame) < size {
		if len(frame) == cap(frame) {
			grown := make([]byte, len(frame), min(size, 2*cap(frame)))
			copy(grown, frame)
			frame = grown
		}
		if r.Buffered() == 0 {
			if err := waiting(); err != nil {
				return nil, err
			}
		}
		n, err := r.Read(frame[len(frame):cap(frame)])
		frame = frame[:len(frame)+n]
		if err != nil {
			return nil, fmt.Errorf("%d of %d bytes of a frame: %w", len(frame), size, err)
		}
	}
	return frame, nil
}

func appendHeader(b []byte, frame []byte) []byte {
	return binary.BigEndian.AppendUint32(b, uint32(len(frame)))
}
