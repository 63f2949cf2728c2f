package proof

import (
	"errors"
	"fmt"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
)

// How one epoch follows another: docs/protocol/epochs.md.

// Why a change may not be ordered.
var (
	ErrOtherEpoch  = errors.New("change: it ends another epoch than the one that is running")
	ErrTooLate     = errors.New("change: its last slot has passed")
	ErrAuthority   = errors.New("change: it lacks operators' signatures")
	ErrReadiness   = errors.New("change: too few members of the next epoch are ready")
	errNoChange    = errors.New("change: the next epoch would be the same as this one")
	errWindowKept  = errors.New("change: nonce_window stays what the genesis says: the sessions of all senders are kept with it")
	errMembersKept = errors.New("change: members are added, removed, renamed or moved, which is not built yet")
	errForced      = errors.New("recovery: the next epoch must be of byzantine mode: nobody knows who has lied")
	errReadyOrder  = errors.New("change: readiness not of distinct members in the order of their numbers")
)

// Next is the only judge of whether a change may end the epoch current at a slot, and of what follows. It is a function of its arguments
// alone: a vote, delivery, catching up and an audit all come to the same.
//
// What it asks for: the configuration can run; the operators' signatures hold, at least their threshold, or nothing
// differs but one member's incarnation, and that member is among those that are ready; a quorum of the next
// epoch is ready, with the incarnations that it lists, at headers at most two windows below the slot.
func Next(current *epoch.Epoch, c *message.Change, at epoch.Seq, s crypto.Scheme) (*epoch.Configuration, error) {
	if err := Asked(current, c, s); err != nil {
		return nil, err
	}
	switch {
	case at > c.Last:
		return nil, ErrTooLate
	case at <= current.Base:
		return nil, ErrOtherEpoch
	}
	ready := make(map[epoch.ReplicaID]bool)
	last := epoch.ReplicaID(0)
	for _, m := range c.Readiness {
		if m.Author <= last {
			return nil, errReadyOrder
		}
		last = m.Author
		if err := verifyReady(current, c, m, at, s); err != nil {
			return nil, err
		}
		ready[m.Author] = true
	}
	if len(ready) < epoch.Quorum(c.Next.Mode, len(c.Next.Members)) {
		return nil, fmt.Errorf("%w: %d of %d, want %d", ErrReadiness, len(ready), len(c.Next.Members), epoch.Quorum(c.Next.Mode, len(c.Next.Members)))
	}
	if who := Renewed(current, &c.Next); len(c.Authority) == 0 && !ready[who] {
		return nil, ErrAuthority
	}
	return &c.Next, nil
}

// Asked says why a change may not even be asked for in the epoch current, whoever may be ready for it.
func Asked(current *epoch.Epoch, c *message.Change, s crypto.Scheme) error {
	if c.Chain != current.Chain || c.Of != current.ID {
		return ErrOtherEpoch
	}
	if err := c.Next.Validate(); err != nil {
		return fmt.Errorf("change: %w", err)
	}
	if err := sameMembers(current, &c.Next); err != nil {
		return err
	}
	if c.Next.Parameters.NonceWindow != current.Parameters.NonceWindow {
		return errWindowKept
	}
	if message.ConfigurationDigest(&c.Next) == message.ConfigurationDigest(&current.Configuration) {
		return errNoChange
	}
	if len(c.Authority) == 0 {
		if Renewed(current, &c.Next) == 0 {
			return ErrAuthority
		}
		return nil
	}
	return authority(current, c.Authority, c.Signed(), s)
}

// authority says why signed does not have the signatures of enough operators of e.
func authority(e *epoch.Epoch, approvals []message.Approval, signed []byte, s crypto.Scheme) error {
	operators := make(map[crypto.PublicKey]bool, len(e.Operators))
	for _, key := range e.Operators {
		operators[key] = true
	}
	for _, a := range approvals {
		if !operators[a.Key] {
			return fmt.Errorf("%w: %s is no operator's key", ErrAuthority, a.Key)
		}
		operators[a.Key] = false
		if !s.Verify(crypto.Claim{Key: a.Key, Message: signed, Signature: a.Signature}) {
			return fmt.Errorf("%w: that of %s does not hold", ErrAuthority, a.Key)
		}
	}
	if e.Threshold == 0 || len(approvals) < int(e.Threshold) {
		return fmt.Errorf("%w: %d of %d", ErrAuthority, len(approvals), e.Threshold)
	}
	return nil
}

// sameMembers says whether the members of the next epoch are those of this one, but for their incarnations.
func sameMembers(current *epoch.Epoch, next *epoch.Configuration) error {
	if len(next.Members) != current.N() {
		return errMembersKept
	}
	for i := range next.Members {
		a, b := current.Members[i], next.Members[i]
		if a.Incarnation = b.Incarnation; a != b {
			return errMembersKept
		}
	}
	return nil
}

// Renewed is the member whose incarnation is all that differs; 0 if anything else does.
func Renewed(current *epoch.Epoch, next *epoch.Configuration) (who epoch.ReplicaID) {
	for i := range next.Members {
		if next.Members[i].Incarnation == current.Members[i].Incarnation {
			continue
		}
		if who != 0 {
			return 0
		}
		who = epoch.ReplicaID(i + 1)
	}
	if who == 0 {
		return 0
	}
	same := *next
	same.Members = current.Members
	if message.ConfigurationDigest(&same) != message.ConfigurationDigest(&current.Configuration) {
		return 0
	}
	return who
}

// Recoverable says why a recovery may not be asked for in the epoch current, whatever its members hold.
func Recoverable(current *epoch.Epoch, c *message.Recovery, s crypto.Scheme) error {
	if c.Chain != current.Chain || c.Of != current.ID || c.Seq < current.Base {
		return ErrOtherEpoch
	}
	if err := c.Next.Validate(); err != nil {
		return fmt.Errorf("recovery: %w", err)
	}
	if err := sameMembers(current, &c.Next); err != nil {
		return err
	}
	switch {
	case c.Next.Mode != epoch.Byzantine:
		return errForced
	case c.Next.Parameters.NonceWindow != current.Parameters.NonceWindow:
		return errWindowKept
	}
	return authority(current, c.Authority, c.Signed(), s)
}

// ReadyInTime says whether a member that was ready at one slot counts for a change at another: since the epoch began, and at most two windows
// before.
func ReadyInTime(current *epoch.Epoch, ready, at epoch.Seq) bool {
	return ready >= current.Base && ready < at && at-ready <= 2*epoch.Seq(current.Parameters.Window)
}

// verifyReady says why a member's word does not count as readiness for a change at a slot.
func verifyReady(current *epoch.Epoch, c *message.Change, m *message.Signed, at epoch.Seq, s crypto.Scheme) error {
	b, ok := m.Body.(*message.Ready)
	switch {
	case !ok || m.Chain != current.Chain || m.Epoch != current.ID || m.Mode != current.Mode || b.Change != c.ID():
		return fmt.Errorf("%w: a word for something else", ErrReadiness)
	case m.Author < 1 || int(m.Author) > len(c.Next.Members):
		return fmt.Errorf("%w: %d is no member", ErrReadiness, m.Author)
	case b.Incarnation != c.Next.Members[m.Author-1].Incarnation:
		return fmt.Errorf("%w: member %d lives under another incarnation than the one listed", ErrReadiness, m.Author)
	case !ReadyInTime(current, b.Seq, at):
		return fmt.Errorf("%w: member %d was at slot %d, which is too far from %d", ErrReadiness, m.Author, b.Seq, at)
	case !s.Verify(crypto.Claim{Key: c.Next.Members[m.Author-1].Key, Message: m.Bytes, Signature: m.Signature}):
		return fmt.Errorf("%w: the signature of member %d does not hold", ErrReadiness, m.Author)
	}
	return nil
}

// HandOver proves to those who know one epoch what the next one is: the header that announces it, attested by a quorum of
// each, of each in its own epoch. If it is forced, operators' signatures stand in the place of the old quorum.
type HandOver struct {
	Header   Header
	Next     epoch.Configuration
	Outgoing []*message.Signed // attestations of the epoch that ends; none if it is forced
	Incoming []*message.Signed // of the one that begins
	Forced   *message.Recovery // nil: the header announces the next epoch
}

// Announced is the epoch that a header announces, which current ends with.
func Announced(current *epoch.Epoch, h *Header, next *epoch.Configuration) *epoch.Epoch {
	return &epoch.Epoch{Chain: current.Chain, ID: h.Digest(), Number: current.Number + 1, Base: h.Seq, Configuration: *next}
}

// Recovered is the epoch that a recovery of current begins.
func Recovered(current *epoch.Epoch, c *message.Recovery) *epoch.Epoch {
	return &epoch.Epoch{Chain: current.Chain, ID: c.ID(), Number: current.Number + 1, Base: c.Seq, Configuration: c.Next}
}

// Follows is the epoch that the hand-over says to follow current, whether or not that is proven.
func (h *HandOver) Follows(current *epoch.Epoch) *epoch.Epoch {
	if h.Forced != nil {
		return Recovered(current, h.Forced)
	}
	return Announced(current, &h.Header, &h.Next)
}

// Verify says what follows the epoch current, or why the hand-over does not show it.
func (h *HandOver) Verify(current *epoch.Epoch, s crypto.Scheme) (*epoch.Epoch, error) {
	if h.Forced != nil {
		return h.verifyForced(current, s)
	}
	switch {
	case h.Header.Epoch != current.ID:
		return nil, fmt.Errorf("hand-over: %w", errForeignEpoch)
	case h.Header.Seq <= current.Base:
		return nil, errors.New("hand-over: at a slot that is not the epoch's")
	case h.Header.NextEpoch != message.ConfigurationDigest(&h.Next):
		return nil, errors.New("hand-over: the header announces another epoch")
	}
	if err := h.Next.Validate(); err != nil {
		return nil, fmt.Errorf("hand-over: %w", err)
	}
	next := Announced(current, &h.Header, &h.Next)
	if err := VerifyAttested(h.Header.Seq, next.ID, h.Outgoing, current, s); err != nil {
		return nil, fmt.Errorf("hand-over: of the old epoch: %w", err)
	}
	if err := VerifyAttested(h.Header.Seq, next.ID, h.Incoming, next, s); err != nil {
		return nil, fmt.Errorf("hand-over: of the new epoch: %w", err)
	}
	return next, nil
}

func (h *HandOver) verifyForced(current *epoch.Epoch, s crypto.Scheme) (*epoch.Epoch, error) {
	c := h.Forced
	switch {
	case c.Seq != h.Header.Seq || c.Header != h.Header.Digest():
		return nil, errors.New("hand-over: the recovery names another header")
	case c.Seq > current.Base && h.Header.Epoch != current.ID:
		return nil, fmt.Errorf("hand-over: %w", errForeignEpoch)
	case len(h.Outgoing) > 0 || message.ConfigurationDigest(&h.Next) != message.ConfigurationDigest(&c.Next):
		return nil, errors.New("hand-over: of a recovery, and with something else")
	}
	if err := Recoverable(current, c, s); err != nil {
		return nil, fmt.Errorf("hand-over: %w", err)
	}
	next := Recovered(current, c)
	if err := VerifyAttested(c.Seq, c.Header, h.Incoming, next, s); err != nil {
		return nil, fmt.Errorf("hand-over: of the new epoch: %w", err)
	}
	return next, nil
}

// Encode writes the hand-over.
func (h *HandOver) Encode(w *message.Writer) {
	h.Header.Encode(w)
	message.WriteConfiguration(w, &h.Next)
	message.WriteVotes(w, h.Outgoing)
	message.WriteVotes(w, h.Incoming)
	w.Flag(h.Forced != nil)
	if h.Forced != nil {
		h.Forced.Encode(w)
	}
}

// ReadHandOver reads what Encode writes.
func ReadHandOver(r *message.Reader) *HandOver {
	h := &HandOver{
		Header: ReadHeader(r), Next: *message.ReadConfiguration(r), Outgoing: message.ReadVotes(r), Incoming: message.ReadVotes(r),
	}
	if r.Flag() {
		h.Forced = message.ReadRecovery(r)
	}
	return h
}

// EncodeHandOver is h's encoding.
func EncodeHandOver(h *HandOver) []byte {
	var w message.Writer
	h.Encode(&w)
	return w.Bytes()
}

// DecodeHandOver reads a whole encoded hand-over.
func DecodeHandOver(b []byte) (*HandOver, error) {
	r := message.NewReader(b)
	h := ReadHandOver(r)
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("hand-over: %w", err)
	}
	return h, nil
}
