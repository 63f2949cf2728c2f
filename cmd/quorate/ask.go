package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"

	"github.com/quorate/quorate/api"
	"github.com/quorate/quorate/api/reason"
	"github.com/quorate/quorate/client"
)

// maxAnswer bounds a plain answer, in bytes: the largest block in hexadecimal, twice over.
const maxAnswer = 32 << 20

// ask has one node answer a plain GET, and writes its own words as they are: unchecked.
func (a *app) ask(ctx context.Context, url string) (json.RawMessage, error) {
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		return nil, &failure{exitUnavailable, err}
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return nil, &failure{exitUnavailable, err}
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
		return &failure{exitNotFound, err}
	case errors.Is(err, client.ErrUnavailable):
		// Of several nodes one may have said why, in a word that is the same everywhere.
		if why, ok := reason.Of(err); ok && (why == reason.InvalidQuery || why == reason.Unreadable || why == reason.BadParameters) {
			return &failure{exitError, err}
		}
		return &failure{exitUnavailable, err}
	}
	return err
}

// executedSeq is how far the network is: what the middle one of enough nodes says, so that those who lie cannot move it.
func executedSeq(ctx context.Context, c *client.Client, faulty int) (uint64, error) {
	endpoints := c.Endpoints()
	type answer struct {
		seq uint64
		err error
	}
	answers := make(chan answer, len(endpoints))
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
		if len(seqs) > 2*faulty {
			break
		}
	}
	if len(seqs) == 0 {
		return 0, fail(exitUnavailable, "no node answers: quorate testnet status (%w)", errs[0])
	}
	return median(seqs), nil
}
