package client

import (
	"math/rand/v2"
	"sync"
	"time"
)

// speeds are how long each node takes. A node that stops again and again, and each time goes on, fails nobody and has everybody wait:
// now and then another one is asked first, and preferred from then on if it is much faster.
type speeds struct {
	mu    sync.Mutex
	nodes []speed
}

type speed struct {
	mean    time.Duration // smoothed
	samples int
}

const (
	// tellingSamples is how often a node must have answered before it is compared.
	tellingSamples = 8
	// exploreEvery is how many transactions go to the preferred node first for each one that goes elsewhere.
	exploreEvery = 16
	// muchFaster is how many times as fast another node must be. The leader has every transaction in the end: others are slower by a
	// little.
	muchFaster = 2
)

// took takes in how long a node took, and says whether it is much faster than the preferred one.
func (s *speeds) took(nodes, node, preferred int, d time.Duration) (better bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nodes == nil {
		s.nodes = make([]speed, nodes)
	}
	n := &s.nodes[node]
	if n.samples == 0 {
		n.mean = d
	}
	n.mean += (d - n.mean) / latencySmoothing
	n.samples++
	p := &s.nodes[preferred]
	if n.samples < tellingSamples || p.samples < tellingSamples || muchFaster*n.mean >= p.mean {
		return false
	}
	for i := range s.nodes {
		s.nodes[i].samples = 0 // what comes is measured anew
	}
	return true
}

// explores says whether another node than the preferred one is asked first now.
func (s *speeds) explores(preferred int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nodes != nil && s.nodes[preferred].samples >= tellingSamples && rand.IntN(exploreEvery) == 0
}
