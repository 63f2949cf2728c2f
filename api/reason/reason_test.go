package reason

import (
	"errors"
	"fmt"
	"testing"

	"connectrpc.com/connect"
)

// To see it fail, add a constant to All and no case to row: it shows as internal.
func TestEveryReasonHasItsOwnPlaceInTheTable(t *testing.T) {
	seen := map[Reason]bool{}
	for _, r := range All() {
		if seen[r] {
			t.Errorf("%s is listed twice", r)
		}
		seen[r] = true
		if r.Code() == connect.CodeInternal && r != Internal {
			t.Errorf("%s has no row", r)
		}
		if r.HTTPStatus() < 400 {
			t.Errorf("%s shows as HTTP %d", r, r.HTTPStatus())
		}
		if r.Final() && r.RetryAfter() != 0 {
			t.Errorf("%s is final, and asks to be tried again", r)
		}
	}
}

func TestReasonOfAnErrorIsReadBackFromItsMetadata(t *testing.T) {
	for _, r := range All() {
		sent := (&Error{Reason: r, Transaction: "ab", Err: errors.New("why")}).Connect()
		got, ok := Of(fmt.Errorf("call: %w", sent))
		if !ok || got != r {
			t.Errorf("%s came back as %q, %v", r, got, ok)
		}
	}
}

func TestErrorsOfTheTransportHaveNoReason(t *testing.T) {
	for _, err := range []error{errors.New("connection refused"), connect.NewError(connect.CodeUnavailable, errors.New("x"))} {
		if r, ok := Of(err); ok {
			t.Errorf("%v has the reason %q", err, r)
		}
	}
}
