package bft

import (
	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/bft/pbft"
	"github.com/quorate/quorate/internal/invariant"
)

// newProtocol chooses by an epoch's mode what orders it. No other file looks at a mode to choose code.
func newProtocol(s pbft.Start) ordering.Protocol {
	invariant.Holds(s.Epoch.Mode == epoch.Byzantine, "an epoch's mode is one that this replica can run")
	return pbft.New(s)
}
