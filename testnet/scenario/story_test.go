package scenario

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// story is a run as it may come out of a script, for the tests of the report: four nodes, the leader crashes at 5 s and is back at 9,
// two are cut off from 10 to 14 s, one is paused, the mode is switched, a fault does not come about and one expectation does not hold.
func story() *Run {
	random := rand.New(rand.NewPCG(1, 1))
	const end = 30 * time.Second
	s := func(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }
	r := &Run{
		Script: "leader-crash-and-partition.star", World: "sim", Seed: 7, Nodes: 4, Took: end, Verdict: Violated,
		Digest: "5f1c8e0a9b7d4412c3e6a1f09d8b7c6e5f4a3b2c1d0e9f8a7b6c5d4e3f2a1b0c",
		Why:    "line 31: expect_progress(within = 1) does not hold: no slot was executed from 10.5 s to 11.5 s",
		Faults: []Fault{
			{12, "crash", "crash(leader())", []int{1}, s(5), s(9), 1, ""},
			{14, "restart", "restart(1)", []int{1}, s(9), s(9), 1, ""},
			{17, "partition", "partition([1, 2], [3, 4])", []int{1, 2, 3, 4}, s(10), s(14), 2310, ""},
			{19, "heal", "heal()", nil, s(14), s(14), 1, ""},
			{21, "delay", "delay(3, 40 * ms, jitter = 10 * ms)", []int{3}, s(15), s(22), 8214, ""},
			{22, "loss", "loss(0.02)", nil, s(15.5), s(21), 611, ""},
			{23, "pause", "pause(4)", []int{4}, s(17), s(19), 1, ""},
			{24, "crash", "crash(2)", []int{2}, s(17.5), s(20), 1, ""},
			{25, "lose_unsynced", "lose_unsynced(2)", []int{2}, s(17.2), s(20), 0, "nothing was un-synced when it crashed"},
			{26, "switch_mode", `switch_mode("crash")`, nil, s(24), s(24.6), 1, ""},
			{27, "byzantine", `byzantine(4, "equivocate", every = 3)`, []int{4}, s(26), s(30), 0, "node 4 never led"},
		},
		Expectations: []Expectation{
			{13, "expect_progress(within = 3)", s(5), s(6.4), true, ""},
			{31, "expect_progress(within = 1)", s(10.5), s(11.5), false, "no slot was executed from 10.5 s to 11.5 s"},
			{33, "expect_view_changes(at_most = 6)", s(0), s(30), true, ""},
			{34, "check_agreement()", s(30), s(30), true, ""},
			{35, "check_linearizable()", s(30), s(30), true, ""},
		},
	}
	seq := []float64{0, 0, 0, 0}
	down := func(node int, t time.Duration) State {
		switch {
		case node == 1 && t >= s(5) && t < s(9), node == 2 && t >= s(17.5) && t < s(20):
			return Down
		case node == 4 && t >= s(17) && t < s(19):
			return Paused
		}
		return Up
	}
	// progress says how fast the network is; it needs three nodes and a leader.
	progress := func(t time.Duration) float64 {
		switch {
		case t < s(0.5), t >= s(5) && t < s(6.3), t >= s(10) && t < s(14.8), t >= s(17.5) && t < s(19.2), t >= s(24.2) && t < s(24.5):
			return 0
		case t >= s(15) && t < s(22):
			return 40 + 12*random.Float64()
		}
		return 120 + 30*random.Float64()
	}
	view := func(t time.Duration) (epoch, view uint64) {
		switch {
		case t < s(6.2):
			return 0, 0
		case t < s(14.6):
			return 0, 1
		case t < s(24.5):
			return 0, 2
		}
		return 1, 0
	}
	net := 0.0
	for at := time.Duration(0); at <= end; at += SampleEvery {
		net += progress(at) * SampleEvery.Seconds()
		sample := Sample{At: at}
		e, v := view(at)
		for node := 1; node <= 4; node++ {
			l := Look{State: down(node, at)}
			if l.State == Up {
				if gap := net - seq[node-1]; gap > 100 {
					seq[node-1] += 90 // catching up
				} else {
					seq[node-1] = net
				}
				l.Role, l.View, l.Epoch, l.Mode, l.Seq = "follower", v, e, "byzantine", uint64(seq[node-1])
				if e == 1 {
					l.Mode = "crash"
				}
				if l.Leader = int(v+2*e)%4 + 1; l.Leader == node {
					l.Role = "leader"
				}
			}
			sample.Nodes = append(sample.Nodes, l)
		}
		r.Samples = append(r.Samples, sample)
	}
	r.History = clients(random, end, 8, progress)
	return r
}

// stale is the story again, but for an answer: late in it, somebody is told of a value that had been replaced.
func stale() *Run {
	r := story()
	at := slices.IndexFunc(r.History, func(o Operation) bool {
		return o.Answer.Call > 20*time.Second && o.Call.Kind == Get && o.Answer.Outcome == Done
	})
	first := slices.IndexFunc(r.History, func(o Operation) bool {
		return o.Call.Key == r.History[at].Call.Key && o.Call.Kind == Put && o.Answer.Outcome == Done
	})
	r.History[at].Answer.Value = r.History[first].Call.Value
	v, _, err := Linearizable(r.History)
	if v == nil || err != nil {
		panic("nobody has found it")
	}
	v.Node = 2
	r.Script, r.Expectations, r.Violation, r.Why = "read-during-fail-over.star", r.Expectations[:1], v, "line 40: check_linearizable() does not hold: "+v.Text
	r.Expectations = append(r.Expectations, Expectation{40, "check_linearizable()", r.Took, r.Took, false, v.Text})
	return r
}

// clients call one after the other, and hear nothing while the network makes no progress.
func clients(random *rand.Rand, end time.Duration, n int, progress func(time.Duration) float64) []Operation {
	type turn struct {
		o    Operation
		done time.Duration
	}
	var turns []turn
	for client := 1; client <= n; client++ {
		for at := time.Duration(client) * 7 * time.Millisecond; at < end; {
			o := Operation{Call: Call{Client: client, Kind: []Kind{Put, Put, Get, LocalGet}[random.IntN(4)], Key: fmt.Sprintf("r%d", random.IntN(10)), Node: client%4 + 1}}
			took := 20*time.Millisecond + time.Duration(random.ExpFloat64()*float64(15*time.Millisecond))
			if o.Call.Kind == LocalGet {
				took = time.Duration(300+random.IntN(900)) * time.Microsecond
			} else if p := progress(at); p < 100 {
				took *= 3
			}
			for o.Call.Kind != LocalGet && took < 3*time.Second && progress(at+took) == 0 {
				took += 20 * time.Millisecond
			}
			o.Answer = Answer{Call: at, Return: min(at+took, end), Outcome: Done, Seq: uint64(at / 8e6)}
			if took >= 2*time.Second {
				o.Answer.Return, o.Answer.Outcome, o.Answer.Seq = min(at+2*time.Second, end), Unknown, 0
			}
			if o.Call.Kind != LocalGet && random.IntN(600) == 0 {
				o.Answer.Outcome = Refused
			}
			turns = append(turns, turn{o, at + took/2})
			at = o.Answer.Return + time.Duration(random.IntN(60))*time.Millisecond
		}
	}
	slices.SortStableFunc(turns, func(a, b turn) int { return int(a.o.Answer.Call - b.o.Answer.Call) })
	order := make([]int, len(turns))
	for i := range turns {
		turns[i].o.Number, order[i] = i+1, i
		if k := turns[i].o.Call.Kind; k == Put {
			turns[i].o.Call.Value = fmt.Sprintf("%d", i+1)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return int(turns[a].done - turns[b].done) })
	held := map[string]string{}
	for _, i := range order {
		o := &turns[i].o
		switch {
		case o.Answer.Outcome == Refused:
		case o.Call.Kind == Put:
			held[o.Call.Key] = o.Call.Value
		case o.Answer.Outcome == Done:
			o.Answer.Value, o.Answer.Held = held[o.Call.Key], held[o.Call.Key] != ""
		}
	}
	history := make([]Operation, len(turns))
	for i := range turns {
		history[i] = turns[i].o
	}
	return history
}

// long is as large a run as one has: seven nodes, ten minutes, 500 faults and more than 50,000 calls, all of it passed.
func long() *Run {
	random := rand.New(rand.NewPCG(2, 2))
	const end = 10 * time.Minute
	r := &Run{Script: "crash-loop.star", World: "testnet", Seed: 18446744073709551615, Nodes: 7, Took: end, Verdict: Passed}
	kinds := []string{"crash", "isolate", "delay", "pause", "duplicate"}
	for i := range 500 {
		node := random.IntN(7) + 1
		kind := kinds[random.IntN(len(kinds))]
		from := end * time.Duration(i) / 500
		r.Faults = append(r.Faults, Fault{i + 1, kind, fmt.Sprintf("%s(%d)", kind, node), []int{node}, from, from + time.Duration(random.IntN(20))*time.Second, 5, ""})
	}
	for i := range 40 {
		at := time.Duration(i) * 15 * time.Second
		r.Expectations = append(r.Expectations, Expectation{600, "expect_progress(within = 10)", at, at + time.Second, true, ""})
	}
	for at := time.Duration(0); at <= end; at += SampleEvery {
		view := uint64(at / (7 * time.Second))
		s := Sample{At: at}
		for node := 1; node <= 7; node++ {
			l := Look{State: Up, Role: "follower", View: view, Mode: "byzantine", Seq: uint64(at/(10*time.Millisecond)) + random.Uint64N(20)}
			if int(view%7)+1 == node {
				l.Role = "leader"
			}
			if int(at/(3*time.Second))%11 == node {
				l = Look{State: Down}
			}
			s.Nodes = append(s.Nodes, l)
		}
		r.Samples = append(r.Samples, s)
	}
	r.History = clients(random, end, 10, func(t time.Duration) float64 {
		if t%(40*time.Second) < 2500*time.Millisecond {
			return 0
		}
		return 120
	})
	return r
}
