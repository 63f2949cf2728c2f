package node

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// scrapePeriod is for how long numbers are handed out once they are gathered. Whoever collects them does so every few
// seconds; whoever asks a thousand times a second would otherwise take a processor from the core.
const scrapePeriod = 100 * time.Millisecond

// scrape gathers for all who ask within a period of each other. What they are handed is shared: nobody changes it.
type scrape struct {
	from prometheus.Gatherer
	now  func() time.Time

	mu       sync.Mutex // held while one gathers and the others wait for it
	at       time.Time  // when the last one ended; zero before the first
	families []*dto.MetricFamily
	err      error
}

// Gather yields numbers that are a period old at most.
func (s *scrape) Gather() ([]*dto.MetricFamily, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.at.IsZero() || s.now().Sub(s.at) >= scrapePeriod {
		s.families, s.err = s.from.Gather()
		s.at = s.now()
	}
	return s.families, s.err
}
