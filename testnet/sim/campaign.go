package sim

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/crypto"
)

// Totals are what many worlds came to. The zero Totals are those of none; worlds may be added in any order.
type Totals struct {
	Worlds   int
	Ed25519  int   // worlds with real signatures
	Micros   int64 // virtual time of all
	Faults   int   // that struck
	Counts   Counts
	Failures []*Violation // in ascending order of seeds

	runs    []Report
	options Options
}

// Campaign runs the worlds of o.From and the o.Seeds-1 seeds after it. each, if there is one, is told of every world.
func Campaign(o Options, each func(Report)) *Totals {
	t := &Totals{}
	for i := range o.Seeds {
		r := Run(o.From+uint64(i), o)
		t.Add(r, o)
		if each != nil {
			each(r)
		}
	}
	return t
}

// Add adds a world that was run with these options, the same for all.
func (t *Totals) Add(r Report, o Options) {
	t.options = o
	t.Worlds++
	if r.Ed25519 {
		t.Ed25519++
	}
	t.Micros += r.Micros
	t.Faults += r.Struck
	t.Counts.add(&r.Counts)
	t.runs = append(t.runs, r)
	if r.Violation != nil {
		t.Failures = append(t.Failures, r.Violation)
		slices.SortFunc(t.Failures, func(a, b *Violation) int { return cmp.Compare(a.Seed, b.Seed) })
	}
}

// minCommits is what the median world must commit for a campaign to say anything.
const minCommits = 50

// MedianCommits is that of the worlds, or the lower of two.
func (t *Totals) MedianCommits() int {
	if len(t.runs) == 0 {
		return 0
	}
	commits := make([]int, len(t.runs))
	for i := range t.runs {
		commits[i] = t.runs[i].Counts.Commits
	}
	slices.Sort(commits)
	return commits[(len(commits)-1)/2]
}

// FirstFailure is the report of the failed world with the lowest seed; there must be one.
func (t *Totals) FirstFailure() Report {
	i := slices.IndexFunc(t.runs, func(r Report) bool { return r.Violation == t.Failures[0] })
	return t.runs[i]
}

// Digest is over the digests of all worlds, in the order of their seeds.
func (t *Totals) Digest() crypto.Digest {
	runs := slices.SortedFunc(slices.Values(t.runs), func(a, b Report) int { return cmp.Compare(a.Seed, b.Seed) })
	var all []byte
	for i := range runs {
		all = append(all, runs[i].Digest[:]...)
	}
	return sha256.Sum256(all)
}

// Untested says what the worlds promise and did not do; nil if nothing is missing. Worlds that were cut short promise
// nothing.
func (t *Totals) Untested() []string {
	if t.options.Steps > 0 {
		return nil
	}
	if t.options.Twins {
		return t.untestedLayouts()
	}
	var missing []string
	for _, k := range t.Counts.Kinds() {
		if k.N == 0 && t.options.promises(k) {
			missing = append(missing, "no "+k.Name)
		}
	}
	if m := t.MedianCommits(); m < minCommits {
		missing = append(missing, fmt.Sprintf("the median seed had %d commits, want %d", m, minCommits))
	}
	return missing
}

// promises says whether worlds of these options have something of a kind.
func (o *Options) promises(k Kind) bool {
	return !(k.Lies && o.Mode == epoch.Crash) && (!k.Mix || o.Mix == MixEpochs)
}

// Print writes the totals by kind, and the verdict: passed, what was not tested, or every broken promise with the line
// that repeats it.
func (t *Totals) Print(out io.Writer) error {
	var b []byte
	for _, k := range t.Counts.Kinds() {
		if !t.options.promises(k) {
			continue
		}
		b = fmt.Appendf(b, "%12d  %s\n", k.N, k.Name)
	}
	b = fmt.Appendf(b, "%12d  worlds, %d of them with ed25519, %.1f cluster-hours, median of %d commits\n",
		t.Worlds, t.Ed25519, float64(t.Micros)/float64(3600*second), t.MedianCommits())
	b = fmt.Appendf(b, "%12s  digest of all traces\n", t.Digest().Short())
	for _, v := range t.Failures {
		b = fmt.Appendf(b, "FAILED  %v\n        repeat: %s\n", v, Reproducer(v.Seed, t.options))
	}
	if len(t.Failures) == 0 {
		for _, what := range t.Untested() {
			b = fmt.Appendf(b, "NOT TESTED  %s\n", what)
		}
	}
	_, err := out.Write(b)
	return err
}

// Reproducer is the command that repeats one world.
func Reproducer(seed uint64, o Options) string {
	line := fmt.Sprintf("quorate sim --seeds 1 --from %d", seed)
	if o.Twins {
		line += " --twins"
	}
	if o.Mode == epoch.Crash {
		line += " --mode crash"
	}
	if o.Mix != "" {
		line += " --mix " + o.Mix
	}
	if o.Nodes != 0 {
		line += fmt.Sprintf(" --nodes %d", o.Nodes)
	}
	if o.Steps != 0 {
		line += fmt.Sprintf(" --steps %d", o.Steps)
	}
	if len(o.LeftOut) > 0 {
		line += " --leave-out " + FormatFaults(o.LeftOut)
	}
	return line
}
