//go:build !race

package sim

const fixedSeeds = 40
