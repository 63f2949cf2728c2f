package node

import (
	"bytes"
	"errors"
	"net/http"

	"github.com/quorate/quorate/api/reason"
)

// page is an answer before anybody reads it, so that whoever reads slowly keeps nothing but its text.
type page struct {
	status int
	header http.Header
	bytes.Buffer
}

// Header and WriteHeader have it printed like any answer.
func (p *page) Header() http.Header    { return p.header }
func (p *page) WriteHeader(status int) { p.status = status }

var errManyScrapes = errors.New("too many read the metrics at once: retry later")

// numbers is GET /metrics, in Prometheus' text format.
func (s *service) numbers(w http.ResponseWriter, r *http.Request) {
	leave, ok := s.scraping.enter(r.RemoteAddr)
	if !ok {
		plainError(w, refuse(reason.TooManyWaiting, errManyScrapes))
		return
	}
	defer leave()
	p := &page{status: http.StatusOK, header: make(http.Header)}
	s.metrics.handler.ServeHTTP(p, &http.Request{Header: make(http.Header)})
	w.Header().Set("Content-Type", p.header.Get("Content-Type"))
	w.WriteHeader(p.status)
	_, _ = w.Write(p.Bytes()) // the caller may be gone
}
