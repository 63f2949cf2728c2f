package node

import (
	"testing"

	"github.com/quorate/quorate/bft/message"
	"github.com/quorate/quorate/node/host"
	"github.com/quorate/quorate/statemachine/kv"
)

// A caller who gives up has the host forget his request, some time later. Whoever has asked for the same one meanwhile is
// answered all the same.
// To see it fail, leave out in depart the look at who waits.
func TestACallerWhoGoesDoesNotDeafenTheNext(t *testing.T) {
	c := newCommittee(t)
	n := &Node{waiters: newWaiters(), inbox: newInbox()}
	q := c.request(kv.Put([]byte("key"), []byte("value")))
	wait := func() chan host.Answer {
		w, err := n.waiters.join(q.ID())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.hosts[0].Submit([]*message.Request{q}); err != nil {
			t.Fatal(err)
		}
		return w
	}

	n.depart(q, wait())
	next := wait()
	for _, i := range n.inbox.take(coreTurn, inboxBytes) {
		i.call(c.hosts[0])
	}
	c.run()

	if len(c.told) != 1 || c.told[0].ID != q.ID() {
		t.Fatalf("the host has %d answers for the one who waits", len(c.told))
	}
	n.waiters.answer(c.told[0])
	if a := <-next; a.Refusal != nil || a.Seq != 1 {
		t.Fatalf("decided at %d, refusal %v", a.Seq, a.Refusal)
	}
}

// The host keeps nothing for a request that nobody waits for any more.
// To see it fail, do not forget in depart.
func TestTheLastCallerWhoGoesHasTheRequestForgotten(t *testing.T) {
	c := newCommittee(t)
	n := &Node{waiters: newWaiters(), inbox: newInbox()}
	q := c.request(kv.Put([]byte("key"), []byte("value")))
	w, err := n.waiters.join(q.ID())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.hosts[0].Submit([]*message.Request{q}); err != nil {
		t.Fatal(err)
	}

	n.depart(q, w)
	for _, i := range n.inbox.take(coreTurn, inboxBytes) {
		i.call(c.hosts[0])
	}
	c.run()

	if len(c.told) != 0 {
		t.Fatalf("the host has %d answers for nobody", len(c.told))
	}
}
