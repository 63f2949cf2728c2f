package local

import (
	"os"
	"testing"
)

func TestTheMeterCountsWhatNodesUseAndNotWhatTheyUsedBefore(t *testing.T) {
	if _, ok := cpuOf(os.Getpid()); !ok {
		t.Skip("no /proc")
	}
	n := newNetwork(t)
	upAndRunning(t, n)
	spend(t, n)
	m := n.MeterCPU()
	defer m.Stop()
	if used := m.Used(); used > tick {
		t.Errorf("%v at once", used)
	}

	if err := until(t.Context(), func() (bool, error) { spend(t, n); return m.Used() >= 3*tick, nil }); err != nil {
		t.Fatal(err)
	}
	before := m.Used()

	// What a process that has ended has used is not forgotten, and the next one counts as well.
	if err := n.Kill(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if used := m.Used(); used < before {
		t.Errorf("%v, then %v", before, used)
	}
	upAndRunning(t, n)
	if err := until(t.Context(), func() (bool, error) { spend(t, n); return m.Used() >= before+3*tick, nil }); err != nil {
		t.Fatal(err)
	}
}

// spend has node 1 work a little.
func spend(t *testing.T, n *Network) {
	t.Helper()
	for range 20 {
		if _, _, err := get(t.Context(), n.URL(1)+"/environment"); err != nil {
			t.Fatal(err)
		}
	}
}
