package message

import (
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/crypto"
)

var testScheme = crypto.Modelled([32]byte{1})

func key(i byte) crypto.PrivateKey { return testKeys[i] }

var testKeys = func() (keys [10]crypto.PrivateKey) {
	for i := range keys {
		keys[i] = crypto.NewPrivateKey([32]byte{byte(i)})
	}
	return keys
}()

func testEpoch() *epoch.Epoch {
	e := &epoch.Epoch{
		Chain: crypto.Hash("test/chain"), ID: crypto.Hash("test/epoch"), Configuration: epoch.Configuration{Mode: epoch.Byzantine,
			Parameters: epoch.DefaultParameters()},
	}
	for i := range byte(4) {
		e.Members = append(e.Members, epoch.Member{Key: key(i + 1).Public()})
	}
	return e
}

func request(nonce uint64, operation string) *Request {
	return NewRequest(testScheme, key(9), crypto.Hash("test/chain"), nonce, 1000, []byte(operation))
}

// conflict is evidence against a member: proposals, or attestations.
func conflict(author epoch.ReplicaID) *Evidence {
	propose := func(nonce uint64) Body {
		batch := NewBatch(1, []*Request{request(nonce, "put")})
		return &PrePrepare{Vote: Vote{View: 3, Seq: 7, Digest: batch.Digest()}, Batch: batch}
	}
	a, b := propose(1), propose(2)
	switch {
	case author == 3:
		a, b = viewChange(Vote{View: 3, Seq: 7}), &ViewChange{View: 4}
	case author > 1:
		a, b = &Attestation{Seq: 7, Header: crypto.Digest{1}}, &Attestation{Seq: 7, Header: crypto.Digest{2}}
	}
	e, err := NewEvidence(signBy(author, a), signBy(author, b))
	if err != nil {
		panic(err)
	}
	return e
}

// change is one of operators, and renewal one of a member's own.
func change() *Change {
	e := testEpoch()
	c := &Change{Chain: e.Chain, Of: e.ID, Next: e.Configuration, Last: 99}
	c.Next.Mode, c.Next.Operators, c.Next.Threshold = epoch.Crash, []crypto.PublicKey{key(9).Public(), key(8).Public()}, 2
	c.Approve(testScheme, key(9))
	c.Approve(testScheme, key(8))
	c.Approve(testScheme, key(9))
	return c.With([]*Signed{signBy(1, ready(1)), signBy(3, ready(3))})
}

func recovery(pieces byte) *Recovery {
	e := testEpoch()
	r := &Recovery{Chain: e.Chain, Of: e.ID, Next: e.Configuration, Number: 3, Seq: 9, Header: crypto.Digest{4}}
	for i := range pieces {
		r.Evidence = append(r.Evidence, crypto.Digest{i + 1})
	}
	r.Approve(testScheme, key(9))
	return r
}

func renewal() *Change {
	e := testEpoch()
	return &Change{Chain: e.Chain, Of: e.ID, Next: e.Configuration, Last: 1}
}

func ready(incarnation byte) *Ready {
	return &Ready{Change: crypto.Digest{1}, Incarnation: epoch.Incarnation{incarnation}, Seq: 9, Header: crypto.Digest{2}}
}

func viewChange(v Vote) *ViewChange {
	header := crypto.Digest{5}
	votes := []*Signed{signBy(1, &Prepare{v}), signBy(2, &Prepare{v}), signBy(4, &PrePrepare{Vote: v}).detached()}
	return &ViewChange{View: 4, Start: 6, Header: header, Attestations: []*Signed{signBy(3, &Attestation{Seq: 6, Header: header})},
		Prepared: []Certificate{{v, votes}}}
}

// samples has a body of every kind, in each form that matters.
func samples() []Body {
	batch := NewBatch(1234, []*Request{request(1, "put"), request(2, "")})
	vote := Vote{View: 3, Seq: 7, Digest: batch.Digest()}
	return []Body{
		&PrePrepare{Vote: vote, Batch: batch},
		&PrePrepare{Vote: vote, Outline: batch.Outline()},
		&Prepare{vote},
		&Commit{vote},
		&Attestation{Seq: 64, Header: crypto.Hash("test/header")},
		&Status{View: 1, Delivered: 2, Acknowledged: 3, Stable: 4, Progress: []Phase{Empty, Accepted, Prepared, Decided}},
		&Status{},
		&Want{From: 5, To: 9},
		&Have{Blocks: [][]byte{[]byte("a block"), {}}, Checkpoint: []byte("a checkpoint")},
		&Have{},
		&Bundle{Head: 9, Requests: batch.Requests},
		&Bundle{},
		&Fetch{Seq: 7, Batch: batch.Digest(), Missing: []uint16{0, 3, 9_999}},
		&Fetch{},
		&Bodies{Seq: 7, Batch: batch.Digest(), Time: -1, Requests: batch.Requests},
		&Bodies{},
		&PrePrepare{Vote: vote},
		&Suspect{View: 3, Delivered: 9},
		viewChange(vote),
		&ViewChange{View: 1},
		&PaxosPrepare{View: 3},
		&PaxosPromise{View: 4, Start: 6, Header: crypto.Digest{5}, Attestations: viewChange(vote).Attestations, Accepted: []Vote{vote, {View: 1, Seq: 9}}},
		&PaxosPromise{View: 1},
		NewPaxosAccept(vote, batch),
		&PaxosAccept{PrePrepare{Vote: vote, Outline: batch.Outline()}},
		&PaxosAccept{PrePrepare{Vote: vote}},
		&PaxosAccepted{vote},
		&PaxosLearn{vote, []*Signed{signBy(1, &PaxosAccepted{vote}), signBy(3, &PaxosAccepted{vote})}},
		&Heartbeat{View: 3},
		&NewView{View: 4, ViewChanges: []Named{{1, crypto.Digest{1}}, {3, crypto.Digest{2}}}},
		&Propose{change().With(nil)},
		&Propose{renewal()},
		ready(1),
		&Recover{recovery(2)},
		&Recover{recovery(0)},
		&Standing{Recovery: crypto.Digest{1}, Incarnation: epoch.Incarnation{2}, Seq: 7, Willing: true},
		&Standing{Given: crypto.Digest{3}},
		&PrePrepare{Vote: Vote{View: 3, Seq: 7, Digest: NewChangeBatch(1234, change()).Digest()}, Batch: NewChangeBatch(1234, change())},
		&Bodies{Seq: 7, Batch: NewChangeBatch(9, change()).Digest(), Time: 9, Change: change()},
		&Have{HandOver: []byte("a hand-over")},
		conflict(1),
		conflict(2),
		conflict(3),
	}
}

func sign(b Body) *Signed { return signBy(2, b) }

func signBy(author epoch.ReplicaID, b Body) *Signed {
	return Sign(testScheme, key(byte(author)), testEpoch(), author, b)
}

func encode(m *Signed) []byte {
	var w Writer
	m.Encode(&w)
	return w.Bytes()
}

// again lays a message out from its fields, as if nothing of its bytes had been kept.
func again(m *Signed) []byte {
	e := &epoch.Epoch{Chain: m.Chain, ID: m.Epoch, Configuration: epoch.Configuration{Mode: m.Mode}}
	fresh := Sign(testScheme, key(2), e, m.Author, m.Body)
	fresh.Signature = m.Signature
	return encode(fresh)
}
