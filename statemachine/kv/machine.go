package kv

import (
	"bytes"
	"errors"

	"github.com/quorate/quorate/statemachine"
)

// Mismatch is the code of a compare-and-set whose key held something else. Its result says what.
const Mismatch statemachine.Failure = 1

// Machine is the application. It has no state of its own.
type Machine struct{}

var _ statemachine.Machine = Machine{}

// Check refuses what Decode refuses.
func (Machine) Check(op []byte) error {
	_, err := Decode(op)
	return err
}

// Apply executes an operation. What Check refuses fails as malformed or unknown.
func (Machine) Apply(view statemachine.View, _ statemachine.Context, op []byte) ([]byte, error) {
	o, err := Decode(op)
	switch {
	case errors.Is(err, ErrUnknown):
		return nil, statemachine.UnknownOperation
	case err != nil:
		return nil, statemachine.Malformed
	}
	switch o.Kind {
	case KindPut:
		view.Set(o.Key, o.Value)
	case KindDelete:
		view.Delete(o.Key)
	case KindCompareAndSet:
		value, held := view.Get(o.Key)
		if held != o.Held || held && !bytes.Equal(value, o.Old) {
			return content(value, held), Mismatch
		}
		view.Set(o.Key, o.Value)
	case KindGet:
		return content(view.Get(o.Key)), nil
	}
	return nil, nil
}

// content encodes what a key holds.
func content(value []byte, held bool) []byte {
	if !held {
		return []byte{0}
	}
	return append([]byte{1}, value...)
}

// DecodeContent reads the result of a get, of a compare-and-set that did not apply, or of a GetQuery: the value, and
// whether there is one. The value is part of b.
func DecodeContent(b []byte) (value []byte, held bool, err error) {
	switch {
	case len(b) == 1 && b[0] == 0:
		return nil, false, nil
	case len(b) >= 1 && b[0] == 1:
		return b[1:], true, nil
	}
	return nil, false, ErrMalformed
}
