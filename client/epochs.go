package client

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/quorate/quorate/api"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
)

// A client knows the genesis. Of a later epoch it hears when a node shows it something of that epoch, and believes it by the
// hand-overs that lead there, for each of which the members of the epoch before have to vouch: docs/protocol/epochs.md.

// epochs are those that a client has come to know.
type epochs struct {
	mu        sync.RWMutex
	known     []*epoch.Epoch    // from the first one on, never none
	handOvers []*proof.HandOver // the i-th one ended known[i]
}

func newEpochs(first *epoch.Epoch) *epochs { return &epochs{known: []*epoch.Epoch{first}} }

var (
	errUnknownEpoch = errors.New("of an epoch that nobody has shown to follow those known")
	errForeignSlot  = errors.New("of an epoch that the slot does not belong to")
)

// of is the epoch of a header, with the hand-overs that lead to it.
func (e *epochs) of(h *proof.Header) (*epoch.Epoch, []*proof.HandOver, error) {
	e.mu.RLock()
	defer e.mu.RUnlock()
	for i, k := range e.known {
		switch {
		case k.ID != h.Epoch:
			continue
		case h.Seq <= k.Base || i < len(e.handOvers) && h.Seq > e.handOvers[i].Header.Seq:
			return nil, nil, errForeignSlot
		}
		return k, e.handOvers[:i:i], nil
	}
	return nil, nil, errUnknownEpoch
}

func (e *epochs) knows(id crypto.Digest) bool {
	e.mu.RLock()
	defer e.mu.RUnlock()
	for _, k := range e.known {
		if k.ID == id {
			return true
		}
	}
	return false
}

// at is the epoch before which so many others came; nil if it is not known.
func (e *epochs) at(number uint64) *epoch.Epoch {
	e.mu.RLock()
	defer e.mu.RUnlock()
	if number >= uint64(len(e.known)) {
		return nil
	}
	return e.known[number]
}

func (e *epochs) newest() *epoch.Epoch {
	e.mu.RLock()
	defer e.mu.RUnlock()
	return e.known[len(e.known)-1]
}

// follow takes in what follows an epoch, if that is still the newest known.
func (e *epochs) follow(after *epoch.Epoch, h *proof.HandOver, s crypto.Scheme) error {
	next, err := h.Verify(after, s)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.known[len(e.known)-1] == after {
		e.known, e.handOvers = append(e.known, next), append(e.handOvers, h)
	}
	return nil
}

// learn has a node show what leads to the epoch of a header that it has answered with, unless that is known.
func (c *Client) learn(ctx context.Context, n node, header []byte) error {
	if len(header) != proof.HeaderSize {
		return errHeader
	}
	id := crypto.Digest(header[:crypto.DigestSize])
	if c.epochs.knows(id) {
		return nil
	}
	select {
	case n.learning <- struct{}{}: // one call to a node asks, and the others then know
		defer func() { <-n.learning }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for !c.epochs.knows(id) {
		if err := c.learnNext(ctx, n.url); err != nil {
			return fmt.Errorf("%w: %s: %w", errUnknownEpoch, id.Short(), err)
		}
	}
	return nil
}

// Epoch is the one before which so many others came, as the node at a URL proves it: from the genesis on, each by the hand-over that began it.
func (c *Client) Epoch(ctx context.Context, url string, number uint64) (*epoch.Epoch, error) {
	for {
		if e := c.epochs.at(number); e != nil {
			return e, nil
		}
		if err := c.learnNext(ctx, url); err != nil {
			return nil, err
		}
	}
}

// learnNext has the node at a URL show what follows the newest epoch that is known.
func (c *Client) learnNext(ctx context.Context, url string) error {
	newest := c.epochs.newest()
	h, err := c.handOver(ctx, url, newest.Number+1)
	if err == nil {
		err = c.epochs.follow(newest, h, c.scheme)
	}
	if err != nil {
		return fmt.Errorf("epoch %d: %w", newest.Number+1, err)
	}
	return nil
}

// handOver is with what an epoch began, in the words of the node at a URL.
func (c *Client) handOver(ctx context.Context, url string, number uint64) (*proof.HandOver, error) {
	var e api.Epoch
	if err := c.plain(ctx, fmt.Sprintf("%s/epoch/%d", url, number), &e); err != nil {
		return nil, err
	}
	return ReadHandOver(&e)
}

// maxPlainBytes bounds a plain answer of which a node may not make more.
const maxPlainBytes = 1 << 20

// plain reads the answer to a plain GET.
func (c *Client) plain(ctx context.Context, url string, answer any) error {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	got, err := (&http.Client{Transport: c.transport}).Do(q)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer got.Body.Close()
	if got.StatusCode != http.StatusOK {
		return fmt.Errorf("%w: %s answers %s", ErrUnavailable, q.URL, got.Status)
	}
	if err := json.NewDecoder(io.LimitReader(got.Body, maxPlainBytes)).Decode(answer); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrUnavailable, q.URL, err)
	}
	return nil
}

// ReadHandOver reads the answer to GET /epoch/N of an epoch that is not the first one. That it is a hand-over says nothing about
// whether it holds.
func ReadHandOver(e *api.Epoch) (*proof.HandOver, error) {
	if e.Header == nil {
		return nil, errors.New("epoch: without the header that announces it")
	}
	out := &proof.HandOver{}
	var err error
	if out.Header, err = readPlainHeader(e.Header); err != nil {
		return nil, fmt.Errorf("epoch: header: %w", err)
	}
	if err := readConfiguration(e, &out.Next); err != nil {
		return nil, fmt.Errorf("epoch: %w", err)
	}
	if len(e.HandOver) > 2*epoch.MaxMembers {
		return nil, fmt.Errorf("epoch: a hand-over of %d votes", len(e.HandOver))
	}
	for _, s := range e.HandOver {
		v, err := readPlainVote(s)
		if err != nil {
			return nil, fmt.Errorf("epoch: hand-over: %w", err)
		}
		if v.Epoch == out.Header.Epoch {
			out.Outgoing = append(out.Outgoing, v)
		} else {
			out.Incoming = append(out.Incoming, v)
		}
	}
	if e.Recovery == "" {
		return out, nil
	}
	raw, err := hex.DecodeString(e.Recovery)
	if err == nil {
		out.Forced, err = message.DecodeRecovery(raw)
	}
	if err != nil {
		return nil, fmt.Errorf("epoch: %w", err)
	}
	return out, nil
}

func readPlainHeader(in *api.Header) (h proof.Header, err error) {
	h.Seq, h.Time = epoch.Seq(in.Seq), in.Time
	for _, f := range []struct {
		into *crypto.Digest
		text string
	}{
		{&h.Epoch, in.Epoch}, {&h.Parent, in.Parent}, {&h.Batch, in.Batch}, {&h.Results, in.Results}, {&h.State, in.State}, {&h.NextEpoch, in.NextEpoch},
	} {
		if err := f.into.UnmarshalText([]byte(f.text)); err != nil {
			return h, err
		}
	}
	return h, nil
}

func readConfiguration(in *api.Epoch, out *epoch.Configuration) error {
	if err := out.Mode.UnmarshalText([]byte(in.Mode)); err != nil {
		return err
	}
	for _, m := range in.Members {
		member := epoch.Member{Name: m.Name, PeerID: m.PeerID, Address: m.Address, API: m.API}
		if err := errors.Join(member.Key.UnmarshalText([]byte(m.Key)), member.Incarnation.UnmarshalText([]byte(m.Incarnation))); err != nil {
			return err
		}
		out.Members = append(out.Members, member)
	}
	for _, f := range out.Parameters.Fields() {
		*f.Value = in.Parameters[f.Name]
	}
	for _, text := range in.Operators {
		var key crypto.PublicKey
		if err := key.UnmarshalText([]byte(text)); err != nil {
			return err
		}
		out.Operators = append(out.Operators, key)
	}
	out.Threshold = in.Threshold
	return nil
}

func readPlainVote(in api.Signed) (*message.Signed, error) {
	signed, err := hex.DecodeString(in.Signed)
	if err != nil {
		return nil, err
	}
	signature, err := hex.DecodeString(in.Signature)
	if err != nil {
		return nil, err
	}
	return readVote(signed, signature)
}
