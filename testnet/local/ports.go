package local

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
)

// Where freePorts looks: above the registered services people run, and below the ports that Linux gives to outgoing
// connections (32768 and up), which could take a stopped node's.
const (
	firstBase = 12000
	lastBase  = 31000
)

var errNoPorts = errors.New("no free ports were found: choose them with --base-port")

// freePorts finds a base port whose ports nobody listens on now.
func freePorts(p *Plan) (base int, err error) {
	for range 200 {
		p.BasePort = firstBase + rand.IntN(lastBase-firstBase)
		if err = p.portsFree(); err == nil {
			return p.BasePort, nil
		}
	}
	return 0, fmt.Errorf("%w (%w)", errNoPorts, err)
}

// PortsFree says which of a network's ports somebody listens on. Those that Create will choose are free.
func (p *Plan) PortsFree() error {
	if p.BasePort == 0 {
		return nil
	}
	if err := p.portsFree(); err != nil {
		return fmt.Errorf("%w: stop what listens there, or choose other ports: --base-port 0", err)
	}
	return nil
}

func (p *Plan) portsFree() error {
	for i := 1; i <= p.Nodes; i++ {
		p2p, api := p.addresses(i)
		for _, address := range []string{p2p, api} {
			if err := portFree(address); err != nil {
				return err
			}
		}
	}
	return nil
}

// portFree says why nobody could listen there.
func portFree(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return l.Close()
}
