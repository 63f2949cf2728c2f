package keystore

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// object is a JSON object whose fields are taken out one by one. It keeps the first error: after that, nothing is taken.
type object struct {
	left map[string]json.RawMessage
	err  error
}

// take decodes the field of that name into value.
func (o *object) take(name string, value any) {
	if o.err != nil {
		return
	}
	text, ok := o.left[name]
	delete(o.left, name)
	switch {
	case !ok:
		o.err = fmt.Errorf("field %q is missing", name)
	case bytes.Equal(text, []byte("null")): // to encoding/json no error, and no value either
		o.err = fmt.Errorf("field %q is null", name)
	default:
		if err := json.Unmarshal(text, value); err != nil {
			o.err = fmt.Errorf("field %q: %w", name, err)
		}
	}
}

// hex decodes bytes in lower-case hexadecimal, exactly as many as there is room for. Its error shows none of them.
func (o *object) hex(name string, into []byte) {
	var text string
	if o.take(name, &text); o.err != nil {
		return
	}
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(into) || text != strings.ToLower(text) {
		o.err = fmt.Errorf("%s: want %d lower-case hexadecimal digits", name, 2*len(into))
		return
	}
	copy(into, b)
}

// object decodes the object in the field of that name, to its end.
func (o *object) object(name string, decode func(*object)) {
	var text json.RawMessage
	if o.take(name, &text); o.err != nil {
		return
	}
	inner := objectOf(text)
	decode(inner)
	inner.end()
	if inner.err != nil {
		o.err = fmt.Errorf("%s: %w", name, inner.err)
	}
}

// end refuses what nobody has taken.
func (o *object) end() {
	if o.err == nil && len(o.left) > 0 {
		o.err = fmt.Errorf("unknown fields %q", slices.Sorted(maps.Keys(o.left)))
	}
}

// objectOf takes a text apart that is one JSON object. encoding/json alone would take a name twice, a name in other letter
// case, and anything after the end.
func objectOf(text []byte) *object {
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil {
		return &object{err: syntax(err, d)}
	} else if t != json.Delim('{') {
		return &object{err: errors.New("want a JSON object")}
	}
	o := &object{left: make(map[string]json.RawMessage)}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return &object{err: syntax(err, d)}
		}
		name := t.(string) // the decoder has seen to it
		if _, ok := o.left[name]; ok {
			return &object{err: fmt.Errorf("field %q is there twice", name)}
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return &object{err: syntax(err, d)}
		}
		o.left[name] = value
	}
	if _, err := d.Token(); err != nil {
		return &object{err: syntax(err, d)}
	}
	if end := d.InputOffset(); len(bytes.TrimSpace(text[end:])) > 0 {
		return &object{err: fmt.Errorf("more data after the key, from byte %d on", end)}
	}
	return o
}

func syntax(err error, d *json.Decoder) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("ends too early: the file is not whole")
	}
	return fmt.Errorf("at byte %d: %w", d.InputOffset(), err)
}
