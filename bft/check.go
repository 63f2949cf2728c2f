package bft

import (
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// Why a message or a request is not valid. Validity is true for ever; relevance, which is true now, is for handlers.
var (
	ErrForeignChain   = errors.New("is for another chain")
	ErrForeignEpoch   = errors.New("is for another epoch")
	ErrNoMember       = errors.New("author is no member")
	ErrSignature      = errors.New("signature does not hold")
	ErrTooLarge       = errors.New("is too large")
	errEmptyBatch     = errors.New("batch is empty")
	errBaseSlot       = errors.New("slot is one of an epoch before")
	errRange          = errors.New("range is empty or too wide")
	errViewZero       = errors.New("view 0 is there from the beginning")
	errStart          = errors.New("attestations of the header that the epoch begins with, which needs none")
	errRenewal        = errors.New("renewal of another member than the one that asks for it")
	errShown          = errors.New("shows slots not in order, beyond the window, or of a view that is not over")
	errNothingSettled = errors.New("proposal without a batch in view 0, in which nothing is settled")
)

// Check says why a message from the wire is not valid in e. It is pure: any number of goroutines may check at once.
func Check(m *message.Signed, e *epoch.Epoch, s crypto.Scheme) error {
	switch {
	case m.Chain != e.Chain:
		return ErrForeignChain
	case m.Epoch != e.ID || m.Mode != e.Mode:
		return ErrForeignEpoch
	case !e.Has(m.Author):
		return ErrNoMember
	}
	if err := m.Body.Kind().CheckMode(e.Mode); err != nil {
		return err
	}
	requests, err := checkBody(m.Body, e)
	if err != nil {
		return err
	}
	claims := make([]crypto.Claim, 0, 1+len(requests))
	claims = append(claims, m.Claim(e))
	for _, q := range requests {
		if err := checkForm(q, e); err != nil {
			return err
		}
		claims = append(claims, q.Claim())
	}
	if len(claims) == 1 {
		if !s.Verify(claims[0]) {
			return ErrSignature
		}
		switch b := m.Body.(type) { // after its author's signature: a stranger's certificates are nobody's work
		case *message.Have:
			return checkHave(b, e, s)
		case *message.ViewChange:
			return checkViewChange(b, e, s)
		case *message.PaxosPromise:
			return checkStart(b.Start, b.Header, b.Attestations, e, s)
		case *message.PaxosLearn:
			return proof.VerifyDecided(b.Vote, b.Accepted, e, s)
		case *message.Evidence:
			return checkEvidence(b, e, s)
		case *message.Propose:
			return checkPropose(m.Author, b, e, s)
		case *message.Recover:
			return proof.Recoverable(e, b.Recovery, s)
		case *message.Bodies:
			return checkChange(b.Change, b.Seq, e, s)
		case *message.PrePrepare:
			return checkProposedChange(b, e, s)
		case *message.PaxosAccept:
			return checkProposedChange(&b.PrePrepare, e, s)
		}
		return nil
	}
	for i, ok := range s.VerifyBatch(claims) {
		if !ok && i == 0 {
			return ErrSignature
		}
		if !ok {
			return fmt.Errorf("transaction %s: %w", requests[i-1].ID().Short(), ErrSignature)
		}
	}
	return nil
}

// checkBody judges what needs no signature; it yields the transactions whose signatures must hold as well.
func checkBody(b message.Body, e *epoch.Epoch) ([]*message.Request, error) {
	switch b := b.(type) {
	case *message.PrePrepare:
		return checkProposal(b, e)
	case *message.Prepare:
		return nil, checkSlot(b.Seq, e)
	case *message.Commit:
		return nil, checkSlot(b.Seq, e)
	case *message.ViewChange:
		return nil, checkShown(b.View, b.Start, b.Header, b.Attestations, b.Shown(), e)
	case *message.NewView:
		return nil, checkNewView(b, e)
	case *message.PaxosAccept:
		return checkProposal(&b.PrePrepare, e)
	case *message.PaxosAccepted:
		return nil, checkSlot(b.Seq, e)
	case *message.PaxosLearn:
		return nil, checkSlot(b.Seq, e)
	case *message.PaxosPromise:
		return nil, checkShown(b.View, b.Start, b.Header, b.Attestations, slices.Values(b.Accepted), e)
	case *message.Attestation:
		if b.Seq == e.Base && e.Number > 0 {
			return nil, nil // what the hand-over to this epoch rests on
		}
		return nil, checkSlot(b.Seq, e)
	case *message.Want:
		if b.From == 0 || b.To < b.From || b.To-b.From >= message.MaxHaveBlocks {
			return nil, errRange
		}
		return nil, nil
	case *message.Bundle:
		return b.Requests, nil
	case *message.Fetch:
		return nil, checkSlot(b.Seq, e)
	case *message.Bodies:
		return b.Requests, checkSlot(b.Seq, e)
	default:
		return nil, nil
	}
}

func checkSlot(seq epoch.Seq, e *epoch.Epoch) error {
	if seq <= e.Base {
		return errBaseSlot
	}
	return nil
}

// checkProposal judges what may be voted for: a function of the batch and the epoch alone. Whether its transactions
// will succeed, or were executed before, is an outcome of execution and no ground to withhold a vote. Of transactions that
// are only named, each is judged where it comes in, and the batch when it is whole.
func checkProposal(p *message.PrePrepare, e *epoch.Epoch) ([]*message.Request, error) {
	if err := checkSlot(p.Seq, e); err != nil {
		return nil, err
	}
	switch {
	case p.Batch == nil && p.Outline == nil && p.View == 0:
		return nil, errNothingSettled
	case p.Batch == nil && p.Outline == nil:
		return nil, nil // of a slot that the NewView has settled: the handler knows
	case p.Batch == nil:
		return nil, checkCount(len(p.Outline.Bodies), e)
	}
	if p.Batch.Change != nil {
		return nil, nil // judged behind its author's signature
	}
	return p.Batch.Requests, checkBatch(p.Batch, e)
}

// checkProposedChange judges a change that is proposed: it is voted for where it may end the epoch, and nowhere else.
func checkProposedChange(p *message.PrePrepare, e *epoch.Epoch, s crypto.Scheme) error {
	if p.Batch == nil {
		return nil
	}
	return checkChange(p.Batch.Change, p.Seq, e, s)
}

func checkChange(c *message.Change, at epoch.Seq, e *epoch.Epoch, s crypto.Scheme) error {
	if c == nil {
		return nil
	}
	_, err := proof.Next(e, c, at, s)
	return err
}

// checkPropose judges a change that a member tells of.
func checkPropose(author epoch.ReplicaID, p *message.Propose, e *epoch.Epoch, s crypto.Scheme) error {
	if err := proof.Asked(e, p.Change, s); err != nil {
		return err
	}
	if len(p.Change.Authority) == 0 && proof.Renewed(e, &p.Change.Next) != author {
		return errRenewal
	}
	return nil
}

func checkCount(requests int, e *epoch.Epoch) error {
	switch {
	case requests == 0:
		return errEmptyBatch
	case requests > int(e.Parameters.BatchRequests):
		return fmt.Errorf("batch of %d transactions %w, at most %d", requests, ErrTooLarge, e.Parameters.BatchRequests)
	}
	return nil
}

func checkBytes(bytes int, e *epoch.Epoch) error {
	if bytes > int(e.Parameters.BatchBytes) {
		return fmt.Errorf("batch of %d bytes %w, at most %d", bytes, ErrTooLarge, e.Parameters.BatchBytes)
	}
	return nil
}

func checkBatch(b *message.Batch, e *epoch.Epoch) error {
	if err := checkCount(len(b.Requests), e); err != nil {
		return err
	}
	return checkBytes(b.Size(), e)
}

// checkHave judges every certificate in it. Blocks with a certificate need no other word: their transactions were
// checked by the correct members of the quorum that voted for them.
func checkHave(h *message.Have, e *epoch.Epoch, s crypto.Scheme) error {
	for _, raw := range h.Blocks {
		b, err := proof.DecodeBlock(raw)
		if err != nil {
			return err
		}
		if err := b.Verify(e, s); err != nil {
			return fmt.Errorf("block %d: %w", b.Header.Seq, err)
		}
	}
	if len(h.HandOver) > 0 {
		o, err := proof.DecodeHandOver(h.HandOver)
		if err != nil {
			return err
		}
		if _, err := o.Verify(e, s); err != nil {
			return err
		}
	}
	if len(h.Checkpoint) == 0 {
		return nil
	}
	c, err := proof.DecodeCheckpoint(h.Checkpoint)
	if err != nil {
		return err
	}
	if err := c.Verify(e, s); err != nil {
		return fmt.Errorf("checkpoint %d: %w", c.Header.Seq, err)
	}
	return nil
}

// checkShown judges, without a signature, what a member shows as it promises a view: where it starts, and slots above that.
func checkShown(view epoch.View, start epoch.Seq, header crypto.Digest, attestations []*message.Signed, shown iter.Seq[message.Vote], e *epoch.Epoch) error {
	if view == 0 {
		return errViewZero
	}
	switch {
	case start < e.Base:
		return errBaseSlot
	case start == e.Base && (len(attestations) > 0 || header != crypto.Digest{}):
		return errStart
	}
	last := start
	for v := range shown {
		if v.Seq <= last || v.Seq-start > epoch.Seq(e.Parameters.Window) || v.View >= view {
			return errShown
		}
		last = v.Seq
	}
	return nil
}

// checkStart judges the stable checkpoint that a member begins what it shows with.
func checkStart(seq epoch.Seq, header crypto.Digest, attestations []*message.Signed, e *epoch.Epoch, s crypto.Scheme) error {
	if seq == e.Base {
		return nil
	}
	if err := proof.VerifyAttested(seq, header, attestations, e, s); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	return nil
}

// checkViewChange judges every certificate in it: one that does not hold makes the whole of it none.
func checkViewChange(v *message.ViewChange, e *epoch.Epoch, s crypto.Scheme) error {
	if err := checkStart(v.Start, v.Header, v.Attestations, e, s); err != nil {
		return err
	}
	for i := range v.Prepared {
		if err := proof.VerifyPrepared(&v.Prepared[i], e, s); err != nil {
			return fmt.Errorf("certificate of slot %d: %w", v.Prepared[i].Seq, err)
		}
	}
	return nil
}

// checkNewView judges the form. Whether what it names is there, and says what it should, the handler finds out.
func checkNewView(v *message.NewView, e *epoch.Epoch) error {
	if v.View == 0 {
		return errViewZero
	}
	if len(v.ViewChanges) != e.Quorum() {
		return fmt.Errorf("new view by %d view changes, want %d", len(v.ViewChanges), e.Quorum())
	}
	for _, n := range v.ViewChanges {
		if !e.Has(n.Author) {
			return ErrNoMember
		}
	}
	return nil
}

// checkEvidence judges whether the member really signed both. Evidence of another epoch is for those who were in it.
func checkEvidence(b *message.Evidence, e *epoch.Epoch, s crypto.Scheme) error {
	of := b.Broken()
	switch {
	case of.Chain != e.Chain:
		return ErrForeignChain
	case of.Epoch != e.ID || of.Mode != e.Mode:
		return ErrForeignEpoch
	case !e.Has(of.Author):
		return ErrNoMember
	case !s.Verify(b.A.Claim(e)) || !s.Verify(b.B.Claim(e)):
		return fmt.Errorf("evidence: %w", ErrSignature)
	}
	return nil
}

// CheckRequests says of each request why it is not valid in e; nil where it is.
func CheckRequests(requests []*message.Request, e *epoch.Epoch, s crypto.Scheme) []error {
	errs := make([]error, len(requests))
	claims := make([]crypto.Claim, 0, len(requests))
	index := make([]int, 0, len(requests))
	for i, q := range requests {
		if errs[i] = checkForm(q, e); errs[i] == nil {
			claims = append(claims, q.Claim())
			index = append(index, i)
		}
	}
	for i, ok := range s.VerifyBatch(claims) {
		if !ok {
			errs[index[i]] = ErrSignature
		}
	}
	return errs
}

func checkForm(q *message.Request, e *epoch.Epoch) error {
	switch {
	case q.Chain != e.Chain:
		return ErrForeignChain
	case q.Size() > int(e.Parameters.RequestBytes):
		return fmt.Errorf("transaction of %d bytes %w, at most %d", q.Size(), ErrTooLarge, e.Parameters.RequestBytes)
	}
	return nil
}
