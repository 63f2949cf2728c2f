package sim

import (
	"maps"
	"testing"
)

// A failure that takes three of a hundred faults is brought down to these three, in far fewer runs than there are faults
// to leave out one by one.
//
// Breaks when: shrink stops at halves, or keeps what does not matter.
func TestAFailureIsBroughtDownToWhatItTakes(t *testing.T) {
	needed := []int{7, 50, 51}
	runs := 0
	out := shrink(100, maxShrinkRuns, func(leftOut map[int]bool) bool {
		runs++
		for _, i := range needed {
			if leftOut[i] {
				return false
			}
		}
		return true
	})
	if len(out) != 97 || out[7] || out[50] || out[51] {
		t.Errorf("left out: %s", FormatFaults(out))
	}
	if runs > 80 {
		t.Errorf("%d runs", runs)
	}
	if out := shrink(1000, 10, func(map[int]bool) bool { runs++; return false }); len(out) != 0 {
		t.Errorf("nothing may be left out, and %d are", len(out))
	}
}

// What is left of a world when faults are left out is what it was: the same ones strike, at the same times.
//
// Breaks when: a fault that does not happen shifts what those after it draw.
func TestFaultsThatAreLeftKeepWhatTheyWere(t *testing.T) {
	whole := Run(3, Options{})
	last := map[int]bool{whole.Struck: true}
	if r := Run(3, Options{LeftOut: last}); r.Violation != nil || r.Digest == whole.Digest {
		t.Errorf("without the last of %d faults: %v", whole.Struck, r.Violation)
	}
	all := make(map[int]bool)
	for i := range whole.Struck {
		all[i+1] = true
	}
	calm := Run(3, Options{LeftOut: all})
	if calm.Violation != nil || calm.Counts.Isolations+calm.Counts.Splits+calm.Counts.FailedSyncs+calm.Counts.Wipes > 0 {
		t.Errorf("without any fault: %+v, %v", calm.Counts, calm.Violation)
	}
}

func TestFaultsAreReadAsTheyAreWritten(t *testing.T) {
	for text, want := range map[string]string{"": "", "1": "1", "1-4,7": "1-4,7", "3,1,2": "1-3", "5-5": "5"} {
		set, err := ParseFaults(text)
		if err != nil || FormatFaults(set) != want {
			t.Errorf("%q: %q, %v", text, FormatFaults(set), err)
		}
		again, err := ParseFaults(FormatFaults(set))
		if err != nil || !maps.Equal(set, again) {
			t.Errorf("%q: not the same again: %v", text, err)
		}
	}
	for _, text := range []string{"0", "x", "4-1", "1-", "-1", "1-99999999999", "1-100001"} {
		if _, err := ParseFaults(text); err == nil {
			t.Errorf("%q passes", text)
		}
	}
}
