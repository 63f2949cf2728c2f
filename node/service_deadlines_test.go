package node

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// aCaller is a connection that notes until when it may be written to.
type aCaller struct {
	http.ResponseWriter
	deadline time.Time
	written  []bool // of each write and flush: was there a deadline?
}

func (c *aCaller) SetWriteDeadline(t time.Time) error { c.deadline = t; return nil }

func (c *aCaller) Write(p []byte) (int, error) {
	c.written = append(c.written, !c.deadline.IsZero())
	return c.ResponseWriter.Write(p)
}

func (c *aCaller) FlushError() error {
	c.written = append(c.written, !c.deadline.IsZero())
	return nil
}

// case E10; leaving out the deadline of Write, or the end of it, turns it red.
func TestTimeCountsOnlyWhileAnAnswerIsWritten(t *testing.T) {
	c := &aCaller{ResponseWriter: httptest.NewRecorder(), deadline: time.Unix(1, 0)} // of the call before
	idle := func(when string) {
		t.Helper()
		if !c.deadline.IsZero() {
			t.Errorf("%s a deadline runs", when)
		}
	}
	timed(time.Minute, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		idle("before anything is written")
		w.Write(nil)
		w.Write(make([]byte, 2*writePiece+1))
		idle("after a write")
		http.NewResponseController(w).Flush()
		w.(http.Flusher).Flush()
		idle("after a flush")
	})).ServeHTTP(c, httptest.NewRequest(http.MethodGet, "/", nil))
	if c.deadline.IsZero() {
		t.Error("what is left in buffers may take for ever")
	}
	if len(c.written) != 1+3+2 {
		t.Errorf("written in %d pieces, want 6", len(c.written))
	}
	for i, timed := range c.written {
		if !timed {
			t.Errorf("piece %d may take for ever", i)
		}
	}
}

// case E10; a handler that is not timed never ends here.
func TestACallerThatReadsNothingIsGivenUp(t *testing.T) {
	for name, call := range map[string]func(t *testing.T, address string){
		"HTTP/1": func(t *testing.T, address string) {
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				t.Fatal(err)
			}
		},
		"HTTP/2": func(t *testing.T, address string) {
			transport := &http.Transport{Protocols: clearHTTP2()}
			t.Cleanup(transport.CloseIdleConnections)
			answer, err := (&http.Client{Transport: transport}).Get("http://" + address)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { answer.Body.Close() })
		},
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			server := httptest.NewUnstartedServer(timed(100*time.Millisecond, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				for {
					if _, err := w.Write(bytes.Repeat([]byte("x"), writePiece)); err != nil {
						ended <- err
						return
					}
				}
			})))
			server.Config.Protocols = clearHTTP2()
			server.Config.Protocols.SetHTTP1(true)
			server.Start()
			t.Cleanup(server.Close)
			call(t, server.Listener.Addr().String())
			if err := <-ended; err == nil {
				t.Error("everything was written")
			}
		})
	}
}

func clearHTTP2() *http.Protocols {
	var p http.Protocols
	p.SetUnencryptedHTTP2(true)
	return &p
}
