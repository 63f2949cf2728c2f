package node

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/client"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/node/host"
	"github.com/quorate/quorate/statemachine/kv"
	"github.com/quorate/quorate/store"
)

// What readers who know only the genesis make of a chain of several epochs.

// changeableNetwork is one whose epochs one key may change; its four nodes run.
func changeableNetwork(t *testing.T) *network {
	w := newNetwork(t)
	w.genesis.Operators, w.genesis.Threshold = []crypto.PublicKey{seedKey('o', 1).Public()}, 1
	w.start(1, 2, 3, 4)
	w.ready(1, 2, 3, 4)
	return w
}

// change asks for the next epoch, and waits until all four nodes are in it.
func (w *network) change(edit func(*epoch.Configuration)) *epoch.Epoch {
	w.t.Helper()
	e := w.nodes[0].Epoch()
	c := &message.Change{Chain: e.Chain, Of: e.ID, Next: e.Configuration, Last: w.nodes[0].Status().Seq + 1000}
	c.Next.Members = slices.Clone(e.Members)
	edit(&c.Next)
	c.Approve(crypto.Ed25519(), seedKey('o', 1))
	w.nodes[0].inbox.put(item{event: bft.Asked{Change: c}})
	w.until(fmt.Sprintf("all are in epoch %d", e.Number+1), func() bool {
		for _, n := range w.nodes {
			if n.Epoch().Number != e.Number+1 {
				return false
			}
		}
		return true
	})
	w.ready(1, 2, 3, 4)
	return w.nodes[0].Epoch()
}

// threeEpochs is a chain that goes from Byzantine mode to crash mode and back, with other parameters, and one transaction of each epoch.
func threeEpochs(t *testing.T) (w *network, asked []*message.Request) {
	w = changeableNetwork(t)
	put := func() {
		q := w.request(kv.Put(fmt.Appendf(nil, "key%d", len(asked)), make([]byte, 2000)))
		w.submit(len(asked)%4+1, q)
		asked = append(asked, q)
	}
	put()
	w.change(func(next *epoch.Configuration) { next.Mode = epoch.Crash })
	put()
	w.change(func(next *epoch.Configuration) {
		next.Mode, next.Parameters.RequestWriteBytes = epoch.Byzantine, 1024
	})
	put()
	w.same(1, 2, 3, 4)
	return w, asked
}

// A client that knows only the genesis believes what was decided in every epoch, and whoever keeps its receipts needs nothing else.
//
// case L1; a client that judges all by the first epoch turns it red.
func TestAClientFollowsTheEpochs(t *testing.T) {
	w, asked := threeEpochs(t)
	for i, q := range asked {
		c, err := client.New(client.Config{Genesis: w.genesis, Scheme: crypto.Ed25519()})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		r, err := c.Receipt(t.Context(), q.ID())
		if err != nil {
			t.Fatal(err)
		}
		kept, err := proof.DecodeReceipt(proof.EncodeReceipt(r))
		if err != nil {
			t.Fatal(err)
		}
		e, err := kept.VerifyFrom(w.genesis.Epoch(), crypto.Ed25519())
		if err != nil || e.Number != uint64(i) || len(kept.HandOvers) != i {
			t.Errorf("transaction %d: %+v, %d hand-overs, %v", i, e, len(kept.HandOvers), err)
		}
		if o, err := c.Transaction(t.Context(), q.ID()); err != nil || o.Seq != r.Headers[0].Seq {
			t.Errorf("transaction %d: %+v, %v", i, o, err)
		}
		again, err := c.Submit(t.Context(), q)
		if err != nil || again.Receipt == nil || len(again.Receipt.HandOvers) != i {
			t.Errorf("transaction %d once more: %+v, %v", i, again, err)
		}
	}
	c, err := client.New(client.Config{Genesis: w.genesis, Scheme: crypto.Ed25519()})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var changes []epoch.Mode
	for seq := epoch.Seq(1); seq <= w.nodes[0].Status().Seq; seq++ {
		b, err := c.Block(t.Context(), seq)
		if err != nil {
			t.Fatalf("block %d: %v", seq, err)
		}
		if b.Epoch.ID != b.Header.Epoch {
			t.Errorf("block %d is shown in another epoch", seq)
		}
		if b.Batch.Change != nil {
			changes = append(changes, b.Batch.Change.Next.Mode)
		}
	}
	if !slices.Equal(changes, []epoch.Mode{epoch.Crash, epoch.Byzantine}) {
		t.Errorf("changes to %v", changes)
	}
}

// genesisFile is the network's genesis in a file.
func (w *network) genesisFile() string { return w.file("genesis.json", w.genesis) }

// file is one of the test's own, in JSON.
func (w *network) file(name string, what any) string {
	w.t.Helper()
	raw, err := json.Marshal(what)
	path := filepath.Join(w.dir, name)
	if err == nil {
		err = os.WriteFile(path, raw, 0o600)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return path
}

// Whoever starts from the genesis and the documents alone follows the epochs, and sees every change of what shows that one follows another.
//
// case M3, case J8; a checker that looks at less of a change or a hand-over turns it red.
func TestIndependentCheckerFollowsTheEpochs(t *testing.T) {
	w, _ := threeEpochs(t)
	genesis := w.genesisFile()
	if code, said := checker(t, "--genesis", genesis); code != 0 || !strings.Contains(said, "4 nodes") || !strings.Contains(said, "all holds") {
		t.Fatalf("exit code %d: %s", code, said)
	}
	change := ""
	for n := 1; change == ""; n++ {
		if _, ok := fetched(t, fmt.Sprintf("%s/block/%d", url(w, 1), n))["change"]; ok {
			change = fmt.Sprintf("/block/%d", n)
		}
	}
	type edit struct{ path, field string }
	var edits []edit
	for _, path := range []string{change, "/epoch/1", "/epoch/2"} {
		for _, l := range leavesOf("", fetched(t, url(w, 1)+path), nil) {
			// Of a list the first is changed, and the first vote of the epoch that begins: the others are like them.
			first := !strings.Contains(l.path, "[") || strings.Contains(l.path, "[0]") || strings.Contains(l.path, ".hand_over[3]")
			if first && l.path != ".members[0].id" {
				edits = append(edits, edit{path, l.path})
			}
		}
	}
	if len(edits) < 80 {
		t.Fatalf("%d fields: %v", len(edits), edits)
	}
	for _, e := range edits {
		lying := httptest.NewServer(tampering(t, w, e.path, e.field))
		code, said := checker(t, "--genesis", genesis, lying.URL)
		lying.Close()
		if code != 6 || !strings.Contains(said, "expected") {
			t.Errorf("%s of %s changed: exit code %d: %s", e.field, e.path, code, said)
		}
	}
}

// Evidence of a later epoch is judged from what the list of evidence has, and the genesis, alone.
//
// case D14; a list that does not lead to the epochs of its evidence turns it red.
func TestEvidenceOfALaterEpochLeadsThereItself(t *testing.T) {
	w := changeableNetwork(t)
	e := w.change(func(next *epoch.Configuration) { next.Parameters.Pipeline = 8 })
	for d := range byte(2) {
		m := message.Sign(crypto.Ed25519(), seedKey('m', 3), e, 3, &message.Commit{Vote: message.Vote{Seq: e.Base + 5, Digest: crypto.Digest{d}}})
		w.nodes[0].inbox.put(item{event: bft.Received{Signed: m}})
	}
	w.until("it is known", func() bool { return len(w.nodes[0].Evidence()) == 1 })
	list := fetched(t, url(w, 1)+"/evidence")
	genesis := w.genesisFile()
	if code, said := checker(t, "--evidence", w.file("evidence.json", list), genesis); code != 0 {
		t.Errorf("exit code %d: %s", code, said)
	}
	delete(list, "epochs")
	if code, said := checker(t, "--evidence", w.file("evidence.json", list), genesis); code != 6 {
		t.Errorf("without the epochs: exit code %d: %s", code, said)
	}
}

// The log of a stopped member has the hand-overs to all epochs in which it has a block.
//
// case J11; a log whose older epochs are not looked at turns it red.
func TestAStoppedMembersLogShowsItsEpochs(t *testing.T) {
	w, _ := threeEpochs(t)
	w.stop(1)
	log, err := host.Inspect(store.System(), logDir(w.home(1)), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	e := w.genesis.Epoch()
	for _, p := range log.Past {
		if p.Epoch.ID != e.ID {
			t.Fatalf("epoch %s in the place of %s", p.Epoch.ID.Short(), e.ID.Short())
		}
		if e, err = p.HandOver.Verify(e, crypto.Ed25519()); err != nil {
			t.Fatal(err)
		}
	}
	if b, ok, err := log.Block(log.Last()); err != nil || !ok || b.Header.Epoch != e.ID || e.Number != 2 {
		t.Errorf("the newest block is of another epoch than %d: %+v, %v", e.Number, b, err)
	}
}
