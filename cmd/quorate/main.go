// Quorate is a Byzantine fault-tolerant replicated state machine: one program that is the node, its client, and the tools
// to test both.
//
// Exit codes: 0 ok, 1 error, 2 usage, 3 not found, 4 unavailable or outcome unknown, 5 rejected, 6 a safety violation or a
// failed proof was found, 130 interrupted before there was an answer.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	// The second signal finds nobody who would handle it, and ends the program at once.
	context.AfterFunc(ctx, stop)
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv}
	return a.execute(ctx, os.Args[1:])
}
