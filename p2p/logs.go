package p2p

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/gologshim"
)

// RouteLogs sends what libp2p itself logs to a logger of ours: errors only, and no more of them than a
// peer may cause without flooding the disk. It is for the whole process, and must be called before the
// first New, since libp2p's loggers look for it once.
func RouteLogs(to *slog.Logger) {
	gologshim.SetDefaultHandler(quiet(to))
}

// quiet lets errors through, at the rate of an allowance.
func quiet(to *slog.Logger) slog.Handler {
	return quietHandler{to.Handler(), &allowance{}}
}

type quietHandler struct {
	slog.Handler
	left *allowance
}

func (h quietHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelError && h.Handler.Enabled(ctx, level)
}

func (h quietHandler) Handle(ctx context.Context, r slog.Record) error {
	if !h.left.take(time.Now()) {
		return nil
	}
	return h.Handler.Handle(ctx, r)
}

func (h quietHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return quietHandler{h.Handler.WithAttrs(attrs), h.left}
}

func (h quietHandler) WithGroup(name string) slog.Handler {
	return quietHandler{h.Handler.WithGroup(name), h.left}
}

const (
	allowanceBurst  = 20
	allowanceRefill = 5 * time.Second
)

// allowance is how many lines somebody else may still cause: allowanceBurst at once, then one for each
// allowanceRefill. The zero value is full.
type allowance struct {
	mu    sync.Mutex
	spent int
	since time.Time // when spent was last paid back
}

func (a *allowance) take(now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if paid := int(now.Sub(a.since) / allowanceRefill); paid > 0 {
		a.spent = max(0, a.spent-paid)
		a.since = now
	}
	if a.spent >= allowanceBurst {
		return false
	}
	a.spent++
	return true
}
