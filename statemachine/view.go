package statemachine

import (
	"bytes"
	"errors"

	"github.com/tidwall/btree"

	"github.com/quorate/quorate/internal/invariant"
)

// view is what one transaction reads and writes: its own writes, above the overlay, above the backing.
type view struct {
	writes  btree.Map[string, entry]
	cost    int // of writes, as Limits counts
	refused Failure
	broken  error // a read failed: nothing that came of it may be believed
	ended   bool

	limits  *Limits
	overlay *overlay
	below   Snapshot
}

// errUnreadable unwinds an operation whose view cannot be read. It never leaves apply.
var errUnreadable = errors.New("unreadable view")

// apply runs one operation on a view. A broken view says so itself; no other trouble of an operation is an error here.
func apply(m Machine, v *view, c Context, op []byte) (result []byte, code Failure) {
	defer func() {
		v.ended = true
		p := recover()
		switch {
		case v.broken != nil:
			result, code = nil, 0
		case p != nil:
			result, code = nil, Panicked
		}
		if v.refused != 0 {
			// The first write that broke a limit, whatever the operation made of it.
			result, code = nil, v.refused
		}
	}()
	result, err := m.Apply(v, c, bytes.Clone(op))
	result = bytes.Clone(result)
	if err == nil {
		return result, 0
	}
	if !errors.As(err, &code) || code == 0 {
		code = Unspecified
	}
	return result, code
}

func (v *view) Get(key []byte) ([]byte, bool) {
	invariant.Holds(!v.ended, "a view is used within its transaction")
	if e, ok := v.writes.Get(string(key)); ok {
		return bytes.Clone(e.value), !e.deleted
	}
	if e, ok := v.overlay.application.Get(string(key)); ok {
		return bytes.Clone(e.value), !e.deleted
	}
	value, ok, err := v.below.Get(applicationKey(key))
	v.check(err)
	return value, ok
}

func (v *view) Scan(prefix, from []byte, f func(key, value []byte) bool) {
	invariant.Holds(!v.ended, "a view is used within its transaction")
	p, start := string(prefix), string(from)
	below := func(g func(key string, value []byte) bool) error {
		return scanApplication(v.below, prefix, from, func(key, value []byte) bool { return g(string(key), value) })
	}
	// A copy of the own writes, since f may write.
	scan := scanOver(v.writes.Copy(), p, start, scanOver(&v.overlay.application, p, start, below))
	v.check(scan(func(key string, value []byte) bool { return f([]byte(key), bytes.Clone(value)) }))
}

// check stops the operation if its view cannot be read: whatever it went on to do would be wrong.
func (v *view) check(err error) {
	if err != nil {
		v.broken = err
		panic(errUnreadable)
	}
}

func (v *view) Set(key, value []byte) { v.write(string(key), entry{value: cloneValue(value)}) }

func (v *view) Delete(key []byte) { v.write(string(key), entry{deleted: true}) }

func (v *view) write(key string, e entry) {
	invariant.Holds(!v.ended, "a view is used within its transaction")
	if v.refused != 0 {
		return
	}
	old, again := v.writes.Get(key)
	cost := v.cost + writeCost(key, e.value)
	if again {
		cost -= writeCost(key, old.value)
	}
	switch {
	case len(key) > MaxKeyBytes:
		v.refused = KeyTooLong
	case !again && v.writes.Len() == v.limits.TransactionKeys:
		v.refused = TooManyKeys
	case cost > v.limits.TransactionBytes:
		v.refused = TransactionTooLarge
	default:
		v.writes.Set(key, e)
		v.cost = cost
	}
}

func writeCost(key string, value []byte) int { return WriteCost + len(key) + len(value) }

// cloneValue copies a value; an empty one stays a value.
func cloneValue(value []byte) []byte { return append([]byte{}, value...) }
