package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quorate/quorate/bft/epoch"
	"github.com/quorate/quorate/testnet/local"
)

// Who puts a genesis together is told which two files have the same, before anybody starts on it.
//
// case D10
//
// Red if one of the comparisons is left out.
func TestAGenesisWithSomethingTwiceIsRefusedByTheFilesNames(t *testing.T) {
	for what, same := range map[string]func(a, b *epoch.Member){
		"name":    func(a, b *epoch.Member) { b.Name = a.Name },
		"key":     func(a, b *epoch.Member) { b.Key = a.Key },
		"peer_id": func(a, b *epoch.Member) { b.PeerID = a.PeerID },
		"address": func(a, b *epoch.Member) { b.Address = a.Address },
		"api":     func(a, b *epoch.Member) { b.API = a.API },
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			members := make([]epoch.Member, 4)
			files := make([]string, 4)
			for i := range members {
				h := local.Home(filepath.Join(dir, fmt.Sprint(i)))
				m, err := h.Create(homeTools, local.DefaultSettings(), fmt.Sprint("member", i), fmt.Sprintf("10.0.0.%d:1", i+1), fmt.Sprintf("10.0.0.%d:2", i+1))
				if err != nil {
					t.Fatal(err)
				}
				members[i] = m
				files[i] = filepath.Join(dir, fmt.Sprintf("%d.json", i))
			}
			same(&members[1], &members[3])
			for i, m := range members {
				if err := local.WriteMember(files[i], m); err != nil {
					t.Fatal(err)
				}
			}

			_, err := genesisOf("chain", local.DefaultPlan(), nil, files)

			if want := fmt.Sprintf("%s: %s is that of %s", files[3], what, files[1]); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%v, want %s", err, want)
			}
		})
	}
}

func TestAnAddressThatNobodyCouldReachIsRefused(t *testing.T) {
	for text, ok := range map[string]bool{
		"10.0.0.1:27001": true, "[::1]:1": true, "node.example:65535": true, "/ip4/10.0.0.1/tcp/1": true,
		"": false, "10.0.0.1": false, ":27001": false, "10.0.0.1:": false, "10.0.0.1:0": false, "10.0.0.1:65536": false,
		"http://10.0.0.1:27001": false, "10.0.0.1:http": false, "::1:1": false, "a b:1": false,
	} {
		if err := checkAddress(text, 1); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
	if err := checkAddress("127.0.0.1:0", 0); err != nil {
		t.Errorf("any port to listen on: %v", err)
	}
}
