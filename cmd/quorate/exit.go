package main

import (
	"context"
	"errors"
	"fmt"
)

// Exit codes, which scripts rely on.
const (
	exitError       = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitUnavailable = 4 // or the outcome is unknown
	exitRejected    = 5
	exitViolation   = 6 // of safety, or a proof that does not hold
	exitInterrupted = 130
)

// failure is an error with the exit code that it means.
type failure struct {
	code int
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func fail(code int, format string, args ...any) error {
	return &failure{code, fmt.Errorf(format, args...)}
}

// codeOf is the exit code of a command that has ended with err, after it was interrupted or not.
func codeOf(err error, interrupted bool) int {
	var f *failure
	switch {
	case err == nil:
		return 0
	case interrupted && errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &f):
		return f.code
	case errors.Is(err, context.DeadlineExceeded):
		return exitUnavailable
	}
	return exitError
}
