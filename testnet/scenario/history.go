package scenario

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"
	"unicode/utf8"
)

// A history outlives its run as JSON lines, one for each operation in the order in which they were called, so that it can be
// judged again. Times are nanoseconds since the network was ready; they and slots are strings, because not every reader of JSON
// keeps 64 bits.

// line is an operation as it is written. What its kind does not have is left out.
type line struct {
	Number  int     `json:"number"`
	Client  int     `json:"client"`
	Kind    Kind    `json:"kind"`
	Key     text    `json:"key"`
	Value   *text   `json:"value,omitempty"`
	Old     *text   `json:"old,omitempty"`
	Absent  bool    `json:"absent,omitempty"`
	Node    int     `json:"node,omitempty"`
	Call    int64   `json:"call,string"`
	Return  *int64  `json:"return,string,omitempty"` // nil: of an Unknown outcome
	Outcome Outcome `json:"outcome"`
	Found   *text   `json:"found,omitempty"` // nil: nothing was held
	Held    bool    `json:"held,omitempty"`
	Seq     uint64  `json:"seq,string,omitempty"`
	ID      string  `json:"id,omitempty"`
}

// WriteHistory writes all operations as JSON lines.
func (r *Run) WriteHistory(w io.Writer) error {
	b := bufio.NewWriter(w)
	out := json.NewEncoder(b)
	out.SetEscapeHTML(false)
	for i := range r.History {
		if err := out.Encode(lineOf(&r.History[i])); err != nil {
			return err
		}
	}
	return b.Flush()
}

func lineOf(o *Operation) *line {
	c, a := &o.Call, &o.Answer
	l := &line{
		Number: o.Number, Client: c.Client, Kind: c.Kind, Key: text(c.Key), Absent: c.Absent, Node: c.Node,
		Call: int64(a.Call), Outcome: a.Outcome, Held: a.Held, Seq: a.Seq, ID: a.ID,
	}
	if c.Kind == Put || c.Kind == CAS {
		l.Value = (*text)(&c.Value)
	}
	if c.Kind == CAS && !c.Absent {
		l.Old = (*text)(&c.Old)
	}
	if a.Held {
		l.Found = (*text)(&a.Value)
	}
	if a.Outcome != Unknown {
		l.Return = (*int64)(&a.Return)
	}
	return l
}

// ReadHistory reads what WriteHistory has written, and nothing else; an error names the line. An Unknown operation's time of
// return is not kept: it has its time of call for it.
func ReadHistory(r io.Reader) ([]Operation, error) {
	var history []Operation
	for in := bufio.NewReader(r); ; {
		raw, err := in.ReadBytes('\n')
		if err == io.EOF && len(raw) == 0 {
			return history, nil
		}
		if err != nil && err != io.EOF {
			return nil, err
		}
		o, err := parseLine(raw)
		if err == nil && o.Number != len(history)+1 {
			err = fmt.Errorf("operation %d", o.Number)
		}
		if err != nil {
			return nil, fmt.Errorf("history, line %d: %w", len(history)+1, err)
		}
		history = append(history, o)
	}
}

func parseLine(raw []byte) (Operation, error) {
	var l line
	in := json.NewDecoder(bytes.NewReader(raw))
	in.DisallowUnknownFields()
	if err := in.Decode(&l); err != nil {
		if errors.Is(err, io.EOF) {
			return Operation{}, errors.New("empty")
		}
		return Operation{}, err
	}
	if _, err := in.Token(); err != io.EOF {
		return Operation{}, errors.New("more than one value")
	}
	if err := l.check(); err != nil {
		return Operation{}, err
	}
	o := Operation{
		Number: l.Number,
		Call:   Call{Client: l.Client, Kind: l.Kind, Key: string(l.Key), Absent: l.Absent, Node: l.Node},
		Answer: Answer{Call: time.Duration(l.Call), Return: time.Duration(l.Call), Outcome: l.Outcome, Held: l.Held, Seq: l.Seq, ID: l.ID},
	}
	o.Call.Value, o.Call.Old, o.Answer.Value = l.Value.orNone(), l.Old.orNone(), l.Found.orNone()
	if l.Return != nil {
		o.Answer.Return = time.Duration(*l.Return)
	}
	return o, nil
}

// check refuses lines that no operation is written as.
func (l *line) check() error {
	writes := l.Kind == Put || l.Kind == CAS
	switch {
	case !writes && l.Kind != Get && l.Kind != LocalGet:
		return fmt.Errorf("kind %q", l.Kind)
	case l.Outcome != Done && l.Outcome != Failed && l.Outcome != Refused && l.Outcome != Unknown:
		return fmt.Errorf("outcome %q", l.Outcome)
	case l.Outcome == Failed && l.Kind != CAS:
		return fmt.Errorf("a %s that has failed", l.Kind)
	case writes != (l.Value != nil):
		return fmt.Errorf("a %s has a value if and only if it writes", l.Kind)
	case (l.Kind == CAS && !l.Absent) != (l.Old != nil), l.Absent && l.Kind != CAS:
		return errors.New("a cas, and nothing else, expects an old value or none")
	case (l.Outcome == Unknown) != (l.Return == nil):
		return errors.New("an operation has a time of return unless its outcome is unknown")
	case l.Call < 0 || l.Return != nil && *l.Return < l.Call:
		return errors.New("it returns before it was called")
	case l.Held != (l.Found != nil):
		return errors.New("a value is found if and only if one is held")
	}
	return nil
}

// text is a string that need not be UTF-8: what is not is written as {"hex": "…"}, so that no two values become one.
type text string

func (t *text) orNone() string {
	if t == nil {
		return ""
	}
	return string(*t)
}

type hexText struct {
	Hex *string `json:"hex"`
}

func (t text) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(t)) {
		return json.Marshal(string(t))
	}
	return []byte(`{"hex":` + strconv.Quote(hex.EncodeToString([]byte(t))) + `}`), nil
}

func (t *text) UnmarshalJSON(raw []byte) error {
	if len(raw) > 0 && raw[0] == '"' {
		return json.Unmarshal(raw, (*string)(t))
	}
	var h hexText
	in := json.NewDecoder(bytes.NewReader(raw))
	in.DisallowUnknownFields()
	if err := in.Decode(&h); err != nil {
		return err
	}
	if h.Hex == nil {
		return errors.New("neither a string nor hex")
	}
	b, err := hex.DecodeString(*h.Hex)
	*t = text(b)
	return err
}
