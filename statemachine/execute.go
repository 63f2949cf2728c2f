package statemachine

import (
	"fmt"

	"github.com/tidwall/btree"
)

// Execute runs the batch that follows the newest one executed. Its digests are known when it returns; nothing of it is
// durable before Commit.
//
// Its one error is that the backing cannot be read. It is final: the caller must stop, since whatever he said next would
// rest on nothing.
func (r *Replicated) Execute(b Batch) (Executed, error) {
	if r.failed != nil {
		return Executed{}, r.failed
	}
	r.startBatch(b)
	done, err := r.run(b)
	if err != nil {
		r.failed = fmt.Errorf("state: execute %d: %w", b.Seq, err)
		return Executed{}, r.failed
	}
	return done, nil
}

// execution is one batch under way.
type execution struct {
	*Replicated
	batch  Batch
	below  Snapshot
	budget int // what is left of Limits.WriteSetBytes

	application btree.Map[string, entry] // the batch's write set
	own         []Write                  // to the backing's other keys; in order, a later one to the same key wins
	ownAt       map[string]int           // where in own
}

func (r *Replicated) run(b Batch) (Executed, error) {
	below, err := r.backing.At(r.committed.Seq)
	if err != nil {
		return Executed{}, err
	}
	defer below.Close()
	x := &execution{Replicated: r, batch: b, below: below, budget: r.limits.WriteSetBytes, ownAt: make(map[string]int)}
	outcomes := make([]Outcome, len(b.Transactions))
	for i, t := range b.Transactions {
		if outcomes[i], err = x.transaction(i, t); err != nil {
			return Executed{}, err
		}
	}
	return x.finish(outcomes), nil
}

// get reads a key of the backing that is not the application's, as it is after the transactions so far.
func (x *execution) get(key []byte) ([]byte, bool, error) {
	if e, ok := x.overlay.own[string(key)]; ok {
		return e.value, !e.deleted, nil
	}
	return x.below.Get(key)
}

// set writes such a key.
func (x *execution) set(key, value []byte) {
	w := Write{Key: key, Value: value}
	if i, ok := x.ownAt[string(key)]; ok {
		x.own[i] = w
	} else {
		x.ownAt[string(key)] = len(x.own)
		x.own = append(x.own, w)
	}
	x.overlay.own[string(key)] = entry{value: value, seq: x.batch.Seq}
}

// transaction decides what becomes of the batch's i-th transaction, and executes it if it may.
func (x *execution) transaction(i int, t Transaction) (Outcome, error) {
	n, cached := x.sessions.get(t.Sender)
	if !cached {
		var err error
		if n, err = highestNonce(x.get, t.Sender); err != nil {
			return Outcome{}, err
		}
		x.sessions.set(t.Sender, n)
	}
	used, state, err := findNonce(x.get, t.Sender, t.Nonce, n, x.nonceWindow)
	if err != nil {
		return Outcome{}, err
	}
	o := Outcome{ID: t.ID}
	if o.Status, o.Seq = judge(t, used, state, x.batch.Seq, x.limits.LastAhead); o.Status == 0 {
		if err := x.apply(t, &o); err != nil {
			return Outcome{}, err
		}
		if t.Nonce > n {
			x.set(highestKey(t.Sender), encodeUint64(t.Nonce))
			x.sessions.set(t.Sender, t.Nonce)
		}
		x.set(nonceKey(t.Sender, t.Nonce), encodeNonce(SessionEntry{t.Nonce, t.ID, o.Status, o.Code, o.Seq}))
	}
	return o, x.locate(i, o)
}

// apply executes a transaction and fills in its outcome.
func (x *execution) apply(t Transaction, o *Outcome) error {
	v := &view{limits: &x.limits, overlay: &x.overlay, below: x.below}
	c := Context{Seq: x.batch.Seq, Time: x.batch.Time, Sender: t.Sender}
	result, code := apply(x.machine, v, c, t.Operation)
	if v.broken != nil {
		return v.broken
	}
	cost := len(result)
	if code == 0 {
		cost += v.cost
	}
	switch {
	case cost > x.limits.TransactionBytes:
		result, code, cost = nil, TransactionTooLarge, 0
	case cost > x.budget:
		result, code, cost = nil, BatchFull, 0
	}
	x.budget -= cost
	o.Status, o.Code, o.Result = Applied, code, result
	if code != 0 {
		o.Status = Failed
		return nil
	}
	v.writes.Scan(func(key string, e entry) bool {
		e.seq = x.batch.Seq
		x.application.Set(key, e)
		x.overlay.application.Set(key, e)
		return true
	})
	return nil
}

// locate remembers where an id was ordered. An executed or expired one stays where it was; any other gives way.
func (x *execution) locate(i int, o Outcome) error {
	if o.Status == Duplicate {
		return nil
	}
	if !o.Status.Executed() {
		b, ok, err := x.get(idKey(o.ID))
		if err != nil {
			return err
		}
		if ok {
			if l, err := decodeLocation(b); err != nil || l.Status.final() {
				return err
			}
		}
	}
	x.set(idKey(o.ID), encodeLocation(Location{Seq: x.batch.Seq, Index: i, Status: o.Status}))
	return nil
}

// finish computes the digests and stages the batch for Commit.
func (x *execution) finish(outcomes []Outcome) Executed {
	set := make([]Write, 0, x.application.Len())
	writes := make([]Write, 0, x.application.Len()+len(x.own)+1)
	x.application.Scan(func(key string, e entry) bool {
		full := applicationKey(key)
		set = append(set, Write{Key: full[1:], Value: e.value, Delete: e.deleted})
		writes = append(writes, Write{Key: full, Value: e.value, Delete: e.deleted})
		return true
	})
	writes = append(writes, x.own...)
	writes = append(writes, outcomeWrites(x.batch.Seq, outcomes)...)

	mark := Mark{
		Seq:     x.batch.Seq,
		Batch:   x.batch.Digest,
		Results: ResultsRoot(outcomes),
		State:   NextState(x.applied.State, x.batch.Seq, set),
	}
	staged := executedBatch{mark: mark, writes: writes}
	for _, w := range writes {
		staged.bytes += w.size()
	}
	x.pending = append(x.pending, staged)
	x.mu.Lock()
	x.applied = mark
	x.mu.Unlock()

	return Executed{Mark: mark, Outcomes: outcomes}
}
