package bft

import (
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/bft/paxos"
	"github.com/quorate/quorate/bft/pbft"
)

// newProtocol chooses by an epoch's mode what orders it. No other file looks at a mode to choose code.
func newProtocol(s ordering.Start) ordering.Protocol {
	if s.Epoch.Mode == epoch.Crash {
		return paxos.New(s)
	}
	return pbft.New(s)
}
