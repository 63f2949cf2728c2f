package node

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/statemachine/kv"
)

// votes is how many votes a node has sent: proposals, promises, commits, attestations.
func votes(t *testing.T, n *Node) (sum float64) {
	t.Helper()
	families, err := n.metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	binding := map[string]bool{}
	for _, k := range []message.Kind{message.KindPrePrepare, message.KindPrepare, message.KindCommit, message.KindAttestation} {
		binding[k.String()] = true
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if f.GetName() == "quorate_messages_total" && labels["direction"] == "out" && binding[labels["kind"]] {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// A key without its log must not speak: its member begins anew as an observer, which follows and never votes, also after
// another restart. What was left without the log is set aside, and nothing of it is deleted.
//
// case F2, F3; giving the new log the incarnation that the genesis names, or not asking whether it is a copy, turns it red.
func TestMemberWithoutItsLogObserves(t *testing.T) {
	remove := func(dir func(home string) string) func(home, copied string) error {
		return func(home, _ string) error { return os.RemoveAll(dir(home)) }
	}
	for name, lose := range map[string]func(home, copied string) error{
		"all of its data": remove(dataDir),
		"its log alone":   remove(logDir),
		"all but an old copy": func(home, copied string) error {
			return errors.Join(os.RemoveAll(dataDir(home)), os.CopyFS(dataDir(home), os.DirFS(copied)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newNetwork(t)
			w.start(1, 2, 3, 4)
			w.ready(1, 2, 3, 4)
			w.submit(3, w.request(kv.Put([]byte("key"), []byte("before"))))
			copied := filepath.Join(w.dir, "copied") // of a running node: its files are of different moments
			if err := os.CopyFS(copied, os.DirFS(dataDir(w.home(3)))); err != nil {
				t.Fatal(err)
			}
			w.submit(3, w.request(kv.Put([]byte("key"), []byte("since"))))
			w.same(1, 2, 3, 4)
			w.stop(3)
			if err := lose(w.home(3), copied); err != nil {
				t.Fatal(err)
			}

			for range 2 {
				w.start(3)
				for range 70 { // past a checkpoint
					w.submit(1, w.request(kv.Put([]byte("key"), []byte("after"))))
				}
				w.same(1, 2, 3, 4)
				if s := w.nodes[2].Status(); s.Role != ObserverRole || s.Ready || s.Why == "" {
					t.Errorf("it says of itself: %s, ready: %v, why: %q", s.Role, s.Ready, s.Why)
				}
				if n := votes(t, w.nodes[2]); n != 0 {
					t.Errorf("it has voted %v times", n)
				}
				if votes(t, w.nodes[1]) == 0 {
					t.Error("nobody has voted: the test sees nothing")
				}
				w.stop(3)
			}
			aside, err := filepath.Glob(filepath.Join(dataDir(w.home(3)), asidePrefix+"*"))
			if want := map[bool]int{true: 1}[name != "all of its data"]; err != nil || len(aside) != want {
				t.Errorf("set aside %v, want %d: %v", aside, want, err)
			}
		})
	}
}
