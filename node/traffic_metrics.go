package node

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/quorate/quorate/p2p"
)

// trafficCollector makes metrics of what the network counts.
type trafficCollector struct {
	traffic func() p2p.Traffic

	dropped, refused, foreign, silent, panics *prometheus.Desc
}

func newTrafficCollector(traffic func() p2p.Traffic) *trafficCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("quorate_p2p_"+name, help, labels, nil)
	}
	return &trafficCollector{
		traffic: traffic,
		dropped: desc("dropped_total", "Frames that were never sent: no connection, or a full queue.", "class"),
		refused: desc("refused_total", "Connections of strangers."),
		foreign: desc("foreign_total", "Greetings of members that are on another chain or version."),
		silent:  desc("silent_total", "Sessions ended because nothing was heard."),
		panics:  desc("panics_total", "Panics recovered while a frame was handled: each is a defect, and cost its peer the session."),
	}
}

// Describe says nothing: the collector is unchecked, and always yields the same metrics.
func (c *trafficCollector) Describe(chan<- *prometheus.Desc) {}

// Collect looks at the network once.
func (c *trafficCollector) Collect(out chan<- prometheus.Metric) {
	t := c.traffic()
	count := func(d *prometheus.Desc, n uint64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	count(c.dropped, t.Votes.Dropped, "votes")
	count(c.dropped, t.Bulk.Dropped, "bulk")
	count(c.dropped, t.Gossip.Dropped, "gossip")
	count(c.refused, t.Refused)
	count(c.foreign, t.Foreign)
	count(c.silent, t.Silent)
	count(c.panics, t.Panics)
}
