package kv

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/statemachine"
)

// The bytes that any language must build.
func TestOperationBytes(t *testing.T) {
	for want, op := range map[string][]byte{
		"01 00000001 6b 00000002 7631":                  Put([]byte("k"), []byte("v1")),
		"01 00000001 6b 00000000":                       Put([]byte("k"), nil),
		"02 00000001 6b":                                Delete([]byte("k")),
		"03 00000001 6b 00 00000002 7631":               Create([]byte("k"), []byte("v1")),
		"03 00000001 6b 01 00000002 7631 00000002 7632": CompareAndSet([]byte("k"), []byte("v1"), []byte("v2")),
		"03 00000001 6b 01 00000000 00000002 7632":      CompareAndSet([]byte("k"), nil, []byte("v2")),
		"04 00000001 6b":                                Get([]byte("k")),
		"01 00000002 ff00 00000003 80fe0a":              Put([]byte{0xff, 0}, []byte{0x80, 0xfe, '\n'}), // not UTF-8
	} {
		if got := hex.EncodeToString(op); got != strings.ReplaceAll(want, " ", "") {
			t.Errorf("got %s, want %s", got, want)
		}
		if err := (Machine{}).Check(op); err != nil {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// What is refused at the door, and fails if it is ordered all the same.
func TestMalformedOperationIsRefusedByName(t *testing.T) {
	long, large := make([]byte, MaxKeyBytes+1), make([]byte, MaxValueBytes+1)
	put := Put([]byte("key"), []byte("value"))
	for _, c := range []struct {
		what string
		op   []byte
		want error
		code statemachine.Failure
	}{
		{"nothing", nil, ErrMalformed, statemachine.Malformed},
		{"a kind alone", []byte{1}, ErrMalformed, statemachine.Malformed},
		{"kind 0", []byte{0, 0, 0, 0, 1, 'k'}, ErrUnknown, statemachine.UnknownOperation},
		{"kind 5", []byte{5, 0, 0, 0, 1, 'k'}, ErrUnknown, statemachine.UnknownOperation},
		{"cut short", put[:len(put)-1], ErrMalformed, statemachine.Malformed},
		{"something behind", append(slices.Clone(put), 0), ErrMalformed, statemachine.Malformed},
		{"a length beyond all", []byte{2, 0xff, 0xff, 0xff, 0xff}, ErrMalformed, statemachine.Malformed},
		{"expects neither presence nor absence", []byte{3, 0, 0, 0, 1, 'k', 2, 0, 0, 0, 0}, ErrMalformed, statemachine.Malformed},
		{"an empty key", Put(nil, nil), ErrKey, statemachine.Malformed},
		{"a key too long", Delete(long), ErrKey, statemachine.Malformed},
		{"a value too large", Put([]byte("k"), large), ErrValue, statemachine.Malformed},
		{"an old value too large", CompareAndSet([]byte("k"), large, nil), ErrValue, statemachine.Malformed},
	} {
		t.Run(c.what, func(t *testing.T) {
			if err := (Machine{}).Check(c.op); !errors.Is(err, c.want) {
				t.Errorf("at the door: %v", err)
			}
			if o := newReplica(t).does(c.op); o.Status != statemachine.Failed || o.Code != c.code || o.Result != nil {
				t.Errorf("ordered: %+v", o)
			}
		})
	}
}

// replica executes operations one by one.
type replica struct {
	t *testing.T
	*statemachine.Replicated
}

func newReplica(t *testing.T) replica {
	r, err := statemachine.Open(statemachine.NewMemory(), Machine{}, statemachine.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return replica{t, r}
}

func (r replica) does(op []byte) statemachine.Outcome {
	r.t.Helper()
	seq := r.Applied().Seq + 1
	done, err := r.Execute(statemachine.Batch{Seq: seq, Transactions: []statemachine.Transaction{
		{ID: crypto.Hash("test/id", fmt.Append(nil, seq)), Nonce: seq, Last: seq, Operation: op},
	}})
	if err != nil {
		r.t.Fatal(err)
	}
	if err := r.Commit(seq); err != nil {
		r.t.Fatal(err)
	}
	return done.Outcomes[0]
}

func TestOperationsInTurn(t *testing.T) {
	r := newReplica(t)
	k, v1, v2 := []byte("k"), []byte("v1"), []byte("v2")
	largest := Put(bytes.Repeat([]byte("k"), MaxKeyBytes), bytes.Repeat([]byte("v"), MaxValueBytes))
	for i, c := range []struct {
		op     []byte
		code   statemachine.Failure
		result string
	}{
		{Get(k), 0, "\x00"},
		{CompareAndSet(k, nil, v1), Mismatch, "\x00"}, // absent is not empty
		{Delete(k), 0, ""},
		{Create(k, v1), 0, ""},
		{Create(k, v2), Mismatch, "\x01v1"},
		{CompareAndSet(k, v2, v1), Mismatch, "\x01v1"},
		{CompareAndSet(k, v1, v2), 0, ""},
		{Get(k), 0, "\x01v2"},
		{Put(k, nil), 0, ""},
		{Get(k), 0, "\x01"},
		{Create(k, v1), Mismatch, "\x01"}, // empty is not absent
		{CompareAndSet(k, nil, v1), 0, ""},
		{Delete(k), 0, ""},
		{Get(k), 0, "\x00"},
		{largest, 0, ""},
		{Get(bytes.Repeat([]byte("k"), MaxKeyBytes)), 0, "\x01" + strings.Repeat("v", MaxValueBytes)},
	} {
		o := r.does(c.op)
		if o.Code != c.code || string(o.Result) != c.result || (o.Status == statemachine.Applied) != (c.code == 0) {
			t.Errorf("step %d: %v %v %.20q, want %v %.20q", i, o.Status, o.Code, o.Result, c.code, c.result)
		}
		if len(o.Result) > 0 {
			value, held, err := DecodeContent(o.Result)
			if err != nil || held != (c.result[0] == 1) || string(value) != c.result[1:] {
				t.Errorf("step %d: decoded %.20q, %v, %v", i, value, held, err)
			}
		}
	}
}

func TestScanGoesOnWhereItEnded(t *testing.T) {
	r := newReplica(t)
	var want []string
	for i := range 25 {
		key := fmt.Sprintf("p/%02d", i)
		r.does(Put([]byte(key), []byte{byte(i)}))
		want = append(want, key)
	}
	r.does(Put([]byte("p"), nil))
	r.does(Put([]byte("p0"), nil))

	var got []string
	var from []byte
	for pages, more := 0, true; more; pages++ {
		answer, _, err := r.Query(statemachine.Newest, ScanQuery([]byte("p/"), from, 10))
		if err != nil {
			t.Fatal(err)
		}
		var entries []Entry
		if entries, more, err = DecodeScan(answer); err != nil || len(entries) > 10 || pages > 2 {
			t.Fatalf("page %d of %d entries, %v", pages, len(entries), err)
		}
		for _, e := range entries {
			if int(e.Value[0]) != len(got) {
				t.Errorf("%s holds %v", e.Key, e.Value)
			}
			got = append(got, string(e.Key))
		}
		if more {
			from = After(entries[len(entries)-1].Key)
		}
	}

	if !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

// A reader who asks for everything gets no more than fits one answer.
func TestScanIsBounded(t *testing.T) {
	r := newReplica(t)
	for i := range 30 {
		r.does(Put([]byte{byte(i + 1)}, make([]byte, MaxValueBytes)))
	}
	answer, _, err := r.Query(statemachine.Newest, ScanQuery(nil, nil, 1<<32-1))
	if err != nil {
		t.Fatal(err)
	}
	entries, more, err := DecodeScan(answer)
	if err != nil || !more || len(entries) == 0 || len(answer) > MaxScanBytes+MaxValueBytes+MaxKeyBytes+10 {
		t.Errorf("%d entries, %d bytes, more %v, %v", len(entries), len(answer), more, err)
	}
}

func TestQueriesAreRefusedByName(t *testing.T) {
	r := newReplica(t)
	long := make([]byte, MaxKeyBytes+2)
	for _, c := range []struct {
		query []byte
		want  error
	}{
		{nil, ErrMalformed}, {[]byte{1}, ErrMalformed}, {[]byte{2}, ErrMalformed}, {[]byte{3}, ErrUnknown},
		{append(GetQuery([]byte("k")), 0), ErrMalformed}, {append(ScanQuery(nil, nil, 1), 0), ErrMalformed},
		{GetQuery(nil), ErrKey}, {GetQuery(long), ErrKey}, {ScanQuery(long, nil, 1), ErrKey}, {ScanQuery(nil, long, 1), ErrKey},
	} {
		if _, _, err := r.Query(statemachine.Newest, c.query); !errors.Is(err, c.want) {
			t.Errorf("%x: %v, want %v", c.query, err, c.want)
		}
	}
	if _, _, err := r.Query(statemachine.Newest, ScanQuery(nil, After(long[:MaxKeyBytes]), 1)); err != nil {
		t.Errorf("behind the longest key: %v", err)
	}
}

// Nothing that a client sends panics, and one operation has one encoding.
func FuzzDecode(f *testing.F) {
	for _, op := range [][]byte{Put([]byte("k"), []byte("v")), Delete([]byte("k")), Create([]byte("k"), nil),
		CompareAndSet([]byte("k"), []byte("a"), []byte("b")), Get([]byte("k"))} {
		f.Add(op)
	}
	f.Fuzz(func(t *testing.T, op []byte) {
		o, err := Decode(op)
		if err != nil {
			return
		}
		var again []byte
		switch {
		case o.Kind == KindPut:
			again = Put(o.Key, o.Value)
		case o.Kind == KindDelete:
			again = Delete(o.Key)
		case o.Kind == KindGet:
			again = Get(o.Key)
		case o.Held:
			again = CompareAndSet(o.Key, o.Old, o.Value)
		default:
			again = Create(o.Key, o.Value)
		}
		if !bytes.Equal(op, again) {
			t.Errorf("%x is read as %x", op, again)
		}
	})
}

// Nothing that a server answers makes a client panic, and no query makes a server panic.
func FuzzQueryAndAnswer(f *testing.F) {
	f.Add(GetQuery([]byte("k")))
	f.Add(ScanQuery([]byte("k"), []byte("l"), 3))
	f.Add([]byte{answerEntry, 0, 0, 0, 1, 'k', 0, 0, 0, 1, 'v', answerMore})
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = Machine{}.Query(nothing{}, b)
		entries, more, err := DecodeScan(b)
		if err != nil {
			return
		}
		var again []byte
		for _, e := range entries {
			again = appendField(appendField(append(again, answerEntry), e.Key), e.Value)
		}
		end := byte(answerEnd)
		if more {
			end = answerMore
		}
		if again = append(again, end); !bytes.Equal(b, again) {
			t.Errorf("%x is read as %x", b, again)
		}
	})
}

// nothing is an empty state.
type nothing struct{}

func (nothing) Get([]byte) ([]byte, bool)                        { return nil, false }
func (nothing) Scan(_, _ []byte, _ func(key, value []byte) bool) {}
