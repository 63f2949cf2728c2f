package proof_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/statemachine"
)

var update = flag.Bool("update", false, "rewrite docs/protocol/vectors")

// A vector has what goes in and the bytes that must come out, so that another language can check itself against it.
// Keys are made from seeds of 32 bytes; 64-bit numbers are strings, bytes lower-case hexadecimal.
type vector struct {
	Name  string            `json:"name"`
	Input map[string]any    `json:"input"`
	Bytes map[string]string `json:"bytes"`
}

type in = map[string]any

func num[N ~uint64 | ~int64 | ~uint32 | ~int](n N) string { return fmt.Sprint(n) }

func hexed(b []byte) string { return hex.EncodeToString(b) }

func seed(i int) string { return hexed(append([]byte{byte(i)}, make([]byte, 31)...)) }

// The vectors are what the code writes, and ed25519 is what signs them: bytes that move by accident are seen here.
//
// case A11; case D5; any change of a layout, a domain or a tag turns it red.
func TestVectors(t *testing.T) {
	for file, vectors := range map[string][]vector{
		"transactions.json": transactionVectors(),
		"batches.json":      batchVectors(),
		"messages.json":     messageVectors(t),
		"headers.json":      headerVectors(),
		"results.json":      resultVectors(t),
		"state.json":        stateVectors(),
		"genesis.json":      genesisVectors(),
		"epochs.json":       epochVectors(t),
		"changes.json":      changeVectors(t),
		"receipts.json":     receiptVectors(t),
		"operations.json":   operationVectors(),
		"execution.json":    executionVectors(t),
		"signatures.json":   signatureVectors(t),
		"refused.json":      refusedVectors(t),
	} {
		path := filepath.Join("../../docs/protocol/vectors", file)
		want, err := json.MarshalIndent(vectors, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, '\n')
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: is not what the code writes. If the layout was meant to change: go test ./bft/proof -run Vectors -update, and read the difference", file)
		}
	}
}

func signedRequest(nonce uint64, last uint64, operation string) *message.Request {
	return message.NewRequest(crypto.Ed25519(), keys[0], genesis(4).Digest(), nonce, last, []byte(operation))
}

func transactionVectors() (vectors []vector) {
	for _, c := range []struct {
		nonce, last uint64
		operation   string
	}{{1, 1000, "put greeting hello"}, {1<<64 - 1, 1<<64 - 1, ""}} {
		q := signedRequest(c.nonce, c.last, c.operation)
		vectors = append(vectors, vector{
			Name: "transaction with nonce " + num(c.nonce),
			Input: in{
				"chain": q.Chain.String(), "sender_seed": seed(0), "nonce": num(c.nonce), "last": num(c.last),
				"operation": hexed(q.Operation),
			},
			Bytes: map[string]string{
				"sender": q.Sender.String(), "signed": hexed(q.Claim().Message), "signature": q.Signature.String(),
				"transaction": hexed(q.Bytes()), "id": q.ID().String(), "body_digest": q.Body().String(),
			},
		})
	}
	return vectors
}

func testBatch() *message.Batch {
	return message.NewBatch(1_700_000_000_123, []*message.Request{signedRequest(1, 1000, "put greeting hello"), signedRequest(2, 1000, "")})
}

func batchVectors() (vectors []vector) {
	for name, b := range map[string]*message.Batch{"batch of two": testBatch()} {
		var w message.Writer
		b.Encode(&w)
		var txs, bodies []string
		for _, q := range b.Requests {
			txs, bodies = append(txs, hexed(q.Bytes())), append(bodies, q.Body().String())
		}
		vectors = append(vectors, vector{
			Name: name, Input: in{"time": num(b.Time), "transactions": txs, "body_digests": bodies},
			Bytes: map[string]string{"batch": hexed(w.Bytes()), "digest": b.Digest().String()},
		})
	}
	return vectors
}

func signedPairs(votes []*message.Signed) (all []in) {
	for _, m := range votes {
		all = append(all, in{"signed": hexed(m.Bytes), "signature": m.Signature.String()})
	}
	return all
}

func messageVectors(t *testing.T) (vectors []vector) {
	e := genesis(4).Epoch()
	crash := genesis(4).Epoch()
	crash.Mode = epoch.Crash
	sayCrash := func(author epoch.ReplicaID, body message.Body) *message.Signed {
		return message.Sign(crypto.Ed25519(), keys[author], crash, author, body)
	}
	b, changes := testBatch(), message.NewChangeBatch(1_700_000_000_123, testChange(e))
	vote := message.Vote{View: 3, Seq: 7, Digest: b.Digest()}
	input := in{"view": "3", "seq": "7", "batch_digest": b.Digest().String()}
	var w message.Writer
	b.Encode(&w)
	h := testHeader()
	over := message.Vote{View: 3, Seq: h.Seq + 1, Digest: b.Digest()}
	say := func(author epoch.ReplicaID, body message.Body) *message.Signed {
		return message.Sign(crypto.Ed25519(), keys[author], e, author, body)
	}
	change := &message.ViewChange{View: 4, Start: h.Seq, Header: h.Digest(), Attestations: []*message.Signed{say(1, attestation(h))},
		Prepared: []message.Certificate{{Vote: over, Votes: []*message.Signed{say(2, &message.Prepare{Vote: over}), say(4, &message.PrePrepare{Vote: over, Batch: b})}}}}
	first := message.Sign(crypto.Ed25519(), keys[3], e, 3, &message.Prepare{Vote: vote})
	second := message.Sign(crypto.Ed25519(), keys[3], e, 3, &message.Prepare{Vote: message.Vote{View: 3, Seq: 7, Digest: h.Digest()}})
	evidence, err := message.NewEvidence(first, second)
	if err != nil {
		t.Fatal(err)
	}
	first, second = evidence.A, evidence.B
	concealed, err := message.NewEvidence(say(2, &message.ViewChange{View: 4, Start: over.Seq - 1}), say(2, &message.Commit{Vote: over}))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		body  message.Body
		input in
	}{
		{&message.PrePrepare{Vote: vote, Batch: b}, in{"view": "3", "seq": "7", "batch": hexed(w.Bytes())}},
		{&message.PrePrepare{Vote: vote, Outline: b.Outline()}, in{"view": "3", "seq": "7", "time": num(b.Time), "body_digests": []string{
			b.Requests[0].Body().String(), b.Requests[1].Body().String()}}},
		{&message.PrePrepare{Vote: vote}, input},
		{&message.Prepare{Vote: vote}, input},
		{&message.Commit{Vote: vote}, input},
		{&message.Suspect{View: 3, Delivered: 6}, in{"view": "3", "delivered": "6"}},
		{change, in{"view": "4", "start": num(h.Seq), "header_digest": h.Digest().String(), "attestations": signedPairs(change.Attestations),
			"prepared": []in{{"view": "3", "seq": num(over.Seq), "batch_digest": over.Digest.String()}},
			"votes":    [][]in{signedPairs(change.Prepared[0].Votes)}}},
		{&message.NewView{View: 4, ViewChanges: []message.Named{{Author: 1, Digest: b.Digest()}, {Author: 3, Digest: h.Digest()}}},
			in{"view": "4", "view_changes": []in{{"author": "1", "digest": b.Digest().String()}, {"author": "3", "digest": h.Digest().String()}}}},
		{attestation(h), in{"seq": num(h.Seq), "header_digest": h.Digest().String()}},
		{&message.Status{View: 3, Installed: true, Delivered: 64, Acknowledged: 63, Stable: 0, Progress: []message.Phase{3, 2, 1, 0}},
			in{"view": "3", "installed": "1", "delivered": "64", "acknowledged": "63", "stable": "0", "progress": []int{3, 2, 1, 0}}},
		{&message.Want{From: 5, To: 36}, in{"from": "5", "to": "36"}},
		{&message.Have{Blocks: [][]byte{{1, 2, 3}}, Checkpoint: []byte{4, 5}, HandOver: []byte{6}}, in{"blocks": []string{"010203"}, "checkpoint": "0405", "hand_over": "06"}},
		{&message.Bundle{Head: 6, Requests: b.Requests[:1]}, in{"head": "6", "transactions": []string{hexed(b.Requests[0].Bytes())}}},
		{&message.Fetch{Seq: 7, Batch: b.Digest(), Missing: []uint16{1}}, in{"seq": "7", "batch_digest": b.Digest().String(), "missing": []int{1}}},
		{&message.Bodies{Seq: 7, Batch: b.Digest(), Time: b.Time, Requests: b.Requests[1:]}, in{"seq": "7", "batch_digest": b.Digest().String(),
			"time": num(b.Time), "transactions": []string{hexed(b.Requests[1].Bytes())}}},
		{evidence, in{"a": hexed(first.Bytes), "a_signature": first.Signature.String(), "b": hexed(second.Bytes), "b_signature": second.Signature.String(),
			"id": evidence.ID().String()}},
		{concealed, in{"a": hexed(concealed.A.Bytes), "a_signature": concealed.A.Signature.String(), "b": hexed(concealed.B.Bytes),
			"b_signature": concealed.B.Signature.String(), "id": concealed.ID().String()}},
		{&message.PaxosPrepare{View: 4}, in{"view": "4"}},
		{&message.Heartbeat{View: 4}, in{"view": "4"}},
		{&message.PaxosPromise{View: 4, Start: h.Seq, Header: h.Digest(), Attestations: []*message.Signed{sayCrash(1, attestation(h))}, Accepted: []message.Vote{over}},
			in{"view": "4", "start": num(h.Seq), "header_digest": h.Digest().String(), "attestations": signedPairs([]*message.Signed{sayCrash(1, attestation(h))}),
				"accepted": []in{{"view": "3", "seq": num(over.Seq), "batch_digest": over.Digest.String()}}}},
		{message.NewPaxosAccept(vote, b), in{"view": "3", "seq": "7", "batch": hexed(w.Bytes())}},
		{&message.PaxosAccepted{Vote: vote}, input},
		{&message.PaxosLearn{Vote: vote, Accepted: []*message.Signed{sayCrash(1, &message.PaxosAccepted{Vote: vote}), sayCrash(3, &message.PaxosAccepted{Vote: vote})}},
			in{"view": "3", "seq": "7", "batch_digest": b.Digest().String(),
				"votes": signedPairs([]*message.Signed{sayCrash(1, &message.PaxosAccepted{Vote: vote}), sayCrash(3, &message.PaxosAccepted{Vote: vote})})}},
		{&message.PrePrepare{Vote: message.Vote{View: 3, Seq: 7, Digest: changes.Digest()}, Batch: changes}, in{"view": "3", "seq": "7",
			"batch_digest": changes.Digest().String(), "time": num(changes.Time), "change": hexed(message.EncodeChange(changes.Change))}},
		{&message.Bodies{Seq: 7, Batch: changes.Digest(), Time: changes.Time, Change: changes.Change}, in{"seq": "7",
			"batch_digest": changes.Digest().String(), "time": num(changes.Time), "change": hexed(message.EncodeChange(changes.Change))}},
		{&message.Propose{Change: changes.Change.With(nil)}, in{"change": hexed(message.EncodeChange(changes.Change.With(nil)))}},
		{&message.Ready{Change: changes.Change.ID(), Incarnation: epoch.Incarnation{2}, Seq: 6, Header: h.Digest()}, in{
			"change": changes.Change.ID().String(), "incarnation": epoch.Incarnation{2}.String(), "seq": "6", "header_digest": h.Digest().String()}},
		{&message.Standing{Recovery: testRecovery(e, h).ID(), Incarnation: epoch.Incarnation{2}, Seq: 6, Willing: true, Given: testRecovery(e, h).Header}, in{
			"recovery": testRecovery(e, h).ID().String(), "incarnation": epoch.Incarnation{2}.String(), "seq": "6", "willing": "1", "given": testRecovery(e, h).Header.String()}},
		{&message.Recover{Recovery: testRecovery(e, h)}, in{"recovery": hexed(message.EncodeRecovery(testRecovery(e, h)))}},
	} {
		e := e
		if c.body.Kind().CheckMode(e.Mode) != nil {
			e = crash
		}
		m := message.Sign(crypto.Ed25519(), keys[2], e, 2, c.body)
		if !crypto.Ed25519().Verify(m.Claim(e)) {
			t.Errorf("%s: its own signature does not hold", c.body.Kind())
		}
		var wire message.Writer
		m.Encode(&wire)
		whole := in{"chain": m.Chain.String(), "epoch": m.Epoch.String(), "mode": strconv.Itoa(int(m.Mode)), "kind": strconv.Itoa(int(c.body.Kind())),
			"author": "2", "author_seed": seed(2)}
		for k, v := range c.input {
			whole[k] = v
		}
		name := c.body.Kind().String()
		if p, ok := c.body.(*message.PrePrepare); ok && p.Outline != nil {
			name += ", by names"
		} else if ok && p.Batch == nil {
			name += ", settled"
		} else if ok && p.Batch.Change != nil {
			name += ", of a change"
		} else if v, ok := c.body.(*message.Bodies); ok && v.Change != nil {
			name += ", of a change"
		} else if v, ok := c.body.(*message.Evidence); ok && v == concealed {
			name += ", concealed"
		}
		vectors = append(vectors, vector{
			Name: name, Input: whole,
			Bytes: map[string]string{
				"signed": hexed(m.Bytes), "signature": m.Signature.String(), "attached": hexed(m.Attached), "wire": hexed(wire.Bytes()),
			},
		})
	}
	return vectors
}

func testHeader() proof.Header {
	g := genesis(4)
	parent := g.Header()
	return proof.Header{
		Epoch: g.Digest(), Seq: 1, Parent: parent.Digest(), Batch: testBatch().Digest(),
		Results: statemachine.ResultsRoot(outcomes()), State: statemachine.NextState(crypto.Digest{}, 1, writes()),
		Time: 1_700_000_000_123,
	}
}

func headerVector(name string, h proof.Header) vector {
	var w message.Writer
	h.Encode(&w)
	return vector{
		Name: name,
		Input: in{"epoch": h.Epoch.String(), "seq": num(h.Seq), "parent": h.Parent.String(), "batch": h.Batch.String(),
			"results": h.Results.String(), "state": h.State.String(), "time": num(h.Time), "next_epoch": h.NextEpoch.String()},
		Bytes: map[string]string{"header": hexed(w.Bytes()), "digest": h.Digest().String()},
	}
}

func headerVectors() []vector {
	return []vector{headerVector("the genesis's header", genesis(4).Header()), headerVector("the first header", testHeader())}
}

func outcomes() []statemachine.Outcome {
	b := testBatch()
	return []statemachine.Outcome{
		{ID: b.Requests[0].ID(), Status: statemachine.Applied, Seq: 1, Result: []byte("done")},
		{ID: b.Requests[1].ID(), Status: statemachine.Failed, Code: 7, Seq: 1},
		{ID: b.Requests[0].ID(), Status: statemachine.Duplicate, Seq: 1},
	}
}

// The results root commits to a leaf that the state machine lays out and a receipt's reader lays out again: the two
// packages may not import each other, so here is where they are held together.
func resultVectors(t *testing.T) (vectors []vector) {
	all := outcomes()
	for n := range len(all) + 1 {
		var results []in
		leaves := map[string]string{"root": statemachine.ResultsRoot(all[:n]).String()}
		for i, o := range all[:n] {
			r := proof.Result{ID: o.ID, Status: uint8(o.Status), Code: uint16(o.Code), Seq: epoch.Seq(o.Seq), Value: o.Result}
			if !bytes.Equal(r.Leaf(), statemachine.Leaf(o)) {
				t.Errorf("result %d: the receipt's leaf is not the state machine's", i)
			}
			leaves[fmt.Sprintf("leaf_%d", i)] = hexed(r.Leaf())
			results = append(results, in{"id": o.ID.String(), "status": strconv.Itoa(int(o.Status)), "code": strconv.Itoa(int(o.Code)),
				"seq": num(o.Seq), "result": hexed(o.Result)})
		}
		vectors = append(vectors, vector{Name: fmt.Sprintf("%d results", n), Input: in{"results": results}, Bytes: leaves})
	}
	return vectors
}

func writes() []statemachine.Write {
	return []statemachine.Write{
		{Key: []byte("a"), Value: []byte("one")}, {Key: []byte("b"), Delete: true}, {Key: []byte("c"), Value: []byte{}},
	}
}

func stateVectors() (vectors []vector) {
	state := crypto.Digest{}
	for seq := range uint64(3) {
		ws := writes()[:3-seq]
		if seq == 1 {
			ws = nil
		}
		entries := []in{}
		for _, w := range ws {
			e := in{"key": hexed(w.Key), "delete": w.Delete}
			if !w.Delete {
				e["value"] = hexed(w.Value)
			}
			entries = append(entries, e)
		}
		next := statemachine.NextState(state, seq+1, ws)
		vectors = append(vectors, vector{
			Name:  fmt.Sprintf("slot %d writes %d keys", seq+1, len(ws)),
			Input: in{"before": state.String(), "seq": num(seq + 1), "writes": entries},
			Bytes: map[string]string{"state": next.String()},
		})
		state = next
	}
	return vectors
}

func genesisVectors() []vector {
	g := genesis(4)
	text, err := json.Marshal(g)
	if err != nil {
		panic(err) // of text and numbers only
	}
	file := in{}
	if err := json.Unmarshal(text, &file); err != nil {
		panic(err)
	}
	var w message.Writer
	proof.EncodeEpoch(&w, g.Epoch())
	return []vector{{Name: "a genesis", Input: in{"genesis": file},
		Bytes: map[string]string{"digest": g.Digest().String(), "epoch": hexed(w.Bytes())}}}
}

// testChange takes the epoch to crash mode; the first three members are ready for it at the genesis.
func testChange(e *epoch.Epoch) *message.Change {
	c := &message.Change{Chain: e.Chain, Of: e.ID, Next: e.Configuration, Last: 1000}
	c.Next.Mode = epoch.Crash
	c.Approve(crypto.Ed25519(), keys[39])
	start := genesis(4).Header()
	for id := epoch.ReplicaID(1); id <= 3; id++ {
		c.Readiness = append(c.Readiness, message.Sign(crypto.Ed25519(), keys[id], e, id,
			&message.Ready{Change: c.ID(), Incarnation: c.Next.Members[id-1].Incarnation, Header: start.Digest()}))
	}
	return c
}

func testRecovery(e *epoch.Epoch, h proof.Header) *message.Recovery {
	c := &message.Recovery{Chain: e.Chain, Of: e.ID, Next: e.Configuration, Number: 1_700_000_000_123, Seq: h.Seq, Header: h.Digest(), Evidence: []crypto.Digest{{1}, {2}}}
	c.Approve(crypto.Ed25519(), keys[39])
	return c
}

func configurationInput(c *epoch.Configuration) in {
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // of text and numbers only
	}
	out := in{}
	if err := json.Unmarshal(text, &out); err != nil {
		panic(err)
	}
	return out
}

func approvals(list []message.Approval) (all []in) {
	for _, a := range list {
		all = append(all, in{"key": a.Key.String(), "signature": a.Signature.String()})
	}
	return all
}

func epochVectors(t *testing.T) []vector {
	e := genesis(4).Epoch()
	change := testChange(e)
	next, err := proof.Next(e, change, 1, crypto.Ed25519())
	if err != nil {
		t.Fatal(err)
	}
	batch := message.NewChangeBatch(1_700_000_000_123, change)
	h := testHeader()
	h.Batch, h.NextEpoch = batch.Digest(), message.ConfigurationDigest(next)
	var whole, configured message.Writer
	batch.Encode(&whole)
	message.WriteConfiguration(&configured, next)
	recovery := testRecovery(e, testHeader())
	vectors := []vector{
		{
			Name: "a configuration", Input: in{"configuration": configurationInput(next)},
			Bytes: map[string]string{"configuration": hexed(configured.Bytes()), "digest": h.NextEpoch.String()},
		}, {
			Name: "a change",
			Input: in{"change": in{"chain": change.Chain.String(), "of": change.Of.String(), "next": configurationInput(next), "last": num(change.Last),
				"authority": approvals(change.Authority), "readiness": signedPairs(change.Readiness)}, "time": num(batch.Time)},
			Bytes: map[string]string{"change": hexed(message.EncodeChange(change)), "signed": hexed(change.Signed()), "id": change.ID().String(),
				"batch": hexed(whole.Bytes()), "batch_digest": batch.Digest().String()},
		}, {
			Name: "a recovery",
			Input: in{"recovery": in{"chain": recovery.Chain.String(), "of": recovery.Of.String(), "next": configurationInput(&recovery.Next),
				"number": num(recovery.Number), "seq": num(recovery.Seq), "header": recovery.Header.String(), "evidence": recovery.Evidence, "authority": approvals(recovery.Authority)}},
			Bytes: map[string]string{"recovery": hexed(message.EncodeRecovery(recovery)), "signed": hexed(recovery.Signed()), "id": recovery.ID().String()},
		},
	}
	for name, over := range map[string]*proof.HandOver{
		"a hand-over": {Header: h, Next: *next}, "a hand-over that is forced": {Header: testHeader(), Next: recovery.Next, Forced: recovery},
	} {
		attest(e, over)
		follows := over.Follows(e)
		if _, err := over.Verify(e, crypto.Ed25519()); err != nil {
			t.Error(err)
		}
		x := over.Header
		input := in{"of": configurationInput(&e.Configuration), "genesis": e.Chain.String(), "header": headerVector("", x).Input, "next": configurationInput(&over.Next),
			"outgoing": signedPairs(over.Outgoing), "incoming": signedPairs(over.Incoming)}
		if over.Forced != nil {
			input["recovery"] = hexed(message.EncodeRecovery(over.Forced))
		}
		vectors = append(vectors, vector{Name: name, Input: input, Bytes: map[string]string{
			"identity": follows.ID.String(), "hand_over": hexed(proof.EncodeHandOver(over)),
			"entered": hexed(ordering.Encode(&ordering.Entered{Epoch: follows, HandOver: over})),
		}})
	}
	slices.SortStableFunc(vectors, func(a, b vector) int { return strings.Compare(a.Name, b.Name) })
	return vectors
}

func receiptVectors(t *testing.T) []vector {
	g := genesis(4)
	first, _ := receipt(g)
	over := &proof.HandOver{Header: testHeader(), Next: testChange(g.Epoch()).Next}
	over.Header.NextEpoch = message.ConfigurationDigest(&over.Next)
	attest(g.Epoch(), over)
	later := receiptIn(over.Follows(g.Epoch()), over.Header)
	later.HandOvers, later.Attestations = []*proof.HandOver{over}, later.Attestations[:1]
	return []vector{
		receiptVector(t, "a receipt that a quorum vouches for", first, g.Epoch()),
		receiptVector(t, "a receipt of a later epoch, of crash mode", later, over.Follows(g.Epoch())),
	}
}

func receiptVector(t *testing.T, name string, r *proof.Receipt, e *epoch.Epoch) vector {
	var headers, votes, overs, path []string
	for i := range r.Headers {
		var w message.Writer
		r.Headers[i].Encode(&w)
		headers = append(headers, hexed(w.Bytes()))
	}
	for i, v := range r.Attestations {
		v = message.Sign(crypto.Ed25519(), keys[v.Author], e, v.Author, v.Body)
		r.Attestations[i] = v
		var w message.Writer
		v.EncodeDetached(&w)
		votes = append(votes, hexed(w.Bytes()))
	}
	for _, h := range r.HandOvers {
		overs = append(overs, hexed(proof.EncodeHandOver(h)))
	}
	if _, err := r.VerifyFrom(genesis(4).Epoch(), crypto.Ed25519()); err != nil {
		t.Error(err)
	}
	for _, d := range r.Path {
		path = append(path, d.String())
	}
	input := in{"genesis": genesis(4).Digest().String(), "index": num(r.Index), "count": num(r.Count), "path": path, "headers": headers, "attestations": votes}
	if len(overs) > 0 {
		input["hand_overs"] = overs
	}
	return vector{Name: name, Input: input, Bytes: map[string]string{
		"leaf": hexed(r.Result.Leaf()), "root": r.Headers[0].Results.String(), "receipt": hexed(proof.EncodeReceipt(r)),
	}}
}

// attest has the first three members of both epochs vouch for a hand-over.
func attest(e *epoch.Epoch, h *proof.HandOver) {
	follows := h.Follows(e)
	for id := epoch.ReplicaID(1); id <= 3; id++ {
		said := attestation(h.Header)
		if h.Forced == nil {
			h.Outgoing = append(h.Outgoing, message.Sign(crypto.Ed25519(), keys[id], e, id, said))
		}
		h.Incoming = append(h.Incoming, message.Sign(crypto.Ed25519(), keys[id], follows, id, said))
	}
}
