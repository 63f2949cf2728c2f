package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"connectrpc.com/connect"

	"github.com/quorate/quorate/api"
	v1 "github.com/quorate/quorate/api/quorate/v1"
	"github.com/quorate/quorate/api/quorate/v1/quoratev1connect"
	"github.com/quorate/quorate/api/reason"
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/bft/proof"
	"github.com/quorate/quorate/client"
	"github.com/quorate/quorate/crypto"
	"github.com/quorate/quorate/node/host"
	"github.com/quorate/quorate/store"
)

// Remote is the chain of a node that runs.
type Remote struct {
	url     string
	http    *http.Client
	service quoratev1connect.NodeServiceClient
	patient time.Duration // how long to wait until it has what it should have
	least   epoch.Seq
}

// NewRemote reads from the node at url. It gives it so much time to come to slot least.
func NewRemote(client *http.Client, url string, least epoch.Seq, patient time.Duration) *Remote {
	return &Remote{url: url, http: client, service: quoratev1connect.NewNodeServiceClient(client, url), patient: patient, least: least}
}

// pollEvery is how often a node is asked how far it is.
const pollEvery = 100 * time.Millisecond

// Last is what the node has executed, at least what it is waited for, if it comes to that in time.
func (r *Remote) Last(ctx context.Context) (epoch.Seq, error) {
	patience := time.NewTimer(r.patient)
	defer patience.Stop()
	for {
		seq, err := r.executed(ctx)
		if err != nil || seq >= r.least {
			return seq, err
		}
		select {
		case <-time.After(pollEvery):
		case <-patience.C:
			return seq, nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// answerTime is how long a node has for one answer.
const answerTime = 15 * time.Second

func (r *Remote) executed(ctx context.Context) (epoch.Seq, error) {
	var s struct {
		Seq uint64 `json:"seq,string"`
	}
	_, err := r.plain(ctx, "/status", &s)
	return epoch.Seq(s.Seq), err
}

// plain reads the answer to a plain GET, and its status.
func (r *Remote) plain(ctx context.Context, path string, into any) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+path, nil)
	if err != nil {
		return 0, err
	}
	answer, err := r.http.Do(q)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(into); err != nil {
		return 0, fmt.Errorf("%s%s: %w", r.url, path, err)
	}
	return answer.StatusCode, nil
}

// HandOver asks for an epoch. That a node does not know one in which it has executed a block is damage, and so is what is no hand-over.
func (r *Remote) HandOver(ctx context.Context, number uint64) (*proof.HandOver, error) {
	var e api.Epoch
	status, err := r.plain(ctx, fmt.Sprintf("/epoch/%d", number), &e)
	switch {
	case err != nil:
		return nil, err
	case status == http.StatusNotFound:
		return nil, &DamageError{fmt.Errorf("epoch %d is not there", number)}
	case status != http.StatusOK:
		return nil, fmt.Errorf("%s/epoch/%d: status %d", r.url, number, status)
	}
	h, err := client.ReadHandOver(&e)
	if err != nil {
		return nil, &DamageError{err}
	}
	return h, nil
}

// Block asks for a block. What is no block is damage.
func (r *Remote) Block(ctx context.Context, seq epoch.Seq) (*proof.Block, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	answer, err := r.service.GetBlock(ctx, connect.NewRequest(&v1.GetBlockRequest{Seq: uint64(seq)}))
	if err != nil {
		if why, ok := reason.Of(err); ok && (why == reason.NotFound || why == reason.Internal) {
			// It has executed it, and so must have it.
			return nil, &DamageError{err}
		}
		return nil, err
	}
	b, err := blockOf(answer.Msg)
	if err != nil {
		return nil, &DamageError{err}
	}
	return b, nil
}

func blockOf(m *v1.GetBlockResponse) (*proof.Block, error) {
	r := message.NewReader(m.Header)
	b := &proof.Block{Decision: proof.Decision{Header: proof.ReadHeader(r), View: epoch.View(m.View)}}
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	var requests []*message.Request
	for _, t := range m.Transactions {
		q, err := message.DecodeRequest(t.Transaction)
		if err != nil {
			return nil, err
		}
		requests = append(requests, q)
	}
	b.Batch = message.NewBatch(m.BatchTime, requests)
	if len(m.Change) > 0 {
		if len(requests) > 0 {
			return nil, errors.New("a change beside transactions")
		}
		c, err := message.DecodeChange(m.Change)
		if err != nil {
			return nil, err
		}
		b.Batch = message.NewChangeBatch(m.BatchTime, c)
	}
	for _, s := range m.Certificate {
		if len(s.Signature) != crypto.SignatureSize {
			return nil, errors.New("certificate: a signature of another length")
		}
		var w message.Writer
		w.String(s.Signed)
		w.Fixed(s.Signature)
		r := message.NewReader(w.Bytes())
		v := message.ReadDetached(r)
		if err := r.Close(); err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
		b.Certificate = append(b.Certificate, v)
	}
	return b, nil
}

// Stopped is the chain in the folder of a node that does not run. Its node cannot start before Close.
type Stopped struct{ log *host.Inspected }

// OpenStopped opens the log of a stopped node. Damage is a *DamageError.
func OpenStopped(dir string) (*Stopped, error) {
	log, err := host.Inspect(store.System(), dir, store.Options{})
	if damage := (*store.DamageError)(nil); errors.As(err, &damage) {
		return nil, &DamageError{err}
	}
	if err != nil {
		return nil, err
	}
	return &Stopped{log}, nil
}

// Close lets the node start again.
func (s *Stopped) Close() error { return s.log.Close() }

// Last is the newest block in the log.
func (s *Stopped) Last(context.Context) (epoch.Seq, error) { return s.log.Last(), nil }

// Block reads a block. A block that cannot be read is damage.
func (s *Stopped) Block(_ context.Context, seq epoch.Seq) (*proof.Block, error) {
	b, ok, err := s.log.Block(seq)
	switch {
	case err != nil:
		return nil, &DamageError{err}
	case !ok:
		return nil, &DamageError{errors.New("is not there")}
	}
	return b, nil
}

// HandOver is as the log has it, which must have one for each epoch in which it has a block.
func (s *Stopped) HandOver(_ context.Context, number uint64) (*proof.HandOver, error) {
	if number < 1 || number > uint64(len(s.log.Past)) {
		return nil, &DamageError{fmt.Errorf("epoch %d is not there", number)}
	}
	return s.log.Past[number-1].HandOver, nil
}

// Missing is a chain that is out of reach.
type Missing struct{ Err error }

// Last says why.
func (m Missing) Last(context.Context) (epoch.Seq, error) { return 0, m.Err }

// HandOver says why.
func (m Missing) HandOver(context.Context, uint64) (*proof.HandOver, error) { return nil, m.Err }

// Block says why.
func (m Missing) Block(context.Context, epoch.Seq) (*proof.Block, error) { return nil, m.Err }
