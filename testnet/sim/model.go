package sim

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/statemachine"
	"github.com/quorate/quorate/statemachine/kv"
)

// operation is what a client wants done, as the client means it.
type operation struct {
	kind  kv.Kind
	key   string
	value string
	held  bool // compare-and-set: it expects old
	old   string
}

// nonsense is an operation that no machine knows.
const nonsense kv.Kind = 99

// keys is how many keys there are to write to: few, so that transactions get in each other's way.
const keys = 8

func (w *World) drawOperation(value string) operation {
	c := w.ofClients
	o := operation{key: "k" + string('0'+rune(c.IntN(keys))), value: value}
	if c.permille(20) { // a batch with it is proposed by name
		o.value += strings.Repeat("x", message.InlineBytes+c.IntN(8<<10))
	}
	switch c.pick(45, 10, 25, 18, 2) {
	case 0:
		o.kind = kv.KindPut
	case 1:
		o.kind = kv.KindDelete
	case 2:
		o.kind = kv.KindCompareAndSet
		o.old, o.held = w.audit.model.keys[o.key]
		if c.permille(300) {
			o.old, o.held = "something else", true
		}
	case 3:
		o.kind = kv.KindGet
	case 4:
		o.kind = nonsense
	}
	return o
}

func (o *operation) encode() []byte {
	switch {
	case o.kind == kv.KindPut:
		return kv.Put([]byte(o.key), []byte(o.value))
	case o.kind == kv.KindDelete:
		return kv.Delete([]byte(o.key))
	case o.kind == kv.KindCompareAndSet && o.held:
		return kv.CompareAndSet([]byte(o.key), []byte(o.old), []byte(o.value))
	case o.kind == kv.KindCompareAndSet:
		return kv.Create([]byte(o.key), []byte(o.value))
	case o.kind == kv.KindGet:
		return kv.Get([]byte(o.key))
	default:
		return append([]byte{byte(nonsense)}, o.value...)
	}
}

// model executes the chain a second time: a map of keys, a map of nonces, and the rules of docs/protocol/transactions.md
// written down once more, without the product's code.
type model struct {
	window   uint64
	ahead    uint64
	keys     map[string]string
	sessions map[crypto.PublicKey]*session
	state    crypto.Digest
}

type session struct {
	highest uint64
	used    map[uint64]use // by nonce
}

type use struct {
	id  crypto.Digest
	seq uint64
}

func newModel(window, ahead uint64) *model {
	return &model{window: window, ahead: ahead, keys: make(map[string]string), sessions: make(map[crypto.PublicKey]*session)}
}

// execute applies a slot's transactions and says what must come of each, and the digest of the state after it.
func (m *model) execute(seq uint64, batch []*transaction) ([]statemachine.Outcome, crypto.Digest) {
	written := make(map[string]bool)
	outcomes := make([]statemachine.Outcome, len(batch))
	for i, t := range batch {
		o := statemachine.Outcome{ID: t.id(), Seq: seq}
		if o.Status, o.Seq = m.judge(t, seq); o.Status == 0 {
			m.apply(&t.op, &o, written)
			s := m.session(t)
			s.highest = max(s.highest, t.request.Nonce)
			s.used[t.request.Nonce] = use{t.id(), seq}
		}
		outcomes[i] = o
	}
	m.state = m.chain(seq, written)
	return outcomes, m.state
}

func (m *model) session(t *transaction) *session {
	s := m.sessions[t.request.Sender]
	if s == nil {
		s = &session{used: make(map[uint64]use)}
		m.sessions[t.request.Sender] = s
	}
	return s
}

// judge says what becomes of a transaction that may not execute; 0 of one that may.
func (m *model) judge(t *transaction, seq uint64) (statemachine.Status, uint64) {
	s := m.session(t)
	nonce, last := t.request.Nonce, t.request.Last
	if last == 0 {
		return statemachine.Invalid, seq
	}
	if nonce+m.window <= s.highest {
		return statemachine.DecidedEarlier, seq
	}
	if u, ok := s.used[nonce]; ok {
		if u.id == t.id() {
			return statemachine.Duplicate, u.seq
		}
		return statemachine.NonceUsed, seq
	}
	switch {
	case last < seq:
		return statemachine.Expired, seq
	case nonce > s.highest+m.window:
		return statemachine.NonceTooDistant, seq
	case last > seq+m.ahead:
		return statemachine.LastTooDistant, seq
	}
	return 0, seq
}

func (m *model) apply(op *operation, o *statemachine.Outcome, written map[string]bool) {
	held, is := m.keys[op.key]
	content := []byte{0}
	if is {
		content = append([]byte{1}, held...)
	}
	o.Status = statemachine.Applied
	switch op.kind {
	case kv.KindPut:
		m.keys[op.key] = op.value
		written[op.key] = true
	case kv.KindDelete:
		delete(m.keys, op.key)
		written[op.key] = true
	case kv.KindCompareAndSet:
		if is != op.held || is && held != op.old {
			o.Status, o.Code, o.Result = statemachine.Failed, kv.Mismatch, content
			return
		}
		m.keys[op.key] = op.value
		written[op.key] = true
	case kv.KindGet:
		o.Result = content
	default:
		o.Status, o.Code = statemachine.Failed, statemachine.UnknownOperation
	}
}

// chain is the running digest of the state, as docs/protocol/transactions.md defines it.
func (m *model) chain(seq uint64, written map[string]bool) (d crypto.Digest) {
	var names []string
	for name := range written {
		names = append(names, name)
	}
	slices.SortFunc(names, strings.Compare)
	const domain = "quorate/state/1"
	b := append([]byte{byte(len(domain))}, domain...)
	b = append(b, m.state[:]...)
	b = binary.BigEndian.AppendUint64(b, seq)
	b = binary.BigEndian.AppendUint32(b, uint32(len(names)))
	field := func(s string) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	for _, name := range names {
		value, ok := m.keys[name]
		if !ok {
			b = append(b, 2)
			field(name)
			continue
		}
		b = append(b, 1)
		field(name)
		field(value)
	}
	return sha256.Sum256(b)
}

// sameOutcome compares two outcomes; no result and an empty one are the same.
func sameOutcome(a, b *statemachine.Outcome) bool {
	return a.ID == b.ID && a.Status == b.Status && a.Code == b.Code && a.Seq == b.Seq && bytes.Equal(a.Result, b.Result)
}
