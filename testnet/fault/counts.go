package fault

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/quorate/quorate/bft/epoch"
)

// Counts are how often faults have come about since the node was started.
type Counts struct {
	Links    []LinkCounts      `json:"links"` // that have any
	Lies     map[string]uint64 `json:"lies"`  // words that were not the replica's own, by act
	Slowed   uint64            `json:"slowed"`
	Failed   uint64            `json:"failed"`
	Full     uint64            `json:"full"`
	Unsynced int64             `json:"unsynced"` // bytes that are held back now
}

// LinkCounts are those of the messages of one member, counted where they should have arrived.
type LinkCounts struct {
	From      epoch.ReplicaID `json:"from"`
	Stopped   uint64          `json:"stopped"`
	Delayed   uint64          `json:"delayed"`
	Jittered  uint64          `json:"jittered"`
	HeldUp    uint64          `json:"held_up"` // where the pipe is narrow
	Lost      uint64          `json:"lost"`
	Twice     uint64          `json:"twice"`
	Reordered uint64          `json:"reordered"`
}

// Counts are those of now.
func (f *Faults) Counts() Counts {
	c := Counts{Lies: f.liar.lies()}
	f.disk.count(&c)
	for from, l := range f.links {
		one := l.count()
		if one != (LinkCounts{}) {
			one.From = epoch.ReplicaID(from)
			c.Links = append(c.Links, one)
		}
	}
	return c
}

// A fault of the disk may end the process before anybody can ask how often what has come about. So the counts are kept in the home then.

func countsFile(home string) string { return filepath.Join(home, "faults.counts.json") }

// keepCounts leaves the counts of now in the home of a node that takes requests. What fails is left out: nobody is there to be told.
func (f *Faults) keepCounts() {
	home := f.home.Load()
	if home == nil {
		return
	}
	text, err := json.Marshal(f.Counts())
	if err != nil {
		return
	}
	making := countsFile(*home) + ".new"
	if os.WriteFile(making, text, 0o600) == nil {
		_ = os.Rename(making, countsFile(*home))
	}
}

// KeptCounts are those of a process that has ended, if it has kept any: it did not if it was killed.
func KeptCounts(home string) (c Counts, ok bool) {
	text, err := os.ReadFile(countsFile(home))
	return c, err == nil && json.Unmarshal(text, &c) == nil
}
