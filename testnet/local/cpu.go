package local

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"
)

// CPUMeter adds up what the nodes' processes use, also those that end and are started again in between.
type CPUMeter struct {
	network *Network
	stop    chan struct{}
	stopped chan struct{}

	mu   sync.Mutex
	last map[int]time.Duration // by process
	used time.Duration
}

// meterEvery is how often processes are looked at: what one uses between the last look and its end is not seen.
const meterEvery = 250 * time.Millisecond

// MeterCPU begins to measure, where there is a /proc. Stop ends it.
func (n *Network) MeterCPU() *CPUMeter {
	m := &CPUMeter{network: n, stop: make(chan struct{}), stopped: make(chan struct{}), last: make(map[int]time.Duration)}
	m.look()
	m.used = 0 // what was used before is none of ours
	go func() {
		defer close(m.stopped)
		t := time.NewTicker(meterEvery)
		defer t.Stop()
		for {
			select {
			case <-m.stop:
				return
			case <-t.C:
				m.look()
			}
		}
	}()
	return m
}

// Used is what the nodes have used since MeterCPU, together.
func (m *CPUMeter) Used() time.Duration {
	m.look()
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.used
}

// Stop ends the measuring.
func (m *CPUMeter) Stop() {
	close(m.stop)
	<-m.stopped
}

func (m *CPUMeter) look() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, i := range m.network.All() {
		pid, runs, err := m.network.Home(i).running()
		if err != nil || !runs {
			continue
		}
		if now, ok := cpuOf(pid); ok && now > m.last[pid] {
			m.used += now - m.last[pid]
			m.last[pid] = now
		}
	}
}

// tick is the unit of times in /proc: USER_HZ is 100 on every architecture that Go runs on (proc(5), times(2)).
const tick = 10 * time.Millisecond

// cpuOf is what a process has used, in user and system mode: the 14th and 15th field of its stat (proc(5)), of which the
// second, in parentheses, may hold anything.
func cpuOf(pid int) (used time.Duration, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, false
	}
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 13 {
		return 0, false
	}
	for _, f := range fields[11:13] {
		ticks, err := strconv.ParseInt(string(f), 10, 64)
		if err != nil {
			return 0, false
		}
		used += time.Duration(ticks) * tick
	}
	return used, true
}
