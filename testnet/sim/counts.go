package sim

import "github.com/quorate/quorate/testnet/adversary"

// Counts is how often what happened.
type Counts struct {
	Events           int // of all kinds
	Commits          int // slots that somebody executed first
	Transactions     int // answered with an outcome
	Crashes          int // of single nodes
	LostCrashes      int // that took writes which were not synced
	AllCrashes       int // of all nodes at once
	TornTails        int // logs whose end was cut at the next start
	StaleStates      int // restarts with a machine that had lost its newest commits
	Restarts         int
	ViewChanges      int     // views that somebody was the first to vote in, but the first
	Departures       int     // of one member, from a view
	Evidence         int     // pieces that somebody has come to hold against a liar
	Twins            int     // members with a second host
	Lies             [11]int // by act: words of liars
	CatchUps         int     // slots learned from another's block
	Checkpoints      int     // that became stable, at each node
	Isolations       int     // of a node from all others
	Depositions      int     // of these, of the leader because it leads
	OneWays          int     // links cut in one direction
	Splits           int     // into two groups
	Shapes           int     // networks that are but a ring, a star, a chain, or some of their links
	Flaps            int     // links that went down and up again and again
	Starvations      int     // of a node's links
	SlowDisks        int     // for a while
	FailedSyncs      int     // that ended their host
	FullDisks        int     // that ended their host
	Wipes            int     // of a disk, key kept
	Restores         int     // of a disk from an old copy
	Mended           int     // copies of facts, from the other copy
	LostBatches      int     // that were fetched again
	ClockJumps       int     // of a node
	Flips            int     // bits of a stopped node's log
	Refusals         int     // to start from a damaged log
	CoreWins         int     // progress of a quorum while all others stayed away
	Lost             int     // messages
	CutOff           int     // messages on a dead link
	VeryLate         int     // messages that came half a minute later
	Duplicated       int
	Reordered        int // delivered before one that was sent earlier on the same link
	ByName           int // proposals whose transactions were only named
	Fetches          int // of transactions that were named
	Retries          int // of a client at another node
	Duplicates       int // answered again, after the client had its answer
	OrderedTwice     int // ordered a second time, and not executed again
	Asked            int // changes, of operators
	Switches         int // of the mode
	Elections        int // views in crash mode that somebody was the first to begin, but the first
	ParameterChanges int
	Disasters        int // that took all disks but one
	Forced           int // hand-overs
	Renewals         int // of a member that had forgotten
	VoidChanges      int // decided where they did not hold
	Expired          int
	Refused          int // nonces that another transaction had used
}

// Kind is one of the counts by name. A campaign in which one of them is 0 has not tested what it promises.
type Kind struct {
	Name string
	N    int
	Lies bool // it takes liars
	Mix  bool // it takes operators
}

// Kinds lists the counts in the order in which they are printed.
func (c *Counts) Kinds() []Kind {
	var kinds []Kind
	for _, f := range c.faults() {
		kinds = append(kinds, Kind{f.name, *f.n, false, false})
	}
	for _, f := range c.lies() {
		kinds = append(kinds, Kind{f.name, *f.n, true, false})
	}
	for _, f := range c.changes() {
		kinds = append(kinds, Kind{f.name, *f.n, false, true})
	}
	return kinds
}

type field struct {
	name string
	n    *int
}

func (c *Counts) fields() []field { return append(append(c.faults(), c.lies()...), c.changes()...) }

// faults are what happens whether or not anybody lies.
func (c *Counts) faults() []field {
	return []field{
		{"events", &c.Events},
		{"commits", &c.Commits},
		{"transactions", &c.Transactions},
		{"crashes", &c.Crashes},
		{"crashes with un-synced records lost", &c.LostCrashes},
		{"crashes of all", &c.AllCrashes},
		{"torn tails", &c.TornTails},
		{"stale states", &c.StaleStates},
		{"restarts", &c.Restarts},
		{"view changes", &c.ViewChanges},
		{"departures from a view", &c.Departures},
		{"catch-ups", &c.CatchUps},
		{"stable checkpoints", &c.Checkpoints},
		{"isolations", &c.Isolations},
		{"leaders cut off", &c.Depositions},
		{"one-way cuts", &c.OneWays},
		{"splits", &c.Splits},
		{"networks of another shape", &c.Shapes},
		{"flapping links", &c.Flaps},
		{"starved nodes", &c.Starvations},
		{"slow disks", &c.SlowDisks},
		{"failed syncs", &c.FailedSyncs},
		{"full disks", &c.FullDisks},
		{"wiped disks", &c.Wipes},
		{"restored disks", &c.Restores},
		{"flipped bits", &c.Flips},
		{"clocks that jump", &c.ClockJumps},
		{"mended facts", &c.Mended},
		{"lost batches", &c.LostBatches},
		{"damaged logs refused", &c.Refusals},
		{"renewals", &c.Renewals},
		{"live cores", &c.CoreWins},
		{"messages cut off", &c.CutOff},
		{"messages very late", &c.VeryLate},
		{"messages lost", &c.Lost},
		{"messages duplicated", &c.Duplicated},
		{"messages reordered", &c.Reordered},
		{"proposals by name", &c.ByName},
		{"fetches of transactions", &c.Fetches},
		{"retries", &c.Retries},
		{"duplicates answered", &c.Duplicates},
		{"duplicates ordered", &c.OrderedTwice},
		{"expired", &c.Expired},
		{"nonces refused", &c.Refused},
	}
}

// changes are what takes operators.
func (c *Counts) changes() []field {
	return []field{
		{"changes asked for", &c.Asked},
		{"switches of the mode", &c.Switches},
		{"elections", &c.Elections},
		{"changes of parameters", &c.ParameterChanges},
		{"networks with one disk left", &c.Disasters},
		{"forced hand-overs", &c.Forced},
	}
}

// lies are what takes liars.
func (c *Counts) lies() []field {
	fields := []field{{"pieces of evidence", &c.Evidence}, {"twins", &c.Twins}}
	for i, a := range adversary.Acts() {
		fields = append(fields, field{"words of a liar, " + a.String(), &c.Lies[i]})
	}
	return fields
}

func (c *Counts) add(d *Counts) {
	more := d.fields()
	for i, f := range c.fields() {
		*f.n += *more[i].n
	}
}
