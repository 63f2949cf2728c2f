package scenario

import (
	"strconv"
	"time"
)

// Run is all that is known of a run. The report is made from it.
type Run struct {
	Script       string // the file's name
	World        string // sim or testnet
	Seed         uint64
	Nodes        int           // twins are not among them
	Took         time.Duration // of the cluster's time
	Digest       string        // see Cluster
	Verdict      Verdict
	Why          string // it is not passed; one line
	Violation    *Violation
	Faults       []Fault       // in the order in which they began
	Expectations []Expectation // in the order in which they were decided
	Samples      []Sample      // every SampleEvery
	History      []Operation   // in the order in which they were called
}

// SampleEvery is how often all nodes are looked at.
const SampleEvery = 100 * time.Millisecond

// Verdict is how a run ended.
type Verdict string

// The verdicts. A run whose faults did not come about, or that has expected nothing, is NotTested, whatever else held.
const (
	Passed    Verdict = "passed"
	Violated  Verdict = "violated" // a check or an expectation does not hold
	NotTested Verdict = "not tested"
)

// Fault is something that a script has had go wrong.
type Fault struct {
	Line  int
	Kind  string // the function that the script called
	What  string // the call with its arguments, as one would write it
	Nodes []int  // whom it struck; empty: the network as a whole
	From  time.Duration
	To    time.Duration // the end of the run if nobody ended it
	Hits  uint64        // how often it came about; of what happens once, 1
	Why   string        // it did not come about
}

// Expectation is something that a script has looked at.
type Expectation struct {
	Line  int
	What  string // the call
	From  time.Duration
	To    time.Duration
	Holds bool
	Why   string // it does not
}

// Sample is how all nodes were at one moment.
type Sample struct {
	At    time.Duration
	Nodes []Look // by number, from 1 at index 0
}

// Operation is one call of a client with its answer. One that has none yet is Unknown, and returns at the end of the run.
type Operation struct {
	Number int // from 1
	Call   Call
	Answer Answer
}

func key(count string, a int, between byte, b int) string {
	k := append([]byte(count), ' ')
	k = strconv.AppendInt(k, int64(a), 10)
	if between != 0 {
		k = strconv.AppendInt(append(k, between), int64(b), 10)
	}
	return string(k)
}
