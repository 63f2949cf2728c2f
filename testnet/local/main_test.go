package local

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/store"
	"github.com/quorate/quorate/testnet/fault"
)

// The test binary, called like a node, is one: it answers as a node does, and knows nothing.
func TestMain(m *testing.M) {
	if len(os.Args) >= 4 && os.Args[1] == "start" {
		os.Exit(fakeNode(Home(os.Args[3]), slices.Contains(os.Args[4:], "--faults")))
	}
	os.Exit(m.Run())
}

func fakeNode(h Home, tormented bool) int {
	claim, err := h.Claim()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer claim.Release()
	if _, err := os.Stat(filepath.Join(string(h), "dies")); err == nil {
		fmt.Println("the disk is on fire")
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s, err := h.Settings()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	g, err := ReadGenesis(s.Genesis)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	i, _ := strconv.Atoi(strings.TrimPrefix(filepath.Base(string(h)), "node"))
	if tormented {
		f := fault.New(epoch.ReplicaID(i), crypto.NewPrivateKey([crypto.SeedSize]byte{}), store.System())
		if err := f.Begin(string(h)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		s, err := fault.Serve(string(h), f)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer s.Close()
		defer f.Close()
	}
	open, _ := os.ReadDir("/proc/self/fd")
	http.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
	http.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		if _, err := os.Stat(filepath.Join(string(h), "unready")); err == nil {
			http.Error(w, "no quorum", http.StatusServiceUnavailable)
		}
	})
	http.HandleFunc("/status", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"role":"follower","seq":"17","view":"0","leader":1,"ready":true,"why":"","fds":%d}`, len(open))
	})
	http.HandleFunc("/environment", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, strings.Join(os.Environ(), "\n"))
	})
	http.HandleFunc("/descriptors", func(w http.ResponseWriter, _ *http.Request) {
		for _, fd := range open {
			to, _ := os.Readlink("/proc/self/fd/" + fd.Name())
			fmt.Fprintln(w, fd.Name(), to)
		}
	})
	go func() { fmt.Fprintln(os.Stderr, http.ListenAndServe(g.Members[i-1].API, nil)) }()
	<-ctx.Done()
	return 0
}

// testTools makes keys that are as good as any, and remembers the order in which a home was filled.
type testTools struct {
	keys byte
	made []string
}

func (t *testTools) tools() Tools {
	return Tools{
		NewKey: func() (crypto.PrivateKey, error) {
			t.keys++
			return crypto.NewPrivateKey([crypto.SeedSize]byte{t.keys}), nil
		},
		SaveKey: func(path string, key crypto.PrivateKey) error {
			t.made = append(t.made, filepath.Base(path))
			return os.WriteFile(path, []byte(key.Public().String()), 0o600)
		},
		PeerID: func(seed [crypto.SeedSize]byte) string { return fmt.Sprintf("peer-%x", seed[:2]) },
		CreateLog: func(home string, _ crypto.PublicKey, _ epoch.Incarnation) error {
			t.made = append(t.made, "log")
			return os.WriteFile(filepath.Join(home, "data", "log"), nil, 0o600)
		},
	}
}

func newNetwork(t *testing.T) *Network {
	t.Helper()
	p := DefaultPlan()
	p.BasePort = 0
	n, err := Create(filepath.Join(t.TempDir(), "net"), new(testTools).tools(), p)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// thisTest runs the test binary as a node.
func thisTest(t *testing.T) Program {
	t.Helper()
	p, err := ThisProgram()
	if err != nil {
		t.Fatal(err)
	}
	return p
}
