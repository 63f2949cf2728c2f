package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// say writes progress, which is not a result.
func (a *app) say(format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(a.err, format+"\n", args...)
	}
}

// writeJSON writes a result as one JSON value. Who makes it has 64-bit integers as strings and bytes as hexadecimal.
func (a *app) writeJSON(v any) error {
	e := json.NewEncoder(a.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// field is a named piece of a result.
type field struct {
	name  string
	value any
}

// writeFields writes a result as one line for each field, or as one JSON object.
func (a *app) writeFields(fields []field) error {
	if a.output == "json" {
		var b strings.Builder
		for i, f := range fields {
			value, err := json.Marshal(f.value)
			if err != nil {
				return err
			}
			separator := ",\n"
			if i == 0 {
				separator = "{\n"
			}
			fmt.Fprintf(&b, "%s  %q: %s", separator, f.name, value)
		}
		b.WriteString("\n}\n")
		_, err := io.WriteString(a.out, b.String())
		return err
	}
	width := 0
	for _, f := range fields {
		width = max(width, len(f.name))
	}
	for _, f := range fields {
		if _, err := fmt.Fprintf(a.out, "%-*s  %v\n", width, f.name, f.value); err != nil {
			return err
		}
	}
	return nil
}

// writeTable writes rows under a head.
func (a *app) writeTable(rows [][]string) error {
	w := tabwriter.NewWriter(a.out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		cells := slices.Clone(row)
		for i := range cells {
			if cells[i] == "" {
				cells[i] = "-" // a line stays one of so many words
			}
		}
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	return w.Flush()
}

// logger is where a node's log goes.
func (a *app) logger(level, format string) (*slog.Logger, error) {
	var l slog.Level
	switch level {
	case "debug", "info", "warn", "error":
		_ = l.UnmarshalText([]byte(level)) // one of its own names
	default:
		return nil, fmt.Errorf("log level %q: want debug, info, warn or error", level)
	}
	o := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(a.err, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(a.err, o)), nil
	}
	return nil, fmt.Errorf("log format %q: want text or json", format)
}

// jsonNumber is a number that is written as it was formatted.
type jsonNumber string

// MarshalJSON writes it.
func (n jsonNumber) MarshalJSON() ([]byte, error) { return []byte(n), nil }

func fixed(v float64, digits int) string { return strconv.FormatFloat(v, 'f', digits, 64) }

func milliseconds(d time.Duration) string { return fixed(float64(d.Microseconds())/1000, 3) }
