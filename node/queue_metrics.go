package node

import "github.com/prometheus/client_golang/prometheus"

// queueMetrics are what waits for the core, and who waits for events, at a scrape.
func (n *Node) queueMetrics() []prometheus.Collector {
	gauge := func(name, help string, value func() int) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "quorate_" + name, Help: help}, func() float64 { return float64(value()) })
	}
	return []prometheus.Collector{
		gauge("inbox_items", "What waits for the core; full at 1024, and then readers stop reading.", func() int {
			items, _ := n.inbox.waiting()
			return items
		}),
		gauge("inbox_bytes", "Bytes of what waits for the core; full at 8 MiB.", func() int {
			_, bytes := n.inbox.waiting()
			return bytes
		}),
		gauge("staged_bytes", "Bytes that wait for the log or are being written; from 8 MiB on the core takes in nothing from outside.",
			func() int { return n.snapshot.p.Load().staged }),
		gauge("event_listeners", "Who listens to GET /events.", func() int { return n.service.listening.inside() }),
	}
}
