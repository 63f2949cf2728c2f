package proof_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	stdlib "crypto/ed25519"

	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/statemachine"
	"github.com/quorate/quorate/statemachine/kv"
)

func operationVectors() []vector {
	key, old, value := []byte("greeting"), []byte("hello"), []byte("world")
	k, o, v := hexed(key), hexed(old), hexed(value)
	one := func(name string, input in, op []byte) vector {
		return vector{Name: name, Input: input, Bytes: map[string]string{"operation": hexed(op)}}
	}
	return []vector{
		one("put", in{"kind": "1", "key": k, "value": v}, kv.Put(key, value)),
		one("put of an empty value", in{"kind": "1", "key": k, "value": ""}, kv.Put(key, nil)),
		one("delete", in{"kind": "2", "key": k}, kv.Delete(key)),
		one("compare-and-set of a value", in{"kind": "3", "key": k, "old": o, "value": v}, kv.CompareAndSet(key, old, value)),
		one("compare-and-set of no value", in{"kind": "3", "key": k, "value": v}, kv.Create(key, value)),
		one("get", in{"kind": "4", "key": k}, kv.Get(key)),
	}
}

// executionVectors are one story in slots, with small bounds so that each can be met.
func executionVectors(t *testing.T) (vectors []vector) {
	limits := statemachine.DefaultLimits()
	limits.TransactionBytes, limits.WriteSetBytes, limits.NonceWindow, limits.LastAhead = 1024, 1024, 16, 1024
	parameters := in{"request_write_bytes": limits.TransactionBytes, "write_set_bytes": limits.WriteSetBytes,
		"nonce_window": limits.NonceWindow, "last_ahead": limits.LastAhead}
	state, err := statemachine.Open(statemachine.NewMemory(), kv.Machine{}, limits)
	if err != nil {
		t.Fatal(err)
	}
	chain := genesis(4).Digest()
	b := func(s string) []byte { return []byte(s) }
	tx := func(key int, nonce, last uint64, op []byte) *message.Request {
		return message.NewRequest(crypto.Ed25519(), keys[key], chain, nonce, last, op)
	}
	first := tx(5, 1, 9, kv.Put(b("a"), b("one")))
	large := b(strings.Repeat("x", 600))
	met := make(map[string]bool)
	for i, slot := range []struct {
		name string
		txs  []*message.Request
	}{
		{"writes, and sees what was written before it in the slot", []*message.Request{first, tx(5, 2, 9, kv.CompareAndSet(b("a"), b("one"), b("two"))),
			tx(6, 1, 9, kv.Put(b("B"), nil)), tx(5, 3, 9, kv.Get(b("a"))), tx(5, 4, 9, kv.Get(b("none")))}},
		{"failures write nothing", []*message.Request{tx(5, 5, 9, kv.CompareAndSet(b("a"), b("one"), b("three"))), tx(5, 6, 9, kv.Create(b("a"), b("x"))),
			tx(5, 7, 9, kv.CompareAndSet(b("none"), b("one"), b("x"))), tx(5, 8, 9, []byte{9}), tx(5, 9, 9, nil), tx(5, 10, 9, kv.Put(nil, b("x"))),
			tx(5, 11, 9, append(kv.Get(b("a")), 0))}},
		{"what is too large for a transaction, and for the slot", []*message.Request{tx(6, 2, 9, kv.Put(b("large"), append(large, large...))),
			tx(6, 3, 9, kv.Put(b("large"), large)), tx(6, 4, 9, kv.Put(b("larger"), large)), tx(6, 5, 9, kv.Put(b("s"), b("small")))}},
		{"replays and nonces", []*message.Request{first, tx(6, 1, 9, kv.Put(b("other"), nil)), tx(6, 22, 9, kv.Get(b("a"))), tx(6, 21, 9, kv.Delete(b("a"))),
			tx(6, 6, 9, kv.Delete(b("none"))), tx(6, 5, 9, kv.Get(b("B"))), tx(6, 7, 3, kv.Get(b("a"))), tx(6, 8, 0, nil), tx(6, 9, 4+1025, nil)}},
		{"nothing written", []*message.Request{tx(7, 16, 9, kv.Get(b("a")))}},
	} {
		batch := statemachine.Batch{Seq: uint64(i + 1)}
		var txs []string
		for _, q := range slot.txs {
			txs = append(txs, hexed(q.Bytes()))
			batch.Transactions = append(batch.Transactions, statemachine.Transaction{ID: q.ID(), Sender: q.Sender, Nonce: q.Nonce, Last: q.Last, Operation: q.Operation})
		}
		done, err := state.Execute(batch)
		if err != nil {
			t.Fatal(err)
		}
		outputs := map[string]string{"results": done.Mark.Results.String(), "state": done.Mark.State.String()}
		for j, o := range done.Outcomes {
			outputs[fmt.Sprintf("leaf_%d", j)] = hexed(statemachine.Leaf(o))
			met[o.Status.String()], met[o.Code.String()] = true, true
		}
		vectors = append(vectors, vector{Name: slot.name, Input: in{"seq": num(batch.Seq), "parameters": parameters, "transactions": txs}, Bytes: outputs})
	}
	for _, want := range []string{"applied", "failed", "duplicate", "expired", "nonce_used", "decided_earlier", "nonce_too_distant", "last_too_distant",
		"invalid", "code 1", "malformed", "unknown_operation", "transaction_too_large", "batch_full"} {
		if !met[want] {
			t.Errorf("the story has no %s", want)
		}
	}
	return vectors
}

// signatureVectors are a few rows of crypto/testdata/zip215.txt, one of each kind, with the verdict of the equation without
// the cofactor beside it: Go's standard library and OpenSSL.
func signatureVectors(t *testing.T) (vectors []vector) {
	table, err := os.ReadFile("../../crypto/testdata/zip215.txt")
	if err != nil {
		t.Fatal(err)
	}
	wanted := []string{"small A 0, small R 0", "small A 0, small R 1", "small A 1, honest R", "A + torsion 6, R + torsion 3", "A + torsion 7, R + torsion 0",
		"honest A, small R 0", "S + L", "another message", "A is no point", "R is no point", "small A and R 0, S = L"}
	for line := range strings.Lines(string(table)) {
		part := strings.SplitN(strings.TrimSpace(line), " ", 5)
		if len(part) != 5 || !slices.Contains(wanted, part[4]) {
			continue
		}
		var c crypto.Claim
		if c.Key.UnmarshalText([]byte(part[1])) != nil || c.Signature.UnmarshalText([]byte(part[3])) != nil {
			t.Fatalf("cannot read %q", line)
		}
		c.Message = make([]byte, len(part[2])/2)
		if _, err := fmt.Sscanf(part[2], "%x", &c.Message); err != nil {
			t.Fatal(err)
		}
		zip215 := crypto.Ed25519().Verify(c)
		if zip215 != (part[0] == "holds") {
			t.Errorf("%s: %v", part[4], zip215)
		}
		vectors = append(vectors, vector{Name: part[4], Input: in{"key": part[1], "message": part[2], "signature": part[3]},
			Bytes: map[string]string{"cofactorless": verdict(stdlib.Verify(c.Key[:], c.Message, c.Signature[:])), "zip215": verdict(zip215)}})
	}
	if len(vectors) != len(wanted) {
		t.Errorf("%d rows of %d", len(vectors), len(wanted))
	}
	return vectors
}

func verdict(holds bool) string {
	if holds {
		return "holds"
	}
	return "fails"
}

// refusedVectors are bytes that look like something and are nothing: no reader may take them.
func refusedVectors(t *testing.T) (vectors []vector) {
	q := signedRequest(1, 1000, "put greeting hello").Bytes()
	var w message.Writer
	testBatch().Encode(&w)
	batch := w.Bytes()
	e := genesis(4).Epoch()
	say := func(b message.Body) []byte { return message.Sign(crypto.Ed25519(), keys[2], e, 2, b).Bytes }
	vote := say(&message.Commit{Vote: message.Vote{View: 3, Seq: 7}})
	status := say(&message.Status{Progress: []message.Phase{message.Decided}})
	edit := func(b []byte, at int, to byte) []byte { b = slices.Clone(b); b[at] = to; return b }
	length := func(b []byte, at int, n uint32) []byte {
		b = slices.Clone(b)
		binary.BigEndian.PutUint32(b[at:], n)
		return b
	}
	const kind = 77 // where a message says what it is
	for _, c := range []struct {
		name, as string
		bytes    []byte
	}{
		{"a transaction with a byte behind it", "transaction", append(slices.Clone(q), 0)},
		{"a transaction cut short", "transaction", q[:len(q)-1]},
		{"a transaction of version 2", "transaction", edit(q, 10, 2)},
		{"a transaction with nonce 0", "transaction", edit(q, 82, 0)},
		{"an operation longer than what there is", "transaction", length(q, 91, 1<<31)},
		{"a commit with a byte behind it", "message", append(slices.Clone(vote), 0)},
		{"a commit cut short", "message", vote[:len(vote)-1]},
		{"a message of version 2", "message", edit(vote, 11, 2)},
		{"a message of kind 0", "message", edit(vote, kind, 0)},
		{"a message of kind 4", "message", edit(vote, kind, 4)},
		{"a status with a phase 4", "message", edit(status, len(status)-1, 4)},
		{"a status with a phase more than there is", "message", length(status, len(status)-5, 2)},
		{"a batch with a byte behind it", "batch", append(slices.Clone(batch), 0)},
		{"a batch that counts one more", "batch", length(batch, 8, 3)},
		{"a batch that counts one less", "batch", length(batch, 8, 1)},
		{"a get with a byte behind it", "operation", append(kv.Get([]byte("k")), 0)},
		{"a put without its value", "operation", kv.Delete([]byte("k"))[:5]},
		{"a compare-and-set with a flag of 2", "operation", edit(kv.Create([]byte("k"), []byte("v")), 6, 2)},
	} {
		if readable(c.as, c.bytes) {
			t.Errorf("%s: was read", c.name)
		}
		vectors = append(vectors, vector{Name: c.name, Input: in{"as": c.as, "encoding": hexed(c.bytes)}, Bytes: map[string]string{"verdict": verdict(false)}})
	}
	return vectors
}

func readable(as string, raw []byte) bool {
	switch as {
	case "transaction":
		_, err := message.DecodeRequest(raw)
		return err == nil
	case "operation":
		_, err := kv.Decode(raw)
		return err == nil
	case "batch":
		r := message.NewReader(raw)
		message.DecodeBatch(r)
		return r.Close() == nil
	default:
		var w message.Writer
		w.String(raw)
		w.Fixed(make([]byte, crypto.SignatureSize))
		w.String(nil)
		_, err := message.Decode(w.Bytes())
		return err == nil
	}
}
