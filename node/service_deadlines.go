package node

import (
	"net/http"
	"time"
)

// timedWriter gives up a caller that does not read its answer, also one that lets a single call of HTTP/2 stand still on a connection
// that it reads otherwise (which gatedConn cannot see). Time counts only while something is written: a call may wait
// for its answer as long as it likes. (The server's own WriteTimeout counts from when the call was read.) On HTTP/2 a
// deadline ends the call when it passes, whether or not anything is being written, so none may be left behind.
type timedWriter struct {
	http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
}

// timed has all that next writes read in time.
func timed(timeout time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t := &timedWriter{w, http.NewResponseController(w), timeout}
		t.end() // of the call before on this connection
		// What is left in buffers is written after the handler has returned.
		defer t.begin()
		next.ServeHTTP(t, r)
	})
}

// A connection on which no deadline can be set is not one of net/http's, and bounds itself.
func (t *timedWriter) begin() { _ = t.control.SetWriteDeadline(time.Now().Add(t.timeout)) }
func (t *timedWriter) end()   { _ = t.control.SetWriteDeadline(time.Time{}) }

// Write writes in pieces, so that a large answer may take longer than a small one.
func (t *timedWriter) Write(p []byte) (written int, err error) {
	for first := true; first || len(p) > 0; first = false {
		piece := p[:min(len(p), writePiece)]
		t.begin()
		n, err := t.ResponseWriter.Write(piece)
		t.end()
		written += n
		if err != nil {
			return written, err
		}
		p = p[len(piece):]
	}
	return written, nil
}

// FlushError sends what is in buffers.
func (t *timedWriter) FlushError() error {
	t.begin()
	defer t.end()
	return t.control.Flush()
}

// Flush is FlushError for whoever finds out at the next write that the caller is gone.
func (t *timedWriter) Flush() { _ = t.FlushError() }

// Unwrap lets a ResponseController set what else there is.
func (t *timedWriter) Unwrap() http.ResponseWriter { return t.ResponseWriter }
