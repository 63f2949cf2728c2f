// Package kv is the built-in application: keys and values, and compare-and-set.
//
// An operation is one byte that says which, then its fields; a field is its length (u32, big-endian) and its bytes:
//
//	1 put              key, value
//	2 delete           key
//	3 compare-and-set  key, 0, new              applies if there is no such key
//	                   key, 1, old, new         applies if the key has the value old
//	4 get              key
//
// where 0 and 1 are single bytes. Nothing may follow. A key has 1 to MaxKeyBytes bytes, a value at most MaxValueBytes;
// both are any bytes at all.
//
// The result of a get, and of a compare-and-set that does not apply (it fails with Mismatch), is what the key holds:
// 0 if there is no such key, or 1 and the value to the end. Other results are empty. A get that is ordered like any other
// operation is a linearizable read.
package kv

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/quorate/quorate/statemachine"
)

// Bounds, in bytes. A put of the largest key and value, and a get of it, fit the limits of one transaction.
const (
	MaxKeyBytes   = 1024
	MaxValueBytes = 60 << 10
)

// Kind says what an operation does.
type Kind uint8

// The kinds, as they are encoded.
const (
	KindPut           Kind = 1
	KindDelete        Kind = 2
	KindCompareAndSet Kind = 3
	KindGet           Kind = 4
)

// Why an operation or a query is refused.
var (
	ErrMalformed = errors.New("kv: malformed operation")
	ErrUnknown   = error(unknownOperation{})
	ErrKey       = fmt.Errorf("kv: a key has 1 to %d bytes", MaxKeyBytes)
	ErrValue     = fmt.Errorf("kv: a value has at most %d bytes", MaxValueBytes)
)

// unknownOperation is the state machine's word for it in this application's words.
type unknownOperation struct{}

func (unknownOperation) Error() string        { return "kv: unknown operation" }
func (unknownOperation) Is(target error) bool { return target == statemachine.UnknownOperation }

// Operation is a decoded one. Fields that its kind does not have are nil.
type Operation struct {
	Kind  Kind
	Key   []byte
	Value []byte // of a put; the new one of a compare-and-set
	Old   []byte // of a compare-and-set that expects a value
	Held  bool   // of a compare-and-set: it expects a value, not an absence
}

// Put encodes: key has value from now on.
func Put(key, value []byte) []byte { return appendField(start(KindPut, key), value) }

// Delete encodes: there is no key from now on. Deleting what is not there applies too.
func Delete(key []byte) []byte { return start(KindDelete, key) }

// CompareAndSet encodes: key has value from now on, if it has the value old now.
func CompareAndSet(key, old, value []byte) []byte {
	b := append(start(KindCompareAndSet, key), 1)
	return appendField(appendField(b, old), value)
}

// Create encodes: key has value from now on, if there is no such key now.
func Create(key, value []byte) []byte {
	return appendField(append(start(KindCompareAndSet, key), 0), value)
}

// Get encodes an ordered read of key.
func Get(key []byte) []byte { return start(KindGet, key) }

func start(k Kind, key []byte) []byte { return appendField([]byte{byte(k)}, key) }

func appendField(b, field []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(field)))
	return append(b, field...)
}

// Decode reads an operation. It accepts what the encoding functions make within the bounds, and nothing else; the error
// is ErrMalformed, ErrUnknown, ErrKey or ErrValue. The fields are parts of op.
func Decode(op []byte) (Operation, error) {
	if len(op) == 0 {
		return Operation{}, ErrMalformed
	}
	o := Operation{Kind: Kind(op[0])}
	if o.Kind < KindPut || o.Kind > KindGet {
		return Operation{}, ErrUnknown
	}
	r := reader{rest: op[1:]}
	o.Key = r.field()
	if o.Kind == KindCompareAndSet {
		if o.Held = r.flag(); o.Held {
			o.Old = r.field()
		}
	}
	if o.Kind == KindPut || o.Kind == KindCompareAndSet {
		o.Value = r.field()
	}
	switch {
	case !r.done():
		return Operation{}, ErrMalformed
	case len(o.Key) == 0 || len(o.Key) > MaxKeyBytes:
		return Operation{}, ErrKey
	case len(o.Value) > MaxValueBytes || len(o.Old) > MaxValueBytes:
		return Operation{}, ErrValue
	}
	return o, nil
}

// reader takes an encoding apart. Once it has failed it goes on failing.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) take(n uint64) []byte {
	if r.failed || n > uint64(len(r.rest)) {
		r.failed = true
		return nil
	}
	taken := r.rest[:n:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) field() []byte { return r.take(uint64(r.uint32())) }

func (r *reader) flag() bool {
	b := r.take(1)
	r.failed = r.failed || b[0] > 1
	return !r.failed && b[0] == 1
}

// done says whether all has been read, and well.
func (r *reader) done() bool { return !r.failed && len(r.rest) == 0 }
