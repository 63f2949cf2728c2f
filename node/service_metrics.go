package node

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
)

// metrics are the numbers of one node. They stand in a registry of their own, so that several nodes fit one process.
// Anybody may count at any time.
type metrics struct {
	registry *prometheus.Registry
	handler  http.Handler // serves the numbers in Prometheus' text format
	in, out  flow
	syncs    prometheus.Histogram
	stages   *prometheus.HistogramVec // by name
	panics   prometheus.Counter
	refused  *prometheus.CounterVec // by member and reason
	views    prometheus.Counter
}

// flow is what members' messages went one way.
type flow struct {
	messages [256]prometheus.Counter // by kind
	bytes    prometheus.Counter
}

// kinds are the messages that are counted under their own names; all others are counted as "other".
var kinds = [...]message.Kind{
	message.KindPrePrepare, message.KindPrepare, message.KindCommit,
	message.KindSuspect, message.KindViewChange, message.KindNewView, message.KindAttestation,
	message.KindStatus, message.KindWant, message.KindHave, message.KindBundle,
	message.KindFetch, message.KindBodies, message.KindEvidence, message.KindPropose, message.KindReady, message.KindRecover, message.KindStanding,
	message.KindPaxosPrepare, message.KindPaxosPromise, message.KindPaxosAccept, message.KindPaxosAccepted, message.KindPaxosLearn,
	message.KindHeartbeat,
}

// newMetrics makes a node's numbers. Status is asked once for each scrape, so that its numbers are of one moment;
// signatures is how many were made, and really verified, since the start.
func newMetrics(status func() Status, signatures func() (made, verified uint64)) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		syncs: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "quorate_log_sync_seconds", Help: "Time to write a group of records to the log, and to sync it.", Buckets: buckets(),
		}),
		stages: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "quorate_stage_seconds", Help: "Time that a slot, or a transaction at the door, spends in a stage.", Buckets: buckets(),
		}, []string{"stage"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "quorate_service_panics_total", Help: "Panics recovered in the public service: each is a defect.",
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "quorate_refused_total", Help: "Messages of a member that were dropped, and why: kind, size, rate, check.",
		}, []string{"member", "reason"}),
		views: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "quorate_view_changes_total", Help: "Views that this node has entered since it started, the first not counted.",
		}),
	}
	messages := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "quorate_messages_total", Help: "Messages of members, by kind.",
	}, []string{"kind", "direction"})
	bytes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "quorate_bytes_total", Help: "Bytes of members' messages, without what the transport adds.",
	}, []string{"direction"})
	m.in = newFlow(messages, bytes, "in")
	m.out = newFlow(messages, bytes, "out")
	m.registry.MustRegister(
		m.syncs, m.stages, m.panics, m.views, m.refused, messages, bytes, newSyncCounter(m.syncs),
		newStatusCollector(status, signatures),
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	m.handler = promhttp.HandlerFor(&scrape{from: m.registry, now: time.Now}, promhttp.HandlerOpts{DisableCompression: true})
	return m
}

// buckets reach from 50 µs to 7 s, each half as wide again as the one before: a percentile read off them is a fifth off
// at the most.
func buckets() []float64 { return prometheus.ExponentialBuckets(50e-6, 1.5, 30) }

// newSyncCounter is how many syncs a histogram has seen, under the name that scripts know.
func newSyncCounter(syncs prometheus.Histogram) prometheus.Collector {
	return prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "quorate_log_syncs_total", Help: "Syncs of the log: one for each group of records.",
	}, func() float64 {
		var m dto.Metric
		if err := syncs.Write(&m); err != nil {
			return 0
		}
		return float64(m.GetHistogram().GetSampleCount())
	})
}

func newFlow(messages, bytes *prometheus.CounterVec, direction string) flow {
	f := flow{bytes: bytes.WithLabelValues(direction)}
	other := messages.WithLabelValues("other", direction)
	for k := range f.messages {
		f.messages[k] = other
	}
	for _, k := range kinds {
		f.messages[k] = messages.WithLabelValues(k.String(), direction)
	}
	return f
}

// received counts a message from another member, of so many bytes.
func (m *metrics) received(k message.Kind, size int) { m.in.add(k, size, 1) }

// sent counts a message handed to the network for so many recipients, of so many bytes each time.
func (m *metrics) sent(k message.Kind, size, copies int) { m.out.add(k, size, copies) }

func (f *flow) add(k message.Kind, size, copies int) {
	f.messages[k].Add(float64(copies))
	f.bytes.Add(float64(size * copies))
}

// statusCollector makes metrics of what a node says of itself.
type statusCollector struct {
	status     func() Status
	signatures func() (made, verified uint64)

	seq, stable, view, epoch, ready, peers   *prometheus.Desc
	poolTransactions, poolBytes, evidence    *prometheus.Desc
	signaturesMade, signaturesVerified, info *prometheus.Desc
}

func newStatusCollector(status func() Status, signatures func() (made, verified uint64)) *statusCollector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("quorate_"+name, help, labels, nil)
	}
	return &statusCollector{
		status: status, signatures: signatures,
		seq:                desc("seq", "The last sequence number executed."),
		stable:             desc("stable_seq", "The newest stable checkpoint."),
		view:               desc("view", "The current view."),
		epoch:              desc("epoch", "The number of the current epoch."),
		ready:              desc("ready", "1 if the node is caught up and able to commit."),
		peers:              desc("peers", "Members that this node is connected to."),
		poolTransactions:   desc("pool_transactions", "Transactions that wait to be executed."),
		poolBytes:          desc("pool_bytes", "Bytes of the transactions that wait to be executed."),
		evidence:           desc("evidence", "Pairs of messages held against members."),
		signaturesMade:     desc("signatures_made_total", "Signatures made."),
		signaturesVerified: desc("signatures_verified_total", "Signatures verified: not those answered from memory."),
		info:               desc("info", "Always 1; the labels say what runs here.", "chain", "node", "version"),
	}
}

// Describe says nothing: the collector is unchecked, and always yields the same metrics.
func (c *statusCollector) Describe(chan<- *prometheus.Desc) {}

// Collect looks at the node once.
func (c *statusCollector) Collect(out chan<- prometheus.Metric) {
	s := c.status()
	made, verified := c.signatures()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(c.seq, float64(s.Seq))
	gauge(c.stable, float64(s.Stable))
	gauge(c.view, float64(s.View))
	gauge(c.epoch, float64(s.Epoch))
	gauge(c.ready, map[bool]float64{true: 1}[s.Ready])
	gauge(c.peers, float64(s.Peers))
	gauge(c.poolTransactions, float64(s.PoolTransactions))
	gauge(c.poolBytes, float64(s.PoolBytes))
	gauge(c.evidence, float64(s.Evidence))
	gauge(c.info, 1, s.Chain.String(), number(s.Node), s.Version)
	out <- prometheus.MustNewConstMetric(c.signaturesMade, prometheus.CounterValue, float64(made))
	out <- prometheus.MustNewConstMetric(c.signaturesVerified, prometheus.CounterValue, float64(verified))
}

// number is a member's number as a label.
func number(id epoch.ReplicaID) string { return strconv.FormatUint(uint64(id), 10) }
