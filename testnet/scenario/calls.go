package scenario

import (
	"fmt"
	"time"

	"go.starlark.net/starlark"
)

// What a script asks for itself is a call like those of its workload: it is in the history, and judged with it.

// put has a client of its own put a value, and wants that acknowledged.
func (r *runner) put(a given) (starlark.Value, error) {
	_, err := r.asks(Call{Kind: Put, Key: of(a, "key", ""), Value: of(a, "value", "")}, of(a, "within", 10*time.Second))
	return nil, err
}

// get has a client of its own look up a value, linearizably.
func (r *runner) get(a given) (starlark.Value, error) {
	answer, err := r.asks(Call{Kind: Get, Key: of(a, "key", "")}, of(a, "within", 10*time.Second))
	if err != nil || !answer.Held {
		return nil, err
	}
	return starlark.String(answer.Value), nil
}

// localGet has a client of its own ask one node for what it holds.
func (r *runner) localGet(a given) (starlark.Value, error) {
	answer, err := r.asks(Call{Kind: LocalGet, Node: of(a, "node", 0), Key: of(a, "key", "")}, of(a, "within", 10*time.Second))
	if err != nil || !answer.Held {
		return nil, err
	}
	return starlark.String(answer.Value), nil
}

// asks has a client that has asked for nothing yet ask for this, and waits for the answer.
func (r *runner) asks(call Call, within time.Duration) (Answer, error) {
	if r.traffic == nil {
		r.traffic = &workload{r: r, stopped: true}
	}
	begun := r.cluster.Now()
	call.Client = r.newClient()
	var answer Answer
	answered := false
	r.traffic.submit(call, func(a Answer) { answer, answered = a, true })
	if _, err := r.awaits(within, func() (bool, error) { return answered, nil }); err != nil {
		return answer, err
	}
	if answered && call.Kind == LocalGet && answer.Outcome == Refused {
		return answer, r.untested(fmt.Errorf("node %d: it does not answer", call.Node))
	}
	why := fmt.Sprintf("not answered within %v", within)
	if answered {
		why = fmt.Sprintf("its outcome is %s", answer.Outcome)
	}
	return answer, r.decide(begun, answer.Outcome == Done, why)
}
