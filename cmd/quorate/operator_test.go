package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quorate/quorate/api"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/crypto/keystore"
	"github.com/quorate/quorate/testnet/local"
)

// fakes are four nodes of which one may lie: what each answers, a test says.
type fakes struct {
	*operator
	genesis  *proof.Genesis
	status   func(i int) api.Status
	epoch    func(i int, e *epoch.Epoch) // what node i makes of the first epoch when it is asked for any
	evidence int                         // the node that has no answer to what evidence it holds
	posted   []byte
	said     strings.Builder
}

func newFakes(t *testing.T, mode epoch.Mode) *fakes {
	key := crypto.NewPrivateKey([32]byte{39})
	f := &fakes{genesis: &proof.Genesis{Chain: "test", Test: true, Time: 1000, Configuration: epoch.Configuration{
		Mode: mode, Parameters: epoch.DefaultParameters(), Operators: []crypto.PublicKey{key.Public()}, Threshold: 1}}}
	f.status = f.honest
	for i := 1; i <= 4; i++ {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { f.answer(i, w, r) }))
		t.Cleanup(s.Close)
		f.genesis.Members = append(f.genesis.Members, epoch.Member{
			Name: fmt.Sprintf("node%d", i), Key: crypto.NewPrivateKey([32]byte{byte(i)}).Public(), PeerID: fmt.Sprintf("peer%d", i),
			Address: fmt.Sprintf("host:%d", i), API: strings.TrimPrefix(s.URL, "http://"), Incarnation: epoch.Incarnation{byte(i)},
		})
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "genesis.json")
	if err := local.WriteGenesis(path, f.genesis); err != nil {
		t.Fatal(err)
	}
	if err := keystore.Save(filepath.Join(dir, "operator.json"), key); err != nil {
		t.Fatal(err)
	}
	a := &app{out: &f.said, err: &f.said}
	f.operator = &operator{target: target{app: a, genesis: path, timeout: 700 * time.Millisecond}, signers: []string{"operator"}}
	f.ring.app, f.ring.folder = a, dir
	return f
}

func (f *fakes) honest(i int) api.Status {
	return api.Status{Node: uint32(i), Seq: 10, Header: crypto.Digest{7}.String(), Incarnation: epoch.Incarnation{byte(i)}.String()}
}

func (f *fakes) answer(i int, w http.ResponseWriter, r *http.Request) {
	var answer any = api.EvidenceList{}
	switch {
	case r.URL.Path == "/status":
		answer = f.status(i)
	case r.Method == http.MethodPost:
		f.posted, _ = io.ReadAll(r.Body)
		w.WriteHeader(http.StatusAccepted)
		answer = api.HandedIn{}
	case r.URL.Path == "/evidence" && i == f.evidence:
		w.WriteHeader(http.StatusInternalServerError)
		return
	case strings.HasPrefix(r.URL.Path, "/epoch/"):
		e := *f.genesis.Epoch()
		e.Members, e.Operators = slices.Clone(e.Members), slices.Clone(e.Operators)
		if f.epoch != nil {
			f.epoch(i, &e)
		}
		answer = plainOf(&e)
	}
	_ = json.NewEncoder(w).Encode(answer)
}

func plainOf(e *epoch.Epoch) api.Epoch {
	out := api.Epoch{
		Number: e.Number, Identity: e.ID.String(), Chain: e.Chain.String(), Base: uint64(e.Base), Mode: e.Mode.String(), Parameters: map[string]uint32{},
		Threshold: e.Threshold, Header: &api.Header{},
	}
	for _, m := range e.Members {
		out.Members = append(out.Members, api.EpochMember{Name: m.Name, Key: m.Key.String(), PeerID: m.PeerID, Address: m.Address, API: m.API, Incarnation: m.Incarnation.String()})
	}
	p := e.Parameters
	for _, x := range p.Fields() {
		out.Parameters[x.Name] = *x.Value
	}
	for _, k := range e.Operators {
		out.Operators = append(out.Operators, k.String())
	}
	return out
}

func (f *fakes) within(t *testing.T, do func(context.Context, *known)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	k, err := f.look(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer k.close()
	do(ctx, k)
}

// One lying node tells of the epoch with other operators, and of a mode in which one word is enough: an operator who changes a parameter signs
// what is proven, and nothing that the liar would have.
//
// case J9; believing what a node says of an epoch turns it red.
func TestALiarHasNoOperatorSignTheNetworkOver(t *testing.T) {
	for liar := 1; liar <= 4; liar++ {
		f := newFakes(t, epoch.Byzantine)
		thief := crypto.NewPrivateKey([32]byte{66}).Public()
		f.status = func(i int) api.Status {
			s := f.honest(i)
			if i == liar {
				s.Epoch = 1 << 40
			}
			return s
		}
		f.epoch = func(i int, e *epoch.Epoch) {
			if i == liar {
				e.Number, e.Mode, e.Operators = 1<<40, epoch.Crash, append(e.Operators, thief)
				e.Members[1].Incarnation = epoch.Incarnation{77}
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), f.timeout)
		err := f.change(ctx, "parameters are those", func(next *epoch.Configuration) error { next.Parameters.Window = 512; return nil })
		cancel()
		if f.posted == nil {
			t.Fatalf("liar %d: nothing was asked for: %v", liar, err)
		}
		c, err := message.DecodeChange(f.posted)
		if err != nil {
			t.Fatal(err)
		}
		want := f.genesis.Configuration
		want.Parameters.Window = 512
		if message.ConfigurationDigest(&c.Next) != message.ConfigurationDigest(&want) {
			t.Errorf("liar %d: window=512 has made a change to mode %s, with %d operators", liar, c.Next.Mode, len(c.Next.Operators))
		}
	}
}

// One lying node says that the mode is what the operator asks for: he is not told that nothing is to be done.
//
// case J9; believing it turns it red.
func TestALiarHasNoModeReportedThatIsNot(t *testing.T) {
	f := newFakes(t, epoch.Crash)
	f.status = func(i int) api.Status {
		s := f.honest(i)
		if i == 4 {
			s.Epoch = 1
		}
		return s
	}
	f.epoch = func(i int, e *epoch.Epoch) {
		if i == 4 {
			e.Number, e.Mode = 1, epoch.Byzantine
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), f.timeout)
	defer cancel()
	err := f.change(ctx, "mode is byzantine", func(next *epoch.Configuration) error { next.Mode = epoch.Byzantine; return nil })
	if err == nil || f.posted == nil {
		t.Errorf("%v; nothing was asked for: %q", err, f.said.String())
	}
}

// One node says to be further than the others, and shows nobody; another has no answer to what evidence it holds: the operator recovers the
// network all the same, from where a quorum stands.
//
// case J7; waiting for what a liar claims turns it red.
func TestALiarKeepsNoOperatorFromRecovering(t *testing.T) {
	f := newFakes(t, epoch.Crash)
	f.evidence = 4
	f.status = func(i int) api.Status {
		s := f.honest(i)
		if i == 4 {
			s.Seq, s.Header = 11, crypto.Digest{8}.String()
		}
		return s
	}
	f.within(t, func(ctx context.Context, k *known) {
		_, head, err := f.gather(ctx, k)
		if err != nil || head.Seq != 10 || !strings.Contains(f.said.String(), "node4 says to be at slot 11") {
			t.Errorf("%v, %v; %s", head, err, f.said.String())
		}
		f.evidenceAgainst(ctx, k)
	})
}

// One node says to be another one: what a member's log is, the operator takes from where that member answers.
//
// case J7; believing who a node says to be turns it red.
func TestALiarMisnamesNobody(t *testing.T) {
	f := newFakes(t, epoch.Crash)
	f.status = func(i int) api.Status {
		s := f.honest(i)
		if i == 1 {
			s.Node, s.Incarnation = 2, epoch.Incarnation{99}.String()
		}
		return s
	}
	f.within(t, func(ctx context.Context, k *known) {
		next, _, err := f.gather(ctx, k)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []byte{99, 2, 3, 4} {
			if got := next.Members[i].Incarnation; got != (epoch.Incarnation{want}) {
				t.Errorf("node%d lives as %s, and the operator would sign %s", i+1, epoch.Incarnation{want}, got)
			}
		}
	})
}
