package node

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// stuckCaller reads nothing until it is let go.
type stuckCaller struct {
	*httptest.ResponseRecorder
	stuck, letGo chan struct{}
}

func (c *stuckCaller) Write(p []byte) (int, error) {
	c.stuck <- struct{}{}
	<-c.letGo
	return 0, io.ErrClosedPipe
}

// case E10 E14; writing a page while it is printed turns it red, and so does not counting the callers of one address.
func TestCallersWhoNeverReadTheMetricsKeepNobodyElseFromThem(t *testing.T) {
	s := serve(t, &fakeNode{committee: newCommittee(t)})
	from := func(address string) *http.Request {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.RemoteAddr = address
		return r
	}
	h := s.handler(writeTimeout)
	c := &stuckCaller{httptest.NewRecorder(), make(chan struct{}), make(chan struct{})}
	ended := make(chan struct{})
	for range maxScrapesPerAddress {
		go func() {
			h.ServeHTTP(&stuckCaller{httptest.NewRecorder(), c.stuck, c.letGo}, from("10.0.0.1:1"))
			ended <- struct{}{}
		}()
		<-c.stuck
	}

	same, other := httptest.NewRecorder(), httptest.NewRecorder()
	h.ServeHTTP(same, from("10.0.0.1:2"))
	h.ServeHTTP(other, from("10.0.0.2:1"))
	if same.Code != http.StatusTooManyRequests {
		t.Errorf("one more of the same address got %d", same.Code)
	}
	if other.Code != http.StatusOK || !strings.Contains(other.Body.String(), "quorate_seq ") {
		t.Errorf("another address got %d %.100s", other.Code, other.Body)
	}

	close(c.letGo)
	for range maxScrapesPerAddress {
		<-ended
	}
	again := httptest.NewRecorder()
	h.ServeHTTP(again, from("10.0.0.1:3"))
	if again.Code != http.StatusOK {
		t.Errorf("afterwards the address got %d", again.Code)
	}
}
