package main

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/quorate/quorate/api/reason"
	"github.com/quorate/quorate/client"
)

func TestEveryEndOfATransactionHasItsExitCode(t *testing.T) {
	for _, c := range []struct {
		err         error
		interrupted bool
		want        int
	}{
		{nil, false, 0},
		{errors.New("disk full"), false, 1},
		{fmt.Errorf("block: %w", client.ErrNotFound), false, 3},
		{fmt.Errorf("block: %w", client.ErrPruned), false, 3},
		{fmt.Errorf("block: %w", client.ErrUnavailable), false, 4},
		{fmt.Errorf("state: %w: %w", client.ErrUnavailable, (&reason.Error{Reason: reason.Unreadable, Err: errors.New("not yet")}).Connect()), false, 3},
		{&client.Unknown{Cause: context.DeadlineExceeded}, false, 4},
		{context.DeadlineExceeded, false, 4},
		{&client.Refused{Reason: reason.NonceUsed}, false, 5},
		{&client.Refused{Reason: reason.Expired}, true, 5}, // there was an answer
		{&client.Unknown{Cause: context.Canceled}, true, 130},
		{context.Canceled, true, 130},
	} {
		if got := codeOf(outcomeError(c.err), c.interrupted); got != c.want {
			t.Errorf("%v, interrupted %v: %d, want %d", c.err, c.interrupted, got, c.want)
		}
	}
}
