package node

import (
	"net"
	"testing"
)

func TestAGateCountsByAddressAndInAll(t *testing.T) {
	g := newGate(3, 2)
	leave1, ok1 := g.enter("10.0.0.1:1000")
	_, ok2 := g.enter("10.0.0.1:1001")
	_, ok3 := g.enter("10.0.0.1:1002")
	_, ok4 := g.enter("10.0.0.2:1000")
	_, ok5 := g.enter("10.0.0.3:1000")
	if !ok1 || !ok2 || ok3 || !ok4 || ok5 {
		t.Fatalf("let in %v %v %v %v %v, want two of the first address and three in all", ok1, ok2, ok3, ok4, ok5)
	}
	leave1()
	if _, ok := g.enter("10.0.0.1:1003"); !ok {
		t.Error("a place that was left stays taken")
	}
}

func TestConnectionsBeyondTheBoundAreClosedAndMakeRoomAgain(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gated := &gatedListener{l, newGate(1, 1)}
	accepted := make(chan net.Conn)
	go func() {
		defer close(accepted)
		for {
			c, err := gated.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	connect := func() net.Conn {
		t.Helper()
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	connect()
	first := <-accepted
	if _, err := connect().Read(make([]byte, 1)); err == nil {
		t.Error("the second connection is served")
	}
	first.Close()
	first.Close() // twice makes room for one
	connect()
	third := <-accepted
	if _, err := connect().Read(make([]byte, 1)); err == nil {
		t.Error("closing twice made room for two")
	}
	third.Close()
	l.Close()
	<-accepted
}
