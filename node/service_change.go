package node

import (
	"context"
	"net/http"

	"github.com/quorate/quorate/api"
	"github.com/quorate/quorate/api/reason"
	"github.com/quorate/quorate/bft"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/node/host"
)

// What operators hand in: changes of the epoch, and recoveries. Whoever hands one in learns that it is valid; what comes of it he sees by
// the node's epoch, and by what GET /changes says of those that wait.

// Change hands in a change of the epoch. An error says why it is not one of the epoch that is running.
func (n *Node) Change(ctx context.Context, c *message.Change) error {
	return n.hand(ctx, func(h *host.Host) error { return h.Ask(c) }, func() error { return proof.Asked(n.Epoch(), c, n.scheme) })
}

// Recover hands in a recovery.
func (n *Node) Recover(ctx context.Context, c *message.Recovery) error {
	return n.hand(ctx, func(h *host.Host) error { return h.Recover(c) }, func() error { return proof.Recoverable(n.Epoch(), c, n.scheme) })
}

// hand gives something to the core; what does not hold does not get that far.
func (n *Node) hand(ctx context.Context, give func(*host.Host) error, check func() error) error {
	if err := check(); err != nil {
		return err
	}
	done := make(chan error, 1)
	n.inbox.put(item{call: func(h *host.Host) { done <- give(h) }})
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-n.stopping:
		return ErrStopping
	case <-n.ended:
		return ErrStopping
	}
}

// Waiting are the changes and recoveries that wait.
func (n *Node) Waiting() ([]bft.Change, *bft.Recovery) {
	s := n.snapshot.p.Load()
	return s.changes, s.recovery
}

// handIn takes in what a call's body encodes, and answers with the name by which GET /changes lists it.
func handIn[T interface{ ID() crypto.Digest }](s *service, decode func([]byte) (T, error), give func(context.Context, T) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		leave, e := s.read(r.RemoteAddr)
		if e != nil {
			s.refuseCall(w, r, e)
			return
		}
		defer leave()
		body, free, e := s.body(w, r)
		if e != nil {
			s.refuseCall(w, r, e)
			return
		}
		defer free()
		c, err := decode(body)
		if err == nil {
			err = give(r.Context(), c)
		}
		if err != nil {
			plainError(w, refuse(reason.BadParameters, err))
			return
		}
		plain(w, http.StatusAccepted, api.HandedIn{ID: c.ID().String()})
	}
}

func numbers(ids []epoch.ReplicaID) []uint32 {
	out := make([]uint32, len(ids))
	for i, id := range ids {
		out[i] = uint32(id)
	}
	return out
}

// changes lists what waits.
func (s *service) changes(w http.ResponseWriter, _ *http.Request) {
	out := api.Changes{Changes: []api.Change{}}
	changes, recovery := s.backend.Waiting()
	for _, c := range changes {
		out.Changes = append(out.Changes, api.Change{ID: c.ID.String(), Mode: c.Next.Mode.String(), Last: uint64(c.Last), Ready: numbers(c.Ready)})
	}
	if r := recovery; r != nil {
		out.Recovery = &api.Recovery{ID: r.ID.String(), Heard: numbers(r.Heard), Willing: numbers(r.Willing), Voters: r.Voters, Further: r.Further}
	}
	plain(w, http.StatusOK, out)
}
