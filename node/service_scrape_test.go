package node

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// However often the metrics are asked for, they are gathered once in a period, and anew after it.
//
// case E14; gathering each time turns it red.
func TestMetricsAreGatheredOnceInAPeriod(t *testing.T) {
	gathered := 0
	now := time.Unix(1_000, 0)
	s := &scrape{now: func() time.Time { return now }, from: prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		gathered++
		return make([]*dto.MetricFamily, gathered), nil
	})}
	ask := func(want int) {
		t.Helper()
		if families, err := s.Gather(); err != nil || len(families) != want || gathered != want {
			t.Errorf("gathered %d times, those of time %d are handed out (%v), want %d", gathered, len(families), err, want)
		}
	}
	for range 1000 {
		ask(1)
	}
	now = now.Add(scrapePeriod - 1)
	ask(1)
	now = now.Add(1)
	ask(2)
	ask(2)
}
