package node

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/node/host"
	"github.com/quorate/quorate/statemachine/kv"
)

// damage flips a bit of the log of a stopped node, or of a running one, in the middle of the only place that holds text.
func (w *network) damage(i int, text string) {
	w.t.Helper()
	files, err := filepath.Glob(filepath.Join(logDir(w.home(i)), "*.log"))
	if err != nil || len(files) == 0 {
		w.t.Fatalf("no segments: %v", err)
	}
	for _, path := range files {
		raw, err := os.ReadFile(path)
		if err != nil {
			w.t.Fatal(err)
		}
		at := bytes.Index(raw, []byte(text))
		if at < 0 {
			continue
		}
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			w.t.Fatal(err)
		}
		defer f.Close()
		if _, err := f.WriteAt([]byte{raw[at+len(text)/2] ^ 4}, int64(at+len(text)/2)); err != nil {
			w.t.Fatal(err)
		}
		return
	}
	w.t.Fatalf("the log of node %d does not hold %q", i, text)
}

// A member whose disk has damaged transactions of decided blocks starts, votes, fetches them from others, and has them for
// good; while it lacks them it says so, and gives nobody another block.
//
// case F6, F7; refusing to start, answering without the batch, or fetching only what a peer has found out, turns it red.
func TestDamagedTransactionsAreFetchedFromOthers(t *testing.T) {
	w := newNetwork(t)
	w.start(1, 2, 3, 4)
	w.ready(1, 2, 3, 4)
	marks := make(map[epoch.Seq]string)
	for i := range 8 {
		mark := fmt.Sprintf("a value that stands in the log %d times", i)
		marks[w.submit(1, w.request(kv.Put([]byte("key"), []byte(mark)))).Seq] = mark
	}
	last := w.same(1, 2, 3, 4).Seq
	w.submit(1, w.request(kv.Put([]byte("key"), []byte("the last"))))
	w.same(1, 2, 3, 4)

	// While it runs: a read finds out.
	at, mark := last, marks[last]
	w.damage(3, mark)
	blocks := w.nodes[2].Blocks()
	var lost *host.LostError
	if _, _, err := blocks.Block(at); !errors.As(err, &lost) || lost.Seq != at {
		t.Fatalf("a damaged block reads as: %v", err)
	}
	w.until("the batch is there again", func() bool {
		b, ok, err := blocks.Block(at)
		return err == nil && ok && bytes.Contains(b.Batch.Requests[0].Bytes(), []byte(mark))
	})

	// While it is stopped: the start finds out.
	w.stop(3)
	damaged := 0
	for seq, mark := range marks {
		if seq != last {
			w.damage(3, mark)
			damaged++
		}
	}
	w.start(3)
	w.ready(3)
	if n := len(w.nodes[2].host.Recovery().Lost); n != damaged+1 { // the first one's first copy is damaged still
		t.Errorf("%d batches lost, %d were damaged", n, damaged+1)
	}
	w.until("all batches are there again", func() bool { return len(w.nodes[2].Blocks().Lost()) == 0 })
	w.stop(3)
	w.start(3)
	w.ready(3)
	for seq, mark := range marks {
		b, ok, err := w.nodes[2].Blocks().Block(seq)
		if err != nil || !ok || !bytes.Contains(b.Batch.Requests[0].Bytes(), []byte(mark)) {
			t.Errorf("block %d after all: %v", seq, err)
		}
	}
	w.submit(3, w.request(kv.Put([]byte("key"), []byte("and on"))))
	if s := w.same(1, 2, 3, 4); w.nodes[2].Status().Role == ObserverRole {
		t.Errorf("at slot %d it is a %s", s.Seq, w.nodes[2].Status().Role)
	}
}
