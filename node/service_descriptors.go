package node

import "syscall"

// reservedDescriptors are kept from the connections of callers: for the log, the state, and the network of the members.
const reservedDescriptors = 1024

// connectionsWithin is how many connections of callers a node admits that may have so many descriptors open. Every one that
// is admitted takes one, and a log that cannot open its next file ends the node. (The system's soft limit is raised to the hard
// one by Go itself, at the start.)
func connectionsWithin(descriptors uint64) int {
	left := descriptors / 2 // of few, half
	if descriptors > 2*reservedDescriptors {
		left = descriptors - reservedDescriptors
	}
	return int(min(left, maxConnections))
}

// descriptorLimit is how many descriptors this process may have open.
func descriptorLimit() (uint64, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, err
	}
	return limit.Cur, nil
}
