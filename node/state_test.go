package node

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/node/host"
	"github.com/quorate/quorate/statemachine"
	"github.com/quorate/quorate/statemachine/kv"
	"github.com/quorate/quorate/store"
)

// clumsy is an application some of whose operations go wrong.
type clumsy struct{ kv.Machine }

var (
	panics = []byte("panic")
	errs   = []byte("error")
)

func (m clumsy) Check(op []byte) error {
	if bytes.Equal(op, panics) || bytes.Equal(op, errs) {
		return nil
	}
	return m.Machine.Check(op)
}

func (m clumsy) Apply(view statemachine.View, c statemachine.Context, op []byte) ([]byte, error) {
	switch {
	case bytes.Equal(op, panics):
		view.Set([]byte("key"), []byte("of a panic"))
		panic(fmt.Sprintf("at %p", &c)) // no two replicas would say the same
	case bytes.Equal(op, errs):
		view.Set([]byte("key"), []byte("of an error"))
		return []byte("half"), fmt.Errorf("at %p", &c)
	}
	return m.Machine.Apply(view, c, op)
}

// An operation that panics or returns an error fails, with one code, on all replicas alike: none of them halts, none
// passes it over, nothing of it remains, and whoever sends it again hears the same. // case C3
// Red if apply does not recover, keeps the writes, or puts the error's text into the result.
func TestAnOperationThatGoesWrongFailsAlikeEverywhere(t *testing.T) {
	w := newNetwork(t)
	w.machine = clumsy{}
	w.start(1, 2, 3, 4)
	w.ready(1, 2, 3, 4)
	w.submit(1, w.request(kv.Put([]byte("key"), []byte("value"))))

	for op, code := range map[string]statemachine.Failure{string(panics): statemachine.Panicked, string(errs): statemachine.Unspecified} {
		q := w.request([]byte(op))
		first := w.submit(2, q)
		if first.Outcome.Status != statemachine.Failed || first.Outcome.Code != code {
			t.Errorf("%s: %s, code %d", op, first.Outcome.Status, first.Outcome.Code)
		}
		if again := w.submit(3, q); again.Seq != first.Seq || again.Outcome.Status != first.Outcome.Status || again.Outcome.Code != code {
			t.Errorf("%s again: at %d %s, first at %d %s", op, again.Seq, again.Outcome.Status, first.Seq, first.Outcome.Status)
		}
	}

	d := w.submit(4, w.request(kv.Get([]byte("key"))))
	if value, _, err := kv.DecodeContent(d.Outcome.Result); err != nil || string(value) != "value" {
		t.Errorf("the key holds %q, %v", value, err)
	}
	w.same(1, 2, 3, 4)
}

// spoiler is a member that does not run, whose state is spoiled in copies.
type spoiler struct {
	*network
	self    int
	senders map[crypto.PublicKey]uint64 // highest nonces
}

// comesTo opens the member's log on a state in dir, and says what it then holds: every key, outcome and nonce.
func (s *spoiler) comesTo(dir string) (content string, err error) {
	backing, err := statemachine.OpenBadger(dir, nil)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, backing.Close()) }()
	state, err := statemachine.Open(backing, s.machine, host.Limits(s.genesis.Parameters))
	if err != nil {
		return "", err
	}
	h, err := host.Open(host.Config{
		Self: epoch.ReplicaID(s.self), Genesis: s.genesis, Key: seedKey('m', byte(s.self)), Scheme: crypto.Ed25519(),
		FS: store.System(), Dir: logDir(s.home(s.self)), State: state,
	})
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, h.Writer().Close()) }()
	var all strings.Builder
	fmt.Fprintln(&all, state.Committed())
	if _, err := state.Scan(statemachine.Newest, nil, nil, func(key, value []byte) bool {
		fmt.Fprintf(&all, "%q %q\n", key, value)
		return true
	}); err != nil {
		return "", err
	}
	for seq := uint64(1); seq <= state.Committed().Seq; seq++ {
		outcomes, ok, err := state.Outcomes(seq)
		if err != nil {
			return "", err
		}
		fmt.Fprintln(&all, seq, ok, outcomes)
	}
	for sender, highest := range s.senders {
		for nonce := uint64(1); nonce <= highest+1; nonce++ {
			entry, place, err := state.Find(sender, nonce)
			if err != nil {
				return "", err
			}
			fmt.Fprintln(&all, entry, place)
		}
	}
	return all.String(), nil
}

// newSpoiler has a member that has executed 150 slots. One folder is its state as a kill leaves it, another as a stop
// does: the first holds Badger's logs, the second its tables.
func newSpoiler(t *testing.T) (s *spoiler, killed, stopped image) {
	w := newNetwork(t)
	w.start(1, 2, 3, 4)
	w.ready(1, 2, 3, 4)
	for i := range 150 {
		w.submit(1, w.request(kv.Put(fmt.Appendf(nil, "key%d", i%40), bytes.Repeat([]byte{byte('a' + i%26)}, 200))))
	}
	w.same(1, 2, 3, 4)
	n := w.nodes[3]
	w.until("the state is durable", func() bool { return n.State().Committed().Seq == uint64(n.Status().Seq) })
	killed = imageOf(t, stateDir(w.home(4)))
	w.stop(4)
	sender := message.NewRequest(crypto.Ed25519(), seedKey('c', 1), w.genesis.Digest(), 1, 1, nil).Sender
	return &spoiler{network: w, self: 4, senders: map[crypto.PublicKey]uint64{sender: w.nonce}}, killed, imageOf(t, stateDir(w.home(4)))
}

// image is a folder's files. Badger's logs are mostly room, which is not written out again.
type image map[string]content

type content struct {
	used []byte
	size int64
}

func imageOf(t *testing.T, dir string) image {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := make(image)
	for _, f := range files {
		whole, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if f.Name() != "LOCK" {
			all[f.Name()] = content{bytes.Clone(bytes.TrimRight(whole, "\x00")), int64(len(whole))}
		}
	}
	return all
}

// folder is a new one with these files.
func (all image) folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, c := range all {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, c.used, 0o600), os.Truncate(path, c.size)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A state that is gone is made again from the blocks, whole, by the start alone. // case C13 C14
// Red if a start executes less than all blocks that the machine lacks.
func TestAStateThatIsGoneIsMadeAgain(t *testing.T) {
	s, killed, _ := newSpoiler(t)
	want, err := s.comesTo(killed.folder(t))
	if err != nil {
		t.Fatal(err)
	}

	got, err := s.comesTo(filepath.Join(t.TempDir(), "nothing"))

	if err != nil || got != want {
		t.Errorf("made again it is another one (%v):\n%.500s\nwas\n%.500s", err, got, want)
	}
	if err := os.RemoveAll(stateDir(s.home(4))); err != nil {
		t.Fatal(err)
	}
	s.start(4)
	s.ready(4)
	s.same(1, 2, 3, 4)
}

// Whatever bit of whatever file of the state has flipped, a start comes to the state that the blocks say, or refuses and
// says what to do, after which it does. Never is a wrong state taken for right. // case F6
// Red if checksums are not verified, if the mark is not compared with the blocks, or if a hole in the versions passes.
func TestAFlippedBitInTheStateIsMendedOrRefused(t *testing.T) {
	s, killed, stopped := newSpoiler(t)
	want, err := s.comesTo(killed.folder(t))
	if err != nil {
		t.Fatal(err)
	}
	const flips = 12
	refused, mended := make(map[string]int), make(map[string]int)
	for how, whole := range map[string]image{"killed": killed, "stopped": stopped} {
		for name, c := range whole {
			kind := how + " " + strings.TrimLeft(name, "0123456789")
			for i := range min(flips, len(c.used)) {
				at := i * (len(c.used) - 1) / flips
				damaged := maps.Clone(whole)
				bad := bytes.Clone(c.used)
				bad[at] ^= 1 << (i % 8)
				damaged[name] = content{bad, c.size}

				got, err := s.comesTo(damaged.folder(t))

				switch {
				case err == nil && got == want:
					mended[kind]++
				case err == nil:
					t.Errorf("%s, byte %d of %d: taken for right, and it is not:\n%.300s", kind, at, len(c.used), got)
				case !strings.Contains(err.Error(), "from the log"):
					t.Errorf("%s, byte %d of %d: refused, and does not say what to do: %v", kind, at, len(c.used), err)
				default:
					refused[kind]++
				}
			}
		}
	}
	t.Logf("mended %v, refused %v", mended, refused)
	if mended["killed .mem"] == 0 || refused["stopped .sst"] == 0 {
		t.Error("neither a log that ends early nor a damaged table was seen: not tested")
	}
}
