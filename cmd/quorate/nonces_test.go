package main

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func TestEachNonceIsHandedOutOnce(t *testing.T) {
	n := noncesOf(filepath.Join(t.TempDir(), "alice.json"))
	var mu sync.Mutex
	seen := make(map[uint64]bool)
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			nonce, err := n.next()
			mu.Lock()
			defer mu.Unlock()
			if err != nil || nonce == 0 || nonce > 20 || seen[nonce] {
				t.Errorf("%d, %v", nonce, err)
			}
			seen[nonce] = true
		})
	}
	wg.Wait()
	if err := n.goOn(1<<64 - 2); err != nil {
		t.Fatal(err)
	}
	if nonce, err := n.next(); err != nil || nonce != 1<<64-1 {
		t.Errorf("%d, %v", nonce, err)
	}
	if nonce, err := n.next(); err == nil {
		t.Errorf("after the last: %d", nonce)
	}
}

func TestADamagedNonceFileIsRefusedByName(t *testing.T) {
	n := noncesOf(filepath.Join(t.TempDir(), "alice.json"))
	if err := os.WriteFile(string(n), []byte("lots\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := n.next(); err == nil || !strings.Contains(err.Error(), string(n)) || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("%v", err)
	}
}

// Whatever the network's highest nonce is, and wherever one begins, few refusals lead to one that it takes.
func TestSearchFindsANonceThatTheNetworkTakes(t *testing.T) {
	const window = 1024
	for _, highest := range []uint64{0, 1, 1023, 1024, 1025, 5000, 1 << 20, 1<<40 + 17} {
		for _, from := range []uint64{1, highest/2 + 1, highest + window + 1, highest + 1<<30, highest*3 + 1} {
			s, nonce, tries := newSearch(window), from, 0
			for ; ; tries++ {
				taken := nonce <= highest // used, or behind the window
				if !taken && nonce-highest <= window {
					break
				}
				var ok bool
				if taken {
					nonce, ok = s.tooLow(nonce)
				} else {
					nonce, ok = s.tooHigh(nonce)
				}
				if !ok || tries > 100 {
					t.Fatalf("highest %d, from %d: gave up at %d after %d", highest, from, nonce, tries)
				}
			}
			if tries > 80 {
				t.Errorf("highest %d, from %d: %d tries", highest, from, tries)
			}
		}
	}
}

func TestSearchGivesUpWhereThereIsNoNonce(t *testing.T) {
	s := newSearch(16)
	if _, ok := s.tooHigh(1); ok {
		t.Error("nothing is below 1")
	}
	s = newSearch(16)
	if next, ok := s.tooLow(1<<64 - 1); ok {
		t.Errorf("%d is beyond the last", next)
	}
}
