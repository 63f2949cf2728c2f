package node

import (
	"time"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/store"
)

// Faults are what goes wrong in a node of a test network on purpose: see testnet/fault. Methods may be called at the same time.
type Faults interface {
	// Disk is what the log lies on.
	Disk() store.FS
	// ClockOffset is how far the wall clock is off now.
	ClockOffset() time.Duration

	// Direct and Gossip stand before what takes the frames of a class, and are called by who would call that: they hand frames on, or not.
	Direct(take func(frame []byte, from epoch.ReplicaID)) func(frame []byte, from epoch.ReplicaID)
	Gossip(take func(frame []byte, from epoch.ReplicaID) bool) func(frame []byte, from epoch.ReplicaID) bool

	// Enter tells of an epoch in which the replica may speak from now on.
	Enter(e *epoch.Epoch)
	// Lies says whether the member lies now. If not, the three methods below need not be called.
	Lies() bool
	// Say says what a member is told in place of what the replica says, each word after a while.
	Say(to epoch.ReplicaID, m *message.Signed, say func(m *message.Signed, after time.Duration))
	// Hear is what the replica is told in place of a checked message; nil: nothing.
	Hear(m *message.Signed) *message.Signed
	// Takes says whether the replica is told of what a client asks for.
	Takes(q *message.Request) bool
}

// noFaults are those of a node that nobody torments.
type noFaults struct{}

func (noFaults) Disk() store.FS             { return store.System() }
func (noFaults) ClockOffset() time.Duration { return 0 }

func (noFaults) Direct(take func([]byte, epoch.ReplicaID)) func([]byte, epoch.ReplicaID) { return take }
func (noFaults) Gossip(take func([]byte, epoch.ReplicaID) bool) func([]byte, epoch.ReplicaID) bool {
	return take
}

func (noFaults) Enter(*epoch.Epoch) {}
func (noFaults) Lies() bool         { return false }
func (noFaults) Say(_ epoch.ReplicaID, m *message.Signed, say func(*message.Signed, time.Duration)) {
	say(m, 0)
}
func (noFaults) Hear(m *message.Signed) *message.Signed { return m }
func (noFaults) Takes(*message.Request) bool            { return true }
