package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// The independent checker comes to the same as the nodes on 20,000 transactions and more, which 64 clients have made while
// one node was killed and came back.
func TestEndToEndIndependentChecker(t *testing.T) {
	const transactions = 20_000
	e := newEndToEnd(t)
	program, err := exec.LookPath("node")
	if err != nil {
		t.Fatal("Node.js is missing: install it (Debian: nodejs), for the checker is written in it")
	}
	script, err := os.ReadFile("../../testnet/checker/check.mjs")
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(script, []byte("\n")); n >= 200 {
		t.Errorf("the checker has %d lines: one that nobody reads checks nothing", n)
	}
	for acknowledged, round := 0, 0; acknowledged < transactions; round++ {
		l := e.load(fmt.Sprintf("acks%d.txt", round), "10s")
		l.until(500)
		if round == 0 {
			e.run("testnet", "kill", "4")
			e.run("testnet", "start", "4")
		}
		acknowledged += int(l.end("acknowledged"))
	}

	check := exec.Command(program, "../../testnet/checker/check.mjs", "--genesis", e.dir+"/quorate-testnet/genesis.json")
	out, err := check.CombinedOutput()

	t.Logf("%s", out)
	if err != nil || !strings.Contains(string(out), "all holds") {
		t.Fatalf("checker: %v", err)
	}
}
