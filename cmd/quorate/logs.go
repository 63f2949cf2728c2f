package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/quorate/quorate/testnet/local"
)

// followEvery is how often a followed log is looked at.
const followEvery = 100 * time.Millisecond

// showLogs writes the logs of nodes one after the other, then, if it follows, what is added to any of them until ctx ends.
// A line of several logs says whose it is.
func showLogs(ctx context.Context, out io.Writer, n *local.Network, ids []int, follow bool) error {
	var tails []*tail
	for _, i := range ids {
		f, err := os.Open(n.Home(i).Log())
		if err != nil {
			return err
		}
		defer f.Close()
		t := &tail{lines: bufio.NewReader(f)}
		if len(ids) > 1 {
			t.prefix = fmt.Sprintf("node%d: ", i)
		}
		tails = append(tails, t)
	}
	for {
		for _, t := range tails {
			if err := t.copy(out, !follow); err != nil {
				return err
			}
		}
		if !follow {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(followEvery):
		}
	}
}

// tail is a log, read line by line as it grows.
type tail struct {
	prefix string
	lines  *bufio.Reader
	begun  string // of a line whose end is not there yet
}

func (t *tail) copy(out io.Writer, last bool) error {
	for {
		line, err := t.lines.ReadString('\n')
		t.begun += line
		if errors.Is(err, io.EOF) && (!last || t.begun == "") {
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		whole := t.begun
		t.begun = ""
		if err != nil {
			whole += "\n"
		}
		if _, err := io.WriteString(out, t.prefix+whole); err != nil {
			return err
		}
	}
}
