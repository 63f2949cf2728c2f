package sim

import (
	"os"
	"strconv"
	"testing"
)

func TestWorlds(t *testing.T) {
	if s := os.Getenv("SEED"); s != "" {
		seed, _ := strconv.ParseUint(s, 10, 64)
		r := Run(seed, Options{Trace: os.Stdout})
		if r.Violation != nil {
			t.Fatal(r.Violation)
		}
		return
	}
	n := 40
	if s := os.Getenv("SEEDS"); s != "" {
		n, _ = strconv.Atoi(s)
	}
	totals := Campaign(Options{From: 1, Seeds: n}, nil)
	totals.Print(os.Stdout)
	if len(totals.Failures) > 0 {
		t.Fatal("failed")
	}
}
