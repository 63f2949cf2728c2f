package bft

import (
	"errors"

	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/ordering"
)

// Evidence against a member is kept, told to everybody once by each who comes to hold it, and told again after a restart. One
// piece proves that its member lies, so a member that lies a million times costs no more than a few: the first two words
// on each broken promise count, and so many promises of one member.

const maxEvidence = 16 // of one member

var (
	errKnownEvidence = errors.New("evidence of a broken promise that is known")
	errMuchEvidence  = errors.New("more evidence against a member than is kept")
)

// evidence is what a replica holds against members.
type evidence struct {
	list   []*message.Evidence // in the order in which it came
	broken map[message.Promise]bool
	past   []int // how much against each member, of all epochs that are over

	// Of the epoch that is running:
	of      []int // how much against each member
	current int   // how much in all
}

// accuse holds two words of a member against it, if they are evidence.
func (r *Replica) accuse(a, b *message.Signed) {
	if e, err := message.NewEvidence(a, b); err == nil {
		_ = r.onEvidence(e) // an error says that it is known
	}
}

// onEvidence keeps evidence that Check has found valid, and tells everybody: who brought it may have told this replica alone.
func (r *Replica) onEvidence(e *message.Evidence) error {
	if err := r.hold(e); err != nil {
		return err
	}
	r.out.Persist = append(r.out.Persist, &ordering.Evidence{Evidence: e})
	r.tellEvidence(e)
	r.note(HoldsEvidence{e})
	return nil
}

func (r *Replica) hold(e *message.Evidence) error {
	promise := e.Broken()
	if r.evidence.broken[promise] {
		return errKnownEvidence
	}
	if promise.Epoch == r.epoch.ID {
		of := &r.evidence.of[promise.Author-1]
		if *of >= maxEvidence {
			return errMuchEvidence
		}
		*of++
		r.evidence.current++
		r.order.Accuse(e)
	} else if past := &r.evidence.past[promise.Author-1]; *past < maxEvidence {
		*past++
	} else {
		return errMuchEvidence
	}
	r.evidence.broken[promise] = true
	r.evidence.list = append(r.evidence.list, e)
	return nil
}

func (r *Replica) tellEvidence(e *message.Evidence) {
	if e.Broken().Epoch != r.epoch.ID {
		return // those who were in it have heard of it
	}
	r.out.Send = append(r.out.Send, message.Outgoing{Body: e, Epoch: r.epoch.ID, Way: message.Gossip})
}

// evidenceRecords are those that stand behind a Base.
func (r *Replica) evidenceRecords() (records []ordering.Record) {
	for _, e := range r.evidence.list {
		records = append(records, &ordering.Evidence{Evidence: e})
	}
	return records
}
