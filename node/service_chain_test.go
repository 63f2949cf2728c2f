package node

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/quorate/quorate/api"
)

// All headers come in pages that join, each naming the one before it.
//
// case L6; a page that repeats or leaves out a header turns it red.
func TestHeadersComeInPagesThatJoin(t *testing.T) {
	n := &fakeNode{committee: newCommittee(t)}
	s := serve(t, n)
	const blocks = maxHeaders + 3
	for i := range blocks {
		n.put("k", fmt.Sprint(i))
	}
	var all []api.NumberedHeader
	for from := uint64(1); from != 0; {
		_, body := get(t, s, fmt.Sprintf("/headers?from=%d", from))
		var page api.Headers
		if err := json.Unmarshal([]byte(body), &page); err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Headers...)
		from = page.Next
	}
	if len(all) != blocks {
		t.Fatalf("%d headers of %d blocks", len(all), blocks)
	}
	genesis := n.genesis.Header()
	parent := genesis.Digest().String()
	for i, h := range all {
		if h.Header.Seq != uint64(i+1) || h.Header.Parent != parent {
			t.Fatalf("header %d: seq %d, parent %s, want %s", i+1, h.Header.Seq, h.Header.Parent, parent)
		}
		parent = h.HeaderDigest
	}
	_, body := get(t, s, "/headers?from=3&to=4")
	var page api.Headers
	if err := json.Unmarshal([]byte(body), &page); err != nil || len(page.Headers) != 2 || page.Next != 0 {
		t.Errorf("two were asked for: %s, %v", body, err)
	}
}
