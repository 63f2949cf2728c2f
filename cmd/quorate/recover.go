package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/api"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/crypto"
)

func (a *app) recoverCommand() *cobra.Command {
	o := operator{target: target{app: a}}
	cmd := a.command("recover [flags]", "End an epoch by force: its quorum is lost for good, or a member lies in crash mode",
		"  quorate recover    the network goes on, in byzantine mode, from the newest block that is left", cobra.NoArgs,
		func(ctx context.Context, _ []string) error {
			ctx, cancel := context.WithTimeout(ctx, o.timeout)
			defer cancel()
			return o.recover(ctx)
		})
	o.add(cmd.Flags())
	cmd.Long = `End an epoch by force.

For a network that cannot go on by itself: too many members have lost their disks for
good, or crash mode has met a member that lies. Start first all nodes that are left, those
that have lost their disks too: they follow. The epoch ends at the newest block that is
left; what was acknowledged above it, by members that are gone, is lost. The next epoch is
of byzantine mode, and names the logs that the members have now. Members refuse while a
quorum of the epoch answers: then it can help itself.`
	return cmd
}

func (o *operator) recover(ctx context.Context) error {
	k, next, head, err := o.gather(ctx)
	if err != nil {
		return err
	}
	keys, err := o.keysOf(ctx, k.epoch)
	if err != nil {
		return err
	}
	c := &message.Recovery{Chain: k.epoch.Chain, Of: k.epoch.ID, Next: *next, Seq: epoch.Seq(head.Seq)}
	if err := c.Header.UnmarshalText([]byte(head.Header)); err != nil {
		return fail(exitUnavailable, "node %d: its header is no digest: %w", head.Node, err)
	}
	if c.Evidence, err = o.evidenceAgainst(ctx, k); err != nil {
		return err
	}
	for _, key := range keys {
		c.Approve(crypto.Ed25519(), key)
	}
	var body message.Writer
	c.Encode(&body)
	o.app.say("epoch %d, of %s mode, ends at slot %d; the members ask each other for three seconds", k.epoch.Number, k.epoch.Mode, c.Seq)
	if err := o.hand(ctx, k, "/recover", body.Bytes()); err != nil {
		return err
	}
	e, err := o.await(ctx, k, func() string { return o.whyRecoveryWaits(k) })
	if err != nil {
		return err
	}
	if e.ID != c.ID() {
		return fail(exitRejected, "epoch %d is another one than was asked for: the network has helped itself", e.Number)
	}
	o.app.say("mode is %s, from slot %d on: epoch %d", e.Mode, e.Base+1, e.Number)
	return nil
}

// gather waits until enough nodes stand at the newest block that is left, and says what follows: byzantine mode, with the logs that the members
// have now.
func (o *operator) gather(ctx context.Context) (*known, *epoch.Configuration, *api.Status, error) {
	for {
		k, err := o.look(ctx)
		if err != nil {
			if ctx.Err() == nil {
				return nil, nil, nil, err
			}
			return nil, nil, nil, o.tooShort()
		}
		next := k.epoch.Configuration
		next.Mode, next.Members = epoch.Byzantine, slices.Clone(next.Members)
		var head api.Status
		for _, s := range k.at {
			if s.Epoch == k.epoch.Number && (head.Node == 0 || s.Seq > head.Seq) {
				head = s
			}
			if s.Node >= 1 && int(s.Node) <= len(next.Members) {
				if err := next.Members[s.Node-1].Incarnation.UnmarshalText([]byte(s.Incarnation)); err != nil {
					return nil, nil, nil, fail(exitUnavailable, "node %d: %w", s.Node, err)
				}
			}
		}
		if err := next.Validate(); err != nil {
			return nil, nil, nil, fail(exitRejected, "%w", err)
		}
		there := 0
		for _, s := range k.at {
			if s.Epoch == k.epoch.Number && s.Header == head.Header {
				there++
			}
		}
		if want := epoch.Quorum(next.Mode, len(next.Members)); there >= want {
			return k, &next, &head, nil
		}
		select {
		case <-time.After(4 * awaitPause):
		case <-ctx.Done():
			return nil, nil, nil, fail(exitUnavailable, "%d of %d members stand at slot %d, the newest that is left, and %d must: start the others, also those whose disks are new",
				there, len(next.Members), head.Seq, epoch.Quorum(next.Mode, len(next.Members)))
		}
	}
}

// evidenceAgainst are the IDs of all evidence of the epoch that nodes hold.
func (o *operator) evidenceAgainst(ctx context.Context, k *known) ([]crypto.Digest, error) {
	var ids []crypto.Digest
	for endpoint := range k.at {
		words, err := o.ask(ctx, k.network, endpoint, "/evidence")
		if err != nil {
			return nil, err
		}
		var list api.EvidenceList
		if err := json.Unmarshal(words, &list); err != nil {
			return nil, fail(exitUnavailable, "%s: the answer is no list of evidence: %w", endpoint, err)
		}
		for _, e := range list.Evidence {
			var id crypto.Digest
			if err := id.UnmarshalText([]byte(e.ID)); err != nil {
				return nil, fail(exitUnavailable, "%s: %w", endpoint, err)
			}
			if e.Epoch == k.epoch.ID.String() && !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	slices.SortFunc(ids, func(a, b crypto.Digest) int { return slices.Compare(a[:], b[:]) })
	return ids[:min(len(ids), message.MaxNamedEvidence)], nil
}

// whyRecoveryWaits says why members refuse.
func (o *operator) whyRecoveryWaits(k *known) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for endpoint := range k.at {
		words, err := o.ask(ctx, k.network, endpoint, "/changes")
		var all api.Changes
		if err != nil || json.Unmarshal(words, &all) != nil || len(all.Recoveries) == 0 {
			continue
		}
		r := all.Recoveries[len(all.Recoveries)-1]
		switch {
		case r.Further:
			return ": a member is beyond where it would begin; ask again"
		case r.Voters >= k.epoch.Quorum():
			return fmt.Sprintf(": %d members with a vote answer, which is a quorum of epoch %d: it can help itself, with quorate mode", r.Voters, k.epoch.Number)
		}
		return fmt.Sprintf(": %d members have answered", len(r.Heard))
	}
	return ": nothing waits for it; ask again"
}
