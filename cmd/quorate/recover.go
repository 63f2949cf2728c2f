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
	if o.node != "" {
		return fail(exitUsage, "--node: a recovery is for all nodes that are left: leave it out")
	}
	k, err := o.look(ctx)
	if err != nil {
		return err
	}
	defer k.close()
	next, head, err := o.gather(ctx, k)
	if err != nil {
		return err
	}
	keys, err := o.keysOf(ctx, k.epoch)
	if err != nil {
		return err
	}
	c := &message.Recovery{Chain: k.epoch.Chain, Of: k.epoch.ID, Next: *next, Number: uint64(time.Now().UnixMilli()), Seq: epoch.Seq(head.Seq)}
	if err := c.Header.UnmarshalText([]byte(head.Header)); err != nil {
		return fail(exitUnavailable, "node %d: its header is no digest: %w", head.Node, err)
	}
	c.Evidence = o.evidenceAgainst(ctx, k)
	for _, key := range keys {
		c.Approve(crypto.Ed25519(), key)
	}
	o.app.say("epoch %d, of %s mode, ends at slot %d; the members ask each other for three seconds", k.epoch.Number, k.epoch.Mode, c.Seq)
	if err := o.hand(ctx, k, "/recover", message.EncodeRecovery(c)); err != nil {
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

// gatherTime is how long nodes that say to be further than the others are waited for: if they are, they show it.
const gatherTime = 8 * time.Second

// gather waits until enough nodes stand at the newest block that is left, and says what follows: byzantine mode, with the logs that the members
// have now. A node that says to be further, and from which the others get nothing, is not believed.
func (o *operator) gather(ctx context.Context, k *known) (*epoch.Configuration, *api.Status, error) {
	for begun := time.Now(); ; {
		next := k.epoch.Configuration
		next.Mode, next.Members = epoch.Byzantine, slices.Clone(next.Members)
		stand := make(map[string][]string) // endpoints, by header
		var head api.Status
		furthest, who := uint64(0), ""
		for endpoint, s := range k.at {
			m := &next.Members[k.member(endpoint)-1] // by where it answers, not by what it says to be
			if err := m.Incarnation.UnmarshalText([]byte(s.Incarnation)); err != nil {
				continue
			}
			stand[s.Header] = append(stand[s.Header], endpoint)
			if n := len(stand[s.Header]); n > len(stand[head.Header]) || head.Header == "" {
				head = s
			}
			if s.Seq > furthest {
				furthest, who = s.Seq, m.Name
			}
		}
		if err := next.Validate(); err != nil {
			return nil, nil, fail(exitRejected, "%w", err)
		}
		there, want := len(stand[head.Header]), epoch.Quorum(next.Mode, len(next.Members))
		if there >= want && (furthest == head.Seq || time.Since(begun) > gatherTime) {
			if furthest > head.Seq {
				o.app.say("%s says to be at slot %d, and shows nobody: it is not believed", who, furthest)
			}
			return &next, &head, nil
		}
		select {
		case <-time.After(4 * awaitPause):
		case <-ctx.Done():
			return nil, nil, fail(exitUnavailable, "%d of %d members stand at slot %d, and %d must stand at one: start the others, also those whose disks are new",
				there, len(next.Members), head.Seq, want)
		}
		if err := o.lookAgain(ctx, k); err != nil && ctx.Err() == nil {
			return nil, nil, err
		}
	}
}

// evidenceAgainst are the IDs of all evidence of the epoch that nodes tell of.
func (o *operator) evidenceAgainst(ctx context.Context, k *known) []crypto.Digest {
	var ids []crypto.Digest
	for endpoint := range k.at {
		words, err := o.ask(ctx, k.network, endpoint, "/evidence")
		var list api.EvidenceList
		if err != nil || json.Unmarshal(words, &list) != nil {
			continue // the others tell of it
		}
		for _, e := range list.Evidence {
			var id crypto.Digest
			if id.UnmarshalText([]byte(e.ID)) == nil && e.Epoch == k.epoch.ID.String() && !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	slices.SortFunc(ids, func(a, b crypto.Digest) int { return slices.Compare(a[:], b[:]) })
	return ids[:min(len(ids), message.MaxNamedEvidence)]
}

// whyRecoveryWaits says why members refuse.
func (o *operator) whyRecoveryWaits(k *known) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for endpoint := range k.at {
		words, err := o.ask(ctx, k.network, endpoint, "/changes")
		var all api.Changes
		if err != nil || json.Unmarshal(words, &all) != nil || all.Recovery == nil {
			continue
		}
		r := all.Recovery
		switch {
		case r.Further > 0:
			return ": a member says to be beyond where it would begin; ask again"
		case r.Voters >= k.epoch.Quorum():
			return fmt.Sprintf(": %d members with a vote answer, which is a quorum of epoch %d: it can help itself, with quorate mode", r.Voters, k.epoch.Number)
		}
		return fmt.Sprintf(": %d members have answered, and %d are willing", len(r.Heard), len(r.Willing))
	}
	return ": nothing waits for it; ask again"
}
