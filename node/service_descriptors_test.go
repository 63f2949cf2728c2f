package node

import (
	"syscall"
	"testing"
)

// case E13; admitting maxConnections whatever the system allows turns it red.
func TestConnectionsOfCallersLeaveDescriptorsForTheLog(t *testing.T) {
	for descriptors, want := range map[uint64]int{
		0: 0, 256: 128, 2 * reservedDescriptors: reservedDescriptors, 2548: 2548 - reservedDescriptors,
		maxConnections + reservedDescriptors: maxConnections, 1 << 20: maxConnections, 1<<64 - 1: maxConnections,
	} {
		if got := connectionsWithin(descriptors); got != want {
			t.Errorf("of %d descriptors %d are for connections, want %d", descriptors, got, want)
		}
	}

	var usual syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &usual); err != nil {
		t.Fatal(err)
	}
	few := usual
	few.Cur = 500
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &few); err != nil {
		t.Fatal(err)
	}
	s := serve(t, &fakeNode{committee: newCommittee(t)})
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &usual); err != nil {
		t.Fatal(err)
	}
	if got := s.listener.(*gatedListener).gate.most; got != 250 {
		t.Errorf("with 500 descriptors a node admits %d connections, want 250", got)
	}
}
