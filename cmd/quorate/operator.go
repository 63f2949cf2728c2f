package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"github.com/quorate/quorate/api"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/client"
	"github.com/quorate/quorate/crypto"
)

// What the commands that change epochs share: they learn from all nodes at once which epoch is proven, sign what is to follow it, hand that to every
// node that answers, and wait until the next epoch serves.

// operator is whoever changes epochs: a target, and the keys that sign.
type operator struct {
	target
	signers []string
}

func (o *operator) add(f *pflag.FlagSet) {
	o.addNode(f)
	o.ring.app = o.app
	o.ring.add(f)
	f.StringSliceVar(&o.signers, "key", []string{"operator"}, "names of the operators' keys in the folder --keys, or key files; as many as the threshold")
}

// known is what an operator has come to know of the network before he signs anything. Nodes may lie: the epoch is one that is proven from the
// genesis on, and how a node is, it says of itself.
type known struct {
	*network
	client *client.Client
	epoch  *epoch.Epoch
	at     map[string]api.Status // by endpoint, of those that answer and are in that epoch
}

func (k *known) close() { k.client.Close() }

// look asks all nodes how they are, and for the newest epoch that one of them proves.
func (o *operator) look(ctx context.Context) (*known, error) {
	n, err := o.find()
	if err != nil {
		return nil, err
	}
	c, err := n.client()
	if err != nil {
		return nil, err
	}
	k := &known{network: n, client: c, at: make(map[string]api.Status)}
	if err := o.lookAgain(ctx, k); err != nil {
		c.Close()
		return nil, err
	}
	return k, nil
}

func (o *operator) lookAgain(ctx context.Context, k *known) error {
	clear(k.at)
	var last error
	answers := o.stand(ctx, k)
	k.epoch = nil
	for _, a := range answers {
		switch {
		case a.err != nil:
			last = a.err
		case k.epoch == nil || a.epoch.Number > k.epoch.Number:
			k.epoch = a.epoch
		}
	}
	if k.epoch == nil {
		return last
	}
	for _, a := range answers {
		if a.err == nil && a.epoch.ID == k.epoch.ID {
			k.at[a.endpoint] = a.status
		}
	}
	return nil
}

// standing is a node's own word on how it is, and the epoch that it proves to be in.
type standing struct {
	endpoint string
	status   api.Status
	epoch    *epoch.Epoch
	err      error
}

// askTime is how long one node of several is waited for.
const askTime = 2 * time.Second

// stand asks all nodes at once.
func (o *operator) stand(ctx context.Context, k *known) []standing {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	answers := make([]standing, len(k.endpoints))
	var wg sync.WaitGroup
	for i, endpoint := range k.endpoints {
		wg.Go(func() {
			a := &answers[i]
			a.endpoint = endpoint
			var words json.RawMessage
			if words, a.err = o.ask(ctx, k.network, endpoint, "/status"); a.err != nil {
				return
			}
			if err := json.Unmarshal(words, &a.status); err != nil {
				a.err = fail(exitUnavailable, "%s: the answer is no status: %w", endpoint, err)
				return
			}
			if a.epoch, a.err = k.client.Epoch(ctx, endpoint, a.status.Epoch); a.err != nil {
				a.err = fail(exitUnavailable, "%s does not prove the epoch that it says to be in: %w", endpoint, a.err)
			}
		})
	}
	wg.Wait()
	return answers
}

// keysOf opens the operators' keys.
func (o *operator) keysOf(ctx context.Context, e *epoch.Epoch) ([]crypto.PrivateKey, error) {
	if e.Threshold == 0 {
		return nil, fail(exitRejected, "the genesis names no operators: nobody can change this network's epochs")
	}
	if len(o.signers) < int(e.Threshold) {
		return nil, fail(exitUsage, "--key: %d of %d operators must sign, %d are named", e.Threshold, len(e.Operators), len(o.signers))
	}
	var keys []crypto.PrivateKey
	for _, name := range o.signers {
		key, err := o.ring.load(ctx, name)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(e.Operators, key.Public()) {
			return nil, fail(exitRejected, "key %s is none of the %d operators' of epoch %d", name, len(e.Operators), e.Number)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// changeSlots is how many slots a change may wait to be ordered.
const changeSlots = 100_000

// change has the network go on in another epoch, and returns when that serves.
func (o *operator) change(ctx context.Context, done string, edit func(*epoch.Configuration) error) error {
	k, err := o.look(ctx)
	if err != nil {
		return err
	}
	defer k.close()
	next := k.epoch.Configuration
	next.Members = slices.Clone(next.Members)
	if err := edit(&next); err != nil {
		return err
	}
	want := message.ConfigurationDigest(&next)
	if want == message.ConfigurationDigest(&k.epoch.Configuration) {
		o.app.say("%s already, in epoch %d", done, k.epoch.Number)
		return nil
	}
	if err := next.Validate(); err != nil {
		return fail(exitRejected, "%w", err)
	}
	keys, err := o.keysOf(ctx, k.epoch)
	if err != nil {
		return err
	}
	seq := uint64(0)
	for _, s := range k.at {
		seq = max(seq, s.Seq)
	}
	c := &message.Change{Chain: k.epoch.Chain, Of: k.epoch.ID, Next: next, Last: epoch.Seq(seq + changeSlots)}
	for _, key := range keys {
		c.Approve(crypto.Ed25519(), key)
	}
	if err := o.hand(ctx, k, "/change", message.EncodeChange(c)); err != nil {
		return err
	}
	e, err := o.await(ctx, k, func() string { return o.whyChangeWaits(k, c.ID().String()) })
	if err != nil {
		return err
	}
	if message.ConfigurationDigest(&e.Configuration) != want {
		return fail(exitRejected, "another change was ordered first: epoch %d has mode %s; look at it, and ask again", e.Number, e.Mode)
	}
	o.app.say("%s, from slot %d on: epoch %d", done, e.Base+1, e.Number)
	return nil
}

// hand gives something to every node that answers; one that takes it is enough.
func (o *operator) hand(ctx context.Context, k *known, path string, body []byte) error {
	var last error
	taken := 0
	for _, endpoint := range k.endpoints {
		if _, ok := k.at[endpoint]; !ok {
			continue
		}
		if err := o.post(ctx, k.network, endpoint, path, body); err != nil {
			last = err
			continue
		}
		taken++
	}
	if taken == 0 {
		return last
	}
	return nil
}

func (o *operator) post(ctx context.Context, n *network, endpoint, path string, body []byte) error {
	q, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	q.Header.Set("Content-Type", "application/octet-stream")
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		return o.unanswered(ctx, n, endpoint, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return o.unanswered(ctx, n, endpoint, err)
	}
	var said api.Error
	switch {
	case answer.StatusCode == http.StatusAccepted:
		return nil
	case json.Unmarshal(text, &said) == nil && said.Message != "":
		return fail(exitRejected, "%s", said.Message)
	}
	return fail(exitUnavailable, "%s%s: %s", endpoint, path, answer.Status)
}

// awaitPause is how often nodes are asked whether the next epoch serves.
const awaitPause = 50 * time.Millisecond

// await waits until a quorum of the next epoch is in it or beyond, and one of them is ready. why says what it waits for, if it waits in vain.
func (o *operator) await(ctx context.Context, k *known, why func() string) (*epoch.Epoch, error) {
	for {
		var next *epoch.Epoch
		in, ready := 0, false
		for _, a := range o.stand(ctx, k) {
			if a.err != nil || a.epoch.Number <= k.epoch.Number {
				continue
			}
			if e, err := k.client.Epoch(ctx, a.endpoint, k.epoch.Number+1); err == nil {
				next = e // there is one, and it is proven
				in++
				ready = ready || a.status.Ready
			}
		}
		if next != nil && in >= min(next.Quorum(), len(k.endpoints)) && ready {
			return next, nil
		}
		select {
		case <-time.After(awaitPause):
		case <-ctx.Done():
			return nil, fail(exitUnavailable, "the next epoch does not serve within %v%s", o.timeout, why())
		}
	}
}

// whyChangeWaits says who is not ready for a change.
func (o *operator) whyChangeWaits(k *known, id string) string {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for endpoint := range k.at {
		words, err := o.ask(ctx, k.network, endpoint, "/changes")
		var all api.Changes
		if err != nil || json.Unmarshal(words, &all) != nil {
			continue
		}
		i := slices.IndexFunc(all.Changes, func(c api.Change) bool { return c.ID == id })
		if i < 0 {
			continue
		}
		var missing []string
		for j, m := range k.epoch.Members {
			if !slices.Contains(all.Changes[i].Ready, uint32(j+1)) {
				missing = append(missing, m.Name)
			}
		}
		if all.Changes[i].Mode == epoch.Crash.String() {
			if words, err := o.ask(ctx, k.network, endpoint, "/evidence"); err == nil {
				var list api.EvidenceList
				if json.Unmarshal(words, &list) == nil && len(list.Evidence) > 0 {
					return fmt.Sprintf(": there is evidence against member %d, and whoever holds it is not ready for a mode that bears no liar", list.Evidence[0].Member)
				}
			}
		}
		return fmt.Sprintf(": it waits, and comes about when enough members are ready; not ready are %s", strings.Join(missing, ", "))
	}
	return ": nothing waits for it; ask again"
}
