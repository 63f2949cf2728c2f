package statemachine

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/quorate/quorate/crypto"
)

// steps is an application whose operation is a list of steps, each three bytes: what, key, value.
type steps struct{}

const (
	stepPut = iota
	stepDelete
	stepScan // result: all keys from this one on
	stepFail
	stepPanic
	stepKinds
)

func (steps) Check([]byte) error { return nil }

func (steps) Apply(v View, _ Context, op []byte) (result []byte, err error) {
	for ; len(op) >= 3; op = op[3:] {
		key := bytes.Repeat(op[1:2], int(op[1]%3)) // 0 to 2 bytes
		switch op[0] % stepKinds {
		case stepPut:
			v.Set(key, op[2:3])
		case stepDelete:
			v.Delete(key)
		case stepScan:
			v.Scan(nil, key, func(key, value []byte) bool {
				result = append(append(append(result, key...), '='), value...)
				return len(result) < int(op[2])
			})
		case stepFail:
			err = Failure(op[2])
		case stepPanic:
			panic(op[2])
		}
	}
	return result, err
}

func (steps) Query(Reader, []byte) ([]byte, error) { return nil, nil }

// world is what an observer keeps who knows the rules and has a map: nothing in it is shared with the product.
type world struct {
	keys  map[string]string
	nonce map[crypto.PublicKey]map[uint64]crypto.Digest
	first map[crypto.Digest]uint64
	state crypto.Digest
}

func newWorld() *world {
	return &world{map[string]string{}, map[crypto.PublicKey]map[uint64]crypto.Digest{}, map[crypto.Digest]uint64{}, crypto.Digest{}}
}

// run says what must come of a batch.
func (w *world) run(b Batch) (outcomes []Outcome, state crypto.Digest) {
	written := map[string]string{} // "+value" or "-"
	for _, t := range b.Transactions {
		o := Outcome{ID: t.ID, Seq: b.Seq}
		nonces := w.nonce[t.Sender]
		if nonces == nil {
			nonces = map[uint64]crypto.Digest{}
			w.nonce[t.Sender] = nonces
		}
		var highest uint64
		for n := range nonces {
			highest = max(highest, n)
		}
		by, taken := nonces[t.Nonce]
		switch {
		case t.Nonce == 0 || t.Last == 0:
			o.Status = Invalid
		case t.Nonce+1024 <= highest:
			o.Status = DecidedEarlier
		case taken && by == t.ID:
			o.Status, o.Seq = Duplicate, w.first[t.ID]
		case taken:
			o.Status = NonceUsed
		case t.Last < b.Seq:
			o.Status = Expired
		case t.Nonce > highest+1024:
			o.Status = NonceTooDistant
		case t.Last > b.Seq+1<<20:
			o.Status = LastTooDistant
		default:
			nonces[t.Nonce], w.first[t.ID] = t.ID, b.Seq
			w.execute(t.Operation, &o, written)
		}
		outcomes = append(outcomes, o)
	}
	set := binary.BigEndian.AppendUint64(nil, b.Seq)
	set = binary.BigEndian.AppendUint32(set, uint32(len(written)))
	for _, key := range slices.Sorted(maps.Keys(written)) {
		field := func(s string) { set = append(binary.BigEndian.AppendUint32(set, uint32(len(s))), s...) }
		if value, put := strings.CutPrefix(written[key], "+"); put {
			set = append(set, 1)
			field(key)
			field(value)
		} else {
			set = append(set, 2)
			field(key)
		}
	}
	h := sha256.New()
	h.Write([]byte("\x0fquorate/state/1"))
	h.Write(w.state[:])
	h.Write(set)
	w.state = crypto.Digest(h.Sum(nil))
	return outcomes, w.state
}

func (w *world) execute(op []byte, o *Outcome, written map[string]string) {
	keys, mine := maps.Clone(w.keys), map[string]string{}
	o.Status = Applied
	for ; len(op) >= 3; op = op[3:] {
		key := strings.Repeat(string(op[1:2]), int(op[1]%3))
		switch op[0] % 5 {
		case 0:
			keys[key], mine[key] = string(op[2:3]), "+"+string(op[2:3])
		case 1:
			delete(keys, key)
			mine[key] = "-"
		case 2:
			for _, k := range slices.Sorted(maps.Keys(keys)) {
				if k >= key {
					o.Result = append(o.Result, k+"="+keys[k]...)
					if len(o.Result) >= int(op[2]) {
						break
					}
				}
			}
		case 3:
			o.Status, o.Code = Failed, Failure(op[2])
			if op[2] == 0 {
				o.Code = Unspecified
			}
		case 4:
			o.Status, o.Code, o.Result = Failed, Panicked, nil
			return
		}
	}
	if o.Status == Applied {
		w.keys = keys
		maps.Copy(written, mine)
	}
}

// someBatches draws batches in which much goes wrong: few senders, few keys, nonces near the edges.
func someBatches(t *rapid.T) (batches []Batch) {
	n := rapid.IntRange(1, 12).Draw(t, "batches")
	var all []Transaction
	for seq := 1; seq <= n; seq++ {
		var ts []Transaction
		for i := rapid.IntRange(0, 6).Draw(t, "transactions"); i > 0; i-- {
			if len(all) > 0 && rapid.IntRange(0, 4).Draw(t, "again") == 0 {
				old := rapid.SampledFrom(all).Draw(t, "which")
				if !slices.ContainsFunc(ts, func(x Transaction) bool { return x.ID == old.ID }) {
					ts = append(ts, old)
				}
				continue
			}
			x := Transaction{
				ID:     numbered(uint64(len(all))),
				Sender: sender(rapid.IntRange(0, 2).Draw(t, "sender")),
				Nonce: rapid.OneOf(rapid.Uint64Range(0, 6), rapid.Uint64Range(1020, 1030),
					rapid.Uint64Range(2040, 2056)).Draw(t, "nonce"),
				Last:      rapid.OneOf(rapid.Uint64Range(0, 12), rapid.Just(uint64(1<<20+3))).Draw(t, "last"),
				Operation: rapid.SliceOfN(rapid.Byte(), 0, 15).Draw(t, "operation"),
			}
			if rapid.Bool().Draw(t, "calm") { // most bytes fail or panic sooner or later, and no two name one key
				for j := range x.Operation {
					x.Operation[j] %= []byte{stepFail, 6, 255}[j%3]
				}
			}
			ts, all = append(ts, x), append(all, x)
		}
		batches = append(batches, batchAt(uint64(seq), ts...))
	}
	return batches
}

// Outcomes, results root and state digest are what the rules say, computed by someone else with a map; one commit for
// each batch, one for a run, or the process killed with some batches not committed: the same.
//
// case D2, case C14. Red if a session is not in the commit, if the mark is not, if the overlay forgets a write too early
// or keeps it too long, if a scan loses a layer.
func TestExecutionIsWhatTheRulesSay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		batches := someBatches(t)
		w, b := newWorld(), NewMemory()
		r, err := Open(b, steps{}, DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		var marks []Mark
		for i := 0; i < len(batches); i++ {
			done, err := r.Execute(batches[i])
			if err != nil {
				t.Fatal(err)
			}
			if i < len(marks) {
				if done.Mark != marks[i] {
					t.Fatalf("batch %d executed again: %+v, first %+v", i+1, done.Mark, marks[i])
				}
			} else {
				outcomes, state := w.run(batches[i])
				if done.Mark.State != state {
					t.Fatalf("batch %d: state %v, want %v", i+1, done.Mark.State.Short(), state.Short())
				}
				compareOutcomes(t, done.Outcomes, outcomes)
				if done.Mark.Results != ResultsRoot(outcomes) || done.Mark.Batch != batches[i].Digest {
					t.Fatalf("batch %d: mark %+v", i+1, done.Mark)
				}
				marks = append(marks, done.Mark)
			}
			switch rapid.IntRange(0, 3).Draw(t, "then") {
			case 0:
				through := rapid.Uint64Range(0, uint64(i+1)).Draw(t, "through")
				if err := r.Commit(through); err != nil {
					t.Fatal(err)
				}
			case 1:
				if r, err = Open(b, steps{}, DefaultLimits()); err != nil {
					t.Fatal(err)
				}
				i = int(r.Applied().Seq) - 1
			}
			if r.Committed() != (Mark{}) && r.Committed() != marks[r.Committed().Seq-1] {
				t.Fatalf("committed %+v", r.Committed())
			}
		}
		if err := r.Commit(Newest); err != nil {
			t.Fatal(err)
		}
		kept := map[string]string{}
		if _, err := r.Scan(Newest, nil, nil, func(key, value []byte) bool {
			kept[string(key)] = string(value)
			return true
		}); err != nil || !maps.Equal(kept, w.keys) {
			t.Fatalf("keys %q, want %q, %v", kept, w.keys, err)
		}
	})
}

func compareOutcomes(t interface{ Fatalf(string, ...any) }, got, want []Outcome) {
	if len(got) != len(want) {
		t.Fatalf("%d outcomes, want %d", len(got), len(want))
	}
	for i := range got {
		if !bytes.Equal(Leaf(got[i]), Leaf(want[i])) {
			t.Fatalf("outcome %d: %+v, want %+v", i, got[i], want[i])
		}
	}
}
