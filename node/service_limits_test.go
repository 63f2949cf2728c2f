package node

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
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
	gated, err := listenGated("127.0.0.1:0", newGate(1, 1))
	if err != nil {
		t.Fatal(err)
	}
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
	connect := func() (net.Conn, error) {
		c, err := net.Dial("tcp", gated.Addr().String())
		if err == nil {
			t.Cleanup(func() { c.Close() })
		}
		return c, err
	}
	// A connection may be refused while the caller still makes it, or after it.
	refused := func() error {
		c, err := connect()
		if err != nil {
			return err
		}
		_, err = c.Read(make([]byte, 1))
		return err
	}
	connect()
	first := <-accepted
	if err := refused(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the second connection ends with %v, want it reset", err)
	}
	first.Close()
	first.Close() // twice makes room for one
	connect()
	third := <-accepted
	if err := refused(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("closing twice made room for two: %v", err)
	}
	third.Close()
	gated.Close()
	<-accepted
}

// case E1: a flood of connections that are refused takes little of the processor, whatever its rate.
// To see it fail, let Accept not rest.
func TestAFloodOfRefusedConnectionsIsSlowedDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pipes{calls: make(chan net.Conn), ended: make(chan struct{})}
		gated := &gatedListener{Listener: p, gate: newGate(0, 0)}
		done := make(chan struct{})
		go func() {
			defer close(done)
			gated.Accept()
		}()
		const flood = 2000
		start := time.Now()
		for range flood {
			here, there := net.Pipe()
			p.calls <- there
			here.Close()
		}
		if took, want := time.Since(start), flood/refusalsAtOnce*refusalRest-refusalRest; took < want {
			t.Errorf("%d connections are refused in %v, want %v at least", flood, took, want)
		}
		p.Close()
		<-done
	})
}
