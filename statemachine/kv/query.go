package kv

import (
	"encoding/binary"

	"github.com/quorate/quorate/statemachine"
)

// A query is one byte that says which, then its fields:
//
//	1 get   key
//	2 scan  prefix, from, limit u32
//
// A get answers like an ordered one. A scan answers with entries of key and value as fields, each after a byte 1; then
// with a byte 0 if there is no further entry, or 2 if there is.
const (
	queryGet  = 1
	queryScan = 2

	answerEnd   = 0
	answerEntry = 1
	answerMore  = 2
)

// Bounds of the answer to one scan. MaxScanBytes may be exceeded by its last entry.
const (
	MaxScanEntries = 10_000
	MaxScanBytes   = 1 << 20
)

// Entry is a key with its value.
type Entry struct{ Key, Value []byte }

// GetQuery asks what a key holds; see DecodeContent.
func GetQuery(key []byte) []byte { return appendField([]byte{queryGet}, key) }

// ScanQuery asks for the keys with a prefix that are not below from (nil: from the first), in ascending order, at most
// limit of them; see DecodeScan. No answer has more than MaxScanEntries, or much more than MaxScanBytes.
func ScanQuery(prefix, from []byte, limit uint32) []byte {
	b := appendField(appendField([]byte{queryScan}, prefix), from)
	return binary.BigEndian.AppendUint32(b, limit)
}

// After is the `from` that continues a scan behind key.
func After(key []byte) []byte { return append(append([]byte{}, key...), 0) }

// Query answers a query. The error is ErrMalformed, ErrUnknown or ErrKey.
func (Machine) Query(state statemachine.Reader, query []byte) ([]byte, error) {
	if len(query) == 0 {
		return nil, ErrMalformed
	}
	r := reader{rest: query[1:]}
	switch query[0] {
	case queryGet:
		key := r.field()
		switch {
		case !r.done():
			return nil, ErrMalformed
		case len(key) == 0 || len(key) > MaxKeyBytes:
			return nil, ErrKey
		}
		return content(state.Get(key)), nil
	case queryScan:
		prefix, from, limit := r.field(), r.field(), r.uint32()
		switch {
		case !r.done():
			return nil, ErrMalformed
		case len(prefix) > MaxKeyBytes || len(from) > MaxKeyBytes+1:
			return nil, ErrKey
		}
		return scan(state, prefix, from, min(limit, MaxScanEntries)), nil
	}
	return nil, ErrUnknown
}

func scan(state statemachine.Reader, prefix, from []byte, limit uint32) []byte {
	var answer []byte
	end := byte(answerEnd)
	state.Scan(prefix, from, func(key, value []byte) bool {
		if limit == 0 || len(answer) >= MaxScanBytes {
			end = answerMore
			return false
		}
		limit--
		answer = appendField(appendField(append(answer, answerEntry), key), value)
		return true
	})
	return append(answer, end)
}

// DecodeScan reads the answer to a ScanQuery, and whether there are further entries. The entries are parts of b.
func DecodeScan(b []byte) (entries []Entry, more bool, err error) {
	r := reader{rest: b}
	for {
		tag := r.take(1)
		switch {
		case tag == nil || tag[0] > answerMore:
			return nil, false, ErrMalformed
		case tag[0] == answerEntry:
			entries = append(entries, Entry{r.field(), r.field()})
		case !r.done():
			return nil, false, ErrMalformed
		default:
			return entries, tag[0] == answerMore, nil
		}
		if r.failed {
			return nil, false, ErrMalformed
		}
	}
}
