package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/quorate/quorate/testnet/adversary"
	"github.com/quorate/quorate/testnet/fault"
)

func addLie(cmd *cobra.Command, lie *[]string) {
	var names []string
	for _, a := range adversary.Acts() {
		names = append(names, a.String())
	}
	cmd.Flags().StringSliceVar(lie, "lie", nil, "test networks only: lie now and then, in these ways: "+strings.Join(names, ", "))
}

func actsOf(names []string) ([]adversary.Act, error) {
	acts, err := fault.ActsOf(names)
	if err != nil {
		return nil, &failure{exitUsage, err}
	}
	return acts, nil
}

// lies are the arguments by which a node is started that lies so.
func lies(lie []string) ([]string, error) {
	if len(lie) == 0 {
		return nil, nil
	}
	_, err := actsOf(lie)
	return []string{"--lie", strings.Join(lie, ",")}, err
}
