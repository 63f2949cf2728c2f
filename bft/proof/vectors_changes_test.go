package proof_test

import (
	"slices"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// judged is a change on its way to be judged, of the epoch that begins behind slot 10.
type judged struct {
	epoch *epoch.Epoch
	*message.Change
	at        epoch.Seq
	ready     []epoch.ReplicaID
	seq       epoch.Seq // at which they are
	operators []crypto.PrivateKey
}

func (j *judged) sign() {
	ed := crypto.Ed25519()
	for _, key := range j.operators {
		j.Approve(ed, key)
	}
	for _, id := range j.ready {
		word := &message.Ready{Change: j.ID(), Incarnation: j.Next.Members[id-1].Incarnation, Seq: j.seq}
		j.Readiness = append(j.Readiness, message.Sign(ed, keys[id], j.epoch, id, word))
	}
}

// changeVectors are changes of which some may end their epoch at a slot, and some may not, each for one reason.
func changeVectors(t *testing.T) (vectors []vector) {
	ed := crypto.Ed25519()
	renew := func(ids ...epoch.ReplicaID) func(*judged) {
		return func(j *judged) {
			j.operators, j.Next.Mode = nil, j.epoch.Mode
			for _, id := range ids {
				j.Next.Members[id-1].Incarnation = epoch.Incarnation{100 + byte(id)}
			}
		}
	}
	for _, c := range []struct {
		name   string
		holds  bool
		before func(*judged) // it is signed
		after  func(*judged)
	}{
		{name: "to crash mode", holds: true},
		{name: "by two operators of one that it takes", holds: true, before: func(j *judged) { j.operators = append(j.operators, keys[38]) }},
		{name: "other operators", holds: true, before: func(j *judged) { j.Next.Operators, j.Next.Threshold = nil, 0 }},
		{name: "other parameters", holds: true, before: func(j *judged) { j.Next.Mode, j.Next.Parameters.Window = j.epoch.Mode, 300 }},
		{name: "at its last slot", holds: true, before: func(j *judged) { j.Last = j.at }},
		{name: "ready two windows below", holds: true, before: func(j *judged) { j.at = j.seq + 512 }},
		{name: "ready at the base", holds: true, before: func(j *judged) { j.seq = 10 }},
		{name: "a renewal", holds: true, before: renew(2)},
		{name: "two incarnations, by an operator", holds: true, before: func(j *judged) { renew(2, 3)(j); j.operators = keys[39:40] }},
		{name: "behind its last slot", before: func(j *judged) { j.Last = j.at - 1 }},
		{name: "at the base", before: func(j *judged) { j.at = 10 }},
		{name: "of another chain", before: func(j *judged) { j.Chain[0]++ }},
		{name: "of another epoch", before: func(j *judged) { j.Of[0]++ }},
		{name: "of nobody", before: func(j *judged) { j.operators = nil }},
		{name: "of a stranger", before: func(j *judged) { j.operators = keys[37:38] }},
		{name: "of an operator and a stranger", before: func(j *judged) { j.operators = keys[37:40] }},
		{name: "of too few operators", before: func(j *judged) { j.epoch.Threshold = 2 }},
		{name: "where nobody may change anything", before: func(j *judged) { j.epoch.Threshold = 0 }},
		{name: "by a signature that does not hold", after: func(j *judged) { j.Authority[0].Signature[3]++ }},
		{name: "nothing changed", before: func(j *judged) { j.Next.Mode = j.epoch.Mode }},
		{name: "a member left out", before: func(j *judged) { j.Next.Mode, j.Next.Members, j.ready = epoch.Crash, j.Next.Members[:3], j.ready[:2] }},
		{name: "another key", before: func(j *judged) { j.Next.Members[3].Key = keys[30].Public() }},
		{name: "another address", before: func(j *judged) { j.Next.Members[3].Address = "elsewhere" }},
		{name: "no incarnation", before: func(j *judged) { j.Next.Members[3].Incarnation = epoch.Incarnation{} }},
		{name: "another nonce window", before: func(j *judged) { j.Next.Parameters.NonceWindow = 512 }},
		{name: "a parameter beyond its bounds", before: func(j *judged) { j.Next.Parameters.LastAhead = 1 }},
		{name: "a burst below the pipeline", before: func(j *judged) { j.Next.Parameters.Burst = 1 }},
		{name: "a window without room", before: func(j *judged) { j.Next.Parameters.Window = 100 }},
		{name: "transactions larger than a batch", before: func(j *judged) { j.Next.Parameters.BatchBytes = 4096 }},
		{name: "writes larger than a batch's", before: func(j *judged) { j.Next.Parameters.WriteSetBytes = 4096 }},
		{name: "no threshold", before: func(j *judged) { j.Next.Threshold = 0 }},
		{name: "a threshold out of reach", before: func(j *judged) { j.Next.Threshold = 9 }},
		{name: "an operator twice", before: func(j *judged) { j.Next.Operators = []crypto.PublicKey{keys[38].Public(), keys[38].Public()} }},
		{name: "an operator without a key", before: func(j *judged) { j.Next.Operators = []crypto.PublicKey{{}} }},
		{name: "too few are ready", before: func(j *judged) { j.ready = j.ready[:2] }},
		{name: "one is ready twice", before: func(j *judged) { j.ready = []epoch.ReplicaID{1, 2, 2} }},
		{name: "ready in no order", before: func(j *judged) { j.ready = []epoch.ReplicaID{1, 3, 2} }},
		{name: "ready too long ago", before: func(j *judged) { j.at = j.seq + 513 }},
		{name: "ready before the epoch", before: func(j *judged) { j.seq = 9 }},
		{name: "ready at the slot itself", before: func(j *judged) { j.seq = j.at }},
		{name: "ready for something else", after: func(j *judged) { j.Readiness[1] = ready(j, j.epoch, 2, crypto.Digest{1}, 2) }},
		{name: "ready under another incarnation", after: func(j *judged) { j.Readiness[1] = ready(j, j.epoch, 2, j.ID(), 9) }},
		{name: "ready in another epoch", after: func(j *judged) {
			other := *j.epoch
			other.ID[0]++
			j.Readiness[1] = ready(j, &other, 2, j.ID(), 2)
		}},
		{name: "ready by a signature that does not hold", after: func(j *judged) {
			bad := *j.Readiness[1]
			bad.Signature[3]++
			j.Readiness[1] = &bad
		}},
		{name: "two renewals", before: renew(2, 3)},
		{name: "a renewal with another mode", before: func(j *judged) { renew(2)(j); j.Next.Mode = epoch.Crash }},
		{name: "a renewal of one who is not ready", before: func(j *judged) { renew(4)(j) }},
	} {
		e := genesis(4).Epoch()
		e.Base, e.Operators = 10, []crypto.PublicKey{keys[39].Public(), keys[38].Public()}
		j := &judged{epoch: e, at: 20, ready: []epoch.ReplicaID{1, 2, 3}, seq: 15, operators: keys[39:40],
			Change: &message.Change{Chain: e.Chain, Of: e.ID, Next: e.Configuration, Last: 1000}}
		j.Next.Mode, j.Next.Members = epoch.Crash, slices.Clone(e.Members)
		if c.before != nil {
			c.before(j)
		}
		j.sign()
		if c.after != nil {
			c.after(j)
		}
		if _, err := message.DecodeChange(message.EncodeChange(j.Change)); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		var of message.Writer
		message.WriteConfiguration(&of, &e.Configuration)
		announces := crypto.Digest{}
		next, err := proof.Next(e, j.Change, j.at, ed)
		if err == nil {
			announces = message.ConfigurationDigest(next)
		}
		if (err == nil) != c.holds {
			t.Errorf("%s: %v", c.name, err)
		}
		vectors = append(vectors, vector{
			Name: c.name,
			Input: in{"genesis": e.Chain.String(), "of": hexed(of.Bytes()), "base": num(e.Base), "at": num(j.at),
				"change": hexed(message.EncodeChange(j.Change))},
			Bytes: map[string]string{"announces": announces.String()},
		})
	}
	return vectors
}

// ready is a member's word.
func ready(j *judged, in *epoch.Epoch, id epoch.ReplicaID, change crypto.Digest, incarnation byte) *message.Signed {
	word := &message.Ready{Change: change, Incarnation: epoch.Incarnation{incarnation}, Seq: j.seq}
	return message.Sign(crypto.Ed25519(), keys[id], in, id, word)
}
