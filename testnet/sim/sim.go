// Package sim runs whole networks of replicas in one goroutine: virtual time, a hostile network, disks that lose what
// was not synced, clients that insist, and checkers that stand outside and believe nobody.
//
// A seed is a world. It draws the world's size, its workload and its faults; the same seed gives the same run, event for
// event, whatever the machine. After at least 60 virtual seconds of faults the world heals, and then it must converge.
// How to repeat a seed and read its trace: docs/testing.md.
package sim

import (
	"errors"
	"fmt"
	"io"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/crypto"
)

// Options choose which worlds are run.
type Options struct {
	From    uint64       // the first seed
	Seeds   int          // how many, for Campaign
	Nodes   int          // 4 to 7, in crash mode 3 to 7; 0: each seed draws its own
	Mode    epoch.Mode   // the fault model of all worlds; 0: Byzantine
	Steps   int          // the faults end after so many events; 0: after the time that the seed draws
	Honest  bool         // nobody lies, and nobody has a twin; else in most of the worlds up to f members do
	Mix     string       // MixEpochs: operators change the mode and the parameters; else nobody does
	Twins   bool         // instead of random worlds, the Layouts: a seed is one's number
	LeftOut map[int]bool // faults that do not happen, by their number in the world, from 1
	Trace   io.Writer    // tells the story of a run, a line an event; nil: untold

	twins      []epoch.ReplicaID // of whom, for tests
	steered    bool              // by a fault script
	parameters *epoch.Parameters // of the genesis; nil: the seed draws them
}

// Node counts that a world may have: from one fault borne to two, or three.
const (
	MinNodes      = 4
	MinCrashNodes = 3
	MaxNodes      = 7
)

func (o *Options) minNodes() int {
	if o.Mode == epoch.Crash {
		return MinCrashNodes
	}
	return MinNodes
}

// Check says what is wrong with the options.
func (o Options) Check() error {
	switch {
	case o.Nodes != 0 && (o.Nodes < o.minNodes() || o.Nodes > MaxNodes):
		return fmt.Errorf("nodes: %d, want %d to %d", o.Nodes, o.minNodes(), MaxNodes)
	case o.Mix != "" && o.Mix != MixEpochs:
		return fmt.Errorf("mix: %q, want %s", o.Mix, MixEpochs)
	case o.Mix != "" && (o.Twins || o.Mode == epoch.Crash):
		return errors.New("the mix of epochs draws the mode, and has no layouts of twins: leave out mode and twins")
	case o.Twins && o.Mode == epoch.Crash:
		return errors.New("twins lie, and crash mode bears nobody who does: leave out one of the two")
	case o.Seeds < 0:
		return fmt.Errorf("seeds: %d, want 0 or more", o.Seeds)
	case o.Steps < 0:
		return fmt.Errorf("steps: %d, want 0 or more", o.Steps)
	case o.Twins && (o.Nodes != 0 || o.Steps != 0 || len(o.LeftOut) > 0):
		return errors.New("layouts of twins have four members and no other faults: leave out nodes, steps and faults")
	case o.Twins && (o.From >= Layouts || uint64(o.Seeds) > Layouts-o.From):
		return fmt.Errorf("seeds %d to %d: layouts of twins have the numbers 0 to %d", o.From, o.From+uint64(o.Seeds)-1, Layouts-1)
	}
	return nil
}

// Report is what became of one world.
type Report struct {
	Seed      uint64
	Nodes     int
	Ed25519   bool  // real signatures instead of modelled ones
	Micros    int64 // virtual time it took
	Struck    int   // faults, those left out as well
	Counts    Counts
	Digest    crypto.Digest // over every event: equal runs have equal ones
	Violation *Violation    // nil: all checkers were content
}

// Violation is a broken promise.
type Violation struct {
	Seed    uint64
	Micros  int64 // virtual time
	Node    int   // 0: of the network as a whole
	Checker string
	Text    string
}

func (v *Violation) Error() string {
	where := "network"
	if v.Node > 0 {
		where = fmt.Sprintf("node%d", v.Node)
	}
	return fmt.Sprintf("seed %d, %s, %s: %s: %s", v.Seed, clock(v.Micros), where, v.Checker, v.Text)
}

// clock is a virtual time in seconds.
func clock(micros int64) string {
	return fmt.Sprintf("%d.%03ds", micros/1_000_000, micros/1000%1000)
}

// breach is what a checker has to say; the world adds when and where.
type breach struct{ checker, text string }

func (b *breach) Error() string { return b.checker + ": " + b.text }

func breaks(checker, format string, args ...any) error {
	return &breach{checker, fmt.Sprintf(format, args...)}
}

// Run lives through one world. o.From and o.Seeds are of no account.
func Run(seed uint64, o Options) Report {
	w := newWorld(seed, o)
	w.run()
	return Report{
		Seed: seed, Nodes: w.epoch.N(), Ed25519: w.ed25519, Micros: w.now, Struck: w.struck,
		Counts: w.counts, Digest: w.trace.digest(), Violation: w.violation,
	}
}
