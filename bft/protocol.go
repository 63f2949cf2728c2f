package bft

import (
	"fmt"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/bft/ordering"
	"github.com/quorate/quorate/bft/pbft"
)

// newProtocol chooses by an epoch's mode what orders it. No other file looks at a mode to choose code.
func newProtocol(s pbft.Start) (ordering.Protocol, error) {
	if s.Epoch.Mode != epoch.Byzantine {
		return nil, fmt.Errorf("mode: %s cannot be run by this version", s.Epoch.Mode)
	}
	return pbft.New(s), nil
}
