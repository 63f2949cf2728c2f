package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"syscall"

	"connectrpc.com/connect"

	"github.com/quorate/quorate/api"
	"github.com/quorate/quorate/api/reason"
	"github.com/quorate/quorate/client"
)

// maxAnswer bounds a plain answer, in bytes: the largest block in hexadecimal, twice over.
const maxAnswer = 32 << 20

// ask has the node at an endpoint answer a plain GET, and hands on its own words as they are: unchecked.
func (t *target) ask(ctx context.Context, n *network, endpoint, path string) (json.RawMessage, error) {
	url := endpoint + path
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		return nil, t.unanswered(ctx, n, endpoint, err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return nil, t.unanswered(ctx, n, endpoint, err)
	}
	if answer.StatusCode == http.StatusOK {
		return bytes.TrimSpace(text), nil
	}
	var said api.Error
	if json.Unmarshal(text, &said) != nil || said.Reason == "" {
		return nil, fail(exitUnavailable, "%s: %s", url, answer.Status)
	}
	code := exitError
	switch why := reason.Reason(said.Reason); {
	case why == reason.NotFound || why == reason.Pruned:
		code = exitNotFound
	case why.RetryAfter() > 0:
		code = exitUnavailable
	}
	return nil, fail(code, "%s (%s)", said.Message, said.Reason)
}

// unanswered says that one node gave no answer, and what to do.
func (t *target) unanswered(ctx context.Context, n *network, endpoint string, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return t.tooShort()
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	cause := err
	if inner := (*url.Error)(nil); errors.As(err, &inner) {
		cause = inner.Err // without the URL
	}
	if system := (*os.SyscallError)(nil); errors.As(err, &system) {
		cause = system.Err // without the address
	}
	i := n.member(endpoint)
	switch {
	case i == 0:
		return fail(exitUnavailable, "%s does not answer (%w)", endpoint, cause)
	case t.genesis != "":
		return fail(exitUnavailable, "node %d, %s, does not answer (%w)", i, endpoint, cause)
	}
	return fail(exitUnavailable, "node %d does not answer (%w): quorate testnet start %d%s", i, cause, i, t.app.dirFlag())
}

func (t *target) tooShort() error {
	return fail(exitUnavailable, "no answer within %v: try a longer --timeout", t.timeout)
}

func (t *target) noneAnswers() error {
	if t.genesis != "" {
		return fail(exitUnavailable, "no node answers at the addresses that %s has for the members: are they up, and can this host reach them?", t.genesis)
	}
	return fail(exitUnavailable, "no node answers: quorate testnet status%s", t.app.dirFlag())
}

// readError gives the end of a read its exit code, and says what to do.
func (t *target) readError(ctx context.Context, n *network, err error) error {
	if !errors.Is(err, client.ErrUnavailable) {
		return outcomeError(err)
	}
	_, said := reason.Of(err)
	refused := errors.Is(err, syscall.ECONNREFUSED)
	switch {
	case said:
		return outcomeError(err)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return t.tooShort()
	case refused && n.fixed:
		return t.unanswered(ctx, n, n.endpoints[0], err)
	case refused:
		return t.noneAnswers()
	}
	return outcomeError(err)
}

// outcomeError gives the end of a call its exit code, and says what to do.
func outcomeError(err error) error {
	var refused *client.Refused
	var unknown *client.Unknown
	switch {
	case err == nil:
		return nil
	case errors.As(err, &unknown):
		return fail(exitUnavailable, "%w: quorate tx show %s", err, unknown.ID)
	case errors.As(err, &refused):
		return &failure{exitRejected, refused}
	case errors.Is(err, client.ErrNotFound), errors.Is(err, client.ErrPruned):
		return &failure{exitNotFound, once(err)}
	case errors.Is(err, client.ErrUnavailable):
		// Of several nodes one may have said why, in a word that is the same everywhere.
		switch why, _ := reason.Of(err); why {
		case reason.Unreadable:
			return &failure{exitNotFound, once(err)}
		case reason.InvalidQuery, reason.BadParameters:
			return &failure{exitError, once(err)}
		}
		return &failure{exitUnavailable, err}
	}
	return err
}

// once is what several nodes have said, in the words of the first.
func once(err error) error {
	if said := (*connect.Error)(nil); errors.As(err, &said) {
		return errors.New(said.Message())
	}
	return err
}

// executedSeq is how far the network is: what the middle one of enough nodes says, so that those who lie cannot move it.
func (t *target) executedSeq(ctx context.Context, n *network, c *client.Client) (uint64, error) {
	endpoints := c.Endpoints()
	type answer struct {
		seq uint64
		err error
	}
	answers := make(chan answer, len(endpoints))
	caller := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, url := range endpoints {
		go func() {
			s, err := c.Status(ctx, url)
			answers <- answer{s.Seq, err}
		}()
	}
	var seqs []uint64
	var errs []error
	for range endpoints {
		a := <-answers
		if a.err != nil {
			errs = append(errs, a.err)
			continue
		}
		seqs = append(seqs, a.seq)
		if len(seqs) > 2*n.genesis.Epoch().Faulty() {
			break
		}
	}
	switch {
	case len(seqs) > 0:
		return median(seqs), nil
	case errors.Is(caller.Err(), context.DeadlineExceeded):
		return 0, t.tooShort()
	case n.fixed:
		return 0, t.unanswered(caller, n, endpoints[0], errs[0])
	case caller.Err() != nil:
		return 0, caller.Err()
	}
	return 0, t.noneAnswers()
}
