package node

import (
	"testing"

	"github.com/quorate/quorate/statemachine/kv"
)

// Every metric that the contract names is there, on a node that runs.
//
// Renaming one in service_metrics.go turns it red.
func TestMetricsOfTheContractAreThere(t *testing.T) {
	w := newNetwork(t)
	w.start(1, 2, 3, 4)
	w.ready(1, 2, 3, 4)
	w.submit(1, w.request(kv.Put([]byte("key"), []byte("value"))))
	families, err := w.nodes[0].metrics.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	there := make(map[string]bool)
	for _, f := range families {
		there[f.GetName()] = true
		if f.GetHelp() == "" {
			t.Errorf("%s: nobody is told what it is", f.GetName())
		}
	}
	for _, want := range []string{
		"quorate_seq", "quorate_view", "quorate_epoch", "quorate_view_changes_total", "quorate_signatures_made_total",
		"quorate_signatures_verified_total", "quorate_messages_total", "quorate_bytes_total", "quorate_log_syncs_total",
		"quorate_pool_transactions", "quorate_pool_bytes", "quorate_evidence", "quorate_p2p_refused_total",
		"quorate_inbox_items", "quorate_inbox_bytes", "quorate_staged_bytes", "quorate_event_listeners",
		"go_goroutines", "process_resident_memory_bytes", "process_open_fds",
	} {
		if !there[want] {
			t.Errorf("%s is missing", want)
		}
	}
}
