package epoch

// Faulty is how many of n members may fail, however they fail within the mode's model, without harm.
func Faulty(mode Mode, n int) int {
	if mode == Crash {
		return (n - 1) / 2
	}
	return (n - 1) / 3
}

// Quorum is how many of n members it takes for any two such groups to share a correct one.
//
// Byzantine: ⌈(n+f+1)/2⌉. Not 2f+1, which is the same only for n = 3f+1: of six members, two groups of three
// would not meet at all. Crash: a majority.
func Quorum(mode Mode, n int) int {
	if mode == Crash {
		return n/2 + 1
	}
	return (n + Faulty(mode, n) + 2) / 2
}

// Witnesses is how many of n members it takes for one of them to be correct.
func Witnesses(mode Mode, n int) int {
	if mode == Crash {
		return 1
	}
	return Faulty(mode, n) + 1
}

// Acknowledgers is how many of n members must have executed something for its result to survive whatever the mode bears.
// Byzantine: a quorum, so that any other contains a correct one of them. Crash: one. What it has executed is accepted by a majority, and comes
// to the same again.
func Acknowledgers(mode Mode, n int) int {
	if mode == Crash {
		return 1
	}
	return Quorum(mode, n)
}
