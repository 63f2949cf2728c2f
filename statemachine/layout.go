package statemachine

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/quorate/quorate/crypto"
)

// The key spaces of a Backing, by first byte. All numbers are big-endian, so that they sort.
const (
	spaceMark        = 0x00 // -> format u8 ‖ seq u64 ‖ batch ‖ results ‖ state
	spaceVersion     = 0x01 // seq u64 -> the version before it u64; one for each commit that can still be read
	spaceHighest     = 0x02 // sender -> highest nonce used u64
	spaceNonce       = 0x03 // sender ‖ nonce mod MaxNonceWindow u16 -> nonce u64 ‖ id ‖ status u8 ‖ code u16 ‖ seq u64
	spaceID          = 0x04 // id -> seq u64 ‖ index u32 ‖ status u8
	spaceOutcomes    = 0x05 // seq u64 ‖ piece u16 -> leaves of the batch's outcomes, one after the other, cut into pieces
	spaceApplication = 0x10 // key -> value
)

// format is the version of this layout.
const format = 1

const (
	markBytes     = 1 + 8 + 3*crypto.DigestSize
	nonceBytes    = 8 + crypto.DigestSize + 1 + 2 + 8
	locationBytes = 8 + 4 + 1
)

// outcomesPieceBytes is how much of a batch's outcomes goes into one value.
const outcomesPieceBytes = 256 << 10

// What a batch adds to a commit beside the application's writes and results: for each transaction its nonce, its
// sender's highest nonce, its location and its leaf; and, whatever the number of transactions, the mark, the version,
// the versions pruned, and the keys of the pieces of outcomes.
const (
	transactionEntries       = 3
	transactionOverheadBytes = (1 + crypto.PublicKeySize + 2 + nonceBytes + entryBytes) +
		(1 + crypto.PublicKeySize + 8 + entryBytes) + (1 + crypto.DigestSize + locationBytes + entryBytes) + leafBytes
	fixedEntries = 256
	fixedBytes   = fixedEntries*(1+8+2+entryBytes) + markBytes
)

var errDamaged = errors.New("state: a record that was not written like this")

func markKey() []byte { return []byte{spaceMark} }

func versionKey(seq uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{spaceVersion}, seq)
}

func highestKey(sender crypto.PublicKey) []byte {
	return append([]byte{spaceHighest}, sender[:]...)
}

func nonceKey(sender crypto.PublicKey, nonce uint64) []byte {
	k := make([]byte, 0, 1+crypto.PublicKeySize+2)
	k = append(k, spaceNonce)
	k = append(k, sender[:]...)
	return binary.BigEndian.AppendUint16(k, uint16(nonce%MaxNonceWindow))
}

func idKey(id crypto.Digest) []byte { return append([]byte{spaceID}, id[:]...) }

func outcomesKey(seq uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{spaceOutcomes}, seq)
}

func applicationKey[K string | []byte](key K) []byte {
	k := make([]byte, 0, 1+len(key))
	k = append(k, spaceApplication)
	return append(k, key...)
}

func encodeUint64(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func decodeUint64(b []byte) (uint64, error) {
	if len(b) != 8 {
		return 0, errDamaged
	}
	return binary.BigEndian.Uint64(b), nil
}

func encodeMark(m Mark) []byte {
	b := make([]byte, 0, markBytes)
	b = append(b, format)
	b = binary.BigEndian.AppendUint64(b, m.Seq)
	b = append(b, m.Batch[:]...)
	b = append(b, m.Results[:]...)
	return append(b, m.State[:]...)
}

func decodeMark(b []byte) (m Mark, err error) {
	if len(b) == 0 {
		return m, errDamaged
	}
	if b[0] != format {
		return m, fmt.Errorf("state: written in format %d, this program reads format %d: use the program that wrote it", b[0], format)
	}
	if len(b) != markBytes {
		return m, errDamaged
	}
	m.Seq = binary.BigEndian.Uint64(b[1:])
	b = b[9:]
	for _, d := range []*crypto.Digest{&m.Batch, &m.Results, &m.State} {
		b = b[copy(d[:], b):]
	}
	return m, nil
}

func encodeNonce(e SessionEntry) []byte {
	b := make([]byte, 0, nonceBytes)
	b = binary.BigEndian.AppendUint64(b, e.Nonce)
	b = append(b, e.ID[:]...)
	b = append(b, byte(e.Status))
	b = binary.BigEndian.AppendUint16(b, uint16(e.Code))
	return binary.BigEndian.AppendUint64(b, e.Seq)
}

func decodeNonce(b []byte) (e SessionEntry, err error) {
	if len(b) != nonceBytes {
		return e, errDamaged
	}
	e.Nonce = binary.BigEndian.Uint64(b)
	b = b[8:]
	b = b[copy(e.ID[:], b):]
	e.Status = Status(b[0])
	e.Code = Failure(binary.BigEndian.Uint16(b[1:]))
	e.Seq = binary.BigEndian.Uint64(b[3:])
	return e, nil
}

func encodeLocation(l Location) []byte {
	b := make([]byte, 0, locationBytes)
	b = binary.BigEndian.AppendUint64(b, l.Seq)
	b = binary.BigEndian.AppendUint32(b, uint32(l.Index))
	return append(b, byte(l.Status))
}

func decodeLocation(b []byte) (l Location, err error) {
	if len(b) != locationBytes {
		return l, errDamaged
	}
	l.Seq = binary.BigEndian.Uint64(b)
	l.Index = int(binary.BigEndian.Uint32(b[8:]))
	l.Status = Status(b[12])
	return l, nil
}

// outcomeWrites are the writes that keep a batch's outcomes.
func outcomeWrites(seq uint64, outcomes []Outcome) (writes []Write) {
	size := 0
	for _, o := range outcomes {
		size += leafBytes + len(o.Result)
	}
	all := make([]byte, 0, size)
	for _, o := range outcomes {
		all = appendLeaf(all, o)
	}
	for piece := uint16(0); piece == 0 || len(all) > 0; piece++ {
		n := min(len(all), outcomesPieceBytes)
		key := binary.BigEndian.AppendUint16(outcomesKey(seq), piece)
		writes = append(writes, Write{Key: key, Value: all[:n:n]})
		all = all[n:]
	}
	return writes
}

// decodeOutcomes reads what outcomeWrites keeps.
func decodeOutcomes(b []byte) (outcomes []Outcome, err error) {
	for len(b) > 0 {
		if len(b) < leafBytes {
			return nil, errDamaged
		}
		var o Outcome
		b = b[copy(o.ID[:], b):]
		o.Status = Status(b[0])
		o.Code = Failure(binary.BigEndian.Uint16(b[1:]))
		o.Seq = binary.BigEndian.Uint64(b[3:])
		n := binary.BigEndian.Uint32(b[11:])
		b = b[15:]
		if uint64(len(b)) < uint64(n) || !o.Status.Known() {
			return nil, errDamaged
		}
		if n > 0 {
			o.Result = b[:n:n]
		}
		b = b[n:]
		outcomes = append(outcomes, o)
	}
	return outcomes, nil
}
