package scenario

import (
	"errors"
	"strings"
	"testing"
)

// known stands for what the worlds know of parameters.
func known(s Shape) error {
	if s.Nodes == 3 && s.Mode == "byzantine" {
		return errors.New("three are too few")
	}
	for name := range s.Parameters {
		if name != "window" {
			return errors.New("no parameter is called " + name + ": " + Suggest(name, []string{"window"}))
		}
	}
	return nil
}

// Whatever is wrong with a script is said in one line, with its place and what to do, before anything runs.
func TestMistakesOfAnAuthorAreToldInOneLine(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{
			"a function that there is not",
			"workload()\nexpect_progres()\n",
			"mine.star:2:1: undefined: expect_progres, did you mean expect_progress?",
		}, {
			"a variable that there is not",
			"workload()\ncrash(leadr)\nexpect_progress()\n",
			"mine.star:2:7: undefined: leadr, did you mean leader?",
		}, {
			"an argument that there is not",
			"workload(client = 3)\nexpect_progress()\n",
			"mine.star:1:1: workload: takes no client: did you mean clients?",
		}, {
			"a node that there is not",
			"workload()\ncrash(5)\nexpect_progress()\n",
			"mine.star:2:1: crash: there is no node 5: the network has nodes 1 to 4",
		}, {
			"a node that there is not, in a branch that is never taken",
			"cluster(nodes = 3, mode = \"crash\")\nworkload()\nif False:\n    crash(4)\nexpect_progress()\n",
			"mine.star:4:5: crash: there is no node 4: the network has nodes 1 to 3",
		}, {
			"a node that there is not, computed",
			"workload()\nn = len(nodes()) + 1\ncrash(n)\nexpect_progress()\n",
			"mine.star:3:1: crash: there is no node 5: the network has nodes 1 to 4",
		}, {
			"a partition that names a node twice",
			"workload()\npartition([1, 2], [2, 3])\nexpect_progress()\n",
			"mine.star:2:1: partition: node 2 is in two groups",
		}, {
			"a group that names a node twice",
			"workload()\npartition([1, 1], [2, 3])\nexpect_progress()\n",
			"mine.star:2:1: partition: node 1 is named twice",
		}, {
			"a link from a node to itself",
			"workload()\ncut(1, 1)\nexpect_progress()\n",
			"mine.star:2:1: cut: there is no link from node 1 to itself",
		}, {
			"a list for nodes one by one",
			"workload()\ncrash([1, 2])\nexpect_progress()\n",
			"mine.star:2:1: crash: [1, 2] is a list, want nodes one by one: put * before it",
		}, {
			"a function for a node",
			"workload()\ncrash(leader)\nexpect_progress()\n",
			"mine.star:2:1: crash: leader is a function, want a node: call it, leader()",
		}, {
			"a negative duration",
			"workload()\nsleep(\"-1s\")\nexpect_progress()\n",
			`mine.star:2:1: sleep: duration: "-1s" is negative`,
		}, {
			"a number for a duration",
			"workload()\nsleep(3)\nexpect_progress()\n",
			`mine.star:2:1: sleep: duration: 3 is no duration, want one like "200ms", "1.5s" or "2m"`,
		}, {
			"a loop without an end",
			"workload()\nexpect_progress()\nwhile leader():\n    pass\n",
			"mine.star:3:1: more than 5000000 steps: is this an endless loop? Have it sleep(), or end",
		}, {
			"a loop without an end, in a function",
			"def busy():\n    for i in range(3):\n        pass\n    while True:\n        pass\nworkload()\nexpect_progress()\nbusy()\n",
			"mine.star:4:5: more than 5000000 steps: is this an endless loop? Have it sleep(), or end",
		}, {
			"more timers than anybody needs",
			"def f():\n    pass\nfor i in range(2000):\n    at(\"9s\", f)\ncheck_agreement()\n",
			"mine.star:4:5: at: more than 1000 things wait to happen: have fewer, or use every",
		}, {
			"a range without an end",
			"check_agreement()\nx = max(range(1 << 62))\n",
			"mine.star:2:9: range: 4611686018427387904 numbers, at most 1000000",
		}, {
			"a loop without an end that sleeps",
			"workload()\nexpect_progress()\nwhile True:\n    sleep(\"1s\")\n",
			"mine.star:4:5: sleep: the script goes on for more than 1h0m0s",
		}, {
			"nothing is expected",
			"workload()\ncrash(1)\n",
			"mine.star:1:1: the script expects nothing, so it could not fail: add an expectation, such as expect_progress() or check_linearizable()",
		}, {
			"nobody asks for anything",
			"expect_progress()\n",
			"mine.star:1:1: expect_progress: no client asks for anything: call workload() before it",
		}, {
			"an act that there is not",
			"workload()\nbyzantine(2, \"equivocat\")\nexpect_progress()\n",
			`mine.star:2:1: byzantine: act: "equivocat": did you mean equivocate?`,
		}, {
			"an act like no other, and short",
			"workload()\nbyzantine(2, \"lie\")\nexpect_progress()\n",
			`mine.star:2:1: byzantine: act: "lie": there are silent, equivocate, withhold, replay, slow, mutate, flood, hide, suspect, forge, censor`,
		}, {
			"a number for text",
			"put(\"x\", 1)\n",
			`mine.star:1:1: put: value: 1 is no text, want it in quotes: "1"`,
		}, {
			"no time at all",
			"workload()\nexpect_no_progress(\"0s\")\n",
			`mine.star:2:1: expect_no_progress: during: "0s", want more`,
		}, {
			"a number that is too large",
			"workload(put = 9223372036854775807)\nexpect_progress()\n",
			"mine.star:1:1: workload: put: 9223372036854775807, want 0 to 1000000",
		}, {
			"a mistake in what is to happen after the end",
			"workload()\nat(\"1s\", crash)\ncheck_agreement()\n",
			"mine.star:2:1: crash: nodes: missing, call it as crash(nodes…)",
		}, {
			"a function that is called while it sleeps",
			"def f():\n    put(\"a\", \"b\")\nat(\"1s\", f)\nat(\"1s\", f)\nsleep(\"5s\")\ncheck_linearizable()\n",
			"mine.star:2:5: function f called recursively",
		}, {
			"a recovery into a mode that it is too small for",
			"cluster(nodes = 3, mode = \"crash\")\nrecover()\n",
			"mine.star:2:1: recover: three are too few",
		}, {
			"a function for what it yields",
			"workload()\nexpect(lambda: view() > 9)\n",
			"mine.star:2:1: expect: condition: lambda is a function, want what it yields: call it",
		}, {
			"a mistake in what is called later, behind something that was seen",
			"workload()\nleader()\ndef later():\n    x = [1]\n    x.push(2)\nat(\"1s\", later)\nsleep(\"2s\")\ncheck_agreement()\n",
			"mine.star:5:6: list has no .push field or method",
		}, {
			"a name that is taken",
			"nodes = 4\ncluster(nodes = nodes)\nfor n in nodes():\n    crash(n)\ncheck_agreement()\n",
			"mine.star:3:10: nodes is something else in this script, give that another name: it stands for no function any more",
		}, {
			"what Python has",
			"workload()\nassert committed() > 0\ncheck_agreement()\n",
			"mine.star:2:17: got identifier, want newline: Starlark has no assert, use expect(condition, text)",
		}, {
			"what else Python has",
			"workload()\nprint(f\"{leader()}\")\ncheck_agreement()\n",
			`mine.star:2:20: got string literal, want ',': Starlark has no f"…", use "… %s" % value`,
		}, {
			"an act like no other",
			"workload()\nbyzantine(2, \"gossip\")\nexpect_progress()\n",
			`mine.star:2:1: byzantine: act: "gossip": there are silent, equivocate, withhold, replay, slow, mutate, flood, hide, suspect, forge, censor`,
		}, {
			"a mode that there is not",
			"cluster(mode = \"pbft\")\nworkload()\nexpect_progress()\n",
			`mine.star:1:1: cluster: mode: "pbft": there are byzantine, crash`,
		}, {
			"an argument is missing",
			"workload()\ndelay(of = [1])\nexpect_progress()\n",
			"mine.star:2:1: delay: by: missing, call it as delay(by, of=all nodes)",
		}, {
			"all arguments are missing",
			"workload()\ncrash()\nexpect_progress()\n",
			"mine.star:2:1: crash: nodes: missing, call it as crash(nodes…)",
		}, {
			"too many arguments",
			"workload()\ncut(1, 2, 3)\nexpect_progress()\n",
			"mine.star:2:1: cut: takes 2 arguments, not 3: cut(a, b)",
		}, {
			"text for a number",
			"workload(rate = \"fast\")\nexpect_progress()\n",
			`mine.star:1:1: workload: rate: "fast" is no whole number, want one from 1 to 2000`,
		}, {
			"a number out of bounds",
			"cluster(nodes = 17)\nworkload()\nexpect_progress()\n",
			"mine.star:1:1: cluster: nodes: 17, want 1 to 16",
		}, {
			"a share out of bounds",
			"workload()\nloss(20)\nexpect_progress()\n",
			`mine.star:2:1: loss: share: 20, want a share from 0 to 1, or "0%" to "100%"`,
		}, {
			"a call for a function",
			"workload()\nat(\"3s\", crash(1))\nexpect_progress()\n",
			"mine.star:2:1: at: do: None is no function: give the name of one without (), or write lambda: before what is to be done",
		}, {
			"two networks",
			"cluster()\nworkload()\ncluster(nodes = 5)\nexpect_progress()\n",
			"mine.star:3:1: cluster: there is a network already: cluster() comes first, and once",
		}, {
			"a bracket is not closed",
			"workload(\nexpect_progress()\n",
			"mine.star:3:1: got end of file, want ')'",
		}, {
			"a comma is missing",
			"workload()\ncut(1 2)\nexpect_progress()\n",
			"mine.star:2:8: got int literal, want ','",
		}, {
			"a parameter that there is not",
			"cluster(params = {\"windw\": 64})\nworkload()\nexpect_progress()\n",
			"mine.star:1:1: cluster: no parameter is called windw: did you mean window?",
		}, {
			"a parameter that there is not, for operators",
			"workload()\nset_params({\"windw\": 64})\nexpect_progress()\n",
			"mine.star:2:1: set_params: no parameter is called windw: did you mean window?",
		}, {
			"another file",
			"load(\"other.star\", \"x\")\nworkload()\nexpect_progress()\n",
			"mine.star:1:1: cannot load other.star: a script is one file",
		}, {
			"a mistake of Starlark's own",
			"workload()\nexpect_progress()\nx = len(nodes()) + \"a\"\n",
			"mine.star:3:18: unknown binary op: int + string",
		}, {
			"a function that calls itself",
			"def f():\n    f()\nworkload()\nf()\nexpect_progress()\n",
			"mine.star:2:5: function f called recursively",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Parse("folder/mine.star", []byte(c.text))
			if err == nil {
				err = s.Check(known)
			}
			if err == nil {
				t.Fatalf("no mistake was found in\n%s", c.text)
			}
			if err.Error() != c.want {
				t.Errorf("got  %s\nwant %s", err, c.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Error("that is more than one line")
			}
		})
	}
}

// What only a network can decide is no mistake.
func TestGoodScriptsAreFoundGood(t *testing.T) {
	for _, text := range []string{
		"workload()\nwhile committed() < 50:\n    sleep('100ms')\nexpect_progress()",
		"fail_sync(2)\nwhile state(2) == 'up':\n    sleep('100ms')\nrestart(2)\ncheck_agreement()",
		"byzantine(2, 'equivocate')\nwhile not accused(2):\n    sleep('100ms')\ncheck_agreement()",
		"crash([n for n in nodes() if role(n) == 'leader'][0])\ncheck_agreement()",
		"put('a', ' x ')\nif get('a').strip() != 'x':\n    fail('lost')",
		"def slow():\n    sleep('3s')\nat('1s', slow)\nat('2s', lambda: crash(2))\nsleep('9s')\ncheck_agreement()",
		"def again():\n    if now() < 5000:\n        at('%dms' % (now() + 1000), again)\nagain()\nsleep('9s')\ncheck_agreement()",
		"workload()\nsleep('8s')\nif view() > 5:\n    fail('too many views: %d' % view())",
		"workload()\nsleep('8s')\nexpect(view() <= 5, 'too many views')",
		"workload()\nn = len(get('r0'))\ncheck_agreement()",
		"byzantine(2, 'equivocate')\nexpect_evidence(2)\nwho = accused(1)[0]\nexpect(who == 2)",
		"byzantine(2, 'equivocate')\nexpect_evidence(2)\npause(*accused(1))\ncheck_agreement()",
		"workload()\nput('again', get('r0'))\ncheck_agreement()",
		"workload()\nloss('20%', leader())\nsleep('1s')\ncheck_agreement()",
		"workload()\ndef f(view):\n    mode = 1\n    return view + mode\nf(1)\ncheck_agreement()",
		"workload()\nat('5s', heal)\nexpect_progress()",
		"workload()\nwhile now() < 10000:\n    put('k', str(now()))\ncheck_linearizable()",
		"workload()\nwhile now() < 10000:\n    expect_progress()",
		"workload()\nt = now()\nc = committed()\nexpect_progress()\nprint((committed() - c) * 1000 // (now() - t))",
		"n = [0]\ndef beat():\n    n[0] += 1\nevery('1s', beat, times=50)\nwhile n[0] < 50:\n    sleep('100ms')\ncheck_agreement()",
		"workload()\nwhile get('r0') == None:\n    sleep('100ms')\ncheck_agreement()",
		"workload()\nwhile committed() < 3000:\n    sleep('100ms')\nat('30s', heal)\nsleep('31s')\ncheck_agreement()",
		"crash(3)\nrestart([n for n in nodes() if state(n) == 'down'][0])\ncheck_agreement()",
		"put('a', 'b')\nrecover()",
		"switch_mode('crash')",
		"workload()\nsleep('1s')\ncut(leader(), 4)\nsleep('3s')\nexpect_progress()\nheal()",
		"workload()\nsleep('1s')\npartition([leader(), 4], others(leader(), 4))\nsleep('5s')\nheal()\nexpect_progress('20s')",
		"workload()\nbyzantine(1, 'equivocate')\ndef punish():\n    crash(accused(2)[0])\nat('5s', punish)\nsleep('6s')\nexpect_progress()",
		"todo = [2, 3, 4]\ndef next():\n    n = todo.pop(0)\n    crash(n)\n    sleep('1s')\n    restart(n)\nworkload()\nevery('2s', next)\nsleep('7100ms')\ncheck_agreement()",
		"workload()\ndone = []\ndef work():\n    sleep('1s')\n    done.append('now')\nafter('1s', work)\nuntil(lambda: len(done) > 0)\nprint(done[0])",
		"workload()\nbeats = [0]\ndef beat():\n    beats[0] += 1\nevery('10ms', beat)\nwhile beats[0] < 2000:\n    sleep('100ms')\nexpect_progress()",
		"workload()\nat('3s', stop_workload)\nuntil(lambda: now() > 4000)\nworkload(clients = 8)\nexpect_progress()",
		"workload()\nat('10s', stop_workload)\nwhile committed() < 200:\n    sleep('100ms')\nexpect_progress()\nsleep('10s')",
		"workload()\ncrash(3)\ndown = [n for n in nodes() if state(n) == 'down']\nrestart(down[randint(0, len(down)-1)])\nexpect_progress()",
		"workload()\nbegun = now()\nexpect_progress('20s')\ntook = now() - begun\nsleep('%dms' % (took - 100))\nexpect_progress()",
		"workload()\nhighest = 0\nwhile committed() < 10000:\n    sleep('10ms')\n    for n in nodes():\n        highest = max(highest, view(n))\nexpect(highest <= 2)",
		"large = True\nif large:\n    cluster(nodes = 7)\nelse:\n    cluster(nodes = 4)\nworkload()\ncrash(6)\nexpect_progress()",
		"shape = {'nodes': 7}\ncluster(mode = 'byzantine', **shape)\nworkload()\ncrash(6)\nexpect_progress()",
		"every('1ms', lambda: None)\nsleep('59m')\ncheck_agreement()",
	} {
		s, err := Parse("mine.star", []byte(text))
		if err == nil {
			err = s.Check(known)
		}
		if err != nil {
			t.Errorf("%s\n%v", text, err)
		}
	}
	text := "workload()\nexpect_no_progress('5s')\nat('1s', heal)"
	s, err := Parse("mine.star", []byte(text))
	if err == nil {
		err = s.Check(known)
	}
	if err == nil || err.Error() != "mine.star:3:1: at: 1s is over: it is 5s" {
		t.Errorf("%s\n%v", text, err)
	}
}
