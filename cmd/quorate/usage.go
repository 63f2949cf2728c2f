package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// What a command line has wrong, in one line without the names of functions.

// plainUsage is the error of a command line as people read it.
func plainUsage(err error) string {
	var value *pflag.InvalidValueError
	var unknown *pflag.NotExistError
	switch {
	case errors.As(err, &value):
		return wrongValue("--"+value.GetFlag().Name, value)
	case errors.As(err, &unknown):
		return firstLine(err) + "; before a value that begins with - write --"
	}
	return firstLine(err)
}

// wrongValue says what a flag wants, by whichever name it was given.
func wrongValue(name string, err *pflag.InvalidValueError) string {
	want := ""
	switch kind := err.GetFlag().Value.Type(); {
	case errors.Is(err, strconv.ErrRange):
		return fmt.Sprintf("%s %q: out of range", name, err.GetValue())
	case kind == "bool":
		want = "true or false"
	case kind == "duration":
		want = "a time, like 30s or 1m30s"
	case errors.Is(err, strconv.ErrSyntax):
		want = "a number"
	default:
		return fmt.Sprintf("%s %q: %s", name, err.GetValue(), firstLine(errors.Unwrap(err)))
	}
	return fmt.Sprintf("%s %q: want %s", name, err.GetValue(), want)
}

// wrongVariable is the same of a flag that the environment has set.
func wrongVariable(name string, err error) error {
	var value *pflag.InvalidValueError
	if errors.As(err, &value) {
		return errors.New(wrongValue(name, value))
	}
	return fmt.Errorf("%s: %w", name, err)
}

// firstLine leaves out cobra's suggestions, which take several.
func firstLine(err error) string {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}

// counts has a wrong number of arguments say which there should be.
func counts(args cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		if args(cmd, given) == nil {
			return nil
		}
		return fmt.Errorf("%s given, want: %s", counted(len(given), "argument"), cmd.UseLine())
	}
}

// noCommand says that a group does not have a command, and which may be meant.
func noCommand(group *cobra.Command, name string) error {
	hint := ""
	group.SuggestionsMinimumDistance = 2 // letters
	if like := group.SuggestionsFor(name); len(like) > 0 {
		hint = ": did you mean " + strings.Join(like, " or ") + "?"
	}
	return fmt.Errorf("no command %q in %q%s", name, group.CommandPath(), hint)
}
