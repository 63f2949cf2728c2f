package scenario

import (
	"errors"
	"strings"
	"testing"
)

// What a verdict rests on, each with the one thing that decides it.
func TestVerdicts(t *testing.T) {
	for _, c := range []struct {
		name, script string
		stage        func(*staged)
		verdict      Verdict
		why          string
	}{
		{"all is well", "workload()\nexpect_progress()", nil, Passed, ""},
		{"a fault that came about", "workload()\ncrash(1)\nrestart(1)\nexpect_progress()", nil, Passed, ""},
		{"a crash of a node that is down", "crash(1)\ncrash(1)\ncheck_agreement()", nil, NotTested, "t.star:2: crash(1): node 1: it is down"},
		{"a cut that stopped nothing", "isolate(2)\nsleep('1s')\ncheck_agreement()", nil, NotTested, "t.star:1: isolate(2) did not come about: it stopped no message"},
		{"a slow disk that nobody synced", "slow(2, '1ms')\nsleep('1s')\ncheck_agreement()", nil, NotTested,
			`t.star:1: slow(2, "1ms") did not come about: the node has synced nothing since`},
		{"a failed sync that nobody met", "fail_sync(2)\nsleep('1s')\ncheck_agreement()", nil, NotTested,
			"t.star:1: fail_sync(2) did not come about: the node has not met it"},
		{"a failed sync that a crash was before", "fail_sync(2)\ncrash(2)\nsleep('1s')\nrestart(2)\ncheck_agreement()", nil, NotTested,
			"t.star:1: fail_sync(2) did not come about: the node has not met it"},
		{"a failed sync that was met", "fail_sync(2)\nsleep('1s')\nrestart(2)\ncheck_agreement()",
			func(s *staged) { s.down[2], s.comes = true, AtNode(CountFailed, 2) }, Passed, ""},
		{"a full disk where a sync failed", "fill(2)\nfail_sync(2)\nsleep('1s')\nrestart(2)\ncheck_agreement()",
			func(s *staged) { s.down[2], s.comes = true, AtNode(CountFailed, 2) }, NotTested, "t.star:1: fill(2) did not come about: the node has not met it"},
		{"a node that ends by itself, with a full disk that it has not met", "fill(2)\nsleep('1s')\ncheck_agreement()",
			func(s *staged) { s.down[2] = true }, Violated, "running: node 2 has ended by itself"},
		{"a node that ends by itself, and is started at once", "restart(2)\ncheck_agreement()",
			func(s *staged) { s.down[2] = true }, Violated, "running: node 2 has ended by itself"},
		{"a node that ends by itself, and may refuse to start", "try_restart(2)\ncheck_agreement()",
			func(s *staged) { s.down[2] = true }, Violated, "running: node 2 has ended by itself"},
		{"a node that ends by itself after bits were changed", "crash(2)\nflip(2)\nrestart(2)\nwhile state(2) == 'up':\n    sleep('1s')\ncheck_agreement()",
			func(s *staged) { s.ends = 2 }, Passed, ""},
		{"a node that ends by itself when changed bits are gone", "crash(2)\nflip(2)\nwipe(2)\nrestart(2)\nsleep('9s')\ncheck_agreement()",
			func(s *staged) { s.ends = 2 }, Violated, "running: node 2 has ended by itself"},
		{"a crash at whose moment another node ends", "crash(1, 3)\ncheck_agreement()",
			func(s *staged) { s.gone = 3 }, NotTested, "t.star:1: crash(1, 3): node 3: it is down"},
		{"loss of nothing", "loss(0)\nloss('30%')\nsleep('1s')\ncheck_agreement()", func(s *staged) { s.comes = OnLink(CountLost, 1, 2) }, Passed, ""},
		{"a delay that another one overrides", "delay('1s', of=[4])\ndelay('10ms')\nsleep('1s')\ncheck_agreement()",
			func(s *staged) { s.comes = OnLink(CountDelayed, 4, 2) }, NotTested, `t.star:1: delay("1s", of=[4]) did not come about: no message was delayed`},
		{"a delay that another one overrides at some links", "delay('1s')\ndelay('10ms', of=[4])\nsleep('1s')\ncheck_agreement()",
			func(s *staged) { s.comes = OnLink(CountDelayed, 4, 2) }, NotTested, `t.star:1: delay("1s") did not come about: no message was delayed`},
		{"a delay that has come about before another one", "delay('1s')\nsleep('1s')\ndelay('0s')\nsleep('1s')\ncheck_agreement()",
			func(s *staged) { s.comes = OnLink(CountDelayed, 4, 2) }, Passed, ""},
		{"parameters that there are, without waiting", "set_params({'window': 64}, wait=False)\nsleep('1s')\ncheck_agreement()", nil, NotTested,
			`t.star:1: set_params({"window": 64}, wait=False) did not come about: it is so already`},
		{"a condition that takes longer than it has", "def late():\n    sleep('3s')\n    return True\nuntil(late, within='1s')", nil, Violated,
			"t.star:4: until(late, within='1s'): not within 1s"},
		{"a local read at a node that is down", "workload(cas=0, get=0)\nsleep('1s')\nlocal_get(2, 'x')\ncheck_agreement()", func(s *staged) {
			s.answer = func(c Call) Answer {
				if c.Kind == LocalGet {
					return Answer{Outcome: Refused}
				}
				return Answer{Outcome: Done}
			}
		}, NotTested, `t.star:3: local_get(2, "x"): node 2: it does not answer`},
		{"nothing but a local read", "expect(local_get(2, 'x') == None)", nil, Passed, ""},
		{"progress where clients only read locally", "workload(put=0, cas=0, get=0, local_get=1)\nexpect_progress()", nil, Passed, ""},
		{"bits of a node that has ended by itself", "flip(2)\ncheck_agreement()", func(s *staged) { s.down[2] = true }, Violated, "running: node 2 has ended by itself"},
		{"metrics of a node that is down", "crash(2)\nmetrics(2)\ncheck_agreement()", nil, NotTested, "t.star:2: metrics(2): node 2: it is down"},
		{"un-synced writes lost, and no crash", "lose_unsynced(2)\nsleep('1s')\ncheck_agreement()", nil, NotTested,
			"t.star:1: lose_unsynced(2) did not come about: no crash since has met anything that was not synced"},
		{"a crash that took nothing that was not synced", "lose_unsynced(2)\ncrash(2)\ncheck_agreement()", nil, NotTested,
			"t.star:1: lose_unsynced(2) did not come about: no crash since has met anything that was not synced"},
		{"un-synced writes lost in one of two crashes", "lose_unsynced(2, 3)\ncrash(2, 3)\ncheck_agreement()", func(s *staged) { s.unsynced = 3 }, Passed, ""},
		{"jitter where there is delay", "delay('1ms')\njitter('2ms')\nsleep('1s')\ncheck_agreement()",
			func(s *staged) { s.comes = OnLink(CountDelayed, 1, 2) }, NotTested, `t.star:2: jitter("2ms") did not come about: no message was jittered`},
		{"one act where another is done", "byzantine(2, 'mutate')\nbyzantine(2, 'hide')\nsleep('1s')\ncheck_agreement()",
			func(s *staged) { s.comes = AtNode(CountLies("mutate"), 2) }, NotTested, `t.star:2: byzantine(2, "hide") did not come about`},
		{"the mode that there is", "switch_mode('byzantine')\ncheck_agreement()", nil, NotTested, `t.star:1: switch_mode("byzantine"): the mode is byzantine already`},
		{"parameters that there are", "set_params({'window': 64})\ncheck_agreement()", nil, NotTested, `t.star:1: set_params({"window": 64}): it is so already`},
		{"an order that is refused while the script goes on", "switch_mode('crash', wait=False)\nsleep('1s')\ncheck_agreement()",
			func(s *staged) { s.operated = errors.New("refused") }, NotTested, `t.star:1: switch_mode("crash", wait=False) did not come about: refused`},
		{"a liar that has not lied", "byzantine(2, 'hide')\nsleep('1s')\ncheck_agreement()", nil, NotTested,
			`t.star:1: byzantine(2, "hide") did not come about: it has not lied: it had nothing to say that this act is about`},
		{"an expectation behind a branch", "if False:\n    check_agreement()", nil, NotTested, "no expectation was reached"},
		{"clients that are never answered", "workload()\nsleep('1s')\ncheck_agreement()",
			func(s *staged) { s.answer = func(Call) Answer { return Answer{Outcome: Unknown} } }, NotTested, "no client was ever answered"},
		{"no progress", "workload()\nexpect_progress(within='2s')",
			func(s *staged) { s.answer = func(Call) Answer { return Answer{Outcome: Unknown} } }, Violated,
			`t.star:2: expect_progress(within="2s"): nothing that was asked for since was acknowledged within 2s`},
		{"progress where there should be none", "workload()\nexpect_no_progress('2s')", nil, Violated,
			`t.star:2: expect_no_progress("2s"): something that was asked for since was acknowledged`},
		{"too few view changes", "expect_view_changes(at_least=1)", nil, Violated, "t.star:1: expect_view_changes(at_least=1): there were 0"},
		{"another mode", "expect_mode('crash', within='1s')", nil, Violated, `t.star:1: expect_mode("crash", within="1s"): node 1 is in byzantine mode after 1s`},
		{"no evidence", "expect_evidence(against=2, within='1s')", nil, Violated, `t.star:1: expect_evidence(against=2, within="1s"): node 1 holds none after 1s`},
		{"evidence against an honest member", "expect_evidence(against=2, within='1s')", func(s *staged) { s.accused = []int{3} }, Violated,
			"accusations: holds evidence against member 3, who is honest"},
		{"evidence that nobody could hold", "expect_evidence(against=2, within='1s')", func(s *staged) { s.paused, s.accused = true, []int{2} }, Violated,
			`t.star:1: expect_evidence(against=2, within="1s"): no node that is up could be asked`},
		{"a mode that nobody is in", "expect_mode('byzantine', within='1s')", func(s *staged) { s.paused = true }, Violated,
			`t.star:1: expect_mode("byzantine", within="1s"): no node that is up could be asked`},
		{"a node that stands where all stand, which is nowhere", "expect_caught_up(2, within='1s')", func(s *staged) { s.paused = true }, Violated,
			`t.star:1: expect_caught_up(2, within="1s"): it is paused`},
		{"a node that is behind those that are down", "crash(1, 3, 4)\nexpect_caught_up(2, within='1s')", func(s *staged) { s.behind = 2 }, Violated,
			`t.star:2: expect_caught_up(2, within="1s"): after 1s it stands at slot 0, and another stood at 1 before`},
		{"one call, answered before anybody has looked", "put('x', '1')\ncheck_agreement()", func(s *staged) {
			s.executed = 0
			s.answer = func(Call) Answer {
				s.executed = 1
				return Answer{Outcome: Done}
			}
		}, Passed, ""},
		{"what a script has found out itself", "expect(height() == 1, 'nothing was executed')", nil, Passed, ""},
		{"what a script has found out itself and is not so", "expect(height() == 2, 'nothing was executed since')", nil, Violated,
			`t.star:1: expect(height() == 2, 'nothing was executed since'): nothing was executed since`},
		{"what is not so, without words", "expect(\n    height()   == 2)", nil, Violated, "t.star:1: expect( height() == 2): it is not so"},
		{"a script that says that something is wrong", "if height() == 1:\n    fail('it is 1')", nil, Violated, `t.star:2: fail("it is 1"): it is 1`},
		{"something that happens later", "after('1s', lambda: crash(2))\nsleep('999ms')\nexpect(state(2) == 'up')\nsleep('2ms')\nexpect(state(2) == 'down')", nil, Passed, ""},
		{"a local read that finds something else", "expect(local_get(2, 'x') == '2')",
			func(s *staged) { s.answer = func(Call) Answer { return Answer{Outcome: Done, Held: true, Value: "1"} } }, Violated, "t.star:1: expect(local_get(2, 'x') == '2')"},
		{"a network in which nothing was executed", "check_agreement()", func(s *staged) { s.executed = 0 }, NotTested, "nothing was ever executed"},
		{"a condition that never holds", "until(lambda: False, within='1s')", nil, Violated, `t.star:1: until(lambda: False, within='1s'): not within 1s`},
		{"operators are refused", "switch_mode('crash')\ncheck_agreement()", func(s *staged) { s.operated = errors.New("refused") }, Violated,
			`t.star:1: switch_mode("crash"): refused`},
		{"a broken promise that the cluster sees", "workload()\nexpect_progress()", func(s *staged) { s.wait = &Violation{Check: "order", Text: "a gap"} }, Violated, "order: a gap"},
		{"two executions, found at the end without being asked for", "workload()\nexpect_progress()",
			func(s *staged) { s.check[ExactlyOnce] = &Violation{Check: ExactlyOnce, Text: "twice"} }, Violated, "exactly_once: twice"},
		{"a history without an order", "workload(put=1, cas=0, get=1, keys=1, clients=1)\nsleep('3s')\ncheck_agreement()", func(s *staged) {
			s.answer = func(c Call) Answer { return Answer{Outcome: Done, Held: c.Kind == Get, Value: "never written"} }
		}, Violated, "linearizab"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStaged()
			if c.stage != nil {
				c.stage(s)
			}
			r := playStaged(t, s, c.script)
			if r.Verdict != c.verdict || !strings.HasPrefix(r.Why, c.why) || c.why == "" && r.Why != "" {
				t.Errorf("%s: %s\nwant %s: %s", r.Verdict, r.Why, c.verdict, c.why)
			}
		})
	}
}
