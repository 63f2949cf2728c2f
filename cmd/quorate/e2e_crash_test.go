package main

import (
	"slices"
	"strconv"
	"testing"
)

// Crash mode under load, its members ended with SIGKILL: three bear one, five two, whoever leads. What was acknowledged, which takes one
// member's word there, is at its place in every chain, and the independent checker finds these good.
//
// case I1 I2; an acknowledgement before a majority has accepted turns it red.
func TestEndToEndCrashMode(t *testing.T) {
	for _, c := range []struct{ nodes, kills int }{{3, 1}, {5, 2}} {
		t.Run(strconv.Itoa(c.nodes), func(t *testing.T) {
			e := newEndToEnd(t, "--mode", "crash", "--nodes", strconv.Itoa(c.nodes))
			n := e.testnet()
			e.allReady(n)
			var gaps []float64
			for round := range 3 {
				l := e.load("acks"+strconv.Itoa(round), "6s")
				l.until(500)
				var gone []string
				for range c.kills { // the leader, and then whoever leads after it
					_, leader := e.led(n, aliveBut(n.All(), gone))
					gone = append(gone, strconv.Itoa(leader))
					e.run("testnet", "kill", strconv.Itoa(leader))
					had := l.lines()
					l.until(had + 200)
				}
				gaps = append(gaps, l.end("max_gap_ms"))
				e.run(append([]string{"testnet", "start"}, gone...)...)
				e.allReady(n)
				t.Log(e.run("audit", "--acks", l.acks))
			}
			slices.Sort(gaps)
			t.Logf("%d of %d killed, three times: longest gaps %v ms", c.kills, c.nodes, gaps)
			if gaps[1] > 1000 || gaps[2] > 2000 {
				t.Errorf("longest gaps %v ms, want a median of at most 1,000, and none above 2,000", gaps)
			}
		})
	}
}

// aliveBut is a member that is not gone.
func aliveBut(all []int, gone []string) int {
	return all[slices.IndexFunc(all, func(i int) bool { return !slices.Contains(gone, strconv.Itoa(i)) })]
}
